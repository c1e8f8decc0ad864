"""The bootstrap distribution of a pooled count, exactly: no draws, one power of a Fourier transform.

Drawing n of n cells with replacement and adding their counts is a sum of n independent draws from the cells'
histogram: the n-fold convolution of that histogram. Efron's bootstrap approximates this distribution by B draws.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import fft

from harness.stats.arrays import FloatArray, IntArray

ROUNDING = 1e-14
"""Probabilities below this are rounding of the transform and count as 0."""


def pooled(counts: IntArray) -> tuple[FloatArray, IntArray]:
    """Return the bootstrap distribution of the sum of cells: ``[b, n] -> [b, s], [s]``.

    ``counts`` are whole numbers per cell (differences may be negative); column j of the result is the probability
    that the sum over n drawn cells is the j-th entry of the second result.
    """
    b, n = counts.shape
    low, high = int(counts.min()), int(counts.max())
    width = high - low + 1
    size = n * (width - 1) + 1
    flat = (counts - low + np.arange(b, dtype=np.int64)[:, None] * width).ravel()
    one = np.bincount(flat, minlength=b * width).reshape(b, width) / n
    length = fft.next_fast_len(size, real=True)
    result = fft.irfft(fft.rfft(one, length, axis=1) ** n, length, axis=1)[:, :size]
    result[result < ROUNDING] = 0.0
    result /= result.sum(axis=1, keepdims=True)
    return result, np.arange(n * low, n * low + size, dtype=np.int64)


def add(parts: Sequence[tuple[FloatArray, IntArray]]) -> tuple[FloatArray, IntArray]:
    """Return the distribution of a sum of independent sums (arms that are drawn apart)."""
    result, support = parts[0]
    for other, more in parts[1:]:
        size = result.shape[1] + other.shape[1] - 1
        length = fft.next_fast_len(size, real=True)
        product = fft.rfft(result, length, axis=1) * fft.rfft(other, length, axis=1)
        result = fft.irfft(product, length, axis=1)[:, :size]
        result[result < ROUNDING] = 0.0
        result /= result.sum(axis=1, keepdims=True)
        support = np.arange(support[0] + more[0], support[0] + more[0] + size, dtype=np.int64)
    return result, support


def quantile(distribution: FloatArray, support: IntArray, share: float) -> IntArray:
    """Return the smallest sum whose cumulative probability reaches ``share``: ``[b, s], [s] -> [b]``."""
    reached = np.cumsum(distribution, axis=1) >= share - 1e-12
    quantiles: IntArray = support[np.argmax(reached, axis=1)]
    return quantiles


def tail(distribution: FloatArray, support: IntArray, limit: FloatArray, sign: int) -> FloatArray:
    """Return the probability of a sum on the wrong side of ``limit``: at most it (sign 1), at least it (-1)."""
    slack = 1e-9 * np.maximum(1.0, np.abs(limit))[:, None]
    wrong = sign * (support[None, :] - limit[:, None]) <= slack
    result: FloatArray = np.minimum(1.0, (distribution * wrong).sum(axis=1))
    return result
