"""A seat: an actor that holds one core or one GPU of a cluster and runs jobs there, one at a time.

Jobs run in child processes of the seat, by the same pool, lanes and child as on the driver's machine: a job that is
killed or leaves by itself does not harm the seat, and the processes that the pool keeps warm serve the next one.
Only artifacts go through the store. What concerns the run lies on a desk, a folder of the seat's own, and is told to
the driver.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.contracts.records import Job
from harness.core.errors import JobError, PreregError
from harness.core.locks import Holder
from harness.core.places import is_url, open_store
from harness.core.scratch import make_scratch
from harness.core.store import Store
from harness.execute.child import DONE, FAILED, FOUND, LOCKED, NO_INPUT, NO_SLOT
from harness.execute.children import Options
from harness.execute.ending import SAVED
from harness.execute.machine import NOTED
from harness.execute.pool import Pool
from harness.execute.ray import alike

SILENCE = 1.0
"""Seconds after which a seat answers although there is no news."""

LOG_PART = 1 << 18
"""Most bytes of a job's log in one answer."""

VISIBLE = 30.0
"""Seconds within which what one machine writes must be seen on another: network file systems remember what is not."""


@dataclass(frozen=True)
class Brief:
    """What a seat is told about a run.

    ``store`` is the place that opens the store on any node, ``code`` how the driver describes itself
    (``alike.describe``).
    """

    store: str
    run: str
    entry: str
    device: Literal["cpu", "cuda"]
    env: Mapping[str, str]
    preload: Mapping[str, tuple[str, ...]]
    fork: bool
    code: Mapping[str, str]


@dataclass(frozen=True)
class Place:
    """Where a seat is, or why no job can run there (``fault``)."""

    host: str
    node: str
    fault: str = ""


@dataclass(frozen=True)
class Told:
    """A piece of news of a job. ``status`` (of ``ended``) is as in ``LaneEvent``."""

    what: Literal["started", "ended", "note"]
    status: int = 0
    text: str = ""


@dataclass(frozen=True)
class Report:
    """News of a seat's job: changes, its progress file if that changed, and what its log has grown by."""

    told: tuple[Told, ...] = ()
    progress: bytes = b""
    log: bytes = b""
    failure: str | None = None


@dataclass
class _Seen:
    """What the driver knows already of the job at work."""

    job: Job
    started: bool = False
    progress: bytes = b""
    log: int = 0
    asked: bool = False
    status: int | None = None
    """With which status its child ended; its artifact may still be on its way to the store."""
    told: list[Told] = field(default_factory=list)


class Seat:
    """One core or one GPU. All methods run on the actor's event loop, one after the other."""

    def __init__(self) -> None:
        self._brief: Brief
        self._pool: Pool
        self._seen: _Seen | None = None
        self._complaint = ""

    def open(self, brief: Brief) -> Place:
        """Prepare for jobs of a run; say where this is, and what is wrong with it."""
        self._brief = brief
        self._store = open_store(brief.store)
        self._exchange = self._store.exchange()
        host, node = socket.gethostname(), _node()
        self._scratch = make_scratch("seat")
        desk = self._scratch.folder
        env = {**brief.env, NOTED: _noted(brief.env, node)}
        options = Options(brief.entry, cores=1, env=env, preload=brief.preload, fork=brief.fork, desk=str(desk))
        self._pool = Pool(self._store, brief.run, options)
        self._desk = Store(desk)
        return Place(host, node, self._fault(host))

    def start(self, job: Mapping[str, Any]) -> None:
        """Take a job; :meth:`news` tells what becomes of it."""
        seen = _Seen(Job.model_validate(job))
        while self._log(seen):
            pass  # what it printed when it was here before
        self._seen = seen

    async def news(self) -> Report:
        """Return what is new, after at most :data:`SILENCE` seconds; ends with ``ended``."""
        loop, deadline = asyncio.get_running_loop(), time.monotonic() + SILENCE
        while True:
            report = self._look()
            if report is not None or time.monotonic() > deadline:
                return report or Report()
            await loop.run_in_executor(None, self._pool.wait, 0.25)

    def ask(self) -> None:
        """Ask the job at work to save and to end."""
        if self._seen is not None:
            self._seen.asked = True
        self._pool.ask()

    def close(self, grace: float) -> None:
        """End everything here and remove the desk."""
        self._pool.close(grace)
        self._exchange.close(grace)
        self._scratch.remove()

    # --- the job at work ---

    def _look(self) -> Report | None:
        seen = self._seen
        if seen is None:
            return None
        try:
            self._advance(seen)
        except (JobError, PreregError, OSError) as error:
            return self._ended(seen, Told("ended", FAILED), failure=str(error))
        told, seen.told = seen.told, []
        if any(each.what == "ended" for each in told):
            failure = self._desk.failure(self._brief.run, seen.job.key)
            return self._ended(seen, *told, failure=failure.text if failure else None)
        progress, log = self._progress(seen), self._log(seen)
        return Report(tuple(told), progress, log) if told or progress or log else None

    def _advance(self, seen: _Seen) -> None:
        """Start the job as soon as that is possible, and hear what became of it."""
        for change in self._pool.news():
            if change.what == "started" and not seen.started:
                seen.started = True
                seen.told.append(Told("started"))
            elif change.what == "ended":
                seen.status = change.status
                self._exchange.ended(seen.job.key, stored=change.status in (DONE, FOUND))
            elif change.what == "note":
                seen.told.append(Told("note", text=f"{socket.gethostname()}: {change.text}"))
        self._share(seen)
        if seen.job.key in self._pool.keys or seen.told or seen.status is not None:
            return
        if seen.asked:
            seen.told.append(Told("ended", SAVED))
            return
        if not self._pool.ready(seen.job):
            return
        slot, user = self._pool.free_slot(seen.job)
        if slot is None:
            why = f"on {socket.gethostname()} the GPU that Ray gave is used by {user or 'another process'}"
            if why != self._complaint:  # it is asked again several times a second
                self._complaint = why
                seen.told.append(Told("note", text=why))
            seen.told.append(Told("ended", NO_SLOT))
        elif (answer := self._exchange.admit(seen.job)) is True:
            self._pool.start(seen.job, slot)
        elif isinstance(answer, Holder):
            self._say(seen, f"{seen.job.label} is held by {answer}")
            seen.told.append(Told("ended", LOCKED))

    def _share(self, seen: _Seen) -> None:
        """Hear what became of artifacts beyond this node; a job has ended when everybody can have what it made."""
        for news in self._exchange.news():
            if news.what == "changed" and news.key in seen.job.inputs.values() and seen.status is None:
                self._say(seen, news.text)
                seen.told.append(Told("ended", NO_INPUT))
            elif news.what == "note":
                seen.told.append(Told("note", text=f"{socket.gethostname()}: {news.text}"))
        if seen.status is None or any(each.what == "ended" for each in seen.told):
            return
        if seen.status not in (DONE, FOUND) or self._exchange.settled([seen.job.key]):
            seen.told.append(Told("ended", seen.status))

    def _say(self, seen: _Seen, text: str) -> None:
        """Write a line to the job's log."""
        log = self._desk.log(self._brief.run, seen.job.key)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as handle:
            handle.write(f"{text}\n")

    def _ended(self, seen: _Seen, *told: Told, failure: str | None = None) -> Report:
        log = b""
        while part := self._log(seen):
            log = (log + part)[-LOG_PART:]
        self._seen = None
        return Report(told, log=log, failure=failure)

    def _progress(self, seen: _Seen) -> bytes:
        try:
            found = (self._desk.progress(self._brief.run) / f"{seen.job.key}.json").read_bytes()
        except OSError:
            return b""
        if found == seen.progress:
            return b""
        seen.progress = found
        return found

    def _log(self, seen: _Seen) -> bytes:
        try:
            with self._desk.log(self._brief.run, seen.job.key).open("rb") as handle:
                handle.seek(seen.log)
                found = handle.read(LOG_PART)
        except OSError:
            return b""
        seen.log += len(found)
        return found

    # --- what can be wrong here ---

    def _fault(self, host: str) -> str:
        if differs := alike.differences(alike.describe(), self._brief.code):
            return (
                f"the node {host} runs other code than this process ({differs}). Install the same there: what it "
                "stored would pass for what was registered"
            )
        if is_url(self._brief.store):
            try:
                self._store.connect()
            except PreregError as error:
                return f"the node {host} cannot use the store: {error}"
        elif not _sees(self._store, self._brief.run):
            return (
                f"the node {host} does not see the store {self._brief.store} as this process does. Give a folder "
                "that all nodes share with --store or PREREG_STORE"
            )
        return ""


def appears(there: Callable[[], bool], folder: Path, patience: float = VISIBLE) -> bool:
    """Say whether something in ``folder`` is seen here at last, looking again and again for ``patience`` seconds."""
    deadline = time.monotonic() + patience
    while not there():
        if time.monotonic() > deadline:
            return False
        with contextlib.suppress(OSError):
            list(folder.iterdir())  # a network file system then asks again what is in it
        time.sleep(0.2)
    return True


def _sees(store: Store, run: str) -> bool:
    """Say whether the driver's folder of this run, which it has made, can be seen here."""
    folder = store.progress(run)
    return appears(folder.is_dir, folder.parent, VISIBLE if store.root.is_dir() else 0.0)


def _node() -> str:
    import ray

    return str(ray.get_runtime_context().get_node_id())


def _noted(env: Mapping[str, str], node: str) -> str:
    """Return what is noted in manifests, with the node of the cluster."""
    return json.dumps({**json.loads(env.get(NOTED, "{}")), "ray_node": node})
