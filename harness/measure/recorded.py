"""Recorded data as a measurement: a CSV or parquet file with declared columns, read with every error at once."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.contracts.kinds import Table
from harness.contracts.recorded import RECORDED_WORDS
from harness.contracts.records import Column
from harness.core.errors import PreregError, Problem, Where
from harness.core.registry import did_you_mean


@dataclass(frozen=True)
class Declared:
    """The declared columns of a file: label columns by dim, measured columns, and where each is read from."""

    dims: dict[str, str]
    columns: tuple[Column, ...]
    sources: dict[str, tuple[str, ...]]


@dataclass
class _Reading:
    file: str
    problems: list[Problem] = field(default_factory=list)

    def add(self, line: int, column: str, found: str, expected: str = "", hint: str = "") -> None:
        self.problems.append(Problem(Where(self.file, line, key=column), found, expected, hint))


def measure_recorded(params: Mapping[str, Any], file: Path, levels: Mapping[str, Sequence[str]] | None = None) -> Table:
    """Read a recorded table.

    Args:
        params: ``columns`` as registered (column -> ``dim``, ``{dim: name}``, a word of ``RECORDED_WORDS``,
            ``text``, or ``{successes: column, trials: column}`` for an exact rate) and, unless given apart, ``levels``.
        file: ``.csv`` (UTF-8, header line) or ``.parquet``.
        levels: planned levels per dim; labels outside them are errors.

    Raises:
        PreregError: everything that is wrong with the file, each with its line (the row for parquet).
    """
    declared = declare(params["columns"])
    reading = _Reading(str(file))
    header, rows = _rows(file)
    needed = [*declared.dims, *(source for sources in declared.sources.values() for source in sources)]
    for name in dict.fromkeys(needed):
        if name not in header:
            expected = f"one of {', '.join(header)}"
            reading.add(1, name, f"there is no column '{name}'", expected, did_you_mean(name, header))
    if reading.problems:
        raise PreregError(reading.problems)
    data = _read(declared, rows, levels if levels is not None else params.get("levels") or {}, reading)
    if not reading.problems and not len(next(iter(data.values()), ())):
        reading.add(2, "", "the file has no rows: no data is an error and never a zero")
    if reading.problems:
        raise PreregError(reading.problems)
    return Table(tuple(declared.dims.values()), declared.columns, data)


def declare(columns: Mapping[str, Any]) -> Declared:
    """Return what ``columns:`` declares.

    Raises:
        PreregError: a type that is none, with the closest one.
    """
    problems = []
    dims: dict[str, str] = {}
    found: list[Column] = []
    sources: dict[str, tuple[str, ...]] = {}
    for name, kind in columns.items():
        if kind == "dim":
            dims[name] = name
        elif isinstance(kind, Mapping) and set(kind) == {"dim"}:
            dims[name] = str(kind["dim"])
        elif isinstance(kind, Mapping) and {"successes", "trials"} == set(kind):
            found.append(Column(name=name, unit="proportion", low=0, high=1, form="ratio"))
            sources[name] = (str(kind["successes"]), str(kind["trials"]))
        elif kind == "text":
            found.append(Column(name=name, form="text"))
            sources[name] = (name,)
        elif isinstance(kind, str) and kind in RECORDED_WORDS:
            unit, low, high = RECORDED_WORDS[kind]
            found.append(Column(name=name, unit=unit, low=low, high=high))
            sources[name] = (name,)
        else:
            words = ("dim", *RECORDED_WORDS, "text")
            expected = f"one of {', '.join(words)}, {{dim: …}} or {{successes: …, trials: …}}"
            where, hint = Where(key=f"columns.{name}"), did_you_mean(str(kind), words)
            problems.append(Problem(where, f"'{kind}' is no type", expected, hint))
    if problems:
        raise PreregError(problems)
    return Declared(dims, tuple(found), sources)


Row = tuple[int, Mapping[str, Any]]


def _rows(file: Path) -> tuple[tuple[str, ...], Iterator[Row]]:
    """Return the header and the rows with their line (CSV) or row number (parquet)."""
    if not file.is_file():
        raise PreregError(Problem(Where(str(file)), "the file is not there"))
    if file.suffix == ".parquet":
        import pyarrow.parquet as pq

        table = pq.read_table(file)
        return tuple(table.column_names), iter(list(enumerate(table.to_pylist(), start=1)))
    if file.suffix != ".csv":
        raise PreregError(Problem(Where(str(file)), f"'{file.suffix}' cannot be read", "a .csv or .parquet file"))
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise PreregError(Problem(Where(str(file)), f"byte {error.start} is not UTF-8", "a CSV in UTF-8")) from error
    return _csv(text, str(file))


def _csv(text: str, file: str) -> tuple[tuple[str, ...], Iterator[Row]]:
    reader = csv.reader(text.splitlines(keepends=True))
    header = tuple(name.strip() for name in next(reader, ()))
    problems = [
        Problem(Where(file, 1, key=name), f"column '{name}' stands twice")
        for name in dict.fromkeys(header)
        if header.count(name) > 1
    ]
    rows: list[Row] = []
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            where = Where(file, reader.line_num)
            problems.append(Problem(where, f"found {len(cells)} cells", f"{len(header)} as in the header"))
        else:
            rows.append((reader.line_num, dict(zip(header, (cell.strip() for cell in cells), strict=True))))
    if problems:
        raise PreregError(problems)
    return header, iter(rows)


def _read(
    declared: Declared, rows: Iterator[Row], levels: Mapping[str, Sequence[str]], reading: _Reading
) -> dict[str, list[Any]]:
    data: dict[str, list[Any]] = {dim: [] for dim in declared.dims.values()}
    for column in declared.columns:
        data.update({column.name + part: [] for part in ((".k", ".n") if column.form == "ratio" else ("",))})
    seen: dict[tuple[str, ...], int] = {}
    for line, row in rows:
        place = tuple(_label(row[name], line, name, levels.get(dim), reading) for name, dim in declared.dims.items())
        first = seen.setdefault(place, line)
        if first != line:
            cell = ", ".join(f"{dim}={level}" for dim, level in zip(declared.dims.values(), place, strict=True))
            found = f"a second row for {cell or 'a table without dims'}"
            reading.add(line, "", found, "one row per cell", f"the first is line {first}")
        for dim, level in zip(declared.dims.values(), place, strict=True):
            data[dim].append(level)
        for column in declared.columns:
            for name, value in _values(column, declared.sources[column.name], row, line, reading):
                data[name].append(value)
    return data


def _label(value: Any, line: int, column: str, levels: Sequence[str] | None, reading: _Reading) -> str:
    label = "" if value is None else str(value)
    if not label:
        reading.add(line, column, "the label is empty")
    elif levels is not None and label not in levels:
        expected = f"one of {', '.join(levels[:12])}{' …' if len(levels) > 12 else ''}"
        reading.add(line, column, f"'{label}' is not a level of the dim", expected, did_you_mean(label, levels))
    return label


def _values(
    column: Column, sources: tuple[str, ...], row: Mapping[str, Any], line: int, reading: _Reading
) -> Iterator[tuple[str, Any]]:
    if column.form == "text":
        yield column.name, str(row[sources[0]])
    elif column.form == "ratio":
        k, n = (_whole(row[source], line, source, reading) for source in sources)
        if n == 0:
            hint = "a rate of nothing is unknown, not 0: leave its cell out of the plan"
            reading.add(line, sources[1], "0 trials", "at least 1", hint)
        elif k is not None and n is not None and not 0 <= k <= n:
            reading.add(line, sources[0], f"{k} successes in {n} trials", "0 .. trials")
        yield f"{column.name}.k", k
        yield f"{column.name}.n", n
    else:
        yield column.name, _number(row[sources[0]], column, line, reading)


def _whole(value: Any, line: int, column: str, reading: _Reading) -> int | None:
    # Parquet may hold counts as floats; a CSV's "3.0" is not a count.
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    try:
        return int(text)
    except ValueError:
        reading.add(line, column, _found(value), "a whole number")
        return None


def _number(value: Any, column: Column, line: int, reading: _Reading) -> float:
    text = "" if value is None else str(value)
    percent = column.unit == "proportion" and text.endswith("%")
    try:
        number = float(text[:-1]) / 100 if percent else float(text)
    except ValueError:
        reading.add(line, column.name, _found(value), "a number")
        return math.nan
    if not math.isfinite(number):
        hint = "a missing cell is left out of the plan and never a number"
        reading.add(line, column.name, _found(value), "a finite number", hint)
    elif (column.low is not None and number < column.low) or (column.high is not None and number > column.high):
        low = "-inf" if column.low is None else f"{column.low:g}"
        high = "inf" if column.high is None else f"{column.high:g}"
        hint = f"write {text}%" if column.unit == "proportion" and 1 < number <= 100 else ""
        reading.add(line, column.name, f"{text} is out of range", f"a value in [{low}, {high}]", hint)
    return number


def _found(value: Any) -> str:
    return "the cell is empty" if value is None or str(value) == "" else f"found '{value}'"
