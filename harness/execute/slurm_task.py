"""One task of a Slurm array: ``python -m harness.execute.slurm_task REQUESTS NUMBER`` makes one artifact.

It is an executor of one job: it takes the locks that every run takes, waits while another process is at the job,
starts a child and hears it to its end. Asked to end by SIGTERM, it lets the child save.

Exit statuses: 0 stored (now or before), 1 failed (with the log's last lines), 2 unusable request, 78 asked to end.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from harness.contracts.records import Job
from harness.core.errors import JobError, PreregError
from harness.core.places import open_store
from harness.execute.children import Options
from harness.execute.devices import here, visible_gpus
from harness.execute.ending import SAVED
from harness.execute.executor import Event, Executor
from harness.execute.machine import NOTED

DONE, FAILED, UNUSABLE = 0, 1, 2
EVERY = 60.0
"""Seconds between two lines about a job's progress."""


def read_request(path: Path, number: int) -> dict[str, Any]:
    """Return the request of a line, counted from 0.

    Raises:
        PreregError: there is no such file or line.
    """
    try:
        with path.open(encoding="utf-8") as lines:
            for at, line in enumerate(lines):
                if at == number:
                    return dict(json.loads(line))
    except (OSError, ValueError) as error:
        raise PreregError(f"the requests '{path}' cannot be read: {error}") from error
    raise PreregError(f"'{path}' has no request {number}; was it written for other arrays?")


def run(request: dict[str, Any]) -> int:
    """Make a request's artifact; return the exit status."""
    job, store = Job.model_validate(request["job"]), open_store(request["store"])
    gpus = visible_gpus()
    if job.device == "cuda" and not gpus:
        print(f"{job.label} needs a GPU and this task sees none: was --gres=gpu:1 overridden?", file=sys.stderr)
        return UNUSABLE
    said = _Log()
    print(f"{job.label} ({job.key[:12]}) on {socket.gethostname()}", flush=True)
    signal.signal(signal.SIGTERM, _end)
    options = Options(
        entry=request["entry"], cores=1, gpus=gpus[:1], fork=False, env={NOTED: json.dumps(request["noted"])}
    )
    try:
        with (
            tempfile.TemporaryDirectory() as leases,
            _environment("PREREG_LEASES", leases),
            Executor({job.key: job}, store, _run_id(), options, on_event=said.hear) as executor,
        ):
            executor.obtain([job.key])
    except (JobError, PreregError) as error:
        print(error, file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("asked to end; what can be kept is kept", file=sys.stderr)
        return DONE if store.has(job.key) else SAVED
    finally:
        shutil.rmtree(store.root / "leases" / here(), ignore_errors=True)  # this allocation's own
    print(f"{job.label}: stored", flush=True)
    return DONE


def _run_id() -> str:
    """One for all tasks of an array, and another one for each restart: a failure is not tried again within a run."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID") or os.environ.get("SLURM_JOB_ID", str(os.getpid()))
    return f"slurm-{array}-{os.environ.get('SLURM_RESTART_COUNT', '0')}"


class _environment:  # noqa: N801 (used like a function)
    """Sets a variable of this process for a while."""

    def __init__(self, name: str, value: str) -> None:
        self.name, self.value, self.before = name, value, os.environ.get(name)

    def __enter__(self) -> None:
        os.environ[self.name] = self.value

    def __exit__(self, *of: object) -> None:
        if self.before is None:
            del os.environ[self.name]
        else:
            os.environ[self.name] = self.before


def _end(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt("SIGTERM: this task was asked to end")


class _Log:
    """Tells what happens in the task's log, progress now and then."""

    def __init__(self) -> None:
        self._next = 0.0

    def hear(self, event: Event) -> None:
        if event.what == "progress":
            now = time.monotonic()
            if now < self._next:
                return
            self._next = now + EVERY
            done = f"{event.running.done:.0%} " if event.running else ""
            print(f"{done}{event.text}, {event.seconds:.0f} s", flush=True)
        elif event.what in ("waiting", "damaged", "note"):
            print(f"{event.what}: {event.text}", flush=True)


def main(arguments: Sequence[str]) -> int:
    """Run the task that the command line names."""
    try:
        path, number = arguments
        request = read_request(Path(path), int(number))
    except (PreregError, ValueError) as error:
        print(error if isinstance(error, PreregError) else "usage: slurm_task REQUESTS NUMBER", file=sys.stderr)
        return UNUSABLE
    return run(request)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
