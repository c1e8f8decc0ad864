"""What a child runs for an estimate and for the verdict.

Both are stored like any artifact, so that every process of a run, and the report, read the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.contracts.bound import Bound, BoundMeasure
from harness.contracts.ports import Progress
from harness.contracts.records import Estimate, Job
from harness.contracts.trees import Expression
from harness.core.ident import canonical


def run_estimate(job: Job, inputs: Mapping[str, Path], out: Path, progress: Progress) -> None:
    """Estimate one expression from its measurement tables."""
    from harness.decide.estimate import estimate

    measures = {name: BoundMeasure.model_validate(content) for name, content in job.params["measures"].items()}
    tables = {
        name: [(entry["at"], inputs[entry["role"]]) for entry in entries]
        for name, entries in job.params["tables"].items()
    }
    result = estimate(Expression.model_validate(job.params["expression"]), measures, tables)
    (out / "estimate.json").write_bytes(canonical(result.model_dump(mode="json")))


def run_verdict(job: Job, inputs: Mapping[str, Path], out: Path, progress: Progress) -> None:
    """Decide from the stored estimates."""
    from harness.decide.verdict import decide

    bound = Bound.model_validate(job.params["bound"])
    estimates = {
        role: Estimate.model_validate_json((path / "estimate.json").read_bytes()) for role, path in inputs.items()
    }
    (out / "decision.json").write_bytes(canonical(decide(bound, estimates).model_dump(mode="json")))


def run_replay(job: Job, inputs: Mapping[str, Path], out: Path, progress: Progress) -> None:
    """Replay the decision rule on made-up tables (rehearsals)."""
    from harness.decide.replay import replay

    result = replay(Bound.model_validate(job.params["bound"]), progress)
    (out / "replay.json").write_bytes(canonical(result.model_dump(mode="json")))


def run_null(job: Job, inputs: Mapping[str, Path], out: Path, progress: Progress) -> None:
    """Judge one arm against itself (rehearsals)."""
    from harness.decide.null import judge_null

    tables = {
        name: [(entry["at"], inputs[entry["role"]]) for entry in entries]
        for name, entries in job.params["tables"].items()
    }
    result = judge_null(Bound.model_validate(job.params["bound"]), tables, job.params["arm"])
    (out / "null.json").write_bytes(canonical(result.model_dump(mode="json")))
