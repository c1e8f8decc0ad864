"""Tables over named levels: levels down the side, arms told apart by colour and marker, intervals as bars."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from harness.contracts.records import Cell
from harness.core.numbers import plural_of
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
from reports.records import EstimateRow, ReportModel
from reports.shapes import tables

ORDER = 30


def drawings(model: ReportModel) -> Iterator[Drawing]:
    """Yield one figure per table over arms, another dim, or both."""
    for row in tables(model, "levels"):
        yield Drawing(file_name(row.estimate.name), partial(levels, model, row))


def levels(model: ReportModel, row: EstimateRow) -> Figure:
    """Draw a table. Where arms are the only dim, each has a line of its own."""
    other = next((axis for axis in row.estimate.axes if axis != "arm"), "")
    down = other or "arm"
    arms = list(dict.fromkeys(cell.at.get("arm", "") for cell in row.estimate.cells)) if other else [""]
    places = list(dict.fromkeys(cell.at[down] for cell in row.estimate.cells))
    each = max(0.3, 0.13 * len(arms) + 0.13)
    canvas = canvas_of(each * len(places) + (1.35 if any(arms) else 1.0))
    ax = canvas.subplots()
    for index, arm in enumerate(arms):
        shift = (index - (len(arms) - 1) / 2) * 0.72 / len(arms)
        cells = [cell for cell in row.estimate.cells if not arm or cell.at["arm"] == arm]
        known = [cell for cell in cells if cell.value is not None]
        for style, group in _groups(model, known, arm, down):
            ax.errorbar(
                [scale_of(row.display) * (cell.value or 0.0) for cell in group],
                [len(places) - 1 - places.index(cell.at[down]) - shift for cell in group],
                xerr=error_bars(group, scale_of(row.display)),
                fmt=style[1], color=style[0], capsize=2.5, ms=5, ls="", label=arm_label(model, arm) if arm else None,
            )  # fmt: skip
    ax.set_yticks(range(len(places)), [_named(model, down, level) for level in reversed(places)])
    ax.set_ylim(-0.6, len(places) - 0.4)
    ax.tick_params(axis="y", length=0)
    if len(arms) > 1:
        for line in range(1, len(places)):
            ax.axhline(line - 0.5, color="#e4e4e4", lw=0.7, zorder=0)
    if row.display == "proportion":
        ax.set_xlim(-3, 103)
    else:
        ax.axvline(0, color="#bbbbbb", lw=0.8, zorder=0)
    ax.set_xlabel(axis_label(row.estimate.name, unit_of(row), direction(row, "→")))
    ax.set_title(size_of(row), fontsize=SMALL, color="#444444", loc="left", y=1.0)
    if any(arms):
        legend_below(canvas, [ax], 4 if max(map(len, arms)) < 5 and not model.registration.arms else 3)
    kept = [axis for axis in dict.fromkeys((down, "arm" if any(arms) else "")) if axis]
    by, each_of = " and ".join(map(plural_of, kept)), " and ".join(kept)
    told = "each arm with its own colour and marker" if any(arms) else f"one point for each {down}"
    said = bars_say(row.estimate.cells)
    caption = f"{row.estimate.name} over {by}, {told}; {said}, and right means {direction(row, '').strip()}."
    name = row.estimate.name
    return finish(model, canvas, file_name(name), f"{name} by {each_of}", caption, [name])


def _groups(
    model: ReportModel, cells: Sequence[Cell], arm: str, down: str
) -> Iterator[tuple[tuple[str, str], Sequence[Cell]]]:
    """Yield cells that are drawn alike, with colour and marker."""
    if arm:
        yield arm_style(model, arm), cells
    elif down == "arm":
        yield from ((arm_style(model, cell.at["arm"]), [cell]) for cell in cells)
    else:
        yield (PALETTE[0], "o"), cells


def _named(model: ReportModel, dim: str, level: str) -> str:
    return arm_label(model, level) if dim == "arm" else plain(level, 30)
