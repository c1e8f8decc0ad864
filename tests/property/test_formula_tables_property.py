"""Whatever the text, the tables read it exactly where lark does, to the same tree with the same positions."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.spec import grammar, lalr

PIECES = st.sampled_from(
    ["x", "layer", "C1", "or", "and", "not", "by", "within", "shuffled", "random", "..", ".", "(", ")", "[", "]", ",",
     "=", "|", "+", "-", "*", "/", ">", ">=", "<", "<=", "0", "15", "1e-4", "0.5", "%", "pp", "bits", "'a b'", '"q"',
     " ", "é"]
)  # fmt: skip


def made(rule: str, start: int, end: int, items: list[Any]) -> Any:
    return rule, start, end, items


def read(parse: Any, text: str) -> Any:
    try:
        return json.dumps(parse(text, made))
    except lalr.Unreadable:
        return None


def by_lark(text: str, make: Any) -> Any:
    return grammar.parse(text, make, lambda token, expected, position: lalr.Unreadable(position))


@given(st.lists(PIECES, max_size=14), st.sampled_from(["", " "]))
@settings(max_examples=400, deadline=None)
def test_pieces_of_formulas(pieces: list[str], between: str) -> None:
    text = between.join(pieces)
    assert read(lalr.parse, text) == read(by_lark, text)


@given(st.text(max_size=20))
@settings(max_examples=100, deadline=None)
def test_any_text(text: str) -> None:
    assert read(lalr.parse, text) == read(by_lark, text)
