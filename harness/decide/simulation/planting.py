"""True levels behind a simulated experiment: assumed baselines, and effects planted on top of them.

A knob is the level of a column on one arm (and on each group of levels that formulas tell apart). Baselines are the
same on every arm, stated ones first, and such that gates hold. An effect is planted by the smallest change of the
knobs that gives its estimand the wanted value; arms with fewer stages stay where they are.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from harness.contracts.display import is_difference
from harness.contracts.trees import Compare, PValue, Ref, Value
from harness.contracts.walks import leaves, nodes, refs
from harness.core.errors import PreregError, Problem, Where
from harness.decide.evaluate import Evaluator
from harness.decide.policy import CUT
from harness.decide.shape import axes_of, map_refs
from harness.decide.sides import constant
from harness.decide.simulation.components import Components
from harness.decide.simulation.places import parse_place
from harness.decide.simulation.scene import Reading, Scene, correlated_dims
from harness.decide.simulation.tables import EXPERIMENT, Drawn, batch_world
from harness.stats.arrays import FloatArray

COSINE = 0.8
"""Assumed cosine where nothing is stated."""
STEP = 1e-4
LIGHT = 1e-3
"""How readily an arm with fewer stages moves, next to 1 for the arm with the most."""
CLOSE = 1e-6


@dataclass
class Planted:
    """True levels by ``measure.column`` ``[*dims]``, the estimands' true values, and what could not be planted."""

    levels: dict[str, FloatArray]
    truths: dict[str, float]
    notes: list[str] = field(default_factory=list)


@dataclass
class Planter:
    """Finds true levels for a scene."""

    scene: Scene
    components: Components
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        trees = tuple(expression.tree for expression in self.scene.bound.expressions)
        self.index: dict[str, NDArray[np.int64]] = {}
        self.owners: list[tuple[str, tuple[str, ...]]] = []
        for name, reading in self.scene.readings.items():
            self.index[name] = self._number(name, reading, correlated_dims(reading, trees))
        self.weights = np.array([self._weight(name, labels) for name, labels in self.owners])

    @cached_property
    def baseline(self) -> FloatArray:
        """One level per knob: stated, or assumed and moved to where the gates hold."""
        x = np.array([self._assumed(self.scene.readings[name]) for name, _ in self.owners])
        stated = np.zeros(len(x), dtype=bool)
        for text, value in self.components.levels.items():
            knobs = self._stated(text)
            x[knobs], stated[knobs] = value, True
        above: dict[int, float] = {}
        below: dict[int, float] = {}
        tight: set[int] = set()
        for _, tree, rel, limit in self._gates():
            if is_difference(tree):
                continue
            up = rel in (">", ">=")
            value = self.values([tree], x)[0]
            for knob in self._read(tree):
                sides, nearer = (above, max) if up else (below, min)
                sides[knob] = nearer(sides.get(knob, limit), limit)
                if not (value - limit if up else limit - value) >= 0.02 + 0.1 * abs(limit):
                    tight.add(knob)
        for knob in (knob for knob in tight if not stated[knob]):
            x[knob] = self._clear_of(self.scene.readings[self.owners[knob][0]], above.get(knob), below.get(knob))
        return x

    def plant(self, targets: Mapping[str, tuple[Value, float]]) -> Planted:
        """Return levels at which every target (by name: formula and value) has its value."""
        x, notes = self.baseline.copy(), list(self.notes)
        wanted = dict(targets)
        for gate, tree, rel, limit in self._gates():
            if is_difference(tree) and all(tree != each for each, _ in targets.values()):
                away = 0.05 + 0.5 * abs(limit)
                wanted[f"gate {gate}"] = (tree, limit + (away if rel in (">", ">=") else -away))
        trees, goal = [tree for tree, _ in wanted.values()], np.array([value for _, value in wanted.values()])
        x = self._solved(trees, goal, x)
        reached = self.values(trees, x) if trees else np.zeros(0)
        for (name, (_, value)), found in zip(wanted.items(), reached, strict=True):
            if not abs(found - value) < CLOSE:
                notes.append(f"{name} = {value:g} could not be planted (reached {found:.3g}); state levels for it")
        named = {name: e.tree for name, e in self.scene.named.items() if not axes_of(e.tree) and self._known(e.tree)}
        truths = dict(zip(named, map(float, self.values(list(named.values()), x)), strict=True)) if named else {}
        return Planted(self.arrays(x), truths, notes)

    def arrays(self, x: FloatArray) -> dict[str, FloatArray]:
        """Return levels ``[*dims]`` by column."""
        return {name: x[index] for name, index in self.index.items()}

    def values(self, trees: list[Value], x: FloatArray) -> FloatArray:
        """Return formulas' values with every cell at its true level: ``[t]``, or ``[k, t]`` for ``[k, knobs]``."""
        rows = np.atleast_2d(x)
        data = {name: Drawn(rows[:, index]) for name, index in self.index.items()}
        plain = {
            name: Reading(r.measure, r.column.model_copy(update={"form": "number"}), r.dims, r.levels, r.refs)
            for name, r in self.scene.readings.items()
        }
        world = batch_world(plain, data, len(rows))
        names = tuple(str(i) for i in range(len(rows)))

        def spell(ref: Ref) -> Ref:
            reading = plain[f"{ref.measure}.{ref.column}"]
            select = {**{dim: reading.selected(ref, dim) for dim in reading.dims}, EXPERIMENT: names}
            return ref.model_copy(update={"select": select, "keep": (*ref.keep, EXPERIMENT)})

        found = [Evaluator(world, "").value(map_refs(tree, spell)).data.reshape(-1) for tree in trees]
        result = np.stack(found, axis=1)
        return result if x.ndim == 2 else result[0]

    def level_table(self, x: FloatArray) -> dict[str, float]:
        """Return every knob's level by a readable name."""
        names = [f"{name}[{', '.join(filter(None, labels))}]" for name, labels in self.owners]
        return {name.removesuffix("[]"): float(value) for name, value in zip(names, x, strict=True)}

    # --- knobs ---

    def _number(self, name: str, reading: Reading, apart: frozenset[str]) -> NDArray[np.int64]:
        """Return each cell's knob ``[*dims]`` and note whose it is."""
        groups: list[list[tuple[str, tuple[str, ...]]]] = []
        for dim in reading.dims:
            own: dict[object, list[str]] = {}
            for level in reading.levels[dim]:
                key: object = tuple(level in reading.selected(ref, dim) for ref in reading.refs)
                own.setdefault(level if dim == "arm" or dim in apart else key, []).append(level)
            labels = [(self._label(dim, levels, len(own)), tuple(levels)) for levels in own.values()]
            groups.append(labels)
        index = np.zeros(reading.shape, dtype=np.int64)
        for combination in itertools.product(*groups):
            own_levels = zip(reading.dims, (levels for _, levels in combination), strict=True)
            at = np.ix_(*([reading.levels[dim].index(x) for x in levels] for dim, levels in own_levels))
            index[at] = len(self.owners)
            self.owners.append((name, tuple(label for label, _ in combination)))
        return index

    def _label(self, dim: str, levels: list[str], groups: int) -> str:
        if dim == "arm" or len(levels) == 1:
            return levels[0] if dim == "arm" or groups > 1 else ""
        if groups == 1:
            return ""
        sets = next((d.sets for d in self.scene.bound.dims if d.name == dim), {})
        return next((name for name, members in sets.items() if set(members) == set(levels)), f"{len(levels)} {dim}s")

    def _weight(self, name: str, labels: tuple[str, ...]) -> float:
        reading = self.scene.readings[name]
        if "arm" not in reading.dims:
            return 1.0
        arms = reading.levels["arm"]
        stages = {arm.name: len(arm.stages) for arm in self.scene.bound.arms}
        rank = [stages.get(arm, min(index, 1)) for index, arm in enumerate(arms)]
        own = rank[arms.index(labels[reading.dims.index("arm")])]
        return float(LIGHT ** (1 - (own - min(rank)) / (max(rank) - min(rank)))) if max(rank) > min(rank) else 1.0

    def _assumed(self, reading: Reading) -> float:
        column = reading.column
        if column.name == CUT:
            limit = reading.measure.truncated.get("at_most", "none")
            return float(Fraction(limit)) / 5 if limit != "none" else 0.01
        if column.form == "ratio" or column.unit == "proportion":
            return self.components.baseline_rate
        if column.form == "gram":
            return COSINE
        if column.low is not None and column.high is not None:
            return (column.low + column.high) / 2
        return 1.0 if column.low is not None else 0.0

    def _stated(self, text: str) -> list[int]:
        reading, levels = parse_place(text, self.scene)
        chosen = np.ix_(*([reading.levels[d].index(x) for x in levels[d]] for d in reading.dims))
        knobs = self.index[reading.name][chosen]
        rest = self.index[reading.name].copy()
        rest[chosen] = -1
        if set(knobs.ravel()) & set(rest.ravel()):
            raise PreregError(
                Problem(Where(key=f"levels.{text}"), "cuts through levels that every formula reads together")
            )
        return sorted(set(knobs.ravel().tolist()))

    def _read(self, tree: Value) -> list[int]:
        found: set[int] = set()
        for ref in refs(tree):
            reading = self.scene.readings[f"{ref.measure}.{ref.column}"]
            at = np.ix_(*([reading.levels[d].index(x) for x in reading.selected(ref, d)] for d in reading.dims))
            found |= set(self.index[reading.name][at].ravel().tolist())
        return sorted(found)

    # --- solving ---

    def _solved(self, trees: list[Value], goal: FloatArray, x: FloatArray) -> FloatArray:
        """Return the nearest levels with these values; formulas that are undefined where all is equal are left out."""
        if trees:
            known = np.isfinite(self.values(trees, x))
            trees, goal = [tree for tree, each in zip(trees, known, strict=True) if each], goal[known]
        for _ in range(25 if trees else 0):
            miss = goal - self.values(trees, x)
            if not np.isfinite(miss).all() or np.abs(miss).max() < CLOSE / 10:
                break
            x = self._inside(x + self.weights * (np.linalg.pinv(self._jacobian(trees, x) * self.weights) @ miss))
        return x

    def _jacobian(self, trees: list[Value], x: FloatArray) -> FloatArray:
        moved = x + STEP * np.concatenate([np.eye(len(x)), -np.eye(len(x))])
        values = self.values(trees, moved)
        result: FloatArray = ((values[: len(x)] - values[len(x) :]) / (2 * STEP)).T
        return result

    def _inside(self, x: FloatArray) -> FloatArray:
        columns = [self.scene.readings[name].column for name, _ in self.owners]
        low = np.array([-np.inf if c.low is None else c.low for c in columns])
        high = np.array([np.inf if c.high is None else c.high for c in columns])
        return np.clip(x, low, high)

    def _known(self, tree: Value) -> bool:
        """Whether a formula can be evaluated on true levels: everything that it reads is simulated."""
        return all(f"{r.measure}.{r.column}" in self.scene.readings for r in refs(tree)) and self._fits(tree)

    def _fits(self, tree: Value) -> bool:
        if any(isinstance(node, PValue) for node in nodes(tree)):
            return False
        own = [(self.scene.readings[f"{r.measure}.{r.column}"], r) for r in refs(tree)]
        return all(set(reading.selected(r, d)) <= set(reading.levels[d]) for reading, r in own for d in reading.dims)

    def _gates(self) -> Iterator[tuple[str, Value, str, float]]:
        """Yield what gates compare with a constant: the gate's name, formula, relation, constant."""
        for gate in self.scene.bound.gates:
            for leaf in leaves(gate.criterion):
                limit = constant(leaf.right) if isinstance(leaf, Compare) else None
                if not isinstance(leaf, Compare) or limit is None or axes_of(leaf.left) or not refs(leaf.left):
                    continue
                if not any(isinstance(node, PValue) for node in nodes(leaf.left)):
                    yield gate.name, leaf.left, leaf.rel, float(limit)

    def _clear_of(self, reading: Reading, above: float | None, below: float | None) -> float:
        """Return a level well inside what gates allow: between two limits, or most of the way to a rate's bound."""
        column = reading.column
        if above is not None and below is not None:
            return (above + below) / 2
        up = above is not None
        limit = above if above is not None else below
        assert limit is not None
        end = column.high if up else column.low
        if column.form == "ratio" and end is not None:
            return limit + 0.8 * (end - limit)
        away = 0.1 if column.form == "gram" else 0.5 * abs(limit) or 0.5
        wanted = limit + (away if up else -away)
        return wanted if end is None else (min if up else max)(wanted, end)
