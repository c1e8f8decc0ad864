"""How numbers are written, once for the terminal and for reports: pure Python, so that collection may use it.

Conventions: proportions are shown in per cent and their differences in percentage points (display unit
``pp``); minus is U+2212; p-values have three significant digits and are never printed as 0; unknown is a
word and never a number.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

UNKNOWN = "unknown"
SMALLEST_P = 1e-4
"""p-values below this are printed as ``< 0.0001``."""

_SUFFIX = {
    "proportion": "%",
    "pp": " pp",
    "points": " points",
    "deg": "°",
    "bits": " bits",
    "nats": " nats",
    "tokens": " tokens",
}
_DECIMALS = {"proportion": 1, "pp": 1, "points": 1, "deg": 1, "tokens": 1, "count": 0}
_WORDS = {">": "above", ">=": "at least", "<": "below", "<=": "at most"}
_SIGNS = {">": ">", ">=": "≥", "<": "<", "<=": "≤"}

Numeric = float | int | Fraction


def parse_exact(text: str) -> Fraction:
    """Return the fraction written as ``num/den`` or as a whole number."""
    return Fraction(text)


def format_value(
    value: Numeric | None,
    unit: str = "1",
    *,
    signed: bool = False,
    apart_from: Numeric | None = None,
    suffix: bool = True,
) -> str:
    """Write a measured value with its unit, rounded for reading.

    Args:
        value: In the unit itself (a proportion is 0..1 and comes out as per cent); None reads ``unknown``.
        unit: One of ``records.UNITS``, or ``pp`` for a difference of proportions.
        signed: Write a plus sign too.
        apart_from: A threshold; decimals are added until the two no longer read the same.
        suffix: Append the unit.
    """
    if value is None:
        return UNKNOWN
    if unit == "p":
        return format_p(value, apart_from=apart_from)
    shown, decimals = _scaled(value, unit), _decimals(value, unit)
    if apart_from is not None and apart_from != value:
        other = _scaled(apart_from, unit)
        while decimals < 12 and f"{float(shown):.{decimals}f}" == f"{float(other):.{decimals}f}":
            decimals += 1
    text = _fixed(shown, decimals, signed=signed)
    return text + (_SUFFIX.get(unit, "") if suffix else "")


def format_threshold(value: Numeric | None, unit: str = "1") -> str:
    """Write a registered quantity without trailing zeros: ``15 pp``, ``0.001``.

    One with more than six significant digits (a third, say) is rounded to four.
    """
    if value is None:
        return UNKNOWN
    shown = float(_scaled(value, unit))
    text = f"{shown:.6g}"
    if abs(float(text) - shown) > 1e-9 * abs(shown):
        text = f"{shown:.4g}"
    if "e" not in text and abs(float(text)) >= 1000:
        text = f"{float(text):,.10g}"
    return _minus(text) + _SUFFIX.get(unit, "")


def format_p(p: Numeric | None, *, apart_from: Numeric | None = None) -> str:
    """Write a p-value: three significant digits, three decimals from 0.1 up, never 0."""
    if p is None:
        return UNKNOWN
    if 0 <= p < SMALLEST_P:
        return "< 0.0001"
    decimals = 3 if p >= 0.1 else _significant(float(p), 3)
    while (
        apart_from is not None
        and apart_from != p
        and decimals < 12
        and (f"{float(p):.{decimals}f}" == f"{float(apart_from):.{decimals}f}")
    ):
        decimals += 1
    return f"{float(p):.{decimals}f}"


def phrase_p(p: Numeric | None) -> str:
    """Write ``p = 0.0387``, ``p < 0.0001`` or ``p unknown``."""
    if p is None:
        return f"p {UNKNOWN}"
    text = format_p(p)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def format_interval(low: Numeric | None, high: Numeric | None, unit: str = "1") -> str:
    """Write ``23.4–37.0 pp``, or ``−42.4 to −34.4 pp`` where a dash would be read as a minus."""
    if low is None or high is None:
        return UNKNOWN
    decimals = _decimals(low if abs(float(low)) > abs(float(high)) else high, unit)
    left = _fixed(_scaled(low, unit), decimals)
    right = _fixed(_scaled(high, unit), decimals)
    joiner = " to " if low < 0 or high < 0 else "–"
    return f"{left}{joiner}{right}{_SUFFIX.get(unit, '')}"


def format_level(level: str) -> str:
    """Write a confidence level given as a fraction: ``19/20`` is ``95%``."""
    return format_threshold(parse_exact(level), "proportion")


def format_count(count: int) -> str:
    """Write a whole number with thousands separators."""
    return f"{count:,}"


def format_exact(exact: str | None) -> str:
    """Write an exact fraction ``num/den``, or nothing where the value is not exact."""
    return _minus(exact) if exact else ""


def format_rel(rel: str, *, words: bool = False) -> str:
    """Write a comparison as a sign (``≥``) or in words (``at least``)."""
    return (_WORDS if words else _SIGNS).get(rel, rel)


def format_n(counts: Mapping[str, int]) -> str:
    """Write how much data stands behind a number: ``2,800 (7 personas × 20 questions)``; empty when not known."""
    levels = " × ".join(count_noun(n, dim) for dim, n in counts.items() if dim != "observations")
    if "observations" not in counts:
        return levels
    total = format_count(counts["observations"])
    if len(counts) == 2 and len(set(counts.values())) == 1:
        return levels
    return f"{total} ({levels})" if levels else total


def count_noun(count: int, noun: str, plural: str = "") -> str:
    """Write a count with its noun in the right number: ``1 gate``, ``2 gates``."""
    return f"{format_count(count)} {noun if count == 1 else plural or plural_of(noun)}"


def plural_of(noun: str) -> str:
    """Return a noun's plural: ``gates``, ``hypotheses``, ``entries``, ``corpuses``, ``epochs`` (of either number)."""
    if noun.endswith(("ochs", "och")):
        return noun.removesuffix("s") + "s"
    if noun.endswith("sis"):
        return noun[:-2] + "es"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")


def _scaled(value: Numeric, unit: str) -> Numeric:
    return value * 100 if unit in ("proportion", "pp") else value


def _decimals(value: Numeric, unit: str) -> int:
    """Decimals that show two significant digits of a small value and the unit's usual number otherwise."""
    shown = abs(float(_scaled(value, unit)))
    if unit == "count" and shown == int(shown):
        return 0
    usual = _DECIMALS.get(unit, 3)
    if shown == 0 or shown >= 10 ** (1 - usual):
        return usual
    return min(_significant(shown, 2), 12)


def _significant(value: float, digits: int) -> int:
    """How many decimals show ``digits`` significant digits of a positive value below 1."""
    exponent = int(f"{value:e}".split("e")[1])
    return max(digits - 1 - exponent, 0)


def _fixed(value: Numeric, decimals: int, *, signed: bool = False) -> str:
    text = f"{float(value):{'+' if signed else ''},.{decimals}f}"
    if not any(digit in text for digit in "123456789"):
        text = text.lstrip("+-")
    return _minus(text)


def _minus(text: str) -> str:
    return text.replace("-", "−")
