"""What belongs to what, found by comparing bound trees and never by name.

An estimand's p-values, the two sides of a contrast, the arms' own values, versions by rank and by sweep.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from harness.contracts.bound import Bound
from harness.contracts.records import Cell, Estimate
from harness.contracts.trees import Call, Expression, Neg, Op, PValue, Ref, Value
from harness.core.numbers import count_noun

RANK_VERSIONS = {"pearson": ("spearman", "tau")}


class Contrast(NamedTuple):
    """A difference of two references that select different levels."""

    left: Ref
    right: Ref


def parts(tree: Value) -> Iterator[Value]:
    """Yield a tree and every value inside it, outermost first."""
    yield tree
    match tree:
        case Neg(of=of):
            yield from parts(of)
        case Op(left=left, right=right):
            yield from parts(left)
            yield from parts(right)
        case Call(args=args):
            for arg in args:
                yield from parts(arg)
        case PValue(of=of, threshold=threshold):
            yield from parts(of)
            yield from parts(threshold)
        case _:
            return


def refs(tree: Value) -> list[Ref]:
    """Return the measured columns in a tree, in reading order."""
    return [part for part in parts(tree) if isinstance(part, Ref)]


def tested(tree: PValue) -> tuple[Value, bool]:
    """Return what a p-value tests, and whether on both sides: ``p(abs(x) > 0)`` tests x on both."""
    of = tree.of
    if isinstance(of, Call) and of.fn == "abs" and tree.null is None:
        return of.args[0], True
    return of, False


def contrast(tree: Value) -> Contrast | None:
    """Return the two sides when a formula is a plain difference of two references to one column."""
    if isinstance(tree, Op) and tree.op == "-" and isinstance(tree.left, Ref) and isinstance(tree.right, Ref):
        left, right = tree.left, tree.right
        if (left.measure, left.column) == (right.measure, right.column):
            return Contrast(left, right)
    return None


def contrast_label(sides: Contrast, bound: Bound) -> str:
    """Name a contrast by what differs between its sides: ``C2 − C1``."""
    return f"{side_label(sides.left, sides.right, bound)} − {side_label(sides.right, sides.left, bound)}"


def side_label(ref: Ref, other: Ref, bound: Bound) -> str:
    """Name a reference by the levels in which it differs from another one."""
    differing = [dim for dim in ref.select if ref.select[dim] != other.select.get(dim)]
    return ", ".join(_levels_label(dim, ref.select[dim], bound) for dim in differing) or ref.measure


def _levels_label(dim: str, levels: tuple[str, ...], bound: Bound) -> str:
    if len(levels) == 1:
        return levels[0]
    declared = next((found for found in bound.dims if found.name == dim), None)
    if declared:
        named = next((name for name, members in declared.sets.items() if set(members) == set(levels)), "")
        if named:
            return named
    return count_noun(len(levels), dim)


def cell_of(ref: Ref, bound: Bound, estimates: Mapping[str, Estimate]) -> tuple[str, Cell] | None:
    """Return the name and cell of an estimate that is just this reference, kept dims included."""
    for expression in bound.expressions:
        tree = expression.tree
        estimate = estimates.get(expression.name)
        if not isinstance(tree, Ref) or estimate is None or ref.keep:
            continue
        if (tree.measure, tree.column) != (ref.measure, ref.column) or set(tree.select) != set(ref.select):
            continue
        fixed = {dim: levels[0] for dim, levels in ref.select.items() if dim in tree.keep and len(levels) == 1}
        if len(fixed) != len(tree.keep):
            continue
        if any(tree.select[dim] != levels for dim, levels in ref.select.items() if dim not in tree.keep):
            continue
        cell = next((cell for cell in estimate.cells if cell.at == fixed), None)
        if cell is not None:
            return expression.name, cell
    return None


def rank_version(expression: Expression, bound: Bound) -> list[Expression]:
    """Return the estimands that are this correlation computed on ranks."""
    tree = expression.tree
    if not isinstance(tree, Call) or tree.fn not in RANK_VERSIONS:
        return []
    return [
        other
        for other in bound.expressions
        if isinstance(other.tree, Call)
        and other.tree.fn in RANK_VERSIONS[tree.fn]
        and other.tree.args == tree.args
        and other.tree.over == tree.over
    ]


def correlated(expression: Expression, bound: Bound) -> tuple[Expression, Expression, str] | None:
    """Return the tables that a Pearson correlation relates, and their dim, where both are estimands too."""
    tree = expression.tree
    if not isinstance(tree, Call) or tree.fn not in RANK_VERSIONS or len(tree.args) != 2:
        return None
    tables = [next((other for other in bound.expressions if other.tree == arg), None) for arg in tree.args]
    if tables[0] is None or tables[1] is None or len(tables[0].axes) != 1 or tables[0].axes != tables[1].axes:
        return None
    return tables[0], tables[1], tables[0].axes[0]


def sweep_versions(expression: Expression, bound: Bound) -> list[tuple[Expression, str]]:
    """Return estimands that are this formula kept ``by`` one further dim, each with that dim."""
    found = []
    for other in bound.expressions:
        extra = set(other.axes) - set(expression.axes)
        if len(extra) != 1 or len(other.axes) != len(expression.axes) + 1:
            continue
        dim = extra.pop()
        if _without_dim(other.tree, dim) == _without_dim(expression.tree, dim):
            found.append((other, dim))
    return found


def _without_dim(tree: Value, dim: str) -> str:
    """A formula's text form with one dim's selection and keeping left out."""

    def strip(node: Any) -> Any:
        if isinstance(node, dict):
            if node.get("node") == "ref":
                select = {name: levels for name, levels in node["select"].items() if name != dim}
                return {**node, "select": select, "keep": [name for name in node["keep"] if name != dim]}
            return {key: strip(value) for key, value in node.items()}
        return [strip(item) for item in node] if isinstance(node, list) else node

    return json.dumps(strip(tree.model_dump(mode="json")), sort_keys=True)


def with_measures(tree: Value, names: Mapping[str, str]) -> str:
    """A formula's text form with every measure's name replaced (by its data's digest, say)."""

    def rename(node: Any) -> Any:
        if isinstance(node, dict):
            renamed = {key: rename(value) for key, value in node.items()}
            if node.get("node") == "ref":
                renamed["measure"] = names.get(node["measure"], node["measure"])
            return renamed
        return [rename(item) for item in node] if isinstance(node, list) else node

    return json.dumps(rename(tree.model_dump(mode="json")), sort_keys=True)


def measures_of(tree: Value) -> tuple[str, ...]:
    """Return the measures a formula reads, each once, in reading order."""
    return tuple(dict.fromkeys(ref.measure for ref in refs(tree)))
