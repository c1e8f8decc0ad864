"""The file of a bundle: a zip that is the same bytes for the same content, and is checked to the last byte on reading.

Members are stored without compression (what is large is compressed already), in one order and under one date. The
first, ``bundle.json``, lists every other with its size and SHA-256, and carries its own digest.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
import uuid
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from harness.core.durable import full_error, is_full, sync_file, sync_folder
from harness.core.errors import PreregError, Problem, Where
from harness.core.ident import file_digest

INDEX = "bundle.json"
VERSION = 1
_DATE = (1980, 1, 1, 0, 0, 0)
_BLOCK = 1 << 20
_LARGEST_INDEX = 1 << 28


@dataclass(frozen=True)
class Member:
    """One file to pack: its name in the bundle, and where its bytes are."""

    name: str
    source: Path | bytes


def pack(out: Path, content: Mapping[str, Any], members: Sequence[Member]) -> int:
    """Write a bundle, whole or not at all, and return its size in bytes.

    Raises:
        PreregError: it cannot be written there, or a file changed while it was packed.
        FullError: the disk is full; nothing is left behind.
    """
    ordered = sorted(members, key=lambda member: member.name)
    if bad := [member.name for member in ordered if not safe(member.name)]:
        raise _fault(out, f"'{bad[0]}' cannot be the name of a file in a bundle")
    files = {member.name: _described(member) for member in ordered}
    index = index_bytes({"bundle": VERSION, **content, "files": files})
    draft = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(draft, "w", allowZip64=True) as archive:
            _write(archive, Member(INDEX, index), len(index))
            for member in ordered:
                digest = _write(archive, member, files[member.name]["bytes"])
                if digest != files[member.name]["sha256"]:
                    raise PreregError(f"{member.name} changed while it was packed; try again")
        sync_file(draft)
        draft.replace(out)
        sync_folder(out.parent)
    except OSError as error:
        raise full_error(out.parent) if is_full(error) else _fault(out, f"cannot be written: {error}") from error
    finally:
        draft.unlink(missing_ok=True)
    return out.stat().st_size


def index_bytes(content: Mapping[str, Any]) -> bytes:
    """Return the bytes of an index with its own digest in it."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    body = {**content, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    return json.dumps(body, sort_keys=True, ensure_ascii=False, indent=1).encode() + b"\n"


def read_index(raw: bytes, name: str) -> dict[str, Any]:
    """Return the content of an index.

    Raises:
        PreregError: it is not exactly what :func:`index_bytes` wrote, or of another version.
    """
    try:
        body: dict[str, Any] = json.loads(raw)
        del body["sha256"]
        sound = index_bytes(body) == raw
    except (ValueError, KeyError, TypeError) as error:
        raise _fault(name, f"{INDEX} is not what was written") from error
    if body.get("bundle") != VERSION:
        found = f"a bundle of version {body.get('bundle')}"
        raise PreregError(Problem(Where(str(name)), found, f"version {VERSION}", "use the harness that wrote it"))
    if not sound:
        raise _fault(name, f"{INDEX} is not what was written")
    return body


def unpack(bundle: Path, into: Path) -> dict[str, Any]:
    """Check a bundle to the last byte, put its files below ``into`` (an empty folder), and return its index.

    Raises:
        PreregError: it is no bundle, something in it is damaged, missing, too much, or would be put elsewhere.
        FullError: the disk is full.
    """
    try:
        with zipfile.ZipFile(bundle) as archive:
            index = _index(archive, bundle)
            _check_names(archive, index["files"], bundle)
            for name, file in index["files"].items():
                _extract(archive, name, file, into, bundle)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError, UnicodeDecodeError) as error:
        raise _fault(bundle, f"damaged, or no bundle ({error})") from error
    except OSError as error:
        raise full_error(into) if is_full(error) else _fault(bundle, f"cannot be read: {error}") from error
    return index


def _index(archive: zipfile.ZipFile, bundle: Path) -> dict[str, Any]:
    try:
        info = archive.getinfo(INDEX)
    except KeyError:
        raise _fault(bundle, f"no bundle: there is no {INDEX} in it") from None
    if info.file_size > _LARGEST_INDEX or info.compress_type != zipfile.ZIP_STORED:
        raise _fault(bundle, f"{INDEX} is not what was written")
    return read_index(archive.read(info), str(bundle))


def _check_names(archive: zipfile.ZipFile, files: Any, bundle: Path) -> None:
    names = [info.filename for info in archive.infolist()]
    if not isinstance(files, dict) or not all(
        isinstance(file, dict) and isinstance(file.get("bytes"), int) and isinstance(file.get("sha256"), str)
        for file in files.values()
    ):
        raise _fault(bundle, f"{INDEX} is not what was written")
    for name in [*names, *files]:
        if not safe(name):
            raise _fault(bundle, f"'{name}' would be written outside of its folder; nothing was written")
    if odd := sorted(set(names) ^ {INDEX, *files}):
        raise _fault(bundle, f"{odd[0]} is {'missing' if odd[0] in files else f'not in {INDEX}'}")
    if len(names) != len(set(names)):
        raise _fault(bundle, "a name stands twice in it")
    for info in archive.infolist():
        special = stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG)
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 or special:
            raise _fault(bundle, f"{info.filename} is not a plain stored file")


def safe(name: str) -> bool:
    """Say whether a member's name stays inside its folder on every system."""
    path = PurePosixPath(name)
    plain = bool(name) and not path.is_absolute() and str(path) == name and not set(name) & set('\\:\0"<>|?*')
    return plain and ".." not in path.parts


def _extract(archive: zipfile.ZipFile, name: str, file: Mapping[str, Any], into: Path, bundle: Path) -> None:
    target = into / name
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with archive.open(name) as source, target.open("xb") as handle:
        for block in _blocks(source):
            size += len(block)
            digest.update(block)
            handle.write(block)
    if size != file["bytes"] or digest.hexdigest() != file["sha256"]:
        raise _fault(bundle, f"{name} has another digest than when it was packed")


def _write(archive: zipfile.ZipFile, member: Member, size: int) -> str:
    info = zipfile.ZipInfo(member.name, _DATE)
    info.create_system, info.external_attr, info.file_size = 3, (stat.S_IFREG | 0o644) << 16, size
    digest = hashlib.sha256()
    with archive.open(info, "w") as handle:
        if isinstance(member.source, bytes):
            digest.update(member.source)
            handle.write(member.source)
        else:
            with member.source.open("rb") as source:
                for block in _blocks(source):
                    digest.update(block)
                    handle.write(block)
    return digest.hexdigest()


def _blocks(source: Any) -> Iterator[bytes]:
    while block := source.read(_BLOCK):
        yield block


def _described(member: Member) -> dict[str, Any]:
    if isinstance(member.source, bytes):
        return {"sha256": hashlib.sha256(member.source).hexdigest(), "bytes": len(member.source)}
    return {"sha256": file_digest(member.source), "bytes": member.source.stat().st_size}


def clear(folder: Path) -> None:
    """Remove a folder that is no longer wanted."""
    shutil.rmtree(folder, ignore_errors=True)


def _fault(where: Path | str, found: str) -> PreregError:
    return PreregError(Problem(Where(str(where)), found))


__all__ = ["INDEX", "Member", "clear", "index_bytes", "pack", "read_index", "safe", "unpack"]
