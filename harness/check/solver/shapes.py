"""Formulas place by place: which dims a value keeps, and the same formula at one place of them."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from itertools import pairwise, product

from harness.contracts.trees import Call, Neg, Num, Op, PValue, Ref, Value
from harness.contracts.walks import nodes

Place = Mapping[str, str]
BETWEEN = " to "
"""Names the places of ``successive``: "5 to 10"."""


def axes(tree: Value) -> dict[str, tuple[str, ...]]:
    """Return the kept dims of a formula and their levels."""
    match tree:
        case Num():
            return {}
        case Ref():
            return {dim: tree.select[dim] for dim in tree.keep}
        case Neg():
            return axes(tree.of)
        case Op():
            return axes(tree.left) | axes(tree.right)
        case PValue():
            return axes(tree.of) | axes(tree.threshold)
        case Call(fn="leave_one_out"):
            dim = tree.over[0]
            return {dim: ranged(tree.args[0], dim)} | _of_args(tree)
        case Call(fn="abs"):
            return _of_args(tree)
        case Call(fn="successive"):
            inner = _of_args(tree)
            return {
                dim: tuple(f"{a}{BETWEEN}{b}" for a, b in pairwise(levels)) if dim in tree.over else levels
                for dim, levels in inner.items()
            }
        case Call():
            return {dim: levels for dim, levels in _of_args(tree).items() if dim not in tree.over}


def _of_args(call: Call) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for arg in call.args:
        found |= axes(arg)
    return found


def ranged(tree: Value, dim: str) -> tuple[str, ...]:
    """Levels of a dim over which references range (single levels are fixed points)."""
    chosen = [node.select.get(dim, ()) for node in nodes(tree) if isinstance(node, Ref)]
    several = [levels for levels in chosen if len(levels) > 1] or chosen
    return tuple(dict.fromkeys(level for levels in several for level in levels))


def at(tree: Value, place: Place) -> Value:
    """Return a formula at one place: the kept dims that ``place`` names are fixed, and no longer kept."""
    match tree:
        case Num():
            return tree
        case Ref():
            fixed = {dim: (place[dim],) for dim in tree.keep if dim in place}
            keep = tuple(dim for dim in tree.keep if dim not in place)
            return tree.model_copy(update={"select": {**tree.select, **fixed}, "keep": keep}) if fixed else tree
        case Neg():
            return tree.model_copy(update={"of": at(tree.of, place)})
        case Op():
            return tree.model_copy(update={"left": at(tree.left, place), "right": at(tree.right, place)})
        case PValue():
            return tree.model_copy(update={"of": at(tree.of, place), "threshold": at(tree.threshold, place)})
        case Call(fn="leave_one_out", over=(dim, *_)) if dim in place:
            return at(without(tree.args[0], dim, place[dim]), {d: x for d, x in place.items() if d != dim})
        case Call(fn="successive", over=(dim, *_)) if BETWEEN in place.get(dim, ""):
            before, _, after = place[dim].partition(BETWEEN)
            ends = [at(tree.args[0], {**place, dim: level}) for level in (after, before)]
            return Op(op="-", left=ends[0], right=ends[1])
        case Call():
            outer = {dim: level for dim, level in place.items() if dim not in tree.over}
            return tree.model_copy(update={"args": tuple(at(arg, outer) for arg in tree.args)})


def without(tree: Value, dim: str, level: str) -> Value:
    """Return a formula with a level left out wherever other levels remain."""
    match tree:
        case Ref():
            chosen = tree.select.get(dim, ())
            if level not in chosen or len(chosen) < 2:
                return tree
            left = tuple(x for x in chosen if x != level)
            return tree.model_copy(update={"select": {**tree.select, dim: left}})
        case Neg():
            return tree.model_copy(update={"of": without(tree.of, dim, level)})
        case Op():
            sides = {"left": without(tree.left, dim, level), "right": without(tree.right, dim, level)}
            return tree.model_copy(update=sides)
        case PValue():
            return tree.model_copy(update={"of": without(tree.of, dim, level)})
        case Call():
            return tree.model_copy(update={"args": tuple(without(arg, dim, level) for arg in tree.args)})
        case _:
            return tree


def places(levels: Mapping[str, tuple[str, ...]]) -> Iterator[dict[str, str]]:
    """Yield every combination of levels."""
    yield from (dict(zip(levels, spot, strict=True)) for spot in product(*levels.values()))


def key(tree: Value) -> Hashable:
    """Return a hashable identity of a formula."""
    match tree:
        case Num():
            return tree.value
        case Ref():
            return ("ref", tree.measure, tree.column, tuple(sorted(tree.select.items())), tree.keep)
        case Neg():
            return ("neg", key(tree.of))
        case Op():
            return (tree.op, key(tree.left), key(tree.right))
        case PValue():
            return ("p", key(tree.of), tree.rel, key(tree.threshold), tree.null, tree.dim, tree.within)
        case Call():
            return (tree.fn, tuple(key(arg) for arg in tree.args), tree.over)


def is_constant(tree: Value) -> bool:
    """Whether a formula holds no data."""
    return not any(isinstance(node, Ref) for node in nodes(tree))
