"""A process that keeps its engine and base model in memory and does jobs one after the other.

Run as ``python -m harness.execute.resident CONFIG``. It talks JSON lines over an inherited socket:

    in    {"op": "run", "request": {...}}       the next one only when the last has ended
    out   {"event": "taken"}    {"event": "ended", "status": 0}

A job takes the job's lock as any child does, and its output goes to its own log. What it leaves in the environment is
undone; its figures (CPU seconds, peaks of memory) are its own. After a job that failed, or was asked to end, the
process ends with that job's status: nobody knows what a failure (a CUDA error above all) has left behind.

The lease of a GPU is kept between jobs, because the memory is: nobody else could use the device. So the process ends,
and with it the lease, when nothing was asked of it for ``IDLE`` seconds; when another process waits for the device and
no next job came within ``LINGER`` seconds; and when another waits and this one has had the device for ``TURN`` seconds
already. Changing models takes about a minute at 7B, so turns of five minutes cost two runs that share a GPU a fifth of
it at worst. The lease of a core is given back after each job.

It ends when the socket closes: whoever started it is gone, or wants another model on this device.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from harness.core.locks import OwnedLock
from harness.execute import machine
from harness.execute.child import DONE, FAILED, FOUND, LOCKED, NO_INPUT, Request, attend
from harness.execute.devices import asked_for
from harness.execute.ending import Ending
from harness.execute.zygote import redirect

LEFT = 80
"""Exit status: nothing was under way."""
GOES_ON = (DONE, FOUND, LOCKED, NO_INPUT)
"""Statuses of jobs after which this process serves the next one."""
IDLE, LINGER, TURN = 60.0, 1.0, 300.0
"""Seconds; see above. ``PREREG_RESIDENT_IDLE`` and ``PREREG_RESIDENT_TURN`` replace the first and the last."""
LOOK = 0.1
"""Seconds between two looks at who else waits for the device."""


class Host:
    """Serves requests until there is a reason to end.

    Args:
        control: the socket of whoever asks.
        parent: their process id.
        lease: the lock of the slot.
        keep: whether the lease is kept between jobs.
    """

    def __init__(self, control: socket.socket, parent: int, lease: Path, *, keep: bool) -> None:
        self.control = control
        self.parent = parent
        self.lease = OwnedLock(lease)
        self.keep = keep
        self.idle = float(os.environ.get("PREREG_RESIDENT_IDLE") or IDLE)
        self.turn = float(os.environ.get("PREREG_RESIDENT_TURN") or TURN)
        self.began = 0.0
        """When the lease was taken."""
        self.used = 0.0
        """CPU seconds of this process when its last job ended."""
        self.ending: Ending | None = None
        """How the job under way is asked to end."""
        self.buffer = b""

    def run(self) -> int:
        """Serve; return the exit status."""
        while True:
            signal.signal(signal.SIGTERM, lambda *_: os._exit(LEFT))
            message = self.next()
            if message is None:
                return LEFT
            self.send(event="taken")
            status = self.serve(Request(**message["request"]))
            if status not in GOES_ON:
                return status
            self.send(event="ended", status=status)

    def next(self) -> dict[str, Any] | None:
        """Wait for the next request; None when there is a reason not to wait any longer."""
        since, asks = time.monotonic(), select.poll()
        asks.register(self.control, select.POLLIN | select.POLLHUP)
        while not self._should_leave(time.monotonic() - since):
            if not asks.poll(1000 * LOOK):
                continue
            try:
                data = self.control.recv(1 << 16)
            except ConnectionError:
                return None
            if not data:
                return None
            self.buffer += data
            if self.buffer.endswith(b"\n"):
                line, self.buffer = self.buffer, b""
                message: dict[str, Any] = json.loads(line)
                return message
        return None

    def serve(self, request: Request) -> int:
        """Do one job, with its own log, environment and figures."""
        redirect(request)
        environment = dict(os.environ)
        self.ending = Ending(request.notes, request.run)
        self.ending.listen()
        if not self.lease.held:
            self.began = time.monotonic()
        try:
            status = attend(request, self.ending, self.lease, self.used)
        except BaseException:
            traceback.print_exc()
            status = FAILED
        self.ending = None
        if not self.keep:
            self.lease.release()
        os.environ.clear()
        os.environ.update(environment)
        gc.collect()
        machine.forget_peaks()
        self.used = machine.cpu_seconds()
        _flush()
        return status

    def send(self, **message: Any) -> None:
        """Tell whoever asks; when they are gone, the next read says so."""
        with contextlib.suppress(OSError):
            self.control.sendall(json.dumps(message).encode() + b"\n")

    def watch(self) -> None:
        """End this process, and whatever its job has started, when whoever asks is gone; look for a stopped run."""
        try:
            while os.getppid() == self.parent and not self._hung_up():
                if self.ending is not None:
                    self.ending.look()
        finally:  # whatever happens: without this thread nobody would notice that the parent is gone
            if self.ending is not None and os.getpgrp() == os.getpid():
                os.killpg(0, signal.SIGKILL)
            os._exit(LEFT)

    def _should_leave(self, waited: float) -> bool:
        if waited > self.idle:
            return True
        if not self.lease.held or not asked_for(self.lease.path, besides=self.parent):
            return False
        return waited > LINGER or time.monotonic() - self.began > self.turn

    def _hung_up(self) -> bool:
        """Wait a second for the socket to close."""
        closing = select.poll()
        closing.register(self.control, select.POLLIN | select.POLLHUP)
        if not closing.poll(1000):
            return False
        try:
            if not self.control.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                return True
        except BlockingIOError:
            pass
        except OSError:
            return True  # reset: whoever asks died before they had read everything
        time.sleep(LOOK)  # a request, which is not ours to read
        return False


def _flush() -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()


def main() -> int:
    """Serve until there is a reason to end; return the exit status."""
    config = json.loads(sys.argv[1])
    if os.getppid() != config["parent"]:
        return LEFT  # whoever wanted this process died while it started
    if config["device"] == "cuda":
        os.environ["CUDA_VISIBLE_DEVICES"] = config["slot"]
    control = socket.socket(fileno=config["fd"])
    host = Host(control, config["parent"], Path(config["lease"]), keep=config["device"] == "cuda")
    threading.Thread(target=host.watch, name="lifeline", daemon=True).start()
    return host.run()


if __name__ == "__main__":
    status = main()
    _flush()
    os._exit(status)
