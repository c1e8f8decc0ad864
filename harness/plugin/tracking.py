"""``--track``: tells trackers of a result once its report is written. A tracker that fails costs a line."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path


def tracked(names: tuple[str, ...], report: Path, root: Path) -> Iterator[str]:
    """Yield a line per tracker: where the runs are, or why there are none.

    Args:
        names: the trackers that were asked for.
        report: the written report, beside its ``results.json``.
        root: the folder for what trackers keep locally.
    """
    for name in names:
        try:
            runs = importlib.import_module("reports.tracking").arm_runs(_results(report))
            where = importlib.import_module("reports.trackers").write(name, runs, root) if runs else "nothing: no arms"
            yield f"  {name}: {where}"
        except KeyboardInterrupt:
            yield f"  warning: {name}: stopped before it was told of everything"
        except (Exception, SystemExit) as error:  # whatever a tracker does, the result stands
            yield f"  warning: {name} was not told: {' '.join(str(error).split()) or type(error).__name__}"


def _results(report: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads(report.with_name("results.json").read_bytes())
    return found
