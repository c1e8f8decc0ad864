"""The children of one executor: lanes that start them, slots that bound them, and what became of each."""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import signal
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.contracts.records import Job
from harness.core.errors import JobError
from harness.core.locks import Holder, OwnedLock
from harness.core.store import Store
from harness.execute.child import Request
from harness.execute.children import Change, Options, lane_name, last_lines
from harness.execute.devices import Device, Slot, ask_for, asked_for, cores, cpu_slots, gpu_slots, visible_gpus
from harness.execute.lanes import ForkLane, Lane, SpawnLane, can_fork, child_environment
from harness.execute.resident_lane import ResidentLane, identity
from harness.execute.zygote import PRELOAD

DEATHS = 3
"""So many times in a row may a zygote die before that is an error."""


@dataclass(frozen=True)
class _Task:
    job: Job
    lane: str
    slot: Slot
    began: float


class Pool:
    """Starts a child per job, never more than there are slots, and cleans up after it."""

    def __init__(self, store: Store, run_id: str, options: Options) -> None:
        self.store = store
        self.run_id = run_id
        self.options = options
        self.shares = False
        self.desk = Store(options.desk) if options.desk else store
        gpus = visible_gpus() if options.gpus is None else options.gpus
        self._slots = cpu_slots(self.desk.root, options.cores or cores()) + gpu_slots(gpus)
        counts = Counter(slot.device for slot in self._slots)
        self.single: Collection[str] = {device for device, count in counts.items() if count == 1}
        self._lanes: dict[str, Lane] = {}
        self._tasks: dict[int, _Task] = {}
        self._numbers = itertools.count(1)
        self._deaths: Counter[str] = Counter()
        self._left: set[str] = set()
        """Keys of jobs whose lock somebody still held at their end: another process, or a dying helper of theirs."""

    @property
    def keys(self) -> set[str]:
        """Keys of the jobs that have a child now."""
        return {task.job.key for task in self._tasks.values()}

    def ready(self, job: Job) -> bool:
        """Say whether a child for this job can be had at once; the first time, begin to make that so."""
        name = lane_name(job)
        if name not in self._lanes:
            self._lanes[name] = self._open_lane(name, fork=self.options.fork and can_fork() and name != "cuda")
        return self._lanes[name].ready()

    def in_order(self, jobs: Iterable[Job]) -> Iterable[Job]:
        """Put the jobs first whose model a process of ours has in memory and waits; otherwise keep the order."""
        kept = {name: set(lane.kept().values()) for name, lane in self._residents()}
        if not any(kept.values()):
            return jobs
        return sorted(jobs, key=lambda job: not (found := kept.get(lane_name(job))) or identity(job) not in found)

    def free_slot(self, job: Job, promised: Collection[Slot] = ()) -> tuple[Slot | None, Holder | None]:
        """Return a slot that nobody uses, or None and somebody else who uses one (None when all are ours).

        A slot whose process has the job's model is taken first, and one whose process has another model last. Slots
        that are ``promised`` to other jobs count as ours.
        """
        device: Device = "cuda" if lane_name(job) == "cuda" else "cpu"
        lane = dict(self._residents()).get(lane_name(job))
        kept = lane.kept() if lane is not None else {}
        mine = {*promised, *(task.slot for task in self._tasks.values())}
        wanted = identity(job) if kept else ""
        free = [slot for slot in self._slots if slot.device == device and slot not in mine]
        free.sort(key=lambda slot: (kept.get(str(slot.lock), wanted) != wanted, str(slot.lock) not in kept))
        holder: Holder | None = None
        for slot in free:
            if device == "cuda" and str(slot.lock) in kept:
                return slot, None  # our own process has the lease
            holder = OwnedLock(slot.lock).holder()
            if holder is None and not self._turn_of_others(slot, lane):
                return slot, None
            if device == "cuda" and holder is not None:
                ask_for(slot)
        return None, holder

    def _residents(self) -> Iterator[tuple[str, ResidentLane]]:
        for name, lane in self._lanes.items():
            if isinstance(lane, ResidentLane):
                yield name, lane

    def _turn_of_others(self, slot: Slot, lane: ResidentLane | None) -> bool:
        """Say whether a process of ours has given a slot up to somebody who still waits for it."""
        return lane is not None and str(slot.lock) in lane.left and asked_for(slot.lock, besides=os.getpid())

    def start(self, job: Job, slot: Slot) -> None:
        """Start a child, which will take the job's lock and the slot's, or end with a status that says no."""
        number = next(self._numbers)
        name = lane_name(job)
        self._tasks[number] = _Task(job, name, slot, time.monotonic())
        request = Request(
            job=job.model_dump(mode="json"),
            store=str(self.store.root),
            run=self.run_id,
            entry=self.options.entry,
            device=slot.device,
            slot=slot.id,
            lease=str(slot.lock),
            desk=self.options.desk,
        )
        self._lanes[name].start(number, request)

    def wait(self, seconds: float) -> None:
        """Wait for news, but not longer than this."""
        ends = [end for lane in self._lanes.values() if (end := lane.fileno()) is not None]
        if any(self._lanes[task.lane].fileno() is None for task in self._tasks.values()):
            seconds = min(seconds, 0.05)
        if ends and os.name == "posix":
            select.select(ends, [], [], seconds)
        else:
            time.sleep(seconds)

    def news(self) -> list[Change]:
        """Return what happened to children since the last call.

        Raises:
            JobError: a zygote has died several times in a row.
        """
        changes: list[Change] = []
        for name, lane in list(self._lanes.items()):
            for event in lane.news():
                match event.what:
                    case "ready" if lane.threads > 1:
                        lane.close()
                        self._lanes[name] = self._open_lane(name, fork=False)
                        changes.append(Change("note", text=f"{name} jobs are spawned: {lane.threads} threads to fork"))
                    case "started":
                        changes.append(Change("started", self._tasks[event.id].job))
                    case "ended":
                        self._deaths[name] = 0
                        task = self._forget(event.id)
                        changes.append(Change("ended", task.job, event.status, time.monotonic() - task.began))
                    case "died":
                        changes.append(self._bury(name))
        return changes

    def ask(self) -> None:
        """Ask every child to save and to end."""
        for number, task in self._tasks.items():
            self._lanes[task.lane].kill(number, signal.SIGTERM)

    def close(self, grace: float) -> None:
        """End every child: ask, wait up to ``grace`` seconds, then kill; end the lanes.

        A second Ctrl-C does not wait any longer.
        """
        self.ask()
        deadline = time.monotonic() + grace
        try:
            while self._tasks and time.monotonic() < deadline:
                self.wait(0.05)
                self.news()
        except JobError:
            pass  # a zygote has died, and its children with it
        finally:
            for lane in self._lanes.values():
                lane.leave()
            for lane in self._lanes.values():
                lane.close()
            self._lanes.clear()
            for number in list(self._tasks):
                self._forget(number)
            while self._left:
                self._sweep(self._left.pop())

    def _open_lane(self, name: str, *, fork: bool) -> Lane:
        environment = child_environment(self.options.env, gpu=name == "cuda")
        if name in self.options.resident and os.name == "posix":
            return ResidentLane(environment)
        if not fork:
            return SpawnLane(environment)
        preload = (*self.options.preload.get(name, PRELOAD[name]), self.options.entry.partition(":")[0])
        return ForkLane(name, preload, environment, self._zygote_log(name))

    def _zygote_log(self, lane: str) -> Path:
        return self.desk.log(self.run_id, f"zygote-{lane}-{os.getpid()}")

    def _bury(self, name: str) -> Change:
        """A zygote is gone and its children with it: their jobs may be asked again, but not for ever."""
        self._lanes.pop(name).close()
        for number, task in list(self._tasks.items()):
            if task.lane == name:
                self._forget(number)
        self._deaths[name] += 1
        if self._deaths[name] >= DEATHS:
            log = self._zygote_log(name)
            tail = "\n".join(f"  {line}" for line in last_lines(log))
            raise JobError(f"the process that starts {name} jobs died {DEATHS} times\nlog: {log}\n{tail}")
        return Change("note", text=f"the process that starts {name} jobs died; starting another")

    def _forget(self, number: int) -> _Task:
        task = self._tasks.pop(number)
        (self.desk.progress(self.run_id) / f"{task.job.key}.json").unlink(missing_ok=True)
        if not self._sweep(task.job.key):
            self._left.add(task.job.key)
        return task

    def _sweep(self, key: str) -> bool:
        with contextlib.suppress(OSError):  # on a full disk not even the lock; the next run sweeps
            return self.store.sweep(key)
        return True
