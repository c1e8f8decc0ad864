"""The two-way t: a mean over two crossed random dims (personas and questions)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.stats.arrays import FloatArray


@dataclass(frozen=True)
class TwoWay:
    """Mean squares, standard error and degrees of freedom per column: all ``[c]``."""

    ms_p: FloatArray
    ms_q: FloatArray
    ms_residual: FloatArray
    se: FloatArray
    df: FloatArray


def two_way(d: FloatArray) -> TwoWay:
    """Return the two-way analysis of ``d`` ``[P, Q, c]``, one observation per cell (paired differences).

    SE^2 = max(MS_p, MS_q, MS_p + MS_q - MS_res) / (P Q). The sum is unbiased for crossed random effects; the two
    other terms keep it from falling below what either dim alone gives when the estimated components are
    negative. df is Satterthwaite's for the term in use (P - 1 or Q - 1 where it is MS_p or MS_q), at least
    min(P, Q) - 1. Where nothing varies, SE is 0.
    Source: two-way random effects without replication (Searle, Casella & McCulloch 1992); Satterthwaite 1946.
    """
    P, Q = d.shape[0], d.shape[1]
    if P < 2 or Q < 2:
        raise ValueError(f"a two-way t needs at least 2 x 2 cells, found {P} x {Q}")
    grand = d.mean(axis=(0, 1))
    rows, columns = d.mean(axis=1), d.mean(axis=0)
    residual = d - rows[:, None] - columns[None, :] + grand
    ms_p = Q * ((rows - grand) ** 2).sum(axis=0) / (P - 1)
    ms_q = P * ((columns - grand) ** 2).sum(axis=0) / (Q - 1)
    ms_residual = (residual**2).sum(axis=(0, 1)) / ((P - 1) * (Q - 1))
    both = ms_p + ms_q - ms_residual
    largest = np.maximum(np.maximum(ms_p, ms_q), both)
    scale = ms_p**2 / (P - 1) + ms_q**2 / (Q - 1) + ms_residual**2 / ((P - 1) * (Q - 1))
    satterthwaite = np.divide(both**2, scale, out=np.zeros_like(both), where=scale > 0)
    # Where terms tie, the fewest degrees of freedom: which of them is larger by rounding must not decide.
    in_use = largest * (1 - 1e-9)
    candidates = ((ms_p, np.full_like(both, P - 1.0)), (ms_q, np.full_like(both, Q - 1.0)), (both, satterthwaite))
    df = np.min([np.where(term >= in_use, own, np.inf) for term, own in candidates], axis=0)
    return TwoWay(ms_p, ms_q, ms_residual, np.sqrt(largest / (P * Q)), np.maximum(df, min(P, Q) - 1.0))
