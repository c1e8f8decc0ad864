"""Checks between a measurement and everything that reads it: numbers are numbers, in range, and all are there.

A planned cell that is missing is an error; nothing missing becomes a number.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from harness.contracts.kinds import Table
from harness.contracts.records import Column
from harness.core.errors import JobError
from harness.measure.table import stored_names

SHOWN = 3
"""How many offending rows or cells a message names."""
MANY = 1_000
"""Rows from which labels are looked up by distinct value."""
SLACK = 1e-9
"""By how much rounding may carry a number past its range."""

Levels = Mapping[str, Sequence[str]]


def check(table: Table, levels: Levels | None = None) -> Table:
    """Return the table when it is sound: every planned cell exactly once, every number finite and in range.

    Args:
        table: what a kind returned or a file held.
        levels: planned levels per dim; None takes the levels that occur (their product must still be full).

    Raises:
        JobError: everything that is wrong, each with the first few rows or cells and a count.
    """
    lengths = {name: len(values) for name, values in table.data.items()}
    rows = max(lengths.values(), default=0)
    if not rows:
        raise JobError("the measurement has no rows: no data is an error and never a zero")
    problems = [
        f"{name} has {length} values and the table {rows} rows" for name, length in lengths.items() if length != rows
    ]
    problems += [
        f"the table declares '{name}' and does not hold it"
        for name in [*table.dims, *(part for column in table.columns for part in stored_names(column))]
        if name not in table.data
    ]
    if problems:
        raise JobError("; ".join(problems))
    problems += _cells(table, planned(table, levels))
    for column in table.columns:
        problems += _COLUMN[column.form](table, column)
    if problems:
        raise JobError("\n".join(problems))
    return table


def planned(table: Table, levels: Levels | None) -> dict[str, tuple[str, ...]]:
    """Return the planned levels of the table's own dims; the second dim of a pair has those of the first."""
    pairs = {f"{column.pair}_b": column.pair for column in table.columns if column.form == "gram"}
    result = {}
    for dim in table.dims:
        known = (levels or {}).get(dim) or (levels or {}).get(pairs.get(dim, ""))
        result[dim] = tuple(known) if known else tuple(dict.fromkeys(str(level) for level in table.data[dim]))
    return result


def locate(labels: Sequence[Any] | NDArray[Any], levels: Sequence[str]) -> NDArray[np.int64]:
    """Return each label's place in ``levels``, -1 where it is not one of them."""
    place = {level: index for index, level in enumerate(levels)}
    if len(labels) < MANY:
        return np.fromiter((place.get(str(label), -1) for label in labels), dtype=np.int64, count=len(labels))
    # Long tables repeat few labels: look each one up once.
    coded = _texts(labels).dictionary_encode()
    places = np.array([place.get(label, -1) for label in coded.dictionary.to_pylist()], dtype=np.int64)
    found: NDArray[np.int64] = places[coded.indices.to_numpy()]
    return found


def _texts(labels: Sequence[Any] | NDArray[Any]) -> pa.Array:
    """Return labels as text; those of a stored table are text already, and need no look at each one."""
    if isinstance(labels, np.ndarray) and labels.dtype == object:
        with contextlib.suppress(pa.ArrowInvalid, pa.ArrowTypeError):
            read = pa.array(labels, pa.string())
            if not read.null_count:
                return read
    return pa.array([str(label) for label in labels], pa.string())


def _cells(table: Table, levels: Mapping[str, Sequence[str]]) -> list[str]:
    if not table.dims:
        rows = len(next(iter(table.data.values())))
        return [] if rows == 1 else [f"a table without dims has one row, found {rows}"]
    problems = []
    places = []
    for dim in table.dims:
        index = locate(table.data[dim], levels[dim])
        stray = sorted({str(label) for label, place in zip(table.data[dim], index, strict=True) if place < 0})
        if stray:
            problems.append(f"{len(stray)} unplanned level(s) of {dim}: {_some(stray)}")
        places.append(index)
    if problems:
        return problems
    shape = tuple(len(levels[dim]) for dim in table.dims)
    count = np.bincount(np.ravel_multi_index(tuple(places), shape), minlength=int(np.prod(shape)))
    for found, word in ((count == 0, "missing"), (count > 1, "present more than once")):
        cells = np.flatnonzero(found)
        if len(cells):
            names = (_cell(table.dims, levels, np.unravel_index(cell, shape)) for cell in cells)
            problems.append(f"{len(cells)} of {count.size} planned cells {word}: {_some(names, len(cells))}")
    return problems


def _cell(dims: Sequence[str], levels: Mapping[str, Sequence[str]], index: Sequence[Any]) -> str:
    return "(" + ", ".join(f"{dim}={levels[dim][int(at)]}" for dim, at in zip(dims, index, strict=True)) + ")"


def _number(table: Table, column: Column) -> list[str]:
    values = np.asarray(table.data[column.name], dtype=np.float64)
    return _finite(table, column.name, values) or _range(table, column, values)


def _ratio(table: Table, column: Column) -> list[str]:
    k = np.asarray(table.data[f"{column.name}.k"], dtype=np.float64)
    n = np.asarray(table.data[f"{column.name}.n"], dtype=np.float64)
    problems = _finite(table, f"{column.name}.k", k) + _finite(table, f"{column.name}.n", n)
    if problems:
        return problems
    for bad, what in (
        (n <= 0, "no trials (a rate of nothing is unknown, not 0)"),
        ((k < 0) | (k > n), "successes outside 0 .. trials"),
        ((k != np.floor(k)) | (n != np.floor(n)), "counts that are not whole"),
    ):
        rows = np.flatnonzero(bad)
        if len(rows):
            shown = (f"{_row(table, row)} {k[row]:g} of {n[row]:g}" for row in rows)
            return [f"{len(rows)} row(s) of {column.name} with {what}: {_some(shown, len(rows))}"]
    return _range(table, column, k / n)


def _gram(table: Table, column: Column) -> list[str]:
    return [
        problem
        for name in stored_names(column)
        for problem in _finite(table, name, np.asarray(table.data[name], dtype=np.float64))
    ]


def _text(table: Table, column: Column) -> list[str]:
    return []


_COLUMN = {"number": _number, "ratio": _ratio, "gram": _gram, "text": _text}


def _finite(table: Table, name: str, values: NDArray[np.float64]) -> list[str]:
    rows = np.flatnonzero(~np.isfinite(values))
    if not len(rows):
        return []
    shown = (f"{_row(table, row)} {values[row]}" for row in rows)
    return [f"{len(rows)} value(s) of {name} are not finite numbers: {_some(shown, len(rows))}"]


def _range(table: Table, column: Column, values: NDArray[np.float64]) -> list[str]:
    low = -np.inf if column.low is None else column.low
    high = np.inf if column.high is None else column.high
    rows = np.flatnonzero((values < low - SLACK) | (values > high + SLACK))
    if not len(rows):
        return []
    shown = (f"{_row(table, row)} {values[row]:g}" for row in rows)
    return [f"{len(rows)} value(s) of {column.name} outside [{low:g}, {high:g}]: {_some(shown, len(rows))}"]


def _row(table: Table, row: int | np.int64) -> str:
    place = ", ".join(f"{dim}={table.data[dim][int(row)]}" for dim in table.dims)
    return f"row {int(row) + 1}" + (f" ({place})" if place else "")


def _some(items: Any, total: int | None = None) -> str:
    shown = list(islice(iter(items), SHOWN))
    total = len(items) if total is None else total
    return ", ".join(shown) + (f" and {total - SHOWN} more" if total > SHOWN else "")
