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
from harness.contracts.resume import Partial
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
    "breakdown": "harness.decide.breakdown:run_breakdown",
}
"""What runs a job, by its kind or by the part of it before the slash."""

KINDS = {
    "evals": ("marker_rate",),
    "probes": ("cross_question_cosine", "centroid_cosine", "training_log"),
    "stages": ("sft", "merge", "marker_coupling", "on_policy"),
}
"""The kinds of the package, each in a module of its name."""

PRELOAD = {
    "light": (
        "harness.decide.breakdown", "harness.decide.estimate", "harness.decide.job", "harness.decide.length",
        "harness.decide.null", "harness.decide.replay", "harness.decide.verdict", "harness.measure.job",
        "harness.probes.training_log",
    ),
    "model": (
        "harness.execute.job", "harness.measure.job",
        *(f"harness.{family}.{name}" for family, names in KINDS.items() for name in names),
    ),
}  # fmt: skip
"""What a process that forks children imports for them, by lane: in each child it would cost a quarter of a second."""


def declare_kinds() -> None:
    """Declare every kind of the package by name; the modules are imported when first asked for."""
    for family, registry in (("evals", EVALS), ("probes", PROBES), ("stages", STAGES)):
        for name in KINDS[family]:
            registry.declare(name, f"harness.{family}.{name}")


def run_job(
    job: Job, inputs: Mapping[str, Path], out: Path, progress: Progress, partial: Partial | None = None
) -> None:
    """Run one job in this process: fill ``out`` from ``inputs`` (directories of artifacts by role).

    ``partial`` is the job's unfinished work; the runners of stages and measures hand it to their kind.
    """
    declare_kinds()
    target = RUNNERS.get(job.kind) or RUNNERS.get(job.kind.split("/", 1)[0])
    if target is None:
        raise JobError(f"nothing runs jobs of kind '{job.kind}'")
    module, function = target.split(":")
    more = {"partial": partial} if partial is not None and function in ("run_stage", "run_measure") else {}
    getattr(importlib.import_module(module), function)(job, inputs, out, progress, **more)
