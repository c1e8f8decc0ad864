"""``pearson``: the product-moment correlation."""

from __future__ import annotations

import numpy as np

from harness.stats.arrays import FloatArray
from harness.stats.registry import FUNCTIONS, Function


def pearson(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return r of paired values along the last axis: ``[..., n], [..., n] -> [...]``, in [-1, 1].

    r = sum (x - mean x)(y - mean y) / sqrt(sum (x - mean x)^2 sum (y - mean y)^2). NaN where either side is
    constant or n < 2. Source: Pearson 1895.
    """
    x, y = np.broadcast_arrays(x, y)
    dx = x - x.mean(axis=-1, keepdims=True)
    dy = y - y.mean(axis=-1, keepdims=True)
    # A constant must be recognised exactly: its rounded deviations correlate with anything.
    varies = (np.ptp(x, axis=-1) > 0) & (np.ptp(y, axis=-1) > 0)
    scale = np.sqrt((dx * dx).sum(axis=-1)) * np.sqrt((dy * dy).sum(axis=-1))
    r = np.divide((dx * dy).sum(axis=-1), scale, out=np.full(scale.shape, np.nan), where=varies & (scale > 0))
    result: FloatArray = np.clip(r, -1.0, 1.0)
    return result


FUNCTIONS.register("pearson")(Function(pearson, arity=2))
