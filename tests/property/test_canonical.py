"""Canonical JSON: written faster than by rfc8785, byte for byte the same, and refused where that refuses."""

from __future__ import annotations

from typing import Any

import pytest
import rfc8785
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.core.ident import canonical

SCALARS = st.none() | st.booleans() | st.integers(-(2**54), 2**54) | st.floats() | st.text(st.characters())
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(st.characters()), inner),
    max_leaves=20,
)


def outcome(write: Any, value: Any) -> bytes | None:
    try:
        return bytes(write(value))
    except ValueError:
        return None


@given(VALUES)
@settings(max_examples=400, deadline=None)
@example({"\ufb33": 1, "\U0001f600": 2, "a": 3})  # UTF-16 units put U+1F600 before U+FB33; code points do not
@example({"\ud800": 1})
@example(['\x00\x1f\x7f\u2028"\\/\b\f\n\r\t', -0.0, 1.0, 1e21, 1e-7, 5e-6, 2**53 - 1, 2**53])
def test_the_bytes_are_those_of_rfc_8785(value: Any) -> None:
    assert outcome(canonical, value) == outcome(rfc8785.dumps, value)


@pytest.mark.parametrize("value", [{1: 2}, {None: 1, "a": 2}, {"a": {1, 2}}, [b"x"], object(), float("nan"), "\udfff"])
def test_what_json_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        canonical(value)
