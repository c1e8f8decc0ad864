"""The bootstrap of pooled counts without draws is what the draws approximate."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from harness.stats import fft_bootstrap

RNG = np.random.default_rng(20)


def test_small_cases_are_all_resamples_counted():
    counts = np.array([[0, 3, -2, 3], [1, 1, 0, 5]])
    distribution, support = fft_bootstrap.pooled(counts)
    for row, cells in zip(distribution, counts, strict=True):
        sums = [sum(each) for each in itertools.product(cells.tolist(), repeat=4)]
        expected = {value: sums.count(value) / 4**4 for value in set(sums)}
        assert {int(s): p for s, p in zip(support, row, strict=True) if p > 0} == pytest.approx(expected)


def test_quantiles_and_tails_are_those_of_many_draws():
    """140 cells of 10 completions: scipy's bootstrap and ours give the same interval, to Monte Carlo error."""
    counts = RNG.binomial(10, RNG.beta(0.5, 1.0, size=140))
    distribution, support = fft_bootstrap.pooled(counts[None])
    drawn = stats.bootstrap((counts,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1))
    for share, end in ((0.025, drawn.confidence_interval.low), (0.975, drawn.confidence_interval.high)):
        exact = fft_bootstrap.quantile(distribution, support, share)[0]
        assert exact / 140 == pytest.approx(end, abs=0.02)
        below = (drawn.bootstrap_distribution * 140 <= exact + 0.5).mean()
        cumulative = distribution[0][support <= exact].sum()
        assert abs(below - cumulative) < 4 * np.sqrt(cumulative * (1 - cumulative) / 20_000)
        assert cumulative >= share > cumulative - distribution[0][support == exact].sum()
    mean, variance = distribution[0] @ support, distribution[0] @ support**2
    assert mean == pytest.approx(counts.sum())
    assert variance - mean**2 == pytest.approx(140 * counts.var())


def test_independent_sums_add_and_tails_mind_their_side():
    first, second = RNG.integers(0, 11, (3, 30)), RNG.integers(0, 11, (3, 20))
    parts = [fft_bootstrap.pooled(first), fft_bootstrap.pooled(-second)]
    distribution, support = fft_bootstrap.add(parts)
    assert distribution @ support == pytest.approx(first.sum(axis=1) - second.sum(axis=1))
    limit = np.array([0.0, 25.0, -10.0])
    low, high = (fft_bootstrap.tail(distribution, support, limit, sign) for sign in (1, -1))
    at = [row[support == x].sum() for row, x in zip(distribution, limit, strict=True)]
    assert low + high == pytest.approx(1 + np.array(at))
    draws = RNG.integers(0, 30, (20_000, 30)), RNG.integers(0, 20, (20_000, 20))
    sums = first[1][draws[0]].sum(axis=1) - second[1][draws[1]].sum(axis=1)
    assert low[1] == pytest.approx((sums <= 25).mean(), abs=0.015)


def test_cells_that_agree_have_one_sum():
    distribution, support = fft_bootstrap.pooled(np.full((1, 9), 4))
    assert support.tolist() == [36]
    assert distribution.tolist() == [[1.0]]
