"""Banks: files of personas, questions or other levels; levels given inline are read the same way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import harness
from harness.contracts.records import FileRef
from harness.core.errors import PreregError, Problem
from harness.core.ident import file_digest
from harness.spec.load import Document, KeyPath, load_document
from harness.spec.read import Faults, shortened, shown
from harness.spec.scalars import is_computable

BUILTIN = Path(harness.__file__).parent.parent / "preregs" / "banks"
"""Where ``file: builtin/NAME.yaml`` looks: the banks that come with the package."""

_TEXT_KEYS = ("prompt", "text")


@dataclass(frozen=True)
class Levels:
    """Levels in order, what each stands for, and their further columns (column -> level -> value)."""

    names: tuple[str, ...]
    texts: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    file: FileRef | None = None


def place_of(level: str, levels: tuple[str, ...], replaced: tuple[str, ...] = ()) -> str | None:
    """Find a level by its text, else by its number (``1`` is ``1.0``), else by its place in what a rehearsal replaced.

    In a rehearsal with fewer levels, the first stands for the first, the last for the last, and so on between.
    """
    found = by_text(level, levels)
    if found is None and replaced:
        old = by_text(level, replaced)
        if old is not None:
            at = replaced.index(old) * (len(levels) - 1) / max(1, len(replaced) - 1)
            return levels[round(at)]
    return found


def by_text(level: str, levels: tuple[str, ...]) -> str | None:
    """Find a level by its text, else by its number."""
    if level in levels:
        return level
    number = _number(level)
    return None if number is None else next((one for one in levels if _number(one) == number), None)


def _number(text: str) -> Fraction | None:
    if not is_computable(text):
        return None
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        return None


def inline_levels(items: Any, path: KeyPath, faults: Faults) -> Levels | None:
    """Read levels given as names or as mappings with ``name``, ``prompt`` or ``text``, and further columns."""
    names: list[str] = []
    texts: dict[str, str] = {}
    columns: dict[str, dict[str, str]] = {}
    before = len(faults.problems)
    for index, item in enumerate(items):
        entry = {"name": item} if isinstance(item, str) else item
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            faults.add((*path, index), f"found {shown(item)}", "a name, or a mapping with 'name'")
            continue
        name = entry["name"]
        if name in names:
            faults.add((*path, index), f"the level '{name}' stands twice", "each level once")
        names.append(name)
        for key, value in entry.items():
            if key == "name":
                continue
            if not isinstance(value, str):
                faults.add((*path, index, key), f"found {shown(value)}", "one text")
            elif key in _TEXT_KEYS:
                texts[name] = value
            else:
                columns.setdefault(key, {})[name] = value
    if len(faults.problems) > before:
        return None
    return Levels(tuple(names), texts, columns)


@lru_cache(maxsize=64)
def load_bank(file: Path, modified: int, size: int) -> Levels:
    """Read a bank: ``levels:`` with a name and a prompt or text each. Cached by path, time and size.

    Raises:
        PreregError: everything that is wrong with the bank, at its lines.
    """
    document: Document = load_document(file)
    faults = Faults(document)
    items = document.tree.get("levels")
    for key in document.tree:
        if key != "levels":
            faults.add((key,), f"unknown key '{key}' in a bank", "levels")
    if not isinstance(items, list) or not items:
        raise PreregError(Problem(document.where(()), "the bank has no levels", "levels: [{name: …, prompt: …}, …]"))
    levels = inline_levels(items, ("levels",), faults)
    if levels is not None:
        for key, column in levels.columns.items():
            lacking = [name for name in levels.names if name not in column]
            if lacking:
                faults.add(("levels", levels.names.index(lacking[0]), key), f"column '{key}' is missing for "
                           f"{shortened(lacking)}", "a value for every level")  # fmt: skip
    faults.raise_all()
    assert levels is not None
    return Levels(levels.names, levels.texts, levels.columns, FileRef(path=str(file), sha256=file_digest(file)))
