"""Packing a bundle: the prereg with all that it reads, what was measured and decided, and its report."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from itertools import product
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import harness
from harness.bundle import contents as at
from harness.bundle.archive import Member, pack
from harness.bundle.contents import Contents
from harness.bundle.crate import crate, library
from harness.bundle.replay import results_of
from harness.compile.bind import load_bound
from harness.core.errors import PreregError, Problem, Where
from harness.core.ident import file_digest
from harness.core.manifest import MANIFEST
from harness.core.store import DamagedError, Store
from harness.decide.standing import standing_of
from harness.plan.engine import LIBRARIES, SAMPLERS, engines, major_minor
from harness.plan.plan import Device, Plan, make_plan
from harness.spec.load import load_document
from harness.spec.rehearsal import apply_rehearsal
from harness.spec.seal import seal_path
from harness.spec.seal_files import find, sealed_files

if TYPE_CHECKING:
    from harness.contracts.bound import Bound, Engine

_WEIGHTS = "model/"
"""Whole models lie in this folder of an artifact; adapters do not."""
_PACKAGES = ("numpy", "scipy", "pyarrow", "matplotlib", "jinja2")


@dataclass(frozen=True)
class Wanted:
    """What to pack: ``results`` is the folder of reports, ``models`` and ``data`` ask for base models and rows."""

    file: Path
    rehearsal: bool
    results: Path
    data_root: Path | None = None
    models: bool = False
    data: bool = False
    crate: bool = False
    """Whether to describe the bundle as an RO-Crate too."""


def export(wanted: Wanted, store: Store, out: Path) -> tuple[Contents, int]:
    """Write a bundle and return its contents and size. Kinds must have been declared.

    Raises:
        PreregError: there is no verdict or report yet, something is damaged, or the file cannot be written.
    """
    if not wanted.file.is_file():
        raise PreregError(Problem(Where(str(wanted.file)), "there is no such file"))
    bound = load_bound(wanted.file, rehearsal=wanted.rehearsal, data_root=wanted.data_root)
    if wanted.crate:
        library()  # told before anything is read
    device, engine, fast, plan = _decided(bound, wanted, store)
    _require_tables(plan, store, wanted)
    where, members = _registration(wanted)
    carried, left_out, artifacts = _artifacts(plan, store, wanted)
    contents = Contents(
        id=bound.id,
        rehearsal=bound.rehearsal,
        harness=harness.__version__,
        device=device,
        libraries=_libraries(plan),
        packages={"python": platform.python_version(), **{name: metadata.version(name) for name in _PACKAGES}},
        prereg=where,
        verdict=plan.verdict,
        carried=tuple(carried),
        left_out=left_out,
        digests={each.name: file_digest(Path(each.path)) for each in bound.data if Path(each.path).is_file()},
        models={each.name: each.path for each in bound.models if each.path},
        engine=engine,
        fast=fast,
    )
    report = wanted.results / contents.name
    members += [*artifacts, *_report(report, bound, plan, store, wanted), *_simulation(bound, store)]
    if wanted.crate:
        members.append(crate(contents, bound, plan, store, members))
    return contents, pack(out, contents.plain(), members)


def _decided(bound: Bound, wanted: Wanted, store: Store) -> tuple[Device, Engine, bool, Plan]:
    """Return the plan whose verdict is stored: on which device, with which engine, and whether trained with --fast."""
    devices: tuple[Device, ...] = ("cpu", "cuda") if bound.rehearsal else ("cuda",)
    for device in devices:
        for engine, fast in product(engines(device), (False, True) if device == "cuda" else (False,)):
            plan = make_plan(bound, device=device, engine=engine, fast=fast)
            if store.has(plan.verdict):
                return device, engine, fast, plan
    found = f"no {'rehearsal' if bound.rehearsal else 'verdict'} of it is stored in {store.root}"
    raise PreregError(Problem(Where(str(wanted.file)), found, hint=f"run it first: {_command(wanted)}"))


def _libraries(plan: Plan) -> dict[str, str]:
    """Return the versions that the plan's keys were made with."""
    names = (*LIBRARIES, *SAMPLERS)
    used = {name: job.engine[name] for job in plan.jobs.values() for name in names if name in job.engine}
    return {name: used.get(name) or major_minor(name) for name in names if name in LIBRARIES or name in used}


def _command(wanted: Wanted) -> str:
    return f"pytest {wanted.file}{' --rehearse' if wanted.rehearsal else ''}"


def _require_tables(plan: Plan, store: Store, wanted: Wanted) -> None:
    tables = [key for uses in plan.tables.values() for key, _ in uses]
    needed = [*tables, *plan.goals, *(plan.jobs[plan.null].inputs.values() if plan.null else ())]
    gone = dict.fromkeys(plan.jobs[key].label for key in needed if not store.has(key))
    if gone:
        listed = ", ".join(list(gone)[:5]) + (f" and {len(gone) - 5} more" if len(gone) > 5 else "")
        hint = f"run all of it first: {_command(wanted)}"
        raise PreregError(Problem(Where(str(wanted.file)), f"not stored in {store.root}: {listed}", hint=hint))


def _registration(wanted: Wanted) -> tuple[str, list[Member]]:
    """Return the prereg's member and all that it reads, placed to one another as they are."""
    document = load_document(wanted.file)
    trees = [document.tree, *([apply_rehearsal(document).document.tree] if wanted.rehearsal else [])]
    inside: dict[str, Path] = {}
    members: dict[str, Path] = {}
    for file in (file for tree in trees for file in sealed_files(tree, document.folder, wanted.data_root)):
        path = find(file, document.folder, wanted.data_root)
        if path is None or file.file.startswith("builtin/") or (file.key.startswith("data.") and not wanted.data):
            continue
        if Path(file.file).is_absolute():
            hint = "name it relative to the preregistration"
            raise PreregError(Problem(Where(str(wanted.file), key=file.key), f"'{file.file}' cannot move", hint=hint))
        if (document.folder / file.file).is_file() and not file.file.startswith("data:"):
            inside[os.path.normpath(file.file)] = path
        elif wanted.data_root is not None:
            members[str(PurePosixPath(at.DATA, *path.relative_to(wanted.data_root).parts))] = path
    for path in (seal_path(wanted.file),):
        if path.is_file():
            inside[path.name] = path
    ups = max([Path(name).parts.count("..") for name in inside], default=0)
    folder = PurePosixPath(at.PREREG, *[f"in{number}" for number in range(ups)])
    for name, path in {wanted.file.name: wanted.file, **inside}.items():
        members[os.path.normpath(folder / PurePosixPath(*Path(name).parts))] = path
    return str(folder / wanted.file.name), [Member(name, path) for name, path in members.items()]


def _artifacts(plan: Plan, store: Store, wanted: Wanted) -> tuple[list[str], dict[str, str], list[Member]]:
    carried: list[str] = []
    left_out: dict[str, str] = {}
    members: list[Member] = []
    for key, job in plan.jobs.items():
        if not store.has(key):
            left_out[key] = f"{job.label} was not in the store"
            continue
        manifest = store.peek(key)
        if not wanted.models and any(name.startswith(_WEIGHTS) for name in manifest.files):
            left_out[key] = f"{job.label} is a whole model (--with-models carries it)"
            members.append(Member(f"{at.KNOWN}/{key}.json", manifest.to_bytes()))
            continue
        try:
            folder = store.open(key)
        except DamagedError as error:
            raise PreregError(Problem(Where(), str(error), hint=f"run: {_command(wanted)}")) from error
        carried.append(key)
        members += [Member(f"{at.OBJECTS}/{key}/{name}", folder / name) for name in (MANIFEST, *manifest.files)]
    return carried, left_out, members


def _report(folder: Path, bound: Bound, plan: Plan, store: Store, wanted: Wanted) -> Iterator[Member]:
    where, hint = Where(str(folder)), f"write it again: {_command(wanted)} (or say where it is with --results DIR)"
    try:
        files = ["results.json", "run.json", *json.loads((folder / "run.json").read_bytes())["files"]]
        stored = (folder / "results.json").read_bytes()
    except (OSError, ValueError, KeyError) as error:
        raise PreregError(Problem(where, "there is no complete report of it", hint=hint)) from error
    basis = None if bound.rehearsal else standing_of(wanted.file, bound, store, plan, wanted.data_root)
    if stored != results_of(bound, plan, store, basis):
        raise PreregError(Problem(where, "the report there is not that of what is stored now", hint=hint))
    for name in dict.fromkeys(files):
        if not (folder / name).is_file():
            raise PreregError(Problem(where, f"its file '{name}' is gone", hint=hint))
        yield Member(f"{at.REPORT}/{name}", folder / name)


def _simulation(bound: Bound, store: Store) -> Iterator[Member]:
    path = store.root / at.SIMULATIONS / f"{bound.meaning}.json"
    if path.is_file():
        yield Member(f"{at.SIMULATIONS}/{path.name}", path)


__all__ = ["Wanted", "export"]
