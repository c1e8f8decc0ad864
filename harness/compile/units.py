"""Units and ranges of formulas: what may be added to, divided by and compared with what."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from harness.compile.walks import axis_levels
from harness.contracts.trees import Neg, Num, Value
from harness.spec.formula import FormulaError
from harness.spec.read import shortened
from harness.spec.syntax import Node

ANY = "any"
"""The unit of what a kind that is not implemented yet would measure: it fits everything."""

_NAMES = {"1": "a plain number", "proportion": "a proportion (%, pp)", "p": "a p-value", "count": "a count"}


@dataclass(frozen=True)
class Typed:
    """A bound value with its unit, its kept dims in order, and the interval in which it lies.

    ``bare`` marks a number that was written without a unit, which takes the unit of what it meets.
    """

    tree: Value
    unit: str
    axes: tuple[str, ...] = ()
    low: float = -math.inf
    high: float = math.inf
    bare: bool = False


def unit_name(unit: str) -> str:
    """Return a unit as a message should call it."""
    return _NAMES.get(unit, unit)


def constant(value: Fraction, unit: str, *, bare: bool) -> Typed:
    """Return an exact number as a bound value."""
    number = float(value)
    return Typed(Num(value=str(value), unit=unit), unit, (), number, number, bare)


def fitted(value: Typed, unit: str, node: Node) -> Typed:
    """Give a bare number the unit that it meets; leave everything else as it is.

    Raises:
        FormulaError: a bare 15 where a proportion is meant, or a p-value above 1.
    """
    if not value.bare or unit in (ANY, "1"):
        return value
    assert isinstance(value.tree, Num)
    size = abs(Fraction(value.tree.value))
    if unit == "proportion" and size >= 1:
        raise FormulaError(
            f"the bare number {float(size):g} where a proportion is meant", "a number with % or pp, or below 1",
            f"write {float(size):g} pp (or {float(size):g}%)", position=node.start,
        )  # fmt: skip
    if unit == "p" and size > 1:
        raise FormulaError(f"{float(size):g} where a p-value is meant", "a number between 0 and 1", position=node.start)
    return replace(value, tree=Num(value=value.tree.value, unit=unit), unit=unit, bare=False)


def matched(left: Typed, right: Typed, nodes: tuple[Node, Node], what: str) -> tuple[Typed, Typed]:
    """Return both sides in the same unit.

    Raises:
        FormulaError: when their units differ.
    """
    left, right = fitted(left, right.unit, nodes[0]), fitted(right, left.unit, nodes[1])
    units = {left.unit, right.unit}
    if len(units) == 1 or ANY in units or units in ({"1", "count"}, {"p", "proportion"}):
        return left, right
    raise FormulaError(
        f"{what} {unit_name(left.unit)} and {unit_name(right.unit)}", "the same unit on both sides",
        position=nodes[1].start,
    )  # fmt: skip


def arithmetic(op: str, left: Typed, right: Typed, nodes: tuple[Node, Node]) -> tuple[Typed, Typed, str]:
    """Return both operands and the unit of ``left op right``.

    Raises:
        FormulaError: for units that cannot be combined.
    """
    if op in "+-":
        left, right = matched(left, right, nodes, "adding" if op == "+" else "subtracting")
        return left, right, right.unit if left.unit == ANY else left.unit
    if ANY in (left.unit, right.unit):
        return left, right, ANY
    if right.unit in ("1", "count"):
        return left, right, left.unit
    if op == "*" and left.unit in ("1", "count"):
        return left, right, right.unit
    if op == "/" and left.unit == right.unit:
        return left, right, "1"
    verb = "multiplying" if op == "*" else "dividing"
    raise FormulaError(
        f"{verb} {unit_name(left.unit)} by {unit_name(right.unit)}", "a plain number, or a ratio of one unit",
        position=nodes[1].start,
    )  # fmt: skip


def reach(op: str, left: Typed, right: Typed) -> tuple[float, float]:
    """Return the interval of ``left op right`` by interval arithmetic (wide where a divisor may be 0)."""
    if op == "+":
        return left.low + right.low, left.high + right.high
    if op == "-":
        return left.low - right.high, left.high - right.low
    if op == "/":
        if right.low <= 0 <= right.high:
            return (0.0, math.inf) if left.low >= 0 and right.low >= 0 else (-math.inf, math.inf)
        corners = [_quotient(a, b) for a in (left.low, left.high) for b in (right.low, right.high)]
    else:
        corners = [_product(a, b) for a in (left.low, left.high) for b in (right.low, right.high)]
    return min(corners), max(corners)


def _product(a: float, b: float) -> float:
    return 0.0 if a == 0 or b == 0 else a * b


def _quotient(a: float, b: float) -> float:
    return math.copysign(math.inf, a) * math.copysign(1, b) if math.isinf(a) and math.isinf(b) else a / b


def check_attainable(left: Typed, right: Typed, nodes: tuple[Node, Node]) -> None:
    """Refuse a threshold that the other side can never reach, whatever is measured.

    Raises:
        FormulaError: the constant lies outside the attainable interval.
    """
    for value, limit, node in ((left, right, nodes[1]), (right, left, nodes[0])):
        if limit.low != limit.high or (value.low == value.high) or value.low <= limit.low <= value.high:
            continue
        raise FormulaError(
            f"{_shown(limit.low, limit.unit)} can never be reached",
            f"a threshold in {interval_of(value)}",
            "it would decide nothing", position=node.start,
        )  # fmt: skip


def interval_of(value: Typed) -> str:
    """Write the attainable interval of a value."""
    return f"{_shown(value.low, value.unit)} .. {_shown(value.high, value.unit)}"


def _shown(number: float, unit: str) -> str:
    if math.isinf(number):
        return "-infinity" if number < 0 else "infinity"
    return f"{100 * number:g}%" if unit == "proportion" else f"{number:g}"


def negated(value: Typed) -> Typed:
    """Return minus a value; minus a number is a number."""
    if isinstance(value.tree, Num):
        return constant(-Fraction(value.tree.value), value.unit, bare=value.bare)
    return replace(value, tree=Neg(of=value.tree), low=-value.high, high=-value.low)


def computed(op: str, left: Num, right: Num) -> Fraction:
    """Return the exact result of two numbers."""
    a, b = Fraction(left.value), Fraction(right.value)
    return a + b if op == "+" else a - b if op == "-" else a * b if op == "*" else a / b


def check_aligned(values: Sequence[Typed], nodes: Sequence[Node]) -> None:
    """Refuse tables that cannot be matched level by level: a kept dim must have the same levels in both.

    Raises:
        FormulaError: at the one that differs.
    """
    for dim in values[0].axes:
        first = axis_levels(values[0].tree, dim)
        for value, node in zip(values[1:], nodes[1:], strict=True):
            other = axis_levels(value.tree, dim) if dim in value.axes else first
            if set(other) != set(first):
                raise FormulaError(f"two tables with different levels of {dim}: {shortened(first, 4)} and "
                                   f"{shortened(other, 4)}", "the same levels on both sides",
                                   position=node.start)  # fmt: skip
