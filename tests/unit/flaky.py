"""A remote file system that does what a bad network does: fails before or after it has done something, or does half.

It is a folder under another protocol. What goes wrong is decided call by call by :attr:`Flaky.plan`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from harness.core.places import cache_folder
from harness.core.remote.files import Files
from harness.core.remote.listing import Listing
from harness.core.remote.shelf import Shelf
from harness.core.remote.store import RemoteStore
from harness.core.store import Store

Plan = Callable[[int, str, str], str]
"""Says of the n-th call (from 0), its name and its path what happens: "" nothing, "before", "after", "half"."""


class Dropped(OSError):
    """The connection was lost."""


class Flaky(LocalFileSystem):
    """A folder behind a bad network."""

    protocol = ("flaky",)
    calls: list[tuple[str, str]] = []
    plan: Plan = staticmethod(lambda number, name, path: "")
    _counting = threading.Lock()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"auto_mkdir": True, **kwargs})

    @classmethod
    def _strip_protocol(cls, path: Any) -> str:
        return str(LocalFileSystem._strip_protocol(str(path).removeprefix("flaky://")))

    def _do(self, name: str, path: str, call: Callable[[], Any], half: Callable[[], None] = lambda: None) -> Any:
        with Flaky._counting:
            number = len(Flaky.calls)
            Flaky.calls.append((name, path))
        wrong = Flaky.plan(number, name, path)
        if wrong == "before":
            raise Dropped("connection refused")
        if wrong == "half":
            half()
            raise Dropped("connection reset")
        found = call()
        if wrong == "after":
            raise Dropped("connection reset before the answer")
        return found

    def cat_file(self, path: str, *args: Any, **kwargs: Any) -> Any:
        return self._do("cat_file", path, lambda: super(Flaky, self).cat_file(path, *args, **kwargs))

    def ls(self, path: str, *args: Any, **kwargs: Any) -> Any:
        return self._do("ls", path, lambda: super(Flaky, self).ls(path, *args, **kwargs))

    def rm_file(self, path: str) -> Any:
        return self._do("rm_file", path, lambda: super(Flaky, self).rm_file(path))

    def pipe_file(self, path: str, value: bytes, **kwargs: Any) -> Any:
        whole = super().pipe_file
        return self._do(
            "pipe_file", path, lambda: whole(path, value, **kwargs), lambda: whole(path, value[: len(value) // 2])
        )

    def put_file(self, path1: str, path2: str, *args: Any, **kwargs: Any) -> Any:
        def half() -> None:
            content = Path(path1).read_bytes()
            LocalFileSystem(auto_mkdir=True).pipe_file(path2, content[: len(content) // 2])

        return self._do("put_file", path2, lambda: super(Flaky, self).put_file(path1, path2), half)

    def get_file(self, path1: str, path2: str, *args: Any, **kwargs: Any) -> Any:
        def half() -> None:
            content = Path(path1).read_bytes()
            Path(path2).write_bytes(content[: len(content) // 2])

        return self._do("get_file", path1, lambda: super(Flaky, self).get_file(path1, path2), half)


fsspec.register_implementation("flaky", Flaky, clobber=True)


@contextmanager
def planned(plan: Plan) -> Iterator[list[tuple[str, str]]]:
    """Let things go wrong as planned, counted from now on; yields the calls so far."""
    Flaky.calls, Flaky.plan = [], staticmethod(plan)
    try:
        yield Flaky.calls
    finally:
        Flaky.plan = staticmethod(lambda number, name, path: "")


class Host:
    """A machine with a cache of its own, and the store at a URL that it shares with others."""

    def __init__(self, url: str, folder: Path) -> None:
        self.cache = Store(folder)
        self.shelf = Shelf(Files(url), self.cache, Listing(folder))

    def store(self) -> RemoteStore:
        return RemoteStore(self.shelf.url, self.cache.root)


def sound(remote: Path) -> dict[str, dict[str, bytes]]:
    """Return the files of each artifact at a URL that is a folder, having compared every byte with its manifest."""
    import hashlib
    import json

    found = {}
    for path in sorted((remote / "manifests").glob("*.json")):
        manifest = json.loads(path.read_bytes())
        files = {}
        (folder,) = (
            place for place in (remote / "files" / path.stem[:2] / path.stem).iterdir() if _holds(place, manifest)
        )
        for name, said in manifest["files"].items():
            files[name] = (folder / name).read_bytes()
            assert hashlib.sha256(files[name]).hexdigest() == said["sha256"], (path.stem, name)
        assert {each.relative_to(folder).as_posix() for each in folder.rglob("*") if each.is_file()} == set(files)
        found[path.stem] = files
    return found


def _holds(folder: Path, manifest: Any) -> bool:
    import hashlib
    import json

    text = json.dumps(manifest["files"], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest().startswith(folder.name)


__all__ = ["Dropped", "Flaky", "Host", "cache_folder", "planned", "sound"]
