"""The bootstrap of cells without draws: the exact distribution of pooled counts, for a whole batch at once.

A run draws B times; here B is infinite, so a p-value that a run cannot tell from its threshold is unknown here too
when the expected number of hits cannot be told from it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.contracts.trees import Rel, Value
from harness.contracts.walks import refs
from harness.decide import infer
from harness.decide.draws import NoInferenceError
from harness.decide.evaluate import MORE, Evaluator
from harness.decide.shape import is_linear
from harness.decide.simulation.tables import EXPERIMENT
from harness.decide.tables import World
from harness.stats import fft_bootstrap, permutation
from harness.stats.arrays import FloatArray, IntArray

NEAR = 3.0
"""A p-value within this factor of a threshold may need more draws than declared."""


@dataclass(frozen=True)
class Pooled:
    """The bootstrap distribution of an estimate: ``offset + sum / scale``, with the probabilities of each sum."""

    offset: FloatArray
    scale: float
    distribution: FloatArray
    support: IntArray
    draws: int
    thresholds: tuple[float, ...] = ()

    @property
    def varies(self) -> NDArray[np.bool_]:
        """Whether draws differ at all; where they do not, spread is unknown."""
        found: NDArray[np.bool_] = (self.distribution > 0).sum(axis=1) > 1
        return found

    def interval(self, level: float) -> tuple[FloatArray, FloatArray]:
        """Return the percentile interval at ``level``: ``[b], [b]``."""
        shares = ((1 - level) / 2, (1 + level) / 2)
        low, high = (fft_bootstrap.quantile(self.distribution, self.support, share) for share in shares)
        ends = (np.where(self.varies, self.offset + end / self.scale, np.nan) for end in (low, high))
        return next(ends), next(ends)

    def p_value(self, rel: Rel, against: float, two_sided: bool) -> FloatArray:
        """Return (k + 1)/(B + 1) with k = B times the exact tail; NaN where nothing varies or B cannot tell."""
        limit = (against - self.offset) * self.scale
        signs = (1, -1) if two_sided else (1,) if rel in (">", ">=") else (-1,)
        tail = np.min([fft_bootstrap.tail(self.distribution, self.support, limit, sign) for sign in signs], axis=0)
        sides = len(signs)
        p = np.minimum(1.0, sides * (self.draws * tail + 1) / (self.draws + 1))
        for threshold in self.thresholds:
            for index in np.flatnonzero((p < NEAR * threshold) & (p > threshold / NEAR)):
                if not permutation.straddles(float(p[index]), self.draws, threshold, sides):
                    continue
                many = self.draws * MORE
                more = min(1.0, sides * (many * float(tail[index]) + 1) / (many + 1))
                p[index] = np.nan if permutation.straddles(more, many, threshold, sides) else more
        return np.where(self.varies, p, np.nan)


def pooled_counts(tree: Value, world: World, thresholds: tuple[float, ...] = ()) -> Pooled | None:
    """Return the bootstrap of a linear formula of rates whose cells are drawn, or None where that is not what it is.

    ``tree`` keeps the experiments and nothing else; every rate has the same number of trials in every cell.
    """
    own = refs(tree)
    columns = [world.measures[ref.measure].columns[ref.column] for ref in own]
    inference = world.inference(own[0].measure) if own else None
    plain = all(column.form == "ratio" for column in columns) and all(ref.keep == (EXPERIMENT,) for ref in own)
    if inference is None or not (plain and inference.cells and inference.method in (None, "bootstrap")):
        return None
    trials = {int(n) for ref in own for n in np.unique(world.select(ref).parts[".n"])}
    if len(trials) > 1 or not is_linear(tree, lambda ref: True):
        return None
    try:
        question = infer.question_of(tree, world, Evaluator(world, "").value, "")
    except NoInferenceError:
        return None
    if len(question.design.dims) < 2:
        return None
    return _pooled(question, trials.pop(), inference.draws, thresholds)


def _pooled(question: infer.Question, trials: int, draws: int, thresholds: tuple[float, ...]) -> Pooled | None:
    offset, parts, sizes = question.estimate.copy(), [], set()
    for group in question.design.groups():
        cells = infer.influence(question, group).T  # [b, cells]
        counts = (cells - cells[:, :1]) * trials
        whole = np.rint(counts)
        if np.abs(counts - whole).max(initial=0.0) > 1e-6:
            return None
        offset += cells[:, 0] - cells.mean(axis=1)
        parts.append(fft_bootstrap.pooled(whole.astype(np.int64)))
        sizes.add(cells.shape[1])
    if len(sizes) != 1:
        return None
    distribution, support = fft_bootstrap.add(parts)
    return Pooled(offset, float(trials * sizes.pop()), distribution, support, draws, thresholds)
