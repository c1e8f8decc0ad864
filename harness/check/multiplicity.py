"""MULTIPLE: several chances to be right by luck, without a correction.

A conjunction needs none (all its tests must pass). Each primary hypothesis with a verdict of its own, and each test
that is one of several ways to succeed, is a further chance.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.contracts.bound import Bound, Clause, Hypothesis
from harness.contracts.records import CheckFinding
from harness.contracts.trees import All, Any_, AtLeast, Ci, Compare, Criterion, Not, Over, PValue
from harness.contracts.walks import leaves, nodes


def several_chances(bound: Bound) -> Iterator[CheckFinding]:
    """Yield a finding for alternatives that are each tested at the full level, and for several primary claims."""
    for owner in bound.hypotheses:
        for clause in owner.clauses:
            corrected = owner.correct.endswith(f" {clause.name}")
            chances = 0 if corrected else _chances(clause.criterion)
            if owner.role == "primary" and chances > 1:
                yield _finding(
                    "error", f"hypotheses.{owner.name}.{clause.name}", clause.line,
                    f"{chances} tests are {chances} ways for '{clause.name}' to hold by luck, each at the full level",
                    f"correct: holm over {clause.name}",
                )  # fmt: skip
    claims = [owner for owner in bound.hypotheses if owner.role == "primary" and _tests(owner) and owner.after is None]
    if len(claims) > 1 and not any(owner.correct for owner in claims):
        names = ", ".join(owner.name for owner in claims)
        yield _finding(
            "warning", f"hypotheses.{claims[1].name}", claims[1].line,
            f"{names} are primary and each has a verdict of its own, at the full level",
            "make one primary, test them in order (after: …), or correct the thresholds",
        )  # fmt: skip


def _chances(criterion: Criterion) -> int:
    """How many tests could each make a criterion hold without the others."""
    match criterion:
        case Compare() | Ci():
            return 1 if _is_test(criterion) else 0
        case Not():
            return _chances(criterion.of)
        case All():
            return max((_chances(part) for part in criterion.of), default=0)
        case Any_():
            return sum(_chances(part) for part in criterion.of)
        case AtLeast():
            found = sum(_chances(part) for part in criterion.of)
            return found if criterion.count < len(criterion.of) else min(1, found)
        case Over():
            inside = _chances(criterion.of)
            return inside * 2 if criterion.how == "any" else inside
        case _:
            return 0


def _is_test(leaf: Compare | Ci) -> bool:
    return isinstance(leaf, Ci) or any(isinstance(node, PValue) for node in nodes(leaf.left))


def _tests(owner: Hypothesis) -> list[Clause]:
    return [clause for clause in owner.clauses if any(_is_test(leaf) for leaf in leaves(clause.criterion))]


def _finding(severity: str, at: str, line: int, reason: str, fix: str) -> CheckFinding:
    return CheckFinding(code="MULTIPLE", severity=severity, at=at, line=line, reason=reason, fix=fix)
