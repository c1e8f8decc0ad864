"""Who is at work on what, across machines: so that a job is normally made once. A claim never decides what is right.

    claims/<key>.json    {"owner", "pid", "host", "since", "label"}: created only if there is none
    owners/<owner>       rewritten every few seconds by a process that holds claims

A claim counts as long as its owner's file changes. Whoever waits for it measures that with a clock of his own, so
the clocks of two machines need not agree. Processes of one machine that share a cache see at once that an owner is
dead: it held a lock that dies with it.
"""

from __future__ import annotations

import json
import os
import re
import socket
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from harness.core.errors import PreregError
from harness.core.locks import Holder, OwnedLock
from harness.core.remote.files import Files
from harness.core.remote.listing import FOLDER

BEAT_S = 15.0
"""Seconds between two signs of life."""
DEAD_S = 60.0
"""Seconds without one after which an owner counts as dead."""


class Claims:
    """The claims of this process. Its methods may be called from several threads.

    Args:
        files: the URL.
        root: the local cache.
    """

    def __init__(self, files: Files, root: Path) -> None:
        self.files = files
        self.owner = uuid.uuid4().hex
        self._folder = root / FOLDER / "owners"
        self._lock = OwnedLock(self._folder / f"{self.owner}.lock")
        self._mine: set[str] = set()
        self._seen: dict[str, tuple[bytes | None, float]] = {}
        """By owner: the last sign of life that was new, and when it was (monotonic)."""
        self._begun = threading.Lock()
        self._beating: threading.Thread | None = None
        self._ended = threading.Event()
        self._last_beat = 0.0

    def take(self, key: str, label: str) -> Holder | None:
        """Claim a key; return who has it, or None when it is ours.

        Raises:
            RemoteError: the URL cannot be reached.
        """
        self._begin()
        since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        note = {"owner": self.owner, **asdict(Holder(os.getpid(), socket.gethostname(), since, label))}
        while (there := self.files.create(_claim(key), json.dumps(note).encode())) is not None:
            owner, holder = _read(there)
            if owner != self.owner and self._alive(owner):
                return holder
            if self.files.read(_claim(key)) == there:  # else somebody else has just taken it from the dead
                self.files.remove(_claim(key))
        self._mine.add(key)
        return None

    def release(self, key: str) -> None:
        """Give a claim back; harmless when it is not ours."""
        if key not in self._mine:
            return
        self._mine.discard(key)
        # Only after a silence can somebody have taken it for a dead one's.
        if time.monotonic() - self._last_beat > DEAD_S / 2:
            there = self.files.read(_claim(key))
            if there is None or _read(there)[0] != self.owner:
                return
        self.files.remove(_claim(key))

    def close(self) -> None:
        """Give everything back and stop giving signs of life; errors are left to those who wait."""
        self._ended.set()
        if self._beating is None:
            return
        with suppress(PreregError, OSError):
            for key in list(self._mine):
                self.release(key)
            self.files.remove(_owner(self.owner))
        self._lock.path.unlink(missing_ok=True)
        self._lock.release()

    def _begin(self) -> None:
        with self._begun:
            if self._beating is None:
                self._lock.acquire(note=False)
                self._beat(0)
                self._beating = threading.Thread(target=self._keep_beating, name="claims", daemon=True)
                self._beating.start()

    def _keep_beating(self) -> None:
        count = 0
        while not self._ended.wait(BEAT_S):
            count += 1
            with suppress(Exception):  # a network that is down is told by those who need it
                self._beat(count)

    def _beat(self, count: int) -> None:
        note = {"count": count, "pid": os.getpid(), "host": socket.gethostname()}
        self.files.write(_owner(self.owner), json.dumps(note).encode())
        self._last_beat = time.monotonic()

    def _alive(self, owner: str) -> bool:
        if not owner:
            return False
        path = self._folder / f"{owner}.lock"
        if path.exists():  # a process of this machine
            return OwnedLock(path).holder() is not None
        sign = self.files.read(_owner(owner))
        now = time.monotonic()
        last, since = self._seen.get(owner, (None, now))
        if sign is None:
            return False
        if sign != last:
            self._seen[owner] = (sign, now)
            return True
        return now - since < DEAD_S


def _claim(key: str) -> str:
    return f"claims/{key}.json"


def _owner(owner: str) -> str:
    return f"owners/{owner}"


def _read(raw: bytes) -> tuple[str, Holder]:
    """Return the owner of a claim and who that is; a claim that cannot be read has no owner."""
    try:
        note = json.loads(raw)
        owner, holder = note.pop("owner"), Holder(**note)
        return (owner, holder) if re.fullmatch(r"[0-9a-f]{32}", owner) else ("", holder)
    except (ValueError, TypeError, KeyError, AttributeError):
        return "", Holder()
