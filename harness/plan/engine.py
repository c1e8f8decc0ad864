"""What decides the numbers of a job beside its parameters: files by content, and the engine of model jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Literal

from harness.compile.graph import Node
from harness.contracts import versions
from harness.contracts.records import FileRef
from harness.core.ident import file_digest

Device = Literal["cpu", "cuda"]

LIBRARIES = ("torch", "transformers", "peft")
"""The libraries whose major and minor version decide the numbers of model jobs."""


@dataclass(frozen=True)
class Pins:
    """What a plan was made with elsewhere, to make it again where a library or a file is missing.

    ``libraries`` has the major and minor version of each of :data:`LIBRARIES`, ``digests`` the SHA-256 of files by
    path; they count for files that are absent.
    """

    libraries: Mapping[str, str] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)


def digested(ref: FileRef, pins: Pins) -> FileRef:
    """Digest the file as it is now; one that is absent keeps what was declared, for preflight to name."""
    path = Path(ref.path)
    if not path.is_file():
        return FileRef(path=ref.path, sha256=pins.digests.get(ref.path, ref.sha256))
    return FileRef(path=ref.path, sha256=file_digest(path))


def engine_of(node: Node, device: Device, pins: Pins) -> dict[str, str]:
    """What decides the numbers that a model job returns, beside its parameters."""
    libraries = {name: pins.libraries.get(name) or major_minor(name) for name in LIBRARIES}
    ports = {f"port.{name}": str(versions.PORTS[name]) for name in node.ports}
    extra = {"registers": str(versions.REGISTERS)} if "rows" in node.params else {}
    dtype = "float32" if device == "cpu" else "bfloat16"
    return {"engine": "transformers", "device": device, "dtype": dtype, **libraries, **ports, **extra}


@lru_cache
def major_minor(name: str) -> str:
    """Return the installed version of a library as ``2.8``, or ``absent``."""
    try:
        return ".".join(metadata.version(name).split("+")[0].split(".")[:2])
    except metadata.PackageNotFoundError:
        return "absent"
