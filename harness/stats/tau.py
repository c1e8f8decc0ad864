"""``tau``: Kendall's rank correlation, corrected for ties (tau-b)."""

from __future__ import annotations

import numpy as np

from harness.stats.arrays import FloatArray
from harness.stats.registry import FUNCTIONS, Function


def tau(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return tau-b along the last axis: ``[..., n], [..., n] -> [...]``, in [-1, 1].

    (concordant - discordant pairs) / sqrt(pairs untied in x * pairs untied in y). With one argument in a formula,
    x is the numbers that name its axis, so tau > 0 means that the values rise. NaN where either side is
    constant. Source: Kendall 1945.
    """
    first, second = np.triu_indices(x.shape[-1], k=1)
    sx = np.sign(x[..., second] - x[..., first])
    sy = np.sign(y[..., second] - y[..., first])
    scale = np.sqrt((sx * sx).sum(axis=-1) * (sy * sy).sum(axis=-1))
    total = (sx * sy).sum(axis=-1)
    scale, total = np.broadcast_arrays(scale, total)
    result: FloatArray = np.divide(total, scale, out=np.full(total.shape, np.nan), where=scale > 0)
    return result


FUNCTIONS.register("tau")(Function(tau, arity=2, against_axis=True))
