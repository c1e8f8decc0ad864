"""File locks that die with their owner, and who holds them.

A lock is a kernel lock (flock) on an empty file, through ``filelock``; beside it lies a small JSON file that
says who took it. The note decides nothing: a stale one is never read, because it is read only while the
kernel says that the lock is held.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.core.durable import is_full, replace_file
from harness.core.errors import PreregError, Problem, Where


@dataclass(frozen=True)
class Holder:
    """Who holds a lock; ``pid`` 0 when they left no note. ``since`` is UTC, ISO 8601."""

    pid: int = 0
    host: str = ""
    since: str = ""
    label: str = ""

    def __str__(self) -> str:
        if not self.pid:
            return "another process"
        return f"pid {self.pid} on {self.host} since {self.since}"


class OwnedLock:
    """A lock on ``path``, taken without waiting and held until released or until this process dies."""

    def __init__(self, path: Path, label: str = "") -> None:
        from filelock import FileLock

        self.path = path
        self.label = label
        path.parent.mkdir(parents=True, exist_ok=True)
        # A soft lock outlives its owner, so never fall back to one.
        self._lock = FileLock(path, thread_local=False, fallback_to_soft=False)

    def acquire(self, *, note: bool = True) -> bool:
        """Take the lock if it is free or held by us; ``note`` says whether to write down who holds it."""
        from filelock import Timeout

        try:
            if not self._lock.is_locked:  # it counts, and would have to be released as often
                self._lock.acquire(blocking=False)
        except Timeout:
            return False
        if note:
            self._write_note()
        return True

    @property
    def held(self) -> bool:
        """Whether this object holds it."""
        return bool(self._lock.is_locked)

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._lock.is_locked:
            _note(self.path).unlink(missing_ok=True)
            self._lock.release()

    def holder(self) -> Holder | None:
        """Return who holds the lock, or None when it is free."""
        if self._lock.is_locked:
            return read_holder(self.path)
        if not self.path.exists():
            return None
        # Taken for some microseconds. Whoever tries just then finds it held and tries again.
        if self.acquire(note=False):
            self._lock.release()
            return None
        return read_holder(self.path)

    def __enter__(self) -> Self:
        if not self.acquire():
            raise PreregError(f"{self.label or self.path.name} is held by {self.holder() or 'another process'}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _write_note(self) -> None:
        since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        holder = Holder(os.getpid(), socket.gethostname(), since, self.label)
        try:
            replace_file(_note(self.path), json.dumps(asdict(holder)).encode(), sync=False)
        except OSError:
            # A full disk must not keep a job from finding out, where it can say so clearly.
            _note(self.path).unlink(missing_ok=True)


def read_holder(path: Path) -> Holder:
    """Read the note beside a held lock."""
    try:
        return Holder(**json.loads(_note(path).read_bytes()))
    except (OSError, ValueError, TypeError):
        return Holder()


def _note(path: Path) -> Path:
    return path.with_suffix(".json")


_TRY = """
import sys
from filelock import FileLock, Timeout
try:
    FileLock(sys.argv[1], fallback_to_soft=False).acquire(blocking=False)
except Timeout:
    sys.exit(3)
"""


def require_working_locks(folder: Path) -> None:
    """Prove with a second process that locks exclude each other here; remembered per host and device.

    A network file system may keep its locks on each host for itself, which no process here can find out; its mount
    options tell.

    Raises:
        PreregError: where they do not (some network file systems), with what to do.
    """
    folder.mkdir(parents=True, exist_ok=True)
    proof = folder / "proof.json"
    fact = json.dumps({"host": socket.gethostname(), "device": folder.stat().st_dev}).encode()
    if proof.exists() and proof.read_bytes() == fact:
        return
    if option := local_option(folder):
        raise _no_locks(folder, f"mounted with {option}, its locks hold on one host only")
    lock = OwnedLock(folder / f"proof-{socket.gethostname()}-{os.getpid()}.lock")
    try:
        excluded = lock.acquire(note=False) and _second_process_is_refused(lock.path)
    except (OSError, NotImplementedError) as error:
        if is_full(error):
            raise
        raise _no_locks(folder, str(error)) from error
    finally:
        lock.release()
        lock.path.unlink(missing_ok=True)
    if not excluded:
        raise _no_locks(folder, "two processes held the same lock")
    replace_file(proof, fact, sync=False)


_LOCAL = {
    "nfs": ("nolock", "local_lock=flock", "local_lock=all"),
    "nfs4": ("nolock", "local_lock=flock", "local_lock=all"),
    "lustre": ("localflock",),
    "cifs": ("nobrl",),
}
"""By file system, the mount options under which a lock taken here is not seen on another host."""


def local_option(folder: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """Return the mount option that keeps the locks of ``folder`` on this host, or an empty string.

    ``mounts`` is Linux's table of mounts (proc(5), mountinfo); elsewhere nothing is known and nothing is said.
    """
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    place, best, found = folder.resolve(), 0, ""
    for line in lines:
        before, _, after = line.partition(" - ")
        fields, (kind, *rest) = before.split(), after.split() or [""]
        point = Path(fields[4].replace("\\040", " ")) if len(fields) > 5 else None
        if point is not None and place.is_relative_to(point) and len(point.parts) >= best:
            options = {*fields[5].split(","), *(rest[-1].split(",") if rest else ())}
            best, found = len(point.parts), next((each for each in _LOCAL.get(kind, ()) if each in options), "")
    return found


def _second_process_is_refused(path: Path) -> bool:
    command = [sys.executable, "-c", _TRY, str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if ended.returncode not in (0, 3):
        raise OSError(ended.stderr.strip().splitlines()[-1] if ended.stderr.strip() else "the check crashed")
    return ended.returncode == 3


def _no_locks(folder: Path, why: str) -> PreregError:
    return PreregError(
        Problem(
            Where(str(folder.parent)),
            f"file locks do not work on this file system ({why})",
            "a file system on which two processes exclude each other",
            "put the store on a local disk with --store FOLDER or PREREG_STORE",
        )
    )
