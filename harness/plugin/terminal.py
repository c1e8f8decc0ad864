"""How preregs show in the terminal: statuses, blocks of what does not hold, and progress."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from harness.execute.executor import Event
    from harness.execute.progress import Running
    from harness.execute.tally import Left, Tally
    from harness.plugin.prices import Planned

_STATUS = {
    "KILLED": ("killed", "K", ("KILLED", {"red": True})),
    "INCONCLUSIVE": ("inconclusive", "I", ("INCONCLUSIVE", {"red": True})),
    "UNMET": ("unmet", "u", ("UNMET", {"yellow": True})),
}
_NAME = "prereg: "
_FEWEST = 12
"""Letters of a label that a narrow terminal shows at least."""
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
    """Shows jobs at work: one live line on a terminal, plain lines now and then otherwise.

    ``tally`` counts the run's jobs, once they are known.
    """

    tally: Tally | None = None

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._live = ""
        self._told: dict[str, float] = {}
        self._lock = threading.Lock()

    def planned(self, plan: Planned) -> None:
        """Say what is about to run, when that is worth a line."""
        if sum(seconds or 0.0 for seconds in plan.seconds.values()) >= _TELL_AGAIN or None in plan.seconds.values():
            count = len(plan.seconds)
            self.line(f"{count} job{'s' if count != 1 else ''} to run; {plan.tag}")

    def happened(self, event: Event) -> None:
        """Show a piece of news of the executor in this process."""
        match event.what:
            case "progress" if event.running is not None:
                self.running([event.running])
            case "finished" if event.seconds >= _WORTH_TELLING:
                self.line(f"{event.label} took {clock(event.seconds)}{self._so_far()}")
            case "failed":
                self.line(f"{event.label} failed: {event.text}")
            case "waiting":
                self.line(f"{event.label} waits: {event.text}")
            case "damaged" | "note":
                self.line(event.text)

    def running(self, jobs: Sequence[Running]) -> None:
        """Show jobs at work, in whichever process they are."""
        reporter = self._reporter
        if not jobs or reporter is None:
            return
        if reporter.isatty:
            left = self.tally.look(jobs) if self.tally else None
            self._rewrite(reporter, live(jobs, left, self._width - len(_NAME)))
            return
        for job in jobs:
            now = time.monotonic()
            if now - self._told.setdefault(job.key, now) >= _TELL_AGAIN:
                self._told[job.key] = now
                self.line(said(job) + self._so_far(jobs))

    def _so_far(self, jobs: Sequence[Running] = ()) -> str:
        return f"; {counted(self.tally.look(jobs))}" if self.tally else ""

    def clear(self) -> None:
        """Take the live line away."""
        reporter = self._reporter
        if reporter is not None and self._live:
            with self._lock, self._uncaptured():
                reporter.rewrite(" " * len(self._live))
                reporter.rewrite("")
            self._live = ""

    @property
    def _width(self) -> int:
        return self._config.get_terminal_writer().fullwidth - 1

    @property
    def _reporter(self) -> pytest.TerminalReporter | None:
        if self._config.get_verbosity() < 0:
            return None
        found: pytest.TerminalReporter | None = self._config.pluginmanager.getplugin("terminalreporter")
        return found

    def line(self, text: str) -> None:
        """Write a line of its own."""
        reporter = self._reporter
        if reporter is None:
            return
        self.clear()
        with self._lock, self._uncaptured():
            reporter.ensure_newline()
            reporter.write_line(f"{_NAME}{text}")

    def _rewrite(self, reporter: pytest.TerminalReporter, text: str) -> None:
        shown = f"{_NAME}{text}"[: self._width]
        with self._lock, self._uncaptured():
            if not self._live:
                reporter.ensure_newline()
            reporter.rewrite(shown.ljust(len(self._live)))
        self._live = shown

    @contextlib.contextmanager
    def _uncaptured(self) -> Iterator[None]:
        manager = self._config.pluginmanager.getplugin("capturemanager")
        with manager.global_and_fixture_disabled() if manager else contextlib.nullcontext():
            yield


def said(job: Running) -> str:
    """Say how far a job is, in one line: its figures, its speed, its time and its memory."""
    figures = _figures(job.figures, _UNSHOWN)
    return f"{job.label} {job.what} {100 * job.done:.0f}%{figures} ({clock(job.elapsed)}{_left(job)}{_memory(job)})"


def live(jobs: Sequence[Running], left: Left | None, width: int) -> str:
    """Say in ``width`` letters how far the run is and how its first job is doing; a long label is cut first."""
    job = jobs[0]
    head = f"{left.done}/{left.jobs}" + (f", {clock(left.eta)} left" if left.eta is not None else "") if left else ""
    head += " | " if head else ""
    counts = (*_UNSHOWN, "step", "completions", "texts")
    tail = f" {job.what} {100 * job.done:.0f}%{_figures(job.figures, counts)}{_left(job)}{_memory(job)}"
    tail += f" (+{len(jobs) - 1})" if len(jobs) > 1 else ""
    room = max(_FEWEST, width - len(head) - len(tail))
    label = job.label if len(job.label) <= room else f"{job.label[: room - 1]}…"
    return f"{head}{label}{tail}"


def _left(job: Running) -> str:
    return f", {clock(job.eta)} left" if job.eta is not None and job.done < 1 else ""


def _memory(job: Running) -> str:
    held = [f"{_gib(job.rss_mb)}"] if job.rss_mb else []
    held += [f"GPU {_gib(job.gpu_mb)}"] if job.gpu_mb else []
    return f", {' + '.join(held)}" if held else ""


def _figures(figures: Mapping[str, float], unshown: Sequence[str]) -> str:
    shown = {name: value for name, value in figures.items() if name not in unshown and not name.endswith("_per_s")}
    told = [f", {name} {_number(value)}" for name, value in shown.items()]
    rates = {name.removesuffix("_per_s"): value for name, value in figures.items() if name.endswith("_per_s")}
    told += [f", {_number(value)} {name}/s" for name, value in list(rates.items())[:1]]
    return "".join(told)


_UNSHOWN = ("steps", "lr", "tokens", "rows")
"""Figures that are there for the log and for speeds."""


def counted(left: Left) -> str:
    """Say how many of a run's jobs are done and how long the rest may take."""
    told = f"{left.done} of {left.jobs} jobs done"
    if left.eta is not None:
        told += f", about {clock(left.eta)} left"
    if left.unpriced:
        told += f" and {left.unpriced} of unknown length"
    return told


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def _gib(megabytes: float) -> str:
    return f"{megabytes / 1024:.1f} GiB"


def clock(seconds: float) -> str:
    """Write a duration: ``0.4 s``, ``1:05``, ``2:00:00``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
