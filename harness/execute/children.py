"""What an executor knows of its children: how they run, what it hears of them, and what a pool of them can do."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from harness.contracts.records import Job
from harness.core.locks import Holder
from harness.execute.child import ENTRY
from harness.execute.devices import Slot


@dataclass(frozen=True)
class Options:
    """How children run.

    ``entry`` names the function that a child calls with ``(job, inputs, out, progress)``. ``cores`` and
    ``gpus`` bound what runs at once; None means what this process may use. ``env`` adds to the children's
    environment, ``preload`` replaces what a lane's zygote imports, ``fork`` False spawns every child. ``resident``
    names the lanes whose jobs share processes that keep their model. ``desk`` takes what concerns the run and no
    artifact, where that is not the store. ``ray`` is the address of the Ray cluster that runs the jobs ("" finds one
    or starts one here); None runs them on this machine.
    """

    entry: str = ENTRY
    cores: int | None = None
    gpus: Sequence[str] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    preload: Mapping[str, Sequence[str]] = field(default_factory=dict)
    fork: bool = True
    resident: Sequence[str] = ("cuda",)
    desk: str = ""
    ray: str | None = None


@dataclass(frozen=True)
class Change:
    """News of a child, or of a lane (``job`` None). ``status`` is as in ``LaneEvent``; ``seconds`` its age."""

    what: Literal["started", "ended", "note"]
    job: Job | None = None
    status: int = 0
    seconds: float = 0.0
    text: str = ""


class Children(Protocol):
    """What runs the jobs of one executor: on this machine (``pool.Pool``) or elsewhere.

    ``single`` are the devices of which there is one slot. ``shares`` says that artifacts are exchanged with the store
    where the jobs run, and not by the executor.
    """

    single: Collection[str]
    shares: bool

    @property
    def keys(self) -> set[str]:
        """Keys of the jobs that are under way."""
        ...

    def ready(self, job: Job) -> bool:
        """Say whether this job can be started at once; the first time, begin to make that so."""
        ...

    def in_order(self, jobs: Iterable[Job]) -> Iterable[Job]:
        """Return jobs, the most urgent first, in the order in which they are best started here."""
        ...

    def free_slot(self, job: Job, promised: Collection[Slot] = ()) -> tuple[Slot | None, Holder | None]:
        """Return a slot for :meth:`start`, or None and somebody else who uses one (None when all are ours).

        Slots that are ``promised`` to other jobs count as ours.
        """
        ...

    def start(self, job: Job, slot: Slot) -> None:
        """Start a job."""
        ...

    def wait(self, seconds: float) -> None:
        """Wait for news, but not longer than this."""
        ...

    def news(self) -> list[Change]:
        """Return what happened since the last call; raise JobError when nothing can be run any more."""
        ...

    def close(self, grace: float) -> None:
        """End everything: ask, wait up to ``grace`` seconds, then kill."""
        ...


def lane_name(job: Job) -> Literal["light", "model", "cuda"]:
    """Return which kind of child a job wants: ``cuda`` is a model job on a GPU."""
    if job.lane == "light":
        return "light"
    return "cuda" if job.device == "cuda" else "model"


def last_lines(log: Path, count: int = 12) -> list[str]:
    """Return the last lines of a log, none when there is no log."""
    try:
        with log.open("rb") as handle:
            handle.seek(max(0, handle.seek(0, os.SEEK_END) - 16_384))
            return handle.read().decode(errors="replace").splitlines()[-count:]
    except OSError:
        return []
