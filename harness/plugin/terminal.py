"""How preregs show in the terminal: statuses, blocks of what does not hold, and progress."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from harness.execute.executor import Event
    from harness.execute.progress import Running

_STATUS = {
    "KILLED": ("killed", "K", ("KILLED", {"red": True})),
    "INCONCLUSIVE": ("inconclusive", "I", ("INCONCLUSIVE", {"red": True})),
    "UNMET": ("unmet", "u", ("UNMET", {"yellow": True})),
}
_WORTH_TELLING = 1.0
"""Seconds from which a finished job is worth a line."""
_TELL_AGAIN = 20.0
"""Seconds between two lines about a running job where there is no live line."""


def status(report: Any) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    """Return category, letter and word of a prereg item that does not hold; None leaves it to pytest."""
    word = getattr(report, "prereg", {}).get("word", "")
    return _STATUS.get(word) if report.when == "call" else None


def write_blocks(reporter: pytest.TerminalReporter) -> None:
    """Write the blocks of what pytest does not show itself: its summary knows no categories but its own."""
    reports = [report for category, *_ in _STATUS.values() for report in reporter.stats.get(category, ())]
    if not reports or reporter.config.getoption("tbstyle", default="auto") == "no":
        return
    reporter.section("killed, inconclusive and unmet")
    for report in reports:
        reporter.write_line(report.longreprtext or str(getattr(report, "wasxfail", "")))
        reporter.write_line("")


class Progress:
    """Shows jobs at work: one live line on a terminal, plain lines now and then otherwise."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._live = ""
        self._told: dict[str, float] = {}
        self._lock = threading.Lock()

    def happened(self, event: Event) -> None:
        """Show a piece of news of the executor in this process."""
        match event.what:
            case "progress" if event.running is not None:
                self.running([event.running])
            case "finished" if event.seconds >= _WORTH_TELLING:
                self._line(f"{event.label} took {clock(event.seconds)}")
            case "failed":
                self._line(f"{event.label} failed: {event.text}")
            case "waiting":
                self._line(f"{event.label} waits: {event.text}")
            case "damaged" | "note":
                self._line(event.text)

    def running(self, jobs: Sequence[Running]) -> None:
        """Show jobs at work, in whichever process they are."""
        reporter = self._reporter
        if not jobs or reporter is None:
            return
        if reporter.isatty:
            more = f"  (and {len(jobs) - 1} more)" if len(jobs) > 1 else ""
            self._rewrite(reporter, said(jobs[0]) + more)
            return
        for job in jobs:
            now = time.monotonic()
            if now - self._told.setdefault(job.key, now) >= _TELL_AGAIN:
                self._told[job.key] = now
                self._line(said(job))

    def clear(self) -> None:
        """Take the live line away."""
        reporter = self._reporter
        if reporter is not None and self._live:
            with self._lock, self._uncaptured():
                reporter.rewrite(" " * len(self._live))
                reporter.rewrite("")
            self._live = ""

    @property
    def _reporter(self) -> pytest.TerminalReporter | None:
        if self._config.get_verbosity() < 0:
            return None
        found: pytest.TerminalReporter | None = self._config.pluginmanager.getplugin("terminalreporter")
        return found

    def _line(self, text: str) -> None:
        reporter = self._reporter
        if reporter is None:
            return
        self.clear()
        with self._lock, self._uncaptured():
            reporter.ensure_newline()
            reporter.write_line(f"prereg: {text}")

    def _rewrite(self, reporter: pytest.TerminalReporter, text: str) -> None:
        width = self._config.get_terminal_writer().fullwidth - 1
        with self._lock, self._uncaptured():
            if not self._live:
                reporter.ensure_newline()
            reporter.rewrite(f"prereg: {text}"[:width].ljust(len(self._live)))
        self._live = f"prereg: {text}"[:width]

    @contextlib.contextmanager
    def _uncaptured(self) -> Iterator[None]:
        manager = self._config.pluginmanager.getplugin("capturemanager")
        with manager.global_and_fixture_disabled() if manager else contextlib.nullcontext():
            yield


def said(job: Running) -> str:
    """Say how far a job is, in one line."""
    left = f", {clock(job.eta)} left" if job.eta is not None and job.done < 1 else ""
    figures = "".join(f", {name} {value:.3g}" for name, value in job.figures.items())
    return f"{job.label} {job.what} {100 * job.done:.0f}%{figures} ({clock(job.elapsed)}{left})"


def clock(seconds: float) -> str:
    """Write a duration: ``0.4 s``, ``1:05``, ``2:00:00``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
