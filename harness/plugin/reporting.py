"""From the store to a report: reads what stands behind a decision and hands it to ``reports``."""

from __future__ import annotations

import contextlib
import importlib
import platform
import socket
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.contracts.records import Job
    from harness.plugin.registrations import Registration
    from harness.plugin.session import Session

_HOUR = 3600.0
_SPOILT = 3
"""So many times may something turn out damaged while a report is written."""


def write_report(session: Session, registration: Registration) -> Path:
    """Write the report of a decided prereg and return the path of its ``clean_result.md``.

    What was damaged is made again first, where it may be: a report never leaves out what a bad disk took.
    """
    from harness.core.store import DamagedError

    for _ in range(_SPOILT):
        _heal(session, registration)
        try:
            return _written(session, registration)
        except DamagedError as error:
            damaged = error
    raise damaged


def prepare(*, figures: bool) -> None:
    """Import what reports are written with while this process only waits for jobs: the end takes a second less."""
    with contextlib.suppress(Exception):  # no job fails for it; whoever writes a report will be told
        importlib.import_module("reports.upkeep").prepare(figures=figures)


def _heal(session: Session, registration: Registration) -> None:
    """Make again what was damaged, and what the verdict stands on where that needs no model.

    Models are made only in runs that were asked to.
    """
    plan, store = registration.plan, session.store
    damaged, may_train = store.quarantined(), session.options.rehearse or session.options.gpu

    def makes(key: str) -> bool:
        if store.has(key):
            return False
        light = key in behind and all(job.lane == "light" for job in plan.missing(store, [key]))
        return light or (key in damaged and may_train)

    behind = set(plan.behind(plan.verdict))
    wanted = [key for key in plan.jobs if makes(key)]
    if wanted:
        session.executor.obtain(wanted)


def left_out(session: Session, registration: Registration) -> list[str]:
    """Return the stages behind the verdict that are not stored any more: their training logs are in no report."""
    plan, store = registration.plan, session.store
    jobs = (plan.jobs[key] for key in plan.behind(plan.verdict))
    return [job.label for job in jobs if job.kind.startswith("stage/") and not store.has(job.key)]


def _written(session: Session, registration: Registration) -> Path:
    bound, store, upkeep = registration.bound, session.store, importlib.import_module("reports.upkeep")
    out = session.report_folder(registration)
    decision = session.decision(registration)
    run = _run_info(session, registration, out)
    upkeep.keep_up(bound, registration.plan, store, decision, run, out, figures=session.options.figures)
    return out / "clean_result.md"


# --- what is true of this run only ---


def _run_info(session: Session, registration: Registration, out: Path) -> Any:
    records = importlib.import_module("reports.records")
    from harness.plan.engine import FAST

    plan, store, bound_id = registration.plan, session.store, registration.bound.id
    manifests = store.glance(plan.jobs)
    made = [(plan.jobs[key], manifest.made) for key, manifest in manifests.items()]
    planned = [(plan.jobs[key], float(manifest.job.get("cost") or 0.0)) for key, manifest in manifests.items()]
    now = [(job, how) for job, how in made if how.get("run") == session.run_id]
    versions = {name: text for _, how in made for name, text in how.get("versions", {}).items()}
    return records.RunInfo(
        started=session.started,
        finished=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        host=socket.gethostname(),
        device=", ".join(sorted({_device(how) for job, how in made if job.lane == "model"})),
        command=session.options.command,
        versions={"python": platform.python_version(), **dict(sorted(versions.items()))},
        paths={"prereg": str(registration.path), "store": store.where, "report": str(out)},
        jobs=len(made),
        jobs_this_run=len(now),
        cpu_hours=_hours(made, "cpu_s"),
        gpu_hours=_hours(made, "wall_s", on="cuda"),
        cpu_hours_this_run=_hours(now, "cpu_s"),
        gpu_hours_this_run=_hours(now, "wall_s", on="cuda"),
        max_rss_mb=_most(made, "max_rss_mb"),
        max_gpu_mb=_most(made, "max_gpu_mb"),
        planned_gpu_hours=_planned(planned, "cuda"),
        planned_cpu_hours=_planned(planned, "cpu"),
        fast=sum(FAST in job.engine for job, _ in made),
        resumed=sum(bool(how.get("resumed")) for _, how in made),
        unpriced=sum(not minutes for _, minutes in planned),
        over_budget="; ".join(dict.fromkeys(_reasons(bound_id, made))),
    )


def _device(how: Mapping[str, Any]) -> str:
    gpu = f" ({how['gpu']})" if how.get("gpu") else ""
    return f"{how.get('device', '')}{gpu}"


def _most(made: Iterable[tuple[Job, Mapping[str, Any]]], what: str) -> float | None:
    return max((float(how[what]) for _, how in made if what in how), default=None)


def _planned(priced: Iterable[tuple[Job, float]], on: str) -> float | None:
    """Return the likely hours that the jobs of a device had as their price when they were started."""
    minutes = [cost for job, cost in priced if job.device == on and cost]
    return sum(minutes) / 60 if minutes else None


def _reasons(bound_id: str, made: Iterable[tuple[Job, Mapping[str, Any]]]) -> Iterator[str]:
    """Yield why jobs of this prereg were run over its budget, each time that it was said."""
    for _, how in made:
        if reason := how.get("over_budget", {}).get(bound_id):
            yield str(reason)


def _hours(made: Iterable[tuple[Job, Mapping[str, Any]]], what: str, on: str = "") -> float:
    return sum(float(how.get(what, 0.0)) for job, how in made if not on or job.device == on) / _HOUR
