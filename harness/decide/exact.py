"""The exact value of a tree, as fractions, where all of its data are counts.

In floats an exact 15 pp difference fails ``>= 15 pp`` for a quarter of the baselines; in fractions for none.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise, product

import numpy as np

from harness.contracts.trees import Call, Neg, Num, Op, Ref, Value
from harness.contracts.walks import nodes, refs
from harness.decide.shape import levels_of, without
from harness.decide.tables import World
from harness.stats.arrays import IntArray
from harness.stats.registry import EVALUATED, FUNCTIONS

Place = tuple[str, ...]
_ARITHMETIC: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}


@dataclass(frozen=True)
class ExactTable:
    """Fractions by place along ``axes``; None where undefined (a division by zero)."""

    axes: tuple[str, ...]
    levels: dict[str, tuple[str, ...]]
    cells: dict[Place, Fraction | None]


def has_exact(tree: Value, world: World) -> bool:
    """Whether every number is a count or a constant and every function keeps fractions."""
    for node in nodes(tree):
        if isinstance(node, Call):
            if node.fn != "leave_one_out" and (node.fn in EVALUATED or FUNCTIONS.get(node.fn).exact is None):
                return False
        elif isinstance(node, Ref):
            if world.select(node).column.form != "ratio":
                return False
        elif not isinstance(node, Num | Neg | Op):
            return False
    return bool(refs(tree))


def exact(tree: Value, world: World) -> ExactTable:
    """Return the exact values of a tree for which :func:`has_exact` holds."""
    match tree:
        case Num():
            return ExactTable((), {}, {(): Fraction(tree.value)})
        case Ref():
            return _ref(tree, world)
        case Neg():
            return _map([exact(tree.of, world)], lambda values: -values[0])
        case Op():
            return _map([exact(tree.left, world), exact(tree.right, world)], lambda v: _ARITHMETIC[tree.op](v[0], v[1]))
        case Call(fn="leave_one_out"):
            return _leave_one_out(tree, world)
        case Call():
            return _call(tree, [exact(arg, world) for arg in tree.args])
        case _:
            raise AssertionError(f"no exact value of {tree.node}")


def _ref(ref: Ref, world: World) -> ExactTable:
    selected = world.select(ref)
    gone = [dim for dim in selected.dims if dim not in ref.keep]
    order = [selected.dims.index(dim) for dim in (*ref.keep, *gone)]
    levels = {dim: ref.select[dim] for dim in ref.keep}
    sizes = [len(levels[dim]) for dim in ref.keep]
    k = selected.parts[".k"].transpose(order).reshape(*sizes, -1)
    n = selected.parts[".n"].transpose(order).reshape(*sizes, -1)
    cells: dict[Place, Fraction | None] = {}
    for index in product(*(range(size) for size in sizes)):
        place = tuple(levels[dim][i] for dim, i in zip(ref.keep, index, strict=True))
        cells[place] = mean_rate(k[index], n[index])
    return ExactTable(ref.keep, levels, cells)


def mean_rate(k: IntArray, n: IntArray) -> Fraction:
    """Return the mean of the cells' exact rates k/n, cells with equal trials added as integers."""
    total = Fraction(0)
    for trials in np.unique(n):
        total += Fraction(int(k[n == trials].sum()), int(trials))
    return total / len(n)


def _call(tree: Call, args: Sequence[ExactTable]) -> ExactTable:
    function = FUNCTIONS.get(tree.fn)
    assert function.exact is not None
    if not function.reduces:
        return _map(args, lambda values: function.exact(values)[0] if function.exact else values[0])
    if function.neighbours:
        return _neighbours(tree, args[0])
    axes, levels = _union(args)
    kept = tuple(axis for axis in axes if axis not in tree.over)
    gone = [axis for axis in axes if axis in tree.over]
    cells: dict[Place, Fraction | None] = {}
    for place in product(*(levels[axis] for axis in kept)):
        values = []
        for inner in product(*(levels[axis] for axis in gone)):
            at = dict(zip((*kept, *gone), (*place, *inner), strict=True))
            values += [_at(arg, at) for arg in args]
        known = [value for value in values if value is not None]
        cells[place] = Fraction(function.exact(known)) if len(known) == len(values) else None
    return ExactTable(kept, {axis: levels[axis] for axis in kept}, cells)


def _neighbours(tree: Call, arg: ExactTable) -> ExactTable:
    (dim,) = tree.over
    rest = tuple(axis for axis in arg.axes if axis != dim)
    names = arg.levels[dim]
    steps = tuple(f"{before} to {after}" for before, after in pairwise(names))
    cells: dict[Place, Fraction | None] = {}
    for place in product(*(arg.levels[axis] for axis in rest)):
        values = [_at(arg, {**dict(zip(rest, place, strict=True)), dim: level}) for level in names]
        for step, before, after in zip(steps, values, values[1:], strict=False):
            cells[(*place, step)] = None if before is None or after is None else after - before
    return ExactTable((*rest, dim), {**{axis: arg.levels[axis] for axis in rest}, dim: steps}, cells)


def _leave_one_out(tree: Call, world: World) -> ExactTable:
    dim = tree.over[0]
    names = levels_of(tree.args[0], dim)
    parts = [exact(without(tree.args[0], dim, name), world) for name in names]
    named = list(zip(names, parts, strict=True))
    cells = {(name, *place): value for name, part in named for place, value in part.cells.items()}
    return ExactTable((dim, *parts[0].axes), {dim: names, **parts[0].levels}, cells)


def _union(parts: Sequence[ExactTable]) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    axes = tuple(dict.fromkeys(axis for part in parts for axis in part.axes))
    return axes, {axis: part.levels[axis] for part in reversed(parts) for axis in part.axes}


def _at(part: ExactTable, at: dict[str, str]) -> Fraction | None:
    return part.cells[tuple(at[axis] for axis in part.axes)]


def _map(parts: Sequence[ExactTable], function: Callable[[list[Fraction]], Fraction]) -> ExactTable:
    axes, levels = _union(parts)
    cells: dict[Place, Fraction | None] = {}
    for place in product(*(levels[axis] for axis in axes)):
        at = dict(zip(axes, place, strict=True))
        values = [value for part in parts if (value := _at(part, at)) is not None]
        try:
            cells[place] = function(values) if len(values) == len(parts) else None
        except ZeroDivisionError:
            cells[place] = None
    return ExactTable(axes, levels, cells)
