"""The rehearsal: an overlay that shrinks a preregistration to toy scale and cannot touch what decides.

It is merged field by field; lists, data entries and models are replaced as wholes. A plain list for a dim means its
levels and keeps its sets and primary. Base models become the embedded one unless the overlay names models.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from harness.core.errors import PreregError, Problem
from harness.core.registry import did_you_mean
from harness.spec.load import Document, KeyPath, Spot, dotted

SECTIONS = ("arms", "data", "dims", "inference", "judges", "measures", "models", "recipes")
"""Sections that a rehearsal may change."""

_FIXED_IN_MEASURES = (
    "kind", "arm", "at", "of", "resample", "method", "arms", "reproduces", "run_when", "unscorable", "truncated",
    "columns",
)  # fmt: skip
_FIXED_IN_DIMS = ("unit", "columns", "sets")
_FIXED_IN_ARMS = ("stages", "from")


@dataclass(frozen=True)
class Overlaid:
    """A document with its rehearsal laid over it.

    ``overridden`` are the dotted keys that it replaced, ``embedded`` says that base models are the embedded one.
    """

    document: Document
    overridden: tuple[str, ...]
    embedded: bool


def apply_rehearsal(document: Document) -> Overlaid:
    """Lay ``rehearsal:`` over the rest of a document; its places in the file stay those of the overlay.

    Raises:
        PreregError: every key that a rehearsal may not touch, and every name that the prereg does not have.
    """
    problems = check_rehearsal(document)
    if problems:
        raise PreregError(problems)
    overlay = document.tree.get("rehearsal", {})
    merge = _Merge(copy.deepcopy(document.tree), dict(document.spots))
    merge.tree.pop("rehearsal", None)
    for section, entries in overlay.items():
        merge.section(section, entries)
    embedded = "models" not in overlay
    if embedded:
        merge.overridden += [f"models.{name}" for name in document.tree.get("models", {})]
    changed = Document(
        document.file, document.folder, document.text, merge.tree, merge.spots, frozenset(merge.replaced)
    )  # fmt: skip
    return Overlaid(changed, tuple(merge.overridden), embedded)


def check_rehearsal(document: Document) -> list[Problem]:
    """Return what is wrong with the overlay itself: what it touches, and names that do not exist."""
    overlay = document.tree.get("rehearsal", {})
    if not isinstance(overlay, dict):
        return [Problem(document.where(("rehearsal",)), "the rehearsal is not a mapping", "sections to change")]
    problems: list[Problem] = []

    def fault(path: KeyPath, found: str, expected: str = "", hint: str = "") -> None:
        problems.append(Problem(document.where(("rehearsal", *path)), found, expected, hint))

    for section, entries in overlay.items():
        if section not in SECTIONS:
            fault((section,), f"a rehearsal cannot change '{section}'", "only " + ", ".join(SECTIONS),
                  did_you_mean(section, SECTIONS) or "it shrinks the run and cannot touch what decides")  # fmt: skip
        elif not isinstance(entries, dict):
            fault((section,), "not a mapping", "what changes, by name")
        elif section == "inference":
            for key in entries:
                if key != "draws":
                    fault((section, key), f"a rehearsal cannot change '{key}'", "only draws")
        else:
            _check_entries(document, section, entries, fault)
    return problems


def _check_entries(document: Document, section: str, entries: dict[str, Any], fault: Any) -> None:
    declared = document.tree.get(section, {})
    known = list(declared) if isinstance(declared, dict) else []
    for name, entry in entries.items():
        if name not in known and section not in ("models", "data", "recipes"):
            fault((section, name), f"there is no '{name}' in {section}", "a name that the prereg has",
                  did_you_mean(name, known))  # fmt: skip
            continue
        fixed = {"measures": _FIXED_IN_MEASURES, "dims": _FIXED_IN_DIMS, "arms": _FIXED_IN_ARMS}.get(section, ())
        for key in entry if isinstance(entry, dict) else ():
            if key in fixed:
                fault((section, name, key), f"a rehearsal cannot change '{key}'", "how much is measured, not what "
                      "decides")  # fmt: skip


class _Merge:
    def __init__(self, tree: dict[str, Any], spots: dict[KeyPath, Spot]) -> None:
        self.tree = tree
        self.spots = spots
        self.overridden: list[str] = []
        self.replaced: list[KeyPath] = []

    def section(self, section: str, entries: dict[str, Any]) -> None:
        if section == "models":
            self._replace((section,), entries)
            return
        target = self.tree.setdefault(section, {})
        if not isinstance(target, dict):  # reported where it stands
            return
        for name, entry in entries.items():
            path = (section, name)
            if section == "data":
                self._replace(path, entry)
            elif section == "dims":
                self._dim(name, entry, target)
            else:
                self._field(path, entry)

    def _dim(self, name: str, entry: Any, dims: dict[str, Any]) -> None:
        path: KeyPath = ("dims", name)
        if isinstance(dims[name], list):
            dims[name] = {"levels": dims[name]}
        if not isinstance(dims[name], dict):
            return
        if isinstance(entry, list) or (isinstance(entry, dict) and "levels" in entry):
            for source in ("file", "like"):
                dims[name].pop(source, None)
        if isinstance(entry, list):
            self._replace((*path, "levels"), entry, source=("rehearsal", *path))
            return
        self._field(path, entry)

    def _field(self, path: KeyPath, value: Any) -> None:
        """Merge mappings key by key; replace anything else."""
        target: Any = self.tree
        for part in path[:-1]:
            target = target[part]
        if isinstance(value, dict) and isinstance(target.get(path[-1]), dict):
            for key, inner in value.items():
                self._field((*path, key), inner)
            return
        self._replace(path, value)

    def _replace(self, path: KeyPath, value: Any, *, source: KeyPath | None = None) -> None:
        target: Any = self.tree
        for part in path[:-1]:
            target = target.setdefault(part, {}) if isinstance(target, dict) else target[part]
        target[path[-1]] = copy.deepcopy(value)
        self.overridden.append(dotted(path))
        self.replaced.append(path)
        source = source or ("rehearsal", *path)
        for old in [spot for spot in self.spots if spot[: len(path)] == path]:
            del self.spots[old]
        for old, spot in list(self.spots.items()):
            if old[: len(source)] == source:
                self.spots[(*path, *old[len(source) :])] = spot
