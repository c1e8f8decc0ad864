"""The compute table of a report: planned against spent, and what is in neither."""

from __future__ import annotations

import report_cases

from reports.inputs import RunInfo
from reports.run_tables import compute

MODEL = report_cases.supported().model


def rows(run: RunInfo) -> dict[str, str]:
    return {str(name): str(value) for name, value in compute(MODEL, run).rows}


def test_planned_stands_beside_spent() -> None:
    run = RunInfo(
        jobs=40, jobs_this_run=12, gpu_hours=3.214, cpu_hours=0.05, gpu_hours_this_run=1.0, cpu_hours_this_run=0.01,
        planned_gpu_hours=3.0, planned_cpu_hours=0.02, max_rss_mb=9000.0, max_gpu_mb=61_234.5,
        device="cuda:0 (NVIDIA H200)",
    )  # fmt: skip
    assert rows(run) == {
        "budget": "7 GPU-hours",
        "planned, the likely price when each job was started": "3 GPU-hours, 1.2 CPU-minutes",
        "spent, all jobs behind the result": "3.21 GPU-hours, 3 CPU-minutes",
        "spent in this run": "1 GPU-hour, 36 CPU-seconds",
        "jobs": "40 behind the result, 12 computed in this run",
        "device": "cuda:0 (NVIDIA H200)",
        "largest job": "9,000 MB, 61,234 MB on the GPU",
    }


def test_what_is_missing_in_the_figures_is_said() -> None:
    found = rows(RunInfo(planned_gpu_hours=3.0, unpriced=2, resumed=1, over_budget="one more seed"))
    assert found["planned, the likely price when each job was started"] == "3 GPU-hours; 2 jobs without a price"
    assert found["not counted"] == "what 1 resumed job had spent when interrupted"
    assert found["run over the budget because"] == "one more seed"
    assert rows(RunInfo())["planned, the likely price when each job was started"] == "not priced"
