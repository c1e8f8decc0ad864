"""What the executor adds to a job on Ray and on this machine, side by side: ``python tests/bench/bench_ray.py``.

Jobs do nothing, so the time until their artifact is stored and verified is the executor's. ``first`` is the first job
of a process: on Ray it joins the cluster, and a worker is started; in both, what the lane needs is imported. ``warm``
is every later one, asked for one at a time. Rounds alternate between the two.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.extend(str(Path(__file__).parents[1] / name) for name in ("cluster", "faults", "toys"))

from ray_cluster import Nodes
from toy_jobs import toy

from harness.core.store import Store
from harness.execute.children import Options
from harness.execute.executor import Executor

HEAD = "lane   executor  first s  warm median s       quartiles    max  wide, a job"


def timed(executor: Executor, key: str) -> float:
    began = time.perf_counter()
    executor.obtain([key])
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=20, help="warm jobs a lane and executor")
    parser.add_argument("--wide", type=int, default=40, help="jobs that are asked for at once")
    asked = parser.parse_args()
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
    with tempfile.TemporaryDirectory() as folder, Nodes(Path(folder), [{"num_cpus": 1}, {"num_cpus": 1}]) as nodes:
        print(HEAD)
        for lane in ("light", "model"):
            compare(Path(folder) / lane, lane, nodes.address, asked.jobs, asked.wide)


def compare(folder: Path, lane: str, address: str, jobs: int, wide: int) -> None:
    """Print a row for each executor."""
    first, warm, many = {}, {}, {}
    plans = {name: [toy(f"{lane}-{name}-{i}", lane=lane) for i in range(1 + jobs + wide)] for name in ("local", "ray")}
    executors = {
        name: Executor(
            {job.key: job for job in plan}, Store(folder / name), "run",
            Options(entry="toy_jobs:run", cores=2, gpus=(), ray=address if name == "ray" else None),
        )
        for name, plan in plans.items()
    }  # fmt: skip
    for name, executor in executors.items():
        first[name] = timed(executor, plans[name][0].key)
        warm[name] = []
    for i in range(1, 1 + jobs):
        for name, executor in executors.items():
            warm[name].append(timed(executor, plans[name][i].key))
    for name, executor in executors.items():
        began = time.perf_counter()
        executor.obtain([job.key for job in plans[name][1 + jobs :]])
        many[name] = (time.perf_counter() - began) / wide
        executor.close()
    for name in executors:
        low, median, high = statistics.quantiles(warm[name], n=4)
        print(
            f"{lane:6} {name:8} {first[name]:8.2f} {median:14.3f} {f'{low:.3f}..{high:.3f}':>15} "
            f"{max(warm[name]):6.2f} {many[name]:12.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
