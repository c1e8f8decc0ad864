"""PIN: something that the result depends on is not pinned to a revision or digest."""

from __future__ import annotations

from collections.abc import Iterator

from harness.contracts.bound import Bound
from harness.contracts.records import CheckFinding

PENDING = ("", "PENDING")


def unpinned(bound: Bound) -> Iterator[CheckFinding]:
    """Yield a warning for each model or data source without a revision or digest."""
    for model in bound.models:
        if model.hf and model.revision in PENDING:
            yield _finding(f"models.{model.name}", model.line, f"the revision of {model.hf} is not pinned")
    for data in bound.data:
        if data.hf and data.revision in PENDING:
            yield _finding(f"data.{data.name}", data.line, f"the revision of {data.hf} is not pinned")
        if data.path and data.md5 in PENDING and data.sha256 in PENDING:
            yield _finding(f"data.{data.name}", data.line, f"'{data.path}' has no digest")


def _finding(at: str, line: int, reason: str) -> CheckFinding:
    return CheckFinding(
        code="PIN",
        severity="warning",
        at=at,
        line=line,
        reason=reason,
        fix="write the commit hash or the sha256 of the file",
    )
