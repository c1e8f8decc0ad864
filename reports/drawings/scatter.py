"""Correlations: the two tables behind each, one against the other, every point named."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from harness.core.numbers import count_noun
from reports.canvas import (
    PALETTE,
    SMALL,
    Drawing,
    Figure,
    axis_label,
    canvas_of,
    direction,
    error_bars,
    file_name,
    finish,
    plain,
    scale_of,
    unit_of,
)
from reports.labels import name_points
from reports.records import EstimateRow, ReportModel, Scatter

ORDER = 60


def drawings(model: ReportModel) -> Iterator[Drawing]:
    """Yield one scatter plot per pair of tables that a correlation relates."""
    for found in model.scatters:
        yield Drawing(file_name(f"{found.y}_against_{found.x}"), partial(scatter, model, found))


def scatter(model: ReportModel, found: Scatter) -> Figure:
    """Draw the two tables behind a correlation against each other."""
    x, y = _need(model, found.x), _need(model, found.y)
    above = {cell.at[found.dim]: cell for cell in y.estimate.cells if cell.value is not None}
    pairs = [
        (cell, above[level])
        for cell in x.estimate.cells
        if cell.value is not None and (level := cell.at[found.dim]) in above
    ]
    canvas = canvas_of(3.9)
    ax = canvas.subplots()
    across, up = [first for first, _ in pairs], [second for _, second in pairs]
    spots = [
        (scale_of(x.display) * (first.value or 0.0), scale_of(y.display) * (second.value or 0.0))
        for first, second in pairs
    ]
    ax.errorbar(
        [spot[0] for spot in spots], [spot[1] for spot in spots], fmt="o", ls="", color=PALETTE[0], capsize=2.5, ms=5,
        xerr=error_bars(across, scale_of(x.display)), yerr=error_bars(up, scale_of(y.display)),
    )  # fmt: skip
    ax.margins(0.14)
    name_points(ax, spots, [plain(first.at[found.dim], 24) for first, _ in pairs])
    ax.set_xlabel(axis_label(found.x, unit_of(x), direction(x, "→")))
    ax.set_ylabel(axis_label(found.y, unit_of(y), direction(y, "↑")))
    ax.set_title(f"n = {count_noun(len(pairs), found.dim)}", fontsize=SMALL + 0.5, color="#444444", loc="left")
    bars = "" if any(cell.intervals for cell in (*across, *up)) else " No intervals were recorded for single points."
    grows = f"right is {direction(x, '').strip()} and up is {direction(y, '').strip()}"
    caption = f"{found.y} against {found.x}, one point for each {found.dim}; {grows}.{bars}"
    title = f"{found.y} against {found.x}"
    name = file_name(f"{found.y}_against_{found.x}")
    return finish(model, canvas, name, title, caption, [found.x, found.y, found.estimate])


def _need(model: ReportModel, name: str) -> EstimateRow:
    row = model.row(name)
    assert row is not None, name  # the model's builder names only estimates that it holds
    return row
