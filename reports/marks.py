"""The registered lines: which estimates decide, and the thresholds drawn on their scales."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from harness.contracts.bound import Bound, Clause
from harness.contracts.records import Decision, Truth
from harness.contracts.trees import Ci, Compare, Expression, PValue, Value
from harness.decide.judge import leaves
from harness.decide.sides import constant
from reports import links
from reports.records import Mark


def _criteria(bound: Bound, decision: Decision | None = None) -> Iterator[tuple[str, str, Clause, Truth]]:
    """Every clause, kill and gate with its kind, full name and truth."""
    truths: dict[tuple[str, str], Truth] = {}
    if decision is not None:
        truths |= {("kill", finding.name): finding.truth for finding in decision.kills}
        truths |= {("gate", finding.name): finding.truth for finding in decision.gates}
        truths |= {
            ("hypothesis", f"{result.name}.{clause.name}"): clause.truth
            for result in decision.hypotheses
            for clause in result.clauses
        }
    named = [
        *(("hypothesis", f"{h.name}.{clause.name}", clause) for h in bound.hypotheses for clause in h.clauses),
        *(("kill", kill.name, kill) for kill in bound.kills),
        *(("gate", gate.name, gate) for gate in bound.gates),
    ]
    for kind, name, clause in named:
        yield kind, name, clause, truths.get((kind, name), "unknown")


def deciding_names(bound: Bound) -> set[str]:
    """Names of the estimates that a hypothesis or a kill reads, tested ones included."""
    trees: list[Value] = []
    for kind, _, clause, _ in _criteria(bound):
        if kind != "gate":
            trees += [tree for leaf in leaves(clause.criterion) for tree in _read(leaf)]
    return {expression.name for expression in bound.expressions if expression.tree in trees}


def _read(leaf: Compare | Ci) -> list[Value]:
    sides = [leaf.left, leaf.right] if isinstance(leaf, Compare) else [leaf.of]
    return [*sides, *(links.tested(side)[0] for side in sides if isinstance(side, PValue))]


def registered_marks(bound: Bound, decision: Decision) -> Iterator[Mark]:
    """Yield every threshold of a hypothesis, gate or kill, on the estimate that it is about."""
    seen = set()
    for kind, name, clause, truth in _criteria(bound, decision):
        for leaf in leaves(clause.criterion):
            for tree, rel, value, upper, tested in _lines(leaf):
                owner = _owner(tree, bound)
                low, high = constant(value), constant(upper) if upper is not None else None
                if owner is None or low is None or (owner.name, name, rel, low) in seen:
                    continue
                seen.add((owner.name, name, rel, low))
                yield Mark.model_validate(
                    {
                        "estimate": owner.name,
                        "of": name,
                        "kind": kind,
                        "rel": rel,
                        "value": float(low),
                        "upper": None if high is None else float(high),
                        "truth": truth,
                        "tested": tested,
                    }
                )


class _Line(NamedTuple):
    """A registered line: on which formula, the relation, the threshold and its upper end."""

    tree: Value
    rel: str
    value: Value
    upper: Value | None = None
    tested: bool = False


def _lines(leaf: Compare | Ci) -> Iterator[_Line]:
    if isinstance(leaf, Compare):
        yield _Line(leaf.left, leaf.rel, leaf.right)
        if isinstance(leaf.left, PValue):
            tree, two_sided = links.tested(leaf.left)
            tree, two_sided = links.tested(leaf.left)
            rel = "≠" if two_sided and constant(leaf.left.threshold) == 0 else leaf.left.rel
            yield _Line(tree, rel, leaf.left.threshold, tested=True)
    elif leaf.rel is not None and leaf.bound is not None:
        yield _Line(leaf.of, leaf.rel, leaf.bound)
    elif leaf.low is not None and leaf.high is not None:
        yield _Line(leaf.of, "within", leaf.low, leaf.high)


def _owner(tree: Value, bound: Bound) -> Expression | None:
    return next((expression for expression in bound.expressions if expression.tree == tree), None)
