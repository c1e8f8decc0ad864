"""Intervals and p-values from an estimate, its standard error and degrees of freedom."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from harness.stats.arrays import FloatArray

ROUNDING = 1e-12
"""A standard error below this (relative to the estimate, or absolutely) is rounding: nothing varies."""


def varies(estimate: FloatArray, se: FloatArray) -> NDArray[np.bool_]:
    """Whether the drawn units differ at all. Where they do not, spread is unknown, and not known to be 0."""
    result: NDArray[np.bool_] = se > ROUNDING * np.maximum(1.0, np.abs(estimate))
    return result


def interval(estimate: FloatArray, se: FloatArray, df: FloatArray, level: float) -> tuple[FloatArray, FloatArray]:
    """Return estimate -/+ t(df) * se at ``level``, NaN where nothing varies."""
    reach = np.where(varies(estimate, se), special.stdtrit(df, (1 + level) / 2) * se, np.nan)
    return estimate - reach, estimate + reach


def tail(estimate: FloatArray, against: FloatArray, se: FloatArray, df: FloatArray) -> FloatArray:
    """Return P(T >= (estimate - against) / se): the one-sided p-value for "the estimate exceeds ``against``".

    NaN where nothing varies: a p-value without data about spread would be 0 or 1 by accident.
    """
    known = varies(estimate, se)
    t = np.divide(estimate - against, se, out=np.full(se.shape, np.nan), where=known)
    result: FloatArray = special.stdtr(df, -t)
    return result
