"""Differences in meaning between two registrations, in the words of the file: dotted key, before, after.

Many written differences mean nothing (spaces in a formula, a default made explicit), and one that means something
shows up in many places of the bound form. So each written difference is put back by itself: when the meaning stays
as it is now, the difference meant nothing. What no written difference explains is in the files that it names.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.compile.registered import Registered, registered_document
from harness.core.errors import PreregError
from harness.core.ident import digest
from harness.spec.load import KeyPath, dotted, read_text
from harness.spec.seal import ABSENT, Change, Entry
from harness.spec.seal_files import sealed_files

_MOST_TRIED = 60
_LONGEST = 200


def changes(old: Entry, new: Registered, data_root: Path | None) -> tuple[Change, ...]:
    """Return every difference in meaning between an entry of a seal and a registration; none when they are equal."""
    if old.meaning_sha256 == new.bound.meaning:
        return ()
    folder = new.document.folder
    found = list(_written(old, new, data_root))
    files = sealed_files(new.document.tree, folder, data_root)
    found += _in_files(old, new.meaning, {file.key: file.sha256 for file in files})
    if not found:
        found = [_change(path, before, after) for path, before, after in _differences(old.meaning, new.meaning)]
    return tuple(dict.fromkeys(found))


def _written(old: Entry, new: Registered, data_root: Path | None) -> Iterator[Change]:
    tree = read_text(old.source, file=old.name, folder=new.document.folder).tree
    before, after = dict(_leaves(tree)), dict(_leaves(new.document.tree))
    paths = [path for path in {**before, **after} if before.get(path) != after.get(path)]
    for path in paths:
        if len(paths) > _MOST_TRIED or _means(new, path, before.get(path), data_root):
            yield _change(path, before.get(path), after.get(path))


def _means(new: Registered, path: KeyPath, value: Any, data_root: Path | None) -> bool:
    """Say whether putting one value back changes the meaning."""
    document = new.document
    tree = copy.deepcopy(document.tree)
    _put(tree, path, value)
    try:
        back = registered_document(replace(document, tree=tree), data_root)
    except PreregError:
        return True
    return back.bound.meaning != new.bound.meaning


def _put(tree: Any, path: KeyPath, value: Any) -> None:
    """Set, add or (None) remove one value; mappings on the way are made, and go when they are left empty."""
    node, parents = tree, []
    for key in path[:-1]:
        if isinstance(node, dict):
            node.setdefault(key, {})
        elif not isinstance(key, int) or not isinstance(node, list) or key >= len(node):
            return
        parents.append((node, key))
        node = node[key]
    last = path[-1]
    if isinstance(node, list):
        assert isinstance(last, int)
        node[last : last + 1] = [] if value is None else [value]
    elif isinstance(node, dict) and value is not None:
        node[last] = value
    elif isinstance(node, dict):
        node.pop(last, None)
        while parents and not node:
            node, key = parents.pop()
            del node[key]


def _leaves(node: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Yield values by key; a list of plain values is one, and so is a row of triage."""
    if isinstance(node, dict) and node and not (path[:1] == ("triage",) and len(path) == 2):
        for key, value in node.items():
            yield from _leaves(value, (*path, key))
    elif isinstance(node, list) and any(isinstance(each, (dict, list)) for each in node):
        for index, value in enumerate(node):
            yield from _leaves(value, (*path, index))
    else:
        yield path, node


def _in_files(old: Entry, meaning: Mapping[str, Any], now: Mapping[str, str]) -> Iterator[Change]:
    """Yield what changed in files whose names stand in both registrations and whose bytes do not."""
    for file in old.files:
        if now.get(file.key, file.sha256) == file.sha256:
            continue
        section, name, _ = file.key.split(".")
        if section == "dims":
            before, after = old.meaning["dims"].get(name), meaning["dims"].get(name)
            yield from (_change(("dims", name, *path), a, b) for path, a, b in _differences(before, after))
        elif ABSENT not in (now[file.key], file.sha256):
            yield Change(file.key, f"{file.file} with sha256 {file.sha256[:12]}…", f"sha256 {now[file.key][:12]}…")


def _differences(before: Any, after: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any, Any]]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in {**before, **after}:
            yield from _differences(before.get(key), after.get(key), (*path, key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _differences(one, other, (*path, index))
    elif digest(before) != digest(after):
        yield path, before, after


def _change(path: KeyPath, before: Any, after: Any) -> Change:
    if isinstance(before, list) and isinstance(after, list):
        before, after = _apart(before, after)
    return Change(dotted(path), _text(before), _text(after))


def _apart(before: list[Any], after: list[Any]) -> tuple[Any, Any]:
    """Return lists as they are when short; of long ones what only one of them has, where that says anything."""
    if len(_text(before)) < _LONGEST and len(_text(after)) < _LONGEST:
        return before, after
    gone, came = [one for one in before if one not in after], [one for one in after if one not in before]
    if not gone and not came:
        return before, after
    return (f"with {_text(gone)}" if gone else f"{len(before)} entries"), (
        f"with {_text(came)}" if came else f"{len(after)} entries"
    )


def _text(value: Any) -> str:
    if value is None:
        return ABSENT
    if isinstance(value, list):
        text = f"[{', '.join(map(_text, value))}]"
    elif isinstance(value, Mapping):
        text = "; ".join(f"{key}: {_text(each)}" for key, each in value.items())
    else:
        text = " ".join(str(value).split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
