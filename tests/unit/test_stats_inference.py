"""Intervals and p-values against brute force, scipy and statsmodels."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from scipy import stats

from harness.stats import bootstrap, correlation, jackknife, permutation, sign_flip, student
from harness.stats.two_way import two_way

RNG = np.random.default_rng(310)


def column(values):
    return np.asarray(values, dtype=float)[:, None]


def one(array):
    return float(np.asarray(array).item())


# --- jackknife and t -----------------------------------------------------------------------------


def test_jackknife_of_a_mean_is_the_one_sample_t():
    x = RNG.normal(0.3, 1, 15)
    left_out = column([np.delete(x, i).mean() for i in range(15)])
    pseudo = jackknife.pseudo_values(np.array([x.mean()]), left_out)
    assert pseudo[:, 0] == pytest.approx(x)
    se, df = jackknife.standard_error([pseudo])
    expected = stats.ttest_1samp(x, 0.1, alternative="greater")
    assert one(df) == 14
    assert one(student.tail(np.array([x.mean()]), np.array([0.1]), se, df)) == pytest.approx(expected.pvalue)
    low, high = student.interval(np.array([x.mean()]), se, df, 0.9)
    assert (one(low), one(high)) == pytest.approx(tuple(stats.ttest_1samp(x, 0).confidence_interval(0.9)))


def test_two_independent_groups_are_welch():
    x, y = RNG.normal(1, 1, 9), RNG.normal(0, 3, 14)
    se, df = jackknife.standard_error([column(x), column(-y)])
    expected = stats.ttest_ind(x, y, equal_var=False, alternative="greater")
    assert one(df) == pytest.approx(expected.df)
    estimate = np.array([x.mean() - y.mean()])
    assert one(student.tail(estimate, np.zeros(1), se, df)) == pytest.approx(expected.pvalue)


def test_jackknife_of_a_ratio_is_its_definition():
    x, y = RNG.uniform(1, 2, 12), RNG.uniform(2, 4, 12)
    left_out = np.array([(x.sum() - a) / (y.sum() - b) for a, b in zip(x, y, strict=False)])
    se, _ = jackknife.standard_error([jackknife.pseudo_values(np.array([x.mean() / y.mean()]), column(left_out))])
    by_hand = np.sqrt(11 / 12 * ((left_out - left_out.mean()) ** 2).sum())
    assert one(se) == pytest.approx(by_hand)


def test_where_nothing_varies_there_is_neither_interval_nor_p():
    estimate, se, df = np.array([0.5]), np.array([1e-17]), np.array([19.0])
    assert np.isnan(student.tail(estimate, np.zeros(1), se, df)).all()
    assert np.isnan(student.interval(estimate, se, df, 0.95)).all()


# --- two-way t -----------------------------------------------------------------------------------


def test_two_way_mean_squares_are_those_of_an_anova():
    smf = pytest.importorskip("statsmodels.formula.api")
    anova = pytest.importorskip("statsmodels.stats.anova")
    pd = pytest.importorskip("pandas")
    d = RNG.normal(size=(5, 8)) + RNG.normal(size=(5, 1)) + RNG.normal(size=(1, 8))
    frame = pd.DataFrame([{"p": str(p), "q": str(q), "d": d[p, q]} for p in range(5) for q in range(8)])
    table = anova.anova_lm(smf.ols("d ~ p + q", frame).fit())
    ours = two_way(d[..., None])
    expected = (table["sum_sq"] / table["df"]).tolist()
    assert [one(ours.ms_p), one(ours.ms_q), one(ours.ms_residual)] == pytest.approx(expected)
    both = expected[0] + expected[1] - expected[2]
    assert one(ours.se) ** 2 == pytest.approx(both / 40)
    scale = expected[0] ** 2 / 4 + expected[1] ** 2 / 7 + expected[2] ** 2 / 28
    assert one(ours.df) == pytest.approx(both**2 / scale)


def test_two_way_error_is_unbiased_when_both_dims_vary():
    p, q = 1.0, 0.7
    d = p * RNG.normal(size=(6, 1, 4000)) + q * RNG.normal(size=(1, 9, 4000)) + RNG.normal(size=(6, 9, 4000))
    truth = p**2 / 6 + q**2 / 9 + 1 / 54
    assert d.mean(axis=(0, 1)).var() == pytest.approx(truth, rel=0.08)
    assert (two_way(d).se ** 2).mean() == pytest.approx(truth, rel=0.05)


@pytest.mark.parametrize("axis", [0, 1])
def test_two_way_is_never_narrower_than_one_way(axis):
    d = RNG.normal(size=(5, 7, 300))
    sizes = d.shape[axis]
    one_way = d.mean(axis=1 - axis).std(axis=0, ddof=1) / np.sqrt(sizes)
    ours = two_way(d)
    assert (ours.se >= one_way - 1e-12).all()
    assert (ours.df >= 4).all()


def test_two_way_false_positives_when_personas_differ():
    d = (
        0.4 * RNG.normal(size=(7, 1, 3000))
        + 0.15 * RNG.normal(size=(1, 20, 3000))
        + 0.3 * RNG.normal(size=(7, 20, 3000))
    )
    ours = two_way(d)
    p = 2 * stats.t.sf(np.abs(d.mean(axis=(0, 1))) / ours.se, ours.df)
    assert (p < 0.05).mean() == pytest.approx(0.05, abs=0.015)


def test_two_way_needs_two_levels_of_each():
    with pytest.raises(ValueError, match="at least 2 x 2 cells, found 1 x 5"):
        two_way(np.zeros((1, 5, 1)))


# --- bootstrap -----------------------------------------------------------------------------------


def test_bootstrap_weights_count_the_draws():
    indices = bootstrap.draw(np.random.default_rng(1), 6, 50)
    weights = bootstrap.weights(indices, 6)
    by_hand = [[list(row).count(i) / 6 for i in range(6)] for row in indices]
    assert weights == pytest.approx(np.array(by_hand))
    x = RNG.normal(size=6)
    assert weights @ x == pytest.approx(x[indices].mean(axis=1))


def test_bootstrap_interval_and_p_are_read_from_the_draws():
    x = RNG.normal(0.2, 1, 30)
    draws = x[bootstrap.draw(np.random.default_rng(2), 30, 999)].mean(axis=1)
    low, high = bootstrap.interval(column(draws), 0.95)
    expected = stats.bootstrap((x,), np.mean, n_resamples=9999, method="percentile", rng=1).confidence_interval
    assert (one(low), one(high)) == pytest.approx(tuple(expected), abs=0.05)
    p = one(bootstrap.tail(column(draws), np.zeros(1)))
    assert p == (sum(draw <= 0 for draw in draws) + 1) / 1000


def test_bootstrap_p_is_never_zero():
    assert one(bootstrap.tail(np.full((999, 1), 5.0), np.zeros(1))) == 1 / 1000


def test_a_draw_that_ties_with_the_null_counts_against_the_claim():
    tied = np.array([[0.1 + 0.2 - 0.3]] * 99)
    assert tied[0, 0] > 0
    assert one(bootstrap.tail(tied, np.zeros(1))) == 1.0


# --- sign flips ----------------------------------------------------------------------------------


def test_sign_flip_enumerates_every_pattern():
    d = RNG.normal(0.4, 1, 9)
    sums, sizes, exact = sign_flip.subset_sums(d, np.random.default_rng(0), 100)
    assert exact
    assert len(sums) == 512
    means = [np.mean(np.array(signs) * (d - 0.1)) for signs in product([1, -1], repeat=9)]
    by_hand = sum(mean >= (d - 0.1).mean() - 1e-12 for mean in means) / 512
    assert sign_flip.tail(sums, sizes, exact, 0.1) == pytest.approx(by_hand)
    reference = stats.permutation_test(
        (d,), np.mean, permutation_type="samples", alternative="greater", n_resamples=10**4
    )
    assert sign_flip.tail(sums, sizes, exact, 0.0) == pytest.approx(reference.pvalue)


def test_sign_flip_interval_inverts_the_test():
    d = RNG.normal(0.4, 1, 12)
    sums, sizes, exact = sign_flip.subset_sums(d, np.random.default_rng(0), 100)
    low, high = sign_flip.interval(sums, sizes, 0.95)
    below, above = sign_flip.subset_sums(-d, np.random.default_rng(0), 100)[:2]
    for end, (s, n, sign) in ((low, (sums, sizes, 1)), (high, (below, above, -1))):
        inside, outside = end + sign * 1e-6, end - sign * 1e-6
        assert sign_flip.tail(s, n, exact, sign * inside) > 0.025
        assert sign_flip.tail(s, n, exact, sign * outside) <= 0.025


def test_sign_flip_says_when_units_are_too_few():
    sums, sizes, exact = sign_flip.subset_sums(np.array([1.0, 2.0, 3.0]), np.random.default_rng(0), 10)
    assert sign_flip.tail(sums, sizes, exact, 0.0) == 1 / 8
    assert np.isnan(sign_flip.interval(sums, sizes, 0.95)).all()


def test_drawn_sign_flips_are_near_the_t():
    d = RNG.normal(0.3, 1, 40)
    sums, sizes, exact = sign_flip.subset_sums(d, np.random.default_rng(3), 20_000)
    assert not exact
    assert sign_flip.tail(sums, sizes, exact, 0.0) == pytest.approx(
        stats.ttest_1samp(d, 0, alternative="greater").pvalue, abs=0.01
    )
    assert sign_flip.interval(sums, sizes, 0.95) == pytest.approx(
        tuple(stats.ttest_1samp(d, 0).confidence_interval()), abs=0.03
    )


# --- permutations --------------------------------------------------------------------------------


def test_arrangements_are_all_of_them_when_few():
    orders, exact = permutation.arrangements(3, 2, 10, np.random.default_rng(0))
    assert exact
    assert orders.shape == (36, 2, 3)
    assert len({order.tobytes() for order in orders}) == 36
    assert orders[0].tolist() == [[0, 1, 2], [0, 1, 2]]


def test_arrangements_are_drawn_when_many():
    orders, exact = permutation.arrangements(12, 3, 500, np.random.default_rng(0))
    assert not exact
    assert orders.shape == (500, 3, 12)
    assert (np.sort(orders, axis=-1) == np.arange(12)).all()
    assert (orders[:, 0] != orders[:, 1]).any()


def test_exact_permutation_p_of_a_correlation_is_scipys():
    x, y = RNG.normal(size=6), RNG.normal(size=6)
    orders, exact = permutation.arrangements(6, 1, 10, np.random.default_rng(0))
    values = column([np.corrcoef(x, y[order[0]])[0, 1] for order in orders])
    ours = one(permutation.tail(np.array([np.corrcoef(x, y)[0, 1]]), values, exact))
    by_hand = np.mean(
        [np.corrcoef(x, y[list(o)])[0, 1] >= np.corrcoef(x, y)[0, 1] - 1e-12 for o in permutations(range(6))]
    )
    reference = stats.permutation_test(
        (y,),
        lambda shuffled: np.corrcoef(x, shuffled)[0, 1],
        permutation_type="pairings",
        alternative="greater",
        n_resamples=10**4,
    )
    assert ours == pytest.approx(by_hand)
    assert ours == pytest.approx(reference.pvalue)


def test_drawn_permutation_p_is_never_zero_and_unknown_stays_unknown():
    assert one(permutation.tail(np.array([9.0]), np.zeros((99, 1)), False)) == 1 / 100
    assert np.isnan(permutation.tail(np.array([1.0]), np.full((9, 1), np.nan), False)).all()


def test_monte_carlo_interval_is_clopper_pearson():
    p = (7 + 1) / (1000 + 1)
    expected = stats.binomtest(7, 1000).proportion_ci(0.99, method="exact")
    assert permutation.monte_carlo_interval(p, 1000) == pytest.approx((expected.low, expected.high))
    assert permutation.monte_carlo_interval(2 * p, 1000, sides=2) == pytest.approx(
        (2 * expected.low, 2 * expected.high)
    )
    assert permutation.straddles(p, 1000, 0.01)
    assert not permutation.straddles(p, 1000, 0.05)


# --- correlations --------------------------------------------------------------------------------


def test_pearson_inference_is_scipys():
    x, y = RNG.normal(size=11), RNG.normal(size=11)
    reference = stats.pearsonr(x, y, alternative="greater")
    r = np.array([reference.statistic])
    assert one(correlation.tail(r, 11, np.zeros(1), "pearson")) == pytest.approx(reference.pvalue)
    low, high = correlation.interval(r, 11, 0.9, "pearson")
    expected = stats.pearsonr(x, y).confidence_interval(0.9)
    assert (one(low), one(high)) == pytest.approx((expected.low, expected.high))


def test_spearman_p_is_scipys_and_its_interval_is_wider():
    x, y = RNG.normal(size=14), RNG.normal(size=14)
    reference = stats.spearmanr(x, y, alternative="less")
    rho = np.array([reference.statistic])
    assert one(correlation.tail(-rho, 14, np.zeros(1), "spearman")) == pytest.approx(reference.pvalue)
    wide = correlation.interval(rho, 14, 0.95, "spearman")
    narrow = correlation.interval(rho, 14, 0.95, "pearson")
    assert one(wide[1] - wide[0]) > one(narrow[1] - narrow[0])


def test_a_correlation_against_another_one_uses_fishers_z():
    r, null = np.array([0.8]), np.array([0.5])
    z = (np.arctanh(0.8) - np.arctanh(0.5)) * np.sqrt(20 - 3)
    assert one(correlation.tail(r, 20, null, "pearson")) == pytest.approx(stats.norm.sf(z))


def test_a_correlation_of_three_has_no_interval():
    assert np.isnan(correlation.interval(np.array([0.5]), 3, 0.95, "pearson")).all()
    assert one(correlation.tail(np.array([0.5]), 3, np.zeros(1), "pearson")) == pytest.approx(1 / 3)
    assert np.isnan(correlation.tail(np.array([0.5]), 2, np.zeros(1), "pearson")).all()
