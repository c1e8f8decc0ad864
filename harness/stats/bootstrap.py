"""Bootstrap draws and what is read from them."""

from __future__ import annotations

import numpy as np

from harness.stats.arrays import FloatArray, IntArray


def draw(rng: np.random.Generator, n: int, draws: int) -> IntArray:
    """Return ``[draws, n]`` indices of units drawn with replacement."""
    return rng.integers(0, n, size=(draws, n), dtype=np.int64)


def weights(indices: IntArray, n: int) -> FloatArray:
    """Return how often each of ``n`` units occurs, as shares that sum to 1: ``[b, m] -> [b, n]``."""
    b, m = indices.shape
    flat = (indices + np.arange(b, dtype=np.int64)[:, None] * n).ravel()
    counts: FloatArray = np.bincount(flat, minlength=b * n).reshape(b, n) / m
    return counts


def interval(samples: FloatArray, level: float) -> tuple[FloatArray, FloatArray]:
    """Return the percentile interval of ``[b, c]`` draws per column (Efron 1979; linear interpolation)."""
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def tail(samples: FloatArray, against: FloatArray) -> FloatArray:
    """Return the one-sided p-value (k + 1)/(B + 1) for "the estimate exceeds ``against``".

    k counts draws at or below it, so p is never 0. ``[b, c], [c] -> [c]``. Source: Davison & Hinkley 1997, §4.2.
    """
    # An exact tie may come out of the weights a rounding error above the null, and it is a draw against it.
    slack = 1e-12 * np.maximum(1.0, np.abs(samples).max(axis=0, initial=0.0))
    k = (samples <= against + slack).sum(axis=0)
    result: FloatArray = (k + 1.0) / (samples.shape[0] + 1.0)
    return result
