"""``prereg plan FILE --slurm DIR``: job arrays for a cluster with Slurm, written and not submitted."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from harness.core.errors import PreregError, Problem, Where

if TYPE_CHECKING:
    from harness.core.store import Store
    from harness.execute.slurm import Arrays
    from harness.plan.budget import Price
    from harness.plan.plan import Plan


def write_scripts(options: argparse.Namespace, plan: Plan, store: Store, found: tuple[Price, ...]) -> Iterator[str]:
    """Write the scripts of a plan's missing jobs; yield what is told about them.

    Args:
        options: of the command line.
        plan: the plan.
        store: where artifacts are looked for and will be stored.
        found: the prices of the missing jobs.

    Raises:
        PreregError: bad arguments, or what would stop the run; nothing is written then.
    """
    from harness.execute.slurm import ARRAY_LIMIT, arrays_of
    from harness.execute.slurm_files import Asked, options_of, write

    for name in ("slurm_throttle", "slurm_limit"):
        given = getattr(options, name)
        if given is not None and given < 1:
            raise PreregError(f"--{name.replace('_', '-')} {given}: at least 1 is needed")
    passed_on = options_of(options.slurm_options or "")
    reason = " ".join((options.over_budget or "").split())
    _refuse(options, plan, store, found, reason)
    minutes = {price.key: price.seconds.likely / 60 for price in found if price.seconds}
    jobs = {key: job.model_copy(update={"cost": minutes.get(key, 0.0)}) for key, job in plan.jobs.items()}
    high = {price.key: price.seconds.high if price.seconds else None for price in found}
    wanted = [price.key for price in found]
    planned = arrays_of(wanted, jobs, store.has, high, options.slurm_limit or ARRAY_LIMIT)
    noted: dict[str, object] = {"command": _command(options)}
    if reason:
        noted["over_budget"] = {plan.bound.id: reason}
    asked = Asked(
        name=plan.bound.id, folder=options.slurm.absolute(), store=store.where, report=_report(options, store),
        options=passed_on, throttle=options.slurm_throttle, noted=noted,
    )  # fmt: skip
    write(asked, planned)
    yield from _told(asked.folder, planned, plan)


def _refuse(options: argparse.Namespace, plan: Plan, store: Store, found: tuple[Price, ...], reason: str) -> None:
    """Refuse what a run by pytest would refuse: here nobody is asked again before the jobs run."""
    from harness.check.run import check, problem, refused
    from harness.plan.budget import bill, over_budget, refusal
    from harness.plan.preflight import preflight

    bound, file = plan.bound, str(options.file)
    problems = [problem(each, file) for each in refused(check(bound, deep=True, store=store.root))]
    problems += [Problem(Where(), what, hint="it can be planned but not run") for what in bound.missing]
    if not bound.missing:
        problems += preflight(bound, [plan.jobs[price.key] for price in found], store.root)
    cost, hours = bill(found), bound.budget_gpu_hours
    if hours is not None and over_budget(cost, hours) and not reason:
        problems.append(refusal(cost, hours, file))
    if problems:
        raise PreregError(problems)


def _report(options: argparse.Namespace, store: Store) -> list[str]:
    """The last step's arguments of pytest: it fails on errors only, a verdict is a result."""
    said = [str(options.file.absolute()), "--store", store.where, "--exit-on=errors"]
    if options.rehearse:
        said.append("--rehearse")
    if options.engine:
        said += ["--engine", options.engine]
    if options.fast:
        said.append("--fast")
    if options.data:
        said += ["--prereg-data", str(Path(options.data).absolute())]
    return said


def _command(options: argparse.Namespace) -> str:
    said = ["prereg", "plan", str(options.file), "--slurm", str(options.slurm)]
    return shlex.join([*said, "--rehearse"] if options.rehearse else said)


def _told(folder: Path, planned: Arrays, plan: Plan) -> Iterator[str]:
    count = sum(len(array.jobs) for array in planned.arrays)
    yield f"{plan.bound.id}: {count} jobs in {len(planned.arrays)} arrays, and the report, in {folder}"
    for array in planned.arrays:
        names = ", ".join(planned.arrays[number].name for number in array.after)
        limit = f"{array.minutes} min" if array.minutes is not None else "no time limit: unknown price"
        device = "GPU" if array.device == "cuda" else "CPU"
        after = f", after {names}" if names else ""
        yield f"  {array.name}.sh  {len(array.jobs)} x {device}, {limit}{after}"
    yield f"  report.sh  makes what needs no model ({len(planned.rest)} jobs) and writes the report"
    yield f"to submit them: {shlex.join([str(folder / 'submit.sh')])}"
