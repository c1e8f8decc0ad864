"""Where children come from: forked off a zygote, or spawned one by one.

A lane takes requests and tells what became of them. Processes that keep their model and serve several requests in
sequence are a third lane with the same methods (``harness.execute.resident_lane``).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from harness.execute.child import Request

Happening = Literal["ready", "started", "ended", "died"]


@dataclass(frozen=True)
class LaneEvent:
    """What happened in a lane.

    ``status`` is an exit status, or minus a signal; ``died`` concerns the whole lane: every request under
    way is lost and may be asked again.
    """

    what: Happening
    id: int = 0
    pid: int = 0
    status: int = 0


class Lane(Protocol):
    """Starts children."""

    threads: int
    """Threads of the process that forks; with more than one, forking is unsafe."""

    def ready(self) -> bool:
        """Say whether :meth:`start` may be called."""
        ...

    def fileno(self) -> int | None:
        """Return what becomes readable when there is news, or None when :meth:`news` must be asked."""
        ...

    def start(self, number: int, request: Request) -> None:
        """Start a child for a request."""
        ...

    def news(self) -> list[LaneEvent]:
        """Return what has happened since the last call, without waiting."""
        ...

    def kill(self, number: int, how: signal.Signals) -> None:
        """Send a signal to a child and everything it started."""
        ...

    def leave(self) -> None:
        """Begin to end the lane; :meth:`close` waits for it."""
        ...

    def close(self) -> None:
        """End the lane and whatever still runs in it."""
        ...


def can_fork() -> bool:
    """Say whether forking after imports is safe here; on macOS system libraries forbid it, and jobs are spawned."""
    return os.name == "posix" and sys.platform != "darwin"


def child_environment(extra: Mapping[str, str], *, gpu: bool) -> dict[str, str]:
    """Return the environment of jobs: ours, one thread each, this process's import path."""
    environment = dict(os.environ)
    for name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "VECLIB_MAXIMUM"):
        environment[f"{name}_NUM_THREADS"] = "1"
    environment["TOKENIZERS_PARALLELISM"] = "false"
    environment["PYTHONHASHSEED"] = "0"  # the order of a set must not decide a result
    environment["PYTHONUNBUFFERED"] = "1"  # the log's last lines are there when a job is killed
    environment["JE_ARROW_MALLOC_CONF"] = "background_thread:false"  # Arrow's thread would not survive a fork
    environment["PYTHONPATH"] = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
    if not gpu:
        environment["CUDA_VISIBLE_DEVICES"] = ""
    return {**environment, **extra}


def converse(
    module: str, config: Mapping[str, Any], environment: Mapping[str, str], log: Path
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start ``python -m module CONFIG`` with a socket to talk over; return the process and our end.

    ``config`` goes there as JSON, with ``fd``, its end of the socket, and ``parent``, this process. What it prints goes
    to ``log``.
    """
    ours, theirs = socket.socketpair()
    said = {**config, "fd": theirs.fileno(), "parent": os.getpid()}
    log.parent.mkdir(parents=True, exist_ok=True)
    with theirs, log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, json.dumps(said)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(environment),
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
        )
    return process, ours


class ForkLane:
    """Children forked off a zygote that has everything imported."""

    def __init__(self, name: str, preload: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.threads = 1
        self._ready = False
        self._buffer = b""
        self._pids: dict[int, int] = {}
        config = {"lane": name, "preload": list(preload)}
        self._process, self._socket = converse("harness.execute.zygote", config, environment, log)
        self._socket.setblocking(False)

    @property
    def pid(self) -> int:
        """The zygote's process id."""
        return self._process.pid

    def ready(self) -> bool:
        """Say whether the zygote has imported everything."""
        return self._ready

    def fileno(self) -> int | None:
        """Return the socket on which the zygote reports."""
        return self._socket.fileno()

    def start(self, number: int, request: Request) -> None:
        """Ask the zygote for a child."""
        self._send(op="run", id=number, request=asdict(request))

    def news(self) -> list[LaneEvent]:
        """Return what the zygote reported, or that it is gone."""
        found: list[LaneEvent] = []
        while True:
            try:
                data = self._socket.recv(1 << 16)
            except BlockingIOError:
                return found
            except OSError:
                data = b""
            if not data:
                self._kill_orphans()
                return [*found, LaneEvent("died")]
            *lines, self._buffer = (self._buffer + data).split(b"\n")
            found += [self._understand(json.loads(line)) for line in lines]

    def kill(self, number: int, how: signal.Signals) -> None:
        """Have the zygote signal a child's group; only it knows for sure that the child still is one."""
        self._send(op="kill", id=number, signal=int(how))

    def leave(self) -> None:
        """Hang up: the zygote kills its children and ends."""
        self._socket.close()
        if not self._ready:
            self._process.kill()  # it has no children yet, and would hear of it only after its imports

    def close(self) -> None:
        """Hang up, and wait for the zygote's end."""
        self.leave()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            self._kill_orphans()

    def _understand(self, message: dict[str, Any]) -> LaneEvent:
        match message.pop("event"):
            case "ready":
                self._ready, self.threads = True, message["threads"]
                return LaneEvent("ready")
            case "started":
                self._pids[message["id"]] = message["pid"]
                return LaneEvent("started", **message)
            case _:
                self._pids.pop(message["id"], None)
                return LaneEvent("ended", **message)

    def _send(self, **message: Any) -> None:
        # A dead zygote shows as end-of-file in news().
        with contextlib.suppress(OSError):
            self._socket.setblocking(True)
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        with contextlib.suppress(OSError):
            self._socket.setblocking(False)

    def _kill_orphans(self) -> None:
        # Their lifeline tells them too; this reaches what they have started.
        for pid in self._pids.values():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        self._pids.clear()


class SpawnLane:
    """One fresh process per job: for CUDA, and where forking is unsafe or unknown."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.threads = 1
        self._environment = dict(environment)
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._news: list[LaneEvent] = []

    def ready(self) -> bool:
        """A new process is always to be had."""
        return True

    def fileno(self) -> int | None:
        """Nothing to wait on: ask :meth:`news`."""
        return None

    def start(self, number: int, request: Request) -> None:
        """Spawn a child; its standard input stays open as the line by which it notices our death."""
        request.log.parent.mkdir(parents=True, exist_ok=True)
        with request.log.open("ab") as output:
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", "harness.execute.child"],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=self._environment,
                start_new_session=True,
            )
        self._children[number] = child
        self._news.append(LaneEvent("started", number, child.pid))
        assert child.stdin is not None
        with contextlib.suppress(OSError):  # it died at once; its status says how
            child.stdin.write(json.dumps(asdict(request)).encode() + b"\n")
            child.stdin.flush()

    def news(self) -> list[LaneEvent]:
        """Return the children that ended."""
        for number, child in list(self._children.items()):
            status = child.poll()
            if status is not None:
                self._forget(number)
                self._news.append(LaneEvent("ended", number, child.pid, status))
        found, self._news = self._news, []
        return found

    def kill(self, number: int, how: signal.Signals) -> None:
        """Signal a child's group."""
        if number in self._children:
            _signal(self._children[number], how)

    def leave(self) -> None:
        """Kill every child."""
        for child in self._children.values():
            _signal(child, signal.Signals.SIGKILL if os.name == "posix" else signal.Signals.SIGTERM)

    def close(self) -> None:
        """Kill every child and wait for it."""
        self.leave()
        for number, child in list(self._children.items()):
            child.wait()
            self._forget(number)

    def _forget(self, number: int) -> None:
        child = self._children.pop(number)
        if child.stdin is not None:
            with contextlib.suppress(OSError):
                child.stdin.close()


def _signal(child: subprocess.Popen[bytes], how: signal.Signals) -> None:
    if os.name != "posix":
        child.kill()
        return
    if child.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, how)
