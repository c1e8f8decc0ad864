"""Unfinished work of one job that outlives its process, until the job's artifact is stored.

    partial/<key>/NAME    64 hex digits of SHA-256 over the rest, a line of JSON (what, done), and the data

Only the holder of the job's lock writes here. Each file appears whole, by one rename, and is checked when it is
read: a damaged one costs its work and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from harness.core.durable import full_error, is_full, replace_file, sync_folder

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


class Stopped(BaseException):
    """The process was asked to end (SIGTERM, Ctrl-C). Raised where a job reports progress: a safe point to save.

    Not an ``Exception``, so that no job takes it for a failure of its own.
    """


@dataclass(frozen=True)
class Standing:
    """How far unfinished work is: what was being done, and how much of it is kept, in [0, 1]."""

    what: str
    done: float


class Partial:
    """The unfinished work of the job ``key`` in the store ``root``. Making the object touches nothing.

    A job sets ``pending`` while it has work in memory that it saves when a report of progress raises ``Stopped``;
    otherwise a process that is asked to end does so at once.
    """

    def __init__(self, root: Path, key: str) -> None:
        self.root = root
        self.key = key
        self.folder = root / "partial" / key
        self.pending = False
        self._cleared = False

    def load(self, name: str) -> bytes | None:
        """Return what was saved under ``name``, or None; a damaged file is named on stderr and removed."""
        path = self._path(name)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        begin = _data_begins(content)
        if begin is None:
            print(f"{path} is damaged; what it held is computed again", file=sys.stderr)
            path.unlink(missing_ok=True)
            return None
        return content[begin:]

    def save(self, name: str, data: bytes, *, what: str = "", done: float = 0.0) -> None:
        """Keep ``data`` under ``name``, durably, in place of what was there.

        Args:
            name: lower-case letters, digits, ``-`` and ``_``.
            data: the bytes.
            what: what is being done, for people.
            done: how much of the job's work is kept with this file, in [0, 1].

        Raises:
            FullError: the disk is full; what was saved before is still there.
        """
        body = json.dumps({"what": what, "done": round(done, 6)}).encode() + b"\n" + data
        path = self._path(name)
        try:
            self._make_folder()
            replace_file(path, hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
        except OSError as error:
            raise full_error(self.root) if is_full(error) else error from error

    def names(self) -> list[str]:
        """Return the names of what is saved, in order."""
        try:
            return sorted(path.name for path in self.folder.iterdir() if _NAME.fullmatch(path.name))
        except FileNotFoundError:
            return []

    def drop(self) -> None:
        """Remove everything: the artifact is stored."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def standing(self) -> Standing | None:
        """Return how far the saved work is by the headers alone, without reading or checking the data."""
        found = []
        for name in self.names():
            try:
                with self._path(name).open("rb") as handle:
                    handle.readline(80)
                    note = json.loads(handle.readline(1000))
                    found.append(Standing(str(note["what"]), float(note["done"])))
            except (OSError, ValueError, TypeError, KeyError):
                continue  # damaged, or gone just now
        return max(found, key=lambda each: each.done, default=None)

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ValueError(f"'{name}' is no name for unfinished work (a-z, 0-9, - and _)")
        return self.folder / name

    def _make_folder(self) -> None:
        if not self.folder.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            sync_folder(self.folder.parent)
            sync_folder(self.root)
        if not self._cleared:
            # Half-written files of a process that died; nobody else writes here.
            for path in self.folder.glob(".*"):
                path.unlink(missing_ok=True)
            self._cleared = True


def _data_begins(content: bytes) -> int | None:
    """Return where the data begins, or None when the digest does not fit."""
    claimed, _, body = content.partition(b"\n")
    if len(claimed) != 64 or hashlib.sha256(body).hexdigest().encode() != claimed:
        return None
    return len(claimed) + body.index(b"\n") + 2
