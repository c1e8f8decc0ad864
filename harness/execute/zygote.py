"""A clean process that has imported what jobs import, and forks a child per job.

Run as ``python -m harness.execute.zygote CONFIG``. It talks JSON lines over an inherited socket:

    in    {"op": "run", "id": 7, "request": {...}}    {"op": "kill", "id": 7, "signal": 15}
    out   {"event": "ready", "threads": 1, "seconds": 3.2}    {"event": "started", "id": 7, "pid": 99}
          {"event": "ended", "id": 7, "status": 0}            (negative: killed by that signal)

It never starts a thread and never touches CUDA, because neither survives a fork. It ends, with all its
children, when the socket closes: whoever started it is gone.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.core.durable import is_full
from harness.execute.child import FAILED, FULL, Request, serve

PRELOAD: dict[str, tuple[str, ...]] = {
    "light": (
        "filelock",
        "rfc8785",
        "numpy.random",
        "numpy.ma",
        "scipy.stats",
        "pyarrow.parquet",
        "pyarrow.dataset",
        "pandas",
    ),
    "model": (
        "filelock",
        "rfc8785",
        "numpy.random",
        "numpy.ma",
        "torch",
        "safetensors.torch",
        "transformers.models.qwen2.modeling_qwen2",
        "transformers.models.auto.modeling_auto",
        "peft",
        "pyarrow.parquet",
        "pandas",
        "fixtures.device",
        "fixtures.arms",
        "fixtures.hidden",
        "fixtures.sampler",
        "fixtures.embedded.build",
        "fixtures.embedded.registers",
    ),
}
"""What each lane imports before it forks, beside the entry point's module and what that names in turn.

What fails to import is left to jobs. pandas is here because pyarrow imports it for the first table, where it is
installed; pyarrow.dataset, because reading a Parquet file does.
"""


class Zygote:
    """Forks a child per request and reports how each ended."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.parent = os.getppid()
        self.children: dict[int, int] = {}
        self.buffer = b""
        # Only this process holds the writing end, so children read end-of-file when it dies.
        self.lifeline, self.life = os.pipe()
        self.wakeup = socket.socketpair()
        for end in self.wakeup:
            end.setblocking(False)

    def run(self) -> None:
        """Serve until the socket closes."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self.wakeup[1].fileno())
        while os.getppid() == self.parent:
            readable, _, _ = select.select([self.control, self.wakeup[0]], [], [], 1.0)
            if self.wakeup[0] in readable:
                self.wakeup[0].recv(4096)
            self._reap()
            if self.control in readable and not self._read():
                break
        for pid in self.children:
            _kill_group(pid, signal.SIGKILL)

    def send(self, **message: Any) -> None:
        """Tell the parent something; when it is gone, the next read says so."""
        with contextlib.suppress(OSError):
            self.control.sendall(json.dumps(message).encode() + b"\n")

    def _read(self) -> bool:
        data = self.control.recv(1 << 16)
        *lines, self.buffer = (self.buffer + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if message["op"] == "run":
                self._fork(message["id"], Request(**message["request"]))
            for pid, number in self.children.items():
                if message["op"] == "kill" and number == message["id"]:
                    _kill_group(pid, message["signal"])
        return bool(data)

    def _fork(self, number: int, request: Request) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            self._become_child(request)
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)  # so that a kill that comes at once finds the group
        self.children[pid] = number
        self.send(event="started", id=number, pid=pid)

    def _become_child(self, request: Request) -> None:
        status = FAILED
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            with contextlib.suppress(OSError):
                os.setpgid(0, 0)
            die_with_parent()
            os.close(self.life)
            self.control.close()
            for end in self.wakeup:
                end.close()
            redirect(request)
            status = serve(request, self.lifeline)
        except BaseException as error:
            status = FULL if is_full(error) else FAILED
            with contextlib.suppress(OSError):  # the log may lie on the disk that is full
                traceback.print_exc()
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def _reap(self) -> None:
        while self.children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            if pid in self.children:
                _kill_group(pid, signal.SIGKILL)  # helpers that the job left behind
                self.send(event="ended", id=self.children.pop(pid), status=os.waitstatus_to_exitcode(status))


def redirect(request: Request) -> None:
    """Send standard output and error to the job's log and read standard input from nowhere."""
    request.log.parent.mkdir(parents=True, exist_ok=True)
    log = os.open(request.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    nowhere = os.open(os.devnull, os.O_RDONLY)
    for fd, target in ((nowhere, 0), (log, 1), (log, 2)):
        os.dup2(fd, target)


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies; elsewhere the lifeline does it alone."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(pr_set_pdeathsig, int(signal.SIGKILL), 0, 0, 0)


def threads() -> int:
    """Return how many threads this process has, those of libraries included where the system tells."""
    try:
        return len(list(Path("/proc/self/task").iterdir()))
    except OSError:
        return threading.active_count()


def preload(names: Iterable[str], lane: str) -> None:
    """Import what jobs of a lane will need; what fails to import is told in the log and left to the job.

    A module may name more in its own ``PRELOAD``, by lane: the composition root knows what its jobs import.
    """
    waiting = list(names)
    while waiting:
        name = waiting.pop(0)
        try:
            module = importlib.import_module(name)
        except Exception as error:
            print(f"zygote: {name} is not preloaded: {type(error).__name__}: {error}", file=sys.stderr)
        else:
            waiting += getattr(module, "PRELOAD", {}).get(lane, ())


def settle() -> None:
    """Make this process cheap to fork: one thread, records that are ready for use, no garbage to look through."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
    if pydantic := sys.modules.get("pydantic"):
        build_schemas(pydantic.BaseModel)
    # Looking through what is loaded would copy it page by page in every child. Nor is it looked through here: the
    # garbage of imports is little, and frozen like the rest it costs nothing.
    gc.freeze()


def build_schemas(model: Any) -> None:
    """Build the schemas of all records that are loaded: they wait for their first use, which is in every child."""
    for kind in model.__subclasses__():
        with contextlib.suppress(Exception):  # what is not meant to be used alone tells whoever uses it
            kind.model_rebuild()
        build_schemas(kind)


def _kill_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def main() -> None:
    """Preload, say so, and serve."""
    began = time.monotonic()
    # Whoever sends SIGTERM to every process of a job means its children, which have something to save.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    config = json.loads(sys.argv[1])
    zygote = Zygote(socket.socket(fileno=config["fd"]))
    if zygote.parent != config["parent"]:
        return  # whoever wanted this process died while it started
    gc.disable()  # everything that is made here is there to stay
    preload(config["preload"], config["lane"])
    settle()
    gc.enable()
    zygote.send(event="ready", threads=threads(), seconds=round(time.monotonic() - began, 3))
    zygote.run()


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # taking thousands of modules apart takes a third of a second, and whoever hung up waits for it
