"""What a child runs for a measurement.

The kind reads an arm (or a recorded table is read), the table is checked against what was planned, and written.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.contracts.kinds import EVALS, PROBES
from harness.contracts.ports import Progress
from harness.contracts.records import Job
from harness.contracts.resume import Partial
from harness.execute.job import context
from harness.measure.recorded import measure_recorded
from harness.measure.run import check
from harness.measure.table import write_table


def run_recorded(job: Job, inputs: Mapping[str, Path], out: Path, progress: Progress) -> None:
    """Read a recorded table, check it and store it."""
    table = measure_recorded(job.params, Path(job.files["table"].path))
    write_table(check(table, job.params["levels"]), out)


def run_measure(
    job: Job, inputs: Mapping[str, Path], out: Path, progress: Progress, partial: Partial | None = None
) -> None:
    """Run a probe or an eval on one arm, check its table and store it; ``partial`` is its unfinished work."""
    family, name = job.kind.split("/", 1)
    kind = (EVALS if family == "eval" else PROBES).get(name)
    table = kind().measure(
        kind.Params.model_validate(job.params["params"]), context(job, inputs, out, progress, kind.needs, partial)
    )
    write_table(check(table, job.params["levels"]), out)
