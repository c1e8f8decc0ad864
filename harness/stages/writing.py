"""What stages leave beside their model: the training log and a few samples."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.contracts.records import TrainLog
from harness.core.ident import canonical


def write_log(out: Path, log: TrainLog) -> None:
    """Write ``log.json``; what did not happen (memory running out, packing) leaves no trace in it."""
    absent = {name for name in ("halved", "recomputed", "packed") if not getattr(log, name)}
    write_json(out / "log.json", log.model_dump(mode="json", exclude=absent or None))


def write_json(path: Path, value: Any) -> None:
    """Write canonical JSON: equal values are equal bytes."""
    path.write_bytes(canonical(value) + b"\n")


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object per line, keys in the order given."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
