"""Reports on disk for the tests of exports, comparisons and the index: written without figures, quickly."""

from __future__ import annotations

import json
from pathlib import Path

from report_cases import RUN, Case

from reports.model import build, results_json
from reports.records import ReportModel, RunInfo


def put(case: Case, folder: Path, *, run: RunInfo = RUN, **registered: object) -> Path:
    """Write a case's results.json and run.json; ``registered`` changes its registration."""
    model = build(case.bound.model_copy(update=registered), case.decision, case.estimates, case.extras)
    return put_model(model, folder, run)


def put_model(model: ReportModel, folder: Path, run: RunInfo = RUN) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_bytes(results_json(model))
    (folder / "run.json").write_text(json.dumps(run.model_dump(mode="json")))
    return folder / "results.json"
