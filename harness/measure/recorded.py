"""Recorded data as a measurement: a CSV or parquet file with declared columns, read with every error at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.compile.recorded_rows import declare, read_rows, read_table
from harness.contracts.kinds import Table


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
    data = read_table(declared, read_rows(file), levels if levels is not None else params.get("levels") or {})
    return Table(tuple(declared.dims.values()), declared.columns, data)
