"""How many of a run's jobs are done, and how long the rest will take by their prices."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from harness.execute.progress import Running

LOOK = 1.0
"""Seconds between two looks at the store at least."""
TRUSTED = 0.1
"""From this share of the whole price on, the speed of this run is believed more than the prices are."""


@dataclass(frozen=True)
class Left:
    """``done`` of ``jobs`` jobs are stored; ``eta`` are seconds for those of the others that have a price.

    ``unpriced`` of the others have none; ``eta`` is None when nothing is left that has one.
    """

    done: int
    jobs: int
    eta: float | None
    unpriced: int


class Tally:
    """Counts the jobs that were missing when the run began, whichever process makes them.

    Args:
        seconds: their likely price by key, None where it is unknown.
        has: says whether an artifact is stored.
    """

    def __init__(self, seconds: Mapping[str, float | None], has: Callable[[str], bool]) -> None:
        self._seconds = dict(seconds)
        self._has = has
        self._missing = dict.fromkeys(seconds)
        self._began = time.monotonic()
        self._next = 0.0

    def stored(self, key: str) -> None:
        """Take note of an artifact that is stored now."""
        self._missing.pop(key, None)

    def look(self, running: Iterable[Running] = ()) -> Left:
        """Say how far the run is; ``running`` are the jobs at work now."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + LOOK
            self._missing = {key: None for key in self._missing if not self._has(key)}
        at_work = {job.key: job.done for job in running if job.key in self._missing}
        whole = sum(seconds or 0.0 for seconds in self._seconds.values())
        left = sum((self._seconds[key] or 0.0) * (1 - at_work.get(key, 0.0)) for key in self._missing)
        return Left(
            done=len(self._seconds) - len(self._missing),
            jobs=len(self._seconds),
            eta=self._eta(left, whole, now - self._began, len(at_work)) if left else None,
            unpriced=sum(self._seconds[key] is None for key in self._missing),
        )

    def _eta(self, left: float, whole: float, elapsed: float, at_work: int) -> float:
        if whole - left >= TRUSTED * whole and elapsed > LOOK:
            return left * elapsed / (whole - left)
        return left / max(1, at_work)
