"""Tables along a numeric dim: cosine by layer and arm, shifts by layer, anything along a sweep."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from harness.core.numbers import format_rel, format_threshold, plural_of
from reports.canvas import (
    PALETTE,
    SMALL,
    Drawing,
    Figure,
    arm_label,
    arm_style,
    axis_label,
    bars_say,
    canvas_of,
    direction,
    error_bars,
    file_name,
    finish,
    legend_below,
    plain,
    scale_of,
    size_of,
    unit_of,
)
from reports.drawings.forest import LINES
from reports.records import EstimateRow, ReportModel
from reports.shapes import tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ORDER = 40


def drawings(model: ReportModel) -> Iterator[Drawing]:
    """Yield one figure per table along a numeric dim, for each arm or for one contrast."""
    for row in tables(model, "lines"):
        yield Drawing(file_name(row.estimate.name), partial(lines, model, row))


def lines(model: ReportModel, row: EstimateRow) -> Figure:
    """Draw a table along its numeric dim, one line for each arm, shifted a little so that bars stay apart."""
    along = next(axis for axis in row.estimate.axes if axis != "arm")
    arms = list(dict.fromkeys(cell.at.get("arm", "") for cell in row.estimate.cells))
    levels = sorted({cell.at[along] for cell in row.estimate.cells}, key=float)
    places = [float(level) for level in levels]
    nearest = min(b - a for a, b in pairwise(places))
    canvas = canvas_of(3.5 if any(arms) else 3.1)
    ax = canvas.subplots()
    for index, arm in enumerate(arms):
        colour, marker = arm_style(model, arm) if arm else (PALETTE[0], "o")
        cells = [cell for cell in row.estimate.cells if cell.at.get("arm", "") == arm and cell.value is not None]
        cells.sort(key=lambda cell: float(cell.at[along]))
        shift = (index - (len(arms) - 1) / 2) * 0.12 * nearest
        ax.errorbar(
            [float(cell.at[along]) + shift for cell in cells],
            [scale_of(row.display) * (cell.value or 0.0) for cell in cells],
            yerr=error_bars(cells, scale_of(row.display)),
            fmt=marker, ls="-", lw=1.1, color=colour, capsize=3, ms=5, label=arm_label(model, arm) if arm else None,
        )  # fmt: skip
    _marks(model, row, ax)
    ax.set_xticks(places, [plain(level, 8) for level in levels])
    ax.set_xlabel(plain(along))
    ax.set_ylabel(axis_label(row.estimate.name, unit_of(row), direction(row, "↑")))
    ax.set_title(size_of(row), fontsize=SMALL, color="#444444", loc="left")
    legend_below(canvas, [ax])
    by, each_of = " and ".join(map(plural_of, row.estimate.axes)), " and ".join(row.estimate.axes)
    each = "one line for each arm" if any(arms) else f"one point for each {along}"
    zero = "" if ax.get_ylim()[0] <= 0 <= ax.get_ylim()[1] else " (the axis does not start at zero)"
    grows = direction(row, "").strip()
    caption = f"{row.estimate.name} over {by}, {each}; {bars_say(row.estimate.cells)}, and up means {grows}{zero}."
    name = row.estimate.name
    return finish(model, canvas, file_name(name), f"{name} by {each_of}", caption, [name])


def _marks(model: ReportModel, row: EstimateRow, ax: Axes) -> None:
    """Draw what was registered about the table's cells, and zero where it is in sight of them."""
    scale = scale_of(row.display)
    for mark in (mark for mark in model.marks if mark.estimate == row.estimate.name and not mark.tested):
        colour, style, name = LINES[mark.kind]
        said = f"{name} ({format_rel(mark.rel)} {format_threshold(mark.value, row.display)})"
        ax.axhline(scale * mark.value, color=colour, ls=style, lw=1.5, label=said, zorder=0)
    if row.contrast:
        ax.axhline(0, color="#bbbbbb", lw=0.8, zorder=0)
