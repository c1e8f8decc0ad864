"""The graph of issue 310 with three seeds, its prices, and the same graph made of toy jobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.compile.bind import load_bound
from harness.compose import declare_kinds
from harness.contracts.records import Job
from harness.core.costs import Ledger
from harness.plan.budget import prices
from harness.plan.plan import make_plan

WEIGHTS = "[0.5, 1.0, 2.0]"
PREREGS = Path(__file__).parents[2] / "preregs"


@dataclass(frozen=True)
class Work:
    """Jobs by key with their prices as costs (minutes), and the groups of keys that a run waits for in turn."""

    jobs: Mapping[str, Job]
    wanted: Sequence[Sequence[str]]


def write_310(folder: Path, seeds: str = "[42, 137, 256]", weights: str = WEIGHTS) -> Path:
    """Write issue 310 with its three arms and other seeds and weights."""
    text = (PREREGS / "issue_310.yaml").read_text(encoding="utf-8").replace("banks/", f"{PREREGS}/banks/")
    for old, new in (("seed: [42]", f"seed: {seeds}"), (WEIGHTS, weights), ("id: issue_310", "id: issue_310_seeds")):
        assert text.count(old) == 1
        text = text.replace(old, new)
    path = folder / "issue_310_seeds.yaml"
    path.write_text(text)
    return path


def work_of_310(folder: Path, seeds: str = "[42, 137, 256]", weights: str = WEIGHTS) -> Work:
    """Return the jobs of issue 310 on CUDA at their declared prices."""
    declare_kinds()
    plan = make_plan(load_bound(write_310(folder, seeds, weights)), device="cuda")
    found = prices(plan.jobs.values(), plan.jobs, Ledger())
    minutes = {price.key: price.seconds.likely / 60 for price in found if price.seconds}
    assert len(minutes) == len(plan.jobs), "each job of issue 310 has a declared price"
    jobs = {key: job.model_copy(update={"cost": minutes[key]}) for key, job in plan.jobs.items()}
    return Work(jobs, [*plan.measurements.values(), plan.goals])


def toys_of(work: Work, steps: Callable[[int, Job], dict[str, Any]]) -> Work:
    """Return a graph of the same shape, devices and costs whose jobs take the ``steps`` of a toy job."""
    from toy_jobs import toy

    made: dict[str, Job] = {}
    for number, (key, job) in enumerate(work.jobs.items()):
        needs = {role: made[needed] for role, needed in job.inputs.items()}
        one = toy(f"{number} {job.label}", needs, lane=job.lane, **steps(number, job))
        made[key] = one.model_copy(update={"device": job.device, "cost": job.cost})
    wanted = [[made[key].key for key in group] for group in work.wanted]
    return Work({job.key: job for job in made.values()}, wanted)
