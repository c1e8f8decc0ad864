"""``prereg plan`` on the command line: the jobs of a prereg, which of them are stored, and what the others cost.

Exit codes are an interface: 0 listed, 2 unusable input or, with ``--strict``, a price over the registered budget.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.errors import PreregError
from harness.core.places import place

if TYPE_CHECKING:
    from harness.core.store import Store
    from harness.execute.schedule import Schedule
    from harness.plan.budget import Price
    from harness.plan.plan import Plan


def add(commands: Any) -> None:
    """Add the command to a parser's subcommands."""
    plan = commands.add_parser(
        "plan", help="list a prereg's jobs, which of them are stored, and what the others cost",
        description="List the jobs of a prereg and price those that are not stored: GPU-minutes (CPU-minutes of a "
        "rehearsal) and bytes, as recorded in the store or declared, each with its range. Runs and writes nothing.",
    )  # fmt: skip
    plan.add_argument("file", type=Path)
    plan.add_argument("--rehearse", action="store_true", help="plan the rehearsal")
    plan.add_argument("--engine", metavar="NAME", help="what samples: auto, transformers or vllm ($PREREG_ENGINE)")
    plan.add_argument("--gpus", type=int, metavar="N", help="print the schedule on N GPUs, and where more stop helping")
    plan.add_argument("--cores", type=int, metavar="N", help="cores of that schedule (default: one per GPU)")
    plan.add_argument("--fast", action="store_true", help="plan training as pytest --fast does")
    plan.add_argument("--strict", action="store_true", help="exit 2 when the likely price is over the budget")
    plan.add_argument("--json", action="store_true", help="print JSON")
    plan.add_argument("--slurm", type=Path, metavar="DIR", help="write job arrays for Slurm into a new folder")
    plan.add_argument(
        "--slurm-options",
        metavar="TEXT",
        help="options of every sbatch, after an equals sign: --slurm-options='--partition=gpu'",
    )
    plan.add_argument("--slurm-throttle", type=int, metavar="N", help="tasks of an array that run at once at most")
    plan.add_argument("--slurm-limit", type=int, metavar="N", help="tasks of an array at most (default: 1001)")
    plan.add_argument("--over-budget", metavar="REASON", help="with --slurm: why it may cost more than was registered")
    plan.add_argument("--data", type=Path, help="folder of recorded tables")
    plan.add_argument("--store", type=place)
    plan.set_defaults(run=_plan)


def _plan(options: argparse.Namespace) -> None:
    from harness.check.run import check, problem, refused
    from harness.compile.bind import load_bound
    from harness.compose import declare_kinds
    from harness.core.places import open_store
    from harness.core.settings import ENGINE, find
    from harness.plan.budget import bill, over_budget, prices, refusal
    from harness.plan.engine import VARIABLE, choice_of
    from harness.plan.learn import known
    from harness.plan.plan import make_plan

    _require_fitting(options)
    declare_kinds()
    said = options.engine or find([options.file]).setting(ENGINE)
    engine = choice_of(said, "--engine" if options.engine else VARIABLE if os.environ.get(VARIABLE) else ENGINE)
    data = Path(options.data) if options.data else None
    bound = load_bound(options.file, rehearsal=options.rehearse, data_root=data)
    plan = make_plan(bound, device="cpu" if options.rehearse else "cuda", engine=engine, fast=options.fast)
    store = open_store(options.store)
    stops = refused(check(bound, deep=True, store=store.root))
    measured = (key for keys in plan.measurements.values() for key in keys)  # items of their own, decide or not
    missing = plan.missing(store, [*plan.goals, *measured])
    found = prices(missing, plan.jobs, known(store)) if missing else ()
    if options.slurm is not None:
        from harness.cli_slurm import write_scripts

        for line in write_scripts(options, plan, store, found):
            print(line)
        return
    play = _player(options, plan, store, found)
    if options.json:
        told = _as_json(plan, store, found) | {"errors": [finding.model_dump(mode="json") for finding in stops]}
        print(json.dumps(told | {"schedule": _schedule_as_json(play(options.gpus))} if play else told))
    elif play:
        from harness.execute.timetable import timetable

        unpriced = sum(price.seconds is None for price in found)
        for line in timetable(play, options.gpus, unpriced):
            print(line)
    else:
        for line in _lines(plan, store, found):
            print(line)
    if stops and not options.json:
        print("it cannot run:")
        for finding in stops:
            print(problem(finding, str(options.file)))
    cost, hours = bill(found), bound.budget_gpu_hours
    if options.strict and hours is not None and over_budget(cost, hours):
        raise PreregError(refusal(cost, hours, str(options.file)))


def _require_fitting(options: argparse.Namespace) -> None:
    """Refuse options that need or exclude another one."""
    given = {name for name, value in vars(options).items() if value not in (None, False)}
    for name in ("slurm_options", "slurm_throttle", "slurm_limit", "over_budget"):
        if name in given and "slurm" not in given:
            raise PreregError(f"--{name.replace('_', '-')} belongs to --slurm DIR: give both")
    for name in ("gpus", "cores", "json", "strict"):
        if name in given and "slurm" in given:
            raise PreregError(f"--slurm DIR writes scripts and does nothing else: leave --{name} out")


def _player(
    options: argparse.Namespace, plan: Plan, store: Store, found: tuple[Price, ...]
) -> Callable[[int], Schedule] | None:
    """Return what plays a run through on so many GPUs, or None when no schedule is asked for."""
    if options.gpus is None:
        if options.cores is not None:
            raise PreregError("--cores belongs to the schedule of --gpus N: give both")
        return None
    for name in ("gpus", "cores"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            raise PreregError(f"--{name} {getattr(options, name)}: a schedule needs at least 1")
    if options.rehearse:
        raise PreregError("--gpus with --rehearse: a rehearsal runs on cores; leave one of them out")
    from harness.execute.schedule import schedule

    minutes = {price.key: price.seconds.likely / 60 for price in found if price.seconds}
    jobs = {key: job.model_copy(update={"cost": minutes.get(key, 0.0)}) for key, job in plan.jobs.items()}
    wanted = [*plan.measurements.values(), plan.goals]  # as the items of the prereg wait for them
    return lambda gpus: schedule(jobs, wanted, store.has, {"cuda": gpus, "cpu": options.cores or gpus})


def _schedule_as_json(found: Schedule) -> dict[str, object]:
    from harness.execute.timetable import as_json

    return as_json(found)


def _lines(plan: Plan, store: Store, found: tuple[Price, ...]) -> Iterator[str]:
    from harness.plan.engine import in_words
    from harness.plan.pricetag import table

    states = _states(plan, store, found)
    for job in plan.jobs.values():
        yield f"{states[job.key]:10}  {job.lane:5}  {job.key[:12]}  {job.label}"
    yield f"{plan.bound.id}: {len(found)} of {len(plan.jobs)} jobs to run in {store.where}"
    if engines := in_words(plan.jobs.values()):
        yield f"engines: {engines}"
    if found:
        yield from table(found, plan.bound.budget_gpu_hours)
    yield from plan.bound.missing


def _states(plan: Plan, store: Store, found: tuple[Price, ...]) -> dict[str, str]:
    missing = {price.key for price in found}
    return {
        key: "to run" if key in missing else "stored" if store.has(key) else "not needed" for key in plan.jobs
    }  # fmt: skip


def _as_json(plan: Plan, store: Store, found: tuple[Price, ...]) -> dict[str, Any]:
    from harness.plan.budget import bill, over_budget

    states, by_key = _states(plan, store, found), {price.key: price for price in found}
    total, hours = bill(found), plan.bound.budget_gpu_hours
    jobs = []
    for key, job in plan.jobs.items():
        told: dict[str, Any] = {"key": key, "label": job.label, "lane": job.lane, "state": states[key]}
        told |= {"engine": job.engine} if job.engine else {}
        if key in by_key:
            told |= {name: value for name, value in asdict(by_key[key]).items() if name not in told}
        jobs.append(told)
    return {
        "id": plan.bound.id, "store": store.where, "jobs": jobs, "total": asdict(total),
        "budget_gpu_hours": hours, "over_budget": over_budget(total, hours), "missing": list(plan.bound.missing),
    }  # fmt: skip
