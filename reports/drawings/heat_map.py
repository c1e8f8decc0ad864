"""Similarity of personas: a heat map of every table of cosines over personas and one more dim."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from harness.contracts.records import Cell
from harness.core.numbers import plural_of
from reports.canvas import (
    SMALL,
    Drawing,
    Figure,
    arm_label,
    bars_say,
    canvas_of,
    file_name,
    finish,
    plain,
    size_of,
)
from reports.records import EstimateRow, ReportModel
from reports.shapes import tables

ORDER = 50
_SPELT = 12
"""Columns up to which every value is written into its field."""


def drawings(model: ReportModel) -> Iterator[Drawing]:
    """Yield one heat map per table of similarities over two dims."""
    for row in tables(model, "heat"):
        yield Drawing(file_name(row.estimate.name), partial(heat_map, model, row))


def heat_map(model: ReportModel, row: EstimateRow) -> Figure:
    """Draw a table of cosines; each field says its value and, below, half the width of its interval."""
    down, across = sorted(row.estimate.axes, key=lambda axis: (axis == "arm", axis.endswith("_b")))
    rows = list(dict.fromkeys(cell.at[down] for cell in row.estimate.cells))
    columns = list(dict.fromkeys(cell.at[across] for cell in row.estimate.cells))
    place = {(cell.at[down], cell.at[across]): cell for cell in row.estimate.cells}
    spelt = len(columns) <= _SPELT
    canvas = canvas_of(0.36 * len(rows) + 1.6)
    ax = canvas.subplots()
    known = [cell.value for cell in row.estimate.cells if cell.value is not None]
    grid = [[_value(place.get((r, c))) for c in columns] for r in rows]
    image = ax.imshow(grid, cmap="cividis", vmin=min(known), vmax=max(known), aspect="auto")
    middle, digits = (min(known) + max(known)) / 2, 3 if min(known) > 0.9 else 2
    for i, r in enumerate(rows if spelt else ()):
        for j, c in enumerate(columns):
            ax.text(j, i, _said(place.get((r, c)), digits), ha="center", va="center", fontsize=SMALL,
                    color="white" if grid[i][j] < middle else "black")  # fmt: skip
    ax.set_yticks(range(len(rows)), [plain(level, 26) for level in rows])
    names = [arm_label(model, level) if across == "arm" else plain(level, 26) for level in columns]
    tilted = len(columns) > 4 or max(map(len, names)) > 16
    ax.set_xticks(range(len(columns)), names, rotation=35 if tilted else 0, ha="right" if tilted else "center")
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    canvas.colorbar(image, ax=ax, label="cosine (↑ more alike)", fraction=0.05, pad=0.02)
    ax.set_title(size_of(row), fontsize=SMALL, color="#444444", loc="left", y=1.0)
    by, each_of = f"{plural_of(down)} and {plural_of(across)}", f"{down} and {across}"
    bars = bars_say(row.estimate.cells)
    half = "the smaller number is half the width of its interval" if bars.startswith("bars") and spelt else bars
    caption = f"{row.estimate.name} over {by}: lighter fields are more alike, and each shows its cosine; {half}."
    if not spelt:
        caption = f"{row.estimate.name} over {by}: lighter fields are more alike. Intervals are in the table of cells."
    name = row.estimate.name
    return finish(model, canvas, file_name(name), f"{name} by {each_of}", caption, [name])


def _value(cell: Cell | None) -> float:
    return float("nan") if cell is None or cell.value is None else cell.value


def _said(cell: Cell | None, digits: int) -> str:
    if cell is None or cell.value is None:
        return "unknown"
    said = f"{cell.value:.{digits}f}".replace("-", "−")
    for interval in cell.intervals[:1]:
        said += f" ±{(interval.high - interval.low) / 2:.{digits}f}"
    return said
