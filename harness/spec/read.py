"""From a document to a typed :class:`Prereg`: every mistake of the file at once, each at its line.

What is wrong is cut out and remembered as broken, so that the rest can still be read and its mistakes reported in
the same round; a name that refers to something broken is no second mistake.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from harness.core.errors import PreregError, Problem
from harness.core.registry import did_you_mean
from harness.spec.expected import expectation, known_keys
from harness.spec.load import Document, KeyPath
from harness.spec.model import GENERIC_MEASURE_KEYS, Prereg

NAMED = ("hypotheses", "gates", "kill", "confidence", "choose", "estimands", "measures", "arms", "recipes", "dims",
         "models", "judges", "data")  # fmt: skip
"""Sections whose entries have names, so that one broken entry can be left out."""

_PLACEHOLDERS: dict[str, Any] = {
    "prereg": "1", "id": "unnamed", "title": "-", "question": "-",
    "hypotheses": {"H": {"claim": "-", "all": {"c": "supported"}}}, "measures": {"m": {"kind": "recorded"}},
}  # fmt: skip


_ROWS: dict[str, dict[str, str]] = {
    "triage": {"supported": "- -> -"},
    "differs": {"from": "-", "at": "id", "because": "-"},
    "allow": {"finding": "-", "at": "id", "because": "-"},
}


_SHOWN = 200
"""Characters of a value that a message quotes."""


@dataclass
class Faults:
    """Gathers problems of one document and remembers which named entries are broken (``*``: any of a section)."""

    document: Document
    problems: list[Problem] = field(default_factory=list)
    broken: set[tuple[str, str]] = field(default_factory=set)

    def add(
        self, path: KeyPath, found: str, expected: str = "", hint: str = "", *, offset: int | None = None,
        value: bool = False,
    ) -> None:  # fmt: skip
        """File a problem at a key, at its value, or at one character of its text."""
        self.problems.append(Problem(self.document.where(path, offset=offset, value=value), found, expected, hint))

    def is_broken(self, section: str, name: str) -> bool:
        """Say whether a name refers to something that has been reported already."""
        return bool({(section, name), (section, "*")} & self.broken)

    def unknown(self, path: KeyPath, what: str, name: str, known: Iterable[str], *, offset: int | None = None) -> None:
        """File a name that is none of the known ones, with the closest."""
        names = list(known)
        expected = f"one of {shortened(names)}" if names else "nothing: there is none"
        self.add(path, f"there is no {what} '{name}'", expected, did_you_mean(name, names), offset=offset)

    def raise_all(self) -> None:
        """Raise what was gathered, in the order of the file; nothing when there is nothing."""
        if self.problems:
            unique = dict.fromkeys(self.problems)
            raise PreregError(sorted(unique, key=lambda p: (p.where.file, p.where.line, p.where.column)))


def shortened(names: Iterable[str], most: int = 12) -> str:
    """List names, the first dozen of many."""
    listed = list(names)
    return ", ".join(listed[:most]) + (f", … ({len(listed)})" if len(listed) > most else "")


def read_prereg(document: Document) -> tuple[Prereg, Faults]:
    """Type a document. The faults found are returned with what could be read, for binding to go on.

    Raises:
        PreregError: when so much is wrong that nothing can be bound.
    """
    faults = Faults(document)
    tree = copy.deepcopy(document.tree)
    _gather_params(tree)
    for _ in range(8):
        try:
            return Prereg.model_validate(tree), faults
        except ValidationError as error:
            for item in error.errors(include_url=False):
                report(item, faults, (), Prereg)
                _cut(tree, item["loc"], item["type"], faults)
    faults.raise_all()
    raise PreregError("the preregistration cannot be read")


def _gather_params(tree: dict[str, Any]) -> None:
    """Move what belongs to a kind under ``params``, which is no key that a user writes."""
    for section, generic in (("measures", GENERIC_MEASURE_KEYS), ("recipes", ("kind",))):
        entries = tree.get(section)
        if not isinstance(entries, dict):
            continue
        for name, entry in entries.items():
            if isinstance(entry, dict):
                own = {key: value for key, value in entry.items() if key not in generic}
                entries[name] = {**{key: entry[key] for key in entry if key in generic}, "params": own}


def report(item: Any, faults: Faults, prefix: KeyPath, model: type[BaseModel], note: str = "") -> None:
    """File one of pydantic's errors about ``model``, whose mapping stands at ``prefix`` in the document."""
    loc, kind = item["loc"], item["type"]
    path, note = _document_path(prefix, loc, faults.document), f" {note}" if note else ""
    value = _as_written(faults.document, path, item.get("input"))
    if kind == "too_short" and len(item["input"]) >= item["ctx"]["min_length"]:
        return  # Its entries are faulty, each of which is told.
    if kind == "extra_forbidden":
        known = sorted(known_keys(model, loc[:-1]))
        hint = did_you_mean(str(loc[-1]), known)
        faults.add(path, f"unknown key '{loc[-1]}'{note}", f"one of {', '.join(known)}", hint)
    elif kind == "missing":
        path = _document_path(prefix, loc[:-1], faults.document)
        faults.add(path, f"'{loc[-1]}' is missing{note}", f"the key '{loc[-1]}'")
    elif kind == "literal_error":
        words = [word.strip("' ") for word in item["ctx"]["expected"].replace(" or ", ", ").split(", ")]
        close = difflib.get_close_matches(str(value), words, n=1)
        hint = f"did you mean '{close[0]}'?" if close else ""
        expected = ("one of " if len(words) > 1 else "") + ", ".join(words)
        faults.add(path, f"found {shown(value)}{note}", expected, hint, value=True)
    elif kind == "value_error":
        error = item["ctx"]["error"]
        hint = getattr(error, "hint", "")
        faults.add(path, f"found {shown(value)}{note}", str(error), hint, value=loc[-1:] != ("[key]",))
    else:
        expected, hint = expectation(item, model)
        faults.add(path, f"found {shown(value)}{note}", expected, hint, value=True)


def _as_written(document: Document, path: KeyPath, value: Any) -> Any:
    """Return a number as it stands in the file (``1e400`` and not ``inf``), and anything else as it was found."""
    if not isinstance(value, int | float) or path not in document.spots:
        return value
    written = document.at(path)
    return written if isinstance(written, str) and not written.startswith("$") else value


def shown(value: Any) -> str:
    """Quote a value of the document for a message, shortened."""
    if isinstance(value, Mapping):
        return "a mapping with " + (shortened([f"'{key}'" for key in value if key != "params"], 6) or "nothing in it")
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    text = str(value)
    return f"'{text}'" if len(text) <= _SHOWN else f"'{text[:_SHOWN]}…' ({len(text):,} characters)"


def _document_path(prefix: KeyPath, loc: tuple[int | str, ...], document: Document) -> KeyPath:
    """Translate a place in a model to the file: no invented ``params``, no ``if`` around a plain rule."""
    path: list[int | str] = list(prefix)
    for position, part in enumerate(loc):
        if part in ("[key]", "params") or (position > 2 and str(part).startswith(("tuple[", "str", "function-"))):
            continue
        if len(path) >= 2 and part in ("if", "levels") and (*path, part) not in document.spots:
            continue
        path.append(part)
    return tuple(path[:2]) if path and path[0] == "triage" else tuple(path)


def _cut(tree: dict[str, Any], loc: tuple[int | str, ...], kind: str, faults: Faults) -> None:
    """Take the faulty part out of the tree: an unknown key alone, else the named entry, else the section."""
    section = str(loc[0]) if loc else ""
    if kind == "extra_forbidden":
        parent: Any = tree
        for part in loc[:-1]:
            parent = parent.get(part, {}) if isinstance(parent, dict) else _item(parent, part)
        if isinstance(parent, dict):
            parent.pop(loc[-1], None)
        meant = difflib.get_close_matches(str(loc[-1]), known_keys(Prereg, loc[:-1]), n=1, cutoff=0.6)
        if meant and section in NAMED:
            # What was meant is lost with the misspelt key: the entry cannot be judged any further.
            faults.broken.add((section, str(loc[1])))
            tree[section].pop(loc[1], None)
        elif meant and len(loc) == 1:
            faults.broken.add((meant[0], "*"))
        return
    if section in _ROWS and len(loc) > 1 and isinstance(loc[1], int):
        tree[section][loc[1]] = _ROWS[section]
        faults.broken.add((section, "*"))
        return
    if section in NAMED and len(loc) > 1 and isinstance(tree.get(section), dict):
        tree[section].pop(loc[1], None)
        faults.broken.add((section, str(loc[1])))
        if tree[section] or section not in _PLACEHOLDERS:
            return
    if section in NAMED and len(loc) == 1:
        faults.broken.add((section, "*"))
    if section in _PLACEHOLDERS:
        tree[section] = copy.deepcopy(_PLACEHOLDERS[section])
    else:
        tree.pop(section, None)
    faults.broken.add((section, "*"))


def _item(parent: Any, part: Any) -> Any:
    return parent[part] if isinstance(parent, list) and isinstance(part, int) and part < len(parent) else {}
