"""Many simulated experiments judged at once: the experiment is one more kept dim of every table.

The estimator's own code then computes every t of the batch in one go, so nothing is computed in two ways. What draws
(bootstrap, sign flips, permutations) is estimated one experiment at a time; the bootstrap of cells has a closed form
(:mod:`harness.decide.simulation.cells`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from harness.contracts.records import Estimate
from harness.contracts.trees import Call, Ci, Compare, Op, PValue, Ref, Value
from harness.contracts.walks import nodes, refs
from harness.decide.compare import fact
from harness.decide.draws import NoInferenceError
from harness.decide.estimate import estimate_in
from harness.decide.evaluate import Evaluator
from harness.decide.exact import has_exact
from harness.decide.infer import agreed, infer, method_of
from harness.decide.labelled import Labelled, align
from harness.decide.policy import CUT
from harness.decide.shape import axes_of, map_refs
from harness.decide.sides import constant
from harness.decide.simulation.cells import Pooled, pooled_counts
from harness.decide.simulation.comparing import (
    TIE,
    Facts,
    code_of,
    compared,
    flat,
    in_front,
    places,
    sides_of,
    two_sided,
)
from harness.decide.simulation.scene import Scene, limit_of
from harness.decide.simulation.tables import EXPERIMENT, Data, batch_world, one_world
from harness.decide.tables import World
from harness.measure.run import locate
from harness.stats.arrays import FloatArray

CLOSED = ("t", "two_way_t", "correlation_t")


@dataclass
class Batch:
    """``size`` simulated experiments of a scene."""

    scene: Scene
    data: Data
    size: int
    _world: World | None = None
    _worlds: dict[int, World] = field(default_factory=dict)
    _tables: dict[str, Labelled] = field(default_factory=dict)
    _estimates: dict[tuple[str, int], Estimate] = field(default_factory=dict)
    _pools: dict[int, Pooled | None] = field(default_factory=dict)
    slow: dict[str, None] = field(default_factory=dict)
    """Formulas that had to be estimated one experiment at a time."""

    @property
    def approximate(self) -> bool:
        """Whether some number is the limit of infinitely many draws, which a run approximates."""
        return any(pool is not None for pool in self._pools.values())

    @property
    def world(self) -> World:
        """The batch as measurements with one more dim."""
        if self._world is None:
            self._world = batch_world(self.scene.readings, self.data, self.size)
        return self._world

    def facts(self, leaf: Compare | Ci, adjusted: Mapping[str, FloatArray] | None = None) -> Facts:
        """Judge a comparison in every experiment; ``adjusted`` are corrected p-values ``[b]`` by expression id."""
        trees = [leaf.of] if isinstance(leaf, Ci) else [leaf.left, leaf.right]
        if any(self.draws(tree) for tree in trees if constant(tree) is None):
            return self._one_by_one(leaf, adjusted or {})
        facts = self._interval(leaf) if isinstance(leaf, Ci) else self._comparison(leaf, adjusted)
        for tree in sides_of(leaf):
            facts.truths[self._spoilt(tree)] = 0
        return facts

    def _comparison(self, leaf: Compare, adjusted: Mapping[str, FloatArray] | None) -> Facts:
        left, right = self.value(leaf.left), self.value(leaf.right)
        key = self.scene.keys.get(id(leaf.left), "")
        if adjusted and key in adjusted:
            left = Labelled((), {}, adjusted[key])
        axes, levels, (a, b) = align([left, right])
        tie = TIE if self._exact(leaf.left) and self._exact(leaf.right) else 0.0
        return Facts({axis: levels[axis] for axis in axes}, flat(compared(a, leaf.rel, b, tie), self.size))

    def value(self, tree: Value) -> Labelled:
        """Return a formula's values with experiments in front: ``[b, *axes]`` (b = 1 for a constant)."""
        known = constant(tree)
        if known is not None:
            return Labelled((), {}, np.array([float(known)]))
        key = self.scene.keys.get(id(tree), "") or tree.model_dump_json()
        if key not in self._tables:
            cells = self._cells(tree) if isinstance(tree, PValue) else None
            if isinstance(tree, PValue) and cells is not None:
                null = constant(tree.threshold)
                assert null is not None
                p = cells.p_value(tree.rel, float(null), two_sided(tree))
                self._tables[key] = Labelled((), {}, p)
            else:
                evaluator = Evaluator(self.world, key)
                self._tables[key] = in_front(evaluator.value(self._kept(tree)))
        return self._tables[key]

    def draws(self, tree: Value) -> bool:
        """Whether a formula's p-value or interval comes from draws, and has no closed form here."""
        tests = [node for node in nodes(tree) if isinstance(node, PValue)]
        return any(node.null is not None or not self._closed(node) for node in tests)

    def _closed(self, tree: Value) -> bool:
        """Whether the interval (or p-value) of a formula is computed for the whole batch at once."""
        of = tree
        if isinstance(tree, PValue):
            of = tree.of.args[0] if isinstance(tree.of, Call) and two_sided(tree) else tree.of
            if constant(tree.threshold) is None:
                of = Op(op="-", left=of, right=tree.threshold)
        try:
            method = method_of(self._kept(of), self.world)
        except NoInferenceError:
            return True
        own = [self.scene.readings[f"{ref.measure}.{ref.column}"].column for ref in refs(of)]
        gram = [column for column in own if column.form == "gram"]
        if method == "bootstrap" and not isinstance(tree, PValue) and not any(c.cross_only for c in gram):
            # Linearised cosines over all pairs of questions are exact under any weights, and so are plain numbers.
            return self._cells(tree) is not None or not (gram and len(self._drawn(of)) > 1)
        if gram and method not in ("t", "correlation_t"):
            return False
        return method in CLOSED or self._cells(tree) is not None

    def _drawn(self, tree: Value) -> tuple[str, ...]:
        return agreed(tree, self.world).over

    def _cells(self, tree: Value) -> Pooled | None:
        """Return the exact bootstrap of a formula or of the one inside a p-value, where there is one."""
        if id(tree) not in self._pools:
            of, known = tree, True
            thresholds: tuple[float, ...] = ()
            if isinstance(tree, PValue):
                of = tree.of.args[0] if isinstance(tree.of, Call) and two_sided(tree) else tree.of
                known = constant(tree.threshold) is not None and tree.null is None
                expression = self.scene.expressions.get(self.scene.keys.get(id(tree), ""))
                thresholds = tuple(float(Fraction(t)) for t in expression.thresholds) if expression else ()
            self._pools[id(tree)] = pooled_counts(self._kept(of), self.world, thresholds) if known else None
        return self._pools[id(tree)]

    def _interval(self, leaf: Ci) -> Facts:
        if not self._closed(leaf.of):
            return self._one_by_one(leaf, {})
        point = self.value(leaf.of)
        try:
            low, high = self._ends(leaf)
        except NoInferenceError:
            return self._one_by_one(leaf, {})
        limits = [self.value(each) for each in (leaf.low, leaf.high, leaf.bound) if each is not None]
        axes, levels, arrays = align([point, low, high, *limits])
        value, bottom, top, *bounds = arrays
        if leaf.rel is None:
            out = np.maximum(bounds[0] - bottom, top - bounds[1])
            truths = np.where(out <= 0, 1, -1)
        else:
            truths = compared(bottom if leaf.rel in (">", ">=") else top, leaf.rel, bounds[0], 0.0)
        known = np.isfinite(value) & np.isfinite(bottom) & np.isfinite(top)
        for bound in bounds:
            known = known & np.isfinite(bound)
        return Facts({axis: levels[axis] for axis in axes}, flat(np.where(known, truths, 0), self.size))

    def _ends(self, leaf: Ci) -> tuple[Labelled, Labelled]:
        """Return both ends of an interval, drawn with the seeds of a run where it is drawn."""
        cells = self._cells(leaf.of)
        if cells is not None:
            low, high = cells.interval(float(Fraction(leaf.level)))
            return Labelled((), {}, low), Labelled((), {}, high)
        tree = self._kept(leaf.of)
        name = self.scene.expressions[self.scene.keys[id(leaf.of)]].name
        evaluator = Evaluator(self.world, name)
        inner = evaluator.value(tree).moved(axes_of(tree))
        try:
            method_of(tree, self.world)
        except NoInferenceError:
            low = high = np.full(inner.data.size, np.nan)
        else:
            low, high = infer(tree, self.world, evaluator.value, name).interval(float(Fraction(leaf.level)))
        shaped = [Labelled(inner.axes, inner.levels, each.reshape(inner.data.shape)) for each in (low, high)]
        return in_front(shaped[0]), in_front(shaped[1])

    def _kept(self, tree: Value) -> Value:
        """Return the tree with experiments kept and every selection spelt out."""

        def spell(ref: Ref) -> Ref:
            reading = self.scene.readings[f"{ref.measure}.{ref.column}"]
            select = {dim: reading.selected(ref, dim) for dim in reading.dims}
            select[EXPERIMENT] = self.world.measures[ref.measure].measure.levels[EXPERIMENT]
            return ref.model_copy(update={"select": select, "keep": (*ref.keep, EXPERIMENT)})

        return map_refs(tree, spell)

    def _exact(self, tree: Value) -> bool:
        return constant(tree) is not None or has_exact(self._kept(tree), self.world)

    def _spoilt(self, tree: Value) -> NDArray[np.bool_]:
        """Say in which experiments more completions were cut off than the measure allows: ``[b]``."""
        spoilt = np.zeros(self.size, dtype=np.bool_)
        for ref in refs(tree):
            limit = limit_of(self.scene.readings[f"{ref.measure}.{ref.column}"].measure, ref)
            if limit is None:
                continue
            reading = self.scene.readings[f"{ref.measure}.{CUT}"]
            drawn = self.data[reading.name]
            assert drawn.trials is not None
            for arm in ref.select.get("arm", ("",)):
                chosen = {d: (arm,) if d == "arm" and arm else reading.selected(ref, d) for d in reading.dims}
                spots = [locate(chosen[d], reading.levels[d]) for d in reading.dims]
                shares = drawn.values[np.ix_(np.arange(self.size), *spots)] / drawn.trials[np.ix_(*spots)]
                spoilt |= shares.reshape(self.size, -1).mean(axis=1) > float(limit) + TIE
        return spoilt

    def p_values(self, tree: PValue) -> FloatArray:
        """Return one p-value per experiment, NaN where it is unknown or a table."""
        if self.draws(tree):
            key = self.scene.keys[id(tree)]
            cells = [self.estimates(index, [key])[key].cells for index in range(self.size)]
            found = [c[0].value if len(c) == 1 and c[0].value is not None else np.nan for c in cells]
            return np.array(found)
        table = self.value(tree)
        return np.where(self._spoilt(tree) | bool(table.axes), np.nan, table.data if not table.axes else 0.0)

    # --- one experiment at a time ---

    def estimates(self, index: int, keys: Sequence[str]) -> dict[str, Estimate]:
        """Return the estimates of one experiment, computed from its full tables as in a run."""
        if index not in self._worlds:
            self._worlds = {index: one_world(self.scene.readings, self.data, index)}
        for key in keys:
            if (key, index) not in self._estimates:
                self._estimates[key, index] = estimate_in(self.scene.expressions[key], self._worlds[index])
        return {key: self._estimates[key, index] for key in keys}

    def _one_by_one(self, leaf: Compare | Ci, adjusted: Mapping[str, FloatArray]) -> Facts:
        trees = [tree for tree in sides_of(leaf) if constant(tree) is None]
        keys = [self.scene.keys[id(tree)] for tree in trees]
        self.slow[leaf.text] = None
        rows, axes = [], {}
        for index in range(self.size):
            found = self.estimates(index, keys)
            own = {key: float(values[index]) for key, values in adjusted.items()}
            axes = {a: tuple(dict.fromkeys(c.at[a] for c in found[k].cells)) for k in keys for a in found[k].axes}
            rows.append([code_of(fact(leaf, found, place, "", own).truth) for place in places(axes)])
        return Facts(axes, np.array(rows, dtype=np.int8))
