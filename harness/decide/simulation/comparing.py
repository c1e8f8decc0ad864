"""Comparisons in every experiment at once: truths as numbers, and tables with the experiments in front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.contracts.trees import Call, Ci, Compare, PValue, Rel, Value
from harness.decide.labelled import Labelled
from harness.decide.simulation.tables import EXPERIMENT
from harness.stats.arrays import FloatArray

TIE = 1e-9
"""Exact fractions of counts that are this close are equal: their steps are many times wider."""
Truths = NDArray[np.int8]
"""1 true, 0 unknown, -1 false."""


@dataclass
class Facts:
    """Truths ``[b, places]`` of one comparison, and its places on the kept dims."""

    axes: dict[str, tuple[str, ...]]
    truths: Truths


def places(axes: Mapping[str, Sequence[str]]) -> list[dict[str, str]]:
    """Return every combination of levels, the last dim running fastest."""
    spots: list[dict[str, str]] = [{}]
    for axis, levels in axes.items():
        spots = [{**spot, axis: level} for spot in spots for level in levels]
    return spots


def sides_of(leaf: Compare | Ci) -> list[Value]:
    """Return the formulas of a comparison."""
    if isinstance(leaf, Compare):
        return [leaf.left, leaf.right]
    return [tree for tree in (leaf.of, leaf.bound, leaf.low, leaf.high) if tree is not None]


def code_of(truth: str) -> int:
    """Return a truth as a number."""
    return {"true": 1, "unknown": 0, "false": -1}[truth]


def compared(left: FloatArray, rel: Rel, right: FloatArray, tie: float) -> NDArray[np.int64]:
    """Compare; not finite is unknown, and exact values within ``tie`` are equal."""
    with np.errstate(invalid="ignore"):
        equal = np.abs(left - right) < tie
        holds = {">": left > right, ">=": left >= right, "<": left < right, "<=": left <= right}[rel]
    holds = np.where(equal, rel in (">=", "<="), holds)
    return np.where(np.isfinite(left) & np.isfinite(right), np.where(holds, 1, -1), 0)


def flat(truths: NDArray[np.int64], size: int) -> Truths:
    """Return truths ``[b or 1, *axes]`` as ``[b, places]``."""
    full = np.broadcast_to(truths, (size, *truths.shape[1:]))
    return full.reshape(size, -1).astype(np.int8)


def in_front(table: Labelled) -> Labelled:
    """Return a table whose draws are the experiments that it kept."""
    axes = tuple(axis for axis in table.axes if axis != EXPERIMENT)
    moved = table.moved((EXPERIMENT, *axes))
    return Labelled(axes, {axis: table.levels[axis] for axis in axes}, moved.data[0])


def two_sided(test: PValue) -> bool:
    """Whether a test is of ``abs(x)``."""
    return isinstance(test.of, Call) and test.of.fn == "abs"
