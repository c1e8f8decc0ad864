"""The executor: obtains artifacts by running, in child processes, whatever jobs are missing.

Any pytest process may own one. They meet only in the store: a job's lock says that somebody is at it, its
artifact that it is done, its failure marker that nobody should try again in this run.
"""

from __future__ import annotations

import signal
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from harness.contracts.records import Job
from harness.core.durable import full_error
from harness.core.errors import JobError
from harness.core.locks import Holder
from harness.core.store import DamagedError, MissingError, Store
from harness.execute.child import DONE, FULL, LOCKED, NO_INPUT, NO_SLOT
from harness.execute.needs import missing_jobs
from harness.execute.pool import Options, Pool, lane_name, last_lines
from harness.execute.progress import Running, read_running

POLL = (0.05, 0.25)
"""Seconds between two looks at a lock that somebody else holds: the first, and the longest after doublings."""

SPOILT = 3
"""So many times may a job find its inputs damaged before that is an error."""

Happening = Literal["started", "progress", "finished", "failed", "waiting", "damaged", "note"]


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


class Executor:
    """Runs missing jobs of a plan. Not thread-safe, except :meth:`status`.

    ``jobs`` is the whole plan by key; ``run_id`` is shared by all processes of a run.
    """

    def __init__(
        self,
        jobs: Mapping[str, Job],
        store: Store,
        run_id: str,
        options: Options | None = None,
        *,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        self.jobs = jobs
        self.store = store
        self.run_id = run_id
        self._on_event = on_event or (lambda event: None)
        self._pool = Pool(store, run_id, options or Options())
        self._expected: tuple[str, ...] = ()
        self._stored: set[str] = set()
        self._failed: dict[str, str] = {}
        self._spoilt: Counter[str] = Counter()
        self._retry: dict[str, tuple[float, float]] = {}
        """By key: when to look again (monotonic), and the delay that led there."""
        self._told: dict[str, Holder] = {}
        """Whom we last named as holder, by key or by lane."""
        self._shown: dict[str, tuple[str, float]] = {}

    def expect(self, keys: Iterable[str]) -> None:
        """Say what will be obtained later: slots that are free meanwhile go to the jobs behind it.

        A job that fails ahead of its time is told when something that needs it is obtained.
        """
        self._expected = tuple(keys)

    def obtain(self, keys: Iterable[str]) -> None:
        """Return when all these artifacts are stored and verified, making what is missing.

        Raises:
            JobFailedError: a job that they need failed in this run; jobs already started go on.
            JobError: an artifact is neither stored nor planned, or no child can be started.
            PreregError: the store cannot be used.
        """
        wanted = tuple(keys)
        try:
            while not self._settled(wanted):
                pass
        except (KeyboardInterrupt, SystemExit):
            self.close()
            raise

    def status(self) -> list[Running]:
        """Return the jobs at work in this run, in any process of it."""
        return read_running(self.store.progress(self.run_id))

    def close(self, grace: float = 2.0) -> None:
        """End every child: ask, wait up to ``grace`` seconds, then kill. The next :meth:`obtain` starts anew."""
        self._pool.close(grace)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- one turn --------------------------------------------------------------------------------

    def _settled(self, wanted: Sequence[str]) -> bool:
        missing = missing_jobs(wanted, self.jobs, self._has)
        if not missing:
            return self._verified(wanted)
        self.store.prepare()  # not before: what is all there can be read from a folder that cannot be written
        self._raise_failure(missing)
        self._pool.wait(self._launch({**missing, **self._ahead(missing)}))
        self._listen()
        self._show_progress()
        return False

    def _has(self, key: str) -> bool:
        if key not in self._stored and self.store.has(key):
            self._stored.add(key)
            self._retry.pop(key, None)
            if self._told.pop(key, None):
                self._tell("finished", key, "made by another process")
        return key in self._stored

    def _verified(self, wanted: Sequence[str]) -> bool:
        sound = True
        for key in wanted:
            try:
                self.store.open(key)
            except (DamagedError, MissingError) as error:
                if key not in self.jobs:
                    raise
                self._stored.discard(key)
                self._tell("damaged", key, str(error))
                sound = False
        return sound

    def _raise_failure(self, missing: Mapping[str, Job]) -> None:
        failed = self.store.failed(self.run_id) | self._failed.keys()
        for key in (key for key in missing if key in failed):
            failure = self.store.failure(self.run_id, key)
            reason = failure.text if failure else self._failed[key]
            raise JobFailedError(key, missing[key].label, reason, self.store.log(self.run_id, key))

    def _ahead(self, missing: Mapping[str, Job]) -> dict[str, Job]:
        """Return the missing jobs of what is expected beyond ``missing``; those that failed are not tried again."""
        if not self._expected:
            return {}
        failed = self.store.failed(self.run_id) | self._failed.keys()
        expected = missing_jobs(self._expected, self.jobs, self._has)
        lost: set[str] = set()
        for key, job in self.jobs.items():  # in an order in which they can run: inputs come first
            if key in expected and (key in failed or any(needed in lost for needed in job.inputs.values())):
                lost.add(key)
        return {key: job for key, job in expected.items() if key not in missing and key not in lost}

    def _launch(self, missing: Mapping[str, Job]) -> float:
        """Start what can be started; return for how long nothing else will be to do, in seconds."""
        busy, now, pause = self._pool.keys, time.monotonic(), POLL[1]
        for key, job in missing.items():
            if key in busy:
                continue
            due, _ = self._retry.get(key, (now, 0.0))
            if due > now:
                pause = min(pause, due - now)
            elif self._pool.ready(job) and not any(needed in missing for needed in job.inputs.values()):
                slot, user = self._pool.free_slot(job)
                if slot is not None and not self._held_elsewhere(job):
                    self._pool.start(job, slot)
                    continue
                if slot is None and user is None:
                    continue  # our own children have all slots, and their end wakes us
                if user is not None and not busy:
                    self._tell_waiting(lane_name(job), key, user, f"no free slot: '{user.label}' runs, ")
                pause = min(pause, self._later(key))
        return pause

    def _held_elsewhere(self, job: Job) -> bool:
        holder = self.store.lock(job.key).holder()
        if holder is not None:
            self._tell_waiting(job.key, job.key, holder, "")
        return holder is not None

    def _later(self, key: str) -> float:
        _, last = self._retry.get(key, (0.0, 0.0))
        delay = min(max(2 * last, POLL[0]), POLL[1])
        self._retry[key] = (time.monotonic() + delay, delay)
        return delay

    # --- news ------------------------------------------------------------------------------------

    def _listen(self) -> None:
        for change in self._pool.news():
            if change.job is None:
                self._tell("note", text=change.text)
            elif change.what == "started":
                self._tell("started", change.job.key)
            else:
                self._ended(change.job, change.status, change.seconds)

    def _ended(self, job: Job, status: int, seconds: float) -> None:
        self._shown.pop(job.key, None)
        if status == DONE and self.store.has(job.key):
            self._tell("finished", job.key, seconds=seconds)
        elif status in (LOCKED, NO_SLOT):
            self._later(job.key)
        elif status == NO_INPUT and self._spoilt[job.key] < SPOILT:
            self._spoilt[job.key] += 1
            self._stored -= set(job.inputs.values())
            self._tell("damaged", job.key, " ".join(last_lines(self.store.log(self.run_id, job.key), 1)))
        else:
            self._fail(job, self._why(job.key, status))

    def _why(self, key: str, status: int) -> str:
        failure = self.store.failure(self.run_id, key)
        if failure is not None:
            return failure.text
        if status == FULL:
            return str(full_error(self.store.root))
        if status < 0:
            name = signal.Signals(-status).name
            return f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
        return f"its process ended with status {status} without saying why"

    def _fail(self, job: Job, reason: str) -> None:
        self._failed[job.key] = reason
        try:
            if self.store.failure(self.run_id, job.key) is None:
                self.store.fail(self.run_id, job.key, reason, job.label)
        except OSError:
            pass  # on a full disk other processes of the run find out for themselves
        self._tell("failed", job.key, reason)

    # --- telling ---------------------------------------------------------------------------------

    def _tell(self, what: Happening, key: str = "", text: str = "", seconds: float = 0.0) -> None:
        label = self.jobs[key].label if key in self.jobs else ""
        self._on_event(Event(what, key, label, text, seconds))

    def _tell_waiting(self, about: str, key: str, holder: Holder, why: str) -> None:
        if self._told.get(about) != holder:
            self._told[about] = holder
            self._tell("waiting", key, f"{why}held by {holder}")

    def _show_progress(self) -> None:
        mine = self._pool.keys
        for running in self.status() if mine else ():
            shown = (running.what, running.done)
            if running.key in mine and self._shown.get(running.key) != shown:
                self._shown[running.key] = shown
                self._on_event(Event("progress", running.key, running.label, running.what, running.elapsed, running))
