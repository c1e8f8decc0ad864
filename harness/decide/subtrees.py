"""Walks over value trees: what a formula contains, and a table's formula at one level of a dim."""

from __future__ import annotations

from typing import Any

from harness.contracts.trees import Call, Neg, Op, PValue, Ref, Value
from harness.contracts.walks import nodes


def contains(tree: Value, part: Value) -> bool:
    """Say whether ``part`` stands somewhere inside ``tree``."""
    return any(node == part for node in nodes(tree))


def at_level(tree: Value, dim: str, level: str) -> Value:
    """Return a table's formula at one level of a kept dim: fixed there, and no longer kept."""
    if isinstance(tree, Ref):
        if dim not in tree.keep:
            return tree
        keep = tuple(kept for kept in tree.keep if kept != dim)
        return tree.model_copy(update={"keep": keep, "select": {**tree.select, dim: (level,)}})
    update: dict[str, Any]
    match tree:
        case Neg():
            update = {"of": at_level(tree.of, dim, level)}
        case Op():
            update = {"left": at_level(tree.left, dim, level), "right": at_level(tree.right, dim, level)}
        case Call():
            update = {"args": tuple(at_level(arg, dim, level) for arg in tree.args)}
        case PValue():
            update = {"of": at_level(tree.of, dim, level)}
        case _:
            return tree
    return tree.model_copy(update=update)
