"""``aoc``: the area over a curve (chain-of-thought faithfulness)."""

from __future__ import annotations

import numpy as np

from harness.stats.arrays import FloatArray
from harness.stats.registry import FUNCTIONS, Function


def aoc(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return 1 - (area under y over x) / (range of x) along the last axis: ``[..., n], [..., n] -> [...]``.

    Trapezoids between the points, x in any order; for y in [0, 1] the result is in [0, 1]. With one argument in a
    formula, x is the numbers that name its axis (fractions of the reasoning kept): 0 when the answer never
    depends on how much is kept. NaN for fewer than two distinct x. Source: Lanham et al. 2307.13702, the curve
    of one dataset (they weight curves by length).
    """
    x, y = np.broadcast_arrays(x, y)
    order = np.argsort(x, axis=-1, kind="stable")
    x, y = np.take_along_axis(x, order, axis=-1), np.take_along_axis(y, order, axis=-1)
    width = x[..., -1] - x[..., 0]
    area = (np.diff(x, axis=-1) * (y[..., 1:] + y[..., :-1]) / 2).sum(axis=-1)
    result: FloatArray = 1 - np.divide(area, width, out=np.full(width.shape, np.nan), where=width > 0)
    return result


FUNCTIONS.register("aoc")(Function(aoc, arity=2, against_axis=True))
