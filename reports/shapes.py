"""Which figure a table belongs to, by its kept dims: levels, lines along a numeric dim, or a heat map."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from harness.contracts.records import Estimate
from reports.records import EstimateRow, ReportModel

MOST_LEVELS = 40
Shape = Literal["levels", "lines", "heat"]


def tables(model: ReportModel, shape: Shape) -> Iterator[EstimateRow]:
    """Yield the named tables of one shape; those that a scatter plot shows are left to it."""
    scattered = {name for scatter in model.scatters for name in (scatter.x, scatter.y)}
    for row in model.estimates:
        wanted = row.named and row.estimate.unit != "p" and row.estimate.name not in scattered
        if wanted and _drawable(row.estimate) and _shape(row, model) == shape:
            yield row


def _drawable(estimate: Estimate) -> bool:
    """One or two kept dims, something known, more than one cell, and no more levels than can be read."""
    levels = [{cell.at.get(axis) for cell in estimate.cells} for axis in estimate.axes]
    return (
        len(estimate.axes) in (1, 2)
        and len(estimate.cells) > 1
        and any(cell.value is not None for cell in estimate.cells)
        and all(len(found) <= MOST_LEVELS for found in levels)
    )


def _shape(row: EstimateRow, model: ReportModel) -> Shape | None:
    others = [axis for axis in row.estimate.axes if axis != "arm"]
    if len(others) == 1 and is_numeric(row.estimate, others[0]):
        return "lines"
    if row.estimate.name in model.figures.cosines and len(row.estimate.axes) == 2:
        return "heat"
    return "levels" if len(others) < 2 else None


def is_numeric(estimate: Estimate, axis: str) -> bool:
    """Whether a dim's levels are at least two numbers (layers, weights, epochs), so that they can be an axis.

    Question numbers and seeds are names and no quantities.
    """
    levels = {cell.at[axis] for cell in estimate.cells}
    if axis in ("question", "seed", "persona") or len(levels) < 2:
        return False
    try:
        return all(float(level) == float(level) for level in levels)
    except ValueError:
        return False
