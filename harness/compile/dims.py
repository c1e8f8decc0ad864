"""Dims: their levels (inline, from a bank file, or a set of another dim), named sets and primary."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from harness.compile.banks import BUILTIN, Levels, by_text, inline_levels, load_bank, place_of
from harness.contracts.bound import Dim
from harness.core.errors import PreregError
from harness.core.places import is_file
from harness.core.registry import did_you_mean
from harness.spec import model
from harness.spec.load import KeyPath
from harness.spec.read import Faults
from harness.spec.scalars import LARGEST, is_range, parse_int, parse_range

SEED = "seed"


def bind_dims(prereg: model.Prereg, faults: Faults, replaced: Mapping[str, tuple[str, ...]]) -> dict[str, Dim]:
    """Return every dim that could be bound; the others are filed as faults and broken.

    Args:
        prereg: the registration.
        faults: where mistakes go.
        replaced: levels that a rehearsal replaced, by dim, so that a primary among them still finds its place.
    """
    return _Dims(prereg, faults, replaced).bind()


class _Dims:
    def __init__(self, prereg: model.Prereg, faults: Faults, replaced: Mapping[str, tuple[str, ...]]) -> None:
        self.prereg = prereg
        self.faults = faults
        self.replaced = replaced
        self.dims: dict[str, Dim] = {}
        self.open: list[str] = []
        self.used = set(_words_of_use(prereg))

    def bind(self) -> dict[str, Dim]:
        for name in self.prereg.dims:
            self._dim(name)
        return {name: self.dims[name] for name in self.prereg.dims if name in self.dims}

    def _dim(self, name: str) -> Dim | None:
        if name in self.dims or self.faults.is_broken("dims", name):
            return self.dims.get(name)
        before = len(self.faults.problems)
        spec, path = self.prereg.dims[name], ("dims", name)
        self.open.append(name)
        levels = self._levels(name, spec)
        self.open.pop()
        if levels is not None:
            sets = self._sets(name, spec, levels)
            primary = self._primary(name, spec, levels)
            self._columns(name, spec, levels)
            if name == SEED and self.prereg.arms:
                self._seeds(levels)
            if len(self.faults.problems) == before:
                self.dims[name] = Dim(
                    name=name, levels=levels.names, sets=sets, primary=primary, unit=spec.unit,
                    texts=dict(levels.texts), columns={key: dict(column) for key, column in levels.columns.items()},
                    file=levels.file, line=self.faults.document.line(path),
                )  # fmt: skip
                return self.dims[name]
        self.faults.broken.add(path)
        return None

    def _levels(self, name: str, spec: model.Dim) -> Levels | None:
        path: KeyPath = ("dims", name)
        if spec.like:
            return self._like(name, spec)
        if not spec.file:
            document = self.faults.document
            inside = (*path, "levels") if (*path, "levels") in document.spots else path
            return inline_levels(spec.levels, inside, self.faults)
        root = BUILTIN if spec.file.startswith("builtin/") else self.faults.document.folder
        file = root / spec.file.removeprefix("builtin/")
        if not is_file(file):
            there = [f"builtin/{bank.name}" for bank in sorted(BUILTIN.glob("*.yaml"))]
            hint = did_you_mean(spec.file, there) or f"the package has {', '.join(there)}"
            self.faults.add((*path, "file"), f"there is no file '{spec.file}'", f"a bank at {file}", hint, value=True)
            return None
        stat = file.stat()
        try:
            return load_bank(file, stat.st_mtime_ns, stat.st_size)
        except PreregError as error:
            self.faults.problems += error.problems
            return None

    def _like(self, name: str, spec: model.Dim) -> Levels | None:
        path: KeyPath = ("dims", name, "like")
        other, _, chosen = spec.like.partition(".")
        if other in self.open:
            self.faults.add(path, f"'{spec.like}' goes in a circle", "another dim", value=True)
            return None
        if other not in self.prereg.dims:
            if not self.faults.is_broken("dims", other):
                self.faults.unknown(path, "dim", other, self.prereg.dims)
            return None
        source = self._dim(other)
        if source is None:
            return None
        if chosen and chosen not in source.sets:
            self.faults.unknown(path, f"set of {other}", chosen, source.sets)
            return None
        names = source.sets[chosen] if chosen else source.levels
        texts = {level: source.texts[level] for level in names if level in source.texts}
        columns = {key: {level: column[level] for level in names} for key, column in source.columns.items()}
        return Levels(names, texts, columns, source.file)

    def _sets(self, name: str, spec: model.Dim, levels: Levels) -> dict[str, tuple[str, ...]]:
        """Resolve the named sets; ``rest`` is what the sets in use leave over.

        In use is what a recipe, a measure or a choice names: what an experiment has trained on, read directions from
        or chosen by. A set that only labels levels for reports takes nothing away, unless no set is in use.
        """
        sets: dict[str, tuple[str, ...]] = {}
        for key, chosen in spec.sets.items():
            if chosen != "rest":
                members = self._set(("dims", name, "sets", key), chosen, levels)
                if members is not None:
                    sets[key] = members
        others = [key for key in sets if spec.sets[key] != "all"]
        taken = {level for key in [key for key in others if key in self.used] or others for level in sets[key]}
        for key, chosen in spec.sets.items():
            if chosen == "rest":
                sets[key] = tuple(level for level in levels.names if level not in taken)
        for key in spec.sets:
            if key in levels.names and sets.get(key) != (key,):
                self.faults.add(("dims", name, "sets", key), f"'{key}' is a level of {name} as well", "another name")
            elif key in sets and not sets[key]:
                self.faults.add(("dims", name, "sets", key), f"the set '{key}' is empty", "at least one level")
        return {key: sets[key] for key in spec.sets if key in sets}

    def _set(self, path: KeyPath, chosen: tuple[str, ...] | str, levels: Levels) -> tuple[str, ...] | None:
        if isinstance(chosen, tuple):
            unknown = [(index, one) for index, one in enumerate(chosen) if by_text(one, levels.names) is None]
            for index, one in unknown:
                self.faults.unknown((*path, index), f"level of {path[1]}", one, levels.names)
            twice = {one for one in chosen if chosen.count(one) > 1}
            for one in sorted(twice):
                self.faults.add(path, f"'{one}' stands twice in the set", "each level once")
            return None if unknown or twice else tuple(str(by_text(one, levels.names)) for one in chosen)
        if chosen == "all":
            return levels.names
        if is_range(chosen):
            return self._range(path, chosen, levels)
        column, equals, value = (part.strip() for part in chosen.partition("="))
        if not equals:
            self.faults.add(path, f"found '{chosen}'", "[names], a..b, rest, all or column=value", value=True)
            return None
        if column not in levels.columns:
            self.faults.unknown(path, "column", column, levels.columns)
            return None
        members = tuple(level for level in levels.names if levels.columns[column].get(level) == value)
        if not members:
            values = dict.fromkeys(levels.columns[column].values())
            self.faults.unknown(path, f"value of {column}", value, values)
        return members or None

    def _range(self, path: KeyPath, chosen: str, levels: Levels) -> tuple[str, ...] | None:
        try:
            first, last = parse_range(chosen)
        except ValueError as error:
            self.faults.add(path, f"found '{chosen}'", str(error), value=True)
            return None
        if first < 1 or last > len(levels.names):
            self.faults.add(
                path, f"the range {chosen}", f"a range within 1..{len(levels.names)}, counted from 1", value=True
            )
            return None
        return levels.names[first - 1 : last]

    def _primary(self, name: str, spec: model.Dim, levels: Levels) -> str:
        if not spec.primary or spec.primary == "mean" or spec.primary in self.prereg.choose:
            return spec.primary
        found = place_of(spec.primary, levels.names, self.replaced.get(name, ()))
        if found is None and not self.faults.is_broken("choose", spec.primary):
            known = [*levels.names, *self.prereg.choose, "mean"]
            self.faults.unknown(("dims", name, "primary"), f"level of {name}", spec.primary, known)
        return found or ""

    def _seeds(self, levels: Levels) -> None:
        """Check what models are trained and sampled with; in a recorded table a run may be called anything."""
        document = self.faults.document
        inside: KeyPath = ("dims", SEED, "levels") if ("dims", SEED, "levels") in document.spots else ("dims", SEED)
        first: dict[int, str] = {}
        for index, level in enumerate(levels.names):
            try:
                seed = parse_int(level)
            except ValueError:
                seed = -1
            if seed < 0:
                expected = f"a whole number from 0 to {LARGEST:,}"
                self.faults.add((*inside, index), f"found '{level}'", expected, value=True)
            elif first.setdefault(seed, level) != level:
                self.faults.add((*inside, index), f"'{level}' is the seed '{first[seed]}' again", "each seed once")

    def _columns(self, name: str, spec: model.Dim, levels: Levels) -> None:
        for index, column in enumerate(spec.columns):
            if column not in levels.columns:
                self.faults.unknown(("dims", name, "columns", index), "column of the bank", column, levels.columns)


def _words_of_use(prereg: model.Prereg) -> Iterator[str]:
    """Yield every word in recipes, measures and choices that may name a set."""
    for recipe in prereg.recipes.values():
        yield from _texts_in(recipe.params)
    for measure in prereg.measures.values():
        yield from _texts_in(measure.params)
    for choice in prereg.choose.values():
        for text in (choice.maximise, choice.minimise, choice.among):
            yield from re.findall(r"[A-Za-z_]\w*", text)


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts_in(item)
