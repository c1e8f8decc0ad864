"""What an executor tells: news of jobs, and the error of one that failed."""

from __future__ import annotations

import signal
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.contracts.records import Job
from harness.core.durable import full_error
from harness.core.errors import JobError
from harness.core.locks import Holder
from harness.core.store import Store
from harness.execute.child import FULL
from harness.execute.children import last_lines
from harness.execute.ending import SAVED
from harness.execute.progress import Running

Happening = Literal["started", "progress", "finished", "failed", "waiting", "damaged", "note"]

MADE_ELSEWHERE = "made by another process"
"""The text of ``finished`` where the process that tells it has not made the artifact."""


@dataclass(frozen=True)
class Event:
    """Something to show.

    ``text`` is who holds the lock (waiting), the error (failed), what was wrong (damaged), what is being
    done (progress). ``seconds`` is the job's age; ``running`` comes with progress.
    """

    what: Happening
    key: str = ""
    label: str = ""
    text: str = ""
    seconds: float = 0.0
    running: Running | None = None


class JobFailedError(JobError):
    """A job failed in this run, here or in another process; its message ends with the log's last lines."""

    def __init__(self, key: str, label: str, reason: str, log: Path) -> None:
        self.key, self.label, self.reason, self.log = key, label, reason, log
        self.tail = last_lines(log)
        text = f"job '{label}' failed: {reason}"
        if self.tail:
            text += f"\nlog: {log}, its last lines:\n" + "\n".join(f"  {line}" for line in self.tail)
        super().__init__(text)


def new_run_id() -> str:
    """Return the id of a new run: its time and something random. All processes of a run share it."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"


def why_ended(store: Store, run: str, key: str, status: int) -> str:
    """Return why a job's child ended without storing anything, from its failure marker or its exit status."""
    failure = store.failure(run, key)
    if failure is not None:
        return failure.text
    if status == FULL:
        return str(full_error(store.root))
    if status == SAVED:
        return "asked to end (SIGTERM) again and again"
    if status < 0:
        name = signal.Signals(-status).name
        return f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    return f"its process ended with status {status} without saying why"


class Teller:
    """Tells an executor's events, none of them twice in a row.

    Args:
        jobs: the plan by key, for labels.
        on_event: who hears them.
    """

    def __init__(self, jobs: Mapping[str, Job], on_event: Callable[[Event], None]) -> None:
        self._jobs = jobs
        self._on_event = on_event
        self._holders: dict[str, Holder] = {}
        """Whom we last named as holder, by key or by lane."""
        self._shown: dict[str, tuple[str, float]] = {}
        """What we last said of a job at work, by key."""

    def tell(self, what: Happening, key: str = "", text: str = "", seconds: float = 0.0) -> None:
        """Tell what happened to a job; one that starts, perhaps again, has shown nothing yet."""
        if what == "started":
            self._shown.pop(key, None)
        label = self._jobs[key].label if key in self._jobs else ""
        self._on_event(Event(what, key, label, text, seconds))

    def waiting(self, about: str, key: str, holder: Holder, why: str) -> None:
        """Tell that a job waits for somebody, unless that was the last thing told ``about`` it (a key or a lane)."""
        if self._holders.get(about) != holder:
            self._holders[about] = holder
            self.tell("waiting", key, f"{why}held by {holder}")

    def made(self, key: str) -> None:
        """Tell that somebody else has made what we said we wait for."""
        if self._holders.pop(key, None):
            self.tell("finished", key, MADE_ELSEWHERE)

    def progress(self, running: Iterable[Running]) -> None:
        """Tell how far jobs are."""
        for each in running:
            shown = (each.what, each.done)
            if self._shown.get(each.key) != shown:
                self._shown[each.key] = shown
                self._on_event(Event("progress", each.key, each.label, each.what, each.elapsed, each))
