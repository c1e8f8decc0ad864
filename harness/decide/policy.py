"""Declared policies for completions that the length limit cut off.

More of them than ``truncated: {at_most: …}`` allows make every value that rests on the measure unknown. Below that,
an estimate says what it would be if all of them were counted against it, or for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import partial
from itertools import product

from harness.contracts.trees import Ref, Value
from harness.contracts.walks import refs
from harness.core.numbers import format_threshold, format_value
from harness.decide.exact import exact, has_exact
from harness.decide.shape import map_refs
from harness.decide.tables import World

CUT = "truncated"
WORST = ("rate_low", "rate_high")
"""Columns in which every truncated completion counts as a miss, and as a hit."""
MOST_REFS = 6
"""Worst cases are sought over all combinations of this many references at most."""


def spoilt(tree: Value, world: World) -> str:
    """Say why the truncated completions leave a value unknown, or nothing when the policy is kept."""
    said = []
    for ref in refs(tree):
        limit = world.measures[ref.measure].measure.truncated.get("at_most")
        if limit is None or limit == "none" or ref.column == CUT:
            continue
        for name, share in _shares(ref, world):
            if share > Fraction(limit):
                said.append(
                    f"{format_value(share, 'proportion')} of the completions{name} were cut off by the length limit, "
                    f"more than the {format_threshold(Fraction(limit), 'proportion')} that are allowed"
                )
    return "; ".join(dict.fromkeys(said))


def worst_cases(tree: Value, world: World) -> tuple[Fraction, Fraction] | None:
    """Return the smallest and largest value over all ways to count the truncated completions of each reference.

    None where nothing was truncated, where the value is not an exact one, or where it is a table.
    """
    counted = {_key(ref): ref for ref in refs(tree) if ref.column == "rate" and _has_worst(ref, world)}
    if not 0 < len(counted) <= MOST_REFS or not has_exact(tree, world):
        return None
    if not any(share for ref in counted.values() for _, share in _shares(ref, world)):
        return None
    found: list[Fraction] = []
    for columns in product(WORST, repeat=len(counted)):
        swaps = dict(zip(counted, columns, strict=True))
        cells = exact(map_refs(tree, partial(_swapped, swaps)), world).cells
        if len(cells) != 1:
            return None
        found.extend(value for value in cells.values() if value is not None)
    return (min(found), max(found)) if found else None


def _swapped(swaps: Mapping[str, str], ref: Ref) -> Ref:
    column = swaps.get(_key(ref))
    return ref if column is None else ref.model_copy(update={"column": column})


def _key(ref: Ref) -> str:
    return ref.model_dump_json()


def _has_worst(ref: Ref, world: World) -> bool:
    held = {column.name for column in world.measures[ref.measure].measure.columns}
    return {CUT, *WORST} <= held


def _shares(ref: Ref, world: World) -> Iterator[tuple[str, Fraction]]:
    """Share of truncated completions among the rows that a reference reads, per arm."""
    if CUT not in {column.name for column in world.measures[ref.measure].measure.columns}:
        return
    for arm in ref.select.get("arm", ("",)):
        select = {**ref.select, "arm": (arm,)} if arm else ref.select
        cut = Ref(measure=ref.measure, column=CUT, select=select)
        (share,) = exact(cut, world).cells.values()
        if share is not None:
            yield (f" of {arm}" if arm else ""), share
