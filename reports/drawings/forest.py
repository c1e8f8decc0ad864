"""The hero: deciding estimates with their intervals, and the registered thresholds and kill lines across them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from harness.contracts.records import Cell
from harness.core.numbers import format_level, format_rel, format_threshold
from reports.canvas import (
    GREY,
    PALETTE,
    SMALL,
    Drawing,
    Figure,
    canvas_of,
    error_bars,
    finish,
    legend_below,
    plain,
    scale_of,
    size_of,
    unit_of,
)
from reports.records import EstimateRow, Mark, ReportModel

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ORDER = 10
LINES = {
    "hypothesis": ("#009E73", "--", "threshold"),
    "kill": ("#D55E00", "-.", "kill line"),
    "gate": ("#666666", ":", "gate"),
}
"""Colour, dashes and name of a registered line."""
_LINE_WORDS = {
    "hypothesis": "dashed lines are thresholds of hypotheses",
    "kill": "dash-dotted lines are kill lines",
    "gate": "dotted lines are gates",
}
_CLEAR = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
"""Behind words, so that no line runs through them."""
_CLOSE = 0.16
"""Labels of lines nearer than this share of the axis would run into each other."""


@dataclass(frozen=True)
class Point:
    """One estimate in a forest plot."""

    row: EstimateRow
    cell: Cell
    label: str
    size: str
    published: bool = False


def drawings(model: ReportModel) -> Iterator[Drawing]:
    """Yield the hero where any deciding or named value is known."""
    points = deciding_points(model)
    if points:
        yield Drawing("hero", partial(forest, model, points))


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
        if row.contrast:
            label += f":  {plain(row.contrast)}"
        if published:
            label += " (published)"
        found.append(Point(row, cell, label, size_of(row), published))
    return found


def forest(model: ReportModel, points: Sequence[Point]) -> Figure:
    """Draw the hero: one panel per unit, one row per estimate, registered lines across their own rows."""
    units = list(dict.fromkeys(point.row.display for point in points))
    panels = [[point for point in points if point.row.display == unit] for unit in units]
    canvas = canvas_of(sum(0.92 * len(panel) + 0.6 for panel in panels) + 0.35)
    axes = canvas.subplots(len(panels), 1, squeeze=False, height_ratios=[len(panel) + 0.5 for panel in panels])
    for panel, ax in zip(panels, axes[:, 0], strict=True):
        _panel(ax, panel, model.marks)
    legend_below(canvas, list(axes[:, 0]))
    levels = sorted({format_level(point.cell.intervals[0].level) for point in points if point.cell.intervals})
    bars = f"Bars are {' and '.join(levels)} intervals; " if levels else "No intervals exist; "
    caption = (
        f"The numbers that decide, each with what was registered about it. {bars}"
        f"{_lines_say(points, model)}right means larger."
    )
    names = [point.row.estimate.name for point in points]
    return finish(model, canvas, "hero", "Deciding estimates with their registered thresholds", caption, names)


def _lines_say(points: Sequence[Point], model: ReportModel) -> str:
    """Explain the registered lines that are drawn, and no others."""
    shown = {point.row.estimate.name for point in points}
    kinds = {mark.kind for mark in model.marks if mark.estimate in shown}
    said = [words for kind, words in _LINE_WORDS.items() if kind in kinds]
    return f"{', '.join(said)}, and " if said else ""


def _panel(ax: Axes, points: Sequence[Point], marks: Sequence[Mark]) -> None:
    scale = scale_of(points[0].row.display)
    for place, point in enumerate(reversed(points)):
        colour = GREY if point.published else PALETTE[0]
        value = scale * (point.cell.value or 0.0)
        ax.errorbar([value], [place], xerr=error_bars([point.cell], scale), fmt="o", color=colour, capsize=4, ms=6)
        across = ax.get_yaxis_transform()
        ax.text(
            0.0, place + 0.53, point.label, transform=across, va="top", weight="bold", fontsize=SMALL + 1, bbox=_CLEAR
        )
        ax.text(
            0.0, place + 0.335, point.size, transform=across, va="top", color="#444444", fontsize=SMALL, bbox=_CLEAR
        )
        for mark in (mark for mark in marks if mark.estimate == point.row.estimate.name):
            _line(ax, mark, place, scale)
    ax.axvline(0, color="#bbbbbb", lw=0.8, zorder=0)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.set_ylim(-0.52, len(points) - 0.42)
    ax.margins(x=0.09)
    named = unit_of(points[0].row)
    ax.set_xlabel(f"{named} (→ larger)" if named else "value (→ larger)")
    for place, point in enumerate(reversed(points)):
        _name_lines(ax, [mark for mark in marks if mark.estimate == point.row.estimate.name], place, point.row.display)


def _line(ax: Axes, mark: Mark, place: int, scale: float) -> None:
    colour, style, name = LINES[mark.kind]
    for line in (mark.value, *([mark.upper] if mark.upper is not None else [])):
        ax.plot([scale * line] * 2, [place - 0.2, place + 0.13], color=colour, ls=style, lw=1.8, label=name, zorder=1)


def _name_lines(ax: Axes, marks: Sequence[Mark], place: int, unit: str) -> None:
    """Write the registered quantities under their lines, leaving out what would run into a neighbour."""
    low, high = ax.get_xlim()
    taken: list[float] = []
    for mark in sorted(marks, key=lambda mark: (mark.tested, mark.kind != "hypothesis")):
        if mark.upper is not None:
            continue
        spot = (scale_of(unit) * mark.value - low) / ((high - low) or 1.0)
        if any(abs(spot - other) < _CLOSE for other in taken):
            continue
        taken.append(spot)
        said = f"{format_rel(mark.rel)} {format_threshold(mark.value, unit)}"
        ax.text(
            scale_of(unit) * mark.value, place - 0.22, said, color=LINES[mark.kind][0], fontsize=SMALL, ha="center",
            va="top", bbox=_CLEAR,
        )  # fmt: skip
