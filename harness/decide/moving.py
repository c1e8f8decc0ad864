"""What becomes of estimates when the levels behind them are moved: values, intervals and p-values follow.

A move adds the same amount to every cell that a reference selects. Formulas that are linear in the cells, and
extremes and medians whose cells all move alike, follow exactly; anything else is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import product

from harness.contracts.records import Cell, Estimate, Interval
from harness.contracts.trees import Call, Expression, Neg, Num, Op, PValue, Ref, Value, expression_id
from harness.contracts.walks import refs
from harness.decide.shape import axes_of, levels_of
from harness.decide.sides import constant

_ALIKE = ("min", "max", "median", "mean")
"""Functions that move as far as their cells do when those all move alike."""


class Unmovable(Exception):
    """Something does not follow from moving levels; the message says what."""


def slope(tree: Value, moved: Ref, place: Mapping[str, str]) -> float:
    """Return how far a formula's value at ``place`` moves when the cells of ``moved`` move by 1.

    Raises:
        Unmovable: it depends on where they start.
    """
    match tree:
        case Num():
            return 0.0
        case Ref():
            return _share(tree, moved, place)
        case Neg():
            return -slope(tree.of, moved, place)
        case Op():
            return _arithmetic(tree, moved, place)
        case Call():
            return _call(tree, moved, place)
        case PValue():
            raise Unmovable("a p-value is no linear formula")


def _share(ref: Ref, moved: Ref, place: Mapping[str, str]) -> float:
    """The share of a reference's cells that the move reaches: a mean moves as far as its cells do on average."""
    if (ref.measure, ref.column) != (moved.measure, moved.column):
        return 0.0
    share = 1.0
    for dim, levels in ref.select.items():
        own = (place[dim],) if dim in ref.keep and dim in place else levels
        reached = moved.select.get(dim, own)
        share *= sum(level in reached for level in own) / len(own)
    return share


def _arithmetic(tree: Op, moved: Ref, place: Mapping[str, str]) -> float:
    left, right = slope(tree.left, moved, place), slope(tree.right, moved, place)
    if tree.op in "+-":
        return left + right if tree.op == "+" else left - right
    if left == right == 0:
        return 0.0
    factor = constant(tree.right) if tree.op == "/" or right == 0 else constant(tree.left)
    if factor is None or (tree.op == "/" and (right or not factor)):
        raise Unmovable("a product or ratio of two measured numbers")
    return left / float(factor) if tree.op == "/" else (left or right) * float(factor)


def _call(tree: Call, moved: Ref, place: Mapping[str, str]) -> float:
    found = [
        slope(arg, moved, {**place, **dict(zip(tree.over, spot, strict=True))})
        for arg in tree.args
        for spot in product(*(levels_of(arg, dim) for dim in tree.over))
    ]
    if not any(found):
        return 0.0
    if tree.fn == "mean" and len(tree.args) == 1:
        return sum(found) / len(found)
    if tree.fn in _ALIKE and len(set(found)) == 1:
        return found[0]
    raise Unmovable(f"{tree.fn} of what moves by different amounts")


class Moves:
    """Estimates under two moves.

    Args:
        expressions: what is judged.
        estimates: by expression id; tested formulas may be among them though nothing compares them.
        moved: the two references that are moved.

    Raises:
        Unmovable: an estimate does not follow from the moves.
    """

    def __init__(
        self, expressions: Iterable[Expression], estimates: Mapping[str, Estimate], moved: tuple[Ref, Ref]
    ) -> None:
        self.observed = {expression_id(each.tree): estimates[expression_id(each.tree)] for each in expressions}
        self._tests: dict[str, _Test] = {}
        self._slopes: dict[str, list[tuple[float, float]]] = {}
        for each in expressions:
            key = expression_id(each.tree)
            if isinstance(each.tree, PValue):
                test = _Test(each.tree, self.observed[key], estimates, moved)
                if any(test.slopes):
                    self._tests[key] = test
                continue
            slopes = [self._of(each.tree, moved, cell) for cell in self.observed[key].cells]
            if any(any(pair) for pair in slopes):
                self._slopes[key] = slopes

    def at(self, first: float, second: float) -> dict[str, Estimate]:
        """Return the estimates with the two references moved so far."""
        found = dict(self.observed)
        for key, slopes in self._slopes.items():
            cells = zip(found[key].cells, slopes, strict=True)
            found[key] = _with_cells(found[key], [_moved(cell, a * first + b * second) for cell, (a, b) in cells])
        for key, test in self._tests.items():
            a, b = test.slopes
            p = test.p(a * first + b * second)
            found[key] = _with_cells(found[key], [Cell.model_construct(**{**dict(found[key].cells[0]), "value": p})])
        return found

    def slopes(self, key: str) -> list[tuple[float, float]]:
        """Return how far an expression's cells (a p-value's estimate) go with either move; empty: it stays."""
        return [self._tests[key].slopes] if key in self._tests else self._slopes.get(key, [])

    def _of(self, tree: Value, moved: tuple[Ref, Ref], cell: Cell) -> tuple[float, float]:
        first, second = (slope(tree, ref, cell.at) for ref in moved)
        return first, second


def _with_cells(estimate: Estimate, cells: Sequence[Cell]) -> Estimate:
    return estimate.model_copy(update={"cells": tuple(cells), "draws": 0})


def _moved(cell: Cell, by: float) -> Cell:
    if not by or cell.value is None:
        return cell
    intervals = tuple(
        Interval.model_construct(level=each.level, low=each.low + by, high=each.high + by) for each in cell.intervals
    )
    return Cell.model_construct(
        at=cell.at, value=cell.value + by, exact=None, intervals=intervals, se=cell.se, df=cell.df, reason=""
    )


class _Test:
    """A p-value as a function of how far its estimate moves: Student's t, or normal where there are no df."""

    def __init__(
        self, tree: PValue, observed: Estimate, estimates: Mapping[str, Estimate], moved: tuple[Ref, Ref]
    ) -> None:
        of = tree.of
        self.two_sided = isinstance(of, Call) and of.fn == "abs"
        self.tree: Value = of.args[0] if isinstance(of, Call) and self.two_sided else of
        try:
            self.slopes = slope(self.tree, moved[0], {}), slope(self.tree, moved[1], {})
        except Unmovable:
            if any(ref.measure == each.measure for ref in refs(self.tree) for each in moved):
                raise
            self.slopes = 0.0, 0.0
        if not any(self.slopes):
            return
        threshold, owner = constant(tree.threshold), estimates.get(expression_id(self.tree))
        if tree.null is not None or threshold is None or owner is None or axes_of(self.tree) or not owner.cells:
            raise Unmovable("a p-value whose estimate is not known")
        cell = owner.cells[0]
        self.error, self.df = _error(cell), cell.df
        if cell.value is None or not self.error or len(observed.cells) != 1:
            raise Unmovable("a p-value whose estimate has no standard error")
        self.distance = cell.value - float(threshold)
        self.up = tree.rel in (">", ">=")

    def p(self, by: float) -> float:
        """Return the p-value when the estimate has moved by so much."""
        z = (self.distance + by) / self.error
        if self.two_sided:
            return min(1.0, 2 * _tail(abs(z), self.df))
        return _tail(z if self.up else -z, self.df)


def _error(cell: Cell) -> float:
    """The observed standard error; where only an interval is known, its half width in normal units."""
    if cell.se:
        return cell.se
    for interval in cell.intervals:
        from scipy.special import ndtri, stdtrit

        level = float((1 + Fraction(interval.level)) / 2)
        units = float(stdtrit(cell.df, level) if cell.df else ndtri(level))
        return (interval.high - interval.low) / 2 / units
    return 0.0


def _tail(z: float, df: float | None) -> float:
    from scipy.special import ndtr, stdtr

    return float(stdtr(df, -z)) if df and math.isfinite(df) else float(ndtr(-z))
