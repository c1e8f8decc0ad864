"""The rehearsal's true null: one arm against itself, sampled twice with different seeds.

Evals compare the first arm's completions with a second, independent sample of the same model; probes compare its
hidden states with themselves. Whatever the rule returns here, it returns without any effect in the models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.contracts.bound import Bound
from harness.contracts.records import Decision, Estimate, Record
from harness.contracts.trees import expression_id
from harness.decide.estimate import estimate_in
from harness.decide.tables import load_world
from harness.decide.verdict import decide


class NullResult(Record):
    """What the rule returned on the null, with the estimates behind it by expression name."""

    arm: str
    decision: Decision
    estimates: dict[str, Estimate]


def judge_null(bound: Bound, tables: Mapping[str, Sequence[tuple[Mapping[str, str], Path]]], arm: str) -> NullResult:
    """Estimate every expression on the null's tables and decide.

    Args:
        bound: the registration.
        tables: per measure, coordinates and folders; every arm's rows are the first arm's.
        arm: the arm that stands for all.
    """
    measures = {measure.name: measure for measure in bound.measures}
    world = load_world(measures, tables)
    found = {expression_id(e.tree): estimate_in(e, world) for e in bound.expressions}
    named = {e.name: found[expression_id(e.tree)] for e in bound.expressions}
    return NullResult(arm=arm, decision=decide(bound, found), estimates=named)
