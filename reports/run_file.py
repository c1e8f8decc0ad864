"""run.json: what is true of one run only, and which files its report has. Beside it, what the report was made of."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.core.ident import file_digest, key_digest
from reports.records import REPORT_VERSION, RunInfo

NAME = "run.json"
MADE_OF = ".made_of"
"""A digest of what the report beside it was made of. No file of the report: it says nothing to a reader."""

BESIDE = ("results.json", "completions.json.gz", "simulation.json")
"""The files of a report whose bytes are looked at before it is called up to date: what others take numbers from."""


def written(run: RunInfo, files: Sequence[str], *, figures: bool, unverified: Sequence[str] = ()) -> bytes:
    """Return the bytes of run.json.

    Args:
        run: What is true of this run.
        files: The report's files but results.json and run.json, relative to its folder.
        figures: Whether figures were asked for.
        unverified: Numbers of the prose that are not in results.json.
    """
    content = {
        **run.model_dump(mode="json"),
        "report_version": REPORT_VERSION,
        "files": list(files),
        "figures": figures,
        "unverified": list(unverified),
    }
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def known(out: Path) -> dict[str, Any] | None:
    """Return what run.json says of the report in ``out``, or None where that report is not whole or not of today."""
    try:
        before = json.loads((out / NAME).read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(before, dict) or before.get("report_version") != REPORT_VERSION or before.get("unverified"):
        return None
    files = before.get("files")
    if not isinstance(files, list) or not all((out / str(name)).is_file() for name in files):
        return None
    return before


def refreshed(run: RunInfo, out: Path, basis: str) -> bool:
    """Put a run's own facts beside the report in ``out`` if that was made of ``basis`` and lies there unchanged."""
    before = known(out)
    try:
        if before is None or (out / MADE_OF).read_text("ascii") != _stamp(basis, out):
            return False
    except (OSError, ValueError):
        return False
    files = [str(name) for name in before["files"]]
    replace(out / NAME, written(run, files, figures=bool(before.get("figures"))))
    return True


def note(basis: str, out: Path) -> None:
    """Note what the report in ``out``, whole now, was made of; nothing where nobody knows."""
    if basis:
        replace(out / MADE_OF, _stamp(basis, out).encode())


def _stamp(basis: str, out: Path) -> str:
    beside = {name: file_digest(out / name) if (out / name).is_file() else "" for name in BESIDE}
    return key_digest({"basis": basis, "beside": beside})


def replace(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old bytes or the new ones and never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
