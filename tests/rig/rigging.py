"""What tests change about a run from outside, in each of its processes, without a line in what is tested.

``PREREG_RIG`` is JSON:

    log       a file that gets a line for each job that begins, each that ends and each artifact that is stored
    spans     a file that gets a JSON line for everything that is timed (see :data:`TIMED`)
    full      {"store": folder, "count": file, "at": n, "ever": true}: the n-th write to the store, counted over
              all processes, finds the disk full, and with ``ever`` every later one, too
    flock     "always": locks are granted to everybody; an errno's name: asking for one fails with it
"""

from __future__ import annotations

import atexit
import errno
import functools
import importlib.abc
import importlib.util
import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

Hook = Callable[[Any], None]

TIMED = {
    "harness.core.store": ("Store.open", "Store.commit"),
    "harness.execute.child": ("serve",),
    "harness.execute.executor": ("Executor.obtain", "Executor.close"),
    "harness.compose": ("run_job",),
    "harness.plugin.session": ("Session.register", "Session.select", "Session.judge", "Session.conclude"),
    "fixtures.embedded.build": ("build",),
    "fixtures.arms": ("PeftTrainer.train_lora", "PeftTrainer.merge"),
    "fixtures.sampler": ("TransformersSampler.sample",),
    "fixtures.hidden": ("TransformersReader.read",),
}
"""What is timed, by module: functions and methods."""


def install() -> None:
    """Prepare everything that ``PREREG_RIG`` asks for; modules are changed when they are imported."""
    rig = json.loads(os.environ["PREREG_RIG"])
    hooks: dict[str, list[Hook]] = {}
    if "log" in rig:
        hooks.setdefault("harness.compose", []).append(functools.partial(_log_jobs, rig["log"]))
        hooks.setdefault("harness.core.store", []).append(functools.partial(_log_stored, rig["log"]))
    if "spans" in rig:
        _time_imports(rig["spans"])
        _time_processes(rig["spans"])
        for module, names in TIMED.items():
            hooks.setdefault(module, []).append(functools.partial(_time, rig["spans"], names))
    if "flock" in rig:
        _break_locks(rig["flock"])
    if "full" in rig:
        disk = Disk(**rig["full"])
        sys.addaudithook(disk.heard)
        hooks.setdefault("harness.core.durable", []).append(disk.rig)
    sys.meta_path.insert(0, _AfterImport(hooks))


def append(path: str, line: str) -> int:
    """Append a line and return the file's size after it; lines of several processes neither mix nor share a size."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        os.write(fd, line.encode())
        return os.lseek(fd, 0, os.SEEK_CUR)
    finally:
        os.close(fd)


class _AfterImport(importlib.abc.MetaPathFinder):
    """Runs hooks on modules right after they were imported."""

    def __init__(self, hooks: dict[str, list[Hook]]) -> None:
        self._hooks = hooks

    def find_spec(self, name: str, path: Sequence[str] | None, target: Any = None) -> Any:
        hooks = self._hooks.pop(name, None)
        spec = importlib.util.find_spec(name) if hooks else None
        if hooks and spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: Any) -> None:
                execute(module)
                for hook in hooks:
                    hook(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


# --- counting jobs ---


def _log_jobs(log: str, compose: Any) -> None:
    run_job = compose.run_job

    @functools.wraps(run_job)
    def counted(job: Any, *args: Any, **kwargs: Any) -> None:
        append(log, f"begun {job.key} {job.label}\n")
        run_job(job, *args, **kwargs)
        append(log, f"ended {job.key} {job.label}\n")

    compose.run_job = counted


def _log_stored(log: str, store: Any) -> None:
    commit = store.Store.commit

    def logged(self: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
        place = commit(self, job, *args, **kwargs)
        append(log, f"stored {job.key} {job.label}\n")
        return place

    store.Store.commit = logged


# --- timing ---


def _time(spans: str, names: Sequence[str], module: Any) -> None:
    for name in names:
        owner: Any = module
        *classes, last = name.split(".")
        for each in classes:
            owner = getattr(owner, each)
        setattr(owner, last, _timed(spans, name, getattr(owner, last)))


def _timed(spans: str, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def timed(*args: Any, **kwargs: Any) -> Any:
        began, used, helped = time.time(), time.process_time(), _waited_for()
        try:
            return function(*args, **kwargs)
        finally:
            kind = getattr(args[0], "kind", "") if args else ""
            _span(spans, name, began, time.process_time() - used, str(kind))
            if name == "build":  # the embedded model is built by this process and one that it waits for
                _span(spans, name, began, _waited_for() - helped, HELPER)

    return timed


HELPER = "helper"
"""The kind of a span that tells what another process used for a port."""


def _waited_for() -> float:
    """Return the CPU seconds of the processes that this one has waited for."""
    waited = resource.getrusage(resource.RUSAGE_CHILDREN)
    return waited.ru_utime + waited.ru_stime


OURS = {"harness", "fixtures", "reports", "rigging", "sitecustomize", "__main__"}
"""Packages that are no library to the harness."""


def _time_imports(spans: str) -> None:
    """Time what libraries take to be imported; what they import in turn is theirs, what our modules import is not ours.

    Python calls ``_find_and_load`` for each module that is not loaded yet.
    """
    import importlib._bootstrap as machinery  # type: ignore[import-not-found]

    load = machinery._find_and_load
    inside = threading.local()

    def find_and_load(name: str, import_: Any) -> Any:
        if getattr(inside, "library", False) or name.partition(".")[0] in OURS:
            return load(name, import_)
        inside.library, began, used = True, time.time(), time.process_time()
        try:
            return load(name, import_)
        finally:
            inside.library, spent = False, time.process_time() - used
            if spent >= SHORTEST:
                _span(spans, "import", began, spent, name.partition(".")[0])

    machinery._find_and_load = find_and_load


SHORTEST = 0.0005
"""Seconds of an import that is noted."""


def _time_processes(spans: str) -> None:
    """Note at the end of each process, however it leaves, which CPU time it has used and what it was."""
    first, began, leave = os.getpid(), time.time(), os._exit
    orders = {"harness.execute.zygote": "zygote", "harness.execute.child": "child", "reports.parallel": "figures"}
    role = next((what for module, what in orders.items() if module in sys.orig_argv), "pytest")

    def note() -> None:
        what = role if os.getpid() == first else "figures" if role == "pytest" else "child"
        _span(spans, "process", began, time.process_time(), what)

    def noted(status: int) -> None:
        note()
        leave(status)

    os._exit = noted  # type: ignore[assignment]
    atexit.register(note)


def _span(spans: str, name: str, began: float, cpu: float = 0.0, kind: str = "") -> None:
    fact = {"name": name, "kind": kind, "pid": os.getpid(), "began": began, "ended": time.time(), "cpu": round(cpu, 6)}
    append(spans, json.dumps(fact) + "\n")


# --- a file system without working locks ---


def _break_locks(how: str) -> None:
    import fcntl

    def flock(fd: Any, operation: int) -> None:
        if how != "always" and not operation & fcntl.LOCK_UN:
            number = getattr(errno, how)
            raise OSError(number, os.strerror(number))

    fcntl.flock = flock


# --- a full disk ---


def takes_space(path: Any, flags: int) -> bool:
    """Say whether opening a file so needs room on the disk now or will soon; one that is there already does not."""
    return bool(flags & (os.O_TRUNC | os.O_APPEND) or (flags & os.O_CREAT and not os.path.exists(path)))  # noqa: PTH110


class Disk:
    """The disk of the store, on which the ``at``-th write fails: whatever opens, makes, moves or flushes something."""

    def __init__(self, store: str, count: str, at: int, *, ever: bool) -> None:
        self.store, self.count, self.at, self.ever = store.rstrip(os.sep) + os.sep, count, at, ever
        self._inside = threading.local()

    def heard(self, event: str, args: tuple[Any, ...]) -> None:
        """Be told by Python of everything that it opens, makes or moves."""
        if event == "open":
            path, _, flags = args
            if isinstance(flags, int) and takes_space(path, flags):
                self.write(path)
        elif event in ("os.mkdir", "os.rename"):
            self.write(args[1] if event == "os.rename" else args[0])

    def write(self, path: Any) -> None:
        """Count a write, or fail it."""
        if self.next_fails(path):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fsdecode(path))

    def next_fails(self, path: Any) -> bool:
        if isinstance(path, int) or getattr(self._inside, "now", False):
            return False
        if not os.fsdecode(path).startswith(self.store):
            return False
        self._inside.now = True
        try:
            number = append(self.count, ".")
        finally:
            self._inside.now = False
        return number >= self.at if self.ever else number == self.at

    def rig(self, durable: Any) -> None:
        """Count what reaches the disk only at a flush: there a part of a file may be written."""
        write_file, sync_file, sync_folder = durable.write_file, durable.sync_file, durable.sync_folder

        def partly(path: Any, data: bytes, **kwargs: Any) -> None:
            if self.next_fails(path):
                self._inside.now = True
                try:
                    path.write_bytes(data[: len(data) // 2])
                finally:
                    self._inside.now = False
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            write_file(path, data, **kwargs)

        def flushed(sync: Callable[[Any], None]) -> Callable[[Any], None]:
            def flush(path: Any) -> None:
                self.write(path)
                sync(path)

            return flush

        durable.write_file = partly
        durable.sync_file, durable.sync_folder = flushed(sync_file), flushed(sync_folder)
