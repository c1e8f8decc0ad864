"""What every figure shares: size, units, error bars, colours of arms, user text, deterministic files.

A figure is 5.4 inches wide with text of 8 points and more, so that it can still be read at half a page's width.
"""

from __future__ import annotations

import io
import json
import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.contracts.records import Cell, Record
from harness.core.numbers import format_level, format_n
from reports.escape import visible
from reports.html.spots import Spot, spots
from reports.records import EstimateRow, ReportModel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

WIDTH = 5.4
"""Inches."""
SMALL = 8
"""Points; nothing is smaller."""
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's colours, told apart by colour-blind readers."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "#767676"
STYLE: dict[str, Any] = {
    "font.size": 9.5,
    "axes.labelsize": 9.5,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "axes.titlesize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "lines.linewidth": 1.5,
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "prereg",
    "legend.frameon": False,
    "legend.handlelength": 2.4,
}
_UNITS = {
    "proportion": "%",
    "pp": "percentage points",
    "points": "points",
    "deg": "degrees",
    "bits": "bits",
    "nats": "nats",
    "tokens": "tokens",
    "count": "count",
}


@dataclass(frozen=True)
class Figure:
    """A drawn figure: its files by suffix, what it shows, its caption, and its points with their words."""

    name: str
    files: dict[str, bytes]
    alt: str
    caption: str
    spots: tuple[Spot, ...] = ()


@dataclass(frozen=True)
class Drawing:
    """A figure that a result carries the numbers for, and how to draw it."""

    name: str
    draw: Callable[[], Figure]


# --- units and sizes ------------------------------------------------------------------------------------


def unit_of(row: EstimateRow) -> str:
    """Return an axis's unit in words, empty for plain numbers."""
    return unit_words(row.display)


def unit_words(display: str) -> str:
    """Return a display unit in words, empty for plain numbers."""
    return _UNITS.get(display, "")


def scale_of(unit: str) -> float:
    """Return the factor from a value to what an axis shows (proportions are drawn in per cent)."""
    return 100.0 if unit in ("proportion", "pp") else 1.0


def axis_label(name: str, unit: str, direction: str) -> str:
    """Name an axis: what, in which unit, and which way is more; broken into lines that fit."""
    words = f"{plain(name)} ({unit})" if unit else plain(name)
    return f"{words}\n{direction}" if len(words) + len(direction) > 46 else f"{words}, {direction}"


def direction(row: EstimateRow, arrow: str) -> str:
    """Say which way an axis grows: counts, rates and tokens become more, other quantities larger."""
    return f"{arrow} {'more' if row.display in ('proportion', 'pp', 'tokens', 'count') else 'larger'}"


def size_of(row: EstimateRow, width: int = 62) -> str:
    """Say how much data stands behind an estimate, in lines that fit; empty when not known."""
    if not row.estimate.counts:
        return ""
    return "\n".join(textwrap.wrap(f"n = {format_n(row.estimate.counts)}", width, break_on_hyphens=False))


def error_bars(cells: Sequence[Cell], scale: float) -> list[list[float]] | None:
    """Error bars [[down …], [up …]] of every cell that has an interval; none where no cell has one."""
    if not any(cell.intervals for cell in cells):
        return None
    down, up = [], []
    for cell in cells:
        value = cell.value or 0.0
        low, high = (cell.intervals[0].low, cell.intervals[0].high) if cell.intervals else (math.nan, math.nan)
        down.append(max(scale * (value - low), 0.0))  # a percentile interval need not hold its estimate
        up.append(max(scale * (high - value), 0.0))
    return [down, up]


def bars_say(cells: Sequence[Cell]) -> str:
    """Say in a caption what the bars are."""
    levels = sorted({format_level(cell.intervals[0].level) for cell in cells if cell.intervals})
    return f"bars are {' and '.join(levels)} intervals" if levels else "no intervals were estimated for it"


# --- arms and names -------------------------------------------------------------------------------------


def arm_style(model: ReportModel, arm: str) -> tuple[str, str]:
    """Return an arm's colour and marker, the same in every figure of a report."""
    arms = dict.fromkeys(model.registration.arms)
    for row in model.estimates:
        arms.update(dict.fromkeys(cell.at["arm"] for cell in row.estimate.cells if "arm" in cell.at))
    place = list(arms).index(arm) if arm in arms else 0
    return PALETTE[place % len(PALETTE)], MARKERS[place % len(MARKERS)]


def arm_label(model: ReportModel, arm: str) -> str:
    """Return an arm's name with its label, as legends show it."""
    return plain(f"{arm} {model.registration.arms.get(arm, '')}".strip(), 28)


def plain(text: str, most: int = 48) -> str:
    """User text for matplotlib: no mathtext, no invisible characters, not too long."""
    shown = visible(text)
    shown = shown if len(shown) <= most else shown[: most - 1] + "…"
    return shown.replace("$", r"\$")


def file_name(text: str) -> str:
    """Return a file name for an estimate's name."""
    kept = "".join(char if char.isascii() and (char.isalnum() or char in "-_") else "_" for char in text)
    return kept[:80].strip("_") or "figure"


# --- canvas and files -----------------------------------------------------------------------------------


def canvas_of(height: float, width: float = WIDTH) -> Canvas:
    """Return an empty figure of that many inches, without pyplot and its global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Plot

    figure = Plot(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def legend_below(canvas: Canvas, axes: Sequence[Axes], columns: int = 3) -> None:
    """Put one legend for all axes under the figure, each label once."""
    handles: dict[str, Any] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    if handles:
        columns = min(columns, len(handles))
        canvas.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=columns)


def finish(
    model: ReportModel,
    canvas: Canvas,
    name: str,
    alt: str,
    caption: str,
    estimates: Sequence[str],
    data: Sequence[Record] = (),
) -> Figure:
    """Stamp a rehearsal and return the figure with its PNG, PDF, SVG and description.

    Args:
        model: What is reported.
        canvas: What was drawn.
        name: The files' name.
        alt: What the figure is, for those who do not see it.
        caption: What it shows.
        estimates: Names of the estimates in it.
        data: What else it shows; both go into the description.
    """
    if model.registration.rehearsal:
        canvas.text(
            0.5, 0.5, "REHEARSAL", fontsize=46, color="#D55E00", alpha=0.2, ha="center", va="center", rotation=20,
            zorder=100,
        )  # fmt: skip
        alt, caption = f"REHEARSAL: {alt}", f"REHEARSAL, toy models: {caption}"
    engine = canvas.get_layout_engine()
    if engine is not None:  # settles the layout once for all three files, without a drawing that nobody sees
        engine.execute(canvas)
    canvas.set_layout_engine(None)
    files = {f".{kind}": _save(canvas, kind) for kind in ("png", "pdf", "svg")}
    files[".meta.json"] = _meta(model, name, caption, estimates, data)
    return Figure(name, files, alt, caption, spots(canvas))


_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
}
"""No dates and no versions: equal results are equal bytes."""


def _save(canvas: Canvas, kind: str) -> bytes:
    out = io.BytesIO()
    canvas.savefig(out, format=kind, dpi=200, metadata=_METADATA[kind])
    return out.getvalue()


def _meta(model: ReportModel, name: str, caption: str, estimates: Sequence[str], data: Sequence[Record]) -> bytes:
    content = {
        "figure": name,
        "prereg": model.registration.id,
        "meaning": model.registration.meaning,
        "rehearsal": model.registration.rehearsal,
        "caption": caption,
        "estimates": [
            row.estimate.model_dump(mode="json") for row in model.estimates if row.estimate.name in estimates
        ],
        "marks": [mark.model_dump(mode="json") for mark in model.marks if mark.estimate in estimates],
        "data": [each.model_dump(mode="json") for each in data],
        "artifacts": [item.model_dump(mode="json") for item in model.artifacts],
    }
    return (json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
