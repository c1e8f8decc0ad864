"""Walks over bound formulas that only binding needs."""

from __future__ import annotations

from collections.abc import Iterator

from harness.contracts.trees import Call, Neg, Op, PValue, Value
from harness.contracts.walks import refs


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
