"""The seats of one kind on a cluster, as the driver sees them: opened for jobs that wait, given back when idle.

Ray decides where a seat is and when it can be had; here it is decided which job it gets. Everything runs on one
event loop, in a thread beside the one that waits for artifacts.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from harness.contracts.records import Job
from harness.core.errors import JobError, PreregError
from harness.core.store import Store
from harness.execute.child import DONE, FAILED, FOUND
from harness.execute.ending import SAVED
from harness.execute.ray.seat import VISIBLE, Brief, Place, Report, Seat, Told

RETRIES = 2
"""So often is a job asked again whose seat was lost; then it has failed."""

DEATHS = 3
"""So many seats in a row may die while they open before that is an error."""

KEEP = 60.0
"""Seconds that an idle seat is kept for the next job when nobody else wants it, with all that it has loaded."""

SHORT = 1.0
"""Seconds that it is kept when the cluster has nothing else free."""

SAY = 10.0
"""Seconds after which it is said that all jobs wait for the cluster."""


@dataclass
class Work:
    """A job that was asked for. ``wants`` names what a seat best has loaded already."""

    number: int
    job: Job
    wants: str
    lost: int = 0
    asked: bool = False
    seat: Any = None


@dataclass(frozen=True)
class Post:
    """What the bench tells: a report on a job, a remark, or why no job can be run at all (``fault``)."""

    number: int = 0
    report: Report | None = None
    note: str = ""
    fault: str = ""


class Bench:
    """Seats that all hold the same: a core, or a GPU and a core.

    Args:
        brief: what every seat is told.
        store: the driver's view of the store.
        post: takes what is told; may be called from the loop's thread.
    """

    def __init__(self, brief: Brief, store: Store, post: Callable[[Post], None]) -> None:
        self._brief = brief
        self._store = store
        self._post = post
        self._queue: deque[Work] = deque()
        self._at_work: set[int] = set()
        self._works: dict[int, Work] = {}
        self._seats: set[asyncio.Task[None]] = set()
        self._free = 0
        """Seats that are open and idle, or on their way to that."""
        self._news = asyncio.Condition()
        self._deaths = 0
        self._said = False
        self._closed = False

    async def put(self, work: Work) -> None:
        """Take a job."""
        self._works[work.number] = work
        self._queue.append(work)
        await self._wake()

    async def ask(self) -> None:
        """Ask every job to save and to end; those that wait end at once."""
        self._closed = True
        for work in list(self._works.values()):
            work.asked = True
            if work.seat is not None:
                work.seat.ask.remote()
        while self._queue:
            self._end(self._queue.popleft(), SAVED)

    async def close(self) -> None:
        """Give every seat back; what still runs there is killed."""
        self._closed = True
        for seat in self._seats:
            seat.cancel()
        await asyncio.gather(*self._seats, return_exceptions=True)

    # --- seats ---

    async def _wake(self) -> None:
        while not self._closed and self._free < len(self._queue):
            self._free += 1
            seat = asyncio.ensure_future(self._occupy())
            self._seats.add(seat)
            seat.add_done_callback(self._seats.discard)
        async with self._news:
            self._news.notify_all()

    async def _occupy(self) -> None:
        """Be one seat, from its opening to its end."""
        options = {"num_cpus": 1, "num_gpus": 1 if self._brief.device == "cuda" else 0, "max_restarts": 0}
        seat = ray.remote(Seat).options(**options, max_concurrency=4).remote()
        free, place = True, None
        try:
            place = await self._open(seat)
            loaded = ""
            while place is not None and (work := await self._next(loaded)) is not None:
                self._free, free, loaded = self._free - 1, False, work.wants
                if not await self._serve(seat, place, work):
                    return
                self._free, free = self._free + 1, True
        finally:
            self._free -= free
            await _give_back(seat, was_open=place is not None)
            if not self._closed:
                await self._wake()

    async def _open(self, seat: Any) -> Place | None:
        """Wait until Ray has placed the seat; return None where it is not needed any more or cannot be used."""
        opening: asyncio.Future[Place] = asyncio.ensure_future(_result(seat.open.remote(self._brief)))
        waited = 0.0
        try:
            while not (await asyncio.wait({opening}, timeout=SHORT))[0]:
                waited += SHORT
                self._drop_stored()
                if not self._queue:
                    return None
                if waited >= SAY and not self._at_work and not self._said:
                    self._said = True
                    self._post(Post(note=f"jobs wait: the Ray cluster has no free {_unit(self._brief.device)}"))
            place = opening.result()
        except RayTaskError as error:
            self._post(Post(fault=f"a Ray worker cannot run jobs: {_last(error)}. Is pytest-prereg installed there?"))
            return None
        except RayError as error:
            self._deaths += 1
            why = f"a Ray worker died before it could take a job: {_last(error)}"
            self._post(Post(fault=why) if self._deaths >= DEATHS else Post(note=why))
            return None
        finally:
            opening.cancel()
        self._deaths = 0
        if place.fault:
            self._post(Post(fault=place.fault))
            return None
        return place

    async def _next(self, loaded: str) -> Work | None:
        """Return the job that a seat takes next, one that wants what is loaded before others; None: give it back."""
        idle = 0.0
        self._drop_stored()
        while not self._queue and not self._closed:
            async with self._news:
                try:
                    await asyncio.wait_for(self._news.wait(), SHORT)
                except TimeoutError:
                    idle += SHORT
            if idle >= KEEP or (idle and not self._queue and self._wanted_elsewhere()):
                return None
            self._drop_stored()
        if self._closed or not self._queue:
            return None
        work = next((each for each in self._queue if each.wants == loaded), self._queue[0])
        self._queue.remove(work)
        return work

    def _drop_stored(self) -> None:
        """End jobs that wait and that another process has made meanwhile."""
        for work in [each for each in self._queue if self._store.has(each.job.key)]:
            self._queue.remove(work)
            self._end(work, FOUND)

    def _wanted_elsewhere(self) -> bool:
        return float(ray.available_resources().get(_unit(self._brief.device), 0.0)) < 1

    # --- jobs ---

    async def _serve(self, seat: Any, place: Place, work: Work) -> bool:
        """Have a job run and tell what becomes of it; return whether the seat can be used again."""
        self._at_work.add(work.number)
        work.seat = seat
        try:
            await _result(seat.start.remote(work.job.model_dump(mode="json")))
            if work.asked:
                seat.ask.remote()
            while True:
                report: Report = await _result(seat.news.remote())
                ended = next((each for each in report.told if each.what == "ended"), None)
                if ended is not None:
                    self._works.pop(work.number, None)
                    report = await self._checked(work.job, ended, report, place)
                self._post(Post(work.number, report))
                if ended is not None:
                    return True
        except RayTaskError as error:
            self._end(work, FAILED, f"the Ray worker on {place.host} failed: {_last(error)}")
        except RayError as error:
            self._lost(work, place, error)
        finally:
            self._at_work.discard(work.number)
            work.seat = None
        return False

    async def _checked(self, job: Job, ended: Told, report: Report, place: Place) -> Report:
        """Make sure that what was stored there can be seen here."""
        if ended.status not in (DONE, FOUND):
            return report
        for _ in range(int(VISIBLE / 0.1)):
            try:
                if await asyncio.get_running_loop().run_in_executor(None, self._store.look, job.key):
                    return report
            except (JobError, PreregError) as error:
                return Report((Told("ended", FAILED),), report.progress, report.log, str(error))
            await asyncio.sleep(0.1)
        why = f"{place.host} has stored it in {self._brief.store}, where this process does not find it"
        return Report((Told("ended", FAILED),), report.progress, report.log, f"{why}: do they share that folder?")

    def _lost(self, work: Work, place: Place, error: RayError) -> None:
        work.lost += 1
        if work.asked:
            self._end(work, SAVED)
        elif work.lost > RETRIES:
            again = f"{work.lost} times, the last time on {place.host}: {_last(error)}"
            self._end(work, FAILED, f"the Ray worker that ran it was lost {again}")
        else:
            self._queue.appendleft(work)
            again = f"it is asked again ({work.lost} of {RETRIES})"
            self._post(Post(note=f"the Ray worker of {work.job.label} on {place.host} was lost; {again}"))

    def _end(self, work: Work, status: int, failure: str | None = None) -> None:
        self._works.pop(work.number, None)
        self._post(Post(work.number, Report((Told("ended", status),), failure=failure)))


async def _give_back(seat: Any, *, was_open: bool) -> None:
    if was_open:
        with contextlib.suppress(RayError, TimeoutError):
            await asyncio.wait_for(_result(seat.close.remote(0.0)), 3.0)
    with contextlib.suppress(RayError):
        ray.kill(seat)


async def _result(ref: Any) -> Any:
    """Wait for what a call to a seat returns."""
    return await ref


def _unit(device: str) -> str:
    """Return what Ray calls it."""
    return "GPU" if device == "cuda" else "CPU"


def _last(error: BaseException) -> str:
    """Return an error of Ray in one line: its last one is the cause, where it quotes a traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return lines[-1] if isinstance(error, RayTaskError) else lines[0]
