"""``median``: the middle value, or the mean of the two middle ones."""

from __future__ import annotations

from statistics import median as exact_median

import numpy as np

from harness.stats.arrays import FloatArray
from harness.stats.registry import FUNCTIONS, Function


def median(x: FloatArray) -> FloatArray:
    """Return the median over the last axis: ``[..., n] -> [...]``; NaN if any value is."""
    result: FloatArray = np.median(x, axis=-1)
    return result


FUNCTIONS.register("median")(Function(median, several=True, exact=exact_median))
