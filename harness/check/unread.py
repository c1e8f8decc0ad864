"""UNREAD: something is made and then decides nothing."""

from __future__ import annotations

from collections.abc import Iterator

from harness.check.walk import refs
from harness.contracts.bound import Bound
from harness.contracts.records import CheckFinding


def unread_arms(bound: Bound) -> Iterator[CheckFinding]:
    """Yield a finding for each arm that no hypothesis, kill or triage row contrasts with another."""
    clauses = [clause.criterion for hypothesis in bound.hypotheses for clause in hypothesis.clauses]
    clauses += [kill.criterion for kill in bound.kills]
    clauses += [row.criterion for row in bound.triage if row.criterion is not None]
    read = {arm for criterion in clauses for ref in refs(criterion) for arm in ref.select.get("arm", ())}
    for arm in bound.arms:
        if arm.name not in read:
            yield CheckFinding(
                code="UNREAD",
                severity="error",
                at=f"arms.{arm.name}",
                line=arm.line,
                reason=f"arm {arm.name} ({arm.label}) is trained and measured, and no hypothesis, kill or triage row "
                "reads it",
                fix="contrast it in a hypothesis, or leave it out",
            )
