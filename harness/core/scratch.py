"""A folder for the length of a process, in the system's place for such. A process that is killed cannot remove it.

So the next one that wants such a folder does: each is locked by its process for as long as that lives.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from harness.core.locks import OwnedLock

YOUNG = 60.0
"""Seconds in which a new folder may not be locked yet."""


@dataclass(frozen=True)
class Scratch:
    """A folder and the lock that says whose it is."""

    folder: Path
    held: OwnedLock

    def remove(self) -> None:
        """Remove the folder."""
        self.held.release()
        shutil.rmtree(self.folder, ignore_errors=True)


def prefix_of(purpose: str) -> str:
    """Return how the names of all folders of this user for one purpose begin."""
    return f"prereg-{purpose}-{os.getuid() if os.name == 'posix' else 0}-"


def make_scratch(purpose: str) -> Scratch:
    """Make a folder, locked as long as this process lives, and clear away those of processes that were killed."""
    for old in Path(tempfile.gettempdir()).glob(f"{prefix_of(purpose)}*"):
        lock = old / "lock"
        with contextlib.suppress(OSError):
            if time.time() - lock.stat().st_mtime > YOUNG and OwnedLock(lock).holder() is None:
                shutil.rmtree(old, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=prefix_of(purpose)))
    held = OwnedLock(folder / "lock")
    held.acquire(note=False)
    return Scratch(folder, held)
