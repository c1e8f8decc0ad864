"""Decides whole batches: comparisons at once, the rule once per pattern of truths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harness.contracts.bound import Bound
from harness.contracts.records import Truth
from harness.contracts.trees import Ci, Compare, PValue
from harness.contracts.walks import leaves
from harness.core.errors import PreregError
from harness.decide.correct import benjamini_hochberg, holm
from harness.decide.simulation.batch import Batch
from harness.decide.simulation.comparing import places
from harness.decide.simulation.ruling import Ruling, rule, variants, verdicts
from harness.decide.simulation.scene import Scene
from harness.decide.verdict import decide
from harness.stats.arrays import FloatArray

_WORDS: dict[int, Truth] = {1: "true", 0: "unknown", -1: "false"}


@dataclass
class Tally:
    """Counts over simulated experiments."""

    verdicts: Counter[str] = field(default_factory=Counter)
    truths: dict[str, Counter[str]] = field(default_factory=dict)
    rows: Counter[int] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    size: int = 0


@dataclass
class Judging:
    """Judges batches of one scene, and remembers how each pattern of truths was decided."""

    scene: Scene
    slow: dict[str, None] = field(default_factory=dict)
    _rulings: dict[bytes, Ruling] = field(default_factory=dict)
    _changed: dict[bytes, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.variants: tuple[tuple[str, str, Bound], ...] = tuple(variants(self.scene.bound))

    def judge(self, batch: Batch, tally: Tally) -> list[Ruling]:
        """Decide every experiment of a batch, add to the tally, and return the rulings in order."""
        axes, truths, columns = self._facts(batch)
        self.slow.update(batch.slow)
        patterns, back, counts = np.unique(truths, axis=0, return_inverse=True, return_counts=True)
        rulings = [self._ruling(pattern, axes, columns) for pattern in patterns]
        for pattern, ruling, count in zip(patterns, rulings, counts.tolist(), strict=True):
            tally.verdicts[ruling.verdict] += count
            tally.rows[ruling.row] += count
            for name, truth in ruling.truths.items():
                tally.truths.setdefault(name, Counter())[truth] += count
            for name in self._changed[pattern.tobytes()]:
                tally.changed[name] += count
        tally.size += batch.size
        return [rulings[index] for index in back.ravel()]

    def audit(self, batch: Batch, rulings: list[Ruling], index: int) -> None:
        """Decide one experiment as a run would, from its full tables, and insist on the same verdict.

        Raises:
            PreregError: the fast path and the run's own disagree, which would be a fault of the harness.
        """
        keys = [key for key, expression in self.scene.expressions.items() if key in set(self.scene.keys.values())]
        try:
            word = decide(self.scene.bound, batch.estimates(index, keys)).verdict
        except PreregError:
            word = "contradiction"  # type: ignore[assignment]
        if word != rulings[index].verdict:
            raise PreregError(
                f"simulate decided experiment {index} as {rulings[index].verdict} and the run's own code as {word}; "
                "this is a fault of the harness"
            )

    def _ruling(
        self, pattern: NDArray[np.int8], axes: Mapping[int, Mapping[str, tuple[str, ...]]], columns: Mapping[int, int]
    ) -> Ruling:
        key = pattern.tobytes()
        if key not in self._rulings:

            def truth(leaf: Compare | Ci, place: Mapping[str, str]) -> Truth:
                step = 0
                for axis, levels in axes[id(leaf)].items():
                    step = step * len(levels) + levels.index(place[axis])
                return _WORDS[int(pattern[columns[id(leaf)] + step])]

            found = rule(self.scene.bound, axes, truth)
            self._rulings[key] = found
            whole = (found.verdict, *found.verdicts.values())
            other = [name for name, _, bound in self.variants if verdicts(bound, axes, truth) != whole]
            self._changed[key] = tuple(other)
        return self._rulings[key]

    def _facts(self, batch: Batch) -> tuple[dict[int, dict[str, tuple[str, ...]]], NDArray[np.int8], dict[int, int]]:
        """Return the kept dims of each comparison, all truths ``[b, facts]``, and where each comparison starts."""
        axes, parts, columns, start = {}, [], {}, 0
        corrected = self._corrected(batch)
        for leaf in self.scene.leaves:
            facts = batch.facts(leaf, corrected.get(id(leaf)))
            axes[id(leaf)], columns[id(leaf)] = facts.axes, start
            assert facts.truths.shape[1] == len(places(facts.axes))
            parts.append(facts.truths)
            start += facts.truths.shape[1]
        return axes, np.ascontiguousarray(np.concatenate(parts, axis=1)), columns

    def _corrected(self, batch: Batch) -> dict[int, dict[str, FloatArray]]:
        """Return corrected p-values by comparison and expression, where a hypothesis asks for a correction."""
        found: dict[int, dict[str, FloatArray]] = {}
        for hypothesis in self.scene.bound.hypotheses:
            if not hypothesis.correct:
                continue
            method, _, family = hypothesis.correct.split()
            clause = next(each for each in hypothesis.clauses if each.name == family)
            tests = [leaf for leaf in leaves(clause.criterion) if isinstance(leaf, Compare)]
            keys = {self.scene.keys[id(t.left)]: t.left for t in tests if isinstance(t.left, PValue)}
            # An unknown p-value costs what it would have cost: it counts as 1.
            columns = [np.nan_to_num(batch.p_values(tree), nan=1.0) for tree in keys.values()]
            correct = holm if method == "holm" else benjamini_hochberg
            adjusted = np.array([correct([float(p) for p in row]) for row in np.stack(columns, axis=1)])
            own = {key: adjusted[:, index] for index, key in enumerate(keys)}
            found.update({id(test): own for test in tests if isinstance(test.left, PValue)})
        return found
