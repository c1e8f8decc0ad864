"""CONTROL: nothing would show that the instrument, the manipulation or the judge works."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from harness.check.walk import column_of, deciding, refs
from harness.contracts.bound import Bound, BoundMeasure, Clause
from harness.contracts.records import CheckFinding
from harness.contracts.trees import Call, Compare, Num, PValue, Ref
from harness.contracts.walks import leaves, nodes, trees_of

RELATIONS = ("pearson", "spearman", "tau", "slope")


def controls(bound: Bound) -> Iterator[CheckFinding]:
    """Yield a warning for each control that the design lacks."""
    measures = {measure.name: measure for measure in bound.measures}
    yield from _manipulation(bound, measures)
    yield from _range_gates(bound, measures)
    yield from _nulls(bound, measures)
    yield from _anchors(bound, measures)


def _manipulation(bound: Bound, measures: dict[str, BoundMeasure]) -> Iterator[CheckFinding]:
    trained = [arm for arm in bound.arms if any("lora" in use.params or "lr" in use.params for use in arm.stages)]
    if trained and not any(_shows_effect(gate, measures) for gate in bound.gates):
        yield _finding(
            "gates", bound.gates[0].line if bound.gates else 1,
            "no manipulation check and no positive control: no gate asks that training did what it was meant to do, so "
            "a failed training reads as 'no effect'",
            "a gate on what was trained, such as 'min(source_rate) >= 50%'",
        )  # fmt: skip


def _shows_effect(gate: Clause, measures: dict[str, BoundMeasure]) -> bool:
    """Whether a gate asks a trained arm for more than any trained arm has: a bound inside the column's range."""
    for leaf in leaves(gate.criterion):
        if not isinstance(leaf, Compare) or not isinstance(leaf.right, Num):
            continue
        for ref in (node for node in nodes(leaf.left) if isinstance(node, Ref)):
            measure = measures[ref.measure]
            column = column_of(measure, ref.column)
            after = [arm for arm in ref.select.get("arm", ()) if measure.stage.get(arm, 0) > 0]
            edges = [Fraction(edge) for edge in (column.low, column.high) if edge is not None]
            upwards = leaf.rel in (">", ">=") or measure.kind == "training_log"
            if after and upwards and Fraction(leaf.right.value) not in edges:
                return True
    return False


def _range_gates(bound: Bound, measures: dict[str, BoundMeasure]) -> Iterator[CheckFinding]:
    gated = {ref.measure for gate in bound.gates for ref in refs(gate.criterion)}
    read = dict.fromkeys(ref.measure for clause in deciding(bound) for ref in refs(clause.criterion))
    for name in read:
        if name not in gated:
            measure = measures[name]
            yield _finding(
                f"measures.{name}", measure.line,
                f"no gate looks at '{name}': at its floor or ceiling, or without any variance, it would still decide",
                f"a gate such as 'max({name} by …) - min({name} by …) > 0', or a bound on its level",
            )  # fmt: skip


def _nulls(bound: Bound, measures: dict[str, BoundMeasure]) -> Iterator[CheckFinding]:
    for owner in bound.hypotheses:
        if owner.role != "primary":
            continue
        trees = [tree for clause in owner.clauses for tree in trees_of(clause.criterion)]
        every = [node for tree in trees for node in nodes(tree)]
        related = [node for node in every if isinstance(node, Call) and node.fn in RELATIONS]
        states = [m.name for call in related for m in measures.values()
                  if m.family in ("probe", "missing") and "direction" in m.params
                  and any(isinstance(node, Ref) and node.measure == m.name for node in nodes(call))]  # fmt: skip
        if states and not any(isinstance(node, PValue) and node.null for node in every):
            yield _finding(
                f"hypotheses.{owner.name}", owner.line,
                f"{owner.name} relates '{states[0]}' to an outcome without a null: random directions reach high "
                "correlations too",
                "p(… | random DIRECTION) or p(… | shuffled DIM)",
            )  # fmt: skip


def _anchors(bound: Bound, measures: dict[str, BoundMeasure]) -> Iterator[CheckFinding]:
    gated = {ref.measure for gate in bound.gates for ref in refs(gate.criterion)}
    read = dict.fromkeys(ref.measure for clause in deciding(bound) for ref in refs(clause.criterion))
    for judge in bound.judges:
        users = [name for name in read if _judge_of(measures[name]) == judge]
        anchored = any(_judge_of(measures[name]) == judge for name in gated if name not in users)
        if users and not anchored:
            yield _finding(
                f"judges.{judge}", measures[users[0]].line,
                f"{judge} scores '{users[0]}', and no gate holds it to answers whose score is known: a judge that "
                "gives everything the same score would pass",
                "a measure of kind judged_texts on anchors, with gates for its floor and ceiling",
            )  # fmt: skip


def _judge_of(measure: BoundMeasure) -> str:
    judge = measure.params.get("judge", "")
    return judge.removeprefix("$") if isinstance(judge, str) else str(judge.get("name", ""))


def _finding(at: str, line: int, reason: str, fix: str) -> CheckFinding:
    return CheckFinding(code="CONTROL", severity="warning", at=at, line=line, reason=reason, fix=fix)
