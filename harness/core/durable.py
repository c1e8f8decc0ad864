"""Writes that survive a power cut, and the one error for a full disk.

Every write of the store goes through this module, so a test can make the n-th one fail.
"""

from __future__ import annotations

import errno
import os
import uuid
from pathlib import Path

from harness.core.errors import JobError


class FullError(JobError):
    """The disk (or the quota) is full."""


def is_full(error: BaseException | None) -> bool:
    """Say whether an error, or what caused it, is a full disk or an exhausted quota."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:  # an error that is raised twice may end up as its own cause
        seen.add(id(error))
        if isinstance(error, FullError):
            return True
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False


def full_error(root: Path) -> FullError:
    """Return the error to raise when ``root`` is full, with what to do."""
    return FullError(
        f"no space left on the disk of {root}; nothing was damaged. Free some space, or put the store elsewhere "
        "with --store FOLDER or PREREG_STORE, and run the same command again: finished jobs are kept"
    )


def write_file(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Write a file, to the disk when ``sync``."""
    with path.open("wb") as handle:
        handle.write(data)
        if sync:
            handle.flush()
            os.fsync(handle.fileno())


def replace_file(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Write a file so that a reader sees the old bytes or the new ones, never a part."""
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        write_file(draft, data, sync=sync)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    if sync:
        sync_folder(path.parent)


def require_writable(folder: Path) -> None:
    """Write a file without a name into a folder or, where there is none, into the one that it would be made in.

    Raises:
        OSError: nothing can be written there, or the disk is full.
    """
    import tempfile  # where a run begins, and not with every command

    there = next(place for place in (folder, *folder.absolute().parents) if place.is_symlink() or place.exists())
    try:
        with tempfile.TemporaryFile(dir=there, buffering=0) as handle:
            handle.write(bytes(4096))
    except OSError as error:  # without the random name, so that every process says the same
        raise OSError(error.errno, error.strerror, str(there)) from error


def sync_file(path: Path) -> None:
    """Flush a file that somebody else wrote to the disk."""
    with path.open("rb") as handle:
        os.fsync(handle.fileno())


def sync_folder(path: Path) -> None:
    """Flush a folder's entries to the disk; Windows cannot and need not."""
    if os.name != "posix":
        return
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
