"""``min``: the smallest value."""

from __future__ import annotations

from harness.stats.arrays import FloatArray
from harness.stats.registry import FUNCTIONS, Function

NO_INTERVAL = "the interval and the p-value of a min or max are not defined"


def minimum(x: FloatArray) -> FloatArray:
    """Return the smallest value along the last axis: ``[..., n] -> [...]``; NaN if any value is."""
    result: FloatArray = x.min(axis=-1)
    return result


FUNCTIONS.register("min")(Function(minimum, several=True, exact=min, interval=NO_INTERVAL))
