"""Training curves: loss by optimiser step, one panel per stage, one line per arm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from harness.core.numbers import count_noun
from reports.canvas import (
    SMALL,
    Drawing,
    Figure,
    arm_label,
    arm_style,
    canvas_of,
    finish,
    legend_below,
    plain,
)
from reports.records import ReportModel, Training

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ORDER = 70
_DASHES = ("-", "--", ":", "-.")
_MOST_POINTS = 400


def drawings(model: ReportModel) -> Iterator[Drawing]:
    """Yield the curves when any stage logged at least two steps."""
    if any(len(run.losses) > 1 for run in model.training):
        yield Drawing("training", partial(training, model))


def training(model: ReportModel) -> Figure:
    """Draw the losses: runs that differ by seed alone share a line, their mean, in a band from lowest to highest."""
    arms = list(model.registration.arms)
    runs = [run for run in model.training if len(run.losses) > 1]
    runs.sort(key=lambda run: arms.index(run.arm) if run.arm in arms else len(arms))
    stages = list(dict.fromkeys(run.stage for run in model.training if run in runs))
    canvas = canvas_of(2.3 * len(stages) + 0.5)
    axes = canvas.subplots(len(stages), 1, squeeze=False)[:, 0]
    banded = False
    for ax, stage in zip(axes, stages, strict=True):
        own = [run for run in runs if run.stage == stage]
        banded |= _panel(model, ax, own)
        ax.set_title(plain(f"{stage}   ({count_noun(len(own), 'run')})"), fontsize=SMALL + 1, loc="left")
    axes[-1].set_xlabel("optimiser step")
    canvas.supylabel("training loss (nats per weighted token), ↓ better fit", fontsize=9)
    legend_below(canvas, list(axes))
    bars = "bands reach from the lowest to the highest seed" if banded else "one seed each, so there are no bands"
    caption = (
        f"Training loss by optimiser step, one panel for each stage and one line for each arm; {bars}. Thin lines are "
        "single steps, thick ones a running mean over a tenth of the steps."
    )
    return finish(model, canvas, "training", "Training loss by step, stage and arm", caption, [], runs)


def _panel(model: ReportModel, ax: Axes, runs: Sequence[Training]) -> bool:
    """Draw one stage; say whether any band was drawn."""
    from matplotlib.ticker import MaxNLocator

    groups: dict[tuple[str, str], list[Training]] = {}
    for run in runs:
        point = ", ".join(f"{dim} {level}" for dim, level in run.at.items() if dim != "seed")
        groups.setdefault((run.arm, point), []).append(run)
    points = list(dict.fromkeys(point for _, point in groups))
    banded = False
    for (arm, point), own in groups.items():
        colour, _ = arm_style(model, arm)
        length = min(len(run.losses) for run in own)
        columns = [[run.losses[step] for run in own] for step in range(length)]
        mean = [sum(column) / len(column) for column in columns]
        every = max(1, length // _MOST_POINTS)
        steps = list(range(1, length + 1))
        if len(own) > 1:
            banded = True
            low, high = ([edge(column) for column in columns] for edge in (min, max))
            ax.fill_between(steps[::every], low[::every], high[::every], color=colour, alpha=0.2, lw=0)
        label = arm_label(model, arm) + (f", {plain(point, 18)}" if len(points) > 1 else "")
        ax.plot(steps[::every], mean[::every], color=colour, lw=0.6, alpha=0.45)
        ax.plot(
            steps[::every], _running(mean, max(1, length // 10))[::every], color=colour, lw=1.7, label=label,
            ls=_DASHES[points.index(point) % len(_DASHES)],
        )  # fmt: skip
    ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return banded


def _running(values: Sequence[float], window: int) -> list[float]:
    """Return the mean of up to ``window`` values around each one."""
    total = [0.0]
    for value in values:
        total.append(total[-1] + value)
    found = []
    for i in range(len(values)):
        low, high = max(0, i - window // 2), min(len(values), i + (window + 1) // 2)
        found.append((total[high] - total[low]) / (high - low))
    return found
