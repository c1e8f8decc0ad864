"""Values of bound trees: selection, arithmetic, functions, leave-one-out, shuffles and exact fractions."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations, product

import numpy as np
import pytest
from measured import RATE, Lab, X, call, minus, num, p
from scipy import stats

from harness.contracts.records import Column, Inference
from harness.contracts.trees import Neg, Op
from harness.core.errors import JobError

RNG = np.random.default_rng(7)
ARMS, PERSONAS, QUESTIONS, DOSES = (
    ("A", "B"),
    ("a", "b", "c", "d"),
    ("q1", "q2", "q3", "q4", "q5"),
    ("1", "2", "5", "20"),
)
K = RNG.integers(0, 11, size=(2, 4, 5))
N = np.full((2, 4, 5), 10)
N[:, 1] = 7
K = np.minimum(K, N)
Y = RNG.normal(size=(3, 4))  # seed, dose


@pytest.fixture
def lab(tmp_path):
    lab = Lab(tmp_path)
    cells = list(product(ARMS, PERSONAS, QUESTIONS))
    data = {dim: [cell[i] for cell in cells] for i, dim in enumerate(("arm", "persona", "question"))}
    lab.add("leak", ("arm", "persona", "question"), [RATE], {**data, "rate.k": K.ravel(), "rate.n": N.ravel()})
    runs = list(product(("42", "137", "256"), DOSES))
    data = {"seed": [seed for seed, _ in runs], "dose": [dose for _, dose in runs], "x": Y.ravel()}
    lab.add("curve", ("seed", "dose"), [X], data)
    return lab


def values(estimate):
    return [cell.value for cell in estimate.cells]


def test_a_reference_averages_cells_with_equal_weights(lab):
    found = lab.estimate(lab.ref("leak", arm="A"))
    assert values(found) == pytest.approx([(K[0] / N[0]).mean()])
    by_hand = sum(Fraction(int(k), int(n)) for k, n in zip(K[0].ravel(), N[0].ravel(), strict=False)) / 20
    assert Fraction(found.cells[0].exact) == by_hand
    assert found.counts == {"persona": 4, "question": 5, "observations": int(N[0].sum())}


def test_kept_dims_are_axes_in_the_expressions_order(lab):
    tree = lab.ref("leak", ("persona", "arm"))
    found = lab.estimate(tree, ("arm", "persona"))
    assert found.axes == ("arm", "persona")
    assert [tuple(cell.at.items()) for cell in found.cells][1] == (("arm", "A"), ("persona", "b"))
    assert values(found) == pytest.approx((K / N).mean(axis=2).ravel())


def test_arithmetic_matches_axes_by_name(lab):
    a, b = lab.ref("leak", ("persona",), arm="A"), lab.ref("leak", ("question", "persona"), arm="B")
    tree = Op(op="/", left=minus(a, num("1/4")), right=Op(op="+", left=b, right=num("1")))
    found = lab.estimate(tree, ("persona", "question"))
    rate = K / N
    expected = (rate[0].mean(axis=1)[:, None] - 0.25) / (rate[1] + 1)
    assert values(found) == pytest.approx(expected.ravel())
    assert values(lab.estimate(Neg(of=a), ("persona",))) == pytest.approx(-rate[0].mean(axis=1))


def test_axes_with_different_levels_do_not_match(lab):
    tree = minus(lab.ref("leak", ("persona",), arm="A"), lab.ref("leak", ("persona",), arm="B", persona=("a", "b")))
    with pytest.raises(JobError, match="two sides of a formula keep different levels of persona"):
        lab.estimate(tree, ("persona",))


def test_axes_must_be_those_that_were_bound(lab):
    with pytest.raises(JobError, match="bound as a table by one value and evaluates to one by persona"):
        lab.estimate(lab.ref("leak", ("persona",)))


@pytest.mark.parametrize("fn", ["mean", "min", "max", "median"])
def test_functions_reduce_several_dims_at_once(lab, fn):
    tree = call(fn, lab.ref("leak", ("persona", "arm")), over=("arm", "persona"))
    table = (K / N).mean(axis=2)
    assert values(lab.estimate(tree)) == pytest.approx([getattr(np, fn)(table)])
    partly = call(fn, lab.ref("leak", ("persona", "arm")), over=("arm",))
    assert values(lab.estimate(partly, ("persona",))) == pytest.approx(getattr(np, fn)(table, axis=0))


def test_max_of_several_values(lab):
    a, b = lab.ref("leak", arm="A"), lab.ref("leak", arm="B")
    rates = (K / N).mean(axis=(1, 2))
    assert values(lab.estimate(call("max", a, b))) == pytest.approx([rates.max()])
    assert lab.estimate(call("min", a, b)).cells[0].exact is not None
    assert values(lab.estimate(call("max", lab.ref("leak", ("arm",)), num("1/2"), over=("arm",)))) == pytest.approx(
        [max(0.5, *rates)]
    )


def test_correlation_over_a_kept_dim(lab):
    tree = call(
        "pearson", lab.ref("leak", ("persona",), arm="A"), lab.ref("leak", ("persona",), arm="B"), over=("persona",)
    )
    rate = (K / N).mean(axis=2)
    assert values(lab.estimate(tree)) == pytest.approx([np.corrcoef(rate[0], rate[1])[0, 1]])


def test_a_trend_runs_along_the_numbers_that_name_its_axis(lab):
    dose = [1, 2, 5, 20]
    curve = lab.ref("curve", ("seed", "dose"))
    slopes = lab.estimate(call("slope", curve, over=("dose",)), ("seed",))
    assert values(slopes) == pytest.approx([stats.linregress(dose, y).slope for y in Y])
    trend = lab.estimate(call("mean", call("tau", curve, over=("dose",)), over=("seed",)))
    assert values(trend) == pytest.approx([np.mean([stats.kendalltau(dose, y).statistic for y in Y])])
    covered = lab.estimate(call("aoc", curve, over=("dose",)), ("seed",))
    assert values(covered) == pytest.approx([1 - np.trapezoid(y, dose) / 19 for y in Y])


def test_a_slope_needs_numbers(lab):
    with pytest.raises(JobError, match="slope along persona needs numeric levels, found a, b, c, d"):
        lab.estimate(call("slope", lab.ref("leak", ("persona",)), over=("persona",)))
    ordered = call("tau", lab.ref("leak", ("persona",)), over=("persona",))
    rate = (K / N).mean(axis=(0, 2))
    assert values(lab.estimate(ordered)) == pytest.approx([stats.kendalltau(range(4), rate).statistic])


def test_successive_names_its_steps(lab):
    found = lab.estimate(call("successive", lab.ref("curve", ("dose",)), over=("dose",)), ("dose",))
    assert [cell.at for cell in found.cells] == [{"dose": "1 to 2"}, {"dose": "2 to 5"}, {"dose": "5 to 20"}]
    assert values(found) == pytest.approx(np.diff(Y.mean(axis=0)))
    exact = lab.estimate(call("successive", lab.ref("leak", ("arm",)), over=("arm",)), ("arm",))
    assert float(Fraction(exact.cells[0].exact)) == pytest.approx(exact.cells[0].value)


def test_levels_counts_what_was_planned(lab):
    tree = Op(op="-", left=lab.ref("curve"), right=call("levels", over=("seed",)))
    assert values(lab.estimate(tree)) == pytest.approx([Y.mean() - 3])


def test_a_function_with_the_wrong_number_of_arguments(lab):
    with pytest.raises(JobError, match=r"pearson takes 2 argument\(s\), found 1"):
        lab.estimate(call("pearson", lab.ref("curve", ("dose",)), over=("dose",)))
    with pytest.raises(JobError, match="entropy needs a dim to run along"):
        lab.estimate(call("entropy", lab.ref("curve")))


# --- leave one out -------------------------------------------------------------------------------


def test_leave_one_out_drops_a_level_everywhere(lab):
    shift = minus(lab.ref("leak", arm="A"), lab.ref("leak", arm="B"))
    found = lab.estimate(call("leave_one_out", shift, over=("persona",)), ("persona",))
    rate = K / N
    by_hand = [np.delete(rate[0] - rate[1], i, axis=0).mean() for i in range(4)]
    assert values(found) == pytest.approx(by_hand)
    assert all(float(Fraction(cell.exact)) == cell.value for cell in found.cells)


def test_leave_one_out_keeps_fixed_points(lab):
    shift = minus(lab.ref("leak", persona=("b", "c", "d")), lab.ref("leak", persona="a"))
    found = lab.estimate(call("leave_one_out", shift, over=("persona",)), ("persona",))
    assert [cell.at["persona"] for cell in found.cells] == ["b", "c", "d"]


def test_leave_one_out_of_a_dim_that_is_kept(lab):
    inner = call("max", lab.ref("leak", ("persona",)), over=("persona",))
    found = lab.estimate(call("leave_one_out", inner, over=("persona",)), ("persona",))
    rate = (K / N).mean(axis=(0, 2))
    assert values(found) == pytest.approx([np.delete(rate, i).max() for i in range(4)])


# --- exactness -----------------------------------------------------------------------------------


def test_an_exact_15_pp_difference_never_fails_for_any_baseline(tmp_path):
    lab = Lab(tmp_path)
    names = [f"{k}" for k in range(0, 1191)]
    for arm, add in (("C1", 0), ("C2", 210)):
        data = {"base": names, "rate.k": [k + add for k in range(1191)], "rate.n": [1400] * 1191}
        lab.add("leak", ("arm", "base"), [RATE], data, at={"arm": arm}, levels={"arm": ("C1", "C2")})
    shift = minus(lab.ref("leak", ("base",), arm="C2"), lab.ref("leak", ("base",), arm="C1"))
    found = lab.estimate(shift, ("base",))
    assert all(Fraction(cell.exact) >= Fraction("15/100") for cell in found.cells)
    in_floats = sum((k + 210) / 1400 - k / 1400 < 0.15 for k in range(1191))
    assert in_floats > 200, "floats fail for a good part of the baselines"


def test_numbers_are_not_exact_and_counts_are(lab):
    assert lab.estimate(lab.ref("curve")).cells[0].exact is None
    mixed = minus(lab.ref("curve"), lab.ref("leak"))
    assert lab.estimate(mixed).cells[0].exact is None
    ratio = Op(op="/", left=lab.ref("leak", arm="A"), right=lab.ref("leak", arm="B"))
    found = lab.estimate(call("abs", ratio)).cells[0]
    assert float(Fraction(found.exact)) == found.value


def test_a_division_by_zero_is_unknown(lab, tmp_path):
    zero = minus(lab.ref("leak"), lab.ref("leak"))
    for tree in (Op(op="/", left=lab.ref("leak"), right=zero), Op(op="/", left=lab.ref("curve"), right=zero)):
        cell = lab.estimate(tree).cells[0]
        assert cell.value is None
        assert cell.exact is None
        assert "division by zero" in cell.reason


def test_a_correlation_with_a_constant_is_unknown(tmp_path):
    lab = Lab(tmp_path)
    data = {"persona": list("abc"), "x": [0.1, 0.1, 0.1], "y": [1.0, 2.0, 3.0]}
    lab.add("table", ("persona",), [X, Column(name="y")], data, Inference(over=("persona",)))
    tree = call("pearson", *(lab.ref("table", ("persona",), c) for c in "xy"), over=("persona",))
    for wanted in (tree, p(tree), call("max", call("leave_one_out", p(tree), over=("persona",)), over=("persona",))):
        cell = lab.estimate(wanted).cells[0]
        assert cell.value is None
        assert cell.reason


# --- shuffles ------------------------------------------------------------------------------------


def test_shuffling_a_trend_within_strata_is_exact(tmp_path):
    lab = Lab(tmp_path)
    y = Y[:2, :3]
    runs = list(product(("1", "2"), ("1", "2", "5")))
    data = {"seed": [s for s, _ in runs], "dose": [d for _, d in runs], "x": y.ravel()}
    lab.add("curve", ("seed", "dose"), [X], data, Inference(over=("seed",)))
    trend = call("mean", call("slope", lab.ref("curve", ("seed", "dose")), over=("dose",)), over=("seed",))
    found = lab.estimate(p(trend, null="shuffled", dim="dose", within="seed"))

    def slope(rows):
        return np.mean([stats.linregress([1, 2, 5], row).slope for row in rows])

    every = [slope([y[0, list(f)], y[1, list(s)]]) for f, s in product(permutations(range(3)), repeat=2)]
    assert values(found) == pytest.approx([np.mean([v >= slope(y) - 1e-12 for v in every])])
    assert found.draws == 0
    assert found.method == "permutation test, dose shuffled within seed, all 36 arrangements"
    together = lab.estimate(p(trend, null="shuffled", dim="dose"))
    every = [slope(y[:, list(order)]) for order in permutations(range(3))]
    assert values(together) == pytest.approx([np.mean([v >= slope(y) - 1e-12 for v in every])])


def test_shuffling_a_correlation_permutes_one_side(tmp_path):
    lab = Lab(tmp_path)
    x, y = RNG.normal(size=6), RNG.normal(size=6)
    lab.add("t", ("persona",), [X, Column(name="y")], {"persona": list("abcdef"), "x": x, "y": y})
    tree = call("pearson", *(lab.ref("t", ("persona",), c) for c in "xy"), over=("persona",))
    for rel, side in ((">", "greater"), ("<", "less")):
        reference = stats.permutation_test(
            (y,),
            lambda shuffled: np.corrcoef(x, shuffled)[0, 1],
            permutation_type="pairings",
            alternative=side,
            n_resamples=10**4,
        )
        assert values(lab.estimate(p(tree, rel, null="shuffled", dim="persona"))) == pytest.approx([reference.pvalue])
    both = lab.estimate(p(call("abs", tree), null="shuffled", dim="persona"))
    every = [abs(np.corrcoef(x, y[list(order)])[0, 1]) for order in permutations(range(6))]
    assert values(both) == pytest.approx([np.mean(np.array(every) >= abs(np.corrcoef(x, y)[0, 1]) - 1e-12)])


def test_shuffling_arms_within_personas_flips_signs(lab):
    shift = minus(lab.ref("leak", arm="B"), lab.ref("leak", arm="A"))
    found = lab.estimate(p(shift, null="shuffled", dim="arm", within="persona"))
    rate = (K / N).mean(axis=2)
    d = rate[1] - rate[0]
    every = [np.mean(np.array(signs) * d) for signs in product((1, -1), repeat=4)]
    assert values(found) == pytest.approx([np.mean([v >= d.mean() - 1e-12 for v in every])])


def test_shuffling_what_changes_nothing_is_an_error(lab):
    shift = minus(lab.ref("leak", arm="B"), lab.ref("leak", arm="A"))
    with pytest.raises(JobError, match="shuffling persona changes nothing here"):
        lab.estimate(p(shift, null="shuffled", dim="persona"))
    trend = call("slope", lab.ref("curve", ("dose",)), over=("dose",))
    with pytest.raises(JobError, match="'within seed' needs the formula to keep seed there"):
        lab.estimate(p(trend, null="shuffled", dim="dose", within="seed"))
    with pytest.raises(JobError, match="their p-value is against 0 only"):
        lab.estimate(p(trend, ">", "1/2", null="shuffled", dim="dose"))


def test_random_directions_are_refused_clearly(lab):
    with pytest.raises(JobError, match="p against random directions is not implemented yet"):
        lab.estimate(p(lab.ref("curve"), null="random", dim="direction"))
