"""Where a store is: a folder of this machine, or a URL that several machines share.

Whoever is given a place by a user opens it here. A folder is what it always was and imports nothing more.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from harness.core.errors import PreregError, Problem, Where

if TYPE_CHECKING:
    from harness.core.remote.store import RemoteStore
    from harness.core.store import Store

CACHE = "PREREG_CACHE"
"""Environment variable: the folder of the local caches of stores on URLs (default: ``~/.cache/prereg``)."""
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def is_url(where: str | Path) -> bool:
    """Say whether a place is a URL, and not a folder."""
    return isinstance(where, str) and _URL.match(where) is not None


def place(text: str | Path) -> str | Path:
    """Return a place as a user wrote it: a URL as it stands, anything else as a path. For ``argparse``'s ``type``."""
    return text if is_url(text) else Path(text)


def refusal(where: str | Path) -> Problem | None:
    """Return why a URL cannot name a store, before anything is opened; None for folders and for good URLs."""
    if not isinstance(where, str) or not is_url(where):
        return None
    try:
        parts = urlsplit(where)
    except ValueError as error:
        return Problem(Where(), f"the store's URL cannot be read: {error}", "protocol://bucket/prefix")
    if ":" in parts.netloc.rpartition("@")[0]:
        shown = f"{parts.scheme}://…@{parts.netloc.rpartition('@')[2]}{parts.path}"
        hint = "give credentials through the usual environment (AWS_PROFILE, AWS_ACCESS_KEY_ID and its like)"
        return Problem(Where(shown), "the store's URL holds a password", "a URL without one", hint)
    if parts.query or parts.fragment:
        shown = f"{parts.scheme}://{parts.netloc}{parts.path}"
        return Problem(Where(shown), "the store's URL goes on with '?' or '#'", "protocol://bucket/prefix")
    if not (parts.netloc or parts.path.strip("/")):
        return Problem(Where(where), "the store's URL names no bucket and no folder", "protocol://bucket/prefix")
    from harness.core.remote.protocols import SAFE, unsafe

    fault = unsafe(where.partition("://")[0])
    return Problem(Where(where), fault, SAFE) if fault else None


def is_file(path: Path) -> bool:
    """Say whether a file lies there; a name that no file system can hold names none."""
    try:
        return path.is_file()
    except OSError:
        return False


def exists(path: Path) -> bool:
    """Say whether a file or folder lies there, as :func:`is_file` does."""
    try:
        return path.exists()
    except OSError:
        return False


def no_folder(folder: Path) -> str:
    """Say what stands in the way of a folder that is there or is to be made: a file of its name or above it."""
    there = next((each for each in (folder, *folder.parents) if os.path.lexists(each)), None)
    if there is None or there.is_dir():
        return ""
    return "is a file and no folder" if there == folder else f"cannot be a folder: {there} is a file"


def require_folder(where: str | Path, option: str) -> None:
    """Refuse a place where no folder can be; URLs pass.

    Raises:
        PreregError: a file stands there.
    """
    if not is_url(where) and (fault := no_folder(Path(where).expanduser().absolute())):
        raise PreregError(Problem(Where(), f"{option} {where} {fault}", "a folder, which need not exist yet"))


def require(where: str | Path) -> None:
    """Raise what :func:`refusal` returns.

    Raises:
        PreregError: a URL that cannot name a store; one with a password is not repeated.
    """
    if problem := refusal(where):
        raise PreregError(problem)


def cache_folder(url: str) -> Path:
    """Return the folder of this machine that stands in front of the store at a URL.

    Its name is for people; what tells URLs apart is the digest at its end.
    """
    base = os.environ.get(CACHE) or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "prereg"
    name = re.sub(r"[^A-Za-z0-9]+", "-", url).strip("-")[-48:]
    return Path(base).expanduser() / f"{name}-{hashlib.sha256(url.encode()).hexdigest()[:12]}"


def open_store(where: str | Path) -> Store:
    """Return the store at a folder or a URL. Touches nothing, and imports no client of any protocol.

    Raises:
        PreregError: a URL that cannot name a store, or a file.
    """
    if not isinstance(where, str) or not is_url(where):
        from harness.core.store import Store

        require_folder(where, "--store")
        return Store(where)
    return open_url(where)


def open_url(where: str | Path) -> RemoteStore:
    """Return the store at a URL, as :func:`open_store` does.

    Raises:
        PreregError: not a URL, or one that cannot name a store.
    """
    if not isinstance(where, str) or not is_url(where):
        raise PreregError(f"'{where}' is no URL; expected protocol://bucket/prefix, such as s3://bucket/prefix")
    require(where)
    from harness.core.remote.store import RemoteStore

    url = where.rstrip("/")
    return RemoteStore(url, cache_folder(url))
