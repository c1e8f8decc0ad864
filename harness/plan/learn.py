"""What artifacts took to make: written down where they are stored, and read where the next ones are priced."""

from __future__ import annotations

import heapq
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.contracts.records import Job
from harness.core import costs
from harness.core.costs import Cost, Ledger
from harness.core.manifest import MANIFEST
from harness.core.store import Store
from harness.plan.declared import EMBEDDED
from harness.plan.work import work_of

NEWEST = 1000
"""So many manifests are read when there is no ledger; more artifacts would not make costs better known."""
_STRANGE = (OSError, ValueError, KeyError, TypeError, AttributeError)
"""What reading something that an older version of the harness wrote may raise."""

Find = Callable[[str], Job | None]
"""Returns the job of a key, or None."""


def base_of(job: Job, find: Find) -> str | None:
    """Return the name of the base model that a job works on, "" without a model, None when it cannot be told."""
    if job.kind == "model/embedded":
        return EMBEDDED
    if job.lane == "light":
        return ""
    source = job.params.get("model")
    if source:
        return str(source["hf"] or Path(source["path"]).name) or None
    behind = find(job.inputs["base"]) if "base" in job.inputs else None
    return base_of(behind, find) if behind is not None else None


def note(store: Store, job: Job, made: Mapping[str, Any]) -> None:
    """Write down what a job took that was stored just now. Whatever goes wrong: the artifact is what counts."""
    with suppress(*_STRANGE):
        cost = _cost(job, made, _bytes(store.path(job.key)), lambda key: _job(store.path(key)))
        if cost is not None:
            costs.append(store.root, cost)


def known(store: Store) -> Ledger:
    """Return what is known of costs: the ledger's, and where it is absent or damaged, those of manifests too.

    Writes nothing.
    """
    ledger = costs.read(store.root)
    if ledger is not None and not ledger.damaged:
        return ledger
    return Ledger(tuple(_from_manifests(store)), damaged=ledger is not None)


def mend(store: Store) -> None:
    """Write the ledger anew where it is absent, damaged, or too long."""
    ledger = costs.read(store.root)
    if ledger is None or ledger.damaged or costs.too_long(store.root):
        costs.write(store.root, known(store).costs)


def _cost(job: Job, made: Mapping[str, Any], stored: int, find: Find) -> Cost | None:
    work, base = work_of(job), base_of(job, find)
    seconds = float(made["wall_s"] if job.device == "cuda" else made.get("cpu_s", made["wall_s"]))
    if work is None or base is None or work.amount <= 0 or made.get("resumed"):  # a part of what it took
        return None
    return Cost(
        key=job.key, kind=job.kind, device=job.device, engine=job.engine.get("engine", ""), base=base,
        gpu=str(made.get("gpu", "")), unit=work.unit, amount=float(work.amount), seconds=seconds,
        size_unit=work.size_unit, size=float(work.size), stored=stored,
    )  # fmt: skip


def _from_manifests(store: Store) -> Iterator[Cost]:
    """Yield the costs of the newest artifacts, oldest first."""
    for _, folder in sorted(heapq.nlargest(NEWEST, _artifacts(store.root / "objects"))):
        with suppress(*_STRANGE):
            content = json.loads((Path(folder) / MANIFEST).read_bytes())
            job = Job.model_validate(content["job"])
            stored = sum(file["bytes"] for file in content["files"].values())
            cost = _cost(job, content["made"], stored, lambda key: _job(store.path(key)))
            if cost is not None:
                yield cost


def _artifacts(objects: Path) -> Iterator[tuple[float, str]]:
    """Yield when each artifact was stored, and its folder."""
    for group in _entries(objects):
        for entry in _entries(Path(group.path)):
            with suppress(OSError):
                yield entry.stat().st_mtime, entry.path


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:
        return []


def _job(folder: Path) -> Job | None:
    """Read the job of an artifact without verifying the artifact."""
    try:
        return Job.model_validate(json.loads((folder / MANIFEST).read_bytes())["job"])
    except _STRANGE:
        return None


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
