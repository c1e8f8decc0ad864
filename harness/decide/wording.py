"""How a judgement is said: ``12.3 pp is 2.7 pp below 15 pp``."""

from __future__ import annotations

from fractions import Fraction

from harness.core.numbers import format_interval, format_level, format_p, format_threshold, format_value

_SAYS = {">": "above", ">=": "at least", "<": "below", "<=": "at most"}
_GAP_UNITS = {"p": "1", "proportion": "pp"}
"""A distance between two percentages is in percentage points."""
Number = Fraction | float


def say_compared(value: Number, rel: str, bound: Number, true: bool, unit: str) -> str:
    """Say a comparison, and by how much it fails.

    Args:
        value: what was found, in its unit (a proportion in [0, 1]).
        rel: the comparison that was registered.
        bound: what it was compared with.
        true: whether it holds.
        unit: the unit to say it in (``pp`` for differences of proportions).
    """
    limit = format_threshold(bound, unit)
    said = _say_p(value, bound) if unit == "p" else format_value(value, unit, apart_from=bound)
    if true:
        return f"{said} is {_SAYS[rel]} {limit}"
    if value == bound:
        return f"{said} is not {_SAYS[rel]} {limit}"
    gap = abs(float(bound) - float(value))
    shown = format_value(gap, _GAP_UNITS.get(unit, unit))
    return f"{said} is {shown} {'below' if bound > value else 'above'} {limit}"


def say_interval(low: float, high: float, level: str, unit: str) -> str:
    """Say an interval: ``the 95% interval 5.7–54.7 pp``."""
    return f"the {format_level(level)} interval {format_interval(low, high, unit)}"


def say_beyond(rel: str, end: float, bound: Number, true: bool, unit: str) -> str:
    """Say on which side of a bound an interval lies, or how far it reaches past it."""
    limit = format_threshold(bound, unit)
    if true:
        return f"is {_SAYS[rel]} {limit}"
    gap, unit = abs(end - float(bound)), _GAP_UNITS.get(unit, unit)
    reaches = "down" if rel in (">", ">=") else "up"
    return f"reaches {reaches} {'to' if gap == 0 else format_value(gap, unit) + ' past'} {limit}"


def some(parts: list[str], most: int = 3) -> str:
    """Join distinct parts with semicolons, and count what is left out."""
    told = list(dict.fromkeys(part for part in parts if part))
    more = f"; and {len(told) - most} more" if len(told) > most else ""
    return "; ".join(told[:most]) + more


def _say_p(value: Number, bound: Number) -> str:
    """Say a p-value: ``p = 0.0387``, or ``p < 0.0001``, never ``p = < 0.0001``."""
    text = _p(value, bound)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def _p(value: Number, bound: Number) -> str:
    return format_p(value, apart_from=bound)
