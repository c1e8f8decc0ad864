"""One comparison: judged exactly, with its shortfall and the sentence that says what it would have taken."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal

from harness.contracts.display import display_unit
from harness.contracts.records import Estimate, Fact, Interval, Truth
from harness.contracts.trees import Call, Ci, Compare, PValue, Rel, Value, expression_id
from harness.core.numbers import format_interval, format_level, format_p, format_threshold, format_value
from harness.decide.sides import Side, side
from harness.decide.wording import say_beyond, say_compared, say_interval

Number = Fraction | float
_MONTE_CARLO_TAIL = 0.005
"""Half of what a 99% interval leaves out: a Monte Carlo p decides only outside it."""


def fact(
    leaf: Compare | Ci,
    estimates: Mapping[str, Estimate],
    place: Mapping[str, str],
    barred: str = "",
    adjusted: Mapping[str, float] | None = None,
) -> Fact:
    """Judge a comparison at one place of the kept dims.

    Args:
        leaf: the bound comparison.
        estimates: by expression id.
        place: level per kept dim (dims that this comparison does not keep are ignored).
        barred: why it may not be read; makes it unknown.
        adjusted: corrected p-values by expression id.
    """
    if isinstance(leaf, Compare):
        found = _compare(leaf, estimates, place, adjusted or {})
    else:
        found = _interval(leaf, estimates, place)
    if barred:
        found = found.model_copy(update={"truth": "unknown", "shortfall": None, "why": barred})
    return found


def holds(left: Number, rel: Rel, right: Number) -> bool:
    """Compare exactly when both sides are fractions, in floats otherwise."""
    if not (isinstance(left, Fraction) and isinstance(right, Fraction)):
        left, right = float(left), float(right)
    return {">": left > right, ">=": left >= right, "<": left < right, "<=": left <= right}[rel]


def _compare(
    leaf: Compare, estimates: Mapping[str, Estimate], place: Mapping[str, str], adjusted: Mapping[str, float]
) -> Fact:
    left, right = side(leaf.left, estimates, place), side(leaf.right, estimates, place)
    base = _base(leaf, "compare", left, place, leaf.rel)
    base["threshold"] = None if right.value is None else float(right.value)
    if left.value is None or right.value is None:
        return Fact(**base, truth="unknown", why=left.reason or right.reason)
    value = adjusted.get(expression_id(leaf.left), left.value) if isinstance(leaf.left, PValue) else left.value
    base["value"] = float(value)
    doubt = _monte_carlo_doubt(leaf.left, left, right.value)
    if doubt:
        return Fact(**base, truth="unknown", why=doubt)
    true = holds(value, leaf.rel, right.value)
    short = 0.0 if true else abs(float(right.value - value))
    why = say_compared(value, leaf.rel, right.value, true, _shown(leaf.left, left, leaf.text))
    return Fact(**base, truth="true" if true else "false", shortfall=short, why=why)


def _interval(leaf: Ci, estimates: Mapping[str, Estimate], place: Mapping[str, str]) -> Fact:
    of = side(leaf.of, estimates, place)
    limits = [side(each, estimates, place) for each in (leaf.low, leaf.high, leaf.bound) if each is not None]
    numbers = [None if limit.value is None else float(limit.value) for limit in limits]
    interval = of.interval(leaf.level)
    base = _base(leaf, "within" if leaf.rel is None else "ci", of, place, leaf.rel or "within")
    base.update(interval=interval, threshold=numbers[0], upper=numbers[1] if len(numbers) > 1 else None)
    known = [number for number in numbers if number is not None]
    if of.value is None or len(known) < len(numbers):
        return Fact(**base, truth="unknown", why=next(part.reason for part in (of, *limits) if part.value is None))
    if interval is None:
        why = f"{of.name or 'the value'} has no interval at {format_level(leaf.level)}"
        return Fact(**base, truth="unknown", why=why)
    unit = _shown(leaf.of, of, leaf.text)
    if leaf.rel is None:
        truth, short, why = _within(interval, known[0], known[1], unit)
    else:
        truth, short, why = _beyond(interval, leaf.rel, known[0], unit)
    return Fact(**base, truth=truth, shortfall=short, why=why)


def _base(
    leaf: Compare | Ci, kind: Literal["compare", "ci", "within"], left: Side, place: Mapping[str, str], rel: str
) -> dict[str, Any]:
    at = dict(left.cell.at) if left.cell else dict(place)
    value = None if left.value is None else float(left.value)
    return {
        "text": leaf.text,
        "line": leaf.line,
        "kind": kind,
        "estimate": left.name,
        "at": at,
        "value": value,
        "rel": rel,
        "unit": left.unit,
    }


def _beyond(interval: Interval, rel: Rel, bound: Number, unit: str) -> tuple[Truth, float, str]:
    end = interval.low if rel in (">", ">=") else interval.high
    true = holds(end, rel, float(bound))
    why = f"{_said(interval, unit)} {say_beyond(rel, end, bound, true, unit)}"
    return ("true", 0.0, why) if true else ("false", abs(end - float(bound)), why)


def _within(interval: Interval, low: Number, high: Number, unit: str) -> tuple[Truth, float, str]:
    room = format_interval(low, high, unit)
    out = max(float(low) - interval.low, interval.high - float(high))
    if out <= 0:
        return "true", 0.0, f"{_said(interval, unit)} is within {room}"
    gap = format_value(out, "pp" if unit == "proportion" else unit)
    return "false", out, f"{_said(interval, unit)} leaves {room} by {gap}"


def _said(interval: Interval, unit: str) -> str:
    return say_interval(interval.low, interval.high, interval.level, unit)


def _shown(tree: Value, left: Side, text: str) -> str:
    """The unit to say a value in: as its formula asks, or in points where the registration says so."""
    unit = display_unit(tree, left.unit)
    return "pp" if unit == "proportion" and "pp" in text else unit


def _monte_carlo_doubt(tree: Value, left: Side, threshold: Number) -> str:
    """Return why a drawn p-value cannot be told from its threshold, or an empty string.

    p = (k + 1)/(B + 1), two-sided min(1, 2 times that); the threshold must lie outside the exact 99%
    interval of the tail probability behind k of B draws.
    """
    if not isinstance(tree, PValue) or not left.draws or left.value is None:
        return ""
    sides = 2 if isinstance(tree.of, Call) and tree.of.fn == "abs" and tree.null is None else 1
    hits = max(0, round(float(left.value) / sides * (left.draws + 1)) - 1)
    tail = min(1.0, float(threshold) / sides)
    fewer = _binomial_at_most(hits, left.draws, tail)
    more = 1.0 - (_binomial_at_most(hits - 1, left.draws, tail) if hits else 0.0)
    if min(fewer, more) < _MONTE_CARLO_TAIL:
        return ""
    return (
        f"p = {format_p(left.value)} from {left.draws} draws cannot be told from "
        f"{format_threshold(threshold)} (its 99% interval holds both)"
    )


@lru_cache(maxsize=4096)  # the same p-value is compared again for each clause and each search that reads it
def _binomial_at_most(hits: int, draws: int, tail: float) -> float:
    """P(X <= hits) for X ~ Binomial(draws, tail), summed in logs so that large ``draws`` do not underflow."""
    if tail <= 0 or hits >= draws:
        return 1.0
    if tail >= 1:
        return 0.0
    constant = math.lgamma(draws + 1)
    return min(
        1.0,
        math.fsum(
            math.exp(
                constant
                - math.lgamma(k + 1)
                - math.lgamma(draws - k + 1)
                + k * math.log(tail)
                + (draws - k) * math.log1p(-tail)
            )
            for k in range(hits + 1)
        ),
    )
