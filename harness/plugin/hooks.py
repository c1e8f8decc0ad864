"""The hooks: a few lines each. The work is in ``session``, ``items``, ``controller`` and ``terminal``."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from harness.plugin import items as prereg_items
from harness.plugin import options, terminal
from harness.plugin.controller import Controller
from harness.plugin.items import SESSION, PreregFile, PreregItem
from harness.plugin.relay import Sender
from harness.plugin.session import Session


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register options and ini keys."""
    options.add(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Register markers and make the session; the process that reports gets a controller as well."""
    config.addinivalue_line("markers", "gpu: trains or samples models on a CUDA device (preregs with arms)")
    if not config.pluginmanager.hasplugin("timeout"):
        config.addinivalue_line("markers", "timeout(seconds): read by pytest-timeout; preregs say 0, no limit")
    worker = getattr(config, "workerinput", None)
    session = config.stash[SESSION] = Session(options.read(config), worker["prereg_run"] if worker else "")
    if worker is None:
        config.pluginmanager.register(Controller(config, session), "prereg-controller")
    else:
        sender = Sender(lambda: session.store.progress(session.run_id), worker["workerid"])
        session.on_event, session.on_plan = sender.happened, sender.planned


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> PreregFile | None:
    """Collect YAML files that have a top-level ``prereg:`` key."""
    if file_path.suffix not in prereg_items.YAML_SUFFIXES or b"prereg" not in file_path.read_bytes():
        return None
    from harness.spec.load import looks_like_prereg

    return PreregFile.from_parent(parent, path=file_path) if looks_like_prereg(file_path) else None


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, Any, Any]:
    """Say what is wrong with a file rather than that it has no such item; refuse in workers, too."""
    try:
        return (yield)
    except pytest.UsageError as error:
        text = prereg_items.explain(error, session.config)
        if not text:
            raise
        return prereg_items.refuse(session.config, session.items, text)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse when something would stop the selected preregs; otherwise put their items in order."""
    text = config.stash[SESSION].select(prereg_items.selected(items))
    if text:
        prereg_items.refuse(config, items, text)
    elif not config.getoption("failedfirst", default=False):
        prereg_items.in_order(items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Give the reports of prereg items their category and their errors a message."""
    report = yield
    if isinstance(item, PreregItem):
        prereg_items.dress(item, call, report)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.CollectReport | pytest.TestReport) -> Any:
    """Show KILLED, INCONCLUSIVE and UNMET."""
    return terminal.status(report)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """End this process's children and, in a worker, tell the controller which files it saw."""
    ended = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    prereg_items.finish(session.config, regular=ended and not session.shouldstop and not session.shouldfail)
