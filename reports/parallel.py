"""Draw figures in more than one process: matplotlib holds Python's lock, and a figure takes 0.2 s.

Whoever is free takes the next figure. A helper is forked off this process where nothing forbids it (:func:`can_fork`),
and starts with matplotlib imported. Elsewhere it is a Python of its own that reads the result from a folder. Either
leaves its figures in a folder, and whatever a helper does not deliver is drawn here: it may be slow to start, or killed
for memory.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from reports.canvas import Drawing, Figure
from reports.records import ReportModel

SHARE = 8
"""Figures for each process: for fewer, a helper's start (0.6 s, most of it matplotlib's import) is not worth it."""
FORKED_SHARE = 3
"""The same for helpers that are forked, which start in 10 ms."""
PATIENCE = 30.0
"""Seconds that a helper may draw on after this process has nothing left to take."""
MOST = 4
_FIGURE = "figure.json"


def processes_for(figures: int, share: int = SHARE) -> int:
    """Return how many processes should draw: at most one for each usable core and for every ``share`` figures."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, figures // share, MOST))


def can_fork() -> bool:
    """Say whether this process may be forked: on Linux, while Python runs no second thread in it.

    What another thread holds at that moment stays locked in the fork. Libraries that keep threads (OpenBLAS, Arrow)
    see to their own locks at a fork; should one fail to, the fork hangs, and :data:`PATIENCE` ends it.
    """
    return sys.platform == "linux" and threading.active_count() == 1


class Desk:
    """Where figures are taken from and left, by this process and its helpers."""

    def __init__(self) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="prereg-figures-")
        self._helpers: list[_Process] = []

    @property
    def folder(self) -> Path:
        """The folder that helpers share with this process."""
        return Path(self._temporary.name)

    def fork(self, drawings: Sequence[Drawing]) -> None:
        """Let a fork of this process, which has settled how figures look, draw along."""
        self._helpers.append(_Fork(drawings, self.folder))

    def start(self, model: ReportModel, names: Sequence[str]) -> None:
        """Let a Python of its own draw along, of these figures."""
        self._helpers.append(_Python(model, names, self.folder))

    def take(self, name: str) -> bool:
        """Say whether this figure is this process's to draw: nobody has taken it before."""
        return _take(self.folder, name)

    def figures(self) -> dict[str, Figure]:
        """Wait for the helpers, as long as there is patience, and return what they drew, by name."""
        for helper in self._helpers:
            helper.end(PATIENCE)
        return _read(self.folder)

    def close(self) -> None:
        """End the helpers that still run, and remove the folder."""
        for helper in self._helpers:
            helper.end(0.0)
        self._temporary.cleanup()


class _Process(Protocol):
    def end(self, patience: float) -> None:
        """Wait so many seconds for its end, and then kill it."""
        ...


class _Fork:
    def __init__(self, drawings: Sequence[Drawing], folder: Path) -> None:
        self._running = True
        self._over, writes = os.pipe()  # at its end when the fork is
        self._pid = os.fork()
        if self._pid == 0:
            try:
                gc.freeze()  # looking for garbage would copy all that the parent has, page by page
                _draw(drawings[::-1], folder)  # from the other end: the last ones take longest
            finally:  # nothing else of the parent's is this process's to end, and what is not kept is drawn there
                os._exit(0)
        os.close(writes)

    def end(self, patience: float) -> None:
        if not self._running:
            return
        self._running = False
        over, _, _ = select.select([self._over], [], [], patience)
        os.close(self._over)
        with contextlib.suppress(OSError):  # somebody else in this process may wait for every child
            if not over:
                os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)


class _Python:
    def __init__(self, model: ReportModel, names: Sequence[str], folder: Path) -> None:
        from reports.figure_data import operating_file
        from reports.model import results_json

        for name, data in {"results.json": results_json(model), **operating_file(model)}.items():
            (folder / name).write_bytes(data)
        top = str(Path(__file__).parents[1])
        paths = os.pathsep.join([top, *filter(None, [os.environ.get("PYTHONPATH", "")])])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "reports.parallel", str(folder), *names],
            env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def end(self, patience: float) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience)
        self._process.kill()
        self._process.wait()


def _take(folder: Path, name: str) -> bool:
    try:
        (folder / name).mkdir()
    except FileExistsError:
        return False
    return True


def _draw(drawings: Sequence[Drawing], folder: Path) -> None:
    for drawing in drawings:
        if _take(folder, drawing.name):
            _keep(drawing.draw(), folder / drawing.name)


def _keep(figure: Figure, out: Path) -> None:
    for suffix, data in figure.files.items():
        (out / suffix[1:]).write_bytes(data)
    told = {"alt": figure.alt, "caption": figure.caption, "spots": figure.spots, "files": list(figure.files)}
    (out / "draft").write_text(json.dumps(told), encoding="utf-8")
    (out / "draft").replace(out / _FIGURE)  # last: a figure without it is not finished


def _read(folder: Path) -> dict[str, Figure]:
    found = {}
    for told in folder.glob(f"*/{_FIGURE}"):
        content = json.loads(told.read_text(encoding="utf-8"))
        files = {suffix: (told.parent / suffix[1:]).read_bytes() for suffix in content["files"]}
        spots = tuple((x, y, text) for x, y, text in content["spots"])
        found[told.parent.name] = Figure(told.parent.name, files, content["alt"], content["caption"], spots)
    return found


def _main(folder: Path, names: Sequence[str]) -> None:
    from reports.figures import planned, style
    from reports.reading import read_result

    with style():
        _draw([each for each in planned(read_result(folder).model) if each.name in names], folder)


if __name__ == "__main__":
    _main(Path(sys.argv[1]), sys.argv[2:])
