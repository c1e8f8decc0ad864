"""The composition root: the only place that names concrete kinds and says what runs each job.

Imported by the plugin, the command line and the children; it imports neither pytest nor models.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path

from harness.contracts.kinds import EVALS, PROBES, STAGES
from harness.contracts.ports import Progress
from harness.contracts.records import Job
from harness.core.errors import JobError

RUNNERS = {
    "model/embedded": "harness.execute.job:run_embedded",
    "stage": "harness.execute.job:run_stage",
    "eval": "harness.measure.job:run_measure",
    "probe": "harness.measure.job:run_measure",
    "recorded": "harness.measure.job:run_recorded",
    "estimate": "harness.decide.job:run_estimate",
    "verdict": "harness.decide.job:run_verdict",
    "replay": "harness.decide.job:run_replay",
    "null": "harness.decide.job:run_null",
}
"""What runs a job, by its kind or by the part of it before the slash."""


def declare_kinds() -> None:
    """Declare every kind of the package by name; the modules are imported when first asked for."""
    for name in ("marker_rate",):
        EVALS.declare(name, f"harness.evals.{name}")
    for name in ("cross_question_cosine", "centroid_cosine", "training_log"):
        PROBES.declare(name, f"harness.probes.{name}")
    for name in ("sft", "merge", "marker_coupling", "on_policy"):
        STAGES.declare(name, f"harness.stages.{name}")


def run_job(job: Job, inputs: Mapping[str, Path], out: Path, progress: Progress) -> None:
    """Run one job in this process: fill ``out`` from ``inputs`` (directories of artifacts by role)."""
    declare_kinds()
    target = RUNNERS.get(job.kind) or RUNNERS.get(job.kind.split("/", 1)[0])
    if target is None:
        raise JobError(f"nothing runs jobs of kind '{job.kind}'")
    module, function = target.split(":")
    getattr(importlib.import_module(module), function)(job, inputs, out, progress)
