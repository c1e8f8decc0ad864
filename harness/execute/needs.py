"""Which jobs must run before artifacts are stored, and in which order they are best started."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from harness.contracts.records import Job
from harness.core.errors import JobError


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
