"""``spearman``: the rank correlation."""

from __future__ import annotations

import numpy as np

from harness.stats.arrays import FloatArray
from harness.stats.registry import FUNCTIONS, Function


def spearman(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return rho along the last axis: ``[..., n], [..., n] -> [...]``, in [-1, 1].

    Pearson's r of the ranks, ties having their mean rank. NaN where either side is constant. Source: Spearman 1904.
    """
    rx, ry = np.broadcast_arrays(ranks(x), ranks(y))
    dx = rx - rx.mean(axis=-1, keepdims=True)
    dy = ry - ry.mean(axis=-1, keepdims=True)
    scale = np.sqrt((dx * dx).sum(axis=-1) * (dy * dy).sum(axis=-1))
    rho = np.divide((dx * dy).sum(axis=-1), scale, out=np.full(scale.shape, np.nan), where=scale > 0)
    result: FloatArray = np.clip(rho, -1.0, 1.0)
    return result


def ranks(x: FloatArray) -> FloatArray:
    """Return ranks from 1 along the last axis, ties having their mean rank, NaN where any value is NaN.

    ``scipy.stats.rankdata`` does the same; importing it takes half a second, and most jobs take less.
    """
    order = np.argsort(x, axis=-1, kind="stable")
    ordered = np.take_along_axis(x, order, axis=-1)
    place = np.broadcast_to(np.arange(x.shape[-1]), x.shape)
    starts = np.concatenate([np.ones_like(order[..., :1]), ordered[..., 1:] != ordered[..., :-1]], axis=-1).astype(bool)
    ends = np.concatenate([starts[..., 1:], np.ones_like(starts[..., :1])], axis=-1)
    first = np.maximum.accumulate(np.where(starts, place, 0), axis=-1)
    last = np.flip(np.minimum.accumulate(np.flip(np.where(ends, place, x.shape[-1]), axis=-1), axis=-1), axis=-1)
    result = np.empty(x.shape, dtype=np.float64)
    np.put_along_axis(result, order, (first + last) / 2 + 1, axis=-1)
    return np.where(np.isnan(x).any(axis=-1, keepdims=True), np.nan, result)


FUNCTIONS.register("spearman")(Function(spearman, arity=2))
