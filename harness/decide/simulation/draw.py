"""Draws simulated experiments: random effects per dim, runs, cells, and binomial completions.

With eta the logit for rates and the value itself for everything else, a cell of column c is

    eta = level + run(arm, sweeps, seed) + sum over drawn dims d of [ u_d + u_(d x arm) ] + u_cell

all terms independent and Gaussian. The level of a rate is its mean over the population of personas, questions and
runs, so its intercept solves E[expit(a + s Z)] = level with s^2 the sum of the variances.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from harness.core.ident import seed_for
from harness.decide.simulation.components import Components
from harness.decide.simulation.scene import Reading
from harness.decide.simulation.tables import Data, Drawn
from harness.stats.arrays import FloatArray

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(61)
WEIGHTS = WEIGHTS / WEIGHTS.sum()
Levels = Mapping[str, FloatArray]
"""True levels ``[*dims]`` by ``measure.column``."""


def intercept(level: FloatArray, sd: FloatArray) -> FloatArray:
    """Return a with E[expit(a + sd Z)] = level, Z standard normal (61 Gauss-Hermite nodes, bisection)."""
    inside = np.clip(level, 1e-9, 1 - 1e-9)
    low, high = np.full(inside.shape, -60.0), np.full(inside.shape, 60.0)
    for _ in range(60):
        middle = (low + high) / 2
        mean = special.expit(middle[..., None] + sd[..., None] * NODES) @ WEIGHTS
        low, high = np.where(mean < inside, middle, low), np.where(mean < inside, high, middle)
    edge = np.where(level <= 0, -np.inf, np.where(level >= 1, np.inf, 0.0))
    result: FloatArray = (low + high) / 2 + edge
    return result


def slope(a: FloatArray, sd: FloatArray) -> FloatArray:
    """Return d E[expit(a + sd Z)] / d a: turns a run SD on the scale of rates into one of logits."""
    p = special.expit(a[..., None] + sd[..., None] * NODES)
    result: FloatArray = (p * (1 - p)) @ WEIGHTS
    return result


@dataclass(frozen=True)
class Term:
    """A random effect of a column: its dims and its SD ``[*dims of the column]`` (0 where a level is fixed)."""

    name: str
    dims: tuple[str, ...]
    sd: FloatArray


def terms(reading: Reading, components: Components) -> list[Term]:
    """Return the random effects of a column, runs apart."""
    found = []
    drawn, shape = reading.drawn, reading.shape
    free = np.ones(shape)
    moving = {dim: [not reading.fixed(dim, level) for level in reading.levels[dim]] for dim in drawn}
    masks = {dim: _axis(reading, dim, each) for dim, each in moving.items()}
    for dim in drawn:
        sd = components.sd(reading.measure, reading.column, dim)
        found.append(Term(dim, (dim,), sd * masks[dim] * free))
        if "arm" in reading.dims:
            sd = components.sd(reading.measure, reading.column, f"{dim} x arm")
            found.append(Term(f"{dim} x arm", (dim, "arm"), sd * masks[dim] * free))
    if drawn:
        sd = components.sd(reading.measure, reading.column, "cell")
        found.append(Term("cell", (*drawn, *reading.runs), sd * free))
    return [term for term in found if term.sd.any()]


def run_sds(reading: Reading, components: Components, level: FloatArray) -> FloatArray:
    """Return the run-to-run SD ``[*dims]`` on the column's own scale: 0 where nothing has been trained."""
    stage = reading.measure.stage
    trained = [stage.get(arm, 1) > 0 for arm in reading.levels.get("arm", ())]
    result: FloatArray = components.run(reading.measure, reading.column, level)
    return result * _axis(reading, "arm", trained) if trained else result


def _axis(reading: Reading, dim: str, values: list[bool]) -> FloatArray:
    shape = [1] * len(reading.dims)
    shape[reading.dims.index(dim)] = len(values)
    return np.array(values, dtype=np.float64).reshape(shape)


class Drawer:
    """Draws batches for one set of true levels.

    Batches of one seed share their random effects between sets of levels, which makes curves over effects smooth.
    """

    def __init__(
        self,
        readings: Mapping[str, Reading],
        components: Components,
        trials: Mapping[str, NDArray[np.int64]],
        scope: str,
    ) -> None:
        self.readings, self.components, self.trials, self.scope = readings, components, trials, scope
        self._terms = {name: terms(reading, components) for name, reading in readings.items()}

    def draw(self, levels: Levels, size: int, seed: int, chunk: int) -> Data:
        """Return ``size`` experiments: chunk number ``chunk`` of a seed's stream."""
        shared: dict[str, FloatArray] = {}
        return {name: self._column(name, levels[name], size, (seed, chunk), shared) for name in self.readings}

    def _column(
        self, name: str, level: FloatArray, size: int, stream: tuple[int, int], shared: dict[str, FloatArray]
    ) -> Drawn:
        reading, own = self.readings[name], self._terms[name]
        rng = np.random.default_rng([seed_for(self.scope, f"simulate/{name}", stream[0]), stream[1]])
        run = run_sds(reading, self.components, level)
        spread = np.sqrt(np.sum([term.sd**2 for term in own], axis=0)) if own else np.zeros(reading.shape)
        rate = reading.column.form == "ratio"
        centre = level
        if rate:
            centre, run = _logits(level, spread, run)
        eta = np.broadcast_to(centre, (size, *reading.shape))
        for term in [*own, Term("run", reading.runs, run)]:
            if term.sd.any():
                eta = eta + term.sd * self._effect(reading, term, size, rng, stream, shared)
        if not rate:
            low, high = reading.column.low, reading.column.high
            clip = reading.column.form == "number" and (low is not None or high is not None)
            return Drawn(np.clip(eta, low, high) if clip else np.ascontiguousarray(eta))
        trials = self.trials[name]
        return Drawn(rng.binomial(trials, special.expit(eta)).astype(np.int64), trials)

    def _effect(
        self,
        reading: Reading,
        term: Term,
        size: int,
        rng: np.random.Generator,
        stream: tuple[int, int],
        shared: dict[str, FloatArray],
    ) -> FloatArray:
        """Return standard normal effects that broadcast to ``[b, *dims]``."""
        others = tuple(d for d in reading.dims if d not in (*term.dims, *reading.runs, *reading.drawn))
        between = self.components.level_correlation if others else 1.0
        effect = np.sqrt(between) * self._normal(reading, term.dims, size, rng)
        if between < 1:
            effect = effect + np.sqrt(1 - between) * self._normal(reading, (*term.dims, *others), size, rng)
        rho = self.components.probe_correlation
        if rho:
            common = self._common(reading, term, size, stream, shared)
            effect = np.sqrt(abs(rho)) * common + np.sqrt(1 - abs(rho)) * effect
        result: FloatArray = effect
        return result

    def _normal(self, reading: Reading, dims: tuple[str, ...], size: int, rng: np.random.Generator) -> FloatArray:
        shape = [len(reading.levels[dim]) if dim in dims else 1 for dim in reading.dims]
        return rng.standard_normal((size, *shape))

    def _common(
        self, reading: Reading, term: Term, size: int, stream: tuple[int, int], shared: dict[str, FloatArray]
    ) -> FloatArray:
        """Return the part that measures share at this column's levels, signed for a negative correlation."""
        # A sweep is one measure's own: what its runs share with other measures is the same along it.
        dims = tuple(sorted(dim for dim in term.dims if dim not in reading.measure.sweeps))
        every = {
            dim: tuple(dict.fromkeys(level for r in self.readings.values() for level in r.levels.get(dim, ())))
            for dim in dims
        }
        key = f"{term.name} {dims}"
        if key not in shared:
            rng = np.random.default_rng([seed_for(self.scope, f"simulate/common/{key}", stream[0]), stream[1]])
            shared[key] = rng.standard_normal((size, *(len(every[dim]) for dim in dims)))
        picks = [[every[dim].index(level) for level in reading.levels[dim]] for dim in dims]
        values = shared[key][np.ix_(range(size), *picks)]
        order = [dim for dim in reading.dims if dim in dims]
        values = values.transpose([0, *(1 + dims.index(dim) for dim in order)])
        shape = [len(reading.levels[dim]) if dim in dims else 1 for dim in reading.dims]
        first = next(iter(self.readings.values())).measure.name
        sign = -1.0 if self.components.probe_correlation < 0 and reading.measure.name != first else 1.0
        result: FloatArray = sign * values.reshape(size, *shape)
        return result


def _logits(level: FloatArray, spread: FloatArray, run: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return intercepts and run SDs as logits; equal cells are solved once."""
    stacked = np.stack([np.broadcast_to(each, spread.shape).ravel() for each in (level, spread, run)], axis=1)
    unique, back = np.unique(stacked, axis=0, return_inverse=True)
    target, sd, on_rates = unique.T
    runs = np.zeros(len(unique))
    for _ in range(4):
        total = np.sqrt(sd**2 + runs**2)
        a = intercept(target, total)
        steep = slope(np.where(np.isfinite(a), a, 0.0), total)
        runs = np.where(np.isfinite(a), np.minimum(on_rates / np.maximum(steep, 1e-12), 5.0), 0.0)
    a = intercept(target, np.sqrt(sd**2 + runs**2))
    shape = spread.shape
    return a[back.ravel()].reshape(shape), runs[back.ravel()].reshape(shape)
