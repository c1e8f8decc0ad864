"""Importing a bundle: its artifacts into a store, its registration and report into a folder."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.bundle import contents as at
from harness.bundle.archive import INDEX, clear, index_bytes, unpack
from harness.bundle.contents import Contents, contents_of
from harness.core.browse import is_key, known_path
from harness.core.durable import replace_file
from harness.core.errors import PreregError, Problem, Where
from harness.core.manifest import Manifest, verify
from harness.core.store import Store

_LOCK = "import"


@dataclass(frozen=True)
class _Recorded:
    """A job as its manifest has it."""

    manifest: Manifest

    @property
    def key(self) -> str:
        return self.manifest.key

    @property
    def kind(self) -> str:
        return self.manifest.kind

    @property
    def label(self) -> str:
        return self.manifest.label

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        return self.manifest.job


@dataclass(frozen=True)
class Adopted:
    """What an import did: artifacts that are new in the store, those that were there, and the files it wrote."""

    contents: Contents
    new: int
    there: int
    files: tuple[Path, ...]


def adopt(bundle: Path, store: Store, folder: Path) -> Adopted:
    """Import a bundle. Everything is checked before the first file is written.

    Raises:
        PreregError: the bundle is damaged or would overwrite files; nothing was written then. Or another process is
            importing into this store, or making one of the artifacts.
        FullError: the disk is full; artifacts that were stored are whole.
    """
    store.prepare()
    with store.lock(_LOCK, "another import"):
        draft = store.root / "tmp" / f"{_LOCK}.{uuid.uuid4().hex[:8]}"
        try:
            draft.mkdir()
            index = unpack(bundle, draft)
            contents = contents_of(index, str(bundle))
            manifests = {key: _manifest(draft, key, bundle) for key in contents.carried}
            known = _known(draft, bundle)
            targets = _targets(draft, index["files"], folder)
            stored = [_store(store, manifest, draft) for manifest in manifests.values()]
            for key, manifest in known.items():
                if not store.has(key):
                    _write(known_path(store, key), manifest.to_bytes())
            for path in (draft / at.SIMULATIONS).glob("*.json"):
                _write(store.root / at.SIMULATIONS / path.name, path.read_bytes())
            for target, source in targets.items():
                _write(target, source.read_bytes())
            _write(folder / INDEX, index_bytes(index))
        finally:
            clear(draft)
    return Adopted(contents, sum(stored), len(stored) - sum(stored), tuple(targets))


def _manifest(draft: Path, key: str, bundle: Path) -> Manifest:
    manifest, fault = verify(draft / at.OBJECTS / key, key) if is_key(key) else (None, "that is no key")
    if manifest is None:
        raise PreregError(Problem(Where(str(bundle)), f"artifact {key[:12]} in it is damaged: {fault}"))
    return manifest


def _known(draft: Path, bundle: Path) -> dict[str, Manifest]:
    found = {}
    for path in sorted((draft / at.KNOWN).glob("*")):
        manifest = Manifest.from_bytes(path.read_bytes())
        if manifest is None or manifest.key != path.stem or not is_key(path.stem):
            raise PreregError(Problem(Where(str(bundle)), f"{at.KNOWN}/{path.name} in it is not what was written"))
        found[manifest.key] = manifest
    return found


def _targets(draft: Path, files: Mapping[str, Any], folder: Path) -> dict[Path, Path]:
    """Return where the registration, its files and its report go; files that are there already must be the same."""
    targets: dict[Path, Path] = {}
    problems = []
    for name in files:
        if name.partition("/")[0] not in (at.PREREG, at.DATA, at.REPORT):
            continue
        target = folder / name
        targets[target] = draft / name
        if target.is_symlink() or (target.exists() and not _same(target, draft / name)):
            hint = "give another folder with --dir"
            problems.append(Problem(Where(str(target)), "there is another file of this name", hint=hint))
    if problems:
        raise PreregError(problems)
    return targets


def _same(target: Path, source: Path) -> bool:
    return target.is_file() and target.read_bytes() == source.read_bytes()


def _store(store: Store, manifest: Manifest, draft: Path) -> bool:
    """Store one artifact unless it is there; say whether it was new."""
    if store.has(manifest.key):
        return False

    def fill(folder: Path) -> None:
        for path in (draft / at.OBJECTS / manifest.key).iterdir():
            if path.name != "manifest.json":
                shutil.move(path, folder / path.name)

    store.put(_Recorded(manifest), fill, manifest.made)
    known_path(store, manifest.key).unlink(missing_ok=True)
    return True


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, data)
