"""Operating characteristics: how often the complete rule returns each verdict, as ``prereg simulate`` found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from harness.core.numbers import format_count, format_threshold
from reports.canvas import SMALL, Drawing, Figure, canvas_of, finish, legend_below, plain, scale_of, unit_words
from reports.figure_records import Operating, Shares
from reports.records import ReportModel

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ORDER = 80
VERDICTS = {
    "supported": ("#009E73", "o"),
    "not supported": ("#E69F00", "s"),
    "killed": ("#D55E00", "^"),
    "inconclusive": ("#767676", "D"),
}
_POINTS = {"null": "no effect", "threshold": "at the\nthresholds", "expect": "as expected"}
_NORMAL = 1.96


def drawings(model: ReportModel) -> Iterator[Drawing]:
    """Yield the figure when a simulation of this registration is stored."""
    if model.figures.operating is not None:
        yield Drawing("operating_characteristics", partial(characteristics, model, model.figures.operating))


def characteristics(model: ReportModel, found: Operating) -> Figure:
    """Draw the shares of verdicts at the named truths, then along each varied effect."""
    canvas = canvas_of(2.7 * (1 + len(found.curves)) + 0.4)
    axes = canvas.subplots(1 + len(found.curves), 1, squeeze=False)[:, 0]
    _shares(axes[0], found.points, range(len(found.points)), spread=0.16, joined=False)
    axes[0].set_xticks(range(len(found.points)), [_POINTS.get(each.name, plain(each.name)) for each in found.points])
    axes[0].set_xlim(-0.5, len(found.points) - 0.5)
    for ax, (effect, curve) in zip(axes[1:], found.curves.items(), strict=True):
        row = model.row(effect)
        unit = row.display if row else "1"
        _shares(ax, curve, [scale_of(unit) * (each.at or 0.0) for each in curve], spread=0.0, joined=True)
        words = unit_words(unit)
        ax.set_xlabel(f"true {plain(effect)}" + (f" ({words})" if words else "") + ", → larger")
    for ax in axes:
        ax.set_ylim(-4, 104)
        ax.set_ylabel("experiments (%)\n↑ more often")
    axes[0].set_title(
        f"n = {format_count(found.n)} simulated experiments per point; bars 95%; run-to-run SD {_sds(model, found)}",
        fontsize=SMALL, color="#444444", loc="left",
    )  # fmt: skip
    legend_below(canvas, list(axes), 4)
    caption = (
        "How often the complete rule returns each verdict on simulated experiments, at no effect, at the registered "
        "thresholds and at what is expected; bars are Monte Carlo intervals, and up means more often."
    )
    return finish(
        model, canvas, "operating_characteristics", "Shares of verdicts on simulated experiments", caption,
        list(found.curves),
        [found],
    )  # fmt: skip


def _shares(ax: Axes, points: Sequence[Shares], at: Sequence[float], *, spread: float, joined: bool) -> None:
    for index, (word, (colour, marker)) in enumerate(VERDICTS.items()):
        share = [100 * each.verdicts.get(word, 0.0) for each in points]
        if not any(share):
            continue
        error = [100 * _NORMAL * each.errors.get(word, 0.0) for each in points]
        shift = (index - (len(VERDICTS) - 1) / 2) * spread
        ax.errorbar(
            [x + shift for x in at], share, yerr=error, fmt=marker, ls="-" if joined else "", color=colour, capsize=2.5,
            ms=5, lw=1.2, label=word,
        )  # fmt: skip


def _sds(model: ReportModel, found: Operating) -> str:
    units = {measure: row.display for row in model.estimates for measure in row.measures if row.display == "pp"}
    said = [
        f"{plain(name, 20) + ' ' if name != '*' else ''}{format_threshold(value, units.get(name, '1'))}"
        for name, value in found.run_sd.items()
    ]
    return ", ".join(said) or "none"
