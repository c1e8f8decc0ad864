"""Recorded tables: what their columns declare, where their file lies, and which levels it holds."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.contracts.bound import Dim
from harness.contracts.recorded import RECORDED_WORDS
from harness.contracts.records import Column, FileRef
from harness.core.ident import file_digest
from harness.core.registry import did_you_mean
from harness.spec import model
from harness.spec.load import KeyPath
from harness.spec.read import Faults, shortened, shown

DATA_PREFIX = "data:"
"""``file: data:NAME`` lies in the folder of ``--prereg-data`` or ``PREREG_DATA``."""


@dataclass(frozen=True)
class Declared:
    """A recorded table's label columns (dim -> column of the file) and measured columns."""

    dims: dict[str, str]
    columns: tuple[Column, ...]
    params: dict[str, Any]


def declared(spec: model.Measure, path: KeyPath, dims: Mapping[str, Dim], faults: Faults) -> Declared | None:
    """Type the ``columns:`` of a recorded measure; None with faults filed when something is wrong."""
    if not spec.columns:
        faults.add(path, "a recorded measure without columns", "columns: {NAME: dim, NAME: rate, …}")
        return None
    labels: dict[str, str] = {}
    columns: list[Column] = []
    params: dict[str, Any] = {}
    before = len(faults.problems)
    for name, kind in spec.columns.items():
        here = (*path, "columns", name)
        dim = _dim_of(name, kind)
        if dim is not None:
            if dim not in dims:
                if not faults.is_broken("dims", dim):
                    faults.unknown(here, "dim", dim, dims)
                return None
            labels[dim] = name
            params[name] = "dim" if dim == name else {"dim": dim}
            continue
        column = _column(name, kind, here, faults)
        if column is not None:
            columns.append(column)
            params[name] = kind
    if len(faults.problems) > before:
        return None
    if not any(column.form != "text" for column in columns):
        faults.add((*path, "columns"), "no measured column", "a column of type rate, cosine, nats, …")
        return None
    return Declared(labels, tuple(columns), {"columns": params})


def _dim_of(name: str, kind: Any) -> str | None:
    if kind == "dim" or (kind == "arm" and name == "arm"):
        return name
    if isinstance(kind, dict) and set(kind) == {"dim"} and isinstance(kind["dim"], str):
        return kind["dim"]
    return None


def _column(name: str, kind: Any, path: KeyPath, faults: Faults) -> Column | None:
    if kind == "text":
        return Column(name=name, form="text")
    if isinstance(kind, dict) and set(kind) == {"successes", "trials"}:
        return Column(name=name, unit="proportion", low=0, high=1, form="ratio")
    if isinstance(kind, str) and kind in RECORDED_WORDS:
        unit, low, high = RECORDED_WORDS[kind]
        return Column(name=name, unit=unit, low=low, high=high)
    words = ("dim", *RECORDED_WORDS, "text")
    expected = f"one of {', '.join(words)}, {{dim: NAME}} or {{successes: COLUMN, trials: COLUMN}}"
    faults.add(path, f"found {shown(kind)}", expected, did_you_mean(str(kind), words), value=True)
    return None


def locate(spec: model.Measure, path: KeyPath, data_root: Path | None, faults: Faults) -> FileRef | None:
    """Find a recorded table's file and digest it.

    A ``data:`` file that is absent keeps its name and the declared digest: preflight refuses it, collection does not.
    """
    here = (*path, "file")
    if not spec.file:
        faults.add(path, "a recorded measure without a file", "file: tables/NAME.csv, or data:NAME.csv")
        return None
    if not spec.file.startswith(DATA_PREFIX):
        file = faults.document.folder / spec.file
    elif data_root is not None and (data_root / spec.file.removeprefix(DATA_PREFIX)).is_file():
        file = data_root / spec.file.removeprefix(DATA_PREFIX)
    else:
        return FileRef(path=spec.file, sha256=spec.sha256)
    if not file.is_file():
        faults.add(here, f"there is no file '{spec.file}'", f"a table at {file}", value=True)
        return None
    found = file_digest(file)
    if spec.sha256 not in ("", "PENDING", found):
        faults.add((*path, "sha256"), f"'{spec.file}' has another digest: {found}", spec.sha256, value=True)
        return None
    return FileRef(path=str(file), sha256=found)


def present_levels(
    spec: model.Measure, file: FileRef, table: Declared, dims: Mapping[str, Dim], path: KeyPath, faults: Faults
) -> dict[str, tuple[str, ...]] | None:
    """Return the levels of each dim that a CSV holds, in the dim's order; all of them where it cannot be read now.

    What a recorded table does not hold was never planned. Labels that are no levels are faults. A ``data:`` table is
    planned as declared, so that a registration means the same where the file is absent.
    """
    held = None if spec.file.startswith(DATA_PREFIX) else _labels(Path(file.path), set(table.dims.values()))
    levels: dict[str, tuple[str, ...]] = {}
    for dim, column in table.dims.items():
        known = dims[dim].levels
        if held is None:
            levels[dim] = known
        elif column not in held:
            names = ", ".join(held[""])
            faults.add((*path, "columns", column), f"there is no column '{column}' in '{spec.file}'",
                       f"one of {names}", did_you_mean(column, held[""]))  # fmt: skip
            return None
        else:
            stray = [label for label in held[column] if label not in known]
            if stray:
                hint = did_you_mean(stray[0], known)
                faults.add((*path, "columns", column), f"'{spec.file}' holds {shortened(stray, 6)}",
                           f"levels of {dim}: {shortened(known)}", hint)  # fmt: skip
                return None
            levels[dim] = tuple(level for level in known if level in held[column])
    return levels


def _labels(file: Path, wanted: set[str]) -> dict[str, list[str]] | None:
    """Return the distinct labels of the wanted columns, and the header under the empty name; None if unreadable."""
    if file.suffix != ".csv" or not file.is_file():
        return None
    with file.open(encoding="utf-8-sig", newline="") as handle:
        rows = csv.DictReader(handle)
        header = [name.strip() for name in rows.fieldnames or ()]
        rows.fieldnames = header
        seen: dict[str, dict[str, None]] = {name: {} for name in wanted if name in header}
        for row in rows:
            for name in seen:
                seen[name][(row[name] or "").strip()] = None
    return {"": header, **{name: list(labels) for name, labels in seen.items()}}
