"""Files at a URL, through fsspec: every call is tried several times, within bounds, and then fails in one clear way.

Credentials come from where each protocol's client looks for them (environment, profile, instance), never from us.
"""

from __future__ import annotations

import os
import random
import shutil
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from harness.core.durable import is_full
from harness.core.errors import PreregError, Problem, Where
from harness.core.remote.protocols import LOCAL, SAFE, install, lacking, unsafe

T = TypeVar("T")

ATTEMPTS = 5
"""So often is a call tried."""
PAUSE = 0.2
"""Seconds before the second attempt; each later pause is twice as long, give or take a half."""
CONNECT_S, READ_S = 10, 30
"""Seconds until a connection is given up, and until an answer that has stopped coming is (``s3://``)."""

_HOPELESS = (PermissionError, NotADirectoryError, IsADirectoryError, NotImplementedError)
_NO_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "DefaultCredentialsError")


SILENCE_S = 60.0
"""Seconds after an error of the network during which nothing is tried: every item would wait for the same error."""


class RemoteError(PreregError):
    """The store at a URL cannot be reached or used. What is finished lies in the local cache."""


class StoppedError(RemoteError):
    """This process is ending, so nothing is tried again."""


class Files:
    """Files below one URL, by path relative to it. Making the object imports nothing and touches nothing.

    All methods raise :class:`RemoteError` when they have been tried :data:`ATTEMPTS` times.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.stopping = threading.Event()
        """Set when this process is about to end: what fails is not tried again."""

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        protocol = self.url.partition("://")[0]
        if fault := unsafe(protocol):  # asked first: a client may connect as soon as it is made
            raise self._refused(fault, f"use {SAFE}")
        try:
            import fsspec

            system, root = fsspec.core.url_to_fs(self.url, **_settings(protocol))
        except ImportError as error:
            raise self._refused(f"nothing is installed for {protocol}:// ({error})", install(protocol)) from error
        if hasattr(system, "retries"):
            system.retries = 1  # the attempts are counted here, and not twice
        return system, root.rstrip("/")

    @property
    def local(self) -> bool:
        """Whether the URL is a folder, which is looked at without a network."""
        return self.url.partition("://")[0] in LOCAL

    def require_client(self) -> None:
        """Find out whether the client of the protocol is installed, without importing it.

        Raises:
            RemoteError: it is not.
        """
        protocol = self.url.partition("://")[0]
        if name := lacking(protocol):
            raise self._refused(f"nothing is installed for {protocol}:// (there is no '{name}')", install(protocol))

    @property
    def _fs(self) -> Any:
        return self._opened[0]

    def _at(self, path: str) -> str:
        return f"{self._opened[1]}/{path}"

    # --- reading ---------------------------------------------------------------------------------

    def read(self, path: str) -> bytes | None:
        """Return the bytes of a small file that is not empty; None where there is none."""
        try:
            return bytes(self._try("read", path, lambda: self._cat(path)))
        except FileNotFoundError:
            return None

    def _cat(self, path: str) -> bytes:
        return bytes(self._fs.cat_file(self._at(path), start=0))  # without a start, s3fs asks for the size first

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the sizes in bytes of all files in and below a folder, by path relative to it."""
        try:
            found = self._try("list", folder, lambda: self._fs.find(self._at(folder), detail=True))
        except FileNotFoundError:
            return {}
        below = len(self._at(folder)) + 1
        return {name[below:]: int(about["size"]) for name, about in found.items() if about["type"] == "file"}

    def names(self, folder: str) -> list[str]:
        """Return the names of the files in a folder, in order; none where there is no folder."""
        try:
            found = self._try("list", folder, lambda: self._fs.ls(self._at(folder), detail=False, refresh=True))
        except FileNotFoundError:
            return []
        return sorted(name.rstrip("/").rpartition("/")[2] for name in found)

    def download(self, path: str, to: Path) -> bool:
        """Write a file of this machine; False where there is none at the URL."""
        try:
            self._try("download", path, lambda: self._fs.get_file(self._at(path), str(to)))
        except FileNotFoundError:
            return False
        return True

    # --- writing ---------------------------------------------------------------------------------

    def create(self, path: str, data: bytes) -> bytes | None:
        """Write a file if there is none, in one step; return what lies there already, or None when it is ours.

        After a lost answer one's own bytes may be what lies there: that is ours as well.
        """
        there = self._try("create", path, lambda: self._create(path, data))
        return None if there == data else there

    def _create(self, path: str, data: bytes) -> bytes | None:
        try:
            if _is_local(self._fs):
                self._link(path, data)
            else:
                self._fs.pipe_file(self._at(path), data, mode="create")
        except FileNotFoundError:
            raise  # no such bucket
        except Exception:  # clients differ in what they raise; what lies there says it for sure
            try:
                return self._cat(path)
            except FileNotFoundError:
                pass
            raise  # what was there is gone again (a claim that was given back just now), or the network is bad
        return None

    def _link(self, path: str, data: bytes) -> None:
        draft = f"{self._at(path)}.{uuid.uuid4().hex[:8]}.new"
        try:
            self._fs.pipe_file(draft, data)
            os.link(draft, self._at(path))
        finally:
            Path(draft).unlink(missing_ok=True)

    def write(self, path: str, data: bytes) -> None:
        """Write a file, whatever was there."""

        def once() -> None:
            if not _is_local(self._fs):
                self._fs.pipe_file(self._at(path), data)
                return
            draft = f"{self._at(path)}.{uuid.uuid4().hex[:8]}.new"
            try:
                self._fs.pipe_file(draft, data)
                Path(draft).replace(self._at(path))
            finally:
                Path(draft).unlink(missing_ok=True)

        self._try("write", path, once)

    def upload(self, source: Path, path: str) -> None:
        """Bring a file of this machine there, whatever was there."""

        def once() -> None:
            if not _is_local(self._fs):
                self._fs.put_file(str(source), self._at(path))
                return
            draft = f"{self._at(path)}.{uuid.uuid4().hex[:8]}.new"
            try:
                self._fs.put_file(str(source), draft)
                Path(draft).replace(self._at(path))
            finally:
                Path(draft).unlink(missing_ok=True)

        self._try("upload", path, once)

    def remove(self, path: str) -> None:
        """Remove a file, if there is one."""
        with suppress(FileNotFoundError):
            self._try("remove", path, lambda: self._fs.rm_file(self._at(path)))

    def move(self, path: str, to: str) -> None:
        """Move a file, if there is one; not in one step on object stores, where it is copied and then removed."""
        try:
            if _is_local(self._fs):
                Path(self._at(to)).parent.mkdir(parents=True, exist_ok=True)
                self._try("move", path, lambda: shutil.move(self._at(path), self._at(to)))
                return
            self._try("copy", path, lambda: self._fs.cp_file(self._at(path), self._at(to)))
        except FileNotFoundError:
            return
        self.remove(path)

    def require_exclusive(self) -> None:
        """Prove that a file is created once only: some servers that speak a protocol leave that part of it out.

        Raises:
            RemoteError: the second one to create a file was told that it had.
        """
        path = f"probe-{uuid.uuid4().hex}"
        try:
            self.create(path, b"first")
            if self.create(path, b"second") != b"first":
                raise self._refused(
                    "the server wrote over a file that was to be created only if there was none (If-None-Match)",
                    "use a server that heeds conditional writes: without them two writers could mix their work",
                )
            self.remove(path)
        except FileNotFoundError as error:
            if self.local:
                raise self._refused(f"the folder cannot be made: {error}", "choose another one") from error
            where = self._at("").strip("/").partition("/")[0]
            raise self._refused(f"there is no bucket or container '{where}'", "create it first") from error

    # --- trying ----------------------------------------------------------------------------------

    def _try(self, what: str, path: str, call: Callable[[], T]) -> T:
        began, pause = time.monotonic(), PAUSE
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return call()
            except (FileNotFoundError, PreregError):
                raise
            except _HOPELESS as error:
                raise self._failed(what, path, error, attempt, began) from error
            except Exception as error:  # every client has errors of its own for a bad network
                if is_full(error):
                    raise
                if type(error).__name__ in _NO_CREDENTIALS or attempt == ATTEMPTS:
                    raise self._failed(what, path, error, attempt, began) from error
                if self.stopping.wait(pause * random.uniform(0.5, 1.5)):
                    raise StoppedError(f"{self.url}: stopped before {path} could be tried again ({error})") from error
                pause *= 2
        raise AssertionError("unreachable")

    def _failed(self, what: str, path: str, error: Exception, attempts: int, began: float) -> RemoteError:
        tried = f"tried {attempts} times in {time.monotonic() - began:.0f} s" if attempts > 1 else "tried once"
        said = f"{type(error).__name__}: {' '.join(str(error).split()) or 'no reason given'}"
        culprit = "whether the folder is mounted" if self.local else "the network, the URL and the credentials"
        hint = (
            f"check {culprit}, and run the same command again: finished jobs are kept "
            "in the local cache and shared then (or now: prereg store push)"
        )
        return RemoteError(Problem(Where(self.url), f"cannot {what} {path or 'it'} ({tried}): {said}", hint=hint))

    def _refused(self, found: str, hint: str) -> RemoteError:
        return RemoteError(Problem(Where(self.url), found, hint=hint))


def _is_local(system: Any) -> bool:
    from fsspec.implementations.local import LocalFileSystem

    return isinstance(system, LocalFileSystem)


def _settings(protocol: str) -> dict[str, Any]:
    """Return how a protocol's client is to be set up; what fsspec's own configuration says comes first."""
    from fsspec.config import conf

    settings: dict[str, Any] = {"skip_instance_cache": True}
    if protocol in ("s3", "s3a"):
        bounds = {"connect_timeout": CONNECT_S, "read_timeout": READ_S, "retries": {"total_max_attempts": 1}}
        said = conf.get(protocol, {}).get("config_kwargs", {})
        settings |= {"use_listings_cache": False, "config_kwargs": {**bounds, **said}}
    if protocol in ("file", "local"):
        settings["auto_mkdir"] = True
    return settings
