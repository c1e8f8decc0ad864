"""When which job would run on which slot: the executor's order played through with prices in the place of work.

Times are minutes from the start of the run. A job takes its ``cost``; one of unknown price takes no time here and is
told. What starting a process, loading a model or writing to the store costs beyond the price is left out.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter

from harness.contracts.records import Job
from harness.execute.devices import Device
from harness.execute.needs import Missing, candidates, missing_jobs

SAME = 1e-9
"""Two sums of minutes that differ by less, relatively, are one time."""


@dataclass(frozen=True)
class Span:
    """One job on one slot, from ``begin`` to ``end`` (minutes).

    ``slot`` counts from 0 among those of its device; ``after`` is how many jobs had ended when it was started.
    """

    job: Job
    slot: int
    begin: float
    end: float
    after: int


@dataclass(frozen=True)
class Schedule:
    """What runs where and when, and the bounds that no schedule beats.

    ``spans`` are in the order of their starts, ``work`` is minutes by device, and ``critical`` the chain of jobs, first
    to last, that takes longest: each waits for the one before.
    """

    slots: Mapping[Device, int]
    spans: tuple[Span, ...]
    work: Mapping[Device, float]
    critical: tuple[Job, ...]

    @property
    def makespan(self) -> float:
        """Minutes from the start of the first job to the end of the last."""
        return max((span.end for span in self.spans), default=0.0)

    @property
    def critical_path(self) -> float:
        """Minutes of the longest chain of jobs."""
        return sum(job.cost for job in self.critical)

    @property
    def lower_bound(self) -> float:
        """Minutes that no schedule beats: the critical path, or the work of a device over its slots."""
        return max([self.critical_path, *(self.work[device] / count for device, count in self.slots.items())])

    @property
    def efficiency(self) -> float:
        """The lower bound over the makespan; 1 means that no schedule ends earlier."""
        return self.lower_bound / self.makespan if self.makespan else 1.0

    def busy(self, device: Device) -> float:
        """The share of a device's slots that is at work, over the whole run."""
        return self.work[device] / (self.makespan * self.slots[device]) if self.makespan else 0.0


def schedule(
    jobs: Mapping[str, Job],
    wanted: Sequence[Sequence[str]],
    has: Callable[[str], bool],
    slots: Mapping[Device, int],
) -> Schedule:
    """Play a run through.

    Args:
        jobs: the plan by key, each with its price as ``cost`` (minutes).
        wanted: the keys that are waited for together, one group after the other, as the items of a prereg do.
        has: says whether an artifact is stored already.
        slots: how many cores and GPUs there are, each at least 1 where a missing job needs one.

    Raises:
        JobError: an artifact is neither stored nor planned.
    """
    everything = [key for group in wanted for key in group]
    needed = missing_jobs(everything, jobs, has)
    work: dict[Device, float] = {
        device: sum(job.cost for job in needed.values() if job.device == device) for device in slots
    }
    return Schedule(dict(slots), tuple(_play(jobs, wanted, has, slots)), work, critical_path(needed))


def _play(
    jobs: Mapping[str, Job],
    wanted: Sequence[Sequence[str]],
    has: Callable[[str], bool],
    slots: Mapping[Device, int],
) -> Iterator[Span]:
    stored: set[str] = set()

    def there(key: str) -> bool:
        return key in stored or has(key)

    ahead = Missing([key for group in wanted for key in group], jobs, there)
    free = {device: list(range(count)) for device, count in slots.items()}
    single = {device for device, count in slots.items() if count == 1}
    running: dict[str, Span] = {}
    ends: list[tuple[float, int, str]] = []
    now = 0.0
    for group in wanted:
        missing = Missing(group, jobs, there)
        while missing:
            for job in candidates(missing, ahead, single):
                if job.key not in running and free[job.device]:
                    span = Span(job, heapq.heappop(free[job.device]), now, now + job.cost, len(stored))
                    running[job.key] = span
                    heapq.heappush(ends, (span.end, len(stored) + len(running), job.key))
                    yield span
            now, _, key = heapq.heappop(ends)
            span = running.pop(key)
            heapq.heappush(free[span.job.device], span.slot)
            stored.add(key)
            ahead.stored(key)
            missing.stored(key)


def critical_path(needed: Mapping[str, Job]) -> tuple[Job, ...]:
    """Return the chain of missing jobs that takes longest, first to last.

    Args:
        needed: the missing jobs by key, as ``missing_jobs`` returns them.
    """
    inputs = {key: [each for each in job.inputs.values() if each in needed] for key, job in needed.items()}
    ends: dict[str, float] = {}
    before: dict[str, str] = {}
    for key in TopologicalSorter(inputs).static_order():
        last = max(inputs[key], key=lambda each: ends[each], default=None)
        ends[key] = needed[key].cost + (ends[last] if last else 0.0)
        if last:
            before[key] = last
    at = max(ends, key=lambda each: ends[each], default=None)
    chain: list[Job] = []
    while at is not None:
        chain.append(needed[at])
        at = before.get(at)
    return tuple(reversed(chain))


def scaling(most: int) -> tuple[int, ...]:
    """Return the numbers of GPUs that a table shows: powers of two, and ``most``."""
    powers = [2**power for power in range(most.bit_length())]
    return tuple(sorted({*(count for count in powers if count < most), most}))


def enough(play: Callable[[int], Schedule], most: int) -> int | None:
    """Return the least number of GPUs with which the critical path is all that a run takes, None above ``most``.

    Args:
        play: returns the schedule with so many GPUs.
        most: where to stop looking.
    """
    first = play(most)
    if first.makespan > first.critical_path * (1 + SAME):
        return None
    least = max(1, int(first.work.get("cuda", 0.0) / first.critical_path)) if first.critical_path else 1
    for count in range(least, most):
        found = play(count)
        if found.makespan <= found.critical_path * (1 + SAME):
            return count
    return most
