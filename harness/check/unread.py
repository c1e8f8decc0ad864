"""UNREAD: something is made and then decides nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.check.walk import criteria, refs
from harness.contracts.bound import Bound
from harness.contracts.records import CheckFinding
from harness.contracts.trees import Op, Ref, Value
from harness.contracts.walks import leaves, nodes, trees_of


def unread_arms(bound: Bound) -> Iterator[CheckFinding]:
    """Yield a finding for each arm that no hypothesis, kill or triage row contrasts with another."""
    clauses = [clause.criterion for hypothesis in bound.hypotheses for clause in hypothesis.clauses]
    clauses += [kill.criterion for kill in bound.kills]
    clauses += [row.criterion for row in bound.triage if row.criterion is not None]
    read = {arm for criterion in clauses for ref in refs(criterion) for arm in ref.select.get("arm", ())}
    together = _contrasted([value for criterion in clauses for value in trees_of(criterion)])
    checks = [value for gate in bound.gates for value in trees_of(gate.criterion)]
    checks += [tree for choice in bound.choices for tree in (choice.maximise, choice.minimise) if tree is not None]
    together |= _contrasted([node for tree in checks for node in nodes(tree) if _arm_by_arm(node)])
    read |= together
    made_for = {name for measure in bound.measures for name in _sources(measure.params)}
    for arm in bound.arms:
        if arm.name not in read and not _feeds(bound, arm.name, made_for):
            yield CheckFinding(
                code="UNREAD",
                severity="error",
                at=f"arms.{arm.name}",
                line=arm.line,
                reason=f"arm {arm.name} ({arm.label}) is trained and measured, and no hypothesis, kill or triage row "
                "reads it",
                fix="contrast it in a hypothesis, or leave it out",
            )
        elif len(bound.arms) > 1 and arm.name in read and arm.name not in together:
            yield CheckFinding(
                code="UNREAD",
                severity="warning",
                at=f"arms.{arm.name}",
                line=arm.line,
                reason=f"arm {arm.name} ({arm.label}) is read by itself and contrasted with no other arm",
                fix="take the difference to the arm that it controls for",
            )


def unread_numbers(bound: Bound) -> Iterator[CheckFinding]:
    """Yield a finding for each measure, estimand, sweep level and seed dim that nothing reads."""
    every = [value for criterion in criteria(bound) for value in trees_of(criterion)]
    chosen = [tree for choice in bound.choices for tree in (choice.maximise, choice.minimise) if tree is not None]
    chosen += [value for choice in bound.choices if choice.among for value in trees_of(choice.among)]
    named = [expression.tree for expression in bound.expressions if expression.named]
    read = {node.measure for tree in (*every, *chosen, *named) for node in nodes(tree) if isinstance(node, Ref)}
    sources = {name for measure in bound.measures for name in _sources(measure.params)}
    sources |= {name for arm in bound.arms for use in arm.stages for name in _sources(use.params)}
    for measure in bound.measures:
        if measure.name not in read and measure.name not in sources and not _listed(bound, measure.name):
            yield _finding(
                "warning", f"measures.{measure.name}", measure.line,
                f"'{measure.name}' is measured, and no formula reads it",
            )  # fmt: skip
    deciding = [node for tree in (*every, *chosen) for node in nodes(tree)]
    texts = " ".join(leaf.text for criterion in criteria(bound) for leaf in leaves(criterion))
    sweeps = {dim for measure in bound.measures for dim in measure.sweeps}
    idle = [
        expression.name
        for expression in bound.expressions
        if expression.named and not sweeps & set(expression.axes) and expression.tree not in deciding
        and not re.search(rf"(?<![\w.]){re.escape(expression.name)}(?!\w)", texts)
    ]  # fmt: skip
    if idle:
        yield _finding("note", "estimands", 1, f"reported, and deciding nothing: {', '.join(idle)}")
    yield from _levels(bound, [*every, *chosen, *named])


def _levels(bound: Bound, trees: list[Value]) -> Iterator[CheckFinding]:
    found = [node for tree in trees for node in nodes(tree) if isinstance(node, Ref)]
    sweeps = {dim for measure in bound.measures for dim in measure.sweeps}
    for dim in bound.dims:
        if dim.name not in sweeps and dim.name != "seed":
            continue
        if dim.name == "seed" and not any("seed" in measure.dims for measure in bound.measures):
            yield _finding("warning", "dims.seed", dim.line, "seeds are listed, and no measure depends on one")
            continue
        read = {level for ref in found for level in ref.select.get(dim.name, ())}
        idle = [level for level in dim.levels if level not in read]
        if idle and read and not read & {choice.name for choice in bound.choices}:
            levels = ", ".join(idle)
            yield _finding("warning", f"dims.{dim.name}", dim.line, f"no formula reads {dim.name} = {levels}")


def _finding(severity: str, at: str, line: int, reason: str) -> CheckFinding:
    fix = "read it in a criterion, or leave it out" if severity != "note" else "nothing, if it is there to be seen"
    return CheckFinding(code="UNREAD", severity=severity, at=at, line=line, reason=reason, fix=fix)


def _contrasted(trees: list[Value]) -> set[str]:
    """Arms that stand in one formula with another arm, or with another state of themselves (a sweep's zero)."""
    found: set[str] = set()
    for tree in trees:
        refs_ = [node for node in nodes(tree) if isinstance(node, Ref)]
        arms = {arm for ref in refs_ for arm in ref.select.get("arm", ())}
        states = {tuple(sorted(ref.select.items())) for ref in refs_}
        found |= arms if len(arms) > 1 or len(states) > 1 else set()
    return found


def _arm_by_arm(tree: Value) -> bool:
    """Whether a formula names its arms one by one, which a list of all arms does not."""
    refs_ = [node for node in nodes(tree) if isinstance(node, Ref)]
    return isinstance(tree, Op) and all(len(ref.select.get("arm", ())) < 2 for ref in refs_)


def _sources(params: dict[str, object]) -> Iterator[str]:
    """Names that parameters hold: a direction made by a measure, a stage that uses it."""
    for value in params.values():
        if isinstance(value, str):
            yield value.removeprefix("$")
        elif isinstance(value, dict):
            yield from _sources(value)


def _listed(bound: Bound, name: str) -> bool:
    """Whether a measure is a level of a dim (``$line: [axis, noise]``)."""
    return any(name in dim.levels for dim in bound.dims)


def _feeds(bound: Bound, arm: str, sources: set[str]) -> bool:
    """Whether something is measured on an arm for others to use, or another arm starts from it."""
    made_on = any(arm in measure.levels.get("arm", ()) and measure.name in sources for measure in bound.measures)
    stages = next(each.stages for each in bound.arms if each.name == arm)
    starts = any(other.name != arm and len(other.stages) > len(stages) > 0 and other.stages[: len(stages)] == stages
                 for other in bound.arms)  # fmt: skip
    return made_on or starts
