"""Simulated data as measurements: a whole batch in memory, one experiment in memory, or one experiment on disk.

Cosines are simulated as linearised per-question values c_q. The Gram block with ``own = ref = 1`` and
``dot[q, r] = (c_q + c_r)/2`` has exactly these: its cosine is the mean of c_q over any questions that are left,
so its jackknife over questions is the t over c_q.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.contracts.bound import BoundMeasure
from harness.contracts.kinds import Table
from harness.contracts.records import Column
from harness.decide.simulation.scene import Reading
from harness.decide.tables import Dense, World
from harness.measure.table import write_table
from harness.stats.arrays import FloatArray

EXPERIMENT = "experiment"


@dataclass(frozen=True)
class Drawn:
    """Simulated values of one column ``[b, *dims]``: counts and their trials ``[*dims]``, or values."""

    values: FloatArray
    trials: NDArray[np.int64] | None = None


Data = Mapping[str, Drawn]
"""By ``measure.column``."""


def batch_world(readings: Mapping[str, Reading], data: Data, size: int) -> World:
    """Return all experiments as measurements with the experiment as their first dim; cosines stand as numbers."""
    names = tuple(str(index) for index in range(size))
    measures: dict[str, Dense] = {}
    for name, reading in readings.items():
        levels = {EXPERIMENT: names, **reading.levels}
        dims = (EXPERIMENT, *reading.dims)
        dense = measures.setdefault(
            reading.measure.name,
            Dense(reading.measure.model_copy(update={"levels": levels, "dims": dims}), dims),
        )
        column = reading.column
        if column.form == "gram":
            column = column.model_copy(update={"form": "number"})
        _fill(dense, column, data[name], (size, *reading.shape))
    return World(measures)


def one_world(readings: Mapping[str, Reading], data: Data, index: int) -> World:
    """Return one experiment as a run would load it, cosines as Gram blocks."""
    measures: dict[str, Dense] = {}
    for name, reading in readings.items():
        measure = _simulated(readings, name).model_copy(update={"levels": dict(reading.levels)})
        dense = measures.setdefault(measure.name, Dense(measure, reading.dims))
        drawn = Drawn(data[name].values[index], data[name].trials)
        _fill(dense, reading.column, drawn, reading.shape)
    return World(measures)


def write_one(
    readings: Mapping[str, Reading], data: Data, index: int, out: Path
) -> tuple[dict[str, BoundMeasure], dict[str, list[tuple[dict[str, str], Path]]]]:
    """Write one experiment as measurement tables; return the measures and where each lies, as ``estimate`` takes them.

    Only what the rule reads is written.
    """
    measures = {reading.measure.name: _simulated(readings, name) for name, reading in readings.items()}
    placed: dict[str, list[tuple[dict[str, str], Path]]] = {name: [] for name in measures}
    for name, reading in readings.items():
        folder = out / name
        write_table(_table(reading, Drawn(data[name].values[index], data[name].trials)), folder)
        placed[reading.measure.name].append(({}, folder))
    return measures, placed


def _simulated(readings: Mapping[str, Reading], name: str) -> BoundMeasure:
    """Return a measure with the columns that are simulated, and no others."""
    measure = readings[name].measure
    columns = tuple(column for column in measure.columns if f"{measure.name}.{column.name}" in readings)
    return measure.model_copy(update={"columns": columns})


def blocks(values: FloatArray) -> dict[str, FloatArray]:
    """Return the Gram block ``[..., q, q]`` whose linearised per-question values are ``[..., q]``."""
    dot = (values[..., :, None] + values[..., None, :]) / 2
    ones = np.ones_like(dot)
    return {".dot": dot, ".own": ones, ".ref": ones}


def _fill(dense: Dense, column: Column, drawn: Drawn, shape: tuple[int, ...]) -> None:
    dense.columns[column.name] = column
    arrays: dict[str, NDArray[Any]]
    present = shape
    if column.form == "ratio":
        assert drawn.trials is not None
        arrays = {".k": drawn.values, ".n": np.broadcast_to(drawn.trials, shape)}
    elif column.form == "gram":
        at = dense.dims.index(column.pair)
        arrays = dict(blocks(np.moveaxis(drawn.values, at, -1)))
        present = arrays[".dot"].shape
    else:
        arrays = {"": drawn.values}
    dense.present[column.name] = np.broadcast_to(np.True_, present)
    dense.arrays.update({column.name + part: values for part, values in arrays.items()})


def _table(reading: Reading, drawn: Drawn) -> Table:
    column, dims = reading.column, list(reading.dims)
    arrays: dict[str, NDArray[Any]]
    if column.form == "ratio":
        assert drawn.trials is not None
        arrays = {".k": drawn.values, ".n": np.broadcast_to(drawn.trials, drawn.values.shape)}
    elif column.form == "gram":
        at = dims.index(column.pair)
        dims = [*(dim for dim in dims if dim != column.pair), column.pair, f"{column.pair}_b"]
        arrays = dict(blocks(np.moveaxis(drawn.values, at, -1)))
    else:
        arrays = {"": drawn.values}
    labels = np.meshgrid(*(np.array(reading.levels[dim.removesuffix("_b")]) for dim in dims), indexing="ij")
    data: dict[str, Any] = {dim: label.ravel() for dim, label in zip(dims, labels, strict=True)}
    data.update({column.name + part: values.ravel() for part, values in arrays.items()})
    return Table(tuple(dims), (column,), data)
