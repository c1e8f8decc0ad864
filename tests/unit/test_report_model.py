"""The model of a report: links between estimates, caveats, and the bytes of results.json."""

import json

import pytest
import report_cases
from report_cases import CASES

from harness.contracts.bound import Dim
from harness.contracts.records import Cell, Estimate
from harness.contracts.trees import Expression
from harness.core.errors import PreregError
from reports.model import Extras, Sample, build, load, results_json
from reports.samples import pick


@pytest.mark.parametrize("name", CASES)
def test_results_json_is_stable_and_reads_back(name, tmp_path):
    first, second = results_json(CASES[name]().model), results_json(CASES[name]().model)
    assert first == second
    path = tmp_path / "results.json"
    path.write_bytes(first)
    assert results_json(load(path)) == first
    assert json.loads(first)["schema_name"] == "prereg-results"


def test_no_path_host_or_time_is_in_results_json():
    text = results_json(report_cases.supported().model).decode()
    assert "/somewhere" not in text
    assert "leakage_example.yaml" in text
    moved = report_cases.leakage_bound(file="/another/place/leakage_example.yaml")
    case = report_cases.supported()
    assert results_json(build(moved, case.decision, case.estimates, case.extras)).decode() == text


def test_floats_and_fractions_are_kept_in_full():
    content = json.loads(results_json(report_cases.two_analyses().model))
    rows = {row["estimate"]["name"]: row for row in content["estimates"]}
    assert rows["p_base_published"]["estimate"]["cells"][0]["value"] == 0.00019998000199980003
    assert rows["shift_base"]["estimate"]["cells"][0]["exact"] == "423/1400"


def test_a_value_that_is_not_finite_is_refused():
    case = report_cases.supported()
    shift = case.estimates["leakage_shift"]
    bad = shift.model_copy(update={"cells": (Cell(value=float("nan")),)})
    model = build(case.bound, case.decision, {**case.estimates, "leakage_shift": bad}, case.extras)
    with pytest.raises(PreregError, match=r"estimates\[0\]\.estimate\.cells\[0\]\.value"):
        results_json(model)


def test_estimands_find_their_p_values_sides_and_thresholds():
    model = report_cases.supported().model
    row = model.row("leakage_shift")
    assert row.deciding
    assert row.display == "pp"
    assert row.contrast == "C2 − C1"
    assert [(side.label, side.value) for side in row.sides] == [("C2", 0.55), ("C1", 0.25)]
    assert [(test.rel, test.threshold, test.value) for test in row.tests] == [(">", 0.0, 0.0002)]
    marks = {(mark.estimate, mark.kind, mark.rel, mark.value) for mark in model.marks}
    assert ("leakage_shift", "hypothesis", ">=", 0.15) in marks
    assert ("leakage_shift", "kill", "<", 0.05) in marks
    assert ("min(source_rate)", "gate", ">=", 0.5) in marks
    assert not model.row("source_rate").deciding


def test_a_two_sided_p_belongs_to_what_stands_inside_abs():
    row = report_cases.correlation().model.row("r_cosine")
    assert [(test.name, test.two_sided) for test in row.tests] == [("p_cosine", True)]


def test_the_two_analyses_are_paired_by_data_and_not_by_name():
    model = report_cases.two_analyses().model
    assert len(model.comparisons) == 1
    found = model.comparisons[0]
    assert (found.first, found.second, found.cells) == ("shift_base_published", "shift_base", 140)
    assert (found.spread.low_at, found.spread.high_at) == ("software_engineer", "villain")
    other = report_cases.two_analyses()
    measures = tuple(
        m.model_copy(update={"file": m.file.model_copy(update={"sha256": m.name * 8})}) for m in other.bound.measures
    )
    bound = other.bound.model_copy(update={"measures": measures})
    assert build(bound, other.decision, other.estimates).comparisons == ()


def test_leave_one_outs_are_counted_at_the_registered_level():
    model = report_cases.correlation().model
    caveat = next(c for c in model.caveats if c.code == "LEAVE_ONE_OUT")
    numbers = {n.name: n.value for n in caveat.numbers}
    assert caveat.about == "r_cosine"
    assert (numbers["lost"], numbers["all"], numbers["level"]) == (8, 10, 0.05)


def codes(case):
    return [caveat.code for caveat in case.model.caveats]


def test_caveats_follow_from_the_registration():
    assert codes(report_cases.supported()) == ["SPECIFIC", "ONE_SEED", "ONE_MODEL"]
    assert set(codes(report_cases.not_supported())) == {"ACCEPTED", "WIDE", "TRUNCATED", "ONE_SEED", "ONE_MODEL"}
    assert codes(report_cases.gate_failed()) == ["AMENDED", "GATE", "ONE_SEED", "ONE_MODEL"]
    assert "RETROSPECTIVE" in codes(report_cases.correlation())
    assert "RUNS_UNSEEN" in codes(report_cases.correlation())


def test_a_clause_that_nothing_could_judge_is_a_caveat():
    case = report_cases.supported()
    unknown = case.estimates["leakage_shift"].model_copy(update={"cells": (Cell(value=None, reason="no hits"),)})
    estimates = {**case.estimates, "leakage_shift": unknown}
    model = report_cases.decided(case.bound, list(estimates.values())).model
    caveat = next(c for c in model.caveats if c.code == "UNKNOWN")
    assert (caveat.about, caveat.words["why"]) == ("H1.behavioral", "no hits")


def sweep_case(values):
    case = report_cases.supported()
    weights = ("0.5", "1.0", "2.0")

    def at(arm, levels, keep=()):
        ref = report_cases.leak(arm)
        return ref.model_copy(update={"select": {**ref.select, "weight": levels}, "keep": keep})

    shift = report_cases.minus(at("C2", ("1.0",)), at("C1", ("1.0",)))
    table = report_cases.minus(at("C2", weights, ("weight",)), at("C1", weights, ("weight",)))
    clause = report_cases.clause(
        "behavioral",
        report_cases.compare(shift, ">=", report_cases.num("3/20"), "leakage_shift >= 15 pp"),
        "leakage_shift >= 15 pp",
        12,
    )
    hypothesis = case.bound.hypotheses[0].model_copy(update={"clauses": (clause,)})
    bound = case.bound.model_copy(
        update={
            "hypotheses": (hypothesis,),
            "kills": (),
            "gates": (),
            "triage": (),
            "confidence": (),
            "dims": (*case.bound.dims, Dim(name="weight", levels=weights, primary="1.0")),
            "expressions": (
                Expression(name="leakage_shift", text="x", unit="proportion", tree=shift),
                Expression(name="shift_by_weight", text="x by weight", unit="proportion", axes=("weight",), tree=table),
            ),
        }
    )
    estimates = [
        Estimate(name="leakage_shift", formula="x", unit="proportion", cells=(Cell(value=0.3),)),
        Estimate(
            name="shift_by_weight",
            formula="x by weight",
            unit="proportion",
            axes=("weight",),
            cells=tuple(
                Cell(at={"weight": weight}, value=value) for weight, value in zip(weights, values, strict=True)
            ),
        ),
    ]
    return report_cases.decided(bound, estimates)


def test_a_sweep_that_would_decide_otherwise_is_a_caveat():
    model = sweep_case((0.1, 0.3, 0.05)).model
    caveat = next(c for c in model.caveats if c.code == "SWEEP")
    assert caveat.words["levels"] == "0.5, 2.0"
    assert "SWEEP" not in [c.code for c in sweep_case((0.2, 0.3, 0.25)).model.caveats]


def test_samples_are_half_hits_and_spread_over_personas():
    def sample(persona, number, hit):
        return Sample(arm="C1", persona=persona, question=f"q{number}", prompt="", text="t", hit=hit)

    many = [sample(p, n, hit) for p in "abc" for n in range(4) for hit in (True, False)]
    picked = pick(many)
    assert [s.hit for s in picked] == [True] * 3 + [False] * 3
    assert [s.persona for s in picked[:3]] == ["a", "b", "c"]
    assert pick(list(reversed(many))) == picked
    rare = [sample("a", 0, True), *(sample("b", n, False) for n in range(9))]
    assert [s.hit for s in pick(rare)] == [True] + [False] * 5
    assert pick(rare[:2]) == rare[:2]


def test_an_expression_without_an_estimate_is_left_out():
    case = report_cases.supported()
    kept = {name: estimate for name, estimate in case.estimates.items() if name != "source_rate"}
    assert build(case.bound, case.decision, kept, Extras()).row("source_rate") is None
