"""The executor: obtains artifacts by running, in child processes, whatever jobs are missing.

Any pytest process may own one. They meet only in the store: a job's lock says that somebody is at it, its
artifact that it is done, its failure marker that nobody should try again in this run.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self

from harness.contracts.records import Job
from harness.core.durable import full_error, is_full
from harness.core.errors import JobError, PreregError
from harness.core.exchange import News
from harness.core.store import DamagedError, MissingError, Store
from harness.execute.child import FOUND, LOCKED, NO_INPUT, NO_SLOT
from harness.execute.children import Children, Options, lane_name, last_lines
from harness.execute.ending import SAVED
from harness.execute.events import MADE_ELSEWHERE, Event, JobFailedError, Teller, new_run_id, why_ended
from harness.execute.gate import Gate
from harness.execute.needs import Missing, candidates
from harness.execute.pool import Pool
from harness.execute.progress import Running, read_running

POLL = (0.05, 0.25)
"""Seconds between two looks at a lock that somebody else holds: the first, and the longest after doublings."""

LOOK = 1.0
"""Seconds between two looks at progress and at the run's other processes; the end of our own children wakes us."""

GRACE = 20.0
"""Seconds that children have to save and leave; a pod that is preempted is killed 30 s after its SIGTERM."""

SPOILT = 3
"""So many times may a job find its inputs damaged, or be asked to end from outside, before that is an error."""


__all__ = ["Event", "Executor", "JobFailedError", "new_run_id"]


def _children(store: Store, run_id: str, options: Options) -> Children:
    if options.ray is None:
        return Pool(store, run_id, options)
    from harness.execute.ray.pool import RayPool  # an optional extra: never imported unless it was asked for

    return RayPool(store, run_id, options)


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
        self._teller = Teller(jobs, on_event or (lambda event: None))
        self._pool = _children(store, run_id, options or Options())
        self._gate = Gate(store, self._pool)
        self._expected: tuple[str, ...] = ()
        self._wanted: tuple[Sequence[str], Missing] | None = None
        self._ahead: Missing | None = None
        self._stored: set[str] = set()
        self._failed: dict[str, str] = {}
        self._spoilt: Counter[str] = Counter()
        self._retry: dict[str, tuple[float, float]] = {}
        """By key: when to look again (monotonic), and the delay that led there."""

    def expect(self, keys: Iterable[str]) -> None:
        """Say what will be obtained later: slots that are free meanwhile go to the jobs behind it.

        A job that fails ahead of its time is told when something that needs it is obtained.
        """
        self._expected = tuple(keys)
        self._ahead = None

    def obtain(self, keys: Iterable[str]) -> None:
        """Return when all these artifacts are stored and verified, making what is missing.

        Raises:
            JobFailedError: a job that they need failed in this run; jobs already started go on.
            JobError: an artifact is neither stored nor planned, no child can be started, or the disk is full.
            PreregError: the store cannot be used.
            KeyboardInterrupt: Ctrl-C here, or another process of this run stopped it; children have saved.
        """
        wanted = tuple(keys)
        with self._whole():
            self.store.connect()
            while not self._settled(wanted):
                pass

    def drain(self) -> None:
        """Return when the children at work have ended: another process of the run may be waiting for their jobs.

        After a failure or a stop nobody does.
        """
        with self._whole(), contextlib.suppress(JobError, PreregError):
            while (self._pool.keys or self._gate.busy) and not self._lost() and not self.store.stopped(self.run_id):
                self._turn(LOOK)

    @contextlib.contextmanager
    def _whole(self) -> Iterator[None]:
        """Leave no child behind when this process is asked to end, and say clearly that a disk is full."""
        try:
            yield
        except (KeyboardInterrupt, SystemExit):
            self.close()
            raise
        except OSError as error:
            if is_full(error):
                raise full_error(self.store.root) from error
            raise

    def status(self) -> list[Running]:
        """Return the jobs at work in this run, in any process of it."""
        return read_running(self.store.progress(self.run_id))

    def close(self, grace: float = GRACE) -> None:
        """End every child: ask, wait up to ``grace`` seconds, then kill. The next :meth:`obtain` starts anew."""
        deadline = time.monotonic() + grace
        self._pool.close(grace)
        self._heed(self._gate.close(max(deadline - time.monotonic(), 0.0)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- one turn --------------------------------------------------------------------------------

    def _settled(self, wanted: Sequence[str]) -> bool:
        missing = self._missing(wanted)
        if not missing and self._gate.settled(wanted):
            return self._verified(wanted)
        if not missing:
            self._turn(POLL[0])
            return False
        if self.store.stopped(self.run_id):
            raise KeyboardInterrupt("another process of this run was asked to stop")
        self.store.prepare()  # not before: what is all there can be read from a folder that cannot be written
        self._raise_failure(missing)
        self._turn(self._launch(missing))
        return False

    def _turn(self, pause: float) -> None:
        self._pool.wait(min(pause, POLL[0]) if self._gate.busy else pause)
        self._listen()
        self._heed(self._gate.news())
        mine = self._pool.keys
        self._teller.progress([each for each in self.status() if each.key in mine] if mine else [])

    def _missing(self, wanted: Sequence[str]) -> Missing:
        """Return what is missing of ``wanted``; walk the plan only when something else is wanted or was damaged."""
        if self._wanted is None or self._wanted[0] != wanted:
            self._wanted = (wanted, Missing(wanted, self.jobs, self._has))
        if self._ahead is None:
            self._ahead = Missing(self._expected, self.jobs, self._has)
        return self._wanted[1]

    def _walk_again(self) -> None:
        self._wanted = self._ahead = None

    def _has(self, key: str) -> bool:
        if key not in self._stored and self.store.has(key):
            self._stored.add(key)
            self._retry.pop(key, None)
            for missing in (self._wanted[1] if self._wanted else None, self._ahead):
                if missing is not None:
                    missing.stored(key)
            self._teller.made(key)
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
                self._walk_again()
                self._teller.tell("damaged", key, str(error))
                sound = False
        return sound

    def _raise_failure(self, missing: Missing) -> None:
        for key in self._lost() - self._pool.keys:  # a child of ours is heard to its end
            if key in missing and not self._has(key):
                failure = self.store.failure(self.run_id, key)
                reason = failure.text if failure else self._failed[key]
                raise JobFailedError(key, self.jobs[key].label, reason, self.store.log(self.run_id, key))

    def _lost(self) -> set[str]:
        """Return the keys of the jobs that failed in this run; they are not tried again."""
        return self.store.failed(self.run_id) | self._failed.keys()

    def _launch(self, missing: Missing) -> float:
        """Start what can be started; return for how long nothing else will be to do, in seconds."""
        busy, lost, now, pause = self._pool.keys, self._lost(), time.monotonic(), LOOK
        full: set[str] = set()
        self._gate.turn()
        for job in self._pool.in_order(candidates(missing, self._ahead, self._pool.single)):
            key, lane = job.key, lane_name(job)
            if key in busy or key in lost or (lane in full and key not in self._gate):
                continue
            due, _ = self._retry.get(key, (now, 0.0))
            if due > now:
                pause = min(pause, due - now)
            elif self._has(key):  # another process has made it
                pause = 0.0
            elif self._pool.ready(job):
                slot, user = self._gate.slot(job)
                if slot is not None and not self._held_elsewhere(job):
                    answer = self._gate.start(job, slot)
                    if answer is True:
                        continue
                    if answer is False:
                        pause = min(pause, POLL[0])
                        continue
                    self._teller.waiting(key, key, answer, "")
                if slot is None:
                    full.add(lane)
                    if user is None:
                        continue  # our own children have all slots, and their end wakes us
                if user is not None and not busy:
                    self._teller.waiting(lane, key, user, f"no free slot: '{user.label}' runs, ")
                pause = min(pause, self._later(key))
        return pause

    def _held_elsewhere(self, job: Job) -> bool:
        holder = self.store.lock(job.key).holder()
        if holder is not None:
            self._teller.waiting(job.key, job.key, holder, "")
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
                self._teller.tell("note", text=change.text)
            elif change.what == "started":
                self._teller.tell("started", change.job.key)
            else:
                self._ended(change.job, change.status, change.seconds)

    def _ended(self, job: Job, status: int, seconds: float) -> None:
        self._gate.ended(job.key, stored=self._has(job.key))
        if self._has(job.key):  # whatever went wrong afterwards
            elsewhere = status in (LOCKED, NO_SLOT, FOUND)
            self._teller.tell("finished", job.key, MADE_ELSEWHERE if elsewhere else "", seconds)
        elif status in (LOCKED, NO_SLOT):
            self._later(job.key)
        elif status in (SAVED, -signal.SIGTERM) and self._spoilt[job.key] < SPOILT:
            self._spoilt[job.key] += 1
            self._later(job.key)
        elif status == NO_INPUT and self._spoilt[job.key] < SPOILT:
            self._spoilt[job.key] += 1
            self._stored -= set(job.inputs.values())
            self._walk_again()
            self._teller.tell("damaged", job.key, " ".join(last_lines(self.store.log(self.run_id, job.key), 1)))
        else:
            self._fail(job, why_ended(self.store, self.run_id, job.key, status))

    def _heed(self, news: Iterable[News]) -> None:
        """Take note of what became of artifacts beyond this machine."""
        for each in news:
            if each.what == "note":
                self._teller.tell("note", text=each.text)
                continue
            self._spoilt[each.key] += 1
            self._stored.discard(each.key)
            self._walk_again()
            if self._spoilt[each.key] > SPOILT and each.key in self.jobs:
                self._fail(self.jobs[each.key], each.text)
            else:
                self._teller.tell("damaged", each.key, each.text)

    def _fail(self, job: Job, reason: str) -> None:
        self._failed[job.key] = reason
        try:
            if self.store.failure(self.run_id, job.key) is None:
                self.store.fail(self.run_id, job.key, reason, job.label)
        except OSError:
            pass  # on a full disk other processes of the run find out for themselves
        self._teller.tell("failed", job.key, reason)
