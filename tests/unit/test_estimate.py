"""Estimates end to end: which inference answers, what it says about itself, and what is refused."""

from __future__ import annotations

import time
from itertools import product

import numpy as np
import pytest
from hidden_states import centroids, column, rows, states
from measured import RATE, Lab, X, call, minus, num, p, two_sided
from scipy import stats

from harness.contracts.records import Column, Estimate, Inference
from harness.contracts.trees import Op, PValue
from harness.core.errors import JobError
from harness.stats import gram
from harness.stats.two_way import two_way

RNG = np.random.default_rng(11)
PERSONAS, QUESTIONS = tuple("abcdef"), tuple(f"q{i}" for i in range(9))
BOTH = ("persona", "question")
VALUES = RNG.normal(0.2, 1, size=(2, 6, 9))  # arm, persona, question


def add(lab, name="m", values=VALUES, arms=("A", "B"), personas=PERSONAS, **inference):
    cells = list(product(arms, personas, QUESTIONS))
    data = {dim: [cell[i] for cell in cells] for i, dim in enumerate(("arm", *BOTH))}
    lab.add(name, ("arm", *BOTH), [X], {**data, "x": values.ravel()}, Inference(**inference) if inference else None)


@pytest.fixture
def lab(tmp_path):
    lab = Lab(tmp_path)
    add(lab)
    return lab


def contrast(lab, keep=(), **select):
    return minus(lab.ref("m", keep, arm="B", **select), lab.ref("m", keep, arm="A", **select))


def interval(found):
    return (found.cells[0].intervals[0].low, found.cells[0].intervals[0].high)


DIFFERENCE = VALUES[1] - VALUES[0]


# --- which method --------------------------------------------------------------------------------


def test_one_dim_is_the_paired_t(lab):
    lab.infer(over=("question",))
    d = DIFFERENCE.mean(axis=0)
    found = lab.estimate(contrast(lab), levels=("9/10",))
    expected = stats.ttest_1samp(d, 0)
    assert interval(found) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert [each.level for each in found.cells[0].intervals] == ["19/20", "9/10"]
    assert found.cells[0].df == 8
    assert found.cells[0].se == pytest.approx(d.std(ddof=1) / 3)
    assert found.method == "t over question (jackknife, n = 9), paired"
    assert found.note == "for these 6 levels of persona"
    assert lab.estimate(two_sided(contrast(lab))).cells[0].value == pytest.approx(expected.pvalue)
    for rel, side in ((">", "greater"), (">=", "greater"), ("<", "less"), ("<=", "less")):
        one_sided = lab.estimate(p(contrast(lab), rel, "1/10")).cells[0].value
        assert one_sided == pytest.approx(stats.ttest_1samp(d, 0.1, alternative=side).pvalue)


def test_independent_arms_are_welchs_t(lab):
    lab.infer(over=("question",), paired=False)
    expected = stats.ttest_ind(VALUES[1].mean(axis=0), VALUES[0].mean(axis=0), equal_var=False)
    found = lab.estimate(contrast(lab))
    assert found.cells[0].df == pytest.approx(expected.df)
    assert interval(found) == pytest.approx(tuple(expected.confidence_interval()))
    assert "arms independent" in found.method


def test_two_dims_are_the_two_way_t(lab):
    lab.infer(over=BOTH)
    expected = two_way(DIFFERENCE[..., None])
    cell = lab.estimate(contrast(lab)).cells[0]
    assert (cell.se, cell.df) == pytest.approx((expected.se.item(), expected.df.item()))


def test_two_way_t_of_independent_arms_adds_their_variances(lab):
    lab.infer(over=BOTH, paired=False)
    a, b = (two_way(values[..., None]) for values in VALUES)
    cell = lab.estimate(contrast(lab)).cells[0]
    assert cell.se**2 == pytest.approx((a.se**2 + b.se**2).item())
    assert cell.df == pytest.approx(((a.se**2 + b.se**2) ** 2 / (a.se**4 / a.df + b.se**4 / b.df)).item())


def test_two_way_t_against_a_side_that_lacks_a_dim(lab):
    """A single persona is a fixed point: it is subtracted from every persona, question by question."""
    lab.infer(over=BOTH)
    tree = minus(lab.ref("m", arm="A", persona=PERSONAS[1:]), lab.ref("m", arm="A", persona="a"))
    expected = two_way((VALUES[0, 1:] - VALUES[0, 0])[..., None])
    assert lab.estimate(tree).cells[0].se == pytest.approx(expected.se.item())


def test_two_way_t_of_a_ratio_uses_influence_values(tmp_path):
    lab = Lab(tmp_path)
    x = RNG.uniform(2, 4, size=(2, 6, 9))
    add(lab, values=x, over=BOTH)
    tree = Op(op="/", left=lab.ref("m", arm="B"), right=lab.ref("m", arm="A"))
    a, b = x[0].mean(), x[1].mean()
    delta_method = (x[1] - b / a * x[0]) / a
    found = lab.estimate(tree).cells[0]
    assert found.value == pytest.approx(b / a)
    assert found.se == pytest.approx(two_way(delta_method[..., None]).se.item(), rel=1e-6)


def test_a_mean_over_a_kept_dim_is_an_average(lab):
    lab.infer(over=BOTH)
    kept = call("mean", contrast(lab, ("persona",)), over=("persona",))
    plain = lab.estimate(contrast(lab)).cells[0]
    pushed = lab.estimate(kept).cells[0]
    assert (pushed.value, pushed.se, pushed.df) == pytest.approx((plain.value, plain.se, plain.df))


def test_a_kept_dim_is_given_and_not_drawn(lab):
    lab.infer(over=BOTH)
    found = lab.estimate(contrast(lab, ("persona",)), ("persona",))
    by_hand = [stats.ttest_1samp(d, 0).confidence_interval() for d in DIFFERENCE]
    ours = [(cell.intervals[0].low, cell.intervals[0].high) for cell in found.cells]
    assert np.array(ours) == pytest.approx(np.array([tuple(ends) for ends in by_hand]))
    assert "for each persona as given" in found.note
    lab.infer(over=("persona",))
    found = lab.estimate(contrast(lab, ("persona",)), ("persona",))
    assert found.cells[0].intervals == ()
    assert "every drawn dim (persona) is kept" in found.note


def test_inner_kept_dims_are_drawn_whole(lab):
    """The jackknife of a function over the drawn dim leaves one level out of the function."""
    lab.infer(over=("persona",), method="t")
    a, b = (lab.ref("m", ("persona",), arm=arm) for arm in "AB")
    tree = call("slope", a, b, over=("persona",))
    x, y = VALUES.mean(axis=2)
    left_out = np.array([stats.linregress(np.delete(x, i), np.delete(y, i)).slope for i in range(6)])
    by_hand = np.sqrt(5 / 6 * ((left_out - left_out.mean()) ** 2).sum())
    assert lab.estimate(tree).cells[0].se == pytest.approx(by_hand)


def test_bootstrap_of_a_median_draws_levels_again(lab):
    lab.infer(over=("persona",), method="bootstrap", draws=20_000)
    tree = call("median", lab.ref("m", ("persona",), arm="A"), over=("persona",))
    x = VALUES[0].mean(axis=1)
    expected = stats.bootstrap((x,), np.median, n_resamples=20_000, method="percentile", rng=5).confidence_interval
    assert interval(lab.estimate(tree)) == pytest.approx(tuple(expected), abs=0.02)


def test_disjoint_sets_are_drawn_apart(lab):
    lab.infer(over=("persona",))
    tree = minus(lab.ref("m", arm="A", persona=("a", "b")), lab.ref("m", arm="A", persona=("c", "d", "e", "f")))
    x = VALUES[0].mean(axis=1)
    expected = stats.ttest_ind(x[:2], x[2:], equal_var=False)
    assert lab.estimate(two_sided(tree)).cells[0].value == pytest.approx(expected.pvalue)


def test_sign_flips_over_questions(lab):
    lab.infer(over=("question",), method="sign_flip")
    d = DIFFERENCE.mean(axis=0)
    expected = stats.permutation_test((d,), np.mean, permutation_type="samples", alternative="greater")
    found = lab.estimate(p(contrast(lab)))
    assert found.cells[0].value == pytest.approx(expected.pvalue)
    assert found.draws == 0
    assert "sign flips over question (n = 9)" in found.method


def test_one_level_of_a_drawn_dim_says_so(tmp_path):
    lab = Lab(tmp_path)
    data = {"question": list(QUESTIONS), "x": VALUES[0, 0]}
    lab.add("m", ("seed", "question"), [X], data, Inference(over=("seed", "question")), at={"seed": "42"})
    found = lab.estimate(lab.ref("m"))
    assert found.method == "t over question (jackknife, n = 9)"
    assert found.note == "for these trained models (one seed)"
    lab.infer(over=("seed",))
    found = lab.estimate(p(lab.ref("m")))
    assert found.cells[0].value is None
    assert found.cells[0].reason == "there is one level of seed, so nothing varies between draws"


def test_what_is_not_drawn_is_named(tmp_path):
    lab = Lab(tmp_path)
    data = {"question": list(QUESTIONS), "x": VALUES[0, 0]}
    lab.add("m", ("seed", "question"), [X], data, Inference(over=("question",)), at={"seed": "42"})
    assert lab.estimate(p(lab.ref("m"))).note == "for these trained models"


# --- cosines -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    """Two arms x 6 layers x 7 personas x 20 questions, arm C2 with half of C1's answer noise."""
    lab = Lab(tmp_path_factory.mktemp("space"))
    rng = np.random.default_rng(1)
    personas, questions = [f"p{i}" for i in range(7)], [f"q{i}" for i in range(20)]
    layers = [centroids(rng, 8, 512, 0.8) for _ in range(6)]
    hidden = {}
    for arm, noise in (("C1", 2.0), ("C2", 1.0)):
        data: dict[str, list[object]] = {}
        for layer, c in enumerate(layers):
            h = states(rng, c, 20, noise / np.sqrt(512))
            hidden[arm, layer] = h
            part = rows(h[1:], h[0], personas, questions)
            part["layer"] = [str(layer)] * len(part["persona"])
            data = {name: data.get(name, []) + values for name, values in part.items()}
        for name, cross in (("cross", True), ("centroid", False)):
            lab.add(
                name, ("arm", "layer", "persona", "question"), [column(cross)], data, at={"arm": arm},
                levels={"arm": ("C1", "C2"), "question": questions},
            )  # fmt: skip
    return lab, hidden


def geometry(lab, name, keep=()):
    return minus(lab.ref(name, keep, arm="C2"), lab.ref(name, keep, arm="C1"))


def test_cosines_average_personas_and_layers_after_the_cosine(space):
    lab, hidden = space
    lab.infer(over=("question",))
    found = lab.estimate(lab.ref("centroid", ("layer",), arm="C1"), ("layer",))
    by_hand = []
    for layer in range(6):
        centres = hidden["C1", layer].mean(axis=1)
        by_hand.append(np.mean([c @ centres[0] / np.linalg.norm(c) / np.linalg.norm(centres[0]) for c in centres[1:]]))
    assert [cell.value for cell in found.cells] == pytest.approx(by_hand)
    assert found.counts == {"layer": 6, "persona": 7, "question": 20, "observations": 840}


def test_equal_geometry_shifts_only_the_centroid_cosine(space):
    lab, _ = space
    lab.infer(over=("question",))
    cross, centroid = (lab.estimate(geometry(lab, name)) for name in ("cross", "centroid"))
    assert interval(cross)[0] < 0 < interval(cross)[1]
    assert abs(cross.cells[0].value) < 0.02
    assert centroid.cells[0].value == pytest.approx(0.1, abs=0.02)
    assert interval(centroid)[0] > 0.05


def test_the_jackknife_of_a_cosine_leaves_one_question_out(space):
    lab, hidden = space
    lab.infer(over=("question",))
    tree = lab.ref("cross", ("layer",), arm="C2")
    h = hidden["C2", 3]
    left_out = []
    for i in range(20):
        rest = np.delete(h, i, axis=1)
        parts = (rest[1:] @ rest[0].T, rest[1:] @ np.swapaxes(rest[1:], 1, 2), np.stack([rest[0] @ rest[0].T] * 7))
        left_out.append(gram.cross_question(*parts, np.full((1, 19), 1 / 19)).mean())
    by_hand = np.sqrt(19 / 20 * ((np.array(left_out) - np.mean(left_out)) ** 2).sum())
    assert lab.estimate(tree, ("layer",)).cells[3].se == pytest.approx(by_hand)


def test_the_bootstrap_of_a_cosine_draws_questions(space):
    lab, hidden = space
    lab.infer(over=("question",), method="bootstrap", draws=4000)
    found = lab.estimate(lab.ref("centroid", ("layer",), arm="C2"), ("layer",))
    rng = np.random.default_rng(3)
    h, samples = hidden["C2", 0], []
    for _ in range(4000):
        centres = h[:, rng.integers(0, 20, 20)].mean(axis=1)
        norms = np.linalg.norm(centres, axis=1)
        samples.append((centres[1:] @ centres[0] / norms[1:] / norms[0]).mean())
    assert interval(found) == pytest.approx(tuple(np.quantile(samples, [0.025, 0.975])), abs=0.004)


def test_the_two_way_t_of_a_cosine(space):
    """Against influence values from numerical derivatives of the definition."""
    lab, hidden = space
    lab.infer(over=BOTH)
    tree = lab.ref("centroid", ("layer",), arm="C1")
    h = hidden["C1", 2]

    def value(w):  # weights of (persona, question) cells: questions within personas, then personas
        total = 0.0
        for i, row in enumerate(w):
            share = row / row.sum()
            a, b = share @ h[1 + i], share @ h[0]
            total += row.sum() * (a @ b) / np.linalg.norm(a) / np.linalg.norm(b)
        return total

    uniform = np.full((7, 20), 1 / 140)
    influence = np.zeros((7, 20))
    for i, j in product(range(7), range(20)):
        cell = np.zeros((7, 20))
        cell[i, j] = 1
        ends = [value((1 - s) * uniform + s * cell) for s in (1e-6, -1e-6)]
        influence[i, j] = (ends[0] - ends[1]) / 2e-6
    expected = two_way(influence[..., None])
    cell = lab.estimate(tree, ("layer",)).cells[2]
    assert (cell.se, cell.df) == pytest.approx((expected.se.item(), expected.df.item()), rel=1e-4)


def test_ten_thousand_draws_are_fast(space):
    lab, _ = space
    lab.infer(over=BOTH, method="bootstrap")
    start = time.perf_counter()
    found = lab.estimate(geometry(lab, "centroid", ("layer",)), ("layer",))
    assert found.draws == 10_000
    assert time.perf_counter() - start < 5


# --- determinism ---------------------------------------------------------------------------------


def test_draws_depend_on_the_seed_and_the_name_alone(lab):
    lab.infer(over=BOTH, method="bootstrap", seed=5)
    once = lab.estimate(contrast(lab))
    assert once == lab.estimate(contrast(lab))
    assert interval(once) != interval(lab.estimate(contrast(lab), name="other"))
    lab.infer(over=BOTH, method="bootstrap", seed=6)
    assert interval(once) != interval(lab.estimate(contrast(lab)))


def test_memory_decides_nothing(lab, monkeypatch):
    lab.infer(over=BOTH, method="bootstrap")
    once = lab.estimate(contrast(lab))
    monkeypatch.setattr("harness.decide.infer.ELEMENTS", 5_000)
    assert interval(lab.estimate(contrast(lab))) == pytest.approx(interval(once), abs=1e-12)


def test_an_estimate_round_trips_through_json(lab):
    lab.infer(over=BOTH)
    found = lab.estimate(contrast(lab, ("persona",)), ("persona",))
    assert Estimate.model_validate_json(found.model_dump_json()) == found


# --- Monte Carlo error ---------------------------------------------------------------------------


def test_a_p_too_near_its_threshold_draws_ten_times_more(lab):
    lab.infer(over=("question",), method="bootstrap", draws=1000)
    tree = p(contrast(lab))
    plain = lab.estimate(tree)
    assert plain.draws == 1000
    near = lab.estimate(tree, thresholds=(str(round(plain.cells[0].value, 3)),))
    assert near.draws == 10_000
    assert lab.estimate(tree, thresholds=("99/100",)).draws == 1000


# --- refusals ------------------------------------------------------------------------------------


def reason(found):
    assert found.cells[0].value is None
    return found.cells[0].reason


def test_no_inference_gives_a_value_without_interval_or_p(lab):
    found = lab.estimate(contrast(lab))
    assert found.cells[0].intervals == ()
    assert found.note == "no interval: measure m declares no resample"
    assert reason(lab.estimate(p(contrast(lab)))) == "measure m declares no resample"


def test_only_what_a_criterion_reads_is_computed_for_inline_formulas(lab):
    lab.infer(over=BOTH)
    assert lab.estimate(contrast(lab), named=False).cells[0].intervals == ()
    assert [i.level for i in lab.estimate(contrast(lab), named=False, levels=("9/10",)).cells[0].intervals] == ["9/10"]


def test_the_declared_level_replaces_the_default(lab):
    lab.infer(over=BOTH, level="99/100")
    assert [i.level for i in lab.estimate(contrast(lab), levels=("9/10",)).cells[0].intervals] == ["99/100", "9/10"]


@pytest.mark.parametrize("fn", ["min", "max"])
def test_min_and_max_have_neither_interval_nor_p(lab, fn):
    lab.infer(over=("question",))
    tree = call(fn, contrast(lab, ("persona",)), over=("persona",))
    found = lab.estimate(tree)
    assert found.cells[0].value is not None
    assert found.note == "no interval: the interval and the p-value of a min or max are not defined"
    assert reason(lab.estimate(p(tree))) == "the interval and the p-value of a min or max are not defined"


def test_abs_is_two_sided_against_zero_only(lab):
    lab.infer(over=BOTH)
    for tree in (p(call("abs", contrast(lab)), ">", "1/10"), p(call("abs", contrast(lab)), "<")):
        with pytest.raises(JobError, match=r"a two-sided p is written p\(abs\(x\) > 0\)"):
            lab.estimate(tree)


def test_measures_that_generalise_differently_have_no_common_p(lab):
    add(lab, "other", over=("question",))
    lab.measures["m"] = lab.measures["m"].model_copy(update={"inference": Inference(over=BOTH)})
    tree = minus(lab.ref("m", arm="A"), lab.ref("other", arm="A"))
    assert reason(lab.estimate(p(tree))) == "measures m and other declare different resamples"


def test_overlapping_sets_cannot_be_drawn(lab):
    lab.infer(over=("persona",))
    tree = minus(lab.ref("m", arm="A", persona=("a", "b", "c")), lab.ref("m", arm="A", persona=("c", "d")))
    assert "overlapping but different sets of persona" in reason(lab.estimate(p(tree)))


def test_two_way_t_refuses_two_sets_of_one_dim(lab):
    lab.infer(over=BOTH)
    tree = minus(lab.ref("m", arm="A", persona=("a", "b", "c")), lab.ref("m", arm="A", persona=("d", "e")))
    assert "the formula draws 2 different sets of persona" in reason(lab.estimate(p(tree)))
    lab.infer(over=BOTH, method="bootstrap")
    assert lab.estimate(p(tree)).cells[0].value is not None


def test_cells_refuse_a_function_along_a_drawn_dim(lab):
    tree = call("entropy", call("abs", lab.ref("m", ("persona",), arm="A")), over=("persona",))
    for inference in ({"over": BOTH, "cells": True}, {"over": BOTH}):
        lab.infer(**inference)
        assert "cells are drawn, and the formula keeps persona" in reason(lab.estimate(p(tree)))


def test_the_jackknife_refuses_a_median(lab):
    lab.infer(over=("persona",))
    tree = call("median", lab.ref("m", ("persona",), arm="A"), over=("persona",))
    assert reason(lab.estimate(p(tree))) == "the jackknife fails for a median; declare 'method: bootstrap'"


@pytest.mark.parametrize("inference", [{"over": BOTH}, {"over": ("question",)}, {"over": BOTH, "method": "bootstrap"}])
def test_where_nothing_varies_p_and_interval_are_unknown(tmp_path, inference):
    lab = Lab(tmp_path)
    add(lab, values=np.stack([np.full((6, 9), 0.1), np.full((6, 9), 0.3)]), **inference)
    found = lab.estimate(contrast(lab))
    assert found.cells[0].value == pytest.approx(0.2)
    assert found.cells[0].intervals == ()
    assert "no interval where nothing varies between the drawn units" in found.note
    assert "nothing varies" in reason(lab.estimate(p(contrast(lab))))


def test_three_drawn_dims_need_a_bootstrap(lab):
    lab.infer(over=("arm", *BOTH))
    assert "no t for three drawn dims" in reason(lab.estimate(p(lab.ref("m"))))
    lab.infer(over=("arm", *BOTH), method="bootstrap")
    assert lab.estimate(p(lab.ref("m"))).cells[0].value is not None


@pytest.mark.parametrize(
    ("method", "text"),
    [
        ("t", "'method: t' draws one dim, not persona and question"),
        ("sign_flip", "'method: sign_flip' draws one dim"),
        ("correlation_t", "is for one pearson or spearman over the drawn dim"),
    ],
)
def test_methods_that_do_not_fit_say_so(lab, method, text):
    lab.infer(over=BOTH, method=method)
    assert text in reason(lab.estimate(p(contrast(lab))))


# --- data ----------------------------------------------------------------------------------------


def test_no_data_is_an_error_and_never_zero(lab):
    tree = contrast(lab)
    lab.tables["m"] = []
    with pytest.raises(JobError, match="nothing was measured for m: no data is an error and never a zero"):
        lab.estimate(tree)
    with pytest.raises(JobError, match="holds no data to estimate from"):
        lab.estimate(num("1/2"))


def test_a_missing_cell_is_named(tmp_path):
    lab = Lab(tmp_path)
    cells = [cell for cell in product("AB", PERSONAS, QUESTIONS) if cell not in {("A", "b", "q3"), ("B", "c", "q0")}]
    data = {dim: [cell[i] for cell in cells] for i, dim in enumerate(("arm", *BOTH))}
    levels = {"arm": ("A", "B"), "persona": PERSONAS, "question": QUESTIONS}
    lab.add("m", ("arm", *BOTH), [RATE], {**data, "rate.k": [1] * 106, "rate.n": [2] * 106}, levels=levels)
    with pytest.raises(
        JobError, match=r"m.rate: 1 of 54 planned cells were not measured: \(arm=A, persona=b, question=q3\)"
    ):
        lab.estimate(lab.ref("m", arm="A"))
    assert lab.estimate(lab.ref("m", arm="A", persona=("a", "c"))).cells[0].exact == "1/2"


def test_tables_are_placed_by_their_coordinates(tmp_path):
    lab = Lab(tmp_path)
    levels = {"arm": ("A", "B"), "dose": ("1", "2"), "seed": ("42", "137"), "question": QUESTIONS}
    dims = ("arm", "dose", "seed", "question")
    data = {"question": list(QUESTIONS)}
    for dose, seed in product(levels["dose"], levels["seed"]):
        values = {**data, "x": [float(dose) * 100 + float(seed)] * 9}
        lab.add("m", dims, [X], values, at={"arm": "B", "dose": dose, "seed": seed}, levels=levels, sweeps=("dose",))
    # The untrained arm is measured once and stands at every dose and seed.
    lab.add("m", dims, [X], {**data, "x": [7.0] * 9}, at={"arm": "A"}, levels=levels, sweeps=("dose",))
    tree = minus(lab.ref("m", ("dose",), arm="B", seed="137"), lab.ref("m", ("dose",), arm="A", seed="137"))
    assert [cell.value for cell in lab.estimate(tree, ("dose",)).cells] == [230.0, 330.0]


@pytest.mark.parametrize(
    ("at", "data", "text"),
    [
        ({"arm": "A"}, {"question": ["q1"], "x": [1.0]}, "does not say which persona its rows belong to"),
        ({"arm": "A"}, {"persona": ["z"], "question": ["q1"], "x": [1.0]}, "unplanned levels of persona: z"),
        ({}, {"persona": ["a"], "question": ["q1"], "x": [1.0]}, "does not say which arm"),
        ({"arm": "A"}, {"persona": ["a"] * 2, "question": ["q1"] * 2, "x": [1.0, 2.0]}, "a cell stands in two rows"),
    ],
)
def test_tables_that_do_not_fit_are_refused(tmp_path, at, data, text):
    lab = Lab(tmp_path)
    levels = {"arm": ("A",), "persona": ("a",), "question": ("q1",)}
    lab.add("m", ("arm", *BOTH), [X], data, at=at, levels=levels)
    with pytest.raises(JobError, match=text):
        lab.estimate(lab.ref("m"))


def test_unknown_columns_and_levels_are_named(lab):
    with pytest.raises(JobError, match=r"measure m has no column 'y' \(it has x\)"):
        lab.estimate(lab.ref("m", column="y"))
    with pytest.raises(JobError, match="measure m has no persona zz"):
        lab.estimate(lab.ref("m", persona="zz"))


def test_text_decides_nothing(tmp_path):
    lab = Lab(tmp_path)
    lab.add(
        "m", ("question",), [Column(name="answer", form="text"), X], {"question": ["q"], "answer": ["no"], "x": [1.0]}
    )
    assert lab.estimate(lab.ref("m", column="x")).cells[0].value == 1.0
    with pytest.raises(JobError, match=r"m\.answer is text and has no value"):
        lab.estimate(lab.ref("m"))


def test_a_threshold_may_hold_data(lab):
    lab.infer(over=("question",))
    tree = PValue(of=lab.ref("m", arm="B"), rel=">", threshold=lab.ref("m", arm="A"))
    assert lab.estimate(tree).cells[0].value == lab.estimate(p(contrast(lab))).cells[0].value
