"""The pytest side of a prereg: the file as collector, and one item per thing to judge."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import JobError, PreregError
from harness.plugin.cases import Case, Outcome
from harness.plugin.properties import properties
from harness.plugin.registrations import Registration
from harness.plugin.session import Session

SESSION: pytest.StashKey[Session] = pytest.StashKey()
YAML_SUFFIXES = (".yaml", ".yml")


class Unmet(Exception):
    """An item that does not hold; its message is the block that people read."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        super().__init__(outcome.block)


class PreregFile(pytest.File):
    """A preregistration file."""

    def collect(self) -> Iterator[PreregItem]:
        """Yield the items in order. Never raises: a file that cannot be read is refused before anything runs."""
        registration = self.config.stash[SESSION].register(self.path)
        for case in registration.cases:
            nodeid = f"{self.nodeid}::{case.name}"
            item: PreregItem = PreregItem.from_parent(
                self, name=case.name, nodeid=nodeid, case=case, registration=registration
            )
            yield item


class PreregItem(pytest.Item):
    """One item of a preregistration."""

    def __init__(self, *, case: Case, registration: Registration, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.case = case
        self.registration = registration
        self.outcome: Outcome | None = None
        # A job may take hours; what it may take is the budget's matter and not that of a test's timeout.
        self.add_marker(pytest.mark.timeout(0))
        if registration.trains:
            self.add_marker(pytest.mark.gpu)

    def setup(self) -> None:
        """Obtain what the item needs and judge it: whatever goes wrong here is an ERROR, never a verdict."""
        session = self.config.stash[SESSION]
        session.obtain(self.registration, self.case)
        self.outcome = session.judge(self.registration, self.case)
        self.user_properties += properties(session, self.registration, self.case)

    def runtest(self) -> None:
        """Compare: fail when the item does not hold."""
        if self.outcome is not None and self.outcome.word != "PASSED":
            raise Unmet(self.outcome)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show the block instead of a traceback."""
        if isinstance(excinfo.value, Unmet):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[PathLike[str] | str, int | None, str]:
        """Return the YAML line on which the item is registered."""
        return self.path, max(self.case.line - 1, 0), self.name


def dress(item: PreregItem, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """Give an item's report its category, and its errors a message instead of a traceback."""
    noted = {"file": str(item.path), "word": ""}
    error = call.excinfo.value if call.excinfo else None
    if isinstance(error, Unmet):
        soft = error.outcome.soft
        noted["word"] = "UNMET" if soft else error.outcome.word
        if soft:
            report.outcome = "skipped"
            report.wasxfail = error.outcome.block.splitlines()[0]
    elif call.when == "setup" and isinstance(error, PreregError | JobError):
        report.longrepr = str(error)
    report.prereg = noted  # type: ignore[attr-defined]


def selected(items: list[pytest.Item]) -> list[tuple[Path, Case]]:
    """Return the prereg items among those that are to run."""
    return [(item.path, item.case) for item in items if isinstance(item, PreregItem)]


def in_order(items: list[pytest.Item]) -> None:
    """Put the items of each file back into their order, whatever shuffled them, in the places they have."""
    by_file: dict[Path, list[PreregItem]] = {}
    for item in items:
        if isinstance(item, PreregItem):
            by_file.setdefault(item.path, []).append(item)
    for each in by_file.values():
        order = {case.name: place for place, case in enumerate(each[0].registration.cases)}
        each.sort(key=lambda item: order[item.name], reverse=True)
    items[:] = [by_file[item.path].pop() if isinstance(item, PreregItem) else item for item in items]


def explain(error: pytest.UsageError, config: pytest.Config) -> str:
    """Return what a usage error of the collection means for preregs, or an empty string when it is not theirs."""
    session = config.stash[SESSION]
    theirs = any("<PreregFile" in str(arg) for arg in error.args)
    damaged = _damaged(error, config)
    for path in damaged:
        session.register(path)
    if session.refusal or not (theirs or damaged):
        return session.refusal
    asked = [_unknown(arg, config, each) for arg in config.args for each in session.registrations.values()]
    return session.faults() or "\n".join(filter(None, asked)) or str(error)


def _damaged(error: pytest.UsageError, config: pytest.Config) -> list[Path]:
    """Return the YAML files that were named and that nobody collected: preregs whose first key is damaged.

    Files that were not named, and those that another plugin collects, are no business of this one.
    """
    from harness.spec.load import looks_like_prereg

    said = "\n".join(map(str, error.args))
    named = [(config.invocation_params.dir / arg.partition("::")[0]).absolute() for arg in config.args]
    yamls = [path for path in named if path.suffix in YAML_SUFFIXES and path.is_file()]
    return [path for path in yamls if path.name in said and not looks_like_prereg(path)]


def _unknown(arg: str, config: pytest.Config, registration: Registration) -> str:
    from harness.core.registry import did_you_mean

    file, _, name = arg.partition("::")
    names = [case.name for case in registration.cases]
    if not name or name in names or config.invocation_params.dir / file != registration.path:
        return ""
    hint = did_you_mean(name, names)
    said = f"not found: {arg}; the items are {', '.join(names)}"
    return f"{said}. {hint[0].upper()}{hint[1:]}" if hint else said


def refuse(config: pytest.Config, collected: list[pytest.Item], text: str) -> None:
    """Stop the run before anything starts: here, or by way of the controller when this is a worker.

    Raises:
        pytest.UsageError: in the process that reports.
    """
    output: dict[str, Any] | None = getattr(config, "workeroutput", None)
    if output is None:
        raise pytest.UsageError(text)
    collected.clear()
    output["prereg_refusal"] = text


def finish(config: pytest.Config, *, regular: bool) -> None:
    """End this process's children and, in a worker, tell the controller which files it saw.

    A worker that ran out of items waits for its children first: others may need what they make (``regular`` says
    that the session came to its end and was not stopped).
    """
    session = config.stash[SESSION]
    output: dict[str, Any] | None = getattr(config, "workeroutput", None)
    if output is not None and regular:
        session.drain()
    session.close()
    if output is not None:
        output["prereg_files"] = [str(path) for path, each in session.registrations.items() if each.asked]
