"""Run every rule over a registration and match what it accepts under ``allow:``.

Cheap rules look at the registration and cost about a millisecond; they run at every collection. Deep ones ask a
solver about the whole decision rule; they run before anything is measured, and in ``prereg check``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from harness.check.controls import controls
from harness.check.headroom import headroom
from harness.check.kills import kill_on_points
from harness.check.leakage import chosen_rows_decide, trained_rows_decide
from harness.check.multiplicity import several_chances
from harness.check.pins import unpinned
from harness.check.power import power, thresholds_at_the_truth
from harness.check.reachability import reachability
from harness.check.resampling import cells_decide
from harness.check.resolution import resolution
from harness.check.seeds import single_seed
from harness.check.unread import unread_arms, unread_numbers
from harness.contracts.bound import Bound
from harness.contracts.records import CheckFinding
from harness.core.errors import Problem, Where

Rule = Callable[[Bound], Iterator[CheckFinding]]

CHEAP: tuple[Rule, ...] = (
    kill_on_points,
    cells_decide,
    trained_rows_decide,
    chosen_rows_decide,
    headroom,
    resolution,
    thresholds_at_the_truth,
    several_chances,
    controls,
    unread_arms,
    unread_numbers,
    unpinned,
    single_seed,
)
DEEP: tuple[Rule, ...] = (reachability,)
DEEP_CODES = ("CONTRADICTION", "INERT", "OVERLAP", "POWER", "UNDECIDED", "UNFALSIFIABLE", "UNREACHABLE")
"""Codes that only a deep check can find: without it, entries that allow them are not called unused."""


def check(
    bound: Bound, *, deep: bool = False, store: Path | None = None, allow: bool = True
) -> tuple[CheckFinding, ...]:
    """Return every finding in the order of the file, each with the reason for which it is accepted, if any.

    An ``allow:`` entry accepts a finding of the same code at the same key or below it.

    Args:
        bound: the registration.
        deep: ask the solver too.
        store: where simulations lie; without, only a deep check says that there is none.
        allow: match the entries of ``allow:``; without, nothing is accepted.
    """
    findings = [finding for rule in CHEAP for finding in rule(bound)]
    if deep:
        findings += [finding for rule in DEEP for finding in rule(bound)]
    if deep or store is not None:
        findings += power(bound, store)
    if allow:
        findings = [_accepted(bound, finding) for finding in findings]
        findings += _unused(bound, findings, deep)
    return tuple(sorted(findings, key=lambda found: (found.line, found.code, found.at)))


def refused(findings: tuple[CheckFinding, ...]) -> tuple[CheckFinding, ...]:
    """Return the findings that stop a run: errors that the registration does not accept."""
    return tuple(finding for finding in findings if finding.severity == "error" and not finding.allowed)


def problem(finding: CheckFinding, file: str) -> Problem:
    """Return a finding as every refusal says it."""
    return Problem(Where(file, finding.line, key=finding.at), f"{finding.code}: {finding.reason}", hint=finding.fix)


def _accepted(bound: Bound, finding: CheckFinding) -> CheckFinding:
    for entry in bound.allow:
        if entry.source == finding.code and f"{finding.at}.".startswith(f"{entry.at}."):
            return finding.model_copy(update={"allowed": entry.because})
    return finding


def _unused(bound: Bound, findings: list[CheckFinding], deep: bool) -> Iterator[CheckFinding]:
    """Entries that accept nothing: of a rehearsal none, whose overlay may have removed the cause."""
    for entry in () if bound.rehearsal else bound.allow:
        used = any(f.allowed and f.code == entry.source and f"{f.at}.".startswith(f"{entry.at}.") for f in findings)
        if not used and (deep or entry.source not in DEEP_CODES):
            yield CheckFinding(
                code="ALLOW",
                severity="note",
                at="allow",
                line=entry.line,
                reason=f"{entry.source} at {entry.at} is accepted, and there is no such finding",
                fix="take the entry out",
            )
