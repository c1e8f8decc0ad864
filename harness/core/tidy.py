"""Checking every byte of a store, and clearing away what nobody needs.

Nothing is deleted in place: an artifact leaves ``objects`` by one rename, so that a crash leaves it whole or absent,
and what was being deleted is swept by the next run. Each deletion takes the lock under which the artifact is made.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.core.browse import KNOWN, is_key, keys, rows
from harness.core.durable import sync_folder
from harness.core.ident import unchanged
from harness.core.locks import Holder, OwnedLock
from harness.core.manifest import Manifest, verify
from harness.core.store import Store

What = Literal["artifact", "manifest", "partial", "draft", "lock", "log", "failure", "progress", "quarantine"]

_DRAFT = re.compile(r"\..+\.[0-9a-f]{8}")
"""A file that was being replaced when its writer died (``harness.core.durable.replace_file``)."""
_RUNS: tuple[tuple[str, What], ...] = (("logs", "log"), ("failures", "failure"), ("progress", "progress"))


@dataclass(frozen=True)
class Checked:
    """One thing that was checked: ``fault`` is empty when every byte is as it was stored."""

    name: str
    label: str
    bytes: int
    fault: str = ""


@dataclass(frozen=True)
class Rubbish:
    """Something that can go: an artifact, or what a run left behind. ``key`` names the lock to take, if any."""

    what: What
    path: Path
    bytes: int
    key: str = ""
    label: str = ""


def check_all(store: Store) -> Iterator[Checked]:
    """Read every byte of a store; what is damaged is put into quarantine at once and told."""
    for key in keys(store):
        folder = store.path(key)
        manifest, fault = verify(folder, key)
        if manifest is not None:
            size = sum(file.bytes for file in manifest.files.values())
            yield Checked(key, manifest.label, size)
        elif folder.exists():
            yield Checked(key, _label(folder), 0, str(store.quarantine(key, fault)))
    yield from _check_known(store)
    yield from _check_partial(store)
    yield from _check_simulations(store)


def _check_partial(store: Store) -> Iterator[Checked]:
    """Check unfinished work that nobody is at; a damaged part is removed, which costs its work and nothing else."""
    for folder in _entries(store.root / "partial"):
        lock = store.lock(folder.name)
        if not is_key(folder.name) or not lock.acquire(note=False):
            continue
        try:
            partial = store.partial(folder.name)
            for name in partial.names():
                size = (folder / name).stat().st_size
                with contextlib.redirect_stderr(io.StringIO()):
                    sound = partial.load(name) is not None
                shown = f"partial/{folder.name}/{name}"
                fault = "" if sound else f"{shown} is not what was saved; it was removed and is computed again"
                yield Checked(shown, "unfinished work", size if sound else 0, fault)
        finally:
            _drop(lock)


def _check_simulations(store: Store) -> Iterator[Checked]:
    for path in sorted((store.root / "simulations").glob("*.json")):
        try:
            sound = unchanged(json.loads(path.read_bytes()))
        except (ValueError, AttributeError):
            sound = False
        shown = f"simulations/{path.name}"
        fault = "" if sound else f"{_aside(store, path)}; run prereg simulate again"
        yield Checked(shown, "simulation", path.stat().st_size if sound else 0, fault)


def _aside(store: Store, path: Path) -> str:
    """Move a damaged file into quarantine; say what was done."""
    place = store.root / "quarantine" / f"{path.stem}.{path.parent.name}.{uuid.uuid4().hex[:8]}"
    place.parent.mkdir(exist_ok=True)
    path.rename(place)
    return f"{path.parent.name}/{path.name} is not what was written; it was moved to {place}"


def _check_known(store: Store) -> Iterator[Checked]:
    for path in sorted((store.root / KNOWN).glob("*.json")):
        manifest = Manifest.from_bytes(path.read_bytes())
        if manifest is not None and manifest.key == path.stem:
            yield Checked(f"{KNOWN}/{path.name}", manifest.label, path.stat().st_size)
            continue
        fault = _aside(store, path)
        yield Checked(f"{KNOWN}/{path.name}", "", 0, f"{fault}; import the bundle again to have it back")


def _label(folder: Path) -> str:
    """What a damaged manifest still says of the label, for people."""
    try:
        found = re.search(rb'^ "label": "(.*)",$', (folder / "manifest.json").read_bytes(), re.MULTILINE)
    except OSError:
        return ""
    return found[1].decode(errors="replace") if found else ""


def at_work(store: Store) -> list[tuple[str, Holder]]:
    """Return the keys whose locks are held now, each with its holder."""
    found = []
    for note in sorted((store.root / "locks").glob("*.json")):
        if is_key(note.stem):
            holder = store.lock(note.stem).holder()
            if holder is not None:
                found.append((note.stem, holder))
    return found


def unneeded(store: Store, needed: Callable[[str], bool], *, quarantine: bool = False) -> Iterator[Rubbish]:
    """Yield what can go: artifacts that ``needed`` denies, then what runs left behind, in a fixed order."""
    for row in rows(store):
        if not row.damaged and not needed(row.key):
            yield Rubbish("artifact", store.path(row.key), row.bytes, row.key, row.label)
    for path in sorted((store.root / KNOWN).glob("*.json")):
        if not needed(path.stem):
            yield Rubbish("manifest", path, path.stat().st_size)
    for path in _entries(store.root / "partial"):
        if not is_key(path.name) or store.has(path.name) or not needed(path.name):
            yield Rubbish("partial", path, _size(path), path.name if is_key(path.name) else "")
    yield from _leftovers(store)
    for path in _entries(store.root / "quarantine") if quarantine else ():
        yield Rubbish("quarantine", path, _size(path))


def _leftovers(store: Store) -> Iterator[Rubbish]:
    root = store.root
    for path in _entries(root / "tmp"):
        yield Rubbish("draft", path, _size(path), path.name.partition(".")[0])
    for folder in (root, root / "locks", root / "simulations", root / KNOWN, root / "quarantine"):
        for path in _entries(folder):
            if _DRAFT.fullmatch(path.name) and path.is_file():
                yield Rubbish("draft", path, _size(path))
    for path in (*sorted((root / "locks").glob("*.lock")), *sorted((root / "leases").glob("*/*.lock"))):
        yield Rubbish("lock", path, _size(path))
    for path in sorted((root / "locks").glob("*.json")):
        if is_key(path.stem) and not path.with_suffix(".lock").exists():
            yield Rubbish("lock", path, _size(path))
    for name, what in _RUNS:
        for path in _entries(root / name):
            yield Rubbish(what, path, _size(path))


def remove(store: Store, each: Rubbish) -> bool:
    """Remove one thing; False when somebody holds its lock. What is gone already counts as removed."""
    if each.what == "lock":
        return _remove_lock(each.path)
    lock = store.lock(each.key) if each.key else None
    if lock is not None and not lock.acquire(note=False):
        return False
    try:
        _discard(store, each.path)
    finally:
        if lock is not None:
            _drop(lock)
    return True


def _discard(store: Store, path: Path) -> None:
    if path.is_file():
        path.unlink(missing_ok=True)
        return
    trash = path if path.parent.name == "tmp" else store.root / "tmp" / f"{path.name[:64]}.{uuid.uuid4().hex[:8]}"
    if trash != path:
        trash.parent.mkdir(exist_ok=True)
        try:
            path.rename(trash)
        except FileNotFoundError:
            return
        sync_folder(path.parent)
    shutil.rmtree(trash, ignore_errors=True)


def _remove_lock(path: Path) -> bool:
    """Remove a lock that nobody holds. Who opened it just before sees that the file is gone and opens a new one."""
    if path.suffix == ".json":
        path.unlink(missing_ok=True)
        return True
    lock = OwnedLock(path)
    if not lock.acquire(note=False):
        return False
    _drop(lock)
    return True


def _drop(lock: OwnedLock) -> None:
    lock.path.unlink(missing_ok=True)
    lock.release()


def summed(found: list[Rubbish]) -> dict[What, tuple[int, int]]:
    """Return count and bytes by what it is."""
    counts: Counter[What] = Counter(each.what for each in found)
    return {what: (n, sum(each.bytes for each in found if each.what == what)) for what, n in counts.items()}


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _size(path: Path) -> int:
    try:
        if not path.is_dir():
            return path.lstat().st_size
        return sum((Path(folder) / name).lstat().st_size for folder, _, names in os.walk(path) for name in names)
    except FileNotFoundError:
        return 0
