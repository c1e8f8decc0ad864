"""Rules that look at a registration: each is broken once, and what it says is read."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest
from registrations import bound as small

from harness.check.codes import RULES, SAYS, explain
from harness.check.leakage import normal
from harness.check.methods import method_of, smallest_p
from harness.check.power import power
from harness.check.run import check, refused
from harness.compile.bind import load_bound
from harness.compose import declare_kinds
from harness.contracts.bound import Bound
from harness.contracts.records import CheckFinding
from harness.contracts.trees import PValue
from harness.contracts.walks import leaves, nodes, values

REPO = Path(__file__).parents[2]
QUIET = ("      close: ci(cosine) > 0.1\n", "")


def found(bound: Bound, code: str, at: str = "") -> list[CheckFinding]:
    return [each for each in check(bound) if each.code == code and each.at.startswith(at)]


def one(bound: Bound, code: str, at: str = "") -> CheckFinding:
    (only,) = found(bound, code, at)
    return only


def prereg(name: str, **options) -> Bound:
    declare_kinds()
    return load_bound(REPO / "preregs" / f"{name}.yaml", shown=f"{name}.yaml", **options)


# --- the two targets ---


def test_issue_310_as_filed_has_its_faults_found_without_its_allow_entries() -> None:
    findings = check(prereg("issue_310"), deep=True, allow=False)
    said = {(f.code, f.at): f for f in findings}
    errors = {key for key, f in said.items() if f.severity == "error"}
    assert errors == {
        ("LEAK", "dims.persona.sets.bystanders"),
        ("UNREAD", "arms.C3"),
        ("CELLS", "measures.leakage.resample"),
        ("KILL-POINT", "kill.no_flattening"),
        ("RESOLUTION", "hypotheses.H1.behavioral"),
        ("HEADROOM", "hypotheses.H1.geometric"),
    }
    assert "software_engineer, medical_doctor, villain, comedian" in said["LEAK", "dims.persona.sets.bystanders"].reason
    assert "headroom unknown" in said["HEADROOM", "hypotheses.H1.geometric"].reason
    assert "tail of a bootstrap" in said["RESOLUTION", "hypotheses.H1.behavioral"].reason
    assert "no manipulation check" in said["CONTROL", "gates"].reason
    assert "default system prompt" in said["PIN", "dims.persona.sets.default"].reason
    assert ("PIN", "data.benign") in said
    assert ("SEED", "dims.seed") in said


def test_issue_310_runs_on_what_it_accepts() -> None:
    for rehearsal in (False, True):
        assert refused(check(prereg("issue_310", rehearsal=rehearsal), deep=True)) == ()


def test_issue_310_v2_is_clean_but_for_its_pin_and_seed() -> None:
    findings = check(prereg("issue_310_v2"), deep=True)
    assert {(f.code, f.severity, f.at) for f in findings} == {
        ("PIN", "warning", "data.benign"),
        ("SEED", "warning", "dims.seed"),
        ("POWER", "note", "hypotheses.H1"),
    }


def test_collection_asks_no_solver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "z3", None)
    assert check(prereg("issue_310_v2"))


# --- headroom ---


def test_a_gate_that_leaves_too_little_room() -> None:
    assert found(small(), "HEADROOM")[0].reason.startswith("headroom unknown")
    gate = ("  learnt: min", "  room: max(plain_level) <= {}\n  learnt: min")
    level = ("  by_layer:", "  plain_level: geometry[plain] by layer\n  by_layer:")
    assert not found(small((gate[0], gate[1].format("0.8")), level), "HEADROOM")
    half = one(small((gate[0], gate[1].format("0.85")), level), "HEADROOM")
    assert "a gate lets the baseline be 0.85, which leaves 0.15 to the bound 1: more than half of it" in half.reason
    assert "more than there is" in one(small((gate[0], gate[1].format("0.95")), level), "HEADROOM").reason


def test_a_rate_may_not_be_asked_for_more_than_half_its_range() -> None:
    assert (
        "half of the whole range" in one(small(QUIET, (">= 15 pp", ">= 60 pp"), ("30 pp", "70 pp")), "HEADROOM").reason
    )


def test_a_recorded_baseline_is_read(tmp_path: Path) -> None:
    rows = [f"{arm},i{n},{rate}" for n in range(1, 7) for arm, rate in (("a", "0.9"), ("b", "0.95"))]
    (tmp_path / "t.csv").write_text("arm,item,rate\n" + "\n".join(rows) + "\n")
    text = """prereg: 1
id: t
title: T
question: Q
hypotheses: {H1: {claim: c, all: {x: "t[b] - t[a] >= 8 pp and ci(t[b] - t[a]) > 0"}}}
measures: {t: {kind: recorded, file: t.csv, columns: {arm: dim, item: dim, rate: rate}, resample: item}}
dims: {arm: [a, b], item: {levels: [i1, i2, i3, i4, i5, i6], primary: mean}}
"""
    reason = one(small(text=text, folder=tmp_path), "HEADROOM").reason
    assert "the recorded baseline is 0.9, which leaves 0.1 to the bound 1: more than half of it" in reason


# --- leakage ---


def test_prompts_are_compared_by_what_they_say() -> None:
    assert normal("  You are  a COOK! ") == normal("you are a cook")
    of = small()
    dim = next(dim for dim in of.dims if dim.name == "question")
    copy = {**dim.texts, "q021": dim.texts["q001"].upper() + "!"}
    dims = tuple(each.model_copy(update={"texts": copy}) if each is dim else each for each in of.dims)
    leak = one(of.model_copy(update={"dims": dims}), "LEAK")
    assert leak.at == "dims.question.sets.eval"
    assert "q001 (says the same as q021)" in leak.reason
    twice = {**dim.texts, "q002": dim.texts["q001"]}
    dims = tuple(each.model_copy(update={"texts": twice}) if each is dim else each for each in of.dims)
    assert "q002 and q001" in one(of.model_copy(update={"dims": dims}), "LEAK").reason


def test_training_on_the_questions_that_decide() -> None:
    assert "20 of the questions that decide" in one(small(("train: 21..220", "train: 1..200")), "LEAK").reason


def test_negatives_that_decide_leak_and_the_taught_source_does_not() -> None:
    assert one(small(("[tuned, others]", "[tuned, negatives]"), ("[plain, others]", "[plain, negatives]")), "LEAK")
    assert not found(small(("[tuned, others]", "[tuned, source]"), ("[plain, others]", "[plain, source]"),
                           ("resample: persona and question", "resample: question")), "LEAK")  # fmt: skip


# --- resolution ---

TABLE = """prereg: 1
id: t
title: T
question: Q
hypotheses: {{H1: {{claim: c, all: {{x: "{clause}"}}}}}}
measures:
  t: {{kind: recorded, file: t.csv, columns: {{arm: dim, seed: dim, acc: rate}}, resample: {resample}}}
  u: {{kind: recorded, file: u.csv, columns: {{unit: dim, acc: rate, group: number}}, resample: unit}}
dims: {{arm: [a, b], seed: {{levels: [1, 2, 3], primary: mean}}, unit: {{levels: [1, 2, 3, 4, 5, 6], primary: mean}}}}
"""


@pytest.fixture
def seeds(tmp_path: Path):
    """Two arms with three seeds each, recorded."""
    rows = [f"{arm},{seed},0.{seed}" for arm in "ab" for seed in (1, 2, 3)]
    (tmp_path / "t.csv").write_text("arm,seed,acc\n" + "\n".join(rows) + "\n")
    units = [f"{unit},0.{unit},{unit > 3:d}" for unit in range(1, 7)]
    (tmp_path / "u.csv").write_text("unit,acc,group\n" + "\n".join(units) + "\n")

    def make(clause: str, resample: str = "seed") -> Bound:
        return small(text=TABLE.format(clause=clause, resample=resample), folder=tmp_path)

    return make


@pytest.mark.parametrize(
    ("clause", "smallest"),
    [
        ("p(spearman(u.acc by unit, u.group by unit) > 0 | shuffled unit) < 0.01", "1/20 = 0.05"),
        ("p(tau(t[b] by seed) > 0 | shuffled seed) < 0.05", "1/6 = 0.167"),
        ("p(t[b] - t[a] > 0) < 0.1", "1/8 = 0.125"),
        ("p(abs(t[b] - t[a]) > 0) < 0.2", "1/4 = 0.25"),
    ],
)
def test_three_against_three_have_a_smallest_p(seeds, clause: str, smallest: str) -> None:
    resample = "seed, method: sign_flip"
    resolution = found(seeds(clause, resample), "RESOLUTION")
    assert [f.severity for f in resolution] == ["error"]
    assert f"the smallest p that this design can give: {smallest}" in resolution[0].reason
    assert resolution[0] in refused(check(seeds(clause, resample)))


def test_a_reachable_p_is_left_alone(seeds) -> None:
    assert not found(seeds("p(tau(t[b] by seed) > 0 | shuffled seed) < 0.2"), "RESOLUTION")


def test_smallest_p_and_method_without_any_data() -> None:
    measures = {measure.name: measure for measure in prereg("issue_310").measures}
    p = next(
        node
        for clause in prereg("issue_310").hypotheses[0].clauses
        for leaf in leaves(clause.criterion)
        for value in values(leaf)
        for node in nodes(value)
        if isinstance(node, PValue)
    )
    assert method_of(p.of, measures).name == "bootstrap"
    assert smallest_p(p, measures) == Fraction(1, 10_001)


def test_a_margin_within_the_noise() -> None:
    few = (
        ("    completions: 3\n", "    completions: 1\n"),
        ("others: rest", "others: [poet]"),
        ("eval: 1..20", "eval: 1..15"),
    )
    lone = (" and p(shift > 0) < 0.01", ""), ("  none: ci(shift) < 5 pp", "  none: ci(cosine) < 0.1")
    noise = one(small(*few, *lone, QUIET), "RESOLUTION", "hypotheses")
    assert noise.severity == "error"
    assert "two equal arms of 15 and 15 answers differ by that much by chance" in noise.reason


def test_steps_coarser_than_the_threshold() -> None:
    few = (
        ("    completions: 3\n", "    completions: 1\n"),
        ("others: rest", "others: [poet]"),
        ("eval: 1..20", "eval: 1..5"),
    )
    lone = (" and p(shift > 0) < 0.01", ""), ("  none: ci(shift) < 5 pp", "  none: ci(cosine) < 0.1")
    reasons = [f.reason for f in found(small(*few, *lone, QUIET), "RESOLUTION", "hypotheses")]
    assert any("falls between the steps of the rate, which are 1/5" in reason for reason in reasons)


def test_independent_arms_on_shared_prompts() -> None:
    unpaired = ("    resample: persona and question\n", "    resample: persona and question\n    arms: independent\n")
    assert any("drawn again independently" in f.reason for f in found(small(unpaired), "RESOLUTION"))


# --- power ---


def test_a_threshold_at_what_is_expected() -> None:
    at = one(small(("expect: {shift: 30 pp}", "expect: {shift: 15 pp}")), "POWER")
    assert at.severity == "error"
    assert "lies at or beyond what is expected (shift: 15 pp)" in at.reason


def test_a_stored_simulation_is_read(tmp_path: Path) -> None:
    bound = small()
    (note,) = power(bound, tmp_path)
    assert note.severity == "note"
    assert note.fix.startswith("prereg simulate small.yaml --run-sd 5pp, ")
    (tmp_path / "simulations").mkdir()
    stored = tmp_path / "simulations" / f"{bound.meaning}.json"

    def said(null: float, expect: float, changed: int = 1, name: str = "H1.more") -> list[tuple[str, str]]:
        content = {
            "points": {"null": {"supported": null}, "expect": {"supported": expect}},
            "details": {"null": {"errors": {"supported": 0.004}}},
            "dropped": [{"name": name, "changed": changed, "of": 2000}],
        }
        stored.write_text(json.dumps(content))
        return [(f.severity, f.reason) for f in power(bound, tmp_path)]

    assert said(0.01, 0.92) == []
    assert said(0.01, 0.5) == [("warning", "P(supported) is 50% when the effects are as expected")]
    assert said(0.2, 0.9) == [("error", "P(supported) is 20.0% when there is no effect, above 5%")]
    assert said(0.01, 0.9, 0) == [("note", "without 'H1.more' 0 of 2000 simulated verdicts change")]
    assert said(0.01, 0.9, 0, "kill.none") == [("note", "without 'kill.none' 0 of 2000 simulated verdicts change")]
    assert said(0.01, 0.9, 0, "gate.learnt") == [], "a positive control is there for what is not simulated"


# --- the others ---


def test_a_kill_may_compare_a_p_value() -> None:
    assert not found(small(("none: ci(shift) < 5 pp", "none: p(shift < 5 pp) < 0.05")), "KILL-POINT")
    assert found(small(("none: ci(shift) < 5 pp", "none: shift < 5 pp")), "KILL-POINT")


def test_alternatives_need_a_correction() -> None:
    two = ("p(shift > 0) < 0.01", "at_least(1, p(shift > 0) < 0.01, p(cosine > 0) < 0.01)")
    assert "2 tests are 2 ways" in one(small(two), "MULTIPLE").reason
    assert not found(small(two, ("    expect:", "    correct: holm over more\n    expect:")), "MULTIPLE")
    second = ("gates:", "  H2:\n    claim: it does\n    all: {only: ci(cosine) > 0}\ngates:")
    assert "H1, H2 are primary" in one(small(second), "MULTIPLE").reason
    assert not found(small((second[0], second[1].replace("    all", "    after: H1\n    all"))), "MULTIPLE")


def test_controls_and_pins_and_seeds() -> None:
    assert "no gate looks at 'geometry'" in one(small(), "CONTROL", "measures.geometry").reason
    assert (
        "no manipulation check"
        in one(small(("min(source_rate) >= 50%", "min(source_rate) > 0%")), "CONTROL", "gates").reason
    )
    assert {f.at for f in found(small(), "PIN")} == {"data.em", "models.base"}
    assert not found(small(("seed: [42]", "seed: [42, 137, 256]")), "SEED")


@pytest.mark.parametrize("revision", ["main", "v1.0", "a09a354", "0" * 39, "0" * 41, "g" * 40, "refs/pr/1"])
def test_only_a_whole_commit_hash_is_pinned(revision: str) -> None:
    found_ = one(small(("revision: a09a354", f"revision: {revision}")), "PIN", "models.base")
    assert found_.severity == "warning"
    assert f"the revision '{revision}' of Qwen/Qwen2.5-7B-Instruct is a branch, a tag or a part" in found_.reason
    assert found_.fix == "write the whole commit hash: 40 hex digits"


def test_a_whole_commit_hash_is_pinned() -> None:
    assert {f.at for f in found(small(("revision: a09a354", f"revision: {'0a' * 20}")), "PIN")} == {"data.em"}


def test_what_is_made_and_not_read() -> None:
    assert one(small(), "UNREAD", "estimands").reason == "reported, and deciding nothing: by_layer"
    assert one(small(), "UNREAD", "dims.epochs").reason == "no formula reads epochs = 1"
    idle = ("measures:\n", "measures:\n  log: {kind: training_log, at: after sft}\n")
    assert one(small(idle), "UNREAD", "measures.log").severity == "warning"


# --- allow ---


def test_an_entry_accepts_its_finding_and_below() -> None:
    allow = ("data:\n", "allow:\n  - {finding: PIN, at: data, because: not out yet}\ndata:\n")
    assert one(small(allow), "PIN", "data").allowed == "not out yet"
    assert not any(f.allowed for f in check(small(allow), allow=False))


def test_an_entry_that_accepts_nothing_is_a_note() -> None:
    allow = (
        "data:\n",
        "allow:\n  - {finding: CELLS, at: data, because: why}\n  - {finding: INERT, at: data, because: why}\ndata:\n",
    )
    assert one(small(allow), "ALLOW").reason == "CELLS at data is accepted, and there is no such finding"
    assert len([f for f in check(small(allow), deep=True) if f.code == "ALLOW"]) == 2


# --- codes ---


def test_every_code_is_explained() -> None:
    assert set(RULES) == set(SAYS)
    for code in SAYS:
        text = explain(code)
        assert text.startswith(f"{code} (")
        assert len(text) > 80
