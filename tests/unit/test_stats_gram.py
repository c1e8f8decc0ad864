"""Cosines from Gram blocks: equal to those from the states, and blind to answer noise where they must be."""

from __future__ import annotations

import numpy as np
import pytest
from hidden_states import blocks, centroids, states

from harness.stats import gram

RNG = np.random.default_rng(237)
H = RNG.normal(size=(3, 5, 16)) + 1
G = RNG.normal(size=(5, 16)) + 1
UNIFORM = np.full((1, 5), 0.2)
UNEVEN = np.array([[0.4, 0.2, 0.2, 0.0, 0.2], [0.0, 0.0, 0.6, 0.4, 0.0]])


@pytest.mark.parametrize("weights", [UNIFORM, UNEVEN])
def test_centroid_cosine_is_the_cosine_of_weighted_centroids(weights):
    ours = gram.centroid_cosine(*blocks(H, G), weights)
    for w, row in zip(weights, ours, strict=False):
        for persona, value in zip(H, row, strict=False):
            a, b = w @ persona, w @ G
            assert value == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("weights", [UNIFORM, UNEVEN])
def test_cross_question_leaves_out_pairs_of_one_question(weights):
    ours = gram.cross_question(*blocks(H, G), weights)
    for w, row in zip(weights, ours, strict=False):
        for persona, value in zip(H, row, strict=False):
            pairs = [(q, r) for q in range(5) for r in range(5) if q != r]
            top, own, ref = (
                sum(w[q] * w[r] * (a[q] @ b[r]) for q, r in pairs)
                for a, b in ((persona, G), (persona, persona), (G, G))
            )
            assert value == pytest.approx(top / np.sqrt(own * ref))


def test_cosine_takes_the_declared_kind():
    parts = blocks(H, G)
    assert (gram.cosine(*parts, UNIFORM, cross_only=True) == gram.cross_question(*parts, UNIFORM)).all()
    assert (gram.cosine(*parts, UNIFORM, cross_only=False) == gram.centroid_cosine(*parts, UNIFORM)).all()


def test_without_noise_both_are_the_cosine_of_the_centroids():
    c = centroids(RNG, 4, 64, 0.7)
    h = states(RNG, c, 6, 0.0)
    truth = [a @ c[0] / np.linalg.norm(a) / np.linalg.norm(c[0]) for a in c[1:]]
    uniform = np.full((1, 6), 1 / 6)
    for cosine in (gram.centroid_cosine, gram.cross_question):
        assert cosine(*blocks(h[1:], h[0]), uniform)[0] == pytest.approx(truth)


def test_noise_without_signal_is_unknown():
    h = RNG.normal(size=(200, 2, 4))
    values = gram.cross_question(*blocks(h, h[0]), np.full((1, 2), 0.5))
    assert np.isnan(values).any()


def test_a_question_drawn_alone_has_no_cross_pairs():
    assert np.isnan(gram.cross_question(*blocks(H, G), np.array([[1.0, 0, 0, 0, 0]]))).all()


def _shift(cosine, ratio, repeats=60):
    """Mean over repeats of arm B minus arm A: equal centroids, B's answers ``1/ratio`` as noisy as A's."""
    rng = np.random.default_rng(99)
    uniform = np.full((1, 20), 1 / 20)
    shifts = []
    for _ in range(repeats):
        c = centroids(rng, 8, 512, 0.8)
        a, b = (states(rng, c, 20, noise / np.sqrt(512)) for noise in (2.0, 2.0 / ratio))
        values = [cosine(*blocks(h[1:], h[0]), uniform).mean() for h in (a, b)]
        shifts.append(values[1] - values[0])
    return float(np.mean(shifts))


def test_equal_geometry_with_noisier_answers_gives_no_shift_across_questions():
    assert abs(_shift(gram.cross_question, 2.0)) < 0.005


@pytest.mark.parametrize(("ratio", "shift"), [(1.5, 0.07), (2.0, 0.1)])
def test_equal_geometry_with_noisier_answers_shifts_the_centroid_cosine(ratio, shift):
    assert _shift(gram.centroid_cosine, ratio) == pytest.approx(shift, abs=0.02)
