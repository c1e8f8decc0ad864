"""The stored form of a measurement: ``table.parquet`` with the rows, ``table.json`` with dims and columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from harness.contracts.kinds import Table
from harness.contracts.records import Column
from harness.core.errors import JobError
from harness.core.ident import canonical

PARTS = {"number": ("",), "ratio": (".k", ".n"), "gram": (".dot", ".own", ".ref"), "text": ("",)}
"""Suffixes of the stored columns by form."""


def stored_names(column: Column) -> tuple[str, ...]:
    """Return the names of the stored columns behind a measured one."""
    return tuple(column.name + suffix for suffix in PARTS[column.form])


def write_table(table: Table, out: Path) -> None:
    """Write ``table.parquet`` and ``table.json`` into ``out``. Equal tables give equal bytes.

    Raises:
        JobError: a declared column is absent, an undeclared one present, or lengths differ.
    """
    arrays = {dim: pa.array([str(level) for level in _raw(table, dim)], pa.string()) for dim in table.dims}
    for column in table.columns:
        for name in stored_names(column):
            arrays[name] = _arrow(column, _raw(table, name), name)
    stray = sorted(set(table.data) - set(arrays))
    if stray:
        raise JobError(f"the table holds columns that it does not declare: {', '.join(stray)}")
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise JobError(f"the table's columns differ in length: {lengths}")
    out.mkdir(parents=True, exist_ok=True)
    # One row group, no statistics of the writing process, fixed codec: bytes depend on the content alone.
    pq.write_table(
        pa.table(arrays), out / "table.parquet", compression="zstd", version="2.6", write_statistics=False,
        row_group_size=max(1, max(lengths.values(), default=0)),
    )  # fmt: skip
    shape = {"dims": list(table.dims), "columns": [column.model_dump(mode="json") for column in table.columns]}
    (out / "table.json").write_bytes(canonical(shape))


def read_table(directory: Path) -> Table:
    """Read a table that :func:`write_table` wrote: dims and text as objects, numbers float64, counts int64.

    Raises:
        JobError: a file is absent or does not have the declared columns.
    """
    try:
        shape = json.loads((directory / "table.json").read_bytes())
        stored = pq.read_table(directory / "table.parquet")
    except FileNotFoundError as error:
        raise JobError(f"the measurement in {directory} has no {Path(str(error.filename)).name}") from error
    columns = tuple(Column.model_validate(column) for column in shape["columns"])
    names = [*shape["dims"], *(name for column in columns for name in stored_names(column))]
    if sorted(names) != sorted(stored.column_names):
        held = sorted(stored.column_names)
        raise JobError(f"{directory}: table.json declares {sorted(names)}, table.parquet holds {held}")
    data = {name: stored.column(name).to_numpy() for name in names}
    return Table(tuple(shape["dims"]), columns, data)


def _raw(table: Table, name: str) -> Sequence[Any]:
    if name not in table.data:
        raise JobError(f"the table declares '{name}' and does not hold it (it holds {', '.join(sorted(table.data))})")
    return table.data[name]  # type: ignore[return-value]


def _arrow(column: Column, values: Sequence[Any], name: str) -> Any:
    if column.form == "text":
        return pa.array([str(value) for value in values], pa.string())
    numbers = np.asarray(values)
    if numbers.dtype.kind not in "iufb":
        raise JobError(f"column '{name}' is {numbers.dtype}, not numbers")
    if column.form == "ratio":
        if numbers.size and not np.array_equal(numbers, np.floor(numbers)):
            raise JobError(f"column '{name}' counts and holds values that are not whole")
        return pa.array(numbers.astype(np.int64), pa.int64())
    return pa.array(numbers.astype(np.float64), pa.float64())
