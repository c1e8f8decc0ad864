"""How far a job is: written by the child to a small file, read by whoever shows it, in any process."""

from __future__ import annotations

import json
import os
import socket
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from harness.core.durable import replace_file

EVERY = 0.5
"""Seconds between two writes at least."""


@dataclass(frozen=True)
class Running:
    """A job at work.

    ``done`` is in [0, 1]; ``elapsed`` and ``eta`` are seconds, ``eta`` None when unknown; ``rss_mb`` is the
    child's resident memory now, 0 when unknown.
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


class FileProgress:
    """The ``Progress`` that a job is given; writes at most every half second and never fails a job."""

    def __init__(self, folder: Path, key: str, label: str, device: str) -> None:
        self._path = folder / f"{key}.json"
        self._note = _Note(key, label, device, os.getpid(), socket.gethostname(), time.time())
        self._write()
        self._next = 0.0  # the first report shows at once

    def __call__(self, what: str, done: float, **figures: float) -> None:
        """Say what is being done and how much of the job is done, in [0, 1]."""
        self._note.what, self._note.done = what, min(max(float(done), 0.0), 1.0)
        self._note.figures.update({name: float(value) for name, value in figures.items()})
        if time.monotonic() >= self._next:
            self._write()

    def close(self) -> None:
        """Take the file away: the job is over."""
        self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        self._next = time.monotonic() + EVERY
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
    return Running(
        key=note.key, label=note.label, what=note.what, done=note.done, elapsed=elapsed, eta=eta,
        figures=note.figures, pid=note.pid, host=note.host, device=note.device, rss_mb=_rss_mb(note.pid),
    )  # fmt: skip


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def _rss_mb(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
