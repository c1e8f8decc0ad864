"""Names beside points that do not run into each other: each takes the first free place around its point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from reports.canvas import SMALL

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PLACES: tuple[tuple[int, int, Any, Any], ...] = (
    (6, 4, "left", "bottom"), (-6, 4, "right", "bottom"), (6, -4, "left", "top"), (-6, -4, "right", "top"),
    (0, 9, "center", "bottom"), (0, -9, "center", "top"), (6, 14, "left", "bottom"), (-6, 14, "right", "bottom"),
    (6, -14, "left", "top"), (-6, -14, "right", "top"),
)  # fmt: skip
"""Offsets in points and alignments, the best first."""


def name_points(ax: Axes, spots: Sequence[tuple[float, float]], names: Sequence[str]) -> None:
    """Write each name beside its point, where no other name or point is in the way and inside the axes."""
    canvas = ax.get_figure(root=True)
    assert canvas is not None
    canvas.draw_without_rendering()  # settles the layout, so that widths in pixels are known
    frame = ax.get_window_extent()
    points = [tuple(ax.transData.transform(spot)) for spot in spots]
    taken: list[Any] = []
    for spot, name in zip(spots, names, strict=True):
        best = None
        for across, up, side, height in _PLACES:
            text = ax.annotate(
                name, spot, xytext=(across, up), textcoords="offset points", fontsize=SMALL, ha=side, va=height
            )
            box = text.get_window_extent()
            hits = sum(box.overlaps(other) for other in taken) + sum(box.contains(*point) for point in points)
            outside = box.x0 < frame.x0 or box.x1 > frame.x1 or box.y0 < frame.y0 or box.y1 > frame.y1
            score = hits + 2 * outside
            if best is None or score < best[0]:
                if best is not None:
                    best[1].remove()
                best = (score, text, box)
            else:
                text.remove()
            if score == 0:
                break
        assert best is not None
        taken.append(best[2])
