"""What a value tree looks like, without its data: its references, axes, and equal forms of it."""

from __future__ import annotations

from collections.abc import Callable

from harness.contracts.trees import Call, Neg, Num, Op, PValue, Ref, Value
from harness.contracts.walks import children, refs
from harness.stats.registry import FUNCTIONS


def axes_of(tree: Value) -> tuple[str, ...]:
    """Return the kept dims of a tree's value, in order."""
    if isinstance(tree, Ref):
        return tree.keep
    inner = tuple(dict.fromkeys(axis for child in children(tree) for axis in axes_of(child)))
    if isinstance(tree, Call) and tree.fn == "leave_one_out":
        return (tree.over[0], *(axis for axis in inner if axis != tree.over[0]))
    if isinstance(tree, Call) and (tree.fn == "levels" or FUNCTIONS.get(tree.fn).reduces):
        neighbours = tree.fn != "levels" and FUNCTIONS.get(tree.fn).neighbours
        return inner if neighbours else tuple(axis for axis in inner if axis not in tree.over)
    return inner


def map_refs(tree: Value, change: Callable[[Ref], Ref]) -> Value:
    """Return the tree with every reference changed."""
    match tree:
        case Ref():
            return change(tree)
        case Neg():
            return Neg(of=map_refs(tree.of, change))
        case Op():
            return Op(op=tree.op, left=map_refs(tree.left, change), right=map_refs(tree.right, change))
        case Call():
            return Call(fn=tree.fn, args=tuple(map_refs(arg, change) for arg in tree.args), over=tree.over)
        case PValue():
            return tree.model_copy(
                update={"of": map_refs(tree.of, change), "threshold": map_refs(tree.threshold, change)}
            )
        case _:
            return tree


def without(tree: Value, dim: str, level: str) -> Value:
    """Return the tree with ``level`` of ``dim`` left out wherever other levels remain.

    A reference to that one level alone is a fixed point of the formula (a source persona, a baseline) and stays.
    """

    def change(ref: Ref) -> Ref:
        chosen = ref.select.get(dim, ())
        if level not in chosen or len(chosen) < 2:
            return ref
        return ref.model_copy(update={"select": {**ref.select, dim: tuple(x for x in chosen if x != level)}})

    return map_refs(tree, change)


def levels_of(tree: Value, dim: str) -> tuple[str, ...]:
    """Return the levels of ``dim`` over which references range, in order (single levels are fixed points)."""
    chosen = [ref.select.get(dim, ()) for ref in refs(tree)]
    several = [levels for levels in chosen if len(levels) > 1] or chosen
    return tuple(dict.fromkeys(level for levels in several for level in levels))


def push_means(tree: Value) -> Value:
    """Return an equal tree in which means of kept dims are taken inside the references wherever they can be.

    ``mean(x by d)`` is ``x`` averaged over ``d``, and a mean goes through sums, differences and constant factors;
    what is left is linear in the cells, so cells can be weighted.
    """
    match tree:
        case Call(fn="mean", args=(arg,), over=over) if over:
            pushed = _mean(push_means(arg), frozenset(over))
            return pushed if pushed is not None else Call(fn="mean", args=(push_means(arg),), over=over)
        case Call():
            return Call(fn=tree.fn, args=tuple(push_means(arg) for arg in tree.args), over=tree.over)
        case Neg():
            return Neg(of=push_means(tree.of))
        case Op():
            return Op(op=tree.op, left=push_means(tree.left), right=push_means(tree.right))
        case _:
            return tree


def _mean(tree: Value, over: frozenset[str]) -> Value | None:
    if not over & set(axes_of(tree)):
        return tree
    match tree:
        case Ref():
            return tree.model_copy(update={"keep": tuple(axis for axis in tree.keep if axis not in over)})
        case Neg():
            inner = _mean(tree.of, over)
            return None if inner is None else Neg(of=inner)
        case Op(op="+" | "-"):
            left, right = _mean(tree.left, over), _mean(tree.right, over)
            return None if left is None or right is None else Op(op=tree.op, left=left, right=right)
        case Op() if not over & set(axes_of(tree.right)):
            left = _mean(tree.left, over)
            return None if left is None else Op(op=tree.op, left=left, right=tree.right)
        case Op(op="*") if not over & set(axes_of(tree.left)):
            right = _mean(tree.right, over)
            return None if right is None else Op(op="*", left=tree.left, right=right)
        case _:
            return None


def is_constant(tree: Value) -> bool:
    """Whether a tree holds no data."""
    return not refs(tree)


def is_linear(tree: Value, plain: Callable[[Ref], bool]) -> bool:
    """Whether the value is linear in the cells, ``plain`` saying so of a reference (a cosine is not)."""
    match tree:
        case Num():
            return True
        case Ref():
            return plain(tree)
        case Neg():
            return is_linear(tree.of, plain)
        case Op(op="+" | "-"):
            return is_linear(tree.left, plain) and is_linear(tree.right, plain)
        case Op(op="*"):
            linear = is_linear(tree.left, plain) and is_linear(tree.right, plain)
            return linear and (is_constant(tree.left) or is_constant(tree.right))
        case Op():
            return is_linear(tree.left, plain) and is_constant(tree.right)
        case Call():
            known = tree.fn not in ("leave_one_out", "levels") and FUNCTIONS.get(tree.fn).linear
            return known and all(is_linear(arg, plain) for arg in tree.args)
        case _:
            return False
