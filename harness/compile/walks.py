"""Walks over bound formulas."""

from __future__ import annotations

from collections.abc import Iterator

from harness.contracts.trees import (
    All,
    Any_,
    AtLeast,
    Call,
    Ci,
    Compare,
    Criterion,
    Neg,
    Not,
    Op,
    Over,
    PValue,
    Ref,
    Value,
)


def refs(tree: Value) -> Iterator[Ref]:
    """Yield every reference to a measure in a tree."""
    match tree:
        case Ref():
            yield tree
        case Neg():
            yield from refs(tree.of)
        case Op():
            yield from refs(tree.left)
            yield from refs(tree.right)
        case Call():
            for arg in tree.args:
                yield from refs(arg)
        case PValue():
            yield from refs(tree.of)
            yield from refs(tree.threshold)


def axis_levels(tree: Value, dim: str) -> tuple[str, ...]:
    """Return the levels of a kept dim over all references that keep it."""
    return tuple(dict.fromkeys(level for ref in refs(tree) if dim in ref.keep for level in ref.select.get(dim, ())))


def calls(tree: Value) -> Iterator[str]:
    """Yield the name of every function called in a tree."""
    match tree:
        case Neg():
            yield from calls(tree.of)
        case Op():
            yield from calls(tree.left)
            yield from calls(tree.right)
        case Call():
            yield tree.fn
            for arg in tree.args:
                yield from calls(arg)
        case PValue():
            yield from calls(tree.of)


def trees_in(criterion: Criterion) -> Iterator[Value]:
    """Yield every value that a criterion compares."""
    match criterion:
        case Compare():
            yield criterion.left
            yield criterion.right
        case Ci():
            yield from (tree for tree in (criterion.of, criterion.bound, criterion.low, criterion.high) if tree)
        case Not() | Over():
            yield from trees_in(criterion.of)
        case All() | Any_() | AtLeast():
            for part in criterion.of:
                yield from trees_in(part)
