"""Corrections for several primary tests: Holm (family-wise) and Benjamini-Hochberg (false discoveries)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.contracts.bound import Clause, Hypothesis
from harness.contracts.records import Estimate
from harness.contracts.trees import Compare, PValue, expression_id
from harness.core.errors import PreregError, Problem, Where
from harness.decide.judge import leaves


def adjusted_p(owner: Hypothesis, clause: Clause, estimates: Mapping[str, Estimate]) -> dict[str, float]:
    """Return the corrected p-values of a clause by expression id (none without ``correct:``).

    ``correct: holm over less_faithful`` takes every ``p( )`` that the clause of that name compares as one
    family. An unknown p-value counts as 1, so that it costs what it would have cost.

    Raises:
        PreregError: an unknown method, or a family that is no clause of the hypothesis.
    """
    if not owner.correct:
        return {}
    words = owner.correct.split()
    where = Where(line=owner.line, key=f"hypotheses.{owner.name}.correct")
    if len(words) != 3 or words[0] not in ("holm", "bh") or words[1] != "over":
        raise PreregError(Problem(where, f"'{owner.correct}'", "'holm over CLAUSE' or 'bh over CLAUSE'"))
    if words[2] not in {each.name for each in owner.clauses}:
        raise PreregError(Problem(where, f"'{words[2]}' is no clause of {owner.name}", "one of its clauses"))
    if words[2] != clause.name:
        return {}
    tests = [leaf.left for leaf in leaves(clause.criterion) if isinstance(leaf, Compare)]
    keys = list(dict.fromkeys(expression_id(test) for test in tests if isinstance(test, PValue)))
    found = [estimates[key].cells[0].value if len(estimates[key].cells) == 1 else None for key in keys]
    method = holm if words[0] == "holm" else benjamini_hochberg
    return dict(zip(keys, method([1.0 if p is None else p for p in found]), strict=True))


def holm(ps: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p-values: the running maximum of (m - rank + 1) p, at most 1."""
    order = sorted(range(len(ps)), key=lambda i: ps[i])
    adjusted, highest = [0.0] * len(ps), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[i]))
        adjusted[i] = highest
    return adjusted


def benjamini_hochberg(ps: Sequence[float]) -> list[float]:
    """Return Benjamini and Hochberg's adjusted p-values: the running minimum of m p / rank from the top."""
    order = sorted(range(len(ps)), key=lambda i: ps[i], reverse=True)
    adjusted, lowest = [0.0] * len(ps), 1.0
    for step, i in enumerate(order):
        lowest = min(lowest, len(ps) / (len(ps) - step) * ps[i])
        adjusted[i] = lowest
    return adjusted
