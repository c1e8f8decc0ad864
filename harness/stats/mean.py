"""``mean``: the arithmetic mean with equal weights."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from harness.stats.arrays import FloatArray
from harness.stats.registry import FUNCTIONS, Function


def mean(x: FloatArray) -> FloatArray:
    """Return the mean over the last axis: ``[..., n] -> [...]``, in the unit of ``x``."""
    result: FloatArray = x.mean(axis=-1)
    return result


def exact_mean(values: Sequence[Fraction]) -> Fraction:
    """Return the mean of fractions, exactly."""
    return sum(values, Fraction(0)) / len(values)


FUNCTIONS.register("mean")(Function(mean, several=True, exact=exact_mean, linear=True))
