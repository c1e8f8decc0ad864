"""Arrays whose axes have names: operations match axes by name and refuse levels that differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from harness.core.errors import JobError
from harness.stats.arrays import FloatArray


@dataclass(frozen=True)
class Labelled:
    """``data`` is ``[b, *axes]``: b is 1, or the number of draws. NaN means unknown.

    ``levels`` names the places along each axis; under a resample they are the names of draws.
    """

    axes: tuple[str, ...]
    levels: dict[str, tuple[str, ...]]
    data: FloatArray

    def moved(self, axes: Sequence[str]) -> Labelled:
        """Return the same values with axes in this order."""
        order = [0, *(1 + self.axes.index(axis) for axis in axes)]
        return Labelled(tuple(axes), {axis: self.levels[axis] for axis in axes}, self.data.transpose(order))


def scalar(value: float) -> Labelled:
    """Return one number without axes."""
    return Labelled((), {}, np.array([value], dtype=np.float64))


def align(parts: Sequence[Labelled]) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]], list[FloatArray]]:
    """Return common axes, their levels, and the arrays with all axes (length 1 where one is lacking).

    Raises:
        JobError: an axis has different levels in two parts.
    """
    axes = tuple(dict.fromkeys(axis for part in parts for axis in part.axes))
    levels: dict[str, tuple[str, ...]] = {}
    for part in parts:
        for axis in part.axes:
            if levels.setdefault(axis, part.levels[axis]) != part.levels[axis]:
                first, second = ", ".join(levels[axis][:4]), ", ".join(part.levels[axis][:4])
                raise JobError(f"two sides of a formula keep different levels of {axis}: {first} … and {second} …")
    arrays = []
    for part in parts:
        present = [axis for axis in axes if axis in part.axes]
        shape = [part.data.shape[0], *(len(levels[axis]) if axis in part.axes else 1 for axis in axes)]
        arrays.append(part.moved(present).data.reshape(shape))
    return axes, levels, arrays


def combine(parts: Sequence[Labelled], function: Callable[..., FloatArray]) -> Labelled:
    """Apply an elementwise function to parts that are aligned by name."""
    axes, levels, arrays = align(parts)
    with np.errstate(divide="ignore", invalid="ignore"):
        data = function(*arrays)
    return Labelled(axes, levels, _full(data, axes, levels))


def reduce(
    parts: Sequence[Labelled], over: Sequence[str], function: Callable[..., FloatArray], neighbours: bool = False
) -> Labelled:
    """Apply a function that reduces its last axis, over all of ``over`` flattened together.

    With ``neighbours`` it shortens the one axis by one place instead, and each place is named by its two ends.
    """
    axes, levels, arrays = align(parts)
    shape = [len(levels[axis]) for axis in axes]
    b = max(array.shape[0] for array in arrays)
    reduced = [axis for axis in axes if axis in over]
    kept = [axis for axis in axes if axis not in over]
    order = [0, *(1 + axes.index(axis) for axis in (*kept, *reduced))]
    flat = []
    for array in arrays:
        full = np.broadcast_to(array, (array.shape[0], *shape)).transpose(order)
        flat.append(full.reshape(array.shape[0], *(len(levels[axis]) for axis in kept), -1))
    with np.errstate(divide="ignore", invalid="ignore"):
        data = function(*flat)
    result = {axis: levels[axis] for axis in kept}
    if neighbours:
        (axis,) = reduced
        names = levels[axis]
        result[axis] = tuple(f"{before} to {after}" for before, after in pairwise(names))
        return Labelled((*kept, axis), result, data)
    return Labelled(tuple(kept), result, np.broadcast_to(data, (b, *data.shape[1:])) if data.shape[0] == 1 else data)


def stack(parts: Sequence[Labelled], axis: str, names: Sequence[str]) -> Labelled:
    """Put parts side by side along a new first axis; what a part lacks is repeated."""
    axes, levels, arrays = align(parts)
    return Labelled((axis, *axes), {axis: tuple(names), **levels}, np.stack(np.broadcast_arrays(*arrays), axis=1))


def _full(data: FloatArray, axes: Sequence[str], levels: dict[str, tuple[str, ...]]) -> FloatArray:
    return np.broadcast_to(data, (data.shape[0], *(len(levels[axis]) for axis in axes)))
