"""GitHub Actions: annotations on the lines of preregs, and the job's summary page.

Only where ``GITHUB_ACTIONS`` is ``true``. A rehearsal proves nothing, so nothing that it finds is annotated.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from harness.contracts.records import Decision, Finding
    from harness.plugin.conclusions import Conclusion

Level = Literal["error", "warning"]
SUMMARY = "summary.md"
_MOST = 10
"""Annotations of one prereg; GitHub shows ten of a kind for each step."""


def wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this run is a GitHub Actions job."""
    return environment.get("GITHUB_ACTIONS") == "true"


def annotate(path: Path, decision: Decision, *, lenient: bool = False) -> list[str]:
    """Return the workflow commands for what does not hold: gates, kills and clauses, each on its line.

    Args:
        path: The prereg's file.
        decision: What was decided on it.
        lenient: Everything is a warning, as the run does not fail for it.
    """
    if decision.rehearsal:
        return []
    found = list(_found(decision))
    said = [
        command("warning" if lenient else level, path, finding.line, title, finding.why or finding.text)
        for level, title, finding in found[:_MOST]
    ]
    if len(found) > _MOST:
        said.append(command("warning", path, 1, decision.prereg, f"and {len(found) - _MOST} more do not hold"))
    return said


def _found(decision: Decision) -> Iterator[tuple[Level, str, Finding]]:
    states = {"false": "does not hold", "unknown": "is unknown"}
    for gate in decision.gates:
        if gate.truth != "true":
            yield "error", f"gate {gate.name} {states[gate.truth]}", gate
    for kill in decision.kills:
        if kill.truth == "true":
            yield "error", f"kill {kill.name} holds", kill
    for result in decision.hypotheses:
        for clause in result.clauses:
            if clause.truth != "true":
                level: Level = "error" if result.role == "primary" else "warning"
                yield level, f"{result.name}.{clause.name} {states[clause.truth]}", clause


def unfinished(path: Path, lines: Sequence[str]) -> list[str]:
    """Return the workflow command for a prereg without a verdict."""
    return [command("error", path, 1, "no verdict", "\n".join(line.strip() for line in lines))]


def command(level: Level, path: Path, line: int, title: str, message: str) -> str:
    """Return one workflow command; nothing in it can end it or begin another."""
    properties = {"file": _shown(path), "line": str(max(line, 1)), "title": title}
    said = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::{level} {said}::{_data(message)}"


def add_summary(report: Path | None, environment: Mapping[str, str] = os.environ) -> str:
    """Append a report's summary to the job's page; return what went wrong, or an empty string."""
    page = environment.get("GITHUB_STEP_SUMMARY", "")
    source = report.with_name(SUMMARY) if report is not None else None
    if not page or source is None or not source.is_file():
        return ""
    try:
        with Path(page).open("a", encoding="utf-8") as handle:
            handle.write(source.read_text(encoding="utf-8") + "\n")
    except OSError as error:
        return f"the job summary cannot be written: {error.strerror}"
    return ""


def told(conclusions: Sequence[Conclusion]) -> Iterator[str]:
    """Append every report's summary to the job's page, and yield the workflow commands of all preregs."""
    for conclusion in conclusions:
        yield from conclusion.noted
        wrong = add_summary(conclusion.report)
        if wrong:
            yield wrong


def _shown(path: Path) -> str:
    """Return the path as GitHub knows it: relative to the checkout, where it lies in it."""
    top = Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd())
    return path.relative_to(top).as_posix() if path.is_relative_to(top) else path.as_posix()


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
