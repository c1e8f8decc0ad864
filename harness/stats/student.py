"""Intervals and p-values from an estimate, its standard error and degrees of freedom."""

from __future__ import annotations

import numpy as np
from scipy import special

from harness.stats.registry import FloatArray


def interval(
    estimate: FloatArray, se: FloatArray, df: FloatArray, level: float
) -> tuple[FloatArray, FloatArray]:
    """Return estimate -/+ t(df) * se at ``level``."""
    reach = special.stdtrit(df, (1 + level) / 2) * se
    return estimate - reach, estimate + reach


def tail(distance: FloatArray, se: FloatArray, df: FloatArray) -> FloatArray:
    """Return P(T >= distance / se): the one-sided p-value for "the estimate exceeds the null by ``distance``".

    NaN where nothing varies (se 0): a p-value of no data about spread would be 0 or 1 by accident.
    """
    t = np.divide(distance, se, out=np.full(np.shape(distance), np.nan), where=se > 0)
    result: FloatArray = special.stdtr(df, -t)
    return result
