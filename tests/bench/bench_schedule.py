"""Issue 310 with three seeds on simulated GPUs: the schedule by price, and the real executor with sleeping jobs.

OMP_NUM_THREADS=1 python tests/bench/bench_schedule.py [--gpus 4] [--second-per-minute 0.3] [--json]

The jobs have the shape, devices and prices of issue 310 with seeds 42, 137 and 256 (3 arms x 3 weights x 3 seeds),
hold a GPU's slot without touching CUDA, and sleep in proportion to their price. What the executor itself costs
(starting a process for each job, above all) is in the measured makespan and not in the simulated one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
for folder in ("unit", "toys"):
    sys.path.insert(0, str(ROOT / "tests" / folder))


def measure(gpus: int, scale: float, folder: Path) -> dict[str, Any]:
    """Run the toys; return seconds: simulated and measured makespans, and what a job cost beyond its sleep."""
    import scheduling

    from harness.core.store import Store
    from harness.execute.children import Options
    from harness.execute.executor import Event, Executor
    from harness.execute.schedule import schedule

    os.environ["PREREG_LEASES"] = str(folder / "leases")
    work = scheduling.toys_of(
        scheduling.work_of_310(folder), lambda number, job: {"sleep": job.cost * scale, "number": number}
    )
    plan = schedule(work.jobs, work.wanted, lambda key: False, {"cuda": gpus, "cpu": gpus})
    spent: dict[str, float] = {}
    order: list[str] = []

    def hear(event: Event) -> None:
        if event.what == "started":
            order.append(event.key)
        elif event.what == "finished":
            spent[event.key] = event.seconds

    options = Options(
        entry="toy_jobs:run",
        cores=gpus,
        gpus=[str(gpu) for gpu in range(gpus)],
        preload={"light": (), "model": ()},
        resident=(),  # else jobs whose model is loaded go first, whatever their price
    )
    with Executor(work.jobs, Store(folder / "store"), "bench", options, on_event=hear) as executor:
        executor.expect(key for group in work.wanted for key in group)
        began = time.monotonic()
        for group in work.wanted:
            executor.obtain(group)
        makespan = time.monotonic() - began
    on_gpu = [span.job for span in plan.spans if span.job.device == "cuda"]
    extra = sum(spent[job.key] - job.cost * scale for job in on_gpu) / len(on_gpu)
    later = {key: job.model_copy(update={"cost": job.cost + extra / scale}) for key, job in work.jobs.items()}
    slowed = schedule(later, work.wanted, lambda key: False, {"cuda": gpus, "cpu": gpus})
    planned = [span.job.key for span in plan.spans if span.job.device == "cuda"]
    told = [key for key in order if work.jobs[key].device == "cuda"]
    return {
        "gpus": gpus, "gpu_jobs": len(on_gpu), "second_per_minute": scale,
        "simulated_s": plan.makespan * scale, "simulated_with_overhead_s": slowed.makespan * scale,
        "lower_bound_s": plan.lower_bound * scale, "measured_s": makespan,
        "efficiency_simulated": plan.efficiency, "efficiency_measured": plan.lower_bound * scale / makespan,
        "overhead_per_gpu_job_s": extra, "load_per_core": os.getloadavg()[0] / (os.cpu_count() or 1),
        "moved_by_more_than_gpus": sum(abs(told.index(key) - at) > gpus for at, key in enumerate(planned)),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gpus", type=int, default=4)
    parser.add_argument("--second-per-minute", type=float, default=0.3, help="seconds of sleep for a minute of price")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(options.gpus, options.second_per_minute, Path(folder))
    if options.json:
        print(json.dumps(found))
        return
    print(
        f"issue 310, three seeds: {found['gpu_jobs']} GPU jobs on {found['gpus']} simulated GPUs, one minute of price "
        f"is {found['second_per_minute']:g} s of sleep"
    )
    print("            makespan   lower bound / makespan")
    print(f"simulated  {found['simulated_s']:7.1f} s  {found['efficiency_simulated']:8.1%}")
    print(f"  with the overhead below {found['simulated_with_overhead_s']:7.1f} s")
    print(f"measured   {found['measured_s']:7.1f} s  {found['efficiency_measured']:8.1%}")
    print(
        f"beyond its sleep a GPU job took {found['overhead_per_gpu_job_s']:.2f} s (a process of its own); "
        f"{found['moved_by_more_than_gpus']} jobs were started more than {found['gpus']} places from their planned "
        f"one; load per core {found['load_per_core']:.1f}"
    )


if __name__ == "__main__":
    main()
