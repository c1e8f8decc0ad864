"""Made-up tables with planted levels, in the shape that the registration plans: what a rehearsal replays.

A setting gives each knob (a column of a measure, on one arm, for one group of personas) a level; the table then
holds that level with binomial or small Gaussian noise, drawn from a seed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from harness.contracts.bound import BoundMeasure
from harness.contracts.kinds import Table
from harness.contracts.records import Column
from harness.contracts.trees import Ref
from harness.core.ident import seed_for
from harness.measure.table import write_table

TRIALS = 10
"""Observations behind a made-up rate where the measure does not say how many it takes."""


class Knob(NamedTuple):
    """What a setting can turn: a column on an arm (empty: no arms) for a group of personas (empty: all)."""

    measure: str
    column: str
    arm: str
    group: tuple[str, ...]


def knobs(measure: BoundMeasure, refs: Iterable[Ref]) -> list[Knob]:
    """Return the knobs of a measure: one per read column, arm and group of personas that formulas tell apart."""
    found: dict[Knob, None] = {}
    for ref in refs:
        if ref.measure == measure.name:
            for arm in ref.select.get("arm", ("",)):
                found[Knob(measure.name, ref.column, arm, ref.select.get("persona", ()))] = None
    return list(found)


def reads(ref: Ref, knob: Knob) -> bool:
    """Whether a reference's value depends on a knob."""
    same = ref.measure == knob.measure and ref.column == knob.column
    personas = ref.select.get("persona", ())
    return same and knob.arm in ref.select.get("arm", ("",)) and (not personas or bool({*personas} & {*knob.group}))


class Witness:
    """Writes the made-up tables of one measure; a table depends on its own arm's knobs alone and is written once.

    ``scope`` names the draws; ``out`` is the folder to write into.
    """

    def __init__(self, measure: BoundMeasure, scope: str, out: Path) -> None:
        self.measure = measure
        outer = [dim for dim in measure.dims if dim == "arm" or dim == "seed" or dim in measure.sweeps]
        self._inner = [dim for dim in measure.dims if dim not in outer]
        self._jobs = [
            dict(zip(outer, levels, strict=True))
            for levels in itertools.product(*(measure.levels[dim] for dim in outer))
        ]
        self._scope, self._out = scope, out
        self._written: dict[tuple[int, frozenset[tuple[Knob, float]]], Path] = {}

    def tables(self, setting: Mapping[Knob, float]) -> list[tuple[dict[str, str], Path]]:
        """Return one table per job of the measure, with the levels of a setting: coordinates and folders."""
        return [(at, self._table(index, at, setting)) for index, at in enumerate(self._jobs)]

    def _table(self, index: int, at: dict[str, str], setting: Mapping[Knob, float]) -> Path:
        arm = at.get("arm", "")
        own = {knob: level for knob, level in setting.items() if (knob.measure, knob.arm) == (self.measure.name, arm)}
        key = (index, frozenset(own.items()))
        if key not in self._written:
            folder = self._out / f"{self.measure.name}-{len(self._written)}"
            write_table(_table(self.measure, self._inner, arm, own, seed_for(self._scope, str(at))), folder)
            self._written[key] = folder
        return self._written[key]


def _table(measure: BoundMeasure, inner: list[str], arm: str, setting: Mapping[Knob, float], seed: int) -> Table:
    rng = np.random.default_rng(seed)
    pairs = [column.pair for column in measure.columns if column.form == "gram"]
    dims = [*inner, *(f"{pair}_b" for pair in pairs[:1])]
    rows = list(itertools.product(*(measure.levels[dim.removesuffix("_b")] for dim in dims)))
    data: dict[str, Any] = {dim: [row[index] for row in rows] for index, dim in enumerate(dims)}
    personas = data.get("persona", [""] * len(rows))
    for column in measure.columns:
        planted = {each: _level(measure, column, arm, each, setting) for each in dict.fromkeys(personas)}
        levels = np.array([planted[persona] for persona in personas])
        same = np.array([row[dims.index(pairs[0])] == row[-1] for row in rows]) if pairs else np.array([])
        data.update(row_values(measure, column, levels, same, rng))
    return Table(tuple(dims), measure.columns, data)


def _level(measure: BoundMeasure, column: Column, arm: str, persona: str, setting: Mapping[Knob, float]) -> float:
    """The planted level of a row: the narrowest group that holds its persona decides."""
    fitting = [
        (len(knob.group), level)
        for knob, level in setting.items()
        if (knob.measure, knob.column, knob.arm) == (measure.name, column.name, arm)
        and (not knob.group or persona in knob.group or not persona)
    ]
    return min(fitting)[1] if fitting else (column.low or 0.0)


def row_values(
    measure: BoundMeasure,
    column: Column,
    levels: np.ndarray[Any, Any],
    same: np.ndarray[Any, Any],
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Stored columns with the planted levels: [row] each."""
    size = len(levels)
    if column.form == "ratio":
        trials = int(measure.params.get("completions", TRIALS)) if measure.family != "recorded" else TRIALS
        hits = rng.binomial(trials, np.clip(levels, 0, 1))
        return {f"{column.name}.k": hits, f"{column.name}.n": np.full(size, trials)}
    if column.form == "gram":
        # Unit norms, the planted cosine between, a little noise, and answer noise on the diagonal.
        noise = rng.normal(0.0, 0.005, size=(3, size))
        return {
            f"{column.name}.dot": levels + noise[0],
            f"{column.name}.own": 1.0 + 0.05 * same + noise[1],
            f"{column.name}.ref": 1.0 + 0.05 * same + noise[2],
        }
    if column.form == "text":
        return {column.name: [""] * size}
    # A level at the edge of the range stays there: noise would make an exact zero (an adapter without effect) positive.
    edge = np.isin(levels, [edge for edge in (column.low, column.high) if edge is not None])
    spread = np.where(edge, 0.0, 0.01 * np.maximum(np.abs(levels), 1e-3))
    values = levels + rng.normal(0.0, 1.0, size) * spread
    return {column.name: np.clip(values, column.low, column.high)}
