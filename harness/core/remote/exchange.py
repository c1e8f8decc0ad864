"""A run's traffic with a store on a URL, beside the jobs: nothing here makes an executor wait for the network.

A job starts when its inputs lie here, it is claimed, and nobody has stored its artifact meanwhile. What it made is
shared while other jobs run. Whoever wants an artifact gets it when it is the same here as for everybody else.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

from harness.core.exchange import Exchange, News, Wants
from harness.core.locks import Holder
from harness.core.remote.claims import Claims
from harness.core.remote.crew import Crew
from harness.core.remote.files import SILENCE_S, RemoteError
from harness.core.remote.shelf import Shelf, StaleError
from harness.core.store import DamagedError, MissingError

T = TypeVar("T")

THREADS = 8
"""So many artifacts are on their way at once."""
LOOK_AGAIN = (0.25, 2.0)
"""Seconds until a claim that somebody else has is looked at again: the first time, and the longest after doublings."""
LEAST_S = 3.0
"""Seconds that closing may take in any case: to give claims back."""


class RemoteExchange(Exchange):
    """The exchange of one executor. Used by one thread; :meth:`close` ends it for good."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self._claims = Claims(shelf.files, shelf.store.root)
        self._crew = Crew(THREADS)
        self._admitting: dict[str, Future[bool | Holder]] = {}
        self._settling: dict[str, Future[bool]] = {}
        self._unshared: set[str] = set()
        """What was made here and is not known to be shared."""
        self._giving_back: dict[str, Future[None]] = {}
        self._held: dict[str, tuple[Holder, float, float]] = {}
        """By key: who has it, when to look again (monotonic), and the delay that led there."""
        self._found: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._fault: tuple[BaseException, float] | None = None

    def admit(self, job: Wants) -> bool | Holder:
        """Say whether a job may start now; see :meth:`Exchange.admit`.

        Raises:
            RemoteError: the URL cannot be reached.
            FullError: the disk of the cache is full.
        """
        self._raise_fault()
        key = job.key
        if key in self._held and time.monotonic() < self._held[key][1]:
            return self._held[key][0]
        if key in self._giving_back and not self._giving_back[key].done():
            return False
        if key not in self._admitting:
            self._admitting[key] = self._crew.ask(lambda: self._admit(job))
        if not self._admitting[key].done():
            return False
        answer = self._answer(self._admitting.pop(key))
        if isinstance(answer, Holder):
            delay = min(2 * self._held[key][2], LOOK_AGAIN[1]) if key in self._held else LOOK_AGAIN[0]
            self._held[key] = (answer, time.monotonic() + delay, delay)
        else:
            self._held.pop(key, None)
        return answer

    def _admit(self, job: Wants) -> bool | Holder:
        for key in job.inputs.values():
            if not self._settle(key):
                return False
        holder = self._claims.take(job.key, job.label)
        if holder is not None:
            return holder
        with suppress(DamagedError):  # put aside, so that it is made now
            if self.shelf.manifest(job.key) is not None:
                self._claims.release(job.key)
                return False
        return True

    def ended(self, key: str, *, stored: bool) -> None:
        """Share what a job has made, or give its claim back."""
        if stored:
            self._unshared.add(key)
            self._settling[key] = self._crew.ask(lambda: self._share(key))
        else:
            asked = self._admitting.pop(key, None)
            self._giving_back[key] = self._crew.ask(lambda: self._release(key, asked))

    def settled(self, keys: Iterable[str]) -> bool:
        """Say whether all these artifacts lie here and are what everybody has; see :meth:`Exchange.settled`.

        Raises:
            RemoteError: the URL cannot be reached.
            FullError: the disk of the cache is full.
        """
        self._raise_fault()
        answers = [self._settled(key) for key in keys]  # all of them are begun before one is waited for
        return all(answers)

    def _settled(self, key: str) -> bool:
        task = self._settling.get(key)
        if task is not None and task.done():
            del self._settling[key]
            if self._answer(task) and self.shelf.store.has(key):
                self._settling[key] = task
                return True
            task = None  # it has changed, or was damaged and put aside since
        if task is None:
            self._settling[key] = self._crew.ask(lambda: self._share(key))
        return False

    def _share(self, key: str) -> bool:
        try:
            return self._settle(key)
        finally:
            self._release(key)

    def _release(self, key: str, asked: Future[bool | Holder] | None = None) -> None:
        if asked is not None:  # else the claim might be taken after it was given back
            asked.exception()
        with suppress(RemoteError):  # then it ends with this process
            self._claims.release(key)

    def _settle(self, key: str) -> bool:
        """Settle an artifact; False when it is neither here nor there any more, which is news."""
        try:
            replaced = self.shelf.settle(key) == "replaced"
            self._unshared.discard(key)
            if replaced:
                self._found.put(News("changed", key, self.shelf.traffic.notes[-1]))
            return True
        except (DamagedError, StaleError) as error:
            self._unshared.discard(error.key)
            self._found.put(News("changed", error.key, str(error)))
        except MissingError as error:
            self._found.put(News("changed", key, str(error)))
        return False

    def news(self) -> list[News]:
        """Return what was found out since the last call."""
        found = []
        with suppress(queue.Empty):
            while True:
                found.append(self._found.get_nowait())
        return found

    @property
    def busy(self) -> bool:
        """Whether something that was made is still on its way; after an error of the network nothing is."""
        return self._fault is None and any(not task.done() for task in self._settling.values())

    def close(self, grace: float) -> None:
        """Send what is still to be sent, for ``grace`` seconds at most, and give the claims back."""
        deadline = time.monotonic() + grace
        while self.busy and time.monotonic() < deadline:
            time.sleep(0.02)
        self.shelf.files.stopping.set()
        self._crew.dismiss()
        giving_back = threading.Thread(target=self._claims.close, name="claims-close", daemon=True)
        giving_back.start()
        giving_back.join(max(deadline - time.monotonic(), LEAST_S))
        self.shelf.files.stopping.clear()
        if left := len(self._unshared):
            self._found.put(
                News("note", text=f"{left} finished artifacts are not at {self.shelf.url} yet; the next run "
                     "that needs them shares them, or now: prereg store push")
            )  # fmt: skip

    def _answer(self, task: Future[T]) -> T:
        """Return what a task found; an error is remembered for those who ask next."""
        error = task.exception()
        if error is not None:
            self._fault = (error, time.monotonic())
            raise error
        return task.result()

    def _raise_fault(self) -> None:
        if self._fault is not None and time.monotonic() - self._fault[1] < SILENCE_S:
            raise self._fault[0]
        self._fault = None
