"""What is drawn again: populations of levels, and the draws that weight or replace them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from harness.contracts.trees import Ref
from harness.core.ident import seed_for
from harness.stats import bootstrap
from harness.stats.arrays import FloatArray, IntArray

Group = tuple[str, ...]
"""The arms of a reference where arms are drawn independently; empty where all share their draws."""


class NoInferenceError(Exception):
    """No interval or p-value exists for this formula under its inference; the text says why."""


@dataclass(frozen=True)
class Population:
    """Levels of one dim that are drawn again, all references to them sharing the draws."""

    dim: str
    levels: tuple[str, ...]
    group: Group = ()


@dataclass(frozen=True)
class Design:
    """Which dims are drawn, whether arms share the draws, and the populations behind a formula's references.

    A reference takes part with the dims on which it has two levels or more; one level alone is a fixed point.
    """

    dims: tuple[str, ...]
    paired: bool
    populations: tuple[Population, ...]

    def group(self, ref: Ref) -> Group:
        """Return which references share draws with this one."""
        return () if self.paired else ref.select.get("arm", ())

    def population(self, ref: Ref, dim: str) -> Population | None:
        """Return what a reference draws along a dim, or None where it is fixed."""
        levels = ref.select.get(dim, ())
        return Population(dim, levels, self.group(ref)) if dim in self.dims and len(levels) > 1 else None

    def groups(self) -> tuple[Group, ...]:
        """Return the independently drawn groups."""
        return tuple(dict.fromkeys(population.group for population in self.populations))

    def one(self, dim: str, group: Group) -> Population:
        """Return the only population of a dim in a group.

        Raises:
            NoInferenceError: there are several (``bootstrap`` can draw them apart).
        """
        found = [p for p in self.populations if p.dim == dim and p.group == group]
        if len(found) != 1:
            raise NoInferenceError(
                f"the formula draws {len(found)} different sets of {dim}, which this method cannot; "
                "'method: bootstrap' draws each apart"
            )
        return found[0]


def make_design(refs: Sequence[Ref], dims: Sequence[str], paired: bool) -> Design:
    """Return the design of a formula; dims of which nothing varies are left out.

    Raises:
        NoInferenceError: two references draw from different sets of levels that overlap.
    """
    bare = Design(tuple(dims), paired, ())
    found = [population for dim in dims for ref in refs if (population := bare.population(ref, dim))]
    unique = tuple(dict.fromkeys(found))
    for first in unique:
        for second in unique:
            same = first.dim == second.dim and first.group == second.group and first.levels != second.levels
            if same and set(first.levels) & set(second.levels):
                raise NoInferenceError(
                    f"the formula refers to overlapping but different sets of {first.dim}; "
                    "they cannot be drawn together nor apart"
                )
    return Design(tuple(dim for dim in dims if any(p.dim == dim for p in unique)), paired, unique)


@dataclass(frozen=True)
class Draws:
    """Several draws at once, ``size`` of them.

    ``indices`` ``[b, m]`` and ``weights`` ``[b, n]`` per population for crossed dims; ``joint`` ``[b, *dims]`` per
    group where cells (combinations of levels) are weighted as units. All weights sum to 1 per draw.
    """

    design: Design
    size: int
    indices: Mapping[Population, IntArray] = field(default_factory=dict)
    weights: Mapping[Population, FloatArray] = field(default_factory=dict)
    joint: Mapping[Group, FloatArray] = field(default_factory=dict)

    def part(self, rows: slice) -> Draws:
        """Return some of the draws."""
        return Draws(
            self.design,
            len(range(*rows.indices(self.size))),
            {population: values[rows] for population, values in self.indices.items()},
            {population: values[rows] for population, values in self.weights.items()},
            {group: values[rows] for group, values in self.joint.items()},
        )


class Kept:
    """Draws that were made, for whoever asks for the same ones: they depend on the design and the seed, not on data.

    No more is kept than ``most`` numbers; what comes after that is made anew each time.
    """

    def __init__(self, most: int = 2**22) -> None:
        self._room = most
        self._draws: dict[tuple[object, ...], Draws] = {}

    def resample(self, design: Design, cells: bool, size: int, chunk: int, scope: str, seed: int) -> Draws:
        """Return what :func:`resample` returns."""
        asked = (design, cells, size, chunk, scope, seed)
        if asked in self._draws:
            return self._draws[asked]
        made = resample(design, cells, size, chunk, scope, seed)
        held = (*made.indices.values(), *made.weights.values(), *made.joint.values())
        needed = sum(array.size for array in held)
        if needed <= self._room:
            self._room -= needed
            self._draws[asked] = made
        return made


def crossed(design: Design, indices: Mapping[Population, IntArray]) -> Draws:
    """Return draws from the indices of each population."""
    size = next(iter(indices.values())).shape[0]
    shares = {population: bootstrap.weights(values, len(population.levels)) for population, values in indices.items()}
    return Draws(design, size, indices, shares)


def leave_out(design: Design, population: Population) -> Draws:
    """Return one draw per level of ``population``, without that level, everything else unchanged."""
    n = len(population.levels)
    order = np.arange(n, dtype=np.int64)
    indices = {}
    for other in design.populations:
        rest = np.arange(len(other.levels), dtype=np.int64)
        indices[other] = np.broadcast_to(rest, (n, len(rest)))
    indices[population] = np.array([np.delete(order, i) for i in range(n)], dtype=np.int64)
    return crossed(design, indices)


def resample(design: Design, cells: bool, size: int, chunk: int, scope: str, seed: int) -> Draws:
    """Return chunk number ``chunk`` of bootstrap draws.

    Every population (every group, for cells) has a stream of its own, so that what else is drawn does not matter.
    """

    def rng(what: object) -> np.random.Generator:
        return np.random.default_rng([seed_for(scope, repr(what), seed), chunk])

    if not cells or len(design.dims) == 1:
        drawn = {}
        for p in design.populations:
            name = (p.dim, p.levels, p.group)
            drawn[p] = bootstrap.draw(rng(name), len(p.levels), size)
        return crossed(design, drawn)
    joint = {}
    for group in design.groups():
        shape = tuple(len(design.one(dim, group).levels) for dim in design.dims)
        count = int(np.prod(shape))
        indices = bootstrap.draw(rng(("cells", design.dims, group)), count, size)
        joint[group] = bootstrap.weights(indices, count).reshape(size, *shape)
    return Draws(design, size, joint=joint)


def single_cells(design: Design, group: Group, share: float) -> Draws:
    """Return one draw per cell of ``group``: uniform weights with ``share`` of the mass moved onto that cell.

    ``share`` 1 puts all weight on the cell; other groups keep uniform weights.
    """
    sizes = {g: tuple(len(design.one(dim, g).levels) for dim in design.dims) for g in design.groups()}
    count = int(np.prod(sizes[group]))
    joint = {g: np.full((count, *shape), 1.0 / np.prod(shape)) for g, shape in sizes.items()}
    moved = np.full((count, count), (1.0 - share) / count) + share * np.eye(count)
    joint[group] = moved.reshape(count, *sizes[group])
    return Draws(design, count, joint=joint)
