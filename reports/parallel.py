"""Draw figures in more than one process: matplotlib holds Python's lock, and a figure takes 0.15 s.

A helper is a Python of its own that reads the result from a folder and leaves its figures there. Whatever a helper does
not deliver is drawn here: it may be slow to start, or killed for memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from reports.canvas import Figure
from reports.records import ReportModel

SHARE = 8
"""Figures for each process: for fewer, a helper's start (0.6 s, most of it matplotlib's import) is not worth it."""
MOST = 4
_FIGURE = "figure.json"


def processes_for(figures: int) -> int:
    """Return how many processes should draw: at most one for each usable core and for every eight figures."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, figures // SHARE, MOST))


class Helper:
    """Draws some figures of a model in a process of its own."""

    def __init__(self, model: ReportModel, names: Sequence[str]) -> None:
        from reports.figure_data import operating_file
        from reports.model import results_json

        self._folder = tempfile.TemporaryDirectory(prefix="prereg-figures-")
        folder = Path(self._folder.name)
        for name, data in {"results.json": results_json(model), **operating_file(model)}.items():
            (folder / name).write_bytes(data)
        top = str(Path(__file__).parents[1])
        paths = os.pathsep.join([top, *filter(None, [os.environ.get("PYTHONPATH", "")])])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "reports.parallel", str(folder), *names],
            env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def figures(self) -> dict[str, Figure]:
        """Wait for the helper and return what it drew, by name."""
        self._process.wait()
        return _read(Path(self._folder.name))

    def close(self) -> None:
        """End the helper, if it still runs, and remove its folder."""
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()


def _draw(folder: Path, names: Sequence[str]) -> None:
    from reports.figures import draw
    from reports.reading import read_result

    for figure in draw(read_result(folder).model, only=names, processes=1):
        out = folder / figure.name
        out.mkdir()
        for suffix, data in figure.files.items():
            (out / suffix[1:]).write_bytes(data)
        told = {"alt": figure.alt, "caption": figure.caption, "spots": figure.spots, "files": list(figure.files)}
        (out / _FIGURE).write_text(json.dumps(told), encoding="utf-8")  # last: a figure without it is not finished


def _read(folder: Path) -> dict[str, Figure]:
    found = {}
    for told in folder.glob(f"*/{_FIGURE}"):
        content = json.loads(told.read_text(encoding="utf-8"))
        files = {suffix: (told.parent / suffix[1:]).read_bytes() for suffix in content["files"]}
        spots = tuple((x, y, text) for x, y, text in content["spots"])
        found[told.parent.name] = Figure(told.parent.name, files, content["alt"], content["caption"], spots)
    return found


if __name__ == "__main__":
    _draw(Path(sys.argv[1]), sys.argv[2:])
