"""From the store to a report: reads what stands behind a decision and hands it to ``reports``."""

from __future__ import annotations

import importlib
import json
import platform
import shlex
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.contracts.bound import Bound
    from harness.contracts.records import Job
    from harness.core.store import Store
    from harness.plan.plan import Plan
    from harness.plugin.registrations import Registration
    from harness.plugin.session import Session

_HOUR = 3600.0


def write_report(session: Session, registration: Registration) -> Path:
    """Write the report of a decided prereg and return the path of its ``clean_result.md``."""
    bound, plan, store = registration.bound, registration.plan, session.store
    model, render = importlib.import_module("reports.model"), importlib.import_module("reports.render")
    names = {each.name: estimate for each, estimate in _named(session, registration)}
    built = model.build(bound, session.decision(registration), names, _extras(bound, plan, store))
    out = session.options.out / (f"{bound.id}-rehearsal" if bound.rehearsal else bound.id)
    render.write(built, _run_info(session, registration, out), out, figures=session.options.figures)
    return out / "clean_result.md"


def _named(session: Session, registration: Registration) -> Iterator[tuple[Any, Any]]:
    from harness.contracts.trees import expression_id

    found = session.estimates(registration, registration.plan.estimates)
    for expression in registration.bound.expressions:
        if expression_id(expression.tree) in found:
            yield expression, found[expression_id(expression.tree)]


# --- what a report shows besides the decision: equal for equal results ---


def _extras(bound: Bound, plan: Plan, store: Store) -> Any:
    records = importlib.import_module("reports.records")
    samples, completions = _completions(bound, plan, store, records)
    return records.Extras(
        samples=samples,
        completions=completions,
        training=tuple(_training(plan, store, records)),
        artifacts=tuple(
            records.Artifact(label=job.label, key=job.key, kind=job.kind)
            for job in plan.jobs.values()
            if job.kind != "estimate" and store.has(job.key)
        ),
        replays=tuple(_replays(plan, store, records)),
    )


def _completions(bound: Bound, plan: Plan, store: Store, records: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Read every completion of the evals, and count them by measure and arm."""
    evals = [measure.name for measure in bound.measures if measure.family == "eval"]
    texts = {name: text for dim in bound.dims if dim.name == "question" for name, text in dim.texts.items()}
    samples, counts = [], []
    for name in evals:
        by_arm: dict[str, list[dict[str, Any]]] = {}
        for key, at in plan.tables[name]:
            rows = _parquet(store, key, "completions.parquet")
            by_arm.setdefault(at.get("arm", ""), []).extend(rows)
        for arm, rows in by_arm.items():
            samples += [_sample(records, name, arm, row, texts) for row in rows]
            counts.append(
                records.Completions(
                    measure=name, arm=arm, completions=len(rows), hits=sum(row["hit"] for row in rows),
                    truncated=sum(row["truncated"] for row in rows),
                )
            )  # fmt: skip
    return tuple(samples), tuple(counts)


def _sample(records: Any, measure: str, arm: str, row: Mapping[str, Any], texts: Mapping[str, str]) -> Any:
    return records.Sample(
        measure=measure, arm=arm, persona=row["persona"], question=row["question"],
        prompt=texts.get(row["question"], row["question"]), text=row["text"], hit=row["hit"],
        truncated=row["truncated"],
    )  # fmt: skip


def _training(plan: Plan, store: Store, records: Any) -> Iterator[Any]:
    """Read the logs of the training stages behind each table, once per arm, stage and point of the sweeps."""
    told: set[tuple[str, str]] = set()
    for uses in plan.tables.values():
        for table, at in uses:
            for job in _behind(plan, table):
                if (at.get("arm", ""), job.key) in told:
                    continue
                told.add((at.get("arm", ""), job.key))
                log = _json(store, job.key, "log.json")
                if log is not None:
                    fields = {name: log[name] for name in log if name in records.Training.model_fields}
                    stage = job.label.partition("]")[0].rpartition(".")[2]
                    yield records.Training(arm=at.get("arm", ""), stage=stage, at=_coordinates(job, at), **fields)


def _behind(plan: Plan, key: str) -> Iterator[Job]:
    """Yield the stages that a table stands on, first made first."""
    job = plan.jobs[key]
    for needed in job.inputs.values():
        yield from _behind(plan, needed)
    if job.kind.startswith("stage/"):
        yield job


def _coordinates(job: Job, at: Mapping[str, str]) -> dict[str, str]:
    """Return the levels that a stage's label names, and its seed."""
    return {dim: level for dim, level in at.items() if dim == "seed" or f"[{dim}={level}]" in job.label}


def _replays(plan: Plan, store: Store, records: Any) -> Iterator[Any]:
    replay = _json(store, plan.replay, "replay.json") if plan.replay else None
    for case in replay["cases"] if replay else ():
        expected = case["name"]
        returned = case["triage"] if expected.startswith("triage: ") else case["verdict"]
        if not case["reached"]:
            returned = f"not reached (nearest: {returned})"
        yield records.Replay(name="made-up table", expected=expected, returned=returned)
    null = _json(store, plan.null, "null.json") if plan.null else None
    if null:
        expected = f"no effect: arm {null['arm']} against itself, sampled twice"
        yield records.Replay(name="true null", expected=expected, returned=null["decision"]["verdict"])


# --- what is true of this run only ---


def _run_info(session: Session, registration: Registration, out: Path) -> Any:
    records = importlib.import_module("reports.records")
    plan, store = registration.plan, session.store
    made = [(job, _made(store, job.key)) for job in plan.jobs.values() if store.has(job.key)]
    now = [(job, how) for job, how in made if how.get("when", "") >= session.started]
    versions = {name: text for _, how in made for name, text in how.get("versions", {}).items()}
    return records.RunInfo(
        started=session.started,
        finished=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        host=socket.gethostname(),
        device=", ".join(sorted({str(how.get("device", "")) for job, how in made if job.lane == "model"})),
        command=shlex.join(["pytest", *sys.argv[1:]]),
        versions={"python": platform.python_version(), **dict(sorted(versions.items()))},
        paths={"prereg": str(registration.path), "store": str(store.root), "report": str(out)},
        jobs=len(made),
        jobs_this_run=len(now),
        cpu_hours=_hours(made, "cpu_s"),
        gpu_hours=_hours(made, "wall_s", on="cuda"),
        cpu_hours_this_run=_hours(now, "cpu_s"),
        gpu_hours_this_run=_hours(now, "wall_s", on="cuda"),
        max_rss_mb=max((float(how["max_rss_mb"]) for _, how in made if "max_rss_mb" in how), default=None),
    )


def _hours(made: Iterable[tuple[Job, Mapping[str, Any]]], what: str, on: str = "") -> float:
    return sum(float(how.get(what, 0.0)) for job, how in made if not on or job.device == on) / _HOUR


def _made(store: Store, key: str) -> Mapping[str, Any]:
    """Return how an artifact came about, without reading its files again."""
    from harness.core.manifest import MANIFEST

    made: Mapping[str, Any] = json.loads((store.path(key) / MANIFEST).read_bytes())["made"]
    return made


def _json(store: Store, key: str, name: str) -> Any:
    """Read one JSON file of a stored artifact, or None where there is none. Weights beside it are not digested."""
    path = store.path(key) / name
    return json.loads(path.read_bytes()) if store.has(key) and path.is_file() else None


def _parquet(store: Store, key: str, name: str) -> list[dict[str, Any]]:
    if not store.has(key) or not (store.path(key) / name).is_file():
        return []
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(store.open(key) / name).to_pylist()
    return rows
