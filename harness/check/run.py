"""Run every rule over a registration and match what it accepts under ``allow:``."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from harness.check.kills import kill_on_points
from harness.check.leakage import trained_rows_decide
from harness.check.pins import unpinned
from harness.check.resampling import cells_decide
from harness.check.unread import unread_arms
from harness.contracts.bound import Bound
from harness.contracts.records import CheckFinding

RULES: tuple[Callable[[Bound], Iterator[CheckFinding]], ...] = (
    kill_on_points,
    cells_decide,
    trained_rows_decide,
    unread_arms,
    unpinned,
)


def check(bound: Bound) -> tuple[CheckFinding, ...]:
    """Return every finding in the order of the file, each with the reason for which it is accepted, if any.

    An ``allow:`` entry accepts a finding of the same code at the same key or below it.
    """
    findings = [finding for rule in RULES for finding in rule(bound)]
    return tuple(sorted((_accepted(bound, finding) for finding in findings), key=lambda f: (f.line, f.code, f.at)))


def refused(findings: tuple[CheckFinding, ...]) -> tuple[CheckFinding, ...]:
    """Return the findings that stop a run: errors that the registration does not accept."""
    return tuple(finding for finding in findings if finding.severity == "error" and not finding.allowed)


def _accepted(bound: Bound, finding: CheckFinding) -> CheckFinding:
    for entry in bound.allow:
        if entry.source == finding.code and f"{finding.at}.".startswith(f"{entry.at}."):
            return finding.model_copy(update={"allowed": entry.because})
    return finding
