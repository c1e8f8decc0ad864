"""Two-arm nulls and what each method makes of them: the table of ``language.md``.

Counts are ``[arm, persona, question, experiment]``. Personas differ in how they react (persona x arm), and the two
arms have the same rate in the population.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import special

from harness.core.ident import seed_for
from harness.decide.simulation.components import RATE_SDS
from harness.decide.simulation.draw import intercept
from harness.stats import bootstrap, fft_bootstrap, jackknife, student
from harness.stats.arrays import FloatArray, IntArray
from harness.stats.two_way import two_way


@dataclass(frozen=True)
class Setting:
    """A two-arm design and its truth; ``rates`` are both arms' population means (#262's, averaged)."""

    personas: int = 7
    questions: int = 20
    trials: int = 10
    rates: tuple[float, float] = (0.425, 0.425)
    sds: dict[str, float] = field(default_factory=lambda: dict(RATE_SDS))


def counts(setting: Setting, experiments: int, seed: int) -> IntArray:
    """Draw hits ``[2, persona, question, experiment]``."""
    rng = np.random.default_rng(seed_for("nulls", repr(setting), seed))
    P, Q, n = setting.personas, setting.questions, experiments
    shapes = {
        "persona": (1, P, 1, n), "question": (1, 1, Q, n), "persona x arm": (2, P, 1, n),
        "question x arm": (2, 1, Q, n), "cell": (2, P, Q, n),
    }  # fmt: skip
    total = np.sqrt(sum(setting.sds.get(name, 0.0) ** 2 for name in shapes))
    eta = intercept(np.array(setting.rates), np.full(2, total))[:, None, None, None] * np.ones((2, P, Q, n))
    for name, shape in shapes.items():
        if setting.sds.get(name, 0.0):
            eta = eta + setting.sds[name] * rng.standard_normal(shape)
    hits: IntArray = rng.binomial(setting.trials, special.expit(eta)).astype(np.int64)
    return hits


def two_way_p(k: IntArray, trials: int) -> tuple[FloatArray, FloatArray]:
    """Return the two-way t's one-sided p-values ``[e]`` for "the second arm is above" and "below"."""
    d = (k[1] - k[0]) / trials
    found = two_way(d)
    mean, zero = d.mean(axis=(0, 1)), np.zeros(d.shape[2])
    return student.tail(mean, zero, found.se, found.df), student.tail(-mean, zero, found.se, found.df)


def one_way_p(k: IntArray, trials: int, dim: str) -> FloatArray:
    """Return the two-sided p-value of the t over personas or questions alone."""
    d = ((k[1] - k[0]) / trials).mean(axis=1 if dim == "persona" else 0)
    se, df = jackknife.standard_error([d])
    mean, zero = d.mean(axis=0), np.zeros(d.shape[1])
    return 2 * np.minimum(student.tail(mean, zero, se, df), student.tail(-mean, zero, se, df))


def cells_independent(k: IntArray, trials: int) -> FloatArray:
    """Return the two-sided bootstrap p-value with each arm's cells drawn apart (exact distribution)."""
    first, second = (side.reshape(-1, k.shape[3]).T for side in k)
    return _two_sided(fft_bootstrap.add([fft_bootstrap.pooled(second), fft_bootstrap.pooled(-first)]))


def cells_paired(k: IntArray, trials: int) -> FloatArray:
    """Return the two-sided bootstrap p-value with the same cells drawn for both arms (exact distribution)."""
    return _two_sided(fft_bootstrap.pooled((k[1] - k[0]).reshape(-1, k.shape[3]).T))


def crossed_bootstrap(k: IntArray, trials: int, draws: int, seed: int) -> FloatArray:
    """Return the two-sided p-value with personas and questions drawn again, both arms sharing them."""
    _, P, Q, n = k.shape
    rng = np.random.default_rng(seed_for("nulls", "crossed", seed))
    d = (k[1] - k[0]) / trials
    p = bootstrap.weights(bootstrap.draw(rng, P, draws), P)
    q = bootstrap.weights(bootstrap.draw(rng, Q, draws), Q)
    both = (p[:, :, None] * q[:, None, :]).reshape(draws, -1)
    parts = [both @ d.reshape(-1, n)[:, start : start + 250] for start in range(0, n, 250)]
    zero = np.zeros
    tails = [np.minimum(bootstrap.tail(x, zero(x.shape[1])), bootstrap.tail(-x, zero(x.shape[1]))) for x in parts]
    result: FloatArray = np.minimum(1.0, 2 * np.concatenate(tails))
    return result


def _two_sided(found: tuple[FloatArray, IntArray]) -> FloatArray:
    zero = np.zeros(len(found[0]))
    tails = [fft_bootstrap.tail(*found, zero, sign) for sign in (1, -1)]
    result: FloatArray = np.minimum(1.0, 2 * np.minimum(*tails))
    return result
