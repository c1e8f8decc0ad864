"""``max``: the largest value."""

from __future__ import annotations

from harness.stats.arrays import FloatArray
from harness.stats.registry import FUNCTIONS, Function

NO_INTERVAL = "the interval and the p-value of a min or max are not defined"


def maximum(x: FloatArray) -> FloatArray:
    """Return the largest value along the last axis: ``[..., n] -> [...]``; NaN if any value is."""
    result: FloatArray = x.max(axis=-1)
    return result


FUNCTIONS.register("max")(Function(maximum, several=True, exact=max, interval=NO_INTERVAL))
