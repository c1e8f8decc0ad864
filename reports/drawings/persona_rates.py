"""Hits by persona and arm, counted over the stored completions, where no estimand already is that table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from harness.core.numbers import count_noun, format_count
from reports.canvas import (
    SMALL,
    Drawing,
    Figure,
    arm_label,
    arm_style,
    axis_label,
    canvas_of,
    file_name,
    finish,
    legend_below,
    plain,
)
from reports.figure_records import Rate
from reports.records import ReportModel
from reports.shapes import MOST_LEVELS

ORDER = 35
_FEW = 16
"""Personas up to which each gets a roomy line."""


def drawings(model: ReportModel) -> Iterator[Drawing]:
    """Yield one figure per eval whose completions were counted."""
    for measure in dict.fromkeys(rate.measure for rate in model.figures.rates):
        rates = [rate for rate in model.figures.rates if rate.measure == measure]
        name = file_name(f"rates_by_persona_{measure}")
        yield Drawing(name, partial(persona_rates, model, name, rates))


def persona_rates(model: ReportModel, name: str, rates: Sequence[Rate]) -> Figure:
    """Draw rates with intervals over questions: personas down the side, the most hit on top."""
    shown = _by_most(rates)[:MOST_LEVELS]
    arms = list(dict.fromkeys(rate.arm for rate in rates))
    canvas = canvas_of((0.34 if len(shown) <= _FEW else 0.22) * len(shown) + 1.5)
    ax = canvas.subplots()
    for index, arm in enumerate(arms):
        colour, marker = arm_style(model, arm)
        own = [rate for rate in rates if rate.arm == arm and rate.persona in shown]
        value = [100 * rate.hits / rate.completions for rate in own]
        bars = [[v - 100 * r.low for v, r in zip(value, own, strict=True)],
                [100 * r.high - v for v, r in zip(value, own, strict=True)]]  # fmt: skip
        shift = (index - (len(arms) - 1) / 2) * 0.7 / len(arms)
        ax.errorbar(
            value,
            [len(shown) - 1 - shown.index(rate.persona) - shift for rate in own],
            xerr=[[max(bar, 0.0) for bar in side] for side in bars],
            fmt=marker, color=colour, capsize=2, ms=4.5, ls="", label=arm_label(model, arm),
        )  # fmt: skip
    ax.set_yticks(range(len(shown)), [plain(persona, 26) for persona in reversed(shown)])
    ax.set_ylim(-0.6, len(shown) - 0.4)
    ax.tick_params(axis="y", length=0)
    for line in range(1, len(shown)):
        ax.axhline(line - 0.5, color="#e4e4e4", lw=0.7, zorder=0)
    ax.set_xlim(-3, 103)
    measure = rates[0].measure
    ax.set_xlabel(axis_label(f"{measure}: completions that hit", "%", "→ more"))
    ax.set_title(_size(rates), fontsize=SMALL, color="#444444", loc="left", y=1.0)
    legend_below(canvas, [ax])
    caption = (
        f"Hits of {measure} by persona and arm, counted over the completions of the primary setting, the most hit "
        "persona on top; bars are intervals over questions (over completions where every question agrees), and "
        "right means more. It decides nothing."
    )
    return finish(model, canvas, name, f"Hits of {measure} by persona and arm", caption, [], rates)


def _by_most(rates: Sequence[Rate]) -> list[str]:
    found: dict[str, list[float]] = {}
    for rate in rates:
        found.setdefault(rate.persona, []).append(rate.hits / rate.completions)
    return sorted(found, key=lambda persona: (-sum(found[persona]) / len(found[persona]), persona))


def _size(rates: Sequence[Rate]) -> str:
    sizes = sorted({rate.completions for rate in rates})
    each = format_count(sizes[0]) if len(sizes) == 1 else f"{format_count(sizes[0])} to {format_count(sizes[-1])}"
    questions = count_noun(max(rate.questions for rate in rates), "question")
    return f"n = {each} completions per persona and arm ({questions}); bars 95%"
