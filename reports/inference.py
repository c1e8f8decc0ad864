"""The same contrast under two ways of drawing again.

What the published analysis said, and what becomes of it when everything that was sampled is drawn again.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from math import prod

from harness.contracts.bound import Bound, BoundMeasure
from harness.contracts.records import Estimate, Inference
from harness.contracts.trees import Expression
from reports import links
from reports.records import Comparison, EstimateRow, PRow, Spread


def comparisons(
    bound: Bound, estimates: Mapping[str, Estimate], rows: tuple[EstimateRow, ...]
) -> tuple[Comparison, ...]:
    """Return every pair of estimates that differ in nothing but how they are drawn again.

    Two formulas are the same when they are equal after each measure is replaced by its data's digest. The
    one that reproduces published work, or else draws cells, stands first.
    """
    measures = {measure.name: measure for measure in bound.measures}
    files = {name: measure.file.sha256 for name, measure in measures.items() if measure.file}
    by_name = {row.estimate.name: row for row in rows}
    found = []
    for one, two in combinations(bound.expressions, 2):
        if one.axes or two.axes or one.name not in by_name or two.name not in by_name:
            continue
        if links.with_measures(one.tree, files) != links.with_measures(two.tree, files):
            continue
        pair = _ordered(one, two, measures)
        if pair is not None:
            comparison = _comparison(*pair, bound, by_name)
            if comparison is not None:
                found.append(comparison)
    return tuple(found)


def _ordered(
    one: Expression, two: Expression, measures: Mapping[str, BoundMeasure]
) -> tuple[Expression, Expression] | None:
    """The published analysis first; None when both draw the same way."""
    first, second = _measure(one, measures), _measure(two, measures)
    if first is None or second is None or first.inference == second.inference:
        return None
    return (two, one) if _published(second) > _published(first) else (one, two)


def _published(measure: BoundMeasure) -> tuple[bool, bool]:
    return bool(measure.reproduces), bool(measure.inference and measure.inference.cells)


def _measure(expression: Expression, measures: Mapping[str, BoundMeasure]) -> BoundMeasure | None:
    names = links.measures_of(expression.tree)
    return measures.get(names[0]) if len(names) == 1 else None


def _comparison(one: Expression, two: Expression, bound: Bound, rows: Mapping[str, EstimateRow]) -> Comparison | None:
    measures = {measure.name: measure for measure in bound.measures}
    first, second = rows[one.name], rows[two.name]
    if len(first.estimate.cells) != 1 or len(second.estimate.cells) != 1:
        return None
    ours, theirs = first.estimate.cells[0].intervals, second.estimate.cells[0].intervals
    pair = next(((a, b) for a in ours for b in theirs if a.level == b.level), None)
    measured, redone = _measure(one, measures), _measure(two, measures)
    if pair is None or measured is None or redone is None or measured.inference is None or redone.inference is None:
        return None
    drawn = tuple(dict.fromkeys((*measured.inference.over, *redone.inference.over)))
    levels = {dim: _levels(one, dim) for dim in drawn}
    cells = prod(levels[dim] for dim in measured.inference.over)
    return Comparison(
        first=one.name,
        second=two.name,
        label=first.contrast or one.name,
        display=first.display,
        first_says=_says(measured.inference),
        second_says=_says(redone.inference),
        drawn=redone.inference.over,
        cells=cells,
        levels=levels,
        first_interval=pair[0],
        second_interval=pair[1],
        first_p=_p(first.tests, second.tests),
        second_p=_p(second.tests, first.tests),
        spread=_spread((one, two), redone.inference.over, bound, rows),
    )


def _spread(
    same: tuple[Expression, ...], dims: tuple[str, ...], bound: Bound, rows: Mapping[str, EstimateRow]
) -> Spread | None:
    """How far the contrast ranges over the first drawn dim by which it was also estimated."""
    tables = [(other, dim) for one in same for other, dim in links.sweep_versions(one, bound)]
    for wanted in dims:
        for other, dim in tables:
            row = rows.get(other.name)
            cells = [cell for cell in row.estimate.cells if cell.value is not None] if row else []
            if dim == wanted and cells:
                low, high = min(cells, key=lambda c: c.value or 0.0), max(cells, key=lambda c: c.value or 0.0)
                return Spread(
                    estimate=other.name,
                    dim=dim,
                    low=low.value or 0.0,
                    low_at=low.at[dim],
                    high=high.value or 0.0,
                    high_at=high.at[dim],
                )
    return None


def _says(inference: Inference) -> str:
    """``cells``, ``cells, paired``, ``cells, independent`` or ``dims``."""
    if not inference.cells:
        return "dims"
    return "cells, paired" if inference.paired else "cells, independent"


def _levels(expression: Expression, dim: str) -> int:
    """How many levels of a dim take part in one side of a formula."""
    return max((len(ref.select.get(dim, ())) for ref in links.refs(expression.tree)), default=0)


def _p(own: tuple[PRow, ...], other: tuple[PRow, ...]) -> float | None:
    """The p-value of the same question on both sides, so that the two can be compared."""
    asked = {(test.rel, test.threshold, test.two_sided, test.null) for test in other}
    for test in own:
        if (test.rel, test.threshold, test.two_sided, test.null) in asked:
            return test.value
    return None
