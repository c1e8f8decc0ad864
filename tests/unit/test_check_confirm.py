"""What the solver finds possible is called reachable only after ``decide`` has returned it on a table."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.check.methods import method_of
from harness.check.solver.study import Study
from harness.check.walk import criteria
from harness.compile.bind import bind, load_bound
from harness.compose import declare_kinds
from harness.contracts.bound import Bound
from harness.contracts.records import Inference
from harness.contracts.trees import Call, PValue
from harness.contracts.walks import nodes, trees_of
from harness.core.errors import PreregError
from harness.decide.confirm import Confirmed, confirm, judged, reached
from harness.decide.draws import NoInferenceError
from harness.decide.infer import method_of as evaluated
from harness.decide.tables import World
from harness.spec.load import read_text

REPO = Path(__file__).parents[2]
TEXT = """prereg: 1
id: toy
title: T
question: Q
hypotheses:
  H1: {claim: b is above a, all: {big: shift >= 0.5, clear: "ci(shift) > 0"}}
gates: {high: t.a >= 1}
kill: {none: KILL}
triage:
  - H1: yes -> on
  - H1.clear and not H1.big: small -> on
  - otherwise: no -> stop
estimands: {shift: t.b - t.a}
measures: {t: {kind: recorded, file: t.csv, columns: {item: dim, a: number, b: number}, resample: item}}
dims: {item: {levels: [i1, i2, i3, i4, i5, i6], primary: mean}}
"""


def toy(folder: Path, kill: str = "ci(shift) < 0.1") -> Bound:
    (folder / "t.csv").write_text("item,a,b\n" + "\n".join(f"i{n},{n},{n}" for n in range(1, 7)) + "\n")
    declare_kinds()
    return bind(read_text(TEXT.replace("KILL", f'"{kill}"'), file="toy.yaml", folder=folder))


def test_every_outcome_of_a_sound_rule_is_reached(tmp_path: Path) -> None:
    found = {(each.kind, each.name): each.state for each in confirm(toy(tmp_path))}
    assert found == dict.fromkeys(
        [
            *(("verdict", word) for word in ("supported", "killed", "not supported", "inconclusive")),
            ("hypothesis", "H1/supported"), ("hypothesis", "H1/not supported"),
            ("triage", "0"), ("triage", "1"), ("triage", "2"),
        ],
        "reachable",
    )  # fmt: skip


def test_what_is_impossible_is_never_tried(tmp_path: Path) -> None:
    bound = toy(tmp_path)
    (tmp_path / "other").mkdir()
    never = {
        each.name: each.state
        for each in confirm(toy(tmp_path, "ci(shift) < 0.1 and shift > 1"))
        if each.kind == "verdict"
    }
    assert never["killed"] == "impossible"
    assert never["supported"] == "reachable"
    assert bound.kills


def test_a_contradiction_of_the_solver_is_one_of_decide(tmp_path: Path) -> None:
    bound = toy(tmp_path, "ci(shift) < 3")
    (both,) = [each for each in Study(bound).results() if each.asked == "exclusive" and each.kind == "kill"]
    assert both.answer.found == "sat"
    with pytest.raises(PreregError, match="which it kills, is supported"):
        judged(bound, both.answer.levels)


def test_a_witness_in_words(tmp_path: Path) -> None:
    said = [str(each) for each in confirm(toy(tmp_path))]
    assert said[0].startswith("verdict supported: reachable (t.a = ")
    assert str(Confirmed("triage", "1", "not refuted", (), "no luck")) == "triage 1: not refuted (no luck)"


def test_the_real_rule_of_issue_262_is_reached_everywhere() -> None:
    data = REPO.parent / "shared" / "data"
    declare_kinds()
    bound = load_bound(REPO / "preregs" / "issue_262.yaml", data_root=data)
    states = [each.state for each in confirm(bound) if each.kind != "triage"]
    assert states == ["reachable"] * 10


def test_reached_reads_the_decision(tmp_path: Path) -> None:
    bound = toy(tmp_path)
    answers = {(kind, name): answer for kind, name, answer in Study(bound).targets()}
    decision = judged(bound, answers["verdict", "supported"].levels)
    assert decision.verdict == "supported"
    assert reached(decision, "hypothesis", "H1/supported")
    assert reached(decision, "triage", "0")
    assert not reached(decision, "verdict", "killed")


class Stated(World):
    """Measures as registered, without any data: choosing a method needs none."""

    def inference(self, measure: str) -> Inference | None:
        return self.measures[measure].inference


@pytest.mark.parametrize("name", ["issue_310", "issue_310_v2", "issue_262", "coupling_predictors"])
def test_the_methods_are_those_that_decide_uses(name: str) -> None:
    declare_kinds()
    bound = load_bound(REPO / "preregs" / f"{name}.yaml", data_root=REPO.parent / "shared" / "data")
    measures = {measure.name: measure for measure in bound.measures}
    world = Stated(measures, {})
    seen = 0
    for tree in (node for c in criteria(bound) for value in trees_of(c) for node in nodes(value)):
        if isinstance(tree, PValue) and tree.null is None:
            of = tree.of.args[0] if isinstance(tree.of, Call) and tree.of.fn == "abs" else tree.of
            try:
                wanted = evaluated(of, world)
            except NoInferenceError:
                wanted = ""
            assert method_of(of, measures).name == wanted
            seen += 1
    assert seen
