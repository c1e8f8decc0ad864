"""The points of a drawn figure with their words, so that the page can say them where a reader points.

matplotlib is handed in and never imported: this reads a figure whose layout is settled.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

MOST = 300
"""Points of one figure that have words."""

Spot = tuple[float, float, str]
"""A point in per cent of the picture's width and height from its top left, and its words."""


def spots(canvas: Canvas) -> tuple[Spot, ...]:
    """Return the points of every series with error bars: its name, its place and its numbers."""
    # Python's numbers: numpy's round otherwise, and a figure from another process comes with Python's.
    width, height = float(canvas.bbox.width), float(canvas.bbox.height)
    found = []
    for ax in canvas.axes:
        for x, y, words in _points(ax):
            across, up = ax.transData.transform((x, y))
            spot = (round(100 * float(across) / width, 2), round(100 - 100 * float(up) / height, 2), words)
            if 0 <= spot[0] <= 100 and 0 <= spot[1] <= 100:
                found.append(spot)
    return tuple(found[:MOST])


def _points(ax: Axes) -> Iterator[tuple[float, float, str]]:
    names = [_levels(ax.xaxis), _levels(ax.yaxis)]
    labels = [_label(ax.get_xlabel()), _label(ax.get_ylabel())]
    for series in ax.containers:
        parts: Sequence[Any] = tuple(series)
        if len(parts) != 3 or parts[0] is None:  # error bars: the line of points, the caps, the bars
            continue
        label = str(series.get_label())
        bars = [bar.get_segments() for bar in parts[2]]
        for place, (x, y) in enumerate(parts[0].get_xydata()):
            if not (math.isfinite(x) and math.isfinite(y)):
                continue
            words = [] if label.startswith("_") else [label]
            for axis, value in enumerate((float(x), float(y))):
                levels = names[axis]
                if levels is None:
                    said = f"{value:.4g}{_ends(bars, place, axis)}".replace("-", "−")
                    words.append(f"{said} {labels[axis]}".strip())
                elif round(value) in levels:
                    words.append(levels[round(value)])
            yield float(x), float(y), ", ".join(words)


def _ends(bars: Sequence[Any], place: int, axis: int) -> str:
    """Return `` (low to high)`` where a bar of this point runs along this axis."""
    for segments in bars:
        if place < len(segments) and len(segments[place]) == 2:
            low, high = float(segments[place][0][axis]), float(segments[place][1][axis])
            if math.isfinite(low) and high > low:
                return f" ({low:.4g} to {high:.4g})"
    return ""


def _levels(axis: Any) -> dict[int, str] | None:
    """Return the names of an axis whose ticks are levels, none where its places mean nothing; None: it has numbers."""
    if type(axis.get_major_locator()).__name__ not in ("FixedLocator", "NullLocator"):
        return None
    ticks = zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=False)
    return {round(float(at)): label.get_text().replace("\n", " ").replace(r"\$", "$") for at, label in ticks}


def _label(text: str) -> str:
    """Return an axis's name and unit without the words for its direction."""
    return text.replace("\n", " ").partition(", →")[0].partition(", ↑")[0].partition(" (→")[0].strip(" ,")
