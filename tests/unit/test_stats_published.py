"""Published numbers: the marker counts of issue 262 and the table of seed 002, through ``estimate``."""

from __future__ import annotations

import numpy as np
import pytest
from measured import Lab, call, issue_262, minus, p, published, shift, two_sided

from harness.contracts.records import Column, Inference

BOTH = ("persona", "question")


@pytest.fixture
def lab(tmp_path):
    lab = Lab(tmp_path)
    issue_262(lab)
    return lab


def interval(estimate, at=0):
    return estimate.cells[0].intervals[at].low, estimate.cells[0].intervals[at].high


CONTRASTS = {
    # other arm: difference, published cell bootstrap, crossed two-way t
    "C1": (423, (0.23429, 0.37000), (0.0574, 0.5469)),
    "C3": (-537, (-0.42429, -0.34357), (-0.5081, -0.2590)),
    "C2x": (759, (0.50357, 0.58071), (0.4312, 0.6531)),
}


@pytest.mark.parametrize("other", CONTRASTS)
def test_the_published_cell_bootstrap(lab, other):
    hits, ends, _ = CONTRASTS[other]
    lab.infer(over=BOTH, cells=True, paired=False)
    found = lab.estimate(shift(lab, "C2", other))
    assert found.cells[0].exact == f"{hits}/1400"
    assert interval(found) == pytest.approx(ends, abs=0.005)
    assert found.draws == 10_000
    assert found.counts == {"persona": 7, "question": 20, "observations": 2800}
    assert found.method == "bootstrap of cells of persona and question, arms independent, 10000 draws"
    for tree in (p(shift(lab, "C2", other)), p(shift(lab, "C2", other), "<"), two_sided(shift(lab, "C2", other))):
        assert lab.estimate(tree).cells[0].value > 0, "no p is 0"


def test_the_published_p_of_zero_is_one_over_draws(lab):
    lab.infer(over=BOTH, cells=True, paired=False)
    assert lab.estimate(p(shift(lab))).cells[0].value == 1 / 10_001
    assert lab.estimate(two_sided(shift(lab))).cells[0].value == 2 / 10_001


@pytest.mark.parametrize("other", CONTRASTS)
def test_the_crossed_two_way_t(lab, other):
    lab.infer(over=BOTH)
    found = lab.estimate(shift(lab, "C2", other))
    assert interval(found) == pytest.approx(CONTRASTS[other][2], abs=5e-5)
    assert found.method == "two-way t over persona and question (7 x 20), paired"


def test_the_crossed_two_way_t_of_the_main_contrast(lab):
    lab.infer(over=BOTH)
    assert lab.estimate(shift(lab)).cells[0].df == pytest.approx(6.26, abs=0.005)
    assert lab.estimate(p(shift(lab))).cells[0].value == pytest.approx(0.0115, abs=5e-5)
    assert lab.estimate(p(shift(lab), ">", "3/20")).cells[0].value == pytest.approx(0.0897, abs=0.005)


@pytest.mark.parametrize(
    ("inference", "ends"),
    [
        ({"over": BOTH, "cells": True}, (0.241, 0.363)),
        ({"over": BOTH, "cells": True, "paired": False}, (0.233, 0.369)),
        ({"over": ("question",), "method": "bootstrap"}, (0.249, 0.355)),
        ({"over": ("persona",), "method": "bootstrap"}, (0.114, 0.472)),
        ({"over": BOTH, "method": "bootstrap"}, (0.101, 0.486)),
        ({"over": BOTH, "method": "bootstrap", "paired": False}, (0.061, 0.514)),
        ({"over": BOTH}, (0.057, 0.547)),
    ],
)
def test_the_table_of_methods(lab, inference, ends):
    # Ends of a persona bootstrap move by about .004 from one random seed to the next.
    lab.infer(**{"draws": 50_000, **inference})
    assert interval(lab.estimate(shift(lab))) == pytest.approx(ends, abs=0.006)


def test_one_persona_moves_minus_18_points(lab):
    by_persona = lab.estimate(shift_by_persona(lab), ("persona",))
    values = {cell.at["persona"]: cell.exact for cell in by_persona.cells}
    assert values["software_engineer"] == "-37/200"
    lab.infer(over=("question",))
    assert lab.estimate(call("min", shift_by_persona(lab), over=("persona",))).cells[0].exact == "-37/200"


def shift_by_persona(lab):
    return shift_keep(lab, ("persona",))


def shift_keep(lab, keep):
    tree = shift(lab)
    return minus(tree.left.model_copy(update={"keep": keep}), tree.right.model_copy(update={"keep": keep}))


def test_mean_pooled_cosines_of_262_leave_no_room(tmp_path):
    import csv

    with published("issue_262_cosines.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    lab = Lab(tmp_path)
    data = {dim: [row[dim] for row in rows] for dim in ("model", "layer", "persona")}
    data["cos"] = [float(row["cos_mean"]) for row in rows]
    lab.add("geometry", ("model", "layer", "persona"), [Column(name="cos", low=-1, high=1)], data)
    pool = {"persona": [x for x in dict.fromkeys(data["persona"]) if x in lab.measures["geometry"].levels["persona"]]}
    raw = lab.estimate(lab.ref("geometry", model="raw_instruct", **pool)).cells[0].value
    em = lab.estimate(lab.ref("geometry", model="em_merged", **pool)).cells[0].value
    assert raw == pytest.approx(0.997, abs=0.001)
    assert abs(em - raw) < 0.003


# --- seed 002 ------------------------------------------------------------------------------------

TABLE = {
    "police_officer": (-0.399, 0.018, 0.41),
    "zelthari_scholar": (-0.379, 0.033, 0.53),
    "comedian": (-0.283, 0.048, 0.63),
    "villain": (-0.237, 0.032, 0.57),
    "french_person": (-0.226, 0.026, 0.49),
    "librarian": (-0.081, 0.013, 0.67),
    "medical_doctor": (0.054, 0.013, 0.32),
    "data_scientist": (0.170, 0.014, 0.32),
    "kindergarten_teacher": (0.331, 0.027, 0.33),
    "software_engineer": (0.446, 0.012, 0.32),
}


@pytest.fixture
def coupling(tmp_path):
    lab = Lab(tmp_path)
    cos, js, rate = zip(*TABLE.values(), strict=True)
    columns = [
        Column(name="cos", low=-1, high=1),
        Column(name="js", unit="nats", low=0),
        Column(name="rate", low=0, high=1),
    ]
    data = {"persona": list(TABLE), "cos": cos, "js": js, "rate": rate}
    lab.add("published", ("persona",), columns, data, Inference(over=("persona",)))
    return lab


def related(lab, fn, first, second="rate"):
    refs = (lab.ref("published", ("persona",), column) for column in (first, second))
    return call(fn, *refs, over=("persona",))


@pytest.mark.parametrize(
    ("fn", "first", "second", "r", "probability"),
    [
        ("pearson", "cos", "rate", -0.658, 0.0387),
        ("pearson", "js", "rate", 0.540, 0.107),
        ("pearson", "cos", "js", -0.510, 0.132),
        ("spearman", "cos", "rate", -0.595, 0.070),
    ],
)
def test_coupling_correlations(coupling, fn, first, second, r, probability):
    tree = related(coupling, fn, first, second)
    assert coupling.estimate(tree).cells[0].value == pytest.approx(r, abs=6e-4)
    found = coupling.estimate(two_sided(tree))
    assert found.cells[0].value == pytest.approx(probability, abs=6e-4)
    assert "n = 10" in found.method


def test_coupling_intervals_are_fishers(coupling):
    low, high = interval(coupling.estimate(related(coupling, "pearson", "cos")))
    z = np.arctanh(-0.6577091629811105) + np.array([-1, 1]) * 1.959964 / np.sqrt(7)
    assert (low, high) == pytest.approx(tuple(np.tanh(z)))


def test_eight_of_ten_leave_one_outs_lose_p_05(coupling):
    left_out = call("leave_one_out", two_sided(related(coupling, "pearson", "cos")), over=("persona",))
    found = coupling.estimate(left_out, ("persona",))
    assert [cell.at["persona"] for cell in found.cells] == list(TABLE)
    assert sum(cell.value > 0.05 for cell in found.cells) == 8
    worst = coupling.estimate(call("max", left_out, over=("persona",)))
    assert worst.cells[0].value == max(cell.value for cell in found.cells)


def test_leave_one_out_correlations_are_those_of_nine(coupling):
    tree = call("leave_one_out", related(coupling, "pearson", "cos"), over=("persona",))
    rows = np.array(list(TABLE.values()))
    by_hand = [np.corrcoef(np.delete(rows[:, 0], i), np.delete(rows[:, 2], i))[0, 1] for i in range(10)]
    found = coupling.estimate(tree, ("persona",))
    assert [cell.value for cell in found.cells] == pytest.approx(by_hand)
    assert found.note == "no interval: leave-one-out values look at one sample from several sides"


def test_coupling_permutation_null(coupling):
    found = coupling.estimate(p(related(coupling, "spearman", "cos"), "<", null="shuffled", dim="persona"))
    assert found.cells[0].value == pytest.approx(0.036, abs=0.006)
    assert found.draws == 10_000
    assert found.method == "permutation test, persona shuffled, 10000 random arrangements"
