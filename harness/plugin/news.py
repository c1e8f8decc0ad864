"""What happens in a run, from this process or from xdist's workers: shown to people, logged for machines."""

from __future__ import annotations

import threading
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest

from harness.plugin.prices import Planned
from harness.plugin.relay import Receiver

if TYPE_CHECKING:
    from harness.execute.executor import Event
    from harness.execute.tally import Tally
    from harness.plugin.jsonlog import JsonLog
    from harness.plugin.session import Session
    from harness.plugin.terminal import Progress

_LONG = 2.0
"""Seconds that a job takes which leaves this process the time to prepare what it does at the end."""
_LOOK = 1.0
"""Seconds between two looks at what the workers' jobs do."""


class News:
    """Belongs to the process that reports. Hears this process's executor by itself and workers after :meth:`watch`."""

    def __init__(self, session: Session, progress: Progress) -> None:
        self._session = session
        self._progress = progress
        self._log: JsonLog | None = None
        self._tally: Tally | None = None
        self._receiver: Receiver | None = None
        self._watcher: threading.Thread | None = None
        self._ended = threading.Event()
        self._prepared = False
        self._under_way: dict[str, tuple[str, dict[str, Any]]] = {}
        """By key, the label of a job that was started, and by which worker."""
        self._over: set[str] = set()
        """Keys of jobs that were told to have ended; a worker may still tell that it had begun one of them."""
        session.on_event, session.on_plan = self._happened, self._planned

    @property
    def watching(self) -> bool:
        """Whether jobs of workers are watched."""
        return self._watcher is not None

    def begin(self) -> None:
        """Open the log for machines, if one is asked for.

        Raises:
            pytest.UsageError: it cannot be opened.
        """
        path = self._session.options.log_json
        if path is None or self._session.options.preview:
            return
        from harness.plugin.jsonlog import JsonLog

        try:
            self._log = JsonLog(path, self._session.run_id)
        except OSError as error:
            raise pytest.UsageError(f"--log-json {path} cannot be written: {error.strerror}") from error
        self._note("run_started", command=self._session.options.command)

    def watch(self) -> None:
        """Watch the jobs of workers from now on."""
        self._receiver = Receiver(self._session.store.progress(self._session.run_id))
        self._watcher = threading.Thread(target=self._watch, daemon=True, name="prereg-progress")
        self._watcher.start()

    def still(self) -> None:
        """Stop watching, having heard everything that was sent."""
        self._ended.set()
        if self._watcher is not None and self._watcher is not threading.current_thread():
            self._watcher.join()
            self._watcher = None
            self._receive()
        self._settle()
        self._progress.clear()

    def end(self, status: int) -> None:
        """Note how the run ended."""
        self._note("run_finished", exit_status=status)

    def close(self) -> None:
        """Close the log, and remove what workers sent and the folder of what this run told."""
        if self._receiver is not None or self._session.running:
            (self._receiver or Receiver(self._session.store.progress(self._session.run_id))).close()
        if self._log is not None:
            self._log.close()
            self._log = None

    # --- what is heard ---

    def _happened(self, event: Event, time: str = "", **more: Any) -> None:
        if event.what == "started" and event.key not in self._over:
            self._under_way[event.key] = event.label, more
        elif event.what == "failed" or (event.what == "finished" and not event.text):  # with a text: made elsewhere
            self._over.add(event.key)
            self._under_way.pop(event.key, None)
        if event.what == "finished" and self._tally is not None:
            self._tally.stored(event.key)
        if event.what == "progress" and event.seconds >= _LONG and not more and not self._prepared:
            self._prepare()
        if event.running is None or not more:  # what runs in a worker is shown as it is now, and not as it was told
            self._progress.happened(event)
        self._log_event(event, time, **more)

    def _prepare(self) -> None:
        from harness.plugin.reporting import prepare

        self._prepared = True
        prepare(figures=self._session.options.figures)

    def _settle(self) -> None:
        """Tell of jobs that ended when the process that had started them did not listen any more."""
        if not self._under_way:
            return
        from harness.core.errors import JobError
        from harness.execute.executor import Event

        for key, (label, more) in list(self._under_way.items()):
            try:
                made = self._session.store.peek(key).made
            except (JobError, OSError):
                continue  # it was stopped, or it failed and is told of elsewhere
            if made.get("run") == self._session.run_id:
                self._happened(Event("finished", key, label, "", float(made.get("wall_s", 0.0))), **more)

    def _planned(self, plan: Planned) -> None:
        """Take note of the first plan: processes that begin later find less missing."""
        if self._tally is not None:
            return
        from harness.execute.tally import Tally

        self._tally = self._progress.tally = Tally(plan.seconds, self._session.store.has)
        self._progress.planned(plan)
        self._note("plan", jobs=len(plan.seconds), price=plan.figures, text=plan.tag)

    def _log_event(self, event: Event, time: str = "", **more: Any) -> None:
        if self._log is None:
            return
        from harness.plugin.jsonlog import fields, name_of

        if event.what in ("finished", "failed") and event.key and self._tally is not None:
            more["left"] = asdict(self._tally.look())
        self._note(name_of(event), time, **fields(event), **more)

    def _note(self, event: str, time: str = "", **fields: Any) -> None:
        if self._log is None:
            return
        try:
            self._log.write(event, time, **fields)
        except OSError as error:
            self._log.close()
            self._log = None  # the run is worth more than its log
            self._progress.line(f"--log-json cannot be written any more: {error.strerror}; the run goes on without it")

    def _watch(self) -> None:
        from harness.execute.progress import read_running

        folder = self._session.store.progress(self._session.run_id)
        while not self._ended.wait(_LOOK):
            self._receive()
            self._progress.running(read_running(folder))

    def _receive(self) -> None:
        heard = self._receiver.news() if self._receiver is not None else ()
        for time, worker, news in sorted(heard, key=lambda each: each[0]):
            if isinstance(news, Planned):
                self._planned(news)
            else:
                self._happened(news, time, worker=worker)
