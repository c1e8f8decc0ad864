"""The kinds of figures: forest plot of what decides, tables by arm and level, scatter plots of correlations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.contracts.records import Cell
from harness.core.numbers import format_level, format_n, plural_of
from reports.canvas import Figure, canvas_of, error_bars, file_name, finish, plain, scale_of, unit_of
from reports.records import EstimateRow, Mark, ReportModel, Scatter

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's colours, told apart by colour-blind readers."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = {
    "hypothesis": ("#009E73", "--", "threshold"),
    "kill": ("#D55E00", "-.", "kill line"),
    "gate": ("#666666", ":", "gate"),
}
"""Colour, dashes and name of a registered line."""
MOST_LEVELS = 40


@dataclass(frozen=True)
class Point:
    """One estimate in a forest plot."""

    row: EstimateRow
    cell: Cell
    label: str
    published: bool = False


# --- the hero: deciding estimates with their thresholds ---------------------------------------------


def deciding_points(model: ReportModel) -> list[Point]:
    """Return what the hero shows: deciding values, else every named value, each with its published version."""
    usable = [row for row in model.estimates if row.estimate.unit != "p"]
    rows = [row for row in usable if row.deciding and not row.estimate.axes]
    rows = rows or [row for row in usable if row.deciding and len(row.estimate.cells) <= 8]
    rows = rows or [row for row in usable if row.named and not row.estimate.axes]
    first = {found.second: found.first for found in model.comparisons}
    points = []
    for row in rows:
        points += _points(row)
        published = model.row(first.get(row.estimate.name, ""))
        if published is not None and published not in rows:
            points += _points(published, published=True)
    return points


def _points(row: EstimateRow, *, published: bool = False) -> list[Point]:
    found = []
    for cell in row.estimate.cells:
        if cell.value is None:
            continue
        at = ", ".join(f"{dim} {level}" for dim, level in cell.at.items())
        label = plain(row.estimate.name) + (f" [{plain(at)}]" if at else "")
        if published:
            label += " (published)"
        if row.contrast:
            label += f"\n{plain(row.contrast)}"
        size = f"n = {format_n(row.estimate.counts)}" if row.estimate.counts else ""
        found.append(Point(row, cell, f"{label}\n{size}" if size else label, published))
    return found


def forest(model: ReportModel, points: Sequence[Point]) -> Figure:
    """Draw the hero: one panel per unit, one row per estimate, registered lines across their own rows."""
    units = list(dict.fromkeys(point.row.display for point in points))
    panels = [[point for point in points if point.row.display == unit] for unit in units]
    canvas = canvas_of(7.0, sum(0.62 * len(panel) + 0.9 for panel in panels) + 0.2)
    axes = canvas.subplots(len(panels), 1, squeeze=False, height_ratios=[len(panel) + 1 for panel in panels])
    for panel, ax in zip(panels, axes[:, 0], strict=True):
        _panel(ax, panel, model.marks)
    _legend(canvas, list(axes[:, 0]))
    levels = sorted({format_level(point.cell.intervals[0].level) for point in points if point.cell.intervals})
    bars = f"Bars are {' and '.join(levels)} intervals; " if levels else "No intervals exist; "
    caption = (
        f"The numbers that decide, each with what was registered about it. {bars}"
        "dashed lines are thresholds of hypotheses, dash-dotted lines are kill lines, and right means larger."
    )
    return finish(
        model,
        canvas,
        "hero",
        "Deciding estimates with their registered thresholds",
        caption,
        [point.row.estimate.name for point in points],
    )


def _panel(ax: Axes, points: Sequence[Point], marks: Sequence[Mark]) -> None:
    unit = points[0].row.display
    scale = scale_of(unit)
    for place, point in enumerate(reversed(points)):
        colour = "#999999" if point.published else PALETTE[0]
        value = scale * (point.cell.value or 0.0)
        ax.errorbar([value], [place], xerr=error_bars([point.cell], scale), fmt="o", color=colour, capsize=3, ms=5)
        for mark in marks:
            if mark.estimate == point.row.estimate.name:
                colour, style, _ = LINES[mark.kind]
                for line in (mark.value, *([mark.upper] if mark.upper is not None else [])):
                    ax.plot(
                        [scale * line] * 2,
                        [place - 0.4, place + 0.4],
                        color=colour,
                        ls=style,
                        lw=1.6,
                        label=LINES[mark.kind][2],
                    )
    ax.axvline(0, color="#bbbbbb", lw=0.8, zorder=0)
    ax.set_yticks(range(len(points)), [point.label for point in reversed(points)], fontsize=8)
    ax.set_ylim(-0.7, len(points) - 0.3)
    named = unit_of(points[0].row)
    ax.set_xlabel(f"{named} (→ larger)" if named else "value (→ larger)")


def _legend(canvas: Canvas, axes: Sequence[Axes]) -> None:
    handles: dict[str, Any] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    if handles:
        canvas.legend(list(handles.values()), list(handles), loc="upper right", ncols=len(handles), fontsize=8)


# --- tables by arm and another dim ------------------------------------------------------------------


def tables(model: ReportModel) -> list[EstimateRow]:
    """Tables over arms, another dim, or both; those that a scatter plot shows are left to it."""
    scattered = {name for scatter in model.scatters for name in (scatter.x, scatter.y)}
    return [
        row
        for row in model.estimates
        if row.named
        and row.estimate.name not in scattered
        and row.estimate.unit != "p"
        and (len(row.estimate.axes) == 1 or (len(row.estimate.axes) == 2 and "arm" in row.estimate.axes))
        and any(cell.value is not None for cell in row.estimate.cells)
        and len({cell.at.get(axis) for cell in row.estimate.cells for axis in row.estimate.axes}) <= MOST_LEVELS
    ]


def groups(model: ReportModel, row: EstimateRow) -> Figure:
    """Draw a table: levels down the side, arms told apart by colour and marker, intervals as bars."""
    other = next((axis for axis in row.estimate.axes if axis != "arm"), "")
    arms = list(dict.fromkeys(cell.at.get("arm", "") for cell in row.estimate.cells))
    levels = list(dict.fromkeys(cell.at.get(other, "all") for cell in row.estimate.cells))
    canvas = canvas_of(7.0, max(2.2, 0.34 * len(levels) + 1.3) if other else 2.4)
    ax = canvas.subplots()
    scale = scale_of(row.display)
    for index, arm in enumerate(arms):
        cells = [cell for cell in row.estimate.cells if cell.at.get("arm", "") == arm and cell.value is not None]
        shift = (index - (len(arms) - 1) / 2) * 0.7 / max(len(arms), 1)
        places = [len(levels) - 1 - levels.index(cell.at.get(other, "all")) - shift for cell in cells]
        ax.errorbar(
            [scale * (cell.value or 0.0) for cell in cells],
            places,
            xerr=error_bars(cells, scale),
            capsize=2,
            ms=4,
            ls="",
            fmt=MARKERS[index % len(MARKERS)],
            color=PALETTE[index % len(PALETTE)],
            label=_arm(arm, model),
        )
    ax.set_yticks(range(len(levels)), [plain(level) for level in reversed(levels)])
    if row.display == "proportion":
        ax.set_xlim(-2, 102)
    size = f"n = {format_n(row.estimate.counts)}" if row.estimate.counts else ""
    ax.set_xlabel(
        ", ".join(part for part in (f"{plain(row.estimate.name)} ({unit_of(row) or 'value'})", "→ more", size) if part)
    )
    if any(arms):
        ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    if row.display != "proportion":
        ax.axvline(0, color="#bbbbbb", lw=0.8, zorder=0)
    by = " and ".join(plural_of(axis) for axis in (other, "arm" if any(arms) else "") if axis)
    bars = any(cell.intervals for cell in row.estimate.cells)
    each = "each arm with its own colour and marker" if any(arms) else f"one point for each {other}"
    caption = f"{row.estimate.name} over {by}, {each}; " + (
        "bars are the intervals of its table, and right means more."
        if bars
        else "no intervals were estimated for it, and right means more."
    )
    return finish(
        model, canvas, file_name(row.estimate.name), f"{row.estimate.name} by {by}", caption, [row.estimate.name]
    )


def _arm(name: str, model: ReportModel) -> str:
    label = model.registration.arms.get(name, "")
    return plain(f"{name} {label}".strip())


# --- correlations -----------------------------------------------------------------------------------


def scatter_plot(model: ReportModel, scatter: Scatter) -> Figure:
    """Draw the two tables behind a correlation against each other, every point named."""
    x, y = _need(model, scatter.x), _need(model, scatter.y)
    above = {cell.at[scatter.dim]: cell for cell in y.estimate.cells if cell.value is not None}
    pairs = [
        (cell, above[level])
        for cell in x.estimate.cells
        if cell.value is not None and (level := cell.at[scatter.dim]) in above
    ]
    canvas = canvas_of(5.5, 4.0)
    ax = canvas.subplots()
    across, up = [first for first, _ in pairs], [second for _, second in pairs]
    ax.errorbar(
        [scale_of(x.display) * (cell.value or 0.0) for cell in across],
        [scale_of(y.display) * (cell.value or 0.0) for cell in up],
        xerr=error_bars(across, scale_of(x.display)),
        yerr=error_bars(up, scale_of(y.display)),
        fmt="o",
        ls="",
        color=PALETTE[0],
        capsize=2,
    )
    for first, second in pairs:
        spot = (scale_of(x.display) * (first.value or 0.0), scale_of(y.display) * (second.value or 0.0))
        ax.annotate(plain(first.at[scatter.dim]), spot, xytext=(4, 4), textcoords="offset points", fontsize=7)
    ax.set_xlabel(f"{plain(scatter.x)}{_in(x)} (→ larger)")
    ax.set_ylabel(f"{plain(scatter.y)}{_in(y)} (↑ more)")
    ax.margins(0.14)
    ax.set_title(f"n = {len(pairs)} {plural_of(scatter.dim)}", fontsize=9)
    bars = "" if any(cell.intervals for cell in (*across, *up)) else " No intervals were recorded for single points."
    caption = (
        f"{scatter.y} against {scatter.x}, one point for each {scatter.dim}; right is larger and up is more.{bars}"
    )
    return finish(
        model,
        canvas,
        file_name(f"{scatter.y}_against_{scatter.x}"),
        f"{scatter.y} against {scatter.x}",
        caption,
        [scatter.x, scatter.y, scatter.estimate],
    )


def _in(row: EstimateRow) -> str:
    unit = unit_of(row)
    return f", {unit}" if unit else ""


def _need(model: ReportModel, name: str) -> EstimateRow:
    row = model.row(name)
    assert row is not None, name  # the model's builder names only estimates that it holds
    return row
