"""The sides of a comparison: constants, and estimates looked up by their tree."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from harness.contracts.records import Cell, Estimate, Interval
from harness.contracts.trees import Neg, Num, Op, Value, expression_id
from harness.core.errors import PreregError


@dataclass(frozen=True)
class Side:
    """One side at one place: a number (exact where it is known so), or a reason why there is none."""

    value: Fraction | float | None
    unit: str
    name: str = ""
    cell: Cell | None = None
    draws: int = 0
    reason: str = ""

    def interval(self, level: str) -> Interval | None:
        """Return the interval at ``level``, or None where there is none."""
        wanted = Fraction(level)
        for interval in self.cell.intervals if self.cell else ():
            if Fraction(interval.level) == wanted and not (math.isnan(interval.low) or math.isnan(interval.high)):
                return interval
        return None


def constant(value: Value) -> Fraction | None:
    """Return the exact value of a tree without data, or None when it has data."""
    if isinstance(value, Num):
        return Fraction(value.value)
    if isinstance(value, Neg):
        inner = constant(value.of)
        return None if inner is None else -inner
    if isinstance(value, Op):
        left, right = constant(value.left), constant(value.right)
        if left is None or right is None:
            return None
        return _arithmetic(value.op, left, right)
    return None


def _arithmetic(op: str, left: Fraction, right: Fraction) -> Fraction | None:
    match op:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case _:
            return left / right if right else None


def estimate_of(value: Value, estimates: Mapping[str, Estimate]) -> Estimate:
    """Return the estimate of a tree.

    Raises:
        PreregError: nobody estimated it. A number that was never computed is an error and never a value.
    """
    key = expression_id(value)
    if key not in estimates:
        raise PreregError(f"there is no estimate for a formula that a criterion reads (expression {key[:12]})")
    return estimates[key]


def side_axes(value: Value, estimates: Mapping[str, Estimate]) -> dict[str, tuple[str, ...]]:
    """Return the kept dims of a tree and their levels in the order of its cells."""
    if constant(value) is not None:
        return {}
    estimate = estimate_of(value, estimates)
    return {axis: tuple(dict.fromkeys(cell.at[axis] for cell in estimate.cells)) for axis in estimate.axes}


def side(value: Value, estimates: Mapping[str, Estimate], place: Mapping[str, str]) -> Side:
    """Return a tree's value at one place of the kept dims."""
    known = constant(value)
    if known is not None:
        return Side(known, _unit(value))
    estimate = estimate_of(value, estimates)
    spot = {axis: place[axis] for axis in estimate.axes}
    cell = next((cell for cell in estimate.cells if cell.at == spot), None)
    if cell is None:
        where = ", ".join(f"{axis}={level}" for axis, level in spot.items()) or "all"
        return Side(None, estimate.unit, estimate.name, reason=f"{estimate.name} has no value at {where}")
    if cell.value is None or not math.isfinite(cell.value):
        reason = cell.reason or f"{estimate.name} has no value"
        return Side(None, estimate.unit, estimate.name, cell, estimate.draws, reason)
    number = cell.value if cell.exact is None else Fraction(cell.exact)
    return Side(number, estimate.unit, estimate.name, cell, estimate.draws)


def _unit(value: Value) -> str:
    if isinstance(value, Num):
        return value.unit
    return _unit(value.of) if isinstance(value, Neg) else _unit(value.left) if isinstance(value, Op) else "1"
