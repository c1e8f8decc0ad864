"""Scalars by their meaning: numbers, yes and no, quantities with units, and ranges, all from text.

YAML's own guesses are not used: ``0123456`` is the number or the name that it looks like, ``1:30`` is text.
Quantities are exact fractions, since 0.15 in floats is not 15 percentage points.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated

from pydantic import BeforeValidator

from harness.contracts.records import UNITS

UNIT_WORDS = ("%", "pp", "points", "deg", "bits", "nats", "tokens")
"""Units as they are written; ``%`` and ``pp`` are hundredths of a proportion."""

_NUMBER = r"[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_QUANTITY = re.compile(rf"([+-]?{_NUMBER})\s*(%|pp|points|deg|bits|nats|tokens)?")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_RANGE = re.compile(r"([0-9]+)\s*\.\.\s*([0-9]+)")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
RESERVED = frozenset(
    {"and", "or", "not", "by", "within", "shuffled", "random", "otherwise", "supported", "killed", "alpha"}
)
"""Words of the formula language, which nothing can be called."""


LARGEST = 2**53 - 1
"""Whole numbers beyond it, on either side of 0, are none of JSON's."""
LARGEST_EXPONENT = 300
_LONGEST = 300
"""Characters of a number; with an exponent within ``LARGEST_EXPONENT`` it is neither infinite nor slow to compute."""
MOST_LEVELS = 1_000_000
"""Levels of a range: more are a slip, and would fill the memory before anything is said."""


class Slip(ValueError):
    """A value out of its range, with what was probably meant as ``hint``."""

    def __init__(self, expected: str, hint: str = "") -> None:
        super().__init__(expected)
        self.hint = hint


@dataclass(frozen=True)
class Quantity:
    """An exact number in a unit of ``UNITS``; ``bare`` when it was written without one."""

    value: Fraction
    unit: str = "1"
    bare: bool = True


def quantity_of(number: str, unit: str | None) -> Quantity:
    """Return the exact quantity of a number's text and a unit word (``15``, ``pp`` -> 3/20 proportion)."""
    value = Fraction(number)
    if not unit:
        return Quantity(value)
    if unit in {"%", "pp"}:
        return Quantity(value / 100, "proportion", bare=False)
    return Quantity(value, unit, bare=False)


def is_computable(number: str) -> bool:
    """Say whether a number's text is short and within ±1e300, so that it can be computed with as it stands."""
    if len(number) > _LONGEST:
        return False
    mantissa, _, exponent = number.lower().partition("e")
    power = int(exponent) if _INTEGER.fullmatch(exponent) else 0
    return power >= -LARGEST_EXPONENT and power + len(mantissa.partition(".")[0]) <= LARGEST_EXPONENT


def parse_quantity(text: object) -> Quantity:
    """Read ``15 pp``, ``0.5 bits``, ``1e-4``.

    Raises:
        ValueError: for anything else, saying what was expected.
    """
    if isinstance(text, Quantity):
        return text
    match = _QUANTITY.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"a number, with a unit if it has one ({' '.join(UNIT_WORDS)})")
    if not is_computable(match[1]):
        raise ValueError(f"a number within ±1e{LARGEST_EXPONENT}")
    return quantity_of(match[1], match[2])


def parse_share(text: object) -> Quantity:
    """Read a proportion from nothing to all: ``10%``, ``0.1``."""
    return _proportion(text, lambda share: 0 <= share <= 1, "a proportion from 0% to 100%")


def parse_error_rate(text: object) -> Quantity:
    """Read a proportion that is neither nothing nor all: ``5%``, ``0.05``."""
    return _proportion(text, lambda rate: 0 < rate < 1, "a proportion above 0% and below 100%")


def parse_level(text: object) -> Quantity:
    """Read the level of intervals: ``95%``, ``0.95``."""
    return _proportion(text, lambda level: Fraction(1, 2) <= level < 1, "a level from 50% to below 100%")


def _proportion(text: object, fits: Callable[[Fraction], bool], expected: str) -> Quantity:
    found = parse_quantity(text)
    if found.unit not in ("proportion", "1") or not fits(found.value):
        raise Slip(expected, _as_percent(found))
    return found


def _as_percent(found: Quantity) -> str:
    """Return the hint for a bare number that was meant in hundredths."""
    if not found.bare or not 1 < found.value < 100:
        return ""
    return f"write {float(found.value):g}% or {float(found.value / 100):g}"


def parse_int(text: object) -> int:
    """Read a decimal integer; leading zeros mean nothing."""
    if isinstance(text, int) and not isinstance(text, bool):
        return text
    if not isinstance(text, str) or not _INTEGER.fullmatch(text):
        raise ValueError("a whole number")
    if len(text) > _LONGEST or abs(int(text)) > LARGEST:
        raise ValueError(f"a whole number within ±{LARGEST:,}")
    return int(text)


def parse_float(text: object) -> float:
    """Read a finite number without a unit."""
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        return float(text)
    if not isinstance(text, str) or not re.fullmatch(rf"[+-]?{_NUMBER}", text):
        raise ValueError("a number")
    if not is_computable(text):
        raise ValueError(f"a number within ±1e{LARGEST_EXPONENT}")
    return float(text)


def parse_bool(text: object) -> bool:
    """Read ``yes`` or ``no``; there is one way to say it."""
    if isinstance(text, bool):
        return text
    if text not in ("yes", "no"):
        raise ValueError("yes or no")
    return text == "yes"


def parse_range(text: object) -> tuple[int, int]:
    """Read ``21..220``: first and last, counted from 1 where it counts rows or levels."""
    if isinstance(text, tuple):
        return text
    match = _RANGE.fullmatch(text) if isinstance(text, str) and len(text) <= _LONGEST else None
    if match is None or int(match[1]) > int(match[2]):
        raise ValueError("a range such as 1..20, first and last")
    return int(match[1]), int(match[2])


def parse_rows(text: object) -> tuple[int, int]:
    """Read ``1..6000``: the first and the last row, counted from 1."""
    first, last = parse_range(text)
    if first < 1 or last > LARGEST:
        raise ValueError("a range such as 1..6000, first and last row, counted from 1")
    return first, last


def parse_level_range(text: object) -> tuple[int, int]:
    """Read ``0..27``: whole numbers that are the levels of a dim."""
    first, last = parse_range(text)
    if last - first >= MOST_LEVELS or last > LARGEST:
        raise ValueError(f"a range of {MOST_LEVELS:,} levels at most")
    return first, last


def is_range(text: object) -> bool:
    """Say whether a text is written as ``a..b``."""
    return isinstance(text, str) and _RANGE.fullmatch(text) is not None


def parse_name(text: object) -> str:
    """Read a name that formulas can use."""
    if not isinstance(text, str) or not _IDENTIFIER.fullmatch(text):
        raise ValueError("a name of letters, digits and _ that does not start with a digit")
    if text in RESERVED:
        raise ValueError("another name: this is a word of the formula language")
    return text


def parse_unit(text: object) -> str:
    """Read a unit's name."""
    if text in ("%", "pp"):
        return "proportion"
    if not isinstance(text, str) or text not in UNITS:
        raise ValueError("one of " + ", ".join(UNITS))
    return text


def parse_text(text: object) -> str:
    """Accept one text, not a list or mapping."""
    if not isinstance(text, str):
        raise ValueError("one text, not a " + ("list" if isinstance(text, (list, tuple)) else "mapping"))
    return text


def parse_some_texts(value: object) -> tuple[str, ...]:
    """Accept a text or a list of one or more texts."""
    items = parse_texts(value)
    if not items:
        raise ValueError("at least one, or none of this key: an empty list would mean all of them")
    return items


def parse_texts(value: object) -> tuple[str, ...]:
    """Accept a text or a list of texts."""
    items = value if isinstance(value, (list, tuple)) else [value]
    if any(not isinstance(item, str) for item in items):
        raise ValueError("a text or a list of texts")
    return tuple(items)


Text = Annotated[str, BeforeValidator(parse_text)]
Texts = Annotated[tuple[str, ...], BeforeValidator(parse_texts)]
SomeTexts = Annotated[tuple[str, ...], BeforeValidator(parse_some_texts)]
Name = Annotated[str, BeforeValidator(parse_name)]
Int = Annotated[int, BeforeValidator(parse_int)]
Float = Annotated[float, BeforeValidator(parse_float)]
YesNo = Annotated[bool, BeforeValidator(parse_bool)]
Rows = Annotated[tuple[int, int], BeforeValidator(parse_rows)]
Unit = Annotated[str, BeforeValidator(parse_unit)]
