"""The files that a registration names: where each lies, and which of them are not what was sealed.

A bank counts by its levels, which are part of the meaning, so a comment in it may change. A table, finetuning rows
and a judge's prompt count by their bytes. A recorded table outside the repository (``data:NAME``) may be absent on
this machine, and may be collected only after the seal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import harness
from harness.core.ident import file_digest
from harness.spec.seal import ABSENT, Entry, SealedFile

_BUILTIN = "builtin/"
_DATA = "data:"
_LONGEST_PATH = 200


def sealed_files(tree: Mapping[str, Any], folder: Path, data_root: Path | None) -> tuple[SealedFile, ...]:
    """Return every file that a document's tree names with its digest as it is now, in the order of the file."""
    return tuple(
        SealedFile(key, file, digest_of(SealedFile(key, file, ""), folder, data_root)) for key, file in _named(tree)
    )


def digest_of(file: SealedFile, folder: Path, data_root: Path | None) -> str:
    """Return the digest of a file as it is now, or ``(not there)``."""
    path = find(file, folder, data_root)
    return ABSENT if path is None else file_digest(path)


def find(file: SealedFile, folder: Path, data_root: Path | None) -> Path | None:
    """Return where a named file lies, or None."""
    name = file.file
    if name.startswith(_BUILTIN):
        places = [Path(harness.__file__).parent.parent / "preregs" / "banks" / name.removeprefix(_BUILTIN)]
    elif name.startswith(_DATA):
        places = [data_root / name.removeprefix(_DATA)] if data_root else []
    else:
        places = [folder / name]
        if data_root and file.key.startswith("data."):
            places += [data_root / name, data_root / Path(name).name]
    return next((place for place in places if place.is_file()), None)


def replaced(entry: Entry, folder: Path, data_root: Path | None) -> Iterator[str]:
    """Say which files that count by their bytes are not what was sealed."""
    for file in entry.files:
        if file.key.startswith("dims."):
            continue
        now = digest_of(file, folder, data_root)
        if file.sha256 == ABSENT or now == file.sha256 or (now == ABSENT and outside(file)):
            continue
        state = "is not there any more" if now == ABSENT else f"was replaced: its sha256 is {now[:12]}…"
        yield f"{file.key}: the file '{file.file}' {state} (sealed: {file.sha256[:12]}…)"


def outside(file: SealedFile) -> bool:
    """Say whether a file need not be here: a table or rows from the folder of data."""
    return file.file.startswith(_DATA) or file.key.startswith("data.")


def same(entry: Entry, folder: Path, data_root: Path | None) -> bool:
    """Say whether every file has the bytes that were sealed, or is one that need not be here."""
    for file in entry.files:
        now = digest_of(file, folder, data_root)
        if now != file.sha256 and not (outside(file) and ABSENT in (now, file.sha256)):
            return False
    return True


def _named(tree: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for section, key in (("dims", "file"), ("measures", "file"), ("judges", "prompt"), ("data", "path")):
        for name, content in (tree.get(section) or {}).items():
            file = content.get(key) if isinstance(content, dict) else None
            if isinstance(file, str) and file.strip() and not _is_text(section, file):
                yield f"{section}.{name}.{key}", file.strip()


def _is_text(section: str, file: str) -> bool:
    """A judge's prompt may be the prompt itself."""
    return section == "judges" and (len(file) > _LONGEST_PATH or "\n" in file or " " in file)
