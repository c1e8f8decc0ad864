"""A few threads that do what is asked of them; unlike an executor's, they never keep a process from ending."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


class Crew:
    """Up to ``size`` threads, begun when there is something to do."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._work: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    def ask(self, call: Callable[[], Any]) -> Future[Any]:
        """Have something done; the future tells what became of it."""
        future: Future[Any] = Future()
        self._work.put((future, call))
        if len(self._threads) < self._size:
            thread = threading.Thread(target=self._serve, name=f"exchange-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        return future

    def dismiss(self) -> None:
        """Let the threads end after what they have in hand; what nobody has begun is cancelled."""
        while True:
            try:
                waiting = self._work.get_nowait()
            except queue.Empty:
                break
            if waiting is not None:
                waiting[0].cancel()
        for _ in self._threads:
            self._work.put(None)
        self._threads.clear()

    def _serve(self) -> None:
        while (waiting := self._work.get()) is not None:
            future, call = waiting
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(call())
            except BaseException as error:
                future.set_exception(error)
