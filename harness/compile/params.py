"""Parameters of kinds: ``$dim`` values, names of levels and sets, and typing by the kind's own ``Params``."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from harness.compile.banks import place_of
from harness.contracts.bound import Dim
from harness.contracts.kinds import LevelsOf
from harness.contracts.records import Record
from harness.core.registry import did_you_mean
from harness.spec.expected import known_keys
from harness.spec.load import KeyPath
from harness.spec.read import Faults, report
from harness.spec.scalars import LARGEST

_WRONG = PydanticCustomError(
    "unwritable_number", f"a finite number, and a whole one within ±{LARGEST:,}: others cannot be stored"
)  # fmt: skip


@dataclass(frozen=True)
class LevelField:
    """A field that names levels of ``dim``: one or ``many``, by text or (layers) by number."""

    dim: str
    many: bool
    text: bool


@cache
def level_fields(params: type[Record]) -> Mapping[str, LevelField]:
    """Return the fields of a kind's parameters that are marked with ``LevelsOf``, by the name users write."""
    found = {}
    for name, info in params.model_fields.items():
        marks = [mark for mark in info.metadata if isinstance(mark, LevelsOf)]
        marks += _marks(info.annotation)
        if marks:
            annotation = info.annotation
            many = _holds(annotation, tuple)
            found[info.alias or name] = LevelField(marks[0].dim, many, _holds(annotation, str))
    return found


def _marks(annotation: Any) -> Iterator[LevelsOf]:
    for inner in get_args(annotation):
        if isinstance(inner, LevelsOf):
            yield inner
        else:
            yield from _marks(inner)


def _holds(annotation: Any, wanted: type) -> bool:
    return (
        annotation is wanted
        or get_origin(annotation) is wanted
        or any(_holds(inner, wanted) for inner in get_args(annotation))
    )


def misspelt(kind: str, known: Iterable[str], path: KeyPath, faults: Faults) -> None:
    """File a kind that is nearly one that exists; others are kinds that do not exist yet, and reported as such."""
    names = list(known)
    if difflib.get_close_matches(kind, names, n=1, cutoff=0.75):
        faults.add((*path, "kind"), f"there is no kind '{kind}'", f"one of {', '.join(sorted(names))}",
                   did_you_mean(kind, names), value=True)  # fmt: skip


def find_dims(value: Any) -> tuple[str, ...]:
    """Return the names after ``$`` in a value, in order, each once."""
    return tuple(dict.fromkeys(name for name, _ in _dollars(value, ())))


def _dollars(value: Any, path: KeyPath) -> Iterator[tuple[str, KeyPath]]:
    for leaf, place in _leaves(value, path):
        if isinstance(leaf, str) and leaf.startswith("$") and leaf[1:].isidentifier():
            yield leaf[1:], place


def _leaves(value: Any, path: KeyPath) -> Iterator[tuple[Any, KeyPath]]:
    """Yield whatever is no mapping and no list in parameters, and its place."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _leaves(item, (*path, index))
    else:
        yield value, path


def fill(params: type[Record], raw: Mapping[str, Any], levels: Mapping[str, str | tuple[str, ...]]) -> Record:
    """Put levels in the place of ``$dim`` and type the result: what a job's parameters are made with.

    ``levels`` gives one level per dim, or all of them for a batched one.

    Raises:
        ValidationError: from pydantic, when a level does not fit.
    """
    fields = level_fields(params)
    filled = {}
    for key, value in raw.items():
        value = _filled(value, levels)
        if key in fields and fields[key].many and isinstance(value, str):
            value = [value]
        filled[key] = value
    record = params.model_validate(filled)
    unwritable = [
        InitErrorDetails(type=_WRONG, loc=loc, input=value)
        for value, loc in _leaves(record.model_dump(by_alias=True), ())
        if isinstance(value, int | float)
        and not (math.isfinite(value) if isinstance(value, float) else abs(value) <= LARGEST)
    ]
    if unwritable:
        raise ValidationError.from_exception_data(params.__name__, unwritable)
    return record


def _filled(value: Any, levels: Mapping[str, str | tuple[str, ...]]) -> Any:
    if isinstance(value, str):
        level = levels.get(value[1:]) if value.startswith("$") else None
        return value if level is None else list(level) if isinstance(level, tuple) else level
    if isinstance(value, Mapping):
        return {key: _filled(item, levels) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_filled(item, levels) for item in value]
    return value


class Parameters:
    """Types the parameters of recipes and measures against the dims of one prereg."""

    def __init__(self, dims: Mapping[str, Dim], judges: Mapping[str, Any], faults: Faults) -> None:
        self.dims = dims
        self.judges = judges
        self.faults = faults

    def swept(self, raw: Mapping[str, Any], path: KeyPath) -> tuple[str, ...] | None:
        """Return the dims behind ``$`` in raw parameters; None (and a fault) for a name that is no dim or judge."""
        found: list[str] = []
        good = True
        for name, where in _dollars(raw, ()):
            if name in self.judges:
                continue
            if name not in self.dims:
                good = False
                if not {("dims", name), ("judges", name)} & self.faults.broken:
                    known = [f"${one}" for one in (*self.dims, *self.judges)]
                    self.faults.unknown((*path, *where), "dim", f"${name}", known)
                continue
            found.append(name)
        return tuple(dict.fromkeys(found)) if good else None

    def levels(self, value: Any, dim: str, path: KeyPath) -> tuple[str, ...] | None:
        """Resolve level and set names of a dim to levels in the dim's order; None and faults for unknown ones."""
        known = self.dims[dim]
        chosen: list[str] = []
        good = True
        for index, name in enumerate(value if isinstance(value, (list, tuple)) else [value]):
            if not isinstance(name, str):
                self.faults.add(path, "found a mapping or list", f"levels or sets of {dim}", value=True)
                return None
            level = place_of(name, known.levels)
            if name in known.sets:
                chosen += known.sets[name]
            elif level is not None:
                chosen.append(level)
            elif name == "all":
                chosen += known.levels
            else:
                good = False
                where = (*path, index) if isinstance(value, (list, tuple)) else path
                self.faults.unknown(where, f"level or set of {dim}", name, (*known.sets, "all", *known.levels))
        members = set(chosen)
        return tuple(level for level in known.levels if level in members) if good else None

    def typed(
        self, params: type[Record], raw: Mapping[str, Any], path: KeyPath, batched: tuple[str, ...] = ()
    ) -> dict[str, Any] | None:
        """Return parameters with levels resolved, defaults written out and every value typed; ``$dim`` stays.

        Each level of each ``$dim`` is tried. None when something does not fit, with its faults filed.
        """
        swept = self.swept(raw, path)
        named = self.named(params, raw, path)
        if swept is None or named is None:
            self._unknown_keys(params, raw, path)
            return None
        first: dict[str, str | tuple[str, ...]] = {}
        for dim in swept:
            first[dim] = self.dims[dim].levels if dim in batched else self.dims[dim].levels[0]
        whole = self._try(params, named, first, path, "")
        for dim in swept if whole is not None else ():
            for level in self.dims[dim].levels[1:] if dim not in batched else ():
                if self._try(params, named, {**first, dim: level}, path, f"with {dim} = {level}") is None:
                    return None
        if whole is None:
            return None
        typed = whole.model_dump(mode="json", by_alias=True)
        for name, where in _dollars(raw, ()):
            if name in self.dims:
                _put(typed, where, f"${name}")
        return typed

    def _unknown_keys(self, params: type[Record], raw: Mapping[str, Any], path: KeyPath) -> None:
        known = known_keys(params, ())
        for key in (key for key in raw if key not in known):
            expected, hint = f"one of {', '.join(sorted(known))}", did_you_mean(key, known)
            self.faults.add((*path, key), f"unknown key '{key}'", expected, hint)

    def named(self, params: type[Record], raw: Mapping[str, Any], path: KeyPath) -> dict[str, Any] | None:
        """Return raw parameters with names of levels and sets resolved; None and faults where one is unknown."""
        named: dict[str, Any] = dict(raw)
        for key, field in level_fields(params).items():
            value = raw.get(key)
            if value is None or (isinstance(value, str) and value.startswith("$")):
                continue
            if field.dim not in self.dims:
                if field.text:
                    if not self.faults.is_broken("dims", field.dim):
                        self.faults.add((*path, key), f"found {value!r}, and there is no dim '{field.dim}'",
                                        f"dims.{field.dim} with levels and sets", value=True)  # fmt: skip
                    return None
                named[key] = value if isinstance(value, list) else [value]
                continue
            if not field.text and not self._knows(field.dim, value):
                named[key] = value if isinstance(value, list) else [value]
                continue
            levels = self.levels(value, field.dim, (*path, key))
            if levels is None:
                return None
            if not field.many and len(levels) != 1:
                self.faults.add((*path, key), f"{len(levels)} levels of {field.dim}", "exactly one", value=True)
                return None
            named[key] = list(levels) if field.many else levels[0]
        return named

    def _knows(self, dim: str, value: Any) -> bool:
        known = self.dims[dim]
        names = value if isinstance(value, list) else [value]
        return all(isinstance(n, str) and (n in known.sets or n == "all" or place_of(n, known.levels)) for n in names)

    def _try(
        self, params: type[Record], raw: Mapping[str, Any], levels: Mapping[str, str | tuple[str, ...]],
        path: KeyPath, note: str,
    ) -> Record | None:  # fmt: skip
        try:
            return fill(params, raw, levels)
        except ValidationError as error:
            for item in error.errors(include_url=False):
                report(item, self.faults, path, params, note)
            return None


def _put(tree: Any, path: KeyPath, value: Any) -> None:
    """Set a value inside nested mappings and lists; a list that one ``$dim`` stands for is replaced by it."""
    for part in path[:-1]:
        tree = tree[part]
    tree[path[-1]] = value
