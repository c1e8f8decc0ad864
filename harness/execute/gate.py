"""Between a job that could start and its start: the store's exchange has its say, and a slot waits meanwhile."""

from __future__ import annotations

from collections.abc import Sequence

from harness.contracts.records import Job
from harness.core.exchange import News
from harness.core.locks import Holder
from harness.core.store import Store
from harness.execute.children import Children
from harness.execute.devices import Slot


class Gate:
    """Lets jobs of one executor through to its pool.

    It is always open with a store that is a folder, and before a pool that exchanges artifacts where its jobs run.
    """

    def __init__(self, store: Store, pool: Children) -> None:
        self.store = store
        self._pool = pool
        self._exchange = store.exchange()
        self._promised: dict[str, Slot] = {}
        """By key: the slot of a job that starts as soon as it may."""
        self._asked: set[str] = set()
        """Those that were asked for since the last :meth:`turn`."""

    def __contains__(self, key: str) -> bool:
        """Say whether a job has a slot that waits for it."""
        return key in self._promised

    def turn(self) -> None:
        """Free the slots of jobs that nobody has asked for since the last turn: no slot waits for ever."""
        for key in self._promised.keys() - self._asked:
            del self._promised[key]
            self.ended(key, stored=False)
        self._asked.clear()

    def slot(self, job: Job) -> tuple[Slot | None, Holder | None]:
        """Return a free slot as :meth:`Children.free_slot` does, or the one that is promised to this job."""
        if job.key in self._promised:
            return self._promised[job.key], None
        return self._pool.free_slot(job, self._promised.values())

    def start(self, job: Job, slot: Slot) -> bool | Holder:
        """Start a job if it may start now; otherwise False (ask again) or who else is making it.

        Raises:
            PreregError: the store cannot be reached.
        """
        self._promised.pop(job.key, None)
        answer = True if self._pool.shares else self._exchange.admit(job)
        if answer is True:
            self._pool.start(job, slot)
        elif answer is False:
            self._promised[job.key] = slot
            self._asked.add(job.key)
        return answer

    def ended(self, key: str, *, stored: bool) -> None:
        """Take note that a job has ended."""
        if not self._pool.shares:
            self._exchange.ended(key, stored=stored)

    def settled(self, keys: Sequence[str]) -> bool:
        """Say whether artifacts are here, and the same as for everybody else."""
        return self._exchange.settled(keys)

    def news(self) -> list[News]:
        """Return what became of artifacts beyond this machine."""
        return self._exchange.news()

    @property
    def busy(self) -> bool:
        """Whether something that was made is still on its way."""
        return self._exchange.busy

    def close(self, grace: float) -> list[News]:
        """Let go of everything, and begin anew; return the last news."""
        self._exchange.close(grace)
        news, self._exchange = self._exchange.news(), self.store.exchange()
        self._promised.clear()
        return news
