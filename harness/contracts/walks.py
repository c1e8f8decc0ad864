"""Walks over bound formulas and criteria: the one place that knows what stands inside what."""

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


def children(tree: Value) -> tuple[Value, ...]:
    """Return the trees directly inside one (a p-value's threshold included)."""
    match tree:
        case Neg():
            return (tree.of,)
        case Op():
            return (tree.left, tree.right)
        case Call():
            return tree.args
        case PValue():
            return (tree.of, tree.threshold)
        case _:
            return ()


def nodes(tree: Value) -> Iterator[Value]:
    """Yield the tree and everything inside it, outermost first."""
    yield tree
    for child in children(tree):
        yield from nodes(child)


def refs(tree: Value) -> tuple[Ref, ...]:
    """Return the references to measures in a tree, in reading order."""
    return tuple(node for node in nodes(tree) if isinstance(node, Ref))


def leaves(criterion: Criterion) -> Iterator[Compare | Ci]:
    """Yield the comparisons of a criterion in reading order."""
    match criterion:
        case Compare() | Ci():
            yield criterion
        case Not() | Over():
            yield from leaves(criterion.of)
        case All() | Any_() | AtLeast():
            for part in criterion.of:
                yield from leaves(part)


def values(leaf: Compare | Ci) -> Iterator[Value]:
    """Yield the formulas that a comparison reads."""
    if isinstance(leaf, Compare):
        yield from (leaf.left, leaf.right)
    else:
        yield from (tree for tree in (leaf.of, leaf.bound, leaf.low, leaf.high) if tree is not None)


def trees_of(criterion: Criterion) -> Iterator[Value]:
    """Yield every formula that a criterion compares."""
    for leaf in leaves(criterion):
        yield from values(leaf)
