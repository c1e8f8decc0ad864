"""What the encoding needs of z3 beside its operators: exact numbers, relations by name, and no checks of types."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import z3

RELATIONS: Mapping[str, Callable[[Any, Any], Any]] = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le,
}  # fmt: skip


def rational(number: Fraction) -> Any:
    """Return an exact number. ``z3.Q`` divides two numbers and simplifies the quotient, twice: 20 times as long."""
    return z3.RealVal(f"{number.numerator}/{number.denominator}")


@contextmanager
def unchecked() -> Iterator[None]:
    """Leave out z3's checks of its arguments' types, which take half the time of an encoding.

    Those that ask ``Study`` themselves, as the tests do, have them.
    """
    before = z3.z3.Z3_DEBUG
    z3.z3.Z3_DEBUG = False
    try:
        yield
    finally:
        z3.z3.Z3_DEBUG = before
