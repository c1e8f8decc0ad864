"""``successive``: differences between neighbours along an axis."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import numpy as np

from harness.stats.arrays import FloatArray
from harness.stats.registry import FUNCTIONS, Function


def successive(x: FloatArray) -> FloatArray:
    """Return x[i + 1] - x[i] in the registered order of levels: ``[..., n] -> [..., n - 1]``."""
    return np.diff(x, axis=-1)


def exact_successive(values: Sequence[Fraction]) -> list[Fraction]:
    """Return the differences of neighbouring fractions, exactly."""
    return [after - before for before, after in pairwise(values)]


FUNCTIONS.register("successive")(Function(successive, neighbours=True, exact=exact_successive, linear=True))
