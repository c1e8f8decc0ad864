"""Invariants of the statistics: order, scale, shift and exchange."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.decide.exact import mean_rate
from harness.stats import bootstrap, gram, jackknife, permutation, sign_flip
from harness.stats.registry import FUNCTIONS
from harness.stats.two_way import two_way

finite = st.floats(-100, 100, allow_nan=False, width=32)


def table(*shape):
    return arrays(np.float64, shape, elements=finite)


def spread(x):
    assume(np.ptp(x) > 1e-2)


@pytest.mark.parametrize("name", ["pearson", "spearman", "tau"])
@given(data=st.data())
def test_correlations_ignore_order_scale_and_shift(name, data):
    x, y = data.draw(table(8)), data.draw(table(8))
    spread(x)
    spread(y)
    order = data.draw(st.permutations(range(8)))
    r = FUNCTIONS.get(name).compute
    value = r(x, y)
    assert -1 <= value <= 1
    assert r(y, x) == pytest.approx(value, abs=1e-9)
    assert r(x[list(order)], y[list(order)]) == pytest.approx(value, abs=1e-9)
    assert r(4 * x, y) == pytest.approx(value, abs=1e-6)
    assert r(-x, y) == pytest.approx(-value, abs=1e-9)


@given(x=table(6), weights=arrays(np.float64, 6, elements=st.floats(0.0625, 8, width=32)))
def test_entropy_is_largest_when_even_and_ignores_scale(x, weights):
    entropy = FUNCTIONS.get("entropy").compute
    assert 0 <= entropy(weights) <= np.log2(6) + 1e-9
    assert entropy(3 * weights) == pytest.approx(entropy(weights))


@settings(deadline=None)
@given(d=table(4, 5, 2), shift=finite)
def test_two_way_error_ignores_shift_and_exchange(d, shift):
    ours, shifted, turned = two_way(d), two_way(d + shift), two_way(np.swapaxes(d, 0, 1))
    assert shifted.se == pytest.approx(ours.se, abs=1e-6)
    assert turned.se == pytest.approx(ours.se, abs=1e-9)
    assert turned.df == pytest.approx(ours.df, rel=1e-6)
    assert (ours.df >= 3).all()
    assert (two_way(2 * d).se == 2 * ours.se).all()


@given(x=table(7, 1))
def test_pseudo_values_of_a_mean_are_the_data(x):
    left_out = np.stack([np.delete(x, i, axis=0).mean(axis=0) for i in range(7)])
    assert jackknife.pseudo_values(x.mean(axis=0), left_out) == pytest.approx(x, abs=1e-9)


@given(samples=table(40, 1), null=finite)
def test_bootstrap_tails_share_out_all_draws(samples, null):
    above = bootstrap.tail(samples, np.array([null]))
    below = bootstrap.tail(-samples, np.array([-null]))
    assert 0 < above <= 1
    assert above + below >= 1, "ties count on both sides"
    low, high = bootstrap.interval(samples, 0.9)
    wide = bootstrap.interval(samples, 0.95)
    assert wide[0] <= low <= high <= wide[1]


@given(d=table(6), null=finite)
def test_sign_flip_tails(d, null):
    sums, sizes, exact = sign_flip.subset_sums(d, np.random.default_rng(0), 10)
    above = sign_flip.tail(sums, sizes, exact, null)
    below = sign_flip.tail(-sums, sizes, exact, -null)
    assert above + below >= 1
    assert above >= 1 / 64
    assert sign_flip.tail(sums, sizes, exact, null - 1) <= above


@given(p=st.floats(0.0001, 1), draws=st.integers(10, 10_000))
def test_monte_carlo_interval_holds_its_p(p, draws):
    k = round(p * draws)
    share = (k + 1) / (draws + 1)
    low, high = permutation.monte_carlo_interval(share, draws)
    assert 0 <= low <= share <= high + 1 / draws
    assert permutation.straddles(share, draws, k / draws)


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(0.25, 8))
def test_cosines_ignore_the_scale_of_the_states_and_of_the_weights(seed, scale):
    rng = np.random.default_rng(seed)
    h, g = rng.normal(size=(5, 8)) + 1, rng.normal(size=(5, 8)) + 1
    weights = rng.dirichlet(np.ones(5))[None]
    for cross_only in (False, True):
        plain = gram.cosine(h @ g.T, h @ h.T, g @ g.T, weights, cross_only=cross_only)
        scaled = gram.cosine(scale * h @ g.T, scale**2 * h @ h.T, g @ g.T, 2 * weights, cross_only=cross_only)
        assert scaled == pytest.approx(plain, nan_ok=True)
        if not cross_only:
            assert abs(plain.item()) <= 1 + 1e-9


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50)), min_size=1, max_size=30))
def test_mean_rates_are_exact(pairs):
    k = np.array([min(k, n) for k, n in pairs], dtype=np.int64)
    n = np.array([n for _, n in pairs], dtype=np.int64)
    by_hand = sum((Fraction(int(a), int(b)) for a, b in zip(k, n, strict=False)), Fraction(0)) / len(pairs)
    assert mean_rate(k, n) == by_hand
