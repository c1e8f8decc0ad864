"""Variance components from a recorded or pilot table of counts: a binomial mixed model, fitted by Laplace's method.

logit P(hit) = arm + persona + question + persona x arm + question x arm + cell, all but the arm Gaussian. The SDs
maximise the Laplace approximation of the likelihood, with a weak prior (each SD half-Cauchy of scale 2.5, Gelman
2006) that keeps one that the data say little about away from 0 and infinity. Their uncertainty is that of the log SDs
at the maximum, from the curvature. Personas are few in a pilot, so the intervals are wide; read them.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize, special

from harness.compile.bind import load_bound
from harness.contracts.bound import Bound
from harness.contracts.records import Record
from harness.core.errors import PreregError, Problem, Where
from harness.core.registry import did_you_mean
from harness.decide.simulation.components import Components
from harness.decide.simulation.places import split_place
from harness.decide.tables import load
from harness.measure.recorded import measure_recorded
from harness.measure.run import locate
from harness.measure.table import write_table
from harness.stats.arrays import FloatArray, IntArray

SCALE = 2.5
"""Of the prior of an SD on the logit scale."""


class Fit(Record):
    """Fitted logit SDs by term, each with an approximate 95% interval, and what they come from.

    ``rates`` are the arms' plain rates; ``baseline`` that of the first arm.
    """

    sds: dict[str, float]
    low: dict[str, float]
    high: dict[str, float]
    rates: dict[str, float]
    counts: dict[str, int]
    place: str

    @property
    def baseline(self) -> float:
        """The first arm's rate, away from 0 and 1."""
        return min(max(next(iter(self.rates.values())), 0.01), 0.99)

    def words(self) -> str:
        """Say the SDs with their intervals."""
        each = (f"{name} {sd:.2f} ({self.low[name]:.2f} to {self.high[name]:.2f})" for name, sd in self.sds.items())
        size = ", ".join(f"{n} {dim}" for dim, n in self.counts.items())
        return f"logit SDs from {self.place} ({size}): " + ", ".join(each)


@dataclass(frozen=True)
class _Model:
    """Counts ``[o]`` of trials ``[o]``, the design of arms and effects, and each effect's number of levels."""

    hits: FloatArray
    trials: FloatArray
    design: FloatArray
    names: tuple[str, ...]
    sizes: tuple[int, ...]


def fit_place(text: str, data_root: Path | None = None) -> Fit:
    """Fit ``FILE.yaml:MEASURE[ARM, ARM, SET]``: a recorded measure of a prereg, restricted to arms and levels.

    Raises:
        PreregError: there is no such recorded rate, or a name in brackets is no arm, set or level of it.
    """
    file, colon, place = text.rpartition(":")
    if not colon or not file:
        raise PreregError(Problem(Where(key="pilot"), f"found '{text}'", "FILE.yaml:MEASURE[ARM, ARM, SET]"))
    bound = load_bound(Path(file), data_root=data_root)
    return fit_bound(bound, place)


def fit_bound(bound: Bound, place: str) -> Fit:
    """Fit a recorded measure of a bound prereg: see :func:`fit_place`."""
    name, column, items = split_place(place)
    recorded = {m.name: m for m in bound.measures if m.family == "recorded" and m.file is not None}
    if name not in recorded:
        hint = did_you_mean(name, tuple(recorded))
        raise PreregError(Problem(Where(bound.file, key="pilot"), f"'{name}' is no recorded measure", hint=hint))
    measure = recorded[name]
    rates = [c.name for c in measure.columns if c.form == "ratio" and column in ("", c.name)]
    assert measure.file is not None
    if not rates or not {"persona", "question"} <= set(measure.dims):
        raise PreregError(
            Problem(Where(bound.file, measure.line, key=f"measures.{name}"), "holds no rate by persona and question")
        )
    with tempfile.TemporaryDirectory() as folder:
        write_table(measure_recorded(measure.params, Path(measure.file.path), measure.levels), Path(folder))
        dense = load(measure, [({}, Path(folder))])
    sets = {dim.name: dim.sets for dim in bound.dims}
    dims = ("arm", "persona", "question") if "arm" in measure.dims else ("persona", "question")
    if set(dims) != set(measure.dims):
        raise PreregError(Problem(Where(bound.file, measure.line), f"{name} has dims besides {', '.join(dims)}"))
    chosen: dict[str, tuple[str, ...]] = {}
    for item in items:
        own = [d for d in dims if item in measure.levels[d] or item in sets.get(d, {})]
        if len(own) != 1:
            known = [*(x for d in dims for x in (*sets.get(d, {}), *measure.levels[d]))]
            found = f"'{item}' is no arm, set or level of {name}"
            raise PreregError(Problem(Where(bound.file, key="pilot"), found, hint=did_you_mean(item, known)))
        chosen[own[0]] = (*chosen.get(own[0], ()), *sets.get(own[0], {}).get(item, (item,)))
    levels = {dim: chosen.get(dim, measure.levels[dim]) for dim in dims}
    at = np.ix_(*(locate(levels[dim], measure.levels[dim]) for dim in measure.dims))
    order = [measure.dims.index(dim) for dim in dims]
    k, n = (dense.arrays[f"{rates[0]}.{part}"][at].transpose(order) for part in ("k", "n"))
    if "arm" not in measure.dims:
        k, n = k[None], n[None]
    return fit(k, n, levels.get("arm", ("",)), place)


def fit(k: IntArray, n: IntArray, arms: tuple[str, ...], place: str = "") -> Fit:
    """Fit counts ``[arm, persona, question]``.

    Raises:
        PreregError: fewer than two personas or questions.
    """
    A, P, Q = k.shape
    if P < 2 or Q < 2:
        raise PreregError(f"a pilot needs at least two personas and two questions, found {P} and {Q}")
    model = _model(np.asarray(k), np.asarray(n))
    start = np.full(len(model.names), np.log(0.8))
    mode = _Mode(model)
    bounds = [(np.log(0.02), np.log(8.0))] * len(start)
    found = optimize.minimize(mode.cost, start, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-9, "eps": 1e-4})
    spread = _spread(mode, found.x)
    sds = dict(zip(model.names, np.exp(found.x).tolist(), strict=True))
    low = dict(zip(model.names, np.exp(found.x - 1.96 * spread).tolist(), strict=True))
    high = dict(zip(model.names, np.exp(found.x + 1.96 * spread).tolist(), strict=True))
    rates = {arm: float((k[i] / n[i]).mean()) for i, arm in enumerate(arms)}
    return Fit(sds=sds, low=low, high=high, rates=rates, counts={"persona": P, "question": Q, "arm": A}, place=place)


def with_pilot(components: Components, fitted: Fit) -> Components:
    """Return components whose rates vary as the pilot did, on its first arm's level."""
    rates = {**components.rates, **fitted.sds}
    update = {"rates": rates, "baseline_rate": fitted.baseline, "source": fitted.words()}
    return components.model_copy(update=update)


def _model(k: IntArray, n: IntArray) -> _Model:
    A, P, Q = k.shape
    arm, persona, question = (index.ravel() for index in np.indices(k.shape))
    effects: dict[str, tuple[NDArray[np.int64], int]] = {"persona": (persona, P), "question": (question, Q)}
    if A > 1:
        effects["persona x arm"] = (persona * A + arm, P * A)
        effects["question x arm"] = (question * A + arm, Q * A)
    effects["cell"] = (np.arange(k.size), k.size)
    blocks = [np.eye(A)[arm], *(np.eye(size)[index] for index, size in effects.values())]
    sizes = tuple(size for _, size in effects.values())
    return _Model(k.ravel().astype(float), n.ravel().astype(float), np.hstack(blocks), tuple(effects), sizes)


class _Mode:
    """The Laplace approximation at given log SDs; remembers the last mode to start the next search from."""

    def __init__(self, model: _Model) -> None:
        self.model = model
        self.arms = model.design.shape[1] - sum(model.sizes)
        self.at = np.zeros(model.design.shape[1])

    def cost(self, log_sds: FloatArray) -> float:
        """Return minus the log marginal likelihood, up to a constant, and minus the log prior of the log SDs."""
        model = self.model
        precision = np.concatenate([np.full(self.arms, 1e-4), np.repeat(np.exp(-2 * log_sds), model.sizes)])
        x, hessian = self._newton(precision)
        eta = model.design @ x
        fit = model.hits @ eta - model.trials @ np.logaddexp(0, eta) - 0.5 * precision @ x**2
        _, logdet = np.linalg.slogdet(hessian)
        prior = np.sum(log_sds - np.log1p((np.exp(log_sds) / SCALE) ** 2))
        return float(-(fit + 0.5 * np.log(precision).sum() - 0.5 * logdet + prior))

    def _newton(self, precision: FloatArray) -> tuple[FloatArray, FloatArray]:
        model, x = self.model, self.at.copy()
        hessian = np.diag(precision)
        for _ in range(50):
            p = special.expit(model.design @ x)
            gradient = model.design.T @ (model.hits - model.trials * p) - precision * x
            weighted = model.design * (model.trials * p * (1 - p))[:, None]
            hessian = model.design.T @ weighted + np.diag(precision)
            step = linalg.solve(hessian, gradient, assume_a="pos")
            x = x + step * min(1.0, 5.0 / max(1e-12, float(np.abs(step).max())))
            if np.abs(step).max() < 1e-8:
                break
        self.at = x
        return x, hessian


def _spread(mode: _Mode, at: FloatArray, step: float = 0.05) -> FloatArray:
    """Return standard errors of the log SDs from the curvature at the maximum."""
    size = len(at)
    curvature = np.zeros((size, size))
    basis = np.eye(size) * step
    for i in range(size):
        for j in range(i + 1):
            values = [mode.cost(at + a * basis[i] + b * basis[j]) for a, b in ((1, 1), (1, -1), (-1, 1), (-1, -1))]
            curvature[i, j] = curvature[j, i] = (values[0] - values[1] - values[2] + values[3]) / (4 * step**2)
    variance = np.diag(np.linalg.pinv(curvature))
    result: FloatArray = np.sqrt(np.where(variance > 0, variance, np.inf))
    return np.minimum(result, 3.0)
