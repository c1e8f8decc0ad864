"""Job arrays for clusters with Slurm: which missing jobs stand in which array, and which array waits for which.

An array holds the jobs of one kind and one wave of the graph that use the same device: they read nothing of each
other, and are alike in time and memory. It waits for exactly those arrays whose artifacts it reads. Jobs that need no
model, and that no model job waits for, are left to the last step: it is an ordinary run of pytest, which makes them
in seconds instead of queueing for each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from harness.contracts.records import Job
from harness.execute.devices import Device
from harness.execute.needs import missing_jobs

ARRAY_LIMIT = 1001
"""Tasks of an array at most, unless the cluster says otherwise (``MaxArraySize``)."""
START = 10
"""Minutes of a time limit beyond the high price: starting Python, importing, waiting for a slow disk."""


@dataclass(frozen=True)
class Array:
    """One job array. ``first`` is the number of its first job among all requests; ``minutes`` its time limit.

    ``after`` are the places of the arrays that it waits for. ``minutes`` is None where a price is unknown.
    """

    name: str
    device: Device
    jobs: tuple[Job, ...]
    first: int
    minutes: int | None
    after: tuple[int, ...]


@dataclass(frozen=True)
class Arrays:
    """The arrays in an order in which they can be submitted, and what the last step makes.

    ``ends`` are the places of the arrays that no other waits for: the last step waits for them.
    """

    arrays: tuple[Array, ...]
    ends: tuple[int, ...]
    rest: tuple[Job, ...]
    minutes: int | None


def arrays_of(
    keys: Iterable[str],
    jobs: Mapping[str, Job],
    has: Callable[[str], bool],
    high: Mapping[str, float | None],
    limit: int = ARRAY_LIMIT,
) -> Arrays:
    """Return the arrays that make what is missing of ``keys``.

    Args:
        keys: the artifacts that are wanted.
        jobs: the plan, each job with its price as ``cost``.
        has: says whether an artifact is stored.
        high: seconds by key at the high end of the price, None where it is unknown.
        limit: tasks of an array at most.

    Raises:
        JobError: an artifact is neither stored nor planned.
    """
    needed = missing_jobs(keys, jobs, has)
    models = missing_jobs([key for key, job in needed.items() if job.lane == "model"], jobs, has)
    waves: dict[str, int] = {}
    for key in jobs:  # in an order in which they can run
        if key in models:
            waves[key] = 1 + max((waves[each] for each in jobs[key].inputs.values() if each in waves), default=0)
    groups: dict[tuple[int, str, Device], list[Job]] = {}
    for key, job in models.items():
        groups.setdefault((waves[key], job.kind, job.device), []).append(job)
    made: list[Array] = []
    place: dict[str, int] = {}
    first = 0
    for (_, kind, device), members in sorted(groups.items(), key=lambda group: group[0][0]):
        for start in range(0, len(members), limit):
            part = tuple(members[start : start + limit])
            after = sorted({place[each] for job in part for each in job.inputs.values() if each in place})
            name = f"{len(made) + 1:02}-{kind.rpartition('/')[2]}"
            made.append(Array(name, device, part, first, _minutes(part, high), tuple(after)))
            first += len(part)
        for number in range(len(made)):
            place |= {job.key: number for job in made[number].jobs}
    awaited = {number for array in made for number in array.after}
    rest = tuple(job for key, job in needed.items() if key not in models)
    ends = tuple(number for number in range(len(made)) if number not in awaited)
    return Arrays(tuple(made), ends, rest, _minutes(rest, high, together=True))


def _minutes(jobs: Iterable[Job], high: Mapping[str, float | None], *, together: bool = False) -> int | None:
    """Return a time limit for the longest of some jobs, or for all of them one after the other."""
    each = [high.get(job.key) for job in jobs]
    known = [seconds for seconds in each if seconds is not None]
    if len(known) < len(each):
        return None
    return math.ceil((sum(known) if together else max(known, default=0.0)) / 60) + START
