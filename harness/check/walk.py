"""Walks over bound criteria that several families of rules share."""

from __future__ import annotations

from collections.abc import Iterator

from harness.contracts import walks
from harness.contracts.bound import Bound, BoundMeasure, Clause
from harness.contracts.records import Column
from harness.contracts.trees import Criterion, Ref


def refs(criterion: Criterion) -> Iterator[Ref]:
    """Yield every reference to a measure inside a criterion."""
    for tree in walks.trees_of(criterion):
        yield from walks.refs(tree)


def column_of(measure: BoundMeasure, name: str) -> Column:
    """Return a column of a measure; of a kind that is not implemented yet, one without a known range."""
    return next((column for column in measure.columns if column.name == name), Column(name=name))


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
