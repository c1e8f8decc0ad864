"""``--log-json FILE``: what happens in a run, one JSON object per line (``docs/log_json.md`` lists the fields).

Only the process that reports writes, for all workers. A line is one write of one whole line, so a run that is killed
can cut off the last line and no other; the next run begins on a line of its own.
"""

from __future__ import annotations

import json
import math
import os
import threading
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.execute.executor import Event


def now() -> str:
    """Return the time: UTC, ISO 8601, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class JsonLog:
    """Appends to ``path``.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: Path, run: str) -> None:
        self._run = run
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        size = os.fstat(self._fd).st_size
        if size and os.pread(self._fd, 1, size - 1) != b"\n":
            os.write(self._fd, b"\n")

    def write(self, event: str, time: str = "", **fields: Any) -> None:
        """Write one line.

        Raises:
            OSError: the line cannot be written, on a full disk say.
        """
        line = json.dumps(_plain({"event": event, "time": time or now(), "run": self._run, **fields}), allow_nan=False)
        with self._lock:
            os.write(self._fd, line.encode() + b"\n")

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def fields(event: Event) -> dict[str, Any]:
    """Return what the log tells of an event beside its name and time."""
    told: dict[str, Any] = {"key": event.key, "label": event.label} if event.key else {}
    if event.text:
        told["text"] = event.text
    if event.what in ("finished", "failed"):
        told["seconds"] = round(event.seconds, 3)
    if event.running is not None:
        running = asdict(event.running)
        told |= {"elapsed_s": running.pop("elapsed"), "eta_s": running.pop("eta"), **running}
    return told


def name_of(event: Event) -> str:
    """Return an event's name: a job that another process made was ``waited`` for and is ``finished`` there."""
    return "waited" if event.what == "finished" and event.text else event.what


def _plain(value: Any) -> Any:
    """Replace what JSON cannot hold (a loss that is not finite) by null."""
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
