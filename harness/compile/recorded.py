"""Recorded tables: what their columns declare, where their file lies, and which levels it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.compile.recorded_rows import declare, missing_cells, read_columns, read_rows, read_table
from harness.contracts.bound import BoundMeasure, Dim
from harness.contracts.recorded import RECORDED_WORDS
from harness.contracts.records import Column, FileRef
from harness.core.errors import PreregError, Problem, Where
from harness.core.ident import file_digest
from harness.core.places import is_file
from harness.core.registry import did_you_mean
from harness.spec import model
from harness.spec.load import KeyPath
from harness.spec.read import Faults, shortened, shown

DATA_PREFIX = "data:"
"""``file: data:NAME`` lies in the folder of ``--prereg-data`` or ``PREREG_DATA``."""
SHOWN = 20
"""How many faults of a table are told one by one."""


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
    elif data_root is not None and is_file(data_root / spec.file.removeprefix(DATA_PREFIX)):
        file = data_root / spec.file.removeprefix(DATA_PREFIX)
    else:
        return FileRef(path=spec.file, sha256=spec.sha256)
    if not is_file(file):
        faults.add(here, f"there is no file '{spec.file}'", f"a table at {file}", value=True)
        return None
    found = file_digest(file)
    if spec.sha256 not in ("", "PENDING", found):
        faults.add((*path, "sha256"), f"'{spec.file}' has another digest: {found}", spec.sha256, value=True)
        return None
    return FileRef(path=str(file), sha256=found)


@dataclass(frozen=True)
class Held:
    """What a table holds: its name in messages, the label and line of every row, and whether each has all of them."""

    file: str
    labels: dict[str, list[str]]
    lines: Sequence[int]
    whole: bool


def read(spec: model.Measure, file: FileRef, table: Declared, path: KeyPath, faults: Faults) -> Held | None:
    """Read a CSV and file everything that is wrong with it; None where it cannot be read or is not read now.

    A ``data:`` table may be absent, and parquet would have to be imported: preflight looks at both before a run.
    """
    place = Path(file.path)
    if place.suffix == ".parquet" or (spec.file.startswith(DATA_PREFIX) and not is_file(place)):
        return None
    shown = str(place) if spec.file.startswith(DATA_PREFIX) else str(Path(faults.document.file).parent / spec.file)
    columns = declare(table.params["columns"])
    try:
        rows = read_rows(place, shown)
    except PreregError as error:
        _file_all(error.problems, faults)
        return None
    wanted = {name: (name,) for name in columns.dims} | columns.sources
    lacking = [(name, source) for name, sources in wanted.items() for source in sources if source not in rows.header]
    for name, source in lacking:
        faults.add((*path, "columns", name), f"there is no column '{source}' in '{spec.file}'",
                   f"one of {', '.join(rows.header)}", did_you_mean(source, rows.header))  # fmt: skip
    if lacking:
        return None
    data, problems = read_columns(columns, rows, {})
    _file_all(problems, faults)
    labels = {dim: data[dim] for dim in columns.dims.values()}
    return Held(shown, labels, rows.lines, whole=not rows.problems and all(all(column) for column in labels.values()))


def shortlist(problems: Sequence[Problem]) -> list[Problem]:
    """Return the first faults of a table, and how many more there are."""
    told, more = list(problems[:SHOWN]), problems[SHOWN:]
    if more:
        where = Where(more[0].where.file, more[0].where.line)
        told.append(Problem(where, f"{len(more)} more faults from here to the end of the table"))
    return told


def _file_all(problems: Sequence[Problem], faults: Faults) -> None:
    """File the faults of a table, once where two measures read the same one."""
    faults.problems += [problem for problem in shortlist(problems) if problem not in faults.problems]


def present_levels(
    spec: model.Measure, held: Held | None, table: Declared, dims: Mapping[str, Dim], path: KeyPath, faults: Faults
) -> dict[str, tuple[str, ...]] | None:
    """Return the levels of each dim that a CSV holds, in the dim's order; all of them where it was not read.

    What a recorded table does not hold was never planned. Labels that are no levels are faults. A ``data:`` table is
    planned as declared, so that a registration means the same where the file is absent.
    """
    levels: dict[str, tuple[str, ...]] = {}
    for dim, column in table.dims.items():
        known = dims[dim].levels
        found = dict.fromkeys(held.labels[dim]) if held else {}
        stray = [label for label in found if label and label not in known]
        if held and stray:
            hint, line = did_you_mean(stray[0], known), held.lines[held.labels[dim].index(stray[0])]
            faults.add((*path, "columns", column), f"'{spec.file}' holds {shortened(stray, 6)} (first in line {line})",
                       f"levels of {dim}: {shortened(known)}", hint)  # fmt: skip
            return None
        declared_only = held is None or spec.file.startswith(DATA_PREFIX)
        levels[dim] = known if declared_only else tuple(level for level in known if level in found)
    return levels


def require_planned(
    spec: model.Measure, held: Held | None, levels: Mapping[str, Sequence[str]], path: KeyPath, faults: Faults
) -> None:
    """File the planned cells that a table lacks, and rows of levels that the measure leaves out.

    A ``data:`` table may still be growing when it is registered: preflight looks for its cells before a run.
    """
    if held is None or not held.whole:
        return
    stray = {dim: [label for label in dict.fromkeys(held.labels[dim]) if label not in levels[dim]] for dim in levels}
    for dim, found in stray.items():
        if found:
            hint = "name them here, or take their rows out of the table"
            faults.add((*path, dim), f"'{spec.file}' also holds {shortened(found, 6)}",
                       f"rows of {shortened(levels[dim])} alone", hint)  # fmt: skip
    if not any(stray.values()) and not spec.file.startswith(DATA_PREFIX):
        _file_all(
            list(missing_cells(held.file, held.labels, levels, _remedy(levels, listed=bool(spec.params)))), faults
        )


def _remedy(levels: Mapping[str, Sequence[str]], *, listed: bool) -> str:
    """Say what to do about planned cells that a table lacks; ``listed`` says that its rows alone plan no level."""
    dims = " or ".join([dim for dim in levels if dim != "arm"] or levels)
    rows = "out of the table, and its name out of the preregistration" if listed else "out of the table"
    return (
        f"add the rows: nothing missing becomes a number. To do without a level of {dims}, take all of its rows "
        f"{rows}: what was never planned is unknown"
    )


def unsound(measure: BoundMeasure) -> list[Problem]:
    """Return the faults of a measure's table, with the cells that it lacks, as the job that stores it would find them.

    For tables that :func:`read` leaves alone: parquet, and those in the data folder.
    """
    assert measure.file is not None
    columns = declare(measure.params["columns"])
    try:
        rows = read_rows(Path(measure.file.path))
        data = read_table(columns, rows, measure.levels)
    except PreregError as error:
        return shortlist(error.problems)
    return list(missing_cells(rows.file, data, measure.levels, _remedy(measure.levels, listed=True)))
