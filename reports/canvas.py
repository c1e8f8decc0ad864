"""What every figure shares: units, error bars, user text, deterministic files."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.contracts.records import Cell
from reports.escape import visible
from reports.records import EstimateRow, ReportModel

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

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
    """A drawn figure: its files by suffix, what it shows, and its caption."""

    name: str
    files: dict[str, bytes]
    alt: str
    caption: str


def unit_of(row: EstimateRow) -> str:
    """Return an axis's unit in words, empty for plain numbers."""
    return _UNITS.get(row.display, "")


# --- common -----------------------------------------------------------------------------------------


def scale_of(unit: str) -> float:
    """Return the factor from a value to what an axis shows (proportions are drawn in per cent)."""
    return 100.0 if unit in ("proportion", "pp") else 1.0


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


def plain(text: str, most: int = 48) -> str:
    """User text for matplotlib: no mathtext, no invisible characters, not too long."""
    shown = visible(text)
    shown = shown if len(shown) <= most else shown[: most - 1] + "…"
    return shown.replace("$", r"\$")


def file_name(text: str) -> str:
    """Return a file name for an estimate's name."""
    kept = "".join(char if char.isascii() and (char.isalnum() or char in "-_") else "_" for char in text)
    return kept[:80].strip("_") or "figure"


def canvas_of(width: float, height: float) -> Canvas:
    """Return an empty figure of that many inches, without pyplot and its global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Plot

    figure = Plot(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def finish(model: ReportModel, canvas: Canvas, name: str, alt: str, caption: str, estimates: Sequence[str]) -> Figure:
    """Stamp a rehearsal and return the figure with its PNG, PDF and description."""
    if model.registration.rehearsal:
        canvas.text(
            0.5,
            0.5,
            "REHEARSAL",
            fontsize=44,
            color="#D55E00",
            alpha=0.22,
            ha="center",
            va="center",
            rotation=20,
            weight="bold",
            zorder=100,
        )
        alt, caption = f"REHEARSAL: {alt}", f"REHEARSAL, toy models: {caption}"
    files = {".png": _save(canvas, "png"), ".pdf": _save(canvas, "pdf")}
    files[".meta.json"] = _meta(model, name, caption, estimates)
    return Figure(name, files, alt, caption)


def _save(canvas: Canvas, kind: str) -> bytes:
    out = io.BytesIO()
    metadata: dict[str, Any] = (
        {"Software": None}
        if kind == "png"
        else {
            "CreationDate": None,
            "Creator": None,
            "Producer": None,
        }
    )
    canvas.savefig(out, format=kind, dpi=200, metadata=metadata)
    return out.getvalue()


def _meta(model: ReportModel, name: str, caption: str, estimates: Sequence[str]) -> bytes:
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
        "artifacts": [item.model_dump(mode="json") for item in model.artifacts],
    }
    return (json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
