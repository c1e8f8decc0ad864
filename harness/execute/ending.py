"""How a job's child ends when it is asked to: by SIGTERM, or because its run was stopped elsewhere."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Any

from harness.contracts.ports import Progress
from harness.core.partial import Partial, Stopped
from harness.core.store import Store

SAVED = 78
"""Exit status: asked to end, with everything kept that could be; "try again" continues there."""


class Ending:
    """Asked to end, a child with work to save does so at its next report of progress; any other ends at once.

    Args:
        store: where the run's wish to stop is found: the store, or the desk of a job on another machine.
        run: the run whose stop concerns this child.
    """

    def __init__(self, store: Store, run: str) -> None:
        self.store = store
        self.run = run
        self.asked = False
        self.partial: Partial | None = None
        """The job's unfinished work, once the job runs."""

    def listen(self) -> None:
        """Take SIGTERM from now on."""
        signal.signal(signal.SIGTERM, self._signalled)

    def look(self) -> None:
        """End if the run was stopped: how a child hears of it whose own parent has not been told."""
        if not self.asked and self.store.stopped(self.run):
            self.ask()

    def ask(self) -> None:
        """Ask for the end."""
        self.asked = True
        if self.partial is None or not self.partial.pending:
            print("asked to end; what is finished is kept", file=sys.stderr, flush=True)
            os._exit(SAVED)

    def stops(self, progress: Progress) -> Progress:
        """Return ``progress`` with a way out: once asked, reporting raises ``Stopped``."""

        def report(what: str, done: float, **figures: float) -> None:
            progress(what, done, **figures)
            if self.asked:
                raise Stopped(f"asked to end while {what} ({done:.0%} done)")

        return report

    def _signalled(self, number: int, frame: FrameType | None) -> Any:
        self.ask()
