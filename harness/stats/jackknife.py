"""The jackknife: pseudo-values and their t, for one drawn dim and any smooth estimand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.stats.arrays import FloatArray


def pseudo_values(estimate: FloatArray, left_out: FloatArray) -> FloatArray:
    """Return n * estimate - (n - 1) * left_out: ``[c], [n, c] -> [n, c]``.

    Row i of ``left_out`` is the estimate without unit i. For a mean the pseudo-values are the data.
    Source: Quenouille 1956, Tukey 1958.
    """
    n = left_out.shape[0]
    values: FloatArray = n * estimate - (n - 1) * left_out
    return values


def standard_error(groups: Sequence[FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Return the standard error and degrees of freedom from each independent group's pseudo-values.

    ``[n_g, c]`` per group. SE^2 = sum over groups of var_g / n_g; df by Welch-Satterthwaite, n - 1 for one group.
    For a mean this is the ordinary t, for a difference of two independent means Welch's. Zero variance gives
    SE 0 and the sum of the groups' df.
    """
    parts = np.stack([values.var(axis=0, ddof=1) / values.shape[0] for values in groups])
    sizes = np.array([values.shape[0] - 1 for values in groups], dtype=np.float64)
    return combine(parts, np.broadcast_to(sizes[:, None], parts.shape))


def combine(variances: FloatArray, dfs: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return SE and Welch-Satterthwaite df of a sum of independent parts: ``[g, c], [g, c] -> [c], [c]``."""
    if len(variances) == 1:
        return np.sqrt(variances[0]), np.asarray(dfs[0], dtype=np.float64)
    total = variances.sum(axis=0)
    scale = (variances**2 / dfs).sum(axis=0)
    df = np.divide(total**2, scale, out=dfs.sum(axis=0), where=scale > 0)
    return np.sqrt(total), df
