"""Every function of the formula language against its definition computed another way, and against scipy."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from harness.core.errors import PreregError
from harness.stats.registry import BUILT_IN, FUNCTIONS
from harness.stats.spearman import ranks

RNG = np.random.default_rng(20240510)
X = RNG.normal(size=(4, 12))
Y = 0.6 * X + RNG.normal(size=(4, 12))
TIED = np.round(X)


def compute(name, *arrays):
    return FUNCTIONS.get(name).compute(*(np.asarray(array, dtype=float) for array in arrays))


def test_every_function_of_the_language_is_registered():
    assert set(FUNCTIONS.names()) == set(BUILT_IN)
    assert {"mean", "min", "max", "median", "abs", "entropy", "pearson", "spearman"} <= set(BUILT_IN)
    with pytest.raises(PreregError, match=r"there is no function 'pearsn'.*Did you mean 'pearson'"):
        FUNCTIONS.get("pearsn")


@pytest.mark.parametrize("name", ["mean", "min", "max", "median"])
def test_summaries_of_rows(name):
    by_hand = {
        "mean": lambda row: math.fsum(row) / len(row),
        "min": lambda row: sorted(row)[0],
        "max": lambda row: sorted(row)[-1],
        "median": lambda row: (sorted(row)[5] + sorted(row)[6]) / 2,
    }[name]
    assert compute(name, X) == pytest.approx([by_hand(list(row)) for row in X])
    assert np.isnan(compute(name, [[1.0, np.nan]])).all()


@pytest.mark.parametrize("name", ["mean", "min", "max", "median", "abs", "successive"])
def test_exact_versions_agree_with_floats(name):
    values = [Fraction(3, 7), Fraction(-2, 5), Fraction(1, 3), Fraction(9, 10)]
    function = FUNCTIONS.get(name)
    exact = function.exact(values)
    floats = function.compute(np.array([float(v) for v in values]))
    assert np.array(exact, dtype=float) == pytest.approx(floats)
    assert all(isinstance(v, Fraction) for v in (exact if isinstance(exact, list) else [exact]))


def test_abs_and_successive():
    assert compute("abs", [-1.5, 2]).tolist() == [1.5, 2]
    assert compute("successive", [[1, 4, 9]]).tolist() == [[3, 5]]


def test_entropy():
    assert compute("entropy", [[1, 1, 1, 1], [5, 0, 0, 0], [1, 3, 0, 0]]) == pytest.approx(
        [2.0, 0.0, -(0.25 * math.log2(0.25) + 0.75 * math.log2(0.75))]
    )
    counts = RNG.integers(0, 9, size=(5, 6)) + 1
    assert compute("entropy", counts) == pytest.approx(stats.entropy(counts, axis=1, base=2))
    assert np.isnan(compute("entropy", [[0, 0], [2, -1]])).all()


def test_pearson():
    assert compute("pearson", X, Y) == pytest.approx(
        [stats.pearsonr(x, y).statistic for x, y in zip(X, Y, strict=False)]
    )
    for x, y, r in zip(X, Y, compute("pearson", X, Y), strict=False):
        by_hand = sum((a - x.mean()) * (b - y.mean()) for a, b in zip(x, y, strict=False)) / (
            11 * x.std(ddof=1) * y.std(ddof=1)
        )
        assert r == pytest.approx(by_hand)


@pytest.mark.parametrize("name", ["pearson", "spearman", "tau"])
def test_correlation_with_a_constant_is_unknown_and_never_zero(name):
    assert np.isnan(compute(name, [[0.1, 0.1, 0.1]], [[1, 2, 3]])).all()
    assert np.isnan(compute(name, [[1, 2, 3]], [[0.1, 0.1, 0.1]])).all()
    assert compute(name, [[1, 2, 3]], [[2, 4, 6]]) == pytest.approx([1.0])


def test_spearman_is_pearson_of_ranks():
    ours = compute("spearman", TIED, Y)
    assert ours == pytest.approx([stats.spearmanr(x, y).statistic for x, y in zip(TIED, Y, strict=False)])

    def rank(values):
        return [sum(o < v for o in values) + (sum(o == v for o in values) + 1) / 2 for v in values]

    assert ours == pytest.approx([np.corrcoef(rank(x), rank(y))[0, 1] for x, y in zip(TIED, Y, strict=False)])


def test_ranks_are_scipys():
    tied = RNG.integers(0, 5, size=(50, 9)).astype(float)
    assert (ranks(tied) == stats.rankdata(tied, axis=1)).all()
    assert np.isnan(ranks(np.array([1.0, np.nan]))).all()


def test_tau_counts_pairs():
    ours = compute("tau", TIED, Y)
    assert ours == pytest.approx([stats.kendalltau(x, y).statistic for x, y in zip(TIED, Y, strict=False)])
    for x, y, tau in zip(TIED, Y, ours, strict=False):
        pairs = list(combinations(range(12), 2))
        score = sum(np.sign((x[i] - x[j]) * (y[i] - y[j])) for i, j in pairs)
        untied = [sum(v[i] != v[j] for i, j in pairs) for v in (x, y)]
        assert tau == pytest.approx(score / math.sqrt(untied[0] * untied[1]))


def test_slope():
    assert compute("slope", X, Y) == pytest.approx([stats.linregress(x, y).slope for x, y in zip(X, Y, strict=False)])
    assert compute("slope", X, 3 * X - 1) == pytest.approx([3.0] * 4)
    assert np.isnan(compute("slope", [[2, 2]], [[1, 5]])).all()


def test_aoc():
    fraction = np.array([0, 0.25, 0.5, 1.0])
    same = np.array([[1, 1, 1, 1], [0, 0, 0, 0], [0, 0.25, 0.5, 1.0], [0.2, 0.3, 0.9, 1.0]])
    ours = compute("aoc", fraction, same)
    assert ours[:3] == pytest.approx([0.0, 1.0, 0.5])
    area = sum((b - a) * (f + g) / 2 for a, b, f, g in zip(fraction, fraction[1:], same[3], same[3][1:], strict=False))
    assert ours[3] == pytest.approx(1 - area)
    order = [2, 0, 3, 1]
    assert compute("aoc", fraction[order], same[:, order]) == pytest.approx(ours)
    assert compute("aoc", 10 * fraction, same) == pytest.approx(ours), "the range of x cancels"
