"""Which jobs must run before artifacts are stored, and in which order they are best started."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Container, Iterable, Iterator, Mapping

from harness.contracts.records import Job
from harness.core.errors import JobError

MOMENT = 1.0
"""Minutes up to which a light job is not put off."""


def missing_jobs(keys: Iterable[str], jobs: Mapping[str, Job], has: Callable[[str], bool]) -> dict[str, Job]:
    """Return the jobs without which ``keys`` cannot be stored, the longest remaining way first.

    A stored artifact needs nothing: its inputs may have been cleared away.

    Raises:
        JobError: an artifact is neither stored nor planned.
    """
    order: list[str] = []
    seen: set[str] = set()
    stack = [(key, False) for key in keys]
    while stack:
        key, inputs_done = stack.pop()
        if inputs_done:
            order.append(key)
        elif key not in seen and not has(key):
            seen.add(key)
            if key not in jobs:
                raise JobError(f"artifact {key[:12]} is neither stored nor made by any job of the plan")
            stack.append((key, True))
            stack += [(needed, False) for needed in jobs[key].inputs.values()]
    # Minutes from the start of a job to the end of everything that waits for it; undeclared costs count a bit,
    # so that depth decides between them.
    way = dict.fromkeys(order, 0.0)
    for key in reversed(order):
        way[key] += max(jobs[key].cost, 1e-3)
        for needed in jobs[key].inputs.values():
            if needed in way:
                way[needed] = max(way[needed], way[key])
    return {key: jobs[key] for key in sorted(order, key=lambda key: -way[key])}


class Missing:
    """What is still to be made for some keys, kept up to date job by job: a plan is walked once and not at each event.

    Args:
        keys: the artifacts that are wanted.
        jobs: the plan.
        has: says whether an artifact is stored; asked once for each job that is needed.

    Raises:
        JobError: an artifact is neither stored nor planned.
    """

    def __init__(self, keys: Iterable[str], jobs: Mapping[str, Job], has: Callable[[str], bool]) -> None:
        self._jobs = missing_jobs(keys, jobs, has)
        self._rank = {key: rank for rank, key in enumerate(self._jobs)}
        self._order = tuple(self._jobs)
        self._waits: dict[str, int] = {}
        self._users: dict[str, list[str]] = {}
        for key, job in self._jobs.items():
            needs = {needed for needed in job.inputs.values() if needed in self._jobs}
            self._waits[key] = len(needs)
            for needed in needs:
                self._users.setdefault(needed, []).append(key)
        self._ready = [self._rank[key] for key, count in self._waits.items() if not count]

    def __bool__(self) -> bool:
        return bool(self._jobs)

    def __contains__(self, key: str) -> bool:
        return key in self._jobs

    def ready(self) -> Iterator[Job]:
        """Yield the jobs whose inputs are all stored, the longest remaining way first."""
        for rank in tuple(self._ready):
            yield self._jobs[self._order[rank]]

    def stored(self, key: str) -> None:
        """Take note that an artifact is stored now; harmless when it was known or is not needed."""
        if self._jobs.pop(key, None) is None:
            return
        place = bisect_left(self._ready, self._rank[key])
        if self._ready[place : place + 1] == [self._rank[key]]:
            del self._ready[place]
        for user in self._users.pop(key, ()):
            self._waits[user] -= 1
            if not self._waits[user] and user in self._jobs:
                insort(self._ready, self._rank[user])


def candidates(missing: Missing, ahead: Missing | None, single: Container[str]) -> Iterator[Job]:
    """Yield the jobs that could run now, the best first: the order of the executor and of simulated schedules.

    With several slots of a device the longest remaining way goes first, whatever is waited for: a slot that works on
    the wrong job ends the run later. With a single slot every order ends at the same time, so what is waited for goes
    first and is judged early. Light jobs that take a moment go before models that want the same slots: left to the end,
    there would be nothing for them to run beside.

    Args:
        missing: what is missing of what is waited for now.
        ahead: what is missing of everything that will be waited for; None leaves slots free for nothing else.
        single: the devices of which there is one slot.
    """
    if ahead is None:
        yield from _light_first(missing.ready())
        return
    first = {job.key: job for job in missing.ready() if job.device in single or job.key not in ahead}
    yield from _light_first(first.values())
    yield from _light_first(job for job in ahead.ready() if job.key not in first)


def _light_first(jobs: Iterable[Job]) -> list[Job]:
    return sorted(jobs, key=lambda job: job.lane != "light" or job.cost > MOMENT)
