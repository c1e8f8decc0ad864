"""Looking around in a store: which artifacts there are, and which one a prefix or a label means.

Reading here looks at manifests only, so that a hundred thousand artifacts can be listed in seconds; whoever uses an
artifact's files goes through :class:`harness.core.store.Store`, which verifies them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.core.errors import PreregError
from harness.core.manifest import MANIFEST, Keyed, Manifest
from harness.core.store import Store

KNOWN = "known"
"""Folder of manifests of artifacts that lie elsewhere: a bundle says where its parts came from without carrying all."""

_HEX = re.compile(r"[0-9a-f]{1,64}")
_KEY = re.compile(r"[0-9a-f]{64}")
_MOST_LISTED = 8

State = Literal["stored", "elsewhere", "planned", "damaged"]


@dataclass(frozen=True)
class Row:
    """One stored artifact as a listing shows it. ``bytes`` counts its files without the manifest; ``when`` is UTC."""

    key: str
    kind: str
    label: str
    bytes: int
    files: int
    when: str
    damaged: bool = False


@dataclass(frozen=True)
class Known:
    """What is known of an artifact. ``job`` is the job as JSON; ``files`` (name to bytes) and ``made`` may be empty."""

    key: str
    kind: str
    label: str
    job: Mapping[str, Any]
    files: Mapping[str, int]
    made: Mapping[str, Any]
    state: State

    @property
    def inputs(self) -> dict[str, str]:
        """Keys of what it was made from, by role."""
        return dict(self.job.get("inputs") or {})


def is_key(name: str) -> bool:
    """Say whether a name is a whole key."""
    return _KEY.fullmatch(name) is not None


def keys(store: Store) -> Iterator[str]:
    """Yield the key of every artifact in order, reading one folder at a time."""
    for folder in _names(store.root / "objects"):
        for name in _names(store.root / "objects" / folder):
            if is_key(name):
                yield name


def rows(store: Store) -> Iterator[Row]:
    """Yield every stored artifact in the order of the keys; one is held in memory at a time."""
    for key in keys(store):
        try:
            raw = json.loads((store.path(key) / MANIFEST).read_bytes())
            files = raw["files"].values()
            size = sum(file["bytes"] for file in files)
            yield Row(key, raw["kind"], raw["label"], size, len(files), str(raw["made"].get("when", "")))
        except FileNotFoundError:
            if (store.path(key)).is_dir():
                yield Row(key, "", f"{MANIFEST} is missing", 0, 0, "", damaged=True)
        except (ValueError, KeyError, TypeError, AttributeError):
            yield Row(key, "", f"{MANIFEST} is not what was written", 0, 0, "", damaged=True)


class Browser:
    """What is known of artifacts, by key, prefix or label.

    Args:
        store: looked at first; manifests of artifacts elsewhere come second.
        planned: jobs of a plan, which may not have run yet; they come last.
    """

    def __init__(self, store: Store, planned: Mapping[str, Keyed] | None = None) -> None:
        self.store = store
        self.planned = dict(planned or {})
        self._seen: dict[str, Known | None] = {}

    def get(self, key: str) -> Known | None:
        """Return what is known of a key, or None."""
        if key not in self._seen:
            self._seen[key] = self._get(key)
        return self._seen[key]

    def _get(self, key: str) -> Known | None:
        for path, state in ((self.store.path(key) / MANIFEST, "stored"), (known_path(self.store, key), "elsewhere")):
            try:
                manifest = Manifest.from_bytes(path.read_bytes())
            except OSError:
                continue
            if manifest is None or manifest.key != key:
                return Known(key, "", f"{MANIFEST} is not what was written", {}, {}, {}, "damaged")
            sizes = {name: file.bytes for name, file in manifest.files.items()}
            found: State = "stored" if state == "stored" else "elsewhere"
            return Known(key, manifest.kind, manifest.label, manifest.job, sizes, manifest.made, found)
        job = self.planned.get(key)
        if job is None:
            return None
        return Known(key, job.kind, job.label, job.model_dump(mode="json"), {}, {}, "planned")

    def find(self, text: str) -> Known:
        """Return the one artifact that a key, the beginning of one, or a job's label means.

        A label is looked for in the plan first, if one was given, and then in the whole store.

        Raises:
            PreregError: there is none, or more than one.
        """
        found = list(dict.fromkeys(self._by_prefix(text) if _HEX.fullmatch(text) else ()))
        if not found:
            found = [key for key, job in self.planned.items() if job.label == text]
        if not found:
            found = [row.key for row in rows(self.store) if row.label == text]
            found += [key for key in self._elsewhere() if key not in found and self._label(key) == text]
        if len(found) > 1:
            listed = "\n".join(f"  {self._line(key)}" for key in found[:_MOST_LISTED])
            more = f"\n  and {len(found) - _MOST_LISTED} more" if len(found) > _MOST_LISTED else ""
            hint = "give more of the key, or the prereg that is meant with --of FILE"
            raise PreregError(f"'{text}' means {len(found)} artifacts; {hint}:\n{listed}{more}")
        known = self.get(found[0]) if found else None
        if known is None:
            hint = "a key or its beginning (see: prereg store ls), or a job's label with --of FILE"
            raise PreregError(f"'{text}' means no artifact of the store {self.store.root}; expected {hint}")
        return known

    def _by_prefix(self, text: str) -> Iterator[str]:
        if is_key(text):
            yield from [text] if self.get(text) else []
            return
        for folder in _names(self.store.root / "objects"):
            if folder.startswith(text[:2]):
                inside = _names(self.store.root / "objects" / folder)
                yield from (name for name in inside if name.startswith(text) and is_key(name))
        yield from (key for key in self._elsewhere() if key.startswith(text))
        yield from (key for key in self.planned if key.startswith(text))

    def _elsewhere(self) -> Iterator[str]:
        stems = (name.removesuffix(".json") for name in _names(self.store.root / KNOWN))
        return (stem for stem in stems if is_key(stem))

    def _label(self, key: str) -> str:
        known = self.get(key)
        return known.label if known else ""

    def _line(self, key: str) -> str:
        known = self.get(key)
        if known is None:
            return key[:16]
        return f"{key[:16]}  {known.kind}  {known.label}  {known.made.get('when', known.state)}"


def known_path(store: Store, key: str) -> Path:
    """Return where the manifest of an artifact that lies elsewhere is or would be kept."""
    return store.root / KNOWN / f"{key}.json"


def sized(count: float) -> str:
    """Return a number of bytes for people: ``812 B``, ``3.4 MB`` (decimal units)."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def total(known: Iterable[int]) -> str:
    """Return the sum of some sizes for people."""
    return sized(sum(known))


def _names(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as found:
            return sorted(entry.name for entry in found)
    except (FileNotFoundError, NotADirectoryError):
        return []
