"""Leakage against similarity: rates by persona against cosines by persona, where no correlation is registered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from harness.contracts.records import Cell, Interval
from reports.canvas import (
    SMALL,
    Drawing,
    Figure,
    arm_label,
    arm_style,
    axis_label,
    canvas_of,
    error_bars,
    file_name,
    finish,
    legend_below,
    plain,
)
from reports.labels import name_points
from reports.records import EstimateRow, ReportModel

ORDER = 65
_NAMED = 14
"""Points up to which each carries its persona's name."""
_AXES = (("persona",), ("arm", "persona"), ("persona", "arm"))


def drawings(model: ReportModel) -> Iterator[Drawing]:
    """Yield one figure per pair of a table of cosines and one of rates over the same personas."""
    scattered = {name for scatter in model.scatters for name in (scatter.x, scatter.y)}
    cosines = [row for row in _tables(model, scattered) if row.estimate.name in model.figures.cosines]
    for x in cosines:
        for name, cells, of in _rates(model, scattered):
            pairs = _pairs(x, cells)
            if len(pairs) > 2:
                file = file_name(f"{name}_against_{x.estimate.name}")
                yield Drawing(file, partial(similarity, model, file, x, name, pairs, of))


def _tables(model: ReportModel, scattered: set[str]) -> Iterator[EstimateRow]:
    for row in model.estimates:
        if row.named and row.estimate.axes in _AXES and row.estimate.name not in scattered:
            yield row


def _rates(model: ReportModel, scattered: set[str]) -> Iterator[tuple[str, Sequence[Cell], list[str]]]:
    """Yield tables of rates: estimands, then what was counted over completions."""
    for row in _tables(model, scattered):
        if row.display == "proportion":
            yield row.estimate.name, row.estimate.cells, [row.estimate.name]
    for measure in dict.fromkeys(rate.measure for rate in model.figures.rates):
        cells = [
            Cell(
                at={"arm": rate.arm, "persona": rate.persona},
                value=rate.hits / rate.completions,
                intervals=(Interval(level="19/20", low=rate.low, high=rate.high),),
            )
            for rate in model.figures.rates
            if rate.measure == measure
        ]
        yield measure, cells, []


def _pairs(x: EstimateRow, cells: Sequence[Cell]) -> list[tuple[Cell, Cell]]:
    """Cells of both tables at the same persona and arm; cosines without arms stand beside every arm."""
    across = {tuple(sorted(cell.at.items())): cell for cell in x.estimate.cells if cell.value is not None}
    found = []
    for cell in cells:
        at = {axis: level for axis, level in cell.at.items() if axis in x.estimate.axes}
        beside = across.get(tuple(sorted(at.items())))
        if beside is not None and cell.value is not None:
            found.append((beside, cell))
    return found


def similarity(
    model: ReportModel, file: str, x: EstimateRow, name: str, pairs: Sequence[tuple[Cell, Cell]], of: list[str]
) -> Figure:
    """Draw rates against cosines, each arm with its own colour and marker."""
    canvas = canvas_of(3.9)
    ax = canvas.subplots()
    for arm in dict.fromkeys(cell.at.get("arm", "") for _, cell in pairs):
        own = [pair for pair in pairs if pair[1].at.get("arm", "") == arm]
        across, up = [first for first, _ in own], [second for _, second in own]
        colour, marker = arm_style(model, arm)
        ax.errorbar(
            [cell.value or 0.0 for cell in across], [100 * (cell.value or 0.0) for cell in up], fmt=marker, ls="", ms=5,
            xerr=error_bars(across, 1.0), yerr=error_bars(up, 100.0), color=colour, capsize=2, elinewidth=0.9,
            label=arm_label(model, arm) if arm else None,
        )  # fmt: skip
    ax.set_xlabel(axis_label(x.estimate.name, "cosine", "→ more alike"))
    ax.set_ylabel(axis_label(name, "%", "↑ more"))
    ax.set_ylim(-4, 104)
    if len(pairs) <= _NAMED:
        spots = [(first.value or 0.0, 100 * (second.value or 0.0)) for first, second in pairs]
        name_points(ax, spots, [plain(second.at["persona"], 24) for _, second in pairs])
    personas = len({cell.at["persona"] for _, cell in pairs})
    arms = len({cell.at.get("arm", "") for _, cell in pairs})
    ax.set_title(f"n = {personas} personas in each of {arms} arms" if arms > 1 else f"n = {personas} personas",
                 fontsize=SMALL, color="#444444", loc="left")  # fmt: skip
    legend_below(canvas, [ax])
    caption = (
        f"{name} against {x.estimate.name}, one point for each persona and arm; bars are intervals, right is more "
        "alike and up is more. No correlation was registered on these points, so none is stated."
    )
    return finish(model, canvas, file, f"{name} against {x.estimate.name}", caption, [x.estimate.name, *of])
