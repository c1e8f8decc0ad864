"""From the store to a report: what is shown besides the decision, equal for equal results.

Every byte is verified as it is read, and nothing here depends on what else happens to be stored: an artifact behind
the result is listed whether or not its files have been cleared away since.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.contracts.analyses import Breakdown
from harness.contracts.bound import Bound
from harness.contracts.records import Decision, Estimate, Job
from harness.contracts.trees import expression_id
from harness.core.store import Store
from harness.plan.engine import FAST, LIBRARIES, named
from harness.plan.plan import Plan
from reports import model, records, render
from reports.figure_data import stored_operating
from reports.html.completions import browser


def write_up(
    bound: Bound, plan: Plan, store: Store, decision: Decision, run: records.RunInfo, out: Path, *, figures: bool,
    basis: str = "",
) -> None:  # fmt: skip
    """Write the report of a decision from the store into ``out``; ``basis`` is a digest of what it is made of.

    Whoever writes or rewrites a report comes through here, so that the same results give the same bytes.

    Raises:
        DamagedError: an artifact is not what was stored; it is in quarantine now, and nothing was written.
        PreregError: see :func:`reports.render.write`.
    """
    found = extras(bound, plan, store)
    built = model.build(bound, decision, estimates(bound, plan, store), found)
    render.write(built, run, out, figures=figures, completions=lambda: browser(bound, found), basis=basis)


def modelled(bound: Bound, plan: Plan, store: Store, decision: Decision) -> records.ReportModel:
    """Return what the report of a decision says, without writing it; raises as :func:`write_up`."""
    return model.build(bound, decision, estimates(bound, plan, store), extras(bound, plan, store))


def estimates(bound: Bound, plan: Plan, store: Store) -> dict[str, Estimate]:
    """Return the stored estimates by the name of their expression, in the order of the registration.

    Raises:
        DamagedError: one is not what was stored; it is in quarantine now.
    """
    found = {}
    for expression in bound.expressions:
        key = plan.estimates.get(expression_id(expression.tree))
        if key is not None and store.has(key):
            found[expression.name] = Estimate.model_validate(_json(store, key, "estimate.json"))
    return found


def extras(bound: Bound, plan: Plan, store: Store) -> records.Extras:
    """Return what a report shows besides the decision.

    Raises:
        DamagedError: an artifact is not what was stored; it is in quarantine now.
    """
    samples, completions = _completions(bound, plan, store)
    return records.Extras(
        samples=samples,
        completions=completions,
        training=tuple(_training(plan, store)),
        artifacts=tuple(_artifacts(plan, store)),
        replays=tuple(_replays(plan, store)),
        operating=stored_operating(store.root, bound.meaning),
        breakdowns=tuple(_breakdowns(plan, store)),
        engines=tuple(_engines(plan)),
    )


def _engines(plan: Plan) -> Iterator[tuple[str, ...]]:
    """Say what each kind of work with models was planned for; it stands in the keys of what was made."""
    rows: dict[tuple[str, ...], None] = {}
    for job in plan.jobs.values():
        engine = job.engine
        for port, work in (("sampler", "samples"), ("trainer", "trains"), ("reader", "reads")):
            if not any(name.split(".")[1:2] == [port] for name in engine if name.startswith("port.")):
                continue
            library = engine["engine"] if port == "sampler" else "transformers"
            beside = ", ".join(named(engine, name) for name in LIBRARIES if name != library)
            fast = ", --fast" if port == "trainer" and FAST in engine else ""
            rows[work, named(engine, library), engine["device"], engine["dtype"] + fast, beside] = None
    yield from sorted(rows)


def _artifacts(plan: Plan, store: Store) -> Iterator[records.Artifact]:
    """List everything that the decision stands on but its estimates, which the report has by name."""
    behind = set(plan.behind(*plan.goals))
    listed = {
        key: job for key, job in plan.jobs.items() if job.kind != "estimate" and (key in behind or store.has(key))
    }
    for key, job in listed.items():
        made_from = tuple(dict.fromkeys(_listed_inputs(job, plan, listed)))
        yield records.Artifact(label=job.label, key=key, kind=job.kind, inputs=made_from)


def _listed_inputs(job: Job, plan: Plan, listed: Mapping[str, Job]) -> Iterator[str]:
    """Yield the listed artifacts that a job was made from, those behind its estimates included."""
    for needed in job.inputs.values():
        if needed in listed:
            yield needed
        else:
            yield from _listed_inputs(plan.jobs[needed], plan, listed)


def _completions(
    bound: Bound, plan: Plan, store: Store
) -> tuple[tuple[records.Sample, ...], tuple[records.Completions, ...]]:
    """Read every completion of the evals, and count them by measure and arm."""
    evals = [measure.name for measure in bound.measures if measure.family == "eval"]
    texts = {name: text for dim in bound.dims if dim.name == "question" for name, text in dim.texts.items()}
    samples, counts = [], []
    for name in evals:
        by_arm: dict[str, list[dict[str, Any]]] = {}
        for key, at in plan.tables[name]:
            where = {dim: level for dim, level in at.items() if dim != "arm"}
            rows = [{**row, "at": where} for row in _parquet(store, key, "completions.parquet")]
            by_arm.setdefault(at.get("arm", ""), []).extend(rows)
        for arm, rows in by_arm.items():
            samples += [_sample(name, arm, row, texts) for row in rows]
            counts.append(
                records.Completions(
                    measure=name, arm=arm, completions=len(rows), hits=sum(row["hit"] for row in rows),
                    truncated=sum(row["truncated"] for row in rows),
                )
            )  # fmt: skip
    return tuple(samples), tuple(counts)


def _sample(measure: str, arm: str, row: Mapping[str, Any], texts: Mapping[str, str]) -> records.Sample:
    return records.Sample(
        measure=measure, arm=arm, persona=row["persona"], question=row["question"],
        prompt=texts.get(row["question"], row["question"]), text=row["text"], hit=row["hit"],
        truncated=row["truncated"], at=row["at"], k=row["k"],
    )  # fmt: skip


def _training(plan: Plan, store: Store) -> Iterator[records.Training]:
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


def _breakdowns(plan: Plan, store: Store) -> Iterator[Breakdown]:
    """Read the analyses that stand beside the registered numbers."""
    for key in plan.breakdowns:
        found = _json(store, key, "breakdown.json")
        if found is not None:
            yield Breakdown.model_validate(found)


def _replays(plan: Plan, store: Store) -> Iterator[records.Replay]:
    replay = _json(store, plan.replay, "replay.json") if plan.replay else None
    for case in replay["cases"] if replay else ():
        expected = case["name"]
        returned = case["triage"] if expected.startswith("triage: ") else case["verdict"]
        if not case["reached"]:
            returned = f"not reached (nearest: {returned})"
        yield records.Replay(name="made-up table", expected=expected, returned=returned)
    null = _json(store, plan.null, "null.json") if plan.null else None
    if null:
        name = f"true null: arm {null['arm']} against itself, sampled twice"
        yield records.Replay(name=name, expected="anything but supported", returned=null["decision"]["verdict"])


def _json(store: Store, key: str, name: str) -> Any:
    """Read one JSON file of a stored artifact, or None where there is none. Weights beside it are not digested."""
    raw = store.read_file(key, name) if store.has(key) else None
    return None if raw is None else json.loads(raw)


def _parquet(store: Store, key: str, name: str) -> list[dict[str, Any]]:
    raw = store.read_file(key, name) if store.has(key) else None
    if raw is None:
        return []
    import pyarrow.parquet as pq

    # Not read_table: that imports pyarrow's datasets and, with them, pandas.
    rows: list[dict[str, Any]] = pq.ParquetFile(io.BytesIO(raw)).read().to_pylist()
    return rows
