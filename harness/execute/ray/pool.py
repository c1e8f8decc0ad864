"""The driver's side of Ray: what an executor uses in place of children of its own.

Reports that come back from the cluster are written where those of children here would be: log, progress and failure
in the driver's store, so that nobody who reads them needs to know where a job ran.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
from collections import deque
from collections.abc import Collection, Coroutine, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from harness.contracts.records import Job
from harness.core.durable import replace_file
from harness.core.errors import JobError, PreregError
from harness.core.locks import Holder
from harness.core.store import Store
from harness.execute.children import Change, Options, lane_name
from harness.execute.devices import Device, Slot
from harness.execute.ray import alike
from harness.execute.ray.bench import Bench, Post, Work
from harness.execute.ray.connect import Link, join, silence
from harness.execute.ray.seat import Brief, Report, Told
from harness.execute.resident_lane import identity

AHEAD = 2
"""So many jobs for each place of the cluster are asked for at once: as many wait as run, the urgent ones first."""

LEAST = 4
"""Jobs that are asked for whatever the cluster has: they tell a cluster that grows what is wanted."""

LOOK = 5.0
"""Seconds between two looks at what the cluster has, and whether it is there."""

SILENT = 3
"""So many looks in a row find no cluster before that is an error; after 60 s Ray ends this process."""


@dataclass
class _Task:
    job: Job
    device: Device
    began: float


class RayPool:
    """Runs jobs on a cluster, which it joins (or starts) for the first of them.

    Args:
        store: the store; the cluster's nodes see it under the same name.
        run_id: the run.
        options: ``ray`` is the address.
    """

    def __init__(self, store: Store, run_id: str, options: Options) -> None:
        self.store = store
        self.run_id = run_id
        self.options = options
        self.shares = True
        self.single: Collection[str] = ()  # several drivers may share what the cluster has
        self._tasks: dict[int, _Task] = {}
        self._numbers = itertools.count(1)
        self._mail: deque[Post] = deque()
        self._woken = threading.Event()
        self._fault = ""
        self._refused: PreregError | None = None
        self._link: Link | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._benches: dict[Device, Bench] = {}
        self._places: dict[str, float] = {}
        self._looked = self._heard = 0.0
        self._silent = 0

    @property
    def keys(self) -> set[str]:
        """Keys of the jobs that run on the cluster or wait for it."""
        return {task.job.key for task in self._tasks.values()}

    def ready(self, job: Job) -> bool:
        """Join the cluster, the first time.

        Raises:
            PreregError: it cannot be joined; that is tried once.
        """
        if self._refused is not None:
            raise self._refused
        if self._link is None:
            try:
                self._open()
            except PreregError as error:
                self._refused = error
                raise
        return True

    def in_order(self, jobs: Iterable[Job]) -> Iterable[Job]:
        """Keep the order: each seat takes the job next whose model it has loaded."""
        return jobs

    def free_slot(self, job: Job, promised: Collection[Slot] = ()) -> tuple[Slot | None, Holder | None]:
        """Return a slot as long as no more jobs are asked for than the cluster can use soon.

        Raises:
            JobError: the job wants a GPU and no node has one.
        """
        device = _device(job)
        asked = [slot.device for slot in promised] + [task.device for task in self._tasks.values()]
        if self._room(device) <= asked.count(device):
            return None, None
        return Slot(device, "ray", Path()), None

    def start(self, job: Job, slot: Slot) -> None:
        """Ask the cluster for a job."""
        number = next(self._numbers)
        self._tasks[number] = _Task(job, slot.device, time.monotonic())
        self._run(self._bench(slot.device).put(Work(number, job, _wants(job))))

    def wait(self, seconds: float) -> None:
        """Wait for news, but not longer than this."""
        self._woken.wait(seconds)
        self._woken.clear()

    def news(self) -> list[Change]:
        """Return what happened to jobs since the last call.

        Raises:
            JobError: the cluster cannot run jobs.
        """
        changes: list[Change] = []
        self._look_at_head()
        while self._mail:
            post = self._mail.popleft()
            self._fault = self._fault or post.fault
            if post.note:
                changes.append(Change("note", text=post.note))
            if post.report is not None and post.number in self._tasks:
                changes += self._filed(post.number, post.report)
        if self._fault and not changes:
            raise JobError(self._fault)
        return changes

    def close(self, grace: float) -> None:
        """End every job: ask, wait up to ``grace`` seconds, then kill; leave the cluster."""
        if self._link is None:
            return
        deadline = time.monotonic() + (grace if self._silent < SILENT else 0.0)
        try:
            if self._tasks:
                for bench in self._benches.values():
                    self._run(bench.ask())
            while self._tasks and time.monotonic() < deadline:
                self.wait(0.05)
                with contextlib.suppress(JobError):
                    self.news()
        finally:
            self._leave()

    # --- the cluster ---

    def _open(self) -> None:
        self.store.prepare()
        self.store.progress(self.run_id).mkdir(parents=True, exist_ok=True)  # by which a node knows the store
        self._link = join(self.options.ray or "", f"prereg-{self.run_id}")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="prereg-ray", daemon=True)
        self._thread.start()
        self._tell(Post(note=self._link.text))

    def _look_at_head(self) -> None:
        """Find out that the cluster is gone before Ray does, which then ends this process without further ado."""
        if self._link is not None and self._tasks and time.monotonic() - self._heard > LOOK and not self._fault:
            self._heard = time.monotonic()
            why = silence(self._link.address, patience=2.0)
            self._silent = self._silent + 1 if why else 0
            if self._silent >= SILENT:
                self._fault = (
                    f"the head of the Ray cluster at {self._link.address} does not answer any more ({why}). What is "
                    "stored stays: start the cluster again and run the same command"
                )

    def _leave(self) -> None:
        assert self._link is not None
        assert self._loop is not None
        assert self._thread is not None
        try:
            closing = [self._run(bench.close()) for bench in self._benches.values()]
            for each in closing:
                with contextlib.suppress(TimeoutError):
                    each.result(timeout=10 if self._silent < SILENT else 0)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout=5)
            self._link.leave()
            self._link = None
            self._benches.clear()
            self._mail.clear()
            self._fault, self._silent = "", 0
            for number in list(self._tasks):
                self._forget(number)

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> Any:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def _tell(self, post: Post) -> None:
        self._mail.append(post)
        self._woken.set()

    def _bench(self, device: Device) -> Bench:
        if device not in self._benches:
            brief = Brief(
                store=self.store.where, run=self.run_id, entry=self.options.entry, device=device,
                env=dict(self.options.env), fork=self.options.fork, code=alike.describe(),
                preload={lane: tuple(names) for lane, names in self.options.preload.items()},
            )  # fmt: skip
            self._benches[device] = Bench(brief, self.store, self._tell)
        return self._benches[device]

    def _room(self, device: Device) -> int:
        if not self._places or time.monotonic() - self._looked > LOOK:
            self._places, self._looked = ray.cluster_resources(), time.monotonic()
        places = int(self._places.get("GPU" if device == "cuda" else "CPU", 0))
        if device == "cuda" and not places:
            raise JobError(
                "no node of the Ray cluster has a GPU. Start one with ray start --num-gpus, or rehearse without -m gpu"
            )
        return max(LEAST, AHEAD * places)

    # --- reports ---

    def _filed(self, number: int, report: Report) -> list[Change]:
        """Write down what came back with a job's report, and return what happened."""
        task = self._tasks[number]
        key = task.job.key
        if report.log:
            log = self.store.log(self.run_id, key)
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("ab") as handle:
                handle.write(report.log)
        if report.progress:
            with contextlib.suppress(OSError):  # as for children here: what cannot be written is not shown
                replace_file(self.store.progress(self.run_id) / f"{key}.json", report.progress, sync=False)
        if report.failure is not None and self.store.failure(self.run_id, key) is None:
            self.store.fail(self.run_id, key, report.failure, task.job.label)
        return [self._changed(number, task, told) for told in report.told]

    def _changed(self, number: int, task: _Task, told: Told) -> Change:
        if told.what == "started":
            task.began = time.monotonic()
            return Change("started", task.job)
        if told.what == "note":
            return Change("note", text=told.text)
        self._forget(number)
        return Change("ended", task.job, told.status, time.monotonic() - task.began)

    def _forget(self, number: int) -> None:
        task = self._tasks.pop(number)
        (self.store.progress(self.run_id) / f"{task.job.key}.json").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.store.sweep(task.job.key)


def _device(job: Job) -> Device:
    return "cuda" if lane_name(job) == "cuda" else "cpu"


def _wants(job: Job) -> str:
    """Name what a seat best has loaded for a job: the imports of its lane or, on a GPU, its engine and base model."""
    return identity(job) if _device(job) == "cuda" else lane_name(job)
