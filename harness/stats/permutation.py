"""Permutation nulls: every arrangement when they are few, random ones otherwise, and their Monte Carlo error."""

from __future__ import annotations

import math
from itertools import permutations, product

import numpy as np
from scipy import special

from harness.stats.arrays import FloatArray, IntArray

ENUMERATE_UP_TO = 50_000
"""Arrangements up to which all are enumerated and the p-value is exact (8! = 40,320)."""


def arrangements(n: int, strata: int, draws: int, rng: np.random.Generator) -> tuple[IntArray, bool]:
    """Return permutations of ``n`` labels, independent per stratum, as ``[b, strata, n]``, and whether they are all.

    All (n!)^strata of them, the identity first, when at most ``ENUMERATE_UP_TO``; else ``draws`` random ones.
    """
    if math.lgamma(n + 1) * strata <= math.log(ENUMERATE_UP_TO):
        one = [np.array(p, dtype=np.int64) for p in permutations(range(n))]
        return np.array([np.stack(each) for each in product(one, repeat=strata)], dtype=np.int64), True
    base = np.broadcast_to(np.arange(n, dtype=np.int64), (draws, strata, n))
    return rng.permuted(base, axis=-1), False


def tail(observed: FloatArray, permuted: FloatArray, exact: bool) -> FloatArray:
    """Return the share of permuted statistics that reach the observed one: ``[c], [b, c] -> [c]``.

    k/N over all arrangements (the observed one is among them), (k + 1)/(B + 1) over drawn ones. Ties count as
    reached, up to rounding. Source: Phipson & Smyth 2010. NaN where a statistic is undefined.
    """
    slack = 1e-10 * np.maximum(1.0, np.abs(observed))
    k = (permuted >= observed - slack).sum(axis=0)
    size = permuted.shape[0]
    p = k / size if exact else (k + 1.0) / (size + 1.0)
    result: FloatArray = np.where(np.isnan(permuted).any(axis=0) | np.isnan(observed), np.nan, p)
    return result


def monte_carlo_interval(p: float, draws: int, sides: int = 1, level: float = 0.99) -> tuple[float, float]:
    """Return the exact (Clopper-Pearson) interval of the p-value that infinitely many draws would give.

    ``p`` is (k + 1)/(draws + 1), or twice that for two sides.
    """
    k = max(0, round(p / sides * (draws + 1)) - 1)
    alpha = (1 - level) / 2
    low = float(special.betaincinv(k, draws - k + 1, alpha)) if k > 0 else 0.0
    high = float(special.betaincinv(k + 1, draws - k, 1 - alpha)) if k < draws else 1.0
    return min(1.0, sides * low), min(1.0, sides * high)


def straddles(p: float, draws: int, threshold: float, sides: int = 1) -> bool:
    """Whether the 99% Monte Carlo interval of ``p`` holds ``threshold``: then ten times more draws are due."""
    low, high = monte_carlo_interval(p, draws, sides)
    return low <= threshold <= high
