"""The sign-flip test of a mean, and the interval that inverts it."""

from __future__ import annotations

import numpy as np

from harness.stats.arrays import FloatArray

EXACT_UP_TO = 20
"""Units for which all 2^n sign patterns are enumerated; above it they are drawn."""


def subset_sums(d: FloatArray, rng: np.random.Generator, draws: int) -> tuple[FloatArray, FloatArray, bool]:
    """Return sums and sizes of subsets of the units: ``[n] -> [s], [s]``, and whether these are all 2^n of them.

    Flipping the signs of a subset's deviations from c lowers the mean by 2/n * (sum - size * c), so subsets
    carry everything that the test needs for every null c at once.
    """
    if d.shape[0] > EXACT_UP_TO:
        members = rng.integers(0, 2, size=(draws, d.shape[0])).astype(np.float64)
        return members @ d, members.sum(axis=1), False
    sums, sizes = np.zeros(1), np.zeros(1)
    for value in d:
        sums, sizes = np.concatenate([sums, sums + value]), np.concatenate([sizes, sizes + 1])
    return sums, sizes, True


def tail(sums: FloatArray, sizes: FloatArray, exact: bool, against: float) -> float:
    """Return the one-sided p-value for "the mean exceeds ``against``".

    The share of sign patterns whose mean is at least the observed one: k/2^n when all are enumerated (the
    observed one among them), (k + 1)/(B + 1) when drawn. Source: Fisher 1935, §21.
    """
    change = sums - sizes * against
    slack = 1e-12 * max(1.0, float(np.abs(sums).max(initial=0.0)))
    k = int((change <= slack).sum())
    return k / len(sums) if exact else (k + 1) / (len(sums) + 1)


def interval(sums: FloatArray, sizes: FloatArray, level: float) -> tuple[float, float]:
    """Return all nulls that the two one-sided tests at (1 - level)/2 each do not reject.

    The means of the non-empty subsets cut the line into equally probable pieces (Hartigan 1969, typical values).
    (NaN, NaN) when the units are too few for the level.
    """
    means = np.sort(sums[sizes > 0] / sizes[sizes > 0])
    k = int(np.floor((1 - level) / 2 * (len(means) + 1) + 1e-9))
    if k < 1:
        return float("nan"), float("nan")
    return float(means[k - 1]), float(means[-k])
