"""Keep a report up to date, and know that it is without building it.

A report is a pure function of the registration, the decision, what is stored of its plan and this program. A digest of
all that is kept beside it: while it holds, only ``run.json`` is written again. Building the result, its completions and
its page was most of what a cached run took.
"""

from __future__ import annotations

import hashlib
import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from harness.contracts.bound import Bound
from harness.contracts.records import Decision
from harness.core.ident import key_digest
from harness.core.store import Store
from harness.plan.plan import Plan
from reports import run_file

if TYPE_CHECKING:
    from reports.records import RunInfo

READ = {"estimate.json", "completions.parquet", "log.json", "breakdown.json", "replay.json", "null.json"}
"""The files of artifacts that a report reads, whatever the kind of their job."""


def keep_up(
    bound: Bound, plan: Plan, store: Store, decision: Decision, run: RunInfo, out: Path, *, figures: bool
) -> None:
    """Write the report of a decision from the store into ``out``, unless it is there already.

    Every byte that a report reads is verified, whether or not the report has to be written again.

    Raises:
        DamagedError: an artifact is not what was stored; it is in quarantine now, and nothing was written.
        PreregError: see :func:`reports.render.write`.
    """
    made_of = basis(bound, plan, store, decision, figures=figures)
    if not run_file.refreshed(run, out, made_of):
        write_up = importlib.import_module("reports.extras").write_up  # with all that reports are written with
        write_up(bound, plan, store, decision, run, out, figures=figures, basis=made_of)


def prepare(*, figures: bool) -> None:
    """Import what :func:`keep_up` writes a report anew with, ahead of time."""
    render, page, _ = (importlib.import_module(f"reports.{name}") for name in ("render", "html.page", "extras"))
    for library in ("pyarrow.parquet", "scipy.special"):
        importlib.import_module(library)
    page.template()
    for name in (render.CLEAN_RESULT, render.SUMMARY):
        render.environment().get_template(name)
    if figures:
        importlib.import_module("reports.figures").prepare()


def basis(bound: Bound, plan: Plan, store: Store, decision: Decision, *, figures: bool) -> str:
    """Return a digest of everything that a report is made of, but for what an earlier one left in its folder.

    Raises:
        DamagedError: an artifact is not what was stored; it is in quarantine now.
    """
    simulated = store.root / "simulations" / f"{bound.meaning}.json"
    return key_digest(
        {
            "program": list(_program()),
            "bound": bound.model_dump(mode="json"),
            "decision": decision.model_dump(mode="json"),
            "stored": {key: dict(_read(store, key)) for key in plan.jobs if store.has(key)},
            "simulated": hashlib.sha256(simulated.read_bytes()).hexdigest() if simulated.is_file() else "",
            "figures": figures,
        }
    )


def _read(store: Store, key: str) -> Iterator[tuple[str, str]]:
    """Yield the digests of the files that a report reads of an artifact, each verified."""
    for name in sorted(store.peek(key).files.keys() & READ):
        data = store.read_file(key, name)
        if data is not None:
            yield name, hashlib.sha256(data).hexdigest()


def _program() -> Iterator[str]:
    """Yield name, size and time of every file of this program: another version may say the same thing otherwise."""
    top = Path(__file__).parents[1]
    for package in ("harness", "reports"):
        for folder, folders, files in os.walk(top / package):
            folders[:] = sorted(name for name in folders if name != "__pycache__")
            for name in sorted(files):
                found = os.stat(f"{folder}{os.sep}{name}")  # noqa: PTH116 (some 350 files in every run)
                yield f"{name} {found.st_size} {found.st_mtime_ns}"
