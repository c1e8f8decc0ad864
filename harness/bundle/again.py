"""Recomputing one arm of a bundle: trained, sampled and read again here, and compared with what is recorded.

Unlike a replay this needs the model libraries, and base models and finetuning data where the arm is trained on them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.bundle.contents import Contents
from harness.bundle.replay import copy_artifact, planned
from harness.core.errors import PreregError
from harness.core.registry import did_you_mean
from harness.core.store import Store
from harness.execute.executor import Event, Executor, new_run_id
from harness.plan.plan import Plan, make_plan
from harness.plan.preflight import preflight


@dataclass(frozen=True)
class Again:
    """One table that was made again. ``largest`` is the largest difference of a number by column; empty when equal."""

    label: str
    equal: bool
    largest: dict[str, float]


@dataclass(frozen=True)
class Recomputed:
    """What came of an arm. ``same_engine`` says whether the libraries are those that the bundle was made with."""

    contents: Contents
    arm: str
    same_engine: bool
    tables: tuple[Again, ...]

    @property
    def holds(self) -> bool:
        """Whether every table came out byte for byte as recorded."""
        return all(table.equal for table in self.tables)


def recompute(folder: Path, store: Store, arm: str, on_event: Callable[[Event], None] | None = None) -> Recomputed:
    """Compute one arm's measurements of an imported bundle in a fresh store. Kinds must have been declared.

    Raises:
        PreregError: there is no such arm, or something stands in the way of computing it.
        JobError: a job failed.
    """
    contents, bound, recorded = planned(folder)
    if arm not in (names := [each.name for each in bound.arms]):
        hint = did_you_mean(arm, names)
        raise PreregError(f"there is no arm '{arm}'; the arms are {', '.join(names) or 'none'}. {hint}".strip())
    here = make_plan(bound, device=contents.device, engine=contents.engine, fast=contents.fast)
    wanted = _tables(here, arm)
    with tempfile.TemporaryDirectory() as temporary:
        fresh = Store(Path(temporary) / "store")
        for key, job in here.jobs.items():
            if job.kind.startswith("model/") and store.has(key):
                fresh.put(job, copy_artifact(store.open(key)))
        if problems := preflight(bound, here.missing(fresh, wanted), fresh.root):
            raise PreregError(problems)
        with Executor(here.jobs, fresh, new_run_id(), on_event=on_event) as executor:
            executor.obtain(wanted)
        tables = tuple(
            _compared(here.jobs[new].label, store, old, fresh, new)
            for new, old in zip(wanted, _tables(recorded, arm), strict=True)
        )
    return Recomputed(contents, arm, _tables(recorded, arm) == wanted, tables)


def _tables(plan: Plan, arm: str) -> list[str]:
    return [key for uses in plan.tables.values() for key, at in uses if at.get("arm") == arm]


def _compared(label: str, store: Store, old: str, fresh: Store, new: str) -> Again:
    if store.peek(old).files == fresh.peek(new).files:
        return Again(label, True, {})
    return Again(label, False, _largest(store.open(old), fresh.open(new)))


def _largest(old: Path, new: Path) -> dict[str, float]:
    """Return the largest difference by column; rows are matched by their labels, in which order they may come."""
    import pyarrow.parquet as pq

    one, other = (_rows(pq.read_table(folder / "table.parquet").to_pylist()) for folder in (old, new))
    found: dict[str, float] = {}
    for place, row in one.items():
        for column, value in row.items():
            twin = other.get(place, {}).get(column)
            apart = abs(value - twin) if twin is not None else float("inf")
            found[column] = max(found.get(column, 0.0), apart)
    return {column: apart for column, apart in found.items() if apart}


def _rows(rows: list[dict[str, Any]]) -> dict[tuple[str, ...], dict[str, float]]:
    numbers = (int, float)
    return {
        tuple(f"{name}={value}" for name, value in row.items() if not isinstance(value, numbers)): {
            name: float(value) for name, value in row.items() if isinstance(value, numbers)
        }
        for row in rows
    }
