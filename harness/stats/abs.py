"""``abs``: the absolute value of each cell."""

from __future__ import annotations

import numpy as np

from harness.stats.registry import FUNCTIONS, FloatArray, Function


def absolute(x: FloatArray) -> FloatArray:
    """Return ``|x|``, cell by cell."""
    return np.abs(x)


FUNCTIONS.register("abs")(Function(absolute, reduces=False))
