"""News from xdist's workers to the process that reports, by way of the store: one file of JSON lines per worker."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.plugin.jsonlog import now
from harness.plugin.prices import Planned

if TYPE_CHECKING:
    from harness.execute.executor import Event

SUFFIX = ".events"


class Sender:
    """Writes a worker's news to the folder that is asked for first. What cannot be written is not shown."""

    def __init__(self, folder: Callable[[], Path], worker: str) -> None:
        self._folder = folder
        self._worker = worker
        self._fd: int | None = None

    def happened(self, event: Event) -> None:
        """Send a piece of the executor's news."""
        self._send(event=asdict(event))

    def planned(self, plan: Planned) -> None:
        """Send what this worker found missing."""
        self._send(plan={"seconds": dict(plan.seconds), "tag": plan.tag, "figures": dict(plan.figures)})

    def _send(self, **message: Any) -> None:
        with suppress(OSError):
            if self._fd is None:
                folder = self._folder()
                folder.mkdir(parents=True, exist_ok=True)
                path = folder / f"{self._worker}-{os.getpid()}{SUFFIX}"
                self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            os.write(self._fd, json.dumps({"time": now(), "worker": self._worker, **message}).encode() + b"\n")


class Receiver:
    """Reads what the workers of a run sent, each line once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, int] = {}

    def news(self) -> Iterator[tuple[str, str, Event | Planned]]:
        """Yield time, worker and news since the last call. A line that is still being written waits for the next."""
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            at = self._read.get(path, 0)
            with suppress(OSError):
                with path.open("rb") as handle:
                    handle.seek(at)
                    whole = handle.read().rpartition(b"\n")[0]
                self._read[path] = at + len(whole) + (1 if whole else 0)
                for line in whole.split(b"\n") if whole else ():
                    with suppress(ValueError):  # a line that a full disk cut off
                        yield _understood(json.loads(line))

    def close(self) -> None:
        """Remove what was read, and the run's folder when nothing else is in it."""
        for path in self._read:
            path.unlink(missing_ok=True)
        with suppress(OSError):
            self._folder.rmdir()


def _understood(message: dict[str, Any]) -> tuple[str, str, Event | Planned]:
    from harness.execute.executor import Event
    from harness.execute.progress import Running

    if "plan" in message:
        return message["time"], message["worker"], Planned(**message["plan"])
    told = message["event"]
    running = Running(**told.pop("running")) if told["running"] else None
    return message["time"], message["worker"], Event(**{**told, "running": running})
