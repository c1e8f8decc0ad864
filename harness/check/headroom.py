"""HEADROOM: a threshold that asks for more than half of what the baseline leaves.

A cosine of hidden states sits near its bound: the mean-pooled C1 cosines of #262 average .997, so at most .003 can
be gained and a shift of .05 cannot be met by any effect. Where the baseline is neither recorded nor bounded by a
gate, nobody knows whether the claim can come true.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import NamedTuple

from harness.check.recorded import mean_of
from harness.check.walk import column_of
from harness.contracts.bound import Bound, BoundMeasure, Clause
from harness.contracts.records import CheckFinding, Column
from harness.contracts.trees import Call, Ci, Compare, Num, Op, PValue, Ref, Value
from harness.contracts.walks import leaves, nodes

FLIPPED = {">": "<", ">=": "<=", "<": ">", "<=": ">="}


class Claim(NamedTuple):
    """A change of at least ``size`` over a baseline, upwards or downwards."""

    of: Ref
    baseline: Ref
    size: Fraction
    up: bool
    text: str


def headroom(bound: Bound) -> Iterator[CheckFinding]:
    """Yield a finding for each clause of a primary hypothesis that asks for more than there may be room for."""
    measures = {measure.name: measure for measure in bound.measures}
    for owner in bound.hypotheses:
        if owner.role != "primary":
            continue
        for clause in owner.clauses:
            told = next((found for claim in _claims(clause) if (found := _judged(bound, measures, claim))), None)
            if told is not None:
                reason, fix = told
                yield CheckFinding(
                    code="HEADROOM", severity="error", at=f"hypotheses.{owner.name}.{clause.name}", line=clause.line,
                    reason=reason, fix=fix,
                )  # fmt: skip


def _judged(bound: Bound, measures: Mapping[str, BoundMeasure], claim: Claim) -> tuple[str, str] | None:
    measure = measures[claim.baseline.measure]
    column = column_of(measure, claim.baseline.column)
    edge = column.high if claim.up else column.low
    if edge is None:
        return None
    fix = f"lower the threshold, or measure something that can {'rise' if claim.up else 'fall'}"
    known = _bounded(bound, claim)
    where = "a gate lets the baseline be"
    if known is None:
        recorded = mean_of(measure, claim.baseline)
        known, where = recorded, "the recorded baseline is"
    if known is None:
        return _unknown(column, claim)
    room = abs(Fraction(edge) - known)
    if claim.size * 2 <= room:
        return None
    much = "more than there is" if claim.size > room else "more than half of it"
    return (
        f"'{claim.text}' asks for a change of {float(claim.size):g}, and {where} {float(known):g}, which leaves "
        f"{float(room):g} to the bound {edge:g}: {much}",
        fix,
    )


def _unknown(column: Column, claim: Claim) -> tuple[str, str] | None:
    """Cosines crowd their bound by nature; a rate has room unless the claim asks for more than half of its range."""
    if column.form == "gram":
        arm = " and ".join(claim.baseline.select.get("arm", ())) or "the baseline"
        return (
            f"headroom unknown: '{claim.text}' asks for a change of {float(claim.size):g}, and nothing says how near "
            f"{claim.baseline.measure}[{arm}] is to its bound",
            f"a gate such as 'max(level[{arm}]) <= {float(1 - 2 * claim.size):g}', or a recorded baseline",
        )
    if column.low is None or column.high is None or claim.size * 2 <= Fraction(column.high) - Fraction(column.low):
        return None
    return (
        f"'{claim.text}' asks for a change of {float(claim.size):g}, more than half of the whole range "
        f"{column.low:g} .. {column.high:g}, whatever the baseline",
        "lower the threshold",
    )


def _claims(clause: Clause) -> Iterator[Claim]:
    for leaf in leaves(clause.criterion):
        if isinstance(leaf, Ci):
            if leaf.rel is not None and leaf.bound is not None:
                yield from _claim(leaf.of, leaf.rel, leaf.bound, leaf.text)
        elif isinstance(leaf.left, PValue):
            yield from _claim(leaf.left.of, leaf.left.rel, leaf.left.threshold, leaf.text)
        else:
            yield from _claim(leaf.left, leaf.rel, leaf.right, leaf.text)


def _claim(tree: Value, rel: str, threshold: Value, text: str) -> Iterator[Claim]:
    """A difference of one column between arms, beyond a constant that is not 0."""
    if not isinstance(threshold, Num) or not isinstance(tree, Op) or tree.op != "-":
        return
    size, up = Fraction(threshold.value), rel in (">", ">=")
    left, right = tree.left, tree.right
    if size and up is (size > 0) and isinstance(left, Ref) and isinstance(right, Ref):
        arms = left.select.get("arm") != right.select.get("arm")
        if arms and (left.measure, left.column) == (right.measure, right.column):
            yield Claim(left, right, abs(size), up, text)


def _bounded(bound: Bound, claim: Claim) -> Fraction | None:
    """The furthest that a gate lets the baseline be towards the bound."""
    found = []
    for gate in bound.gates:
        for leaf in leaves(gate.criterion):
            limit = leaf.right if isinstance(leaf, Compare) else leaf.bound
            of, rel = (leaf.left if isinstance(leaf, Compare) else leaf.of), leaf.rel
            towards = rel in (("<", "<=") if claim.up else (">", ">="))
            if isinstance(limit, Num) and towards and _covers(of, claim):
                found.append(Fraction(limit.value))
    return (min(found) if claim.up else max(found)) if found else None


def _covers(tree: Value, claim: Claim) -> bool:
    """Whether bounding a formula bounds the baseline: the baseline itself, or an extreme over parts of it."""
    extreme = isinstance(tree, Call) and tree.fn in ("max", "min", "mean") and len(tree.args) == 1
    inner = tree.args[0] if isinstance(tree, Call) and extreme else tree
    if not isinstance(inner, Ref) or any(isinstance(node, PValue) for node in nodes(tree)):
        return False
    base = claim.baseline
    if (inner.measure, inner.column) != (base.measure, base.column):
        return False
    return all(set(levels) <= set(inner.select.get(dim, levels)) for dim, levels in base.select.items())
