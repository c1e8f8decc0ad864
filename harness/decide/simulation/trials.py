"""How many completions stand behind a simulated rate."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.core.errors import JobError
from harness.decide.simulation.scene import Reading
from harness.decide.tables import load
from harness.decide.witness import TRIALS
from harness.measure.recorded import measure_recorded
from harness.measure.run import locate
from harness.measure.table import write_table


def trials_of(readings: Mapping[str, Reading]) -> tuple[dict[str, NDArray[np.int64]], list[str]]:
    """Return trials per cell ``[*dims]`` of every rate: as registered, as recorded, else ten with a note."""
    found, notes = {}, []
    for name, reading in readings.items():
        if reading.column.form != "ratio":
            continue
        recorded = _recorded(reading)
        if recorded is not None:
            found[name] = recorded
            continue
        declared = reading.measure.params.get("completions")
        if declared is None:
            notes.append(f"{name}: {TRIALS} completions per cell are assumed")
        found[name] = np.full(reading.shape, int(declared or TRIALS), dtype=np.int64)
    return found, notes


def _recorded(reading: Reading) -> NDArray[np.int64] | None:
    file = reading.measure.file
    if reading.measure.family != "recorded" or file is None or not Path(file.path).is_file():
        return None
    with tempfile.TemporaryDirectory() as folder:
        write_table(measure_recorded(reading.measure.params, Path(file.path), reading.measure.levels), Path(folder))
        try:
            dense = load(reading.measure, [({}, Path(folder))])
        except JobError:
            return None
    at = np.ix_(*(locate(reading.levels[dim], reading.measure.levels[dim]) for dim in reading.dims))
    trials = np.asarray(dense.arrays[f"{reading.column.name}.n"][at], dtype=np.int64)
    return trials if (trials > 0).all() else None
