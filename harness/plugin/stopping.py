"""SIGTERM and Ctrl-C: what is under way is saved, nobody is left behind, and the run says how to go on."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.core.store import Store
    from harness.plugin.registrations import Registration

_MOST = 5


class Sigterm:
    """Makes SIGTERM end this process as Ctrl-C does, from :meth:`take` to :meth:`release`.

    A handler that somebody else has set stays, and so does the default in threads other than the main one.
    """

    def __init__(self) -> None:
        self._taken = False

    def take(self) -> None:
        """Take the signal, if nobody else has."""
        ours = threading.current_thread() is threading.main_thread()
        if ours and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _end)
            self._taken = True

    def release(self) -> None:
        """Give the signal back."""
        if self._taken and signal.getsignal(signal.SIGTERM) is _end:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._taken = False


def _end(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt("SIGTERM: this process was asked to end")


def wait_for_jobs(store: Store, run: str, patience: float, *, everywhere: bool = False) -> None:
    """Wait until no job of a run is left on this host (or ``everywhere``), whichever process started it."""
    from harness.execute.progress import read_running

    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if not any(everywhere or job.host == socket.gethostname() for job in read_running(store.progress(run))):
            return
        time.sleep(0.05)


def how_to_go_on(registrations: Iterable[Registration], store: Store) -> Iterator[str]:
    """Yield lines that say what is stored, what is kept of unfinished jobs, and what to do next."""
    jobs = {key: job for each in registrations if not each.problems for key, job in each.plan.jobs.items()}
    if not jobs:
        return
    missing = {key: job for key, job in jobs.items() if not store.has(key)}
    counted = f"{len(jobs) - len(missing)} of {len(jobs)} jobs are stored"
    if not missing:
        yield f"stopped; {counted}: run the same command again to judge them"
        return
    yield f"stopped; to go on, run the same command again: {counted}"
    kept = [(job, found) for key, job in missing.items() if (found := store.partial(key).standing())]
    for job, found in kept[:_MOST]:
        yield f"  {found.what or 'the work'} of {job.label} continues at {found.done:.0%}"
    if len(kept) > _MOST:
        yield f"  and {len(kept) - _MOST} more continue where they were"


__all__ = ["Sigterm", "how_to_go_on", "wait_for_jobs"]
