"""Measurement tables as dense arrays over the planned levels: what references select from.

A job's table lacks the dims that are the same for all of its rows (arm, sweep levels, seed); they come from the
plan. A job that does not depend on a sweep or on the seed (an untrained arm) stands at all of its levels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.contracts.bound import BoundMeasure
from harness.contracts.kinds import Table
from harness.contracts.records import Column, Inference
from harness.contracts.trees import Ref
from harness.core.errors import JobError
from harness.decide.draws import Kept
from harness.measure.run import locate
from harness.measure.table import read_table, stored_names
from harness.stats.arrays import FloatArray

Placed = Sequence[tuple[Mapping[str, str], Path]]
SHOWN = 3


@dataclass(frozen=True)
class Selected:
    """What a reference selects: arrays ``[*dims]`` by part ("" for a number, k and n, or dot, own and ref).

    Gram parts end in the pair: ``[*dims, pair, pair]`` with ``dims`` not holding the pair.
    """

    dims: tuple[str, ...]
    column: Column
    parts: Mapping[str, NDArray[Any]]


@dataclass
class Dense:
    """All rows of one measure as arrays over its planned levels, and which cells are there."""

    measure: BoundMeasure
    dims: tuple[str, ...]
    columns: dict[str, Column] = field(default_factory=dict)
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    present: dict[str, NDArray[np.bool_]] = field(default_factory=dict)

    def select(self, ref: Ref) -> Selected:
        """Return the arrays that ``ref`` selects.

        Raises:
            JobError: an unknown column or level, or a selected cell that no table holds.
        """
        column = self._column(ref)
        dims = _dims(self.dims, column)
        chosen = [ref.select.get(dim) or self.measure.levels[dim] for dim in dims]
        index = [locate(levels, self.measure.levels[dim]) for dim, levels in zip(dims, chosen, strict=True)]
        for dim, levels, places in zip(dims, chosen, index, strict=True):
            if (places < 0).any():
                stray = [level for level, place in zip(levels, places, strict=True) if place < 0]
                raise JobError(f"measure {self.measure.name} has no {dim} {', '.join(stray[:SHOWN])}")
        pair = column.pair if column.form == "gram" else ""
        grid = np.ix_(*index, *([index[-1]] if pair else []))
        self._complete(column, dims, chosen, np.asarray(self.present[column.name][grid]))
        parts = {name[len(column.name) :]: np.asarray(self.arrays[name][grid]) for name in stored_names(column)}
        return Selected(dims[:-1] if pair else dims, column, parts)

    def _column(self, ref: Ref) -> Column:
        if ref.column not in self.columns:
            raise JobError(f"measure {ref.measure} has no column '{ref.column}' (it has {', '.join(self.columns)})")
        column = self.columns[ref.column]
        if column.form == "text":
            raise JobError(f"{ref.measure}.{ref.column} is text and has no value")
        return column

    def _complete(
        self, column: Column, dims: Sequence[str], chosen: Sequence[Sequence[str]], present: NDArray[np.bool_]
    ) -> None:
        missing = np.argwhere(~present)
        if not len(missing):
            return
        cells = [
            ", ".join(f"{dim}={levels[at]}" for dim, levels, at in zip(dims, chosen, cell, strict=False))
            for cell in missing[:SHOWN]
        ]
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        raise JobError(
            f"{self.measure.name}.{column.name}: {len(missing)} of {present.size} planned cells were not measured: "
            f"({'), ('.join(cells)}){more}"
        )


@dataclass
class World:
    """The measures that an expression reads, with their data."""

    measures: Mapping[str, Dense]
    drawn: Kept = field(default_factory=lambda: Kept(0))
    """Draws that were made for other data of the same shape and serve here as well; usually none are kept."""
    _selected: dict[str, Selected] = field(default_factory=dict)

    def select(self, ref: Ref) -> Selected:
        """Return what ``ref`` selects (kept, so that many draws select once)."""
        key = ref.model_dump_json(exclude={"keep"})
        if key not in self._selected:
            if ref.measure not in self.measures:
                raise JobError(f"nothing was measured for {ref.measure}: no data is an error and never a zero")
            self._selected[key] = self.measures[ref.measure].select(ref)
        return self._selected[key]

    def inference(self, measure: str) -> Inference | None:
        """Return how a measure says that it generalises."""
        return self.measures[measure].measure.inference

    def levels(self, dim: str) -> tuple[str, ...]:
        """Return the levels of ``dim`` in the measure that has most of them.

        Raises:
            JobError: no measure has the dim.
        """
        found = [dense.measure.levels[dim] for dense in self.measures.values() if dim in dense.dims]
        if not found:
            raise JobError(f"no measure here has the dim {dim}")
        return max(found, key=len)


def load_world(measures: Mapping[str, BoundMeasure], tables: Mapping[str, Placed]) -> World:
    """Read every table of every measure.

    Raises:
        JobError: a measure without tables, dims that nobody planned, cells that two tables hold.
    """
    return World({name: load(measures[name], placed) for name, placed in tables.items() if placed})


def load(measure: BoundMeasure, placed: Placed, read: Callable[[Path], Table] = read_table) -> Dense:
    """Read the tables of one measure into dense arrays. ``read`` may keep what it has read before."""
    tables = [(at, read(path)) for at, path in placed]
    pairs = {f"{column.pair}_b" for _, table in tables for column in table.columns if column.form == "gram"}
    dense = Dense(measure, tuple(dim for dim in measure.dims if dim not in pairs))
    for at, table in tables:
        _place(dense, at, table, pairs)
    return dense


def _dims(dims: tuple[str, ...], column: Column) -> tuple[str, ...]:
    """Dims in the order of a column's arrays: a Gram column's pair comes last."""
    return (*(dim for dim in dims if dim != column.pair), column.pair) if column.form == "gram" else dims


def _place(dense: Dense, at: Mapping[str, str], table: Table, pairs: set[str]) -> None:
    name = dense.measure.name
    stray = [dim for dim in table.dims if dim not in dense.dims and dim not in pairs]
    if stray:
        raise JobError(f"a table of {name} has the dim {stray[0]}, which the measure does not have")
    rows = len(next(iter(table.data.values())))
    index: dict[str, NDArray[np.int64]] = {}
    free = []
    for dim in dense.dims:
        if dim in table.dims:
            index[dim] = _located(dense, table.data[dim], dim, dim)
        elif dim in at:
            index[dim] = np.broadcast_to(_located(dense, [at[dim]], dim, dim), rows)
        elif dim == "seed" or dim in dense.measure.sweeps:
            free.append(dim)
        else:
            raise JobError(f"a table of {name} does not say which {dim} its rows belong to")
    for column in table.columns:
        if column.form == "text":
            dense.columns.setdefault(column.name, column)
            continue
        if column.form == "gram":
            index[f"{column.pair}_b"] = _located(dense, table.data[f"{column.pair}_b"], column.pair, f"{column.pair}_b")
        for levels in product(*(range(len(dense.measure.levels[dim])) for dim in free)):
            fixed = {dim: np.broadcast_to(np.int64(level), rows) for dim, level in zip(free, levels, strict=True)}
            _write(dense, table, column, {**index, **fixed})


def _located(dense: Dense, labels: Any, dim: str, shown: str) -> NDArray[np.int64]:
    places = locate(labels, dense.measure.levels[dim])
    if (places < 0).any():
        stray = sorted({str(label) for label, place in zip(labels, places, strict=True) if place < 0})
        raise JobError(f"a table of {dense.measure.name} has unplanned levels of {shown}: {', '.join(stray[:SHOWN])}")
    return places


def _write(dense: Dense, table: Table, column: Column, index: Mapping[str, NDArray[np.int64]]) -> None:
    dims = _dims(dense.dims, column)
    spread = (*dims, f"{column.pair}_b") if column.form == "gram" else dims
    shape = tuple(len(dense.measure.levels[dim]) for dim in dims) + (
        (len(dense.measure.levels[column.pair]),) if column.form == "gram" else ()
    )
    if column.name not in dense.columns:
        dense.columns[column.name] = column
        dense.present[column.name] = np.zeros(shape, dtype=np.bool_)
        for name in stored_names(column):
            kind = np.int64 if column.form == "ratio" else np.float64
            dense.arrays[name] = np.zeros(shape, dtype=kind)
    elif dense.columns[column.name] != column:
        raise JobError(f"two tables of {dense.measure.name} declare column '{column.name}' differently")
    at = tuple(index[dim] for dim in spread)
    flat = np.ravel_multi_index(at, shape) if at else np.zeros(1, dtype=np.int64)
    present = dense.present[column.name].reshape(-1)
    if present[flat].any() or np.bincount(flat).max() > 1:
        raise JobError(f"{dense.measure.name}.{column.name}: a cell stands in two rows")
    present[flat] = True
    for name in stored_names(column):
        values: FloatArray = np.asarray(table.data[name])
        dense.arrays[name].reshape(-1)[flat] = values


def observations(world: World, refs: Sequence[Ref]) -> int:
    """Return how many observations stand behind references: trials of rates, rows of numbers, states of cosines.

    Cells that several references share count once, and of several columns of a measure the first one counts.
    """
    total = 0
    for name in dict.fromkeys(ref.measure for ref in refs):
        own = [ref for ref in refs if ref.measure == name]
        dense = world.measures[name]
        column = dense.columns[own[0].column]
        dims = _dims(dense.dims, column)
        used = np.zeros(tuple(len(dense.measure.levels[dim]) for dim in dims), dtype=np.bool_)
        for ref in own:
            chosen = (ref.select.get(dim) or dense.measure.levels[dim] for dim in dims)
            used[
                np.ix_(*(locate(levels, dense.measure.levels[dim]) for dim, levels in zip(dims, chosen, strict=True)))
            ] = True
        total += int(dense.arrays[f"{column.name}.n"][used].sum() if column.form == "ratio" else used.sum())
    return total


def level_counts(world: World, refs: Sequence[Ref]) -> dict[str, int]:
    """Return how many levels of each dim but the arm take part."""
    found: dict[str, set[str]] = {}
    for ref in refs:
        dense = world.measures[ref.measure]
        for dim in dense.dims:
            found.setdefault(dim, set()).update(ref.select.get(dim) or dense.measure.levels[dim])
    return {dim: len(levels) for dim, levels in found.items() if dim != "arm"}
