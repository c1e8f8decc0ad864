"""Which contrasts are taken apart: every registered difference of a rate between two arms, by its pool.

Made by rule, never registered, read by no criterion: the jobs stand beside the verdict and not before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.contracts.bound import Bound, BoundMeasure
from harness.contracts.records import Column
from harness.contracts.trees import Op, Ref, Value
from harness.contracts.walks import refs

Tables = Mapping[str, tuple[tuple[str, Mapping[str, str]], ...]]
FEWEST_CLUSTERS = 3


@dataclass
class Pool:
    """The contrasts of one measure's rate over the same levels of every dim but the arm."""

    measure: BoundMeasure
    column: str
    levels: dict[str, tuple[str, ...]]
    pairs: list[tuple[str, str]] = field(default_factory=list)
    arms: tuple[str, ...] = ()
    """Arms that some estimand reads: an analysis that decides nothing makes no further arm."""


def breakdowns(bound: Bound, tables: Tables) -> Iterator[tuple[str, dict[str, Any], dict[str, str]]]:
    """Yield the name, the parameters and the inputs of every breakdown, in the order of the estimands.

    Args:
        bound: The registration.
        tables: Every measure's table keys with their coordinates.
    """
    for pool in _pools(bound):
        lengths = _lengths(pool.measure, bound.measures)
        used = {each.name: each for each in (pool.measure, lengths) if each is not None}
        placed: dict[str, list[dict[str, Any]]] = {name: [] for name in used}
        inputs: dict[str, str] = {}
        for name in used:
            for key, at in tables[name]:
                if not _takes_part(at, pool):
                    continue
                role = f"{name}/{len(placed[name])}"
                inputs[role] = key
                placed[name].append({"role": role, "at": dict(at)})
        params = {**_params(pool, lengths, bound), "tables": placed}
        yield f"breakdown[{pool.measure.name}.{params['pool_name'] or 'all'}]", params, inputs


def _takes_part(at: Mapping[str, str], pool: Pool) -> bool:
    wanted = {**pool.levels, "arm": pool.arms}
    return all(at.get(dim, levels[0]) in levels for dim, levels in wanted.items())


def _params(pool: Pool, lengths: BoundMeasure | None, bound: Bound) -> dict[str, Any]:
    unit = _unit(pool)
    named = next((dim.sets for dim in bound.dims if dim.name == unit), {})
    tokens = [column.name for column in lengths.columns if _is_length(column)] if lengths else []
    return {
        "measure": pool.measure.name,
        "column": pool.column,
        "pool": {dim: list(levels) for dim, levels in pool.levels.items()},
        "pool_name": next((name for name, levels in named.items() if levels == pool.levels[unit]), ""),
        "unit": unit,
        "cluster": _cluster(pool, unit),
        "arms": list(pool.arms),
        "pairs": [list(pair) for pair in dict.fromkeys(pool.pairs)],
        "lengths": lengths.name if lengths else "",
        "tokens": next((name for name in tokens if "median" not in name), tokens[0] if tokens else ""),
        "median": next((name for name in tokens if "median" in name), ""),
        "marker": pool.measure.params.get("match"),
    }


def _pools(bound: Bound) -> list[Pool]:
    """Pools in the order of the estimands; the same data under another way of drawing again counts once."""
    measures = {measure.name: measure for measure in bound.measures}
    found: dict[str, Pool] = {}
    data: dict[str, str] = {}
    for expression in bound.expressions:
        sides = _sides(expression.tree)
        if sides is None or not expression.named:
            continue
        left, right = sides
        measure = measures[left.measure]
        if not _takes_apart(measure, left):
            continue
        levels = {dim: levels for dim, levels in left.select.items() if dim != "arm"}
        source = measure.file.sha256 if measure.file else measure.name
        first = data.setdefault(f"{source}/{left.column}", measure.name)
        where = f"{first}/{left.column}/{sorted(levels.items())}"
        pool = found.setdefault(where, Pool(measures[first], left.column, levels))
        pool.pairs.append((left.select["arm"][0], right.select["arm"][0]))
    for pool in found.values():
        read = {arm for each in bound.expressions for ref in refs(each.tree) for arm in _arms_of(ref, pool)}
        pool.arms = tuple(arm for arm in pool.measure.levels["arm"] if arm in read)
    return list(found.values())


def _arms_of(ref: Ref, pool: Pool) -> tuple[str, ...]:
    return ref.select.get("arm", pool.measure.levels["arm"]) if ref.measure == pool.measure.name else ()


def _sides(tree: Value) -> tuple[Ref, Ref] | None:
    """The two sides of a plain difference of one column between two single arms."""
    if not (isinstance(tree, Op) and tree.op == "-" and isinstance(tree.left, Ref) and isinstance(tree.right, Ref)):
        return None
    left, right = tree.left, tree.right
    if (left.measure, left.column) != (right.measure, right.column) or left.keep or right.keep:
        return None
    arms = [side.select.get("arm", ()) for side in (left, right)]
    if any(len(each) != 1 for each in arms) or arms[0] == arms[1]:
        return None
    rest = [{dim: levels for dim, levels in side.select.items() if dim != "arm"} for side in (left, right)]
    return (left, right) if rest[0] == rest[1] else None


def _takes_apart(measure: BoundMeasure, ref: Ref) -> bool:
    column = next((column for column in measure.columns if column.name == ref.column), None)
    dims = [dim for dim in ref.select if dim not in ("arm", "seed", *measure.sweeps)]
    return measure.family != "missing" and column is not None and column.form == "ratio" and bool(dims)


def _unit(pool: Pool) -> str:
    dims = [dim for dim in pool.levels if dim not in ("seed", *pool.measure.sweeps)]
    over = [dim for dim in (pool.measure.inference.over if pool.measure.inference else ()) if dim in dims]
    return "persona" if "persona" in dims else (over or dims)[0]


def _cluster(pool: Pool, unit: str) -> str:
    """The dim drawn again with the fewest levels (but enough of them): what is left of chance is between those."""
    over: Sequence[str] = pool.measure.inference.over if pool.measure.inference else ()
    known = [dim for dim in over if dim in pool.levels]
    enough = [dim for dim in known if len(pool.levels[dim]) >= FEWEST_CLUSTERS]
    if enough:
        return min(enough, key=lambda dim: len(pool.levels[dim]))
    return max(known, key=lambda dim: len(pool.levels[dim])) if known else unit


def _lengths(measure: BoundMeasure, measures: Sequence[BoundMeasure]) -> BoundMeasure | None:
    """The measure itself where it counts tokens, else a recorded table of lengths by arm over dims of this one."""
    if any(_is_length(column) for column in measure.columns):
        return measure
    if measure.family != "recorded":
        return None
    return next(
        (
            other
            for other in measures
            if other.family == "recorded"
            and "arm" in other.dims
            and set(other.dims) <= set(measure.dims)
            and set(measure.levels["arm"]) <= set(other.levels["arm"])
            and any(_is_length(column) for column in other.columns)
        ),
        None,
    )


def _is_length(column: Column) -> bool:
    return column.form == "number" and column.unit == "tokens"
