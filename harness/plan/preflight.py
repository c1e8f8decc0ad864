"""Preflight: everything that would stop the run later, told at once before the first job starts."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from harness.compile.recorded import unsound
from harness.contracts.bound import Bound, DataSource, ModelSource
from harness.contracts.records import Job
from harness.core.errors import Problem, Where
from harness.core.ident import file_digest
from harness.plan.engine import ABSENT, SAMPLERS, VARIABLE, major_minor

GIB = 2**30
SPARE_BYTES = GIB // 4
"""Room that every run needs for tables, logs and adapters of the embedded model."""
MERGED_BYTES = 16 * GIB
"""A merged 7B model in bf16 (15.2 GB of weights), the largest artifact there is."""
ADAPTER_BYTES = GIB // 2


def preflight(bound: Bound, jobs: Sequence[Job], store: Path) -> list[Problem]:
    """Return what would stop the given (missing) jobs, each with its remedy.

    Reads files' digests and the local model cache; touches neither the network nor a device.
    """
    problems = list(_recorded(bound, jobs))
    if any(job.lane == "model" for job in jobs):
        problems += [
            *_engines(jobs),
            *absent_engines(jobs),
            *_data(bound, jobs),
            *_models(bound, jobs),
            *_disk(jobs, store),
        ]
    return problems


def _recorded(bound: Bound, jobs: Sequence[Job]) -> Iterator[Problem]:
    wanted = {ref.path for job in jobs if job.kind == "recorded" for ref in job.files.values()}
    for measure in bound.measures:
        if measure.file is None or measure.file.path not in wanted:
            continue
        if Path(measure.file.path).is_file():
            yield from unsound(measure)
        else:
            yield Problem(
                Where(bound.file, measure.line, key=f"measures.{measure.name}.file"),
                f"the recorded table '{measure.file.path}' is absent",
                "the file that the preregistration names",
                "give the folder that holds it with --prereg-data DIR or the environment variable PREREG_DATA",
            )


def absent_engines(jobs: Iterable[Job]) -> Iterator[Problem]:
    """Yield what is wrong with the engines that jobs were planned for; nothing is imported to find out."""
    wanted = {job.engine["engine"] for job in jobs if job.engine}
    for name in sorted(wanted & SAMPLERS.keys()):
        if major_minor(name) == ABSENT:
            yield Problem(
                Where(), f"the jobs that sample are planned for {name}, which is not installed", "",
                f"to sample with transformers: --engine transformers (or {VARIABLE}=transformers)\n"
                f"to install it on a machine with CUDA: pip install 'pytest-prereg[gpu]', which pins its own torch",
            )  # fmt: skip


def _engines(jobs: Iterable[Job]) -> Iterator[Problem]:
    for name in ("torch", "transformers", "peft"):
        if importlib.util.find_spec(name) is None:
            yield Problem(Where(), f"the package '{name}' is not installed", "", f"run: pip install {name}")


def _data(bound: Bound, jobs: Sequence[Job]) -> Iterator[Problem]:
    names = {str(job.params.get("params", {}).get("data")) for job in jobs if job.kind.startswith("stage/")}
    for source in bound.data:
        where = Where(bound.file, source.line, key=f"data.{source.name}")
        if source.name not in names:
            continue
        if source.path:
            yield from _data_file(source, where)
        elif source.hf and importlib.util.find_spec("datasets") is None:
            yield Problem(
                where, f"reading {source.hf} needs the package 'datasets'", "", "run: pip install 'pytest-prereg[hub]'"
            )
        if source.hf and source.revision in ("", "PENDING"):
            yield Problem(
                where, f"the revision of {source.hf} is not pinned", "a commit hash", "write revision: <commit>"
            )


def _data_file(source: DataSource, where: Where) -> Iterator[Problem]:
    path = Path(source.path)
    declared = [(name, value) for name, value in (("md5", source.md5), ("sha256", source.sha256)) if value]
    pinned = [(name, value) for name, value in declared if value != "PENDING"]
    if not path.is_file():
        digests = " and ".join(f"{name} {value}" for name, value in pinned) or "no digest declared"
        yield Problem(
            where,
            f"the data file '{source.path}' is absent",
            f"a JSON-lines file in '{source.format}' format with {digests}",
            "this file is not distributed with the harness; put it at that path",
        )
        return
    for name, value in pinned:
        found = file_digest(path, name)
        if found != value:
            yield Problem(
                where,
                f"'{source.path}' has {name} {found}",
                f"{name} {value}",
                "these are not the registered data; restore the file or amend the preregistration",
            )


def _models(bound: Bound, jobs: Sequence[Job]) -> Iterator[Problem]:
    sources = [job.params["model"] for job in jobs if job.params.get("model")]
    wanted, folders = ({source[name] for source in sources} for name in ("hf", "path"))
    offline = os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0")
    for model in bound.models:
        where = Where(bound.file, model.line, key=f"models.{model.name}")
        if model.path in folders and model.path and not (Path(model.path) / "config.json").is_file():
            there = "holds no config.json" if Path(model.path).is_dir() else "is absent"
            yield Problem(
                where, f"the model folder '{model.path}' {there}", "a model as transformers saves it",
                "this model is not distributed with the harness; put it at that path",
            )  # fmt: skip
        if not model.hf or model.hf not in wanted:
            continue
        if model.revision in ("", "PENDING"):
            yield Problem(
                where, f"the revision of {model.hf} is not pinned", "a commit hash", "write revision: <commit>"
            )
        elif offline and not _cached(model):
            yield Problem(
                where,
                f"model {model.hf} at {model.revision} is not in the local cache and HF_HUB_OFFLINE is set",
                "a complete snapshot",
                f"run: hf download {model.hf} --revision {model.revision}",
            )


def _cached(model: ModelSource) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(model.hf, "config.json", revision=model.revision), str)


def _disk(jobs: Sequence[Job], store: Path) -> Iterator[Problem]:
    needed = SPARE_BYTES
    for job in jobs:
        if job.params.get("model") or any(role.startswith("adapter") for role in job.inputs):
            large = bool(job.params.get("model", {}).get("hf"))
            needed += (MERGED_BYTES if job.kind == "stage/merge" else ADAPTER_BYTES) if large else 0
    folder = next(path for path in (store, *store.absolute().parents) if path.exists())
    free = shutil.disk_usage(folder).free
    if free < needed:
        yield Problem(
            Where(),
            f"the store at '{store}' has {free / GIB:.1f} GiB free",
            f"at least {needed / GIB:.1f} GiB",
            "free some space or give another folder with --store",
        )
