"""``abs``: the absolute value of each cell."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from harness.stats.arrays import FloatArray
from harness.stats.registry import FUNCTIONS, Function


def absolute(x: FloatArray) -> FloatArray:
    """Return ``|x|``, cell by cell."""
    return np.abs(x)


def exact_absolute(values: Sequence[Fraction]) -> list[Fraction]:
    """Return absolute values of fractions, exactly."""
    return [abs(value) for value in values]


FUNCTIONS.register("abs")(Function(absolute, reduces=False, exact=exact_absolute))
