"""Inference for correlations: the t-test of no correlation, and Fisher's z."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy import special

from harness.stats.arrays import FloatArray

Kind = Literal["pearson", "spearman"]


def t_statistic(r: FloatArray, n: int) -> FloatArray:
    """Return t = r sqrt((n - 2) / (1 - r^2)), which has n - 2 degrees of freedom when there is no correlation.

    Source: Student 1908; for ranks an approximation (Kendall & Stuart), as in ``scipy.stats.spearmanr``.
    """
    with np.errstate(divide="ignore"):
        result: FloatArray = r * np.sqrt((n - 2) / ((1 - r) * (1 + r)))
    return result


def z_error(r: FloatArray, n: int, kind: Kind) -> FloatArray:
    """Return the standard error of atanh r, NaN for n < 4.

    1/sqrt(n - 3) for Pearson (Fisher 1921), sqrt((1 + r^2/2)/(n - 3)) for Spearman (Bonett & Wright 2000).
    """
    if n < 4:
        return np.full(np.shape(r), np.nan)
    spread = 1.0 + (r * r / 2 if kind == "spearman" else np.zeros_like(r))
    result: FloatArray = np.sqrt(spread / (n - 3))
    return result


def interval(r: FloatArray, n: int, level: float, kind: Kind) -> tuple[FloatArray, FloatArray]:
    """Return the interval of a correlation of ``n`` pairs at ``level`` by Fisher's z, within [-1, 1]."""
    reach = special.ndtri((1 + level) / 2) * z_error(r, n, kind)
    with np.errstate(divide="ignore"):
        z = np.arctanh(r)
    return np.tanh(z - reach), np.tanh(z + reach)


def tail(r: FloatArray, n: int, against: FloatArray, kind: Kind) -> FloatArray:
    """Return the one-sided p-value for "the correlation exceeds ``against``".

    Against 0 it is the t-test with n - 2 degrees of freedom; against anything else Fisher's z.
    """
    if n < 3:
        return np.full(np.shape(r), np.nan)
    by_t = special.stdtr(n - 2, -t_statistic(r, n))
    with np.errstate(divide="ignore", invalid="ignore"):
        by_z = special.ndtr(-(np.arctanh(r) - np.arctanh(against)) / z_error(r, n, kind))
    result: FloatArray = np.where(against == 0, by_t, by_z)
    return result
