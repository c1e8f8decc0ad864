"""Findings for people, for programs, and as annotations of a pull request."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

from harness.contracts.records import CheckFinding
from harness.core.numbers import count_noun

_ANNOTATION = {"error": "error", "warning": "warning", "note": "notice"}


def text(file: str, findings: Sequence[CheckFinding]) -> Iterator[str]:
    """Yield the lines of one file: each finding with its place, reason and fix, and a count at the end."""
    for found in findings:
        state = "accepted" if found.allowed else found.severity
        yield f"{file}:{found.line}: {state} {found.code} at {found.at}"
        yield f"  {found.reason}"
        yield f"  accepted because {found.allowed}" if found.allowed else f"  fix: {found.fix}"
    yield f"{file}: {counted(findings)}"


def counted(findings: Sequence[CheckFinding]) -> str:
    """Return how many findings there are of each severity, in words."""
    left = [found.severity for found in findings if not found.allowed]
    parts = [count_noun(left.count(word), word) for word in ("error", "warning", "note") if word in left]
    accepted = len(findings) - len(left)
    parts += [f"{accepted} accepted"] if accepted else []
    return ", ".join(parts) if parts else "nothing found"


def github(file: str, findings: Sequence[CheckFinding]) -> Iterator[str]:
    """Yield one workflow command per finding, which GitHub shows beside the line."""
    for found in findings:
        level = "notice" if found.allowed else _ANNOTATION[found.severity]
        said = f"{found.reason} (accepted: {found.allowed})" if found.allowed else f"{found.reason}\nfix: {found.fix}"
        where = f"file={_property(file)},line={found.line},title={_property(f'{found.code} at {found.at}')}"
        yield f"::{level} {where}::{_data(said)}"


def as_json(files: Iterable[tuple[str, Sequence[CheckFinding] | None, Sequence[str]]]) -> str:
    """Return all files as JSON: their findings, or the problems that make a file unusable."""
    return json.dumps(
        [
            {
                "file": file,
                "findings": None if found is None else [each.model_dump(mode="json") for each in found],
                "problems": list(problems),
            }
            for file, found, problems in files
        ],
        indent=1,
    )


def _data(said: str) -> str:
    return said.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(said: str) -> str:
    return _data(said).replace(":", "%3A").replace(",", "%2C")
