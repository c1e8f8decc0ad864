"""Whether two machines run the same code: what one of them stores, the other takes for its own."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path

_ROOT = Path(__file__).parents[3]
_LIBRARIES = ("torch", "transformers", "peft", "vllm", "numpy", "scipy", "statsmodels", "pyarrow")


@cache
def describe() -> dict[str, str]:
    """Return what decides results here: Python and libraries by major.minor as keys have them, and our own sources."""
    found = {"python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    for name in _LIBRARIES:
        try:
            found[name] = ".".join(metadata.version(name).split(".")[:2])
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return {**found, "pytest-prereg": _sources()}


def differences(theirs: Mapping[str, str], ours: Mapping[str, str]) -> str:
    """Return what a node has otherwise than the driver, or an empty string."""
    names = sorted(name for name in {*theirs, *ours} if theirs.get(name) != ours.get(name))
    return ", ".join(f"{name} {theirs.get(name, 'absent')} instead of {ours.get(name, 'absent')}" for name in names)


def _sources() -> str:
    digest = hashlib.sha256()
    for package in ("harness", "fixtures"):
        for path in sorted((_ROOT / package).rglob("*.py")):
            data = path.read_bytes()
            digest.update(f"{path.relative_to(_ROOT).as_posix()} {len(data)}\n".encode() + data)
    return digest.hexdigest()[:12]
