"""Processes that keep their engine and base model, from the side of whoever has jobs for them.

:class:`ResidentProcess` is one of them: start it, send it a request, ask for the status. :class:`ResidentLane` has one
per slot and replaces it when a job wants another engine or base. Both need a POSIX system.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from harness.contracts.records import Job
from harness.core.ident import canonical
from harness.execute.child import NO_SLOT, Request
from harness.execute.lanes import LaneEvent, converse
from harness.execute.resident import LEFT

LEAVING = 10.0
"""Seconds that an idle process has to end when it is told to."""


def identity(job: Job | Mapping[str, Any]) -> str:
    """Return what a job wants in memory: its engine, its device and its base model (weights, not adapters).

    Jobs of equal identity may share a process. A sampler on vLLM leaves no memory for anything else, and is another
    identity than training on the same base.
    """
    engine, inputs, params = (
        (job.engine, job.inputs, job.params) if isinstance(job, Job) else (job["engine"], job["inputs"], job["params"])
    )
    base = inputs.get("base") or params.get("model") or ""
    return canonical([engine.get("engine", ""), engine.get("device", ""), engine.get("dtype", ""), base]).decode()


class ResidentProcess:
    """One process on one slot, for requests of one identity, one at a time.

    Args:
        first: the request for which it is started; it is sent at once. Its log takes what the start has to say.
        environment: the process's environment, as from ``lanes.child_environment``.
    """

    def __init__(self, first: Request, environment: Mapping[str, str]) -> None:
        self.identity = identity(first.job)
        self.busy = False
        self._buffer = b""
        self._taken = False
        self._served = 0
        self._told_to_leave: float | None = None
        config = {"device": first.device, "slot": first.slot, "lease": first.lease}
        self._process, self._socket = converse("harness.execute.resident", config, environment, first.log)
        self.send(first)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def fileno(self) -> int:
        """Return what becomes readable when a request has ended or the process has."""
        return self._socket.fileno()

    def fits(self, request: Request) -> bool:
        """Say whether a request may be sent now: it is alive, has nothing to do, and has the right model."""
        return not self.busy and not self.gone() and self.identity == identity(request.job)

    def send(self, request: Request) -> None:
        """Ask for a job; a process that has just ended says so in :meth:`status`."""
        self.busy, self._taken = True, False
        self._socket.setblocking(True)
        with contextlib.suppress(OSError):
            self._socket.sendall(json.dumps({"op": "run", "request": asdict(request)}).encode() + b"\n")

    def status(self) -> int | None:
        """Return the exit status of the request under way (minus a signal) once it has ended, before that None.

        ``NO_SLOT``, which means "ask again", when the process had ended after an earlier job and before it saw this
        request; where it did not even start, the status says so.
        """
        if not self.busy:
            return None
        gone = self._process.poll() is not None  # asked first, so that what it said last is heard
        ended = self._heard()
        if ended is None and gone:
            missed = not self._taken and (self._served or self._process.returncode == LEFT)
            ended = NO_SLOT if missed else self._process.returncode
        if ended is not None:
            self.busy = False
            self._served += 1
        return ended

    def gone(self) -> bool:
        """Say whether the process has ended, and with it what it held."""
        late = self._told_to_leave is not None and time.monotonic() - self._told_to_leave > LEAVING
        if late:
            self.kill(signal.SIGKILL)
        return self._process.poll() is not None

    def leave(self) -> None:
        """Tell an idle process to end. One that is at work is killed, as when its parent dies."""
        if self._told_to_leave is None:
            self._told_to_leave = time.monotonic()
            self._socket.close()

    def kill(self, how: signal.Signals) -> None:
        """Send a signal to the process and everything it started."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, how)

    def close(self) -> None:
        """End it and wait for that."""
        self.leave()
        if self.busy:
            self.kill(signal.SIGKILL)
        try:
            self._process.wait(timeout=LEAVING)
        except subprocess.TimeoutExpired:
            self.kill(signal.SIGKILL)
            self._process.wait()

    def _heard(self) -> int | None:
        self._socket.setblocking(False)
        with contextlib.suppress(OSError):
            self._buffer += self._socket.recv(1 << 16)
        *lines, self._buffer = self._buffer.split(b"\n")
        messages = [json.loads(line) for line in lines]
        self._taken = self._taken or any(message["event"] == "taken" for message in messages)
        return next((int(message["status"]) for message in messages if message["event"] == "ended"), None)


class ResidentLane:
    """One process per slot, which serves the jobs of its identity; another identity replaces it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.threads = 1
        self.started = 0
        """Processes started so far."""
        self.left: set[str] = set()
        """Leases that our processes gave up by themselves, somebody else may be waiting for them."""
        self._environment = dict(environment)
        self._processes: dict[str, ResidentProcess] = {}
        self._old: dict[str, ResidentProcess] = {}
        """By lease, what must have ended before the next process may use the memory."""
        self._next: dict[str, tuple[int, Request]] = {}
        self._numbers: dict[str, int] = {}
        self._news: list[LaneEvent] = []

    def ready(self) -> bool:
        """A process is always to be had."""
        return True

    def fileno(self) -> int | None:
        """Several sockets: ask :meth:`news`."""
        return None

    def kept(self) -> dict[str, str]:
        """Return the identities of the processes that wait for a job, by lease."""
        for lease in [lease for lease, each in self._processes.items() if not each.busy and each.gone()]:
            self._forget(lease)
        return {
            lease: each.identity for lease, each in self._processes.items() if not each.busy and lease not in self._next
        }

    def start(self, number: int, request: Request) -> None:
        """Give a request to the slot's process, or to a new one once that has ended."""
        current = self._processes.get(request.lease)
        if current is not None and current.fits(request):
            current.send(request)
            self._begun(number, request, current)
            return
        if current is not None:
            current.leave()
            self._old[request.lease] = self._processes.pop(request.lease)
        self._next[request.lease] = (number, request)
        self._start_next()

    def news(self) -> list[LaneEvent]:
        """Return the requests that began and ended."""
        self._start_next()
        for lease, process in list(self._processes.items()):
            status = process.status()
            if status is not None:
                self._news.append(LaneEvent("ended", self._numbers.pop(lease), process.pid, status))
            if process.gone():
                self._forget(lease)
        found, self._news = self._news, []
        return found

    def kill(self, number: int, how: signal.Signals) -> None:
        """Signal the process that has a request; one that has not been sent yet is dropped."""
        for lease, (waiting, _) in list(self._next.items()):
            if waiting == number:
                del self._next[lease]
                self._news.append(LaneEvent("ended", number, 0, -how))
        for lease, served in self._numbers.items():
            if served == number:
                self._processes[lease].kill(how)

    def leave(self) -> None:
        """Hang up on every process."""
        for process in (*self._processes.values(), *self._old.values()):
            process.leave()

    def close(self) -> None:
        """End every process and wait for it."""
        self.leave()
        for process in (*self._processes.values(), *self._old.values()):
            process.close()
        self._processes.clear()
        self._old.clear()
        self._next.clear()

    def _start_next(self) -> None:
        for lease, process in list(self._old.items()):
            if process.gone():
                process.close()
                del self._old[lease]
        for lease, (number, request) in list(self._next.items()):
            if lease not in self._old:
                del self._next[lease]
                self.left.discard(lease)
                self._processes[lease] = process = ResidentProcess(request, self._environment)
                self.started += 1
                self._begun(number, request, process)

    def _begun(self, number: int, request: Request, process: ResidentProcess) -> None:
        self._numbers[request.lease] = number
        self._news.append(LaneEvent("started", number, process.pid))

    def _forget(self, lease: str) -> None:
        process = self._processes.get(lease)
        if process is not None and not process.busy:
            self._processes.pop(lease).close()
            self.left.add(lease)
