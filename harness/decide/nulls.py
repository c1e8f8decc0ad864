"""Shuffled nulls: what a formula gives when the labels of a dim are permuted.

A kept dim is shuffled where a function reduces it: among the last argument's values (correlations pair them with
the first argument, trends with the axis). A dim that references fix at single levels (arms) is shuffled by
exchanging the levels among the references.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from harness.contracts.trees import Call, PValue, Ref
from harness.contracts.walks import nodes, refs
from harness.core.errors import JobError
from harness.decide.labelled import Labelled
from harness.decide.leaf import cells
from harness.decide.tables import World
from harness.stats.arrays import IntArray
from harness.stats.permutation import arrangements


@dataclass
class Shuffle:
    """Permutations ``[b, strata, n]`` of the levels of ``dim``, one per level of ``within`` (or one stratum).

    ``exchanged`` holds the levels that references swap, empty for a kept dim. ``used`` records whether anything
    was shuffled at all.
    """

    dim: str
    within: str
    orders: IntArray
    exact: bool
    exchanged: tuple[str, ...] = ()
    used: bool = field(default=False)

    def part(self, rows: slice) -> Shuffle:
        """Return some of the permutations."""
        return Shuffle(self.dim, self.within, self.orders[rows], self.exact, self.exchanged)


def make_shuffle(node: PValue, world: World, draws: int, rng: np.random.Generator) -> Shuffle:
    """Return the permutations for a p-value against shuffled labels.

    Raises:
        JobError: the formula has nothing that shuffling the dim could change.
    """
    found = refs(node.of)
    kept = any(isinstance(part, Call) and node.dim in part.over for part in nodes(node.of))
    if kept:
        levels = next((ref.select[node.dim] for ref in found if node.dim in ref.keep), ())
        exchanged: tuple[str, ...] = ()
    else:
        levels = tuple(
            dict.fromkeys(ref.select[node.dim][0] for ref in found if len(ref.select.get(node.dim, ())) == 1)
        )
        exchanged = levels
    if len(levels) < 2:
        raise JobError(f"shuffling {node.dim} changes nothing here: no function runs along it and no two levels differ")
    strata = 1
    if node.within:
        sizes = {len(ref.select[node.within]) for ref in found if node.within in ref.select}
        if len(sizes) != 1:
            raise JobError(f"'within {node.within}' needs the same levels of {node.within} in every reference")
        (strata,) = sizes
    orders, exact = arrangements(len(levels), strata, draws, rng)
    return Shuffle(node.dim, node.within, orders, exact, exchanged)


def shuffled_values(part: Labelled, shuffle: Shuffle) -> Labelled:
    """Return an argument with its values permuted along the dim: ``[1, *axes] -> [b, *axes]``.

    Raises:
        JobError: the argument does not run along the dim, or does not keep the strata.
    """
    if shuffle.dim not in part.axes:
        raise JobError(f"the last argument of the function does not run along {shuffle.dim}, so it cannot be shuffled")
    if shuffle.within and shuffle.within not in part.axes:
        raise JobError(f"'within {shuffle.within}' needs the formula to keep {shuffle.within} there")
    shuffle.used = True
    rest = [axis for axis in part.axes if axis not in (shuffle.dim, shuffle.within)]
    strata = [shuffle.within] if shuffle.within else []
    moved = part.moved([*strata, shuffle.dim, *rest])
    values = moved.data if strata else moved.data[:, None]
    # [1, strata, n, rest] gathered by [b, strata, n]
    index = shuffle.orders.reshape(*shuffle.orders.shape, *[1] * len(rest))
    data = np.take_along_axis(np.broadcast_to(values, (index.shape[0], *values.shape[1:])), index, axis=2)
    return Labelled(moved.axes, moved.levels, data if strata else data[:, 0]).moved(part.axes)


def exchanged_leaf(world: World, ref: Ref, shuffle: Shuffle) -> Labelled:
    """Return a reference whose one level of the dim is taken from another, per permutation and stratum."""
    selected = world.select(ref)
    if selected.column.form == "gram":
        raise JobError(f"{shuffle.dim} cannot be exchanged inside a cosine")
    if shuffle.within in ref.keep:
        raise JobError(f"'within {shuffle.within}' needs the formula to average over {shuffle.within}")
    shuffle.used = True
    other = ref.model_copy(update={"select": {**ref.select, shuffle.dim: shuffle.exchanged}})
    selected = world.select(other)
    strata = [shuffle.within] if shuffle.within else []
    front = [shuffle.dim, *strata]
    gone = [dim for dim in selected.dims if dim not in front and dim not in ref.keep]
    values = cells(selected).transpose([selected.dims.index(dim) for dim in (*front, *ref.keep, *gone)])
    values = values.mean(axis=tuple(range(len(front) + len(ref.keep), values.ndim))) if gone else values
    values = values if strata else values[:, None]
    own = shuffle.exchanged.index(ref.select[shuffle.dim][0])
    taken = shuffle.orders[:, :, own]
    data = values[taken, np.arange(taken.shape[1])[None, :]].mean(axis=1)
    return Labelled(ref.keep, {dim: ref.select[dim] for dim in ref.keep}, data)
