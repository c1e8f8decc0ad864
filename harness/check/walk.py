"""Walks over bound criteria and formulas that several families of rules share."""

from __future__ import annotations

from collections.abc import Iterator

from harness.contracts.bound import Bound, BoundMeasure, Clause
from harness.contracts.records import Column
from harness.contracts.trees import (
    All,
    Any_,
    AtLeast,
    Call,
    Ci,
    Compare,
    Criterion,
    Neg,
    Not,
    Op,
    Over,
    PValue,
    Ref,
    Value,
)


def leaves(criterion: Criterion) -> Iterator[Compare | Ci]:
    """Yield the comparisons of a criterion in reading order."""
    match criterion:
        case Compare() | Ci():
            yield criterion
        case Not() | Over():
            yield from leaves(criterion.of)
        case All() | Any_() | AtLeast():
            for part in criterion.of:
                yield from leaves(part)


def values(leaf: Compare | Ci) -> Iterator[Value]:
    """Yield the formulas that a comparison reads."""
    if isinstance(leaf, Compare):
        yield from (leaf.left, leaf.right)
    else:
        yield from (tree for tree in (leaf.of, leaf.bound, leaf.low, leaf.high) if tree is not None)


def nodes(tree: Value) -> Iterator[Value]:
    """Yield a formula and all formulas inside it."""
    yield tree
    match tree:
        case Neg():
            yield from nodes(tree.of)
        case Op():
            yield from nodes(tree.left)
            yield from nodes(tree.right)
        case Call():
            for arg in tree.args:
                yield from nodes(arg)
        case PValue():
            yield from nodes(tree.of)
            yield from nodes(tree.threshold)


def refs(criterion: Criterion) -> Iterator[Ref]:
    """Yield every reference to a measure inside a criterion."""
    for leaf in leaves(criterion):
        for value in values(leaf):
            yield from (node for node in nodes(value) if isinstance(node, Ref))


def column_of(measure: BoundMeasure, name: str) -> Column:
    """Return a column of a measure; of a kind that is not implemented yet, one without a known range."""
    return next((column for column in measure.columns if column.name == name), Column(name=name))


def trees_of(criterion: Criterion) -> Iterator[Value]:
    """Yield every formula that a criterion compares."""
    for leaf in leaves(criterion):
        yield from values(leaf)


def criteria(bound: Bound) -> list[Criterion]:
    """Return every criterion of a registration: gates, clauses, kills, ``after``, triage and confidence."""
    clauses = [*bound.gates, *(c for h in bound.hypotheses for c in h.clauses), *bound.kills]
    found: list[Criterion] = [clause.criterion for clause in clauses]
    found += [owner.after for owner in bound.hypotheses if owner.after is not None]
    found += [row.criterion for row in bound.triage if row.criterion is not None]
    return found + [claim.criterion for claim in bound.confidence if claim.criterion is not None]


def deciding(bound: Bound) -> Iterator[Clause]:
    """Yield the clauses of the primary hypotheses and the kills: what a verdict rests on."""
    for hypothesis in bound.hypotheses:
        if hypothesis.role == "primary":
            yield from hypothesis.clauses
    yield from bound.kills
