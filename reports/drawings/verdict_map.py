"""The verdict map: what the registered rule returns over the plane of two deciding numbers, and where this landed.

Every field's colour is the court's own ruling on that point (``harness.decide.plane``); no line is drawn by hand.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from reports.canvas import SMALL, Drawing, Figure, canvas_of, error_bars, finish, plain, scale_of, size_of, unit_words
from reports.figure_records import Plane
from reports.records import ReportModel

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ORDER = 20
FIELDS = {
    "s": ("supported", "#99d8c4"),
    "n": ("not supported", "#fbe3b0"),
    "k": ("killed", "#f0a98c"),
    "i": ("inconclusive", "#dddddd"),
    "x": ("criteria contradict", "#444444"),
}
"""Verdict and field colour by the plane's letters; each region also carries its name."""
_ROOM = 3
"""Regions that are fewer fields deep than this are not named: text would not fit."""


def drawings(model: ReportModel) -> Iterator[Drawing]:
    """Yield the map when the result holds one."""
    if model.figures.plane is not None:
        yield Drawing("verdict_map", partial(verdict_map, model, model.figures.plane))


def verdict_map(model: ReportModel, plane: Plane) -> Figure:
    """Draw the regions with their verdicts and triage rows, and the result with its intervals."""
    from matplotlib.patches import Patch

    rows = [index for index, _ in enumerate(plane.triage) if _digit(index) in "".join(plane.rows)]
    told = [_row(plane, index) for index in rows]
    canvas = canvas_of(4.5 + 0.16 * sum(line.count("\n") + 1 for line in told))
    ax = canvas.subplots()
    _regions(ax, model, plane)
    _result(ax, model, plane)
    for axis, label, arrow in ((plane.x, ax.set_xlabel, "→"), (plane.y, ax.set_ylabel, "↑")):
        unit = unit_words(axis.display)
        label(f"{plain(axis.estimate)}{f' ({unit})' if unit else ''}, {arrow} larger")
    there = set("".join(plane.verdicts))
    keys = [
        Patch(fc=colour, ec="#555555", lw=0.7, label=word)
        for letter, (word, colour) in FIELDS.items()
        if letter in there
    ]
    canvas.legend(handles=keys, loc="outside upper center", ncols=len(keys), handlelength=1.2, columnspacing=1.4)
    if told:
        canvas.supxlabel("Triage row\n" + "\n".join(told), x=0.02, ha="left", fontsize=SMALL, color="#333333")
    ax.set_title(_sizes(model, plane), fontsize=SMALL, color="#333333", loc="left")
    names = [plane.x.estimate, plane.y.estimate]
    caption = (
        f"What the registered rule returns over {names[0]} and {names[1]}, and where the result landed with its "
        f"intervals. Each point moves {plane.x.moves} and {plane.y.moves}, keeps the observed precision and everything "
        "else as observed, and is ruled upon by the same code that gave the verdict; right and up are larger."
    )
    alt = "The registered rule's verdicts and where the result landed"
    return finish(model, canvas, "verdict_map", alt, caption, names, [plane])


def _regions(ax: Axes, model: ReportModel, plane: Plane) -> None:
    import numpy as np
    from matplotlib.colors import ListedColormap

    letters = np.array([list(line) for line in plane.verdicts])
    rows = np.array([list(line) for line in plane.rows])
    codes = np.select([letters == letter for letter in FIELDS], range(len(FIELDS)))
    edges = _edges(plane)
    ax.imshow(
        codes, origin="lower", extent=edges, aspect="auto", interpolation="nearest", vmin=-0.5, vmax=len(FIELDS) - 0.5,
        cmap=ListedColormap([colour for _, colour in FIELDS.values()]),
    )  # fmt: skip
    number = np.select([rows == _digit(i) for i in range(36)], range(36), default=36)
    kinds = codes * 40 + number
    _borders(ax, kinds, edges)
    free = ~_covered(model, plane, kinds.shape)
    for kind in np.unique(kinds):
        mask = kinds == kind
        depth = _depth(mask & free)
        if depth.max() < _ROOM:
            continue
        word = list(FIELDS.values())[int(kind) // 40][0]
        row = "" if kind % 40 == 36 else f"\nrow {int(kind) % 40 + 1}"
        deepest = np.argwhere(depth == depth.max())
        y, x = deepest[len(deepest) // 2]
        size = SMALL + 1 if depth.max() > 2 * _ROOM else SMALL
        ax.text(_at(edges[:2], x, mask.shape[1]), _at(edges[2:], y, mask.shape[0]), word + row, ha="center",
                va="center", fontsize=size, color="#1a1a1a")  # fmt: skip


def _at(ends: tuple[float, float], step: int, steps: int) -> float:
    """Return the middle of a field on one axis."""
    return ends[0] + (step + 0.5) / steps * (ends[1] - ends[0])


def _covered(model: ReportModel, plane: Plane, shape: tuple[int, int]) -> Any:
    """Mark the fields under the result and its bars, so that no name is written across them."""
    import numpy as np

    covered = np.zeros(shape, dtype=bool)
    spans = []
    for axis, steps in ((plane.x, shape[1]), (plane.y, shape[0])):
        row = model.row(axis.estimate)
        cell = row.estimate.cells[0] if row else None
        value = cell.value if cell and cell.value is not None else axis.low
        ends = (cell.intervals[0].low, cell.intervals[0].high) if cell and cell.intervals else (value, value)
        spans.append([round((each - axis.low) / (axis.high - axis.low) * (steps - 1)) for each in (value, *ends)])
    (x, left, right), (y, down, up) = spans
    covered[max(y - 1, 0) : y + 2, max(left, 0) : right + 1] = True
    covered[max(down, 0) : up + 1, max(x - 1, 0) : x + 2] = True
    return covered


def _borders(ax: Axes, kinds: Any, edges: tuple[float, float, float, float]) -> None:
    """Draw a thin line wherever two neighbouring fields differ in verdict or triage row."""
    height, width = kinds.shape
    xs = [edges[0] + i * (edges[1] - edges[0]) / width for i in range(width + 1)]
    ys = [edges[2] + i * (edges[3] - edges[2]) / height for i in range(height + 1)]
    lines = [
        [(xs[j + 1], ys[i]), (xs[j + 1], ys[i + 1])]
        for i in range(height)
        for j in range(width - 1)
        if kinds[i, j] != kinds[i, j + 1]
    ]
    lines += [
        [(xs[j], ys[i + 1]), (xs[j + 1], ys[i + 1])]
        for i in range(height - 1)
        for j in range(width)
        if kinds[i, j] != kinds[i + 1, j]
    ]
    from matplotlib.collections import LineCollection

    ax.add_collection(LineCollection(lines, colors="#555555", linewidths=0.7), autolim=False)


def _depth(mask: Any) -> Any:
    """Return how many steps each field lies inside a region; fields are wider than high, and so are names."""
    import numpy as np

    depth = np.zeros(mask.shape, dtype=int)
    left = mask.copy()
    while left.any():
        depth += left
        padded = np.pad(left, 2)
        left = left.copy()
        for shift in (-2, -1, 1, 2):
            left &= padded[2:-2, 2 + shift : padded.shape[1] - 2 + shift]
        for shift in (-1, 1):
            left &= padded[2 + shift : padded.shape[0] - 2 + shift, 2:-2]
    return depth


def _result(ax: Axes, model: ReportModel, plane: Plane) -> None:
    x, y = model.row(plane.x.estimate), model.row(plane.y.estimate)
    if x is None or y is None:
        return
    across, up = x.estimate.cells[0], y.estimate.cells[0]
    sx, sy = scale_of(plane.x.display), scale_of(plane.y.display)
    spot = [sx * (across.value or 0.0)], [sy * (up.value or 0.0)]
    bars: dict[str, Any] = {"xerr": error_bars([across], sx), "yerr": error_bars([up], sy)}
    ax.errorbar(*spot, **bars, fmt="", color="white", elinewidth=3.4, capsize=0, zorder=3)
    ax.errorbar(*spot, **bars, fmt="o", ms=7, mec="white", color="black", elinewidth=1.5, capsize=4, zorder=4)


def _edges(plane: Plane) -> tuple[float, float, float, float]:
    """The map's edges: half a step beyond its first and last points, so that each point is its field's middle."""
    found: list[float] = []
    for axis, steps in ((plane.x, len(plane.verdicts[0])), (plane.y, len(plane.verdicts))):
        scale, half = scale_of(axis.display), (axis.high - axis.low) / (steps - 1) / 2
        found += [scale * (axis.low - half), scale * (axis.high + half)]
    return found[0], found[1], found[2], found[3]


def _sizes(model: ReportModel, plane: Plane) -> str:
    """Say what the point is and how much data stands behind both of its numbers."""
    rows = [row for axis in (plane.x, plane.y) if (row := model.row(axis.estimate)) is not None]
    said = [f"{plain(row.estimate.name, 30)}: {size_of(row, 70)}" for row in rows if row.estimate.counts]
    return "\n".join(["● this result, with its intervals", *said])


def _digit(index: int) -> str:
    return "0123456789abcdefghijklmnopqrstuvwxyz"[index % 36]


def _row(plane: Plane, index: int) -> str:
    text = plain(plane.triage[index], 150)
    return "\n".join(textwrap.wrap(f"{index + 1}: {text}", 84, subsequent_indent="     "))
