"""``spearman``: the rank correlation."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from harness.stats.registry import FUNCTIONS, FloatArray, Function


def spearman(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return rho along the last axis: ``[..., n], [..., n] -> [...]``, in [-1, 1].

    Pearson's r of the ranks, ties having their mean rank. NaN where either side is constant. Source: Spearman 1904.
    """
    rx, ry = np.broadcast_arrays(_ranks(x), _ranks(y))
    dx = rx - rx.mean(axis=-1, keepdims=True)
    dy = ry - ry.mean(axis=-1, keepdims=True)
    scale = np.sqrt((dx * dx).sum(axis=-1) * (dy * dy).sum(axis=-1))
    rho = np.divide((dx * dy).sum(axis=-1), scale, out=np.full(scale.shape, np.nan), where=scale > 0)
    return np.clip(rho, -1.0, 1.0)


def _ranks(x: FloatArray) -> FloatArray:
    ranks: FloatArray = np.asarray(rankdata(x, axis=-1), dtype=np.float64)
    return np.where(np.isnan(x).any(axis=-1, keepdims=True), np.nan, ranks)


FUNCTIONS.register("spearman")(Function(spearman, arity=2))
