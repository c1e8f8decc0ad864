"""Reads ``MEASURE.COLUMN[ARM, SET, LEVEL]``: which cells of a column a stated level or a pilot speaks of."""

from __future__ import annotations

import re

from harness.core.errors import PreregError, Problem, Where
from harness.core.registry import did_you_mean
from harness.decide.simulation.scene import Reading, Scene

_PLACE = re.compile(r"\s*(?P<measure>\w+)(\.(?P<column>\w+))?\s*(\[(?P<items>[^\]]*)\])?\s*")


def split_place(text: str) -> tuple[str, str, tuple[str, ...]]:
    """Return measure, column ("" where none is named) and the items in brackets.

    Raises:
        PreregError: the text is nothing of the kind.
    """
    match = _PLACE.fullmatch(text)
    if match is None:
        raise PreregError(Problem(Where(key=text), f"found '{text}'", "MEASURE.COLUMN[ARM, SET]"))
    items = tuple(item.strip() for item in (match["items"] or "").split(",") if item.strip())
    return match["measure"], match["column"] or "", items


def parse_place(text: str, scene: Scene) -> tuple[Reading, dict[str, tuple[str, ...]]]:
    """Return the column and the levels per dim that a text names; dims that it does not name are taken whole.

    Raises:
        PreregError: an unknown column, arm, set or level, or a name that two dims have.
    """
    measure, column, items = split_place(text)
    fitting = [r for r in scene.readings.values() if r.measure.name == measure and column in ("", r.column.name)]
    if not fitting:
        hint = did_you_mean(f"{measure}.{column}" if column else measure, tuple(scene.readings))
        raise PreregError(Problem(Where(key=text), "names no column that the rule reads", hint=hint))
    reading = fitting[0]
    levels = {dim: reading.levels[dim] for dim in reading.dims}
    sets = {dim.name: dim.sets for dim in scene.bound.dims}
    for item in items:
        name, equals, value = (part.strip() for part in item.partition("="))
        wanted = value if equals else item
        found = {}
        for dim in reading.dims if not equals else (name,):
            members = sets.get(dim, {}).get(wanted, (wanted,))
            own = tuple(level for level in reading.levels.get(dim, ()) if level in members)
            if own:
                found[dim] = own
        if len(found) != 1:
            what = "names nothing here" if not found else f"could be of {' or '.join(found)}"
            known = [*(x for d in reading.dims for x in (*sets.get(d, {}), *reading.levels[d]))]
            raise PreregError(Problem(Where(key=text), f"'{item}' {what}", hint=did_you_mean(item, known)))
        levels.update(found)
    return reading, levels
