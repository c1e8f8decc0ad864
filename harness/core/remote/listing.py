"""What is known here of a store on a URL, without a look at the network: its keys, and what was compared with it.

    remote/listing    the keys that were there when last asked, a line each
    remote/settled    a line for each artifact that is the same here and there: key and digest of its files

Both lie in the local cache. Neither decides anything that is not looked up again before it counts.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from harness.core.durable import replace_file

FOLDER = "remote"


class Listing:
    """The keys at the URL, as far as is known; safe to use from several threads."""

    def __init__(self, root: Path) -> None:
        self._folder = root / FOLDER
        self._keys: set[str] | None = None
        self._settled: dict[str, str] | None = None
        self._asked = float("-inf")
        self._lock = threading.Lock()

    def __contains__(self, key: str) -> bool:
        return key in self.keys

    @property
    def keys(self) -> set[str]:
        """The keys; read from the disk when first wanted."""
        if self._keys is None:
            self._keys = set(self._lines("listing"))
        return self._keys

    @property
    def age(self) -> float:
        """Seconds since this process has asked; endless before that."""
        return time.monotonic() - self._asked

    def replace(self, keys: Iterable[str]) -> None:
        """Take what the URL says now, and remember it for processes that may not ask."""
        with self._lock:
            self._keys, self._asked = set(keys), time.monotonic()
            with suppress(OSError):  # on a full disk the next run asks again
                self._folder.mkdir(parents=True, exist_ok=True)
                text = "".join(f"{key}\n" for key in sorted(self._keys))
                replace_file(self._folder / "listing", text.encode(), sync=False)

    def add(self, key: str) -> None:
        """Take note that an artifact is there."""
        with self._lock:
            self.keys.add(key)

    def discard(self, key: str) -> None:
        """Take note that an artifact is not there any more."""
        with self._lock:
            self.keys.discard(key)

    def settled(self, key: str, content: str) -> bool:
        """Say whether the artifact there has these files, as far as was seen."""
        with self._lock:
            if self._settled is None:
                pairs = (line.split(" ") for line in self._lines("settled"))
                self._settled = {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
            return key in self.keys and self._settled.get(key) == content

    def settle(self, key: str, content: str) -> None:
        """Take note that the artifact is there, with these files."""
        if self.settled(key, content):
            return
        with self._lock:
            self.keys.add(key)
            if self._settled is not None:
                self._settled[key] = content
            self._append("settled", f"{key} {content}\n")
            self._append("listing", f"{key}\n")

    def _append(self, name: str, line: str) -> None:
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            fd = os.open(self._folder / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.write(fd, line.encode())  # short appends of several processes do not mix
            finally:
                os.close(fd)

    def _lines(self, name: str) -> list[str]:
        try:
            return (self._folder / name).read_text("utf-8", errors="replace").splitlines()
        except OSError:
            return []
