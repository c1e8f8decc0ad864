"""Criteria and their parts in words: what a proof of impossibility quotes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.check.solver.rule import Rule
from harness.contracts.bound import Clause, Hypothesis
from harness.contracts.trees import All, Any_, AtLeast, Ci, Compare, Criterion, Hyp, Not, Over, State


@dataclass(frozen=True)
class Part:
    """One condition of a claim: its formula, its text as registered and its line."""

    fact: Any
    text: str
    line: int


def said(criterion: Criterion) -> str:
    """Return a criterion in the words of the registration."""
    match criterion:
        case Compare() | Ci():
            return criterion.text
        case Not():
            inner = said(criterion.of)
            return f"not {inner}" if inner.startswith("(") and inner.endswith(")") else f"not ({inner})"
        case All():
            return " and ".join(said(part) for part in criterion.of)
        case Any_():
            return " or ".join(said(part) for part in criterion.of)
        case Over():
            return f"{criterion.how}({said(criterion.of)})"
        case AtLeast():
            return f"at_least({criterion.count}, {', '.join(said(part) for part in criterion.of)})"
        case Hyp():
            return f"{criterion.name}.{criterion.clause}" if criterion.clause else criterion.name
        case State():
            return criterion.state


def of_hypothesis(rule: Rule, owner: Hypothesis) -> Iterator[Part]:
    """Yield what must hold for a hypothesis to be supported: its gates, what comes before it, its clauses."""
    yield from of_gates(rule, owner.name)
    if owner.after is not None:
        yield Part(rule.free(owner.after).true, f"after: {said(owner.after)}", owner.line)
    for clause in owner.clauses:
        yield from of_clause(rule, owner, clause)


def of_gates(rule: Rule, hypothesis: str = "") -> Iterator[Part]:
    """Yield the gates that guard a hypothesis, part by part."""
    for gate in rule.bound.gates:
        if not gate.targets or hypothesis in gate.targets:
            for part in conjuncts(gate.criterion):
                yield Part(rule.bare(part).true, f"gate {gate.name}: {said(part)}", gate.line)


def of_clause(rule: Rule, owner: Hypothesis, clause: Clause) -> Iterator[Part]:
    """Yield the parts of a clause that must all hold for it."""
    if owner.correct.endswith(f" {clause.name}"):
        yield Part(rule.clause(owner, clause).true, said(clause.criterion), clause.line)
        return
    for part in conjuncts(clause.criterion):
        yield Part(rule.bare(part).true, said(part), clause.line)


def of_kill(rule: Rule, kill: Clause) -> Iterator[Part]:
    """Yield the parts of a kill that must all hold for it."""
    for part in conjuncts(kill.criterion):
        yield Part(rule.bare(part).true, said(part), kill.line)


def of_row(rule: Rule, criterion: Criterion, line: int, wanted: bool = True) -> Iterator[Part]:
    """Yield what must hold for a triage row: the clauses behind the names of hypotheses, the rest as it stands."""
    match criterion:
        case All() if wanted:
            for part in criterion.of:
                yield from of_row(rule, part, line)
        case Any_() if not wanted:
            for part in criterion.of:
                yield from of_row(rule, part, line, False)
        case Not():
            yield from of_row(rule, criterion.of, line, not wanted)
        case Hyp(clause="") if wanted:
            yield from of_hypothesis(rule, rule.owner(criterion.name))
        case Hyp() if wanted:
            owner = rule.owner(criterion.name)
            yield from of_gates(rule, owner.name)
            clause = next(each for each in owner.clauses if each.name == criterion.clause)
            yield from of_clause(rule, owner, clause)
        case _:
            truth = rule.free(criterion)
            text = said(criterion)
            yield Part(truth.true if wanted else truth.false, text if wanted else f"not ({text})", line)


def conjuncts(criterion: Criterion) -> list[Criterion]:
    """Return the parts that must all hold for a criterion, nested ands opened."""
    if isinstance(criterion, All):
        return [each for part in criterion.of for each in conjuncts(part)]
    if isinstance(criterion, Not) and isinstance(criterion.of, Any_):
        return [each for part in criterion.of.of for each in conjuncts(Not(of=part))]
    if isinstance(criterion, Not) and isinstance(criterion.of, Not):
        return conjuncts(criterion.of.of)
    return [criterion]
