"""``slope``: the least-squares slope."""

from __future__ import annotations

import numpy as np

from harness.stats.arrays import FloatArray
from harness.stats.registry import FUNCTIONS, Function


def slope(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return the slope of y on x along the last axis: ``[..., n], [..., n] -> [...]``, unit of y per unit of x.

    sum (x - mean x)(y - mean y) / sum (x - mean x)^2. With one argument in a formula, x is the numbers that name
    its axis. NaN where x is constant. Source: ordinary least squares.
    """
    x, y = np.broadcast_arrays(x, y)
    dx = x - x.mean(axis=-1, keepdims=True)
    dy = y - y.mean(axis=-1, keepdims=True)
    square = (dx * dx).sum(axis=-1)
    result: FloatArray = np.divide(
        (dx * dy).sum(axis=-1), square, out=np.full(square.shape, np.nan), where=np.ptp(x, axis=-1) > 0
    )
    return result


FUNCTIONS.register("slope")(Function(slope, arity=2, against_axis=True))
