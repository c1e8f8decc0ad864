"""What a job's child process does: take its locks, check its inputs, run the job, store what it made.

Started by the zygote (forked) or as ``python -m harness.execute.child`` (spawned: a JSON request on standard
input, which stays open as the line to the parent). No heavy import here: a child that finds its lock taken
must cost nothing.
"""

from __future__ import annotations

import importlib
import inspect
import json
import logging
import os
import platform
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.contracts.ports import Progress
from harness.contracts.records import Job
from harness.contracts.resume import Partial
from harness.core.durable import is_full
from harness.core.errors import JobError, PreregError
from harness.core.locks import OwnedLock
from harness.core.partial import Stopped
from harness.core.store import DamagedError, MissingError, Store
from harness.execute import machine
from harness.execute.ending import SAVED, Ending
from harness.execute.progress import FileProgress
from harness.plan.learn import note as note_cost

ENTRY = "harness.compose:run_job"
"""What a child calls with ``(job, inputs, out, progress)``: the composition root knows every kind.

An entry that takes a fifth argument is given the job's unfinished work."""

DONE, FAILED, FULL, LOCKED, NO_SLOT, NO_INPUT = 0, 1, 74, 75, 76, 77
"""Exit statuses: stored; failed, with a marker; disk full; and three that mean "try again", as ``SAVED`` does."""
FOUND = 79
"""Exit status: another process had stored it before this one had the lock."""


@dataclass(frozen=True)
class Request:
    """What a child is asked to do.

    ``lease`` is the lock file of the slot ``device``:``slot``. ``desk`` is the folder for what concerns the run and
    no artifact (log, progress, failure, the wish to stop) where that is not the store: on another machine.
    """

    job: dict[str, Any]
    store: str
    run: str
    entry: str
    device: str
    slot: str
    lease: str
    desk: str = ""

    @property
    def key(self) -> str:
        """The job's key."""
        return str(self.job["key"])

    @property
    def log(self) -> Path:
        """The file that takes the child's output."""
        return self.notes.log(self.run, self.key)

    @property
    def notes(self) -> Store:
        """What takes what concerns the run and no artifact."""
        return Store(self.desk or self.store)


def serve(request: Request, lifeline: int) -> int:
    """Run one request and return the exit status. ``lifeline`` reads end-of-file when the parent is dead."""
    parent = os.getppid()
    ending = Ending(request.notes, request.run)
    ending.listen()
    threading.Thread(target=_watch, args=(lifeline, parent, ending), name="lifeline", daemon=True).start()
    lease = OwnedLock(Path(request.lease))
    try:
        return attend(request, ending, lease)
    finally:
        lease.release()


def attend(request: Request, ending: Ending, lease: OwnedLock, used: float = 0.0) -> int:
    """Do what is asked, and return the status.

    Args:
        request: the job.
        ending: how this process is asked to end.
        lease: the slot's lock; taken when it is not held yet, and kept.
        used: CPU seconds that this process had used before.
    """
    store = Store(request.store)
    job = Job.model_validate(request.job)
    lock = store.lock(job.key, job.label)
    lease.label = job.label
    try:
        if not lock.acquire():
            return LOCKED
        if store.has(job.key):
            store.partial(job.key).drop()  # of a process that died right after it had stored the artifact
            return FOUND
        if not lease.acquire():
            return NO_SLOT
        if request.device == "cuda":
            os.environ["CUDA_VISIBLE_DEVICES"] = request.slot
        return _make(job, store, request, ending, used)
    except OSError as error:
        if is_full(error):
            return FULL
        traceback.print_exc()
        ending.store.fail(request.run, job.key, f"{type(error).__name__}: {error}", job.label)
        return FAILED
    finally:
        lock.release()


def _make(job: Job, store: Store, request: Request, ending: Ending, used: float) -> int:
    try:
        inputs = {role: store.open(key) for role, key in job.inputs.items()}
    except (DamagedError, MissingError) as error:
        print(error, file=sys.stderr)
        return NO_INPUT
    device = f"{request.device}:{request.slot}"
    progress = FileProgress(ending.store.progress(request.run), job.key, job.label, device)
    wall = time.monotonic()
    draft: Path | None = None
    try:
        draft = store.begin(job.key)
        resumed = bool(store.partial(job.key).names())  # what an earlier process spent is not in the figures below
        ending.partial = store.partial(job.key)
        with remarks() as said:
            call_entry(request.entry, job, inputs, draft, ending.stops(progress), ending.partial)
        spent = round(time.monotonic() - wall, 3)
        made = {**describe_process(used), "wall_s": spent, "device": device, "run": request.run}
        made |= {"resumed": True} if resumed else {}
        store.commit(job, draft, {**made, "remarks": said} if said else made)
        note_cost(store, job, made)
    except Stopped as stop:
        print(f"{stop}; what is finished is kept", file=sys.stderr)
        if draft is not None:
            store.abandon(draft)
        return SAVED
    except BaseException as error:
        if draft is not None:
            store.abandon(draft)
        if is_full(error):  # no traceback: it says nothing more, and the log may lie on the same disk
            return FULL
        traceback.print_exc()
        ending.store.fail(request.run, job.key, explain(error), job.label)
        return FAILED
    finally:
        progress.close()
    return DONE


def explain(error: BaseException) -> str:
    """Return an exception in one line or, for our own errors, in their own words."""
    if isinstance(error, JobError | PreregError):
        return str(error)
    return "".join(traceback.format_exception_only(error)).strip()


def call_entry(
    name: str, job: Job, inputs: Mapping[str, Path], out: Path, progress: Progress, partial: Partial
) -> None:
    """Call the function that ``name`` names, with the job's unfinished work if it takes that many arguments."""
    function = load_entry(name)
    arguments: tuple[Any, ...] = (job, inputs, out, progress)
    with suppress(TypeError):  # and not around the call: an error of the job is no error while handling another
        inspect.signature(function).bind(*arguments, partial)
        arguments = (*arguments, partial)
    function(*arguments)


@contextmanager
def remarks() -> Iterator[list[str]]:
    """Collect what the job says through the logger ``prereg``, for the manifest; its log shows it as well."""
    said: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("prereg")
    shown = logging.StreamHandler()
    for each in (handler, shown):
        logger.addHandler(each)
    try:
        yield said
    finally:
        for each in (handler, shown):
            logger.removeHandler(each)


def load_entry(name: str) -> Callable[..., None]:
    """Return the function that ``module:function`` names."""
    module, _, function = name.partition(":")
    found: Callable[..., None] = getattr(importlib.import_module(module), function)
    return found


def describe_process(used: float = 0.0) -> dict[str, Any]:
    """Return what this process is and has used, but for ``used`` CPU seconds: for the manifest, never for a result."""
    names = ("torch", "transformers", "peft", "vllm", "numpy", "scipy", "statsmodels", "pyarrow")
    loaded = {name: str(getattr(sys.modules[name], "__version__", "")) for name in names if name in sys.modules}
    on_gpu = {"gpu": machine.gpu_name(), "max_gpu_mb": round(machine.peak_gpu_mb(), 1)}
    return {
        "cpu_s": round(machine.cpu_seconds() - used, 3),
        "max_rss_mb": round(machine.peak_rss_mb(), 1),
        **(on_gpu if on_gpu["gpu"] else {}),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "python": platform.python_version(),
        "versions": loaded,
        "when": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        **machine.noted(),
    }


def _watch(lifeline: int, parent: int, ending: Ending) -> None:
    """End this process and its own children when the parent is gone, and ask for the end when the run is stopped."""
    if sys.platform == "win32":
        while os.read(lifeline, 1):
            pass
        os._exit(1)
    import select

    poll = select.poll()
    poll.register(lifeline, select.POLLIN | select.POLLHUP)
    while os.getppid() == parent:
        if poll.poll(1000) and not os.read(lifeline, 1):
            break
        ending.look()
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def main() -> int:
    """Serve the one request that standard input holds."""
    line = b""
    while not line.endswith(b"\n"):
        part = os.read(0, 1 << 16)  # the parent sends one line and then nothing
        if not part:
            return FAILED
        line += part
    return serve(Request(**json.loads(line)), lifeline=0)


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
