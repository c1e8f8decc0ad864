"""What an artifact is made of: its files by digest, and where they came from."""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from harness.core.errors import JobError
from harness.core.ident import file_digest

MANIFEST = "manifest.json"


class Keyed(Protocol):
    """What the store wants to know of a job."""

    @property
    def key(self) -> str:
        """Names the artifact."""
        ...

    @property
    def kind(self) -> str:
        """What made it."""
        ...

    @property
    def label(self) -> str:
        """What people call it."""
        ...

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        """Return everything about it as JSON."""
        ...


class StoredFile(BaseModel):
    """Digest and size of one file of an artifact."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    sha256: str
    bytes: int


class Manifest(BaseModel):
    """What an artifact is, and how it came about. ``made`` (times, host, versions) decides nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    key: str
    kind: str
    label: str
    job: dict[str, Any]
    files: dict[str, StoredFile]
    made: dict[str, Any]

    def to_bytes(self) -> bytes:
        """Return the one way to write this manifest; it carries its own digest, so that any changed byte shows."""
        body = self.model_dump(mode="json")
        text = json.dumps(body, sort_keys=True, ensure_ascii=False)
        body["sha256"] = hashlib.sha256(text.encode()).hexdigest()
        return json.dumps(body, sort_keys=True, ensure_ascii=False, indent=1).encode() + b"\n"

    @property
    def content(self) -> str:
        """Digest of the files alone, 64 hex digits: the same for equal bytes, whoever made them and when."""
        files = {name: file.model_dump() for name, file in self.files.items()}
        return hashlib.sha256(json.dumps(files, sort_keys=True, ensure_ascii=False).encode()).hexdigest()

    @classmethod
    def from_bytes(cls, raw: bytes) -> Manifest | None:
        """Return the manifest, or None when ``raw`` is not exactly what :meth:`to_bytes` wrote."""
        try:
            body = json.loads(raw)
            del body["sha256"]
            manifest = cls.model_validate(body)
        except (ValueError, TypeError, KeyError):
            return None
        return manifest if manifest.to_bytes() == raw else None


def describe(job: Keyed, draft: Path, made: Mapping[str, Any]) -> Manifest:
    """Return the manifest of a filled folder.

    Raises:
        JobError: the folder holds no files, or something other than plain files and folders.
    """
    files: dict[str, StoredFile] = {}
    for path in sorted(draft.rglob("*")):
        name = path.relative_to(draft).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()) or name == MANIFEST:
            raise JobError(f"job '{job.label}' wrote {name}, which cannot be stored; write plain files")
        if path.is_file():
            files[name] = StoredFile(sha256=file_digest(path), bytes=path.stat().st_size)
    if not files:
        raise JobError(f"job '{job.label}' wrote no files")
    return Manifest(
        key=job.key, kind=job.kind, label=job.label, job=job.model_dump(mode="json"), files=files, made=dict(made)
    )


def verify(folder: Path, key: str) -> tuple[Manifest | None, str]:
    """Compare every byte of an artifact with its manifest; return the manifest, or None and what is wrong."""
    try:
        return _compare(folder, key)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.EIO):
            raise
        return None, f"it cannot be read ({error.strerror})"


def read(folder: Path, key: str) -> tuple[Manifest | None, str]:
    """Return an artifact's manifest after comparing it with its own digest alone, or None and what is wrong."""
    try:
        manifest = Manifest.from_bytes((folder / MANIFEST).read_bytes())
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.EIO):
            raise
        return None, f"{MANIFEST} cannot be read ({error.strerror})"
    if manifest is None or manifest.key != key:
        return None, f"{MANIFEST} is not what was written"
    return manifest, ""


def verify_file(folder: Path, name: str, file: StoredFile) -> str:
    """Compare every byte of one file with what the manifest says; return what is wrong, or nothing."""
    try:
        size = (folder / name).stat().st_size
        if size != file.bytes:
            return f"{name} has {size} bytes instead of {file.bytes}"
        if file_digest(folder / name) != file.sha256:
            return f"{name} has another digest than when it was stored"
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.EIO):
            raise
        return f"{name} cannot be read ({error.strerror})"
    return ""


def _compare(folder: Path, key: str) -> tuple[Manifest | None, str]:
    manifest, fault = read(folder, key)
    if manifest is None:
        return None, fault
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()} - {MANIFEST}
    if odd := sorted(found ^ set(manifest.files)):
        return None, f"{odd[0]} is {'missing' if odd[0] in manifest.files else 'not in the manifest'}"
    for name, file in manifest.files.items():
        if fault := verify_file(folder, name, file):
            return None, fault
    return manifest, ""
