"""Does completion length explain a lead? A logit of success on arm and log length.

The model is a binomial logit through statsmodels (imported only here, in a job's child), with errors robust to
clusters of one dim and t quantiles of (clusters - 1) degrees of freedom. Nothing here decides anything.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.contracts.analyses import ArmLength, Effect, LengthContrast, LengthControl, Reading
from harness.contracts.bound import BoundMeasure
from harness.decide.markers import kept_completions
from harness.decide.pools import Drawn, grid, rounded
from harness.decide.tables import Dense, Placed, load
from harness.stats.arrays import FloatArray

USUAL_P = 0.05
"""The level at which a lead is told from zero here: nothing registers one for an analysis made by rule."""
HUGE = 25.0
"""Log-odds beyond this mean that the data separate: the maximum likelihood lies at infinity."""
FEWEST_CLUSTERS = 3


@dataclass(frozen=True)
class Rows:
    """Rows of the model: successes, trials, log length, arm and cluster of each."""

    hits: FloatArray
    trials: FloatArray
    log_tokens: FloatArray
    arm: NDArray[np.str_]
    cluster: NDArray[np.str_]


def length_control(
    drawn: Drawn, lengths: BoundMeasure, tables: Mapping[str, Placed], params: Mapping[str, Any], completions: Placed
) -> LengthControl:
    """Fit the lead of every arm over every other with and without log length.

    Args:
        drawn: the rates.
        lengths: the measure that holds lengths (the same one for evals).
        tables: its tables.
        params: ``tokens`` and ``median`` are its columns, ``cluster`` the dim whose levels are drawn together.
        completions: the tables' folders with ``completions.parquet``; empty for recorded data.
    """
    held = drawn.rates if lengths.name == drawn.rates.measure.name else load(lengths, tables[lengths.name])
    arms = tuple(_arm_length(drawn, held, params["tokens"], params["median"], arm) for arm in drawn.arms)
    longest = float(held.arrays[params["median"]].max()) if params["median"] else None
    cluster = params["cluster"]
    if completions:
        rows, kind = _completion_rows(drawn, completions, cluster), "completion"
        covariate = "log tokens of each completion (the marker's own tokens included)"
    else:
        rows, kind = _cell_rows(drawn, held, params["tokens"], cluster), "cell"
        covariate = f"log of {params['tokens']} ({' and '.join(held.dims)}): one length for all rows of a cell of these"
    clusters = len(set(rows.cluster.tolist()))
    fitted = _fit(rows, arms, clusters)
    return LengthControl(
        rows="completion" if kind == "completion" else "cell",
        covariate=covariate,
        cluster=cluster,
        clusters=clusters,
        arms=arms,
        units=len(lengths.levels.get(drawn.unit, drawn.pool[drawn.unit])),
        longest=longest,
        method=(
            f"binomial logit of {drawn.column} on arm, without and with {covariate}; one slope for all arms; errors "
            f"robust to {clusters} clusters ({cluster}), t with {clusters - 1} df"
        ),
        **fitted,
    )


# --- lengths ----------------------------------------------------------------------------------------


def _arm_length(drawn: Drawn, held: Dense, column: str, median: str, arm: str) -> ArmLength:
    pooled = {level: _tokens(held, column, arm, {**drawn.pool, drawn.unit: (level,)}) for level in _units(drawn, held)}
    everywhere = [
        _tokens(held, column, arm, {**drawn.pool, drawn.unit: (level,)})
        for level in held.measure.levels.get(drawn.unit, ("",))
    ]
    low, high = min(pooled, key=pooled.__getitem__), max(pooled, key=pooled.__getitem__)
    at_longest = None
    if median:
        limit = held.arrays[median].max()
        at_longest = int((_grid(held, median, arm, {}) == limit).sum())
    return ArmLength(
        arm=arm,
        tokens=rounded(float(np.mean(list(pooled.values())))),
        lowest=rounded(pooled[low]),
        lowest_at=low,
        highest=rounded(pooled[high]),
        highest_at=high,
        everywhere=rounded(float(np.mean(everywhere))),
        at_longest=at_longest,
    )


def _units(drawn: Drawn, held: Dense) -> tuple[str, ...]:
    return drawn.pool[drawn.unit] if drawn.unit in held.dims else ("",)


def _tokens(held: Dense, column: str, arm: str, pool: Mapping[str, Sequence[str]]) -> float:
    return float(_grid(held, column, arm, pool).mean())


def _grid(held: Dense, name: str, arm: str, pool: Mapping[str, Sequence[str]]) -> NDArray[Any]:
    return grid(held, name, arm, {dim: levels for dim, levels in pool.items() if dim in held.dims})


# --- rows -------------------------------------------------------------------------------------------


def _cell_rows(drawn: Drawn, held: Dense, column: str, cluster: str) -> Rows:
    hits, trials, logs, arms, clusters = [], [], [], [], []
    for arm in drawn.arms:
        cells = drawn.trials(arm).size
        labels = {dim: drawn.labels(arm, dim) for dim in held.dims if dim != "arm"}
        tokens = {
            place: math.log(
                _tokens(held, column, arm, {dim: (level,) for dim, level in zip(labels, place, strict=True)})
            )
            for place in set(zip(*(each.tolist() for each in labels.values()), strict=True))
        }
        hits.append(drawn.hits(arm))
        trials.append(drawn.trials(arm))
        places = zip(*(each.tolist() for each in labels.values()), strict=True)
        logs.append(np.array([tokens[place] for place in places]) if labels else np.full(cells, tokens[()]))
        arms.append(np.full(cells, arm))
        clusters.append(drawn.labels(arm, cluster))
    return Rows(*(np.concatenate(each) for each in (hits, trials, logs, arms, clusters)))


def _completion_rows(drawn: Drawn, placed: Placed, cluster: str) -> Rows:
    rows = [
        (float(row["hit"]), math.log(max(row["tokens"], 1)), at.get("arm", ""), str(row.get(cluster, at.get(cluster))))
        for at, row in kept_completions(drawn, placed, ("persona", "question", "tokens", "hit"))
    ]
    hits, logs, arms, clusters = zip(*rows, strict=True)
    return Rows(np.array(hits), np.ones(len(hits)), np.array(logs), np.array(arms), np.array(clusters))


# --- the model --------------------------------------------------------------------------------------


def _fit(rows: Rows, lengths: Sequence[ArmLength], clusters: int) -> dict[str, Any]:
    """Return ``slope``, ``contrasts`` and ``left_out``, or the ``reason`` why there are none."""
    rates = {
        each.arm: float(rows.hits[rows.arm == each.arm].sum() / rows.trials[rows.arm == each.arm].sum())
        for each in lengths
        if (rows.arm == each.arm).any()
    }
    left_out = tuple(arm for arm, rate in rates.items() if rate in (0.0, 1.0))
    arms = [arm for arm in rates if arm not in left_out]
    if len(arms) < 2:
        return {"left_out": left_out, "reason": "fewer than two arms have both successes and failures"}
    if clusters < FEWEST_CLUSTERS:
        return {"left_out": left_out, "reason": f"{clusters} clusters are too few for errors robust to them"}
    keep = np.isin(rows.arm, arms)
    if np.ptp(rows.log_tokens[keep]) == 0:
        return {"left_out": left_out, "reason": "all completions are equally long"}
    design = np.column_stack([(rows.arm[keep] == arm).astype(np.float64) for arm in arms])
    centred = rows.log_tokens[keep] - rows.log_tokens[keep].mean()
    if np.linalg.matrix_rank(np.column_stack([design, centred])) <= len(arms):
        return {
            "left_out": left_out,
            "reason": "length is the same for all rows of an arm: the two cannot be separated",
        }
    outcome = np.column_stack([rows.hits[keep], rows.trials[keep] - rows.hits[keep]])
    plain = _Logit.fit(outcome, design, rows.cluster[keep])
    controlled = _Logit.fit(outcome, np.column_stack([design, centred]), rows.cluster[keep])
    if plain is None or controlled is None:
        return {"left_out": left_out, "reason": "the fit does not converge: arm and length separate the outcomes"}
    by_arm = {each.arm: each for each in lengths}
    pairs = sorted(
        ((one, two) for i, one in enumerate(arms) for two in arms[i + 1 :]),
        key=lambda pair: -max(rates[a] for a in pair),
    )
    return {
        "left_out": left_out,
        "slope": controlled.effect(np.eye(len(arms) + 1)[-1]),
        "contrasts": tuple(_contrast(one, two, arms, rates, plain, controlled, by_arm) for one, two in pairs),
    }


def _contrast(
    one: str,
    two: str,
    arms: Sequence[str],
    rates: Mapping[str, float],
    plain: _Logit,
    controlled: _Logit,
    lengths: Mapping[str, ArmLength],
) -> LengthContrast:
    leader, other = (one, two) if rates[one] >= rates[two] else (two, one)
    weights = np.array([float(arm == leader) - float(arm == other) for arm in arms])
    before, after = plain.effect(weights), controlled.effect(np.append(weights, 0.0))
    ours, theirs = lengths[leader], lengths[other]
    return LengthContrast(
        leader=leader,
        other=other,
        lead=rounded(rates[leader] - rates[other]),
        plain=before,
        controlled=after,
        reading=reading(before, after),
        overlap=ours.lowest <= theirs.highest and theirs.lowest <= ours.highest,
    )


def reading(plain: Effect, controlled: Effect) -> Reading:
    """Say what length does to a lead (``plain`` is positive or nothing).

    It dissolves when at least half of it goes and what is left cannot be told from zero; it is unclear when it does
    not shrink but its uncertainty grows past telling.
    """
    if plain.p >= USUAL_P:
        return "no lead"
    if controlled.p < USUAL_P:
        return "stays" if controlled.value > 0 else "reverses"
    return "dissolves" if controlled.value <= plain.value / 2 else "unclear"


@dataclass(frozen=True)
class _Logit:
    coefficients: FloatArray
    covariance: FloatArray
    df: int

    @classmethod
    def fit(cls, outcome: FloatArray, design: FloatArray, cluster: NDArray[np.str_]) -> _Logit | None:
        """Fit by maximum likelihood; None where it does not converge or lies at infinity."""
        from statsmodels.genmod.families import Binomial
        from statsmodels.genmod.generalized_linear_model import GLM

        _, groups = np.unique(cluster, return_inverse=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what they warn of is judged below
            try:
                found = GLM(outcome, design, family=Binomial()).fit(
                    cov_type="cluster", cov_kwds={"groups": groups, "use_correction": True}, use_t=True
                )
            except (np.linalg.LinAlgError, ValueError, FloatingPointError):
                return None
        values, covariance = np.asarray(found.params), np.asarray(found.cov_params())
        if not found.converged or not np.isfinite(covariance).all() or np.abs(values).max() > HUGE:
            return None
        return cls(values, covariance, int(groups.max()))

    def effect(self, weights: FloatArray) -> Effect:
        """Return a linear combination with its 95% interval and two-sided p."""
        from scipy import stats

        value = float(weights @ self.coefficients)
        error = math.sqrt(max(float(weights @ self.covariance @ weights), 0.0))
        half = float(stats.t.ppf(0.975, self.df)) * error
        p = 2 * float(stats.t.sf(abs(value) / error, self.df)) if error else float(value == 0)
        return Effect(value=rounded(value), low=rounded(value - half), high=rounded(value + half), p=rounded(p))
