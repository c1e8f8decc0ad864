"""The process that reports to people: it hears of refusals and files, and writes the reports at the end."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.plugin import github, terminal
from harness.plugin.news import News
from harness.plugin.stopping import how_to_go_on

if TYPE_CHECKING:
    from harness.plugin.conclusions import Conclusion
    from harness.plugin.session import Session


class Controller:
    """Registered as a plugin in the only process or, under xdist, in the one that runs no tests."""

    def __init__(self, config: pytest.Config, session: Session) -> None:
        self.config = config
        self.session = session
        self.progress = terminal.Progress(config)
        self.news = News(session, self.progress)
        self._files: dict[Path, None] = {}
        self._refusals: dict[str, None] = {}
        self._conclusions: list[Conclusion] = []
        self._go_on: list[str] = []
        self._stopped = False

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker which run it belongs to and how that was started."""
        node.workerinput["prereg_run"] = self.session.run_id
        node.workerinput["prereg_command"] = self.session.options.command

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Hear what a worker refused and which files it saw."""
        output = getattr(node, "workeroutput", None) or {}
        if "prereg_refusal" in output:
            self._refusals[output["prereg_refusal"]] = None
        self._files.update(dict.fromkeys(map(Path, output.get("prereg_files", ()))))

    def pytest_sessionstart(self) -> None:
        """Open the log for machines."""
        self.news.begin()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Watch the workers' jobs from their first prereg item on."""
        xdist = self.config.getoption("dist", default="no") != "no"
        if xdist and not self.news.watching and nodeid.partition("::")[0].endswith((".yaml", ".yml")):
            self.session.sigterm.take()
            self.news.watch()
            self._files[self.config.rootpath / nodeid.partition("::")[0]] = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the file that an item belongs to; a worker that dies cannot tell any more."""
        self.progress.clear()
        noted = getattr(report, "prereg", None)
        if noted:
            self._files[Path(noted["file"])] = None

    def pytest_keyboard_interrupt(self) -> None:
        """Let every job of the run save before anything is torn down: Ctrl-C, or SIGTERM as of a preempted pod."""
        if self.news.watching or self.session.running:
            self._stopped = True
            self.progress.clear()
            self.session.interrupt()

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Conclude from the store, whatever was selected or stopped; a worker's refusal is the run's."""
        self.news.still()
        if self._refusals:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
        elif not self.session.options.preview and not self.session.refusal:
            seen = {path: None for path, each in self.session.registrations.items() if each.asked}
            self._conclusions = self.session.conclude({**seen, **self._files})
            if self._stopped:
                found = [self.session.register(path) for path in {**seen, **self._files}]
                self._go_on = list(how_to_go_on(found, self.session.store))
            if any(each.failed for each in self._conclusions) and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
        self.news.end(int(session.exitstatus))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write the blocks of what does not hold, and one for each prereg."""
        terminal.write_blocks(terminalreporter)
        if self.session.options.preview:
            lines = self.session.preview()
            if lines:
                terminalreporter.section("preregistrations: what would run")
                for line in lines:
                    terminalreporter.write_line(line)
        elif self._conclusions:
            terminalreporter.section("preregistrations")
            for conclusion in self._conclusions:
                for line in conclusion.lines:
                    terminalreporter.write_line(line)
        for line in self._go_on:
            terminalreporter.write_line(line)
        for line in github.told(self._conclusions) if github.wanted() else ():
            terminalreporter.write_line(line)

    def pytest_unconfigure(self) -> None:
        """Say once what the workers refused, as pytest says it without workers."""
        self.news.close()
        self.session.sigterm.release()
        for text in self._refusals:
            sys.stderr.write(f"ERROR: {text}\n\n")
