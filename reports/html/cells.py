"""Tables of estimates for the page: rows sortable by their numbers, per-cell ones drawn on their table's one scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.contracts.records import Cell
from harness.core.numbers import (
    UNKNOWN,
    format_exact,
    format_interval,
    format_level,
    format_n,
    format_p,
    format_rel,
    format_threshold,
    format_value,
)
from reports.html.scales import Axis, Tick, axis_of, ticks
from reports.records import EstimateRow, PRow, ReportModel

MOST_ROWS, MOST_IN_ALL = 600, 900
"""Rows of one table, and of all tables together, that the page holds; results.json has all of them."""


@dataclass(frozen=True)
class CellRow:
    """One cell: its place, its numbers in print, and where they stand on the scale (per cent; None: unknown)."""

    at: tuple[str, ...]
    value: str
    number: float | None
    exact: str
    interval: str
    low: float | None
    why: str
    x: float | None
    bar: tuple[float, float] | None


@dataclass(frozen=True)
class CellTable:
    """One estimate over its kept dims. ``lines`` are registered thresholds on its scale."""

    name: str
    formula: str
    size: str
    method: str
    axes: tuple[str, ...]
    rows: tuple[CellRow, ...]
    total: int
    zero: float | None
    lines: tuple[float, ...]
    ticks: tuple[Tick, ...]

    @property
    def has_intervals(self) -> bool:
        """Whether any row has an interval."""
        return any(row.bar for row in self.rows)

    @property
    def has_exact(self) -> bool:
        """Whether any row's value is known as a fraction."""
        return any(row.exact for row in self.rows)


@dataclass(frozen=True)
class Single:
    """A single-valued estimate with all that was computed for it. ``tests`` are p-values with their questions."""

    name: str
    formula: str
    cell: CellRow
    tests: tuple[tuple[str, str], ...]
    smallest: float | None
    df: str
    size: str
    method: str


def singles(model: ReportModel) -> list[Single]:
    """Return every single-valued estimate, in the order of the registration."""
    return [_single(row) for row in model.estimates if not row.estimate.axes and len(row.estimate.cells) == 1]


def _single(row: EstimateRow) -> Single:
    estimate = row.estimate
    values = [test.value for test in row.tests if test.value is not None]
    df = estimate.cells[0].df
    return Single(
        name=estimate.name,
        formula=estimate.formula if estimate.formula != estimate.name else "",
        cell=_row(estimate.cells[0], row, Axis(0.0, 1.0)),
        tests=tuple(_p(test) for test in row.tests),
        smallest=min(values, default=None),
        df="" if df is None else f"{df:.2f}".rstrip("0").rstrip("."),
        size=format_n(estimate.counts),
        method=_method(row),
    )


def _p(test: PRow) -> tuple[str, str]:
    """Return a p-value and of which question it is."""
    kind = "two-sided" if test.two_sided else f"{format_rel(test.rel)} {format_threshold(test.threshold)}"
    return format_p(test.value), f"({kind}{', ' + test.null if test.null else ''})"


def _method(row: EstimateRow) -> str:
    return "; ".join(part for part in (row.estimate.method, row.estimate.note) if part)


def tables(model: ReportModel) -> list[CellTable]:
    """Return one table per estimate that keeps a dim."""
    found, left = [], MOST_IN_ALL
    for row in model.estimates:
        if row.estimate.axes:
            found.append(_table(row, model, min(left, MOST_ROWS)))
            left -= len(found[-1].rows)
    return found


def _table(row: EstimateRow, model: ReportModel, most: int) -> CellTable:
    estimate, cells = row.estimate, row.estimate.cells[:most]
    marks = [mark.value for mark in model.marks if mark.estimate == estimate.name]
    axis = axis_of([*marks, *_numbers(cells)], row.display)
    return CellTable(
        name=estimate.name,
        formula=estimate.formula,
        size=format_n(estimate.counts),
        method=_method(row),
        axes=estimate.axes,
        rows=tuple(_row(cell, row, axis) for cell in cells),
        total=len(estimate.cells),
        zero=axis.place(0.0) if axis.low < 0 < axis.high else None,
        lines=tuple(axis.place(mark) for mark in marks),
        ticks=ticks(axis, row.display, marks, apart=24),
    )


def _numbers(cells: Sequence[Cell]) -> list[float]:
    found = [cell.value for cell in cells if cell.value is not None]
    return [*found, *(end for cell in cells for each in cell.intervals[:1] for end in (each.low, each.high))]


def _row(cell: Cell, row: EstimateRow, axis: Axis) -> CellRow:
    first = cell.intervals[0] if cell.intervals else None
    return CellRow(
        at=tuple(cell.at.get(name, "") for name in row.estimate.axes),
        value=format_value(cell.value, row.display) if cell.value is not None else UNKNOWN,
        number=cell.value,
        exact=format_exact(cell.exact),
        interval=f"{format_interval(first.low, first.high, row.display)} ({format_level(first.level)})"
        if first
        else "",
        low=first.low if first else None,
        why=cell.reason,
        x=None if cell.value is None else axis.place(cell.value),
        bar=(axis.place(first.low), axis.place(first.high)) if first else None,
    )
