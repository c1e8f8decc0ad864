"""The end of a run: what is stored decides what is told and written, whatever was selected or stopped."""

from __future__ import annotations

import textwrap
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.core.errors import JobError, PreregError
from harness.plugin import blocks, github

if TYPE_CHECKING:
    from harness.plugin.registrations import Registration
    from harness.plugin.session import Session

_MOST_MISSING = 5


@dataclass(frozen=True)
class Conclusion:
    """What is told of one prereg at the end, where its report is (None without one), and whether writing it failed.

    ``noted`` are GitHub's workflow commands for what does not hold.
    """

    lines: tuple[str, ...]
    report: Path | None = None
    failed: bool = False
    noted: tuple[str, ...] = ()


def conclude(session: Session, registration: Registration) -> Conclusion:
    """Write a prereg's report when its decision is stored; otherwise say what is missing."""
    if registration.problems:
        return Conclusion((f"{registration.shown}: cannot be read any more: {registration.problems[0]}",), failed=True)
    if not session.store.has(registration.plan.verdict):
        unfinished = tuple(_unfinished(session, registration))
        return Conclusion(unfinished, noted=tuple(github.unfinished(registration.path, unfinished)))
    lines: list[str] = []
    noted: tuple[str, ...] = ()
    try:
        decision = session.decision(registration)
        lines += [blocks.headline(decision), *(f"  {line}" for line in blocks.details(decision))]
        noted = tuple(github.annotate(registration.path, decision, lenient=session.options.lenient))
        report = _written(session, registration)
    except PreregError as error:  # its message says what to do; where the program stood helps nobody
        said = (f"{registration.bound.id}: ERROR: {line}" for line in str(error).splitlines())
        return Conclusion((*lines, *said), failed=True, noted=noted)
    except Exception as error:  # a verdict stands without its report, and both have to be told
        plain = isinstance(error, OSError | JobError)  # of the disk or the store, and not of the program
        text = str(error) if plain else "".join(traceback.format_exception(error))
        reason = textwrap.indent(text, "    ").rstrip()
        head = f"{registration.bound.id}: ERROR: the report could not be written:"
        return Conclusion((*lines, head, reason), failed=True, noted=noted)
    except KeyboardInterrupt:  # of the person, or of a run that was stopped
        return Conclusion((*lines, f"{registration.bound.id}: stopped before the report was written"))
    gone = _gone(session, registration)
    told = _tracked(session, report) if session.options.track else ()
    return Conclusion((*lines, *gone, f"  report: {report}", *told), report, noted=noted)


def _written(session: Session, registration: Registration) -> Path:
    from harness.plugin.reporting import write_report

    return write_report(session, registration)


def _tracked(session: Session, report: Path) -> tuple[str, ...]:
    from harness.plugin.tracking import tracked

    return tuple(tracked(session.options.track, report, session.options.root))


def _gone(session: Session, registration: Registration) -> Iterator[str]:
    """Say what a report cannot show because it was cleared away."""
    from harness.plugin.reporting import left_out

    labels = left_out(session, registration)
    if labels:
        more = f" and {len(labels) - _MOST_MISSING} more" if len(labels) > _MOST_MISSING else ""
        yield f"  not stored any more, so without its training log: {', '.join(labels[:_MOST_MISSING])}{more}"


def _unfinished(session: Session, registration: Registration) -> Iterator[str]:
    stamp = "REHEARSAL, " if registration.bound.rehearsal else ""
    yield f"{registration.bound.id}: {stamp}no verdict yet, so there is no report"
    jobs = registration.plan.missing(session.store, [registration.plan.verdict])
    failures = [(job, session.store.failure(session.run_id, job.key)) for job in jobs]
    for job, failure in failures:
        if failure is not None:
            yield f"  failed: {job.label}: {failure.text}"
    waiting = [job.label for job, failure in failures if failure is None]
    if waiting:
        more = f" and {len(waiting) - _MOST_MISSING} more" if len(waiting) > _MOST_MISSING else ""
        yield f"  missing: {', '.join(waiting[:_MOST_MISSING])}{more}"
