"""The rows of a recorded table: a CSV or parquet file with declared columns, read with every error at once.

They are read at collection, so that a faulty table is refused before anything runs, and by the job that stores them:
both by this code. Columns are read as wholes, and of a CSV each distinct text once: tables are long and repeat little.
"""

from __future__ import annotations

import csv
import functools
import io
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from harness.contracts.recorded import RECORDED_WORDS
from harness.contracts.records import Column
from harness.core.errors import PreregError, Problem, Where
from harness.core.places import is_file
from harness.core.registry import did_you_mean

T = TypeVar("T")

LARGEST = 2**63 - 1
"""The largest count that a stored table can hold."""
_SHOWN = 60
"""Characters of a cell that a message repeats."""
_MISSING_SHOWN = 3
"""How many missing cells a message names."""


@dataclass(frozen=True)
class Declared:
    """The declared columns of a file: label columns by dim, measured columns, and where each is read from."""

    dims: dict[str, str]
    columns: tuple[Column, ...]
    sources: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Rows:
    """The cells of a file by column, and the line (CSV) or number (parquet) of each row.

    ``texts`` says that all cells are text, as in a CSV; ``problems`` are rows that could not be taken.
    """

    file: str
    header: tuple[str, ...]
    lines: Sequence[int]
    cells: Mapping[str, Sequence[Any]]
    texts: bool
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Fault:
    """What is wrong with a cell of a column, wherever it stands."""

    column: str
    found: str
    expected: str = ""
    hint: str = ""


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


# --- files ---


def read_rows(file: Path, shown: str = "") -> Rows:
    """Read a file; ``shown`` is its path as messages print it.

    Raises:
        PreregError: it is not there, is no CSV in UTF-8 and no parquet file, or names a column twice.
    """
    shown = shown or str(file)
    if not is_file(file):
        raise PreregError(Problem(Where(shown), "the file is not there"))
    if file.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(file)
        except (pa.ArrowException, OSError) as error:
            said = " ".join(str(error).split())
            raise PreregError(Problem(Where(shown), f"it cannot be read: {said}", "a parquet file")) from error
        cells = {name: table.column(name).to_pylist() for name in table.column_names}
        return Rows(shown, tuple(table.column_names), range(1, table.num_rows + 1), cells, texts=False)
    if file.suffix != ".csv":
        raise PreregError(Problem(Where(shown), f"'{file.suffix}' cannot be read", "a .csv or .parquet file"))
    content = file.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = error.start + len(content) - len(error.object)  # of what is left behind a byte order mark
        line, byte = content.count(b"\n", 0, place) + 1, content[place]
        hint = "save the table again as UTF-8"
        raise PreregError(
            Problem(Where(shown, line), f"the byte 0x{byte:02x} is not UTF-8", "a CSV in UTF-8", hint)
        ) from error
    return _csv(text, shown)


def _csv(text: str, file: str) -> Rows:
    reader = csv.reader(io.StringIO(text, newline=""))
    lines: list[int] = []
    flat: list[str] = []  # the rows end to end: a list for each would keep the garbage collector busy
    problems: list[Problem] = []
    try:
        header = tuple(name.strip() for name in next(reader, ()))
        if not any(header):
            raise PreregError(Problem(Where(file, 1), "there is no header", "the names of the columns"))
        twice = [name for name in dict.fromkeys(header) if header.count(name) > 1]
        if twice:
            raise PreregError([Problem(Where(file, 1, key=name), f"column '{name}' stands twice") for name in twice])
        width = len(header)
        for row in reader:
            if not (row and row[0].strip()) and not any(map(str.strip, row)):
                continue
            if len(row) == width:
                lines.append(reader.line_num)
                flat += row
            else:
                where = Where(file, reader.line_num)
                problems.append(Problem(where, f"found {len(row)} cells", f"{width} as in the header"))
    except csv.Error as error:
        where = Where(file, reader.line_num)
        raise PreregError(Problem(where, f"the line cannot be read: {error}", "a CSV file")) from error
    columns = {name: _stripped(flat[place::width]) for place, name in enumerate(header)}
    return Rows(file, header, lines, columns, texts=True, problems=tuple(problems))


def _stripped(cells: list[str]) -> list[str]:
    bare = {cell: cell.strip() for cell in set(cells)}
    return cells if all(cell == text for cell, text in bare.items()) else [bare[cell] for cell in cells]


# --- cells ---


def read_table(declared: Declared, rows: Rows, levels: Mapping[str, Sequence[str]]) -> dict[str, list[Any]]:
    """Return the data by column of a measurement's table.

    Raises:
        PreregError: everything that is wrong with the file, as :func:`read_columns` tells it, or its lack of columns.
    """
    needed = [*declared.dims, *(source for sources in declared.sources.values() for source in sources)]
    lacking = [name for name in dict.fromkeys(needed) if name not in rows.header]
    expected = f"one of {', '.join(rows.header)}"
    problems = [
        Problem(Where(rows.file, 1, key=name), f"there is no column '{name}'", expected,
                did_you_mean(name, rows.header))
        for name in lacking
    ]  # fmt: skip
    if problems:
        raise PreregError(problems)
    data, problems = read_columns(declared, rows, levels)
    if problems:
        raise PreregError(problems)
    return data


def read_columns(
    declared: Declared, rows: Rows, levels: Mapping[str, Sequence[str]]
) -> tuple[dict[str, list[Any]], list[Problem]]:
    """Return the data by column of a measurement's table, and every fault in the order of the lines.

    Args:
        declared: what to read; the file has these columns.
        rows: the file.
        levels: planned levels per dim; labels outside them are faults.
    """
    data: dict[str, list[Any]] = {}
    problems = list(rows.problems)

    def cells(sources: Sequence[str], parse: Callable[..., tuple[T, tuple[Fault, ...]]]) -> list[T]:
        values = list(map(functools.cache(parse) if rows.texts else parse, *(rows.cells[name] for name in sources)))
        for line, (_, faults) in zip(rows.lines, values, strict=True):
            if faults:
                problems.extend(
                    Problem(Where(rows.file, line, key=each.column), each.found, each.expected, each.hint)
                    for each in faults
                )
        return [value for value, _ in values]

    for name, dim in declared.dims.items():
        data[dim] = cells([name], functools.partial(_label, name, levels.get(dim)))
    problems += _second_rows(rows, {dim: data[dim] for dim in declared.dims.values()})
    for column in declared.columns:
        sources = declared.sources[column.name]
        if column.form == "text":
            data[column.name] = list(map(str, rows.cells[sources[0]]))
        elif column.form == "ratio":
            pairs = cells(sources, functools.partial(_ratio, sources))
            data[f"{column.name}.k"] = [k for k, _ in pairs]
            data[f"{column.name}.n"] = [n for _, n in pairs]
        else:
            data[column.name] = cells(sources, functools.partial(_number, column))
    if not problems and not rows.lines:
        where = Where(rows.file, 2)
        problems.append(Problem(where, "the file has no rows: no data is an error and never a zero"))
    return data, sorted(problems, key=lambda problem: problem.where.line)


def _second_rows(rows: Rows, labels: Mapping[str, Sequence[str]]) -> list[Problem]:
    places = list(zip(*labels.values(), strict=True)) if labels else [()] * len(rows.lines)
    if len(set(places)) == len(places):
        return []
    problems = []
    first: dict[tuple[str, ...], int] = {}
    for line, place in zip(rows.lines, places, strict=True):
        before = first.setdefault(place, line)
        if before != line:
            cell = ", ".join(f"{dim}={level}" for dim, level in zip(labels, place, strict=True))
            found = f"a second row for {cell or 'a table without dims'}"
            problems.append(Problem(Where(rows.file, line), found, "one row per cell", f"the first is line {before}"))
    return problems


def missing_cells(
    file: str, labels: Mapping[str, Sequence[str]], levels: Mapping[str, Sequence[str]], hint: str
) -> Iterator[Problem]:
    """Yield how many of the planned cells a table lacks, and the first of them.

    Args:
        file: the table in messages.
        labels: by dim, the label of every row; each is a planned level, and no cell stands twice.
        levels: planned levels per dim.
        hint: what to do.
    """
    there = set(zip(*(labels[dim] for dim in levels), strict=True)) if levels else {()}
    planned = math.prod(len(chosen) for chosen in levels.values())
    count = planned - len(there)
    if not count:
        return
    absent = (cell for cell in itertools.product(*levels.values()) if cell not in there)
    named = [
        "(" + ", ".join(f"{dim}={level}" for dim, level in zip(levels, cell, strict=True)) + ")"
        for cell in itertools.islice(absent, _MISSING_SHOWN)
    ]
    more = f" and {count - len(named)} more" if count > len(named) else ""
    found = f"{count} of {planned} planned cells {'is' if count == 1 else 'are'} missing: {', '.join(named)}{more}"
    yield Problem(Where(file), found, "a row for each", hint)


def _label(column: str, levels: Sequence[str] | None, value: Any) -> tuple[str, tuple[Fault, ...]]:
    label = "" if value is None else str(value)
    if not label:
        return label, (Fault(column, "the label is empty"),)
    if levels is not None and label not in levels:
        expected = f"one of {', '.join(levels[:12])}{' …' if len(levels) > 12 else ''}"
        found = f"'{label}' is not a level of the dim"
        return label, (Fault(column, found, expected, did_you_mean(label, levels)),)
    return label, ()


def _ratio(sources: Sequence[str], *values: Any) -> tuple[tuple[int | None, int | None], tuple[Fault, ...]]:
    (k, wrong_k), (n, wrong_n) = (_whole(source, value) for source, value in zip(sources, values, strict=True))
    faults = (*wrong_k, *wrong_n)
    if n == 0:
        hint = "a rate of nothing is unknown, not 0: leave its cell out of the plan"
        faults += (Fault(sources[1], "0 trials", "at least 1", hint),)
    elif k is not None and n is not None and not 0 <= k <= n:
        faults += (Fault(sources[0], f"{k} successes in {n} trials", "0 .. trials"),)
    return (k, n), faults


def _whole(column: str, value: Any) -> tuple[int | None, tuple[Fault, ...]]:
    # Parquet may hold counts as floats; a CSV's "3.0" is not a count.
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    try:
        number = int(text)
    except ValueError:
        return None, (Fault(column, _found(value), "a whole number"),)
    if number > LARGEST:
        return None, (Fault(column, _found(value), f"a whole number of at most {LARGEST}"),)
    return number, ()


def _number(column: Column, value: Any) -> tuple[float, tuple[Fault, ...]]:
    text = "" if value is None else str(value)
    percent = column.unit == "proportion" and text.endswith("%")
    try:
        number = float(text[:-1]) / 100 if percent else float(text)
    except ValueError:
        return math.nan, (Fault(column.name, _found(value), "a number"),)
    if not math.isfinite(number):
        hint = "a missing cell is left out of the plan and never a number"
        return number, (Fault(column.name, _found(value), "a finite number", hint),)
    if (column.low is not None and number < column.low) or (column.high is not None and number > column.high):
        low = "-inf" if column.low is None else f"{column.low:g}"
        high = "inf" if column.high is None else f"{column.high:g}"
        hint = f"write {text}%" if column.unit == "proportion" and 1 < number <= 100 else ""
        return number, (Fault(column.name, f"{text} is out of range", f"a value in [{low}, {high}]", hint),)
    return number, ()


def _found(value: Any) -> str:
    text = "" if value is None else str(value)
    return f"found '{text[:_SHOWN]}{'…' if len(text) > _SHOWN else ''}'" if text else "the cell is empty"
