"""The cells of a contrast's pool: what every arm of it holds, in one order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.decide.tables import Dense


@dataclass(frozen=True)
class Drawn:
    """The rates of a contrast's pool, arm by arm."""

    rates: Dense
    column: str
    pool: Mapping[str, tuple[str, ...]]
    unit: str
    arms: tuple[str, ...]

    def trials(self, arm: str) -> NDArray[np.int64]:
        """Trials of every cell of an arm, in the order of the measure's dims."""
        return self._grid(f"{self.column}.n", arm)

    def hits(self, arm: str) -> NDArray[np.int64]:
        """Successes of every cell of an arm."""
        return self._grid(f"{self.column}.k", arm)

    def labels(self, arm: str, dim: str) -> NDArray[np.str_]:
        """The level of ``dim`` of every cell, in the same order."""
        dims = [each for each in self.rates.dims if each != "arm"]
        shape = [len(self._levels(each)) for each in dims]
        at = [1] * len(dims)
        at[dims.index(dim)] = -1
        return np.broadcast_to(np.array(self._levels(dim)).reshape(at), shape).reshape(-1)

    def _grid(self, name: str, arm: str) -> NDArray[np.int64]:
        return grid(self.rates, name, arm, self.pool).reshape(-1)

    def _levels(self, dim: str) -> tuple[str, ...]:
        return self.pool.get(dim) or self.rates.measure.levels[dim]


def grid(dense: Dense, name: str, arm: str, pool: Mapping[str, Sequence[str]]) -> NDArray[Any]:
    """Return the stored column ``name`` of one arm over the pool, in the order of the measure's dims."""
    column = name.removesuffix(".k").removesuffix(".n")
    return np.asarray(dense.arrays[name][_places(dense, column, arm, pool)])


def measured(dense: Dense, column: str, arm: str, pool: Mapping[str, Sequence[str]]) -> bool:
    """Say whether every cell of the arm's pool was measured."""
    return bool(dense.present[column][_places(dense, column, arm, pool)].all())


def _places(dense: Dense, column: str, arm: str, pool: Mapping[str, Sequence[str]]) -> tuple[NDArray[np.int64], ...]:
    wanted = {**pool, "arm": (arm,)}
    index = [
        np.array([dense.measure.levels[dim].index(level) for level in wanted.get(dim, dense.measure.levels[dim])])
        for dim in dense.dims
    ]
    return np.ix_(*index)


def rounded(value: float) -> float:
    """Round to 12 significant digits, so that the last bits of a machine's arithmetic are in no report."""
    return float(f"{value:.12g}")
