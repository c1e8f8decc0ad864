"""How far a job is: written by the child to a small file, read by whoever shows it, in any process."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from harness.core.durable import replace_file
from harness.execute import machine

EVERY = 0.5
"""Seconds between two writes at least."""

COUNTED = ("tokens", "completions", "texts")
"""Figures that count what is done, of which a rate is told."""


@dataclass(frozen=True)
class Running:
    """A job at work.

    ``done`` is in [0, 1]; ``elapsed`` and ``eta`` are seconds, ``eta`` None when unknown; ``rss_mb`` and ``gpu_mb``
    are the memory that the child holds now (MiB, resident and on its GPU), 0 when unknown. ``figures`` are what the
    job tells; of those that count something (:data:`COUNTED`) the rate per second is among them.
    """

    key: str
    label: str
    what: str
    done: float
    elapsed: float
    eta: float | None
    figures: dict[str, float] = field(default_factory=dict)
    pid: int = 0
    host: str = ""
    device: str = ""
    rss_mb: float = 0.0
    gpu_mb: float = 0.0


@dataclass
class _Note:
    key: str
    label: str
    device: str
    pid: int
    host: str
    began: float
    what: str = "starting"
    done: float = 0.0
    figures: dict[str, float] = field(default_factory=dict)
    rss_mb: float = 0.0
    gpu_mb: float = 0.0


@dataclass
class _Rates:
    """How fast a phase of a job counts. A phase that goes on after a restart begins where it was left."""

    what: str = ""
    began: float = 0.0
    first: dict[str, float] = field(default_factory=dict)

    def of(self, what: str, figures: Mapping[str, float]) -> dict[str, float]:
        """Return ``<name>_per_s`` for each figure that counts, from the phase's first report on."""
        now = time.monotonic()
        counts = {name: figures[name] for name in COUNTED if name in figures}
        if what != self.what or any(value < self.first.get(name, value) for name, value in counts.items()):
            self.what, self.began, self.first = what, now, {}
        for name, value in counts.items():
            self.first.setdefault(name, value)
        if now - self.began < EVERY:
            return {}
        return {f"{name}_per_s": (value - self.first[name]) / (now - self.began) for name, value in counts.items()}


class FileProgress:
    """The ``Progress`` that a job is given; writes at most every half second and never fails a job."""

    def __init__(self, folder: Path, key: str, label: str, device: str) -> None:
        self._path = folder / f"{key}.json"
        self._note = _Note(key, label, device, os.getpid(), socket.gethostname(), time.time())
        self._rates = _Rates()
        self._write()
        self._next = 0.0  # the first report shows at once

    def __call__(self, what: str, done: float, **figures: float) -> None:
        """Say what is being done and how much of the job is done, in [0, 1]."""
        if what != self._note.what:
            self._note.figures.clear()  # those of a phase that is over
        self._note.what, self._note.done = what, min(max(float(done), 0.0), 1.0)
        self._note.figures.update({name: float(value) for name, value in figures.items()})
        self._note.figures.update(self._rates.of(what, figures))
        if time.monotonic() >= self._next:
            self._write()

    def close(self) -> None:
        """Take the file away: the job is over."""
        self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        self._next = time.monotonic() + EVERY
        self._note.rss_mb, self._note.gpu_mb = machine.rss_mb(), machine.gpu_mb()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._path, json.dumps(asdict(self._note)).encode(), sync=False)
        except OSError:
            pass  # a full disk stops the job where it stores something, with a clear message


def read_running(folder: Path) -> list[Running]:
    """Return the jobs at work in a run, by label, whichever process started them."""
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            note = _Note(**json.loads(path.read_bytes()))
        except (OSError, ValueError, TypeError):
            continue  # ended just now
        if note.host != socket.gethostname() or _alive(note.pid):
            found.append(_running(note))
    return sorted(found, key=lambda job: job.label)


def _running(note: _Note) -> Running:
    elapsed = max(time.time() - note.began, 0.0)
    eta = elapsed * (1 - note.done) / note.done if note.done > 0 else None
    here = note.host == socket.gethostname()
    return Running(
        key=note.key, label=note.label, what=note.what, done=note.done, elapsed=elapsed, eta=eta,
        figures=note.figures, pid=note.pid, host=note.host, device=note.device,
        rss_mb=(machine.rss_mb(note.pid) if here else 0.0) or note.rss_mb, gpu_mb=note.gpu_mb,
    )  # fmt: skip


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True
