"""``entropy``: Shannon entropy of a distribution over the levels of a dim, in bits."""

from __future__ import annotations

import numpy as np

from harness.stats.arrays import FloatArray
from harness.stats.registry import FUNCTIONS, Function


def entropy(x: FloatArray) -> FloatArray:
    """Return H = -sum p log2 p over the last axis, with p = x / sum x and 0 log 0 = 0: ``[..., n] -> [...]``.

    Bits, in [0, log2 n]. NaN where a value is negative or all are zero. Source: Shannon 1948.
    """
    total = x.sum(axis=-1, keepdims=True)
    valid = (total[..., 0] > 0) & (x >= 0).all(axis=-1)
    p = np.divide(x, total, out=np.zeros_like(x), where=total > 0)
    terms = p * np.log2(p, out=np.zeros_like(p), where=p > 0)
    # 0 - sum, so that a certain outcome has entropy 0 and not -0.
    result: FloatArray = np.where(valid, 0.0 - terms.sum(axis=-1), np.nan)
    return result


FUNCTIONS.register("entropy")(Function(entropy))
