"""Cosines from Gram blocks: products of hidden states over pairs of questions, under any question weights.

For a persona and a reference, with hidden states h_q and g_q at question q: ``dot[q, r] = <h_q, g_r>``,
``own[q, r] = <h_q, h_r>``, ``ref[q, r] = <g_q, g_r>``. Keeping these instead of the states makes every resample of
questions a quadratic form and needs no hidden states after the probe.
"""

from __future__ import annotations

import numpy as np

from harness.stats.arrays import FloatArray


def centroid_cosine(dot: FloatArray, own: FloatArray, ref: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the cosine of the two weighted centroids: ``[..., Q, Q]`` x3, ``[b, Q] -> [b, ...]``, in [-1, 1].

    All pairs of questions take part, q = r included, so answer noise adds to the norms: the more noise, the
    smaller the cosine, geometry being equal.
    """
    return _cosine(dot, own, ref, weights, different=False)


def cross_question(dot: FloatArray, own: FloatArray, ref: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the cosine from pairs of different questions only, in numerator and norms: shapes as above.

    Noise that is independent between questions has expectation 0 in every term that is left. May leave
    [-1, 1] by sampling error; NaN where a norm comes out non-positive (no signal above the noise).
    """
    return _cosine(dot, own, ref, weights, different=True)


def cosine(dot: FloatArray, own: FloatArray, ref: FloatArray, weights: FloatArray, *, cross_only: bool) -> FloatArray:
    """Return :func:`cross_question` or :func:`centroid_cosine`, as the column declares."""
    return _cosine(dot, own, ref, weights, different=cross_only)


def _cosine(dot: FloatArray, own: FloatArray, ref: FloatArray, weights: FloatArray, *, different: bool) -> FloatArray:
    b, questions = weights.shape
    pairs = weights[:, :, None] * weights[:, None, :]  # [b, Q, Q]
    if different:
        # A question that is drawn twice is still one question: its square leaves with the diagonal.
        pairs[:, np.arange(questions), np.arange(questions)] = 0.0
    flat = pairs.reshape(b, -1)
    shape = (b, *dot.shape[:-2])
    top, norm, norm_ref = (
        (flat @ block.reshape(-1, questions * questions).T).reshape(shape) for block in (dot, own, ref)
    )
    defined = (norm > 0) & (norm_ref > 0)
    scale = np.sqrt(np.where(defined, norm, 1.0)) * np.sqrt(np.where(defined, norm_ref, 1.0))
    result: FloatArray = np.where(defined, top / scale, np.nan)
    return result
