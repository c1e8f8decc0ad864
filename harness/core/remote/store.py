"""The store at a URL: an ordinary local store as its cache, and the artifacts that everybody shares behind it.

What concerns one machine stays in the cache: locks, leases, drafts, unfinished work, logs, progress, failures, costs.
Saying whether an artifact is stored never looks at the network; it goes by what was found out when the store was
last connected. Reading an artifact that lies only at the URL brings it here first.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

from harness.core.durable import replace_file
from harness.core.errors import PreregError
from harness.core.exchange import Exchange
from harness.core.manifest import Manifest
from harness.core.remote.files import SILENCE_S, Files, RemoteError
from harness.core.remote.listing import FOLDER, Listing
from harness.core.remote.shelf import FRESH_S, Shelf
from harness.core.store import DamagedError, MissingError, Store

CONNECTIONS = 8
"""So many artifacts are on their way at once."""
_KNOWN = "known"


class RemoteStore(Store):
    """The artifacts at ``url``, behind a cache in the folder ``root``. Making the object touches nothing."""

    def __init__(self, url: str, root: Path) -> None:
        super().__init__(root)
        self.url = url
        self.listing = Listing(self.root)
        self.cache = Store(self.root)
        """The same folder as a plain store."""
        self._fault: tuple[RemoteError, float] | None = None
        """Why the URL could not be reached, and when that was found out (monotonic)."""
        self._verified = self.cache._verified  # what one of the two puts aside, the other must not trust any more

    @property
    def where(self) -> str:
        """The URL."""
        return self.url

    @cached_property
    def shelf(self) -> Shelf:
        """The artifacts at the URL; nothing is looked at yet."""
        return Shelf(Files(self.url), self.cache, self.listing)

    def connect(self, fresh_s: float = FRESH_S, *, create: bool = True) -> None:
        """Find out what is stored at the URL, unless that was asked ``fresh_s`` seconds ago or later.

        Raises:
            RemoteError: the URL cannot be reached (or could not a moment ago), or holds no store and ``create`` is not
                wanted.
            PreregError: the cache cannot be written, or file locks do not work in it.
        """
        if self._fault is not None and time.monotonic() - self._fault[1] < SILENCE_S:
            raise self._fault[0]
        self._fault = None
        try:
            self.shelf.connect(fresh_s=fresh_s, create=create)
        except RemoteError as error:
            self._fault = (error, time.monotonic())
            raise
        self.prepare()

    def prepare(self) -> None:
        """Make the cache as :meth:`Store.prepare` makes a store."""
        try:
            super().prepare()
        except PreregError as error:
            raise PreregError(
                f"{error}\nthis is the cache of {self.url}; put it elsewhere with PREREG_CACHE"
            ) from error
        if not (self.root / FOLDER / "url.json").exists():
            (self.root / FOLDER).mkdir(exist_ok=True)
            replace_file(self.root / FOLDER / "url.json", json.dumps({"url": self.url}).encode(), sync=False)

    def require_usable(self) -> None:
        """Find out, without a network, whether a run can use the store; raises as :meth:`connect`."""
        self.shelf.files.require_client()
        if self.shelf.files.local:
            self.connect()
        super().require_usable()

    def look(self, key: str) -> bool:
        """Say whether an artifact lies here or at the URL now.

        Raises:
            RemoteError: the URL cannot be reached.
            DamagedError: it is not what was stored; it was put aside.
        """
        return self.cache.has(key) or self.shelf.manifest(key) is not None

    def exchange(self) -> Exchange:
        """Return what a run needs to share its artifacts through the URL."""
        from harness.core.remote.exchange import RemoteExchange

        return RemoteExchange(self.shelf)

    # --- reading ---------------------------------------------------------------------------------

    def has(self, key: str) -> bool:
        """Say whether the artifact is stored here, or was at the URL when the store was last connected."""
        return super().has(key) or key in self.listing

    def manifest(self, key: str) -> Manifest:
        """Return the verified manifest of an artifact that lies here now; raises as :meth:`Store.open`."""
        if not super().has(key):
            self._bring(key)
        try:
            return super().manifest(key)
        except DamagedError:
            if key not in self.listing:
                raise
        self._bring(key)
        return super().manifest(key)

    def _bring(self, key: str) -> None:
        self.connect()
        if key not in self.listing:
            raise MissingError(f"artifact {key[:12]} is not in the store {self.url}")
        self.shelf.fetch(key)

    def peek(self, key: str) -> Manifest:
        """Return the manifest without bringing the files here; raises as :meth:`Store.open`."""
        if super().has(key):
            return super().peek(key)
        place = self.root / _KNOWN / f"{key}.json"
        if key in self.listing and place.exists():
            known = Manifest.from_bytes(place.read_bytes())
            if known is not None and known.key == key:
                return known
        self.connect()
        manifest = self.shelf.manifest(key)
        if manifest is None:
            raise MissingError(f"artifact {key[:12]} is not in the store {self.url}")
        place.parent.mkdir(exist_ok=True)
        replace_file(place, manifest.to_bytes(), sync=False)
        return manifest

    def glance(self, keys: Iterable[str]) -> dict[str, Manifest]:
        """Return the manifests of those that are stored, several at a time."""
        wanted = [key for key in keys if self.has(key)]
        if not all(self.cache.has(key) for key in wanted):
            self.connect()
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            return dict(zip(wanted, pool.map(self.peek, wanted), strict=True))

    def read_file(self, key: str, name: str) -> bytes | None:
        """Return one file of an artifact, verified; the others stay where they are. Raises as :meth:`Store.open`."""
        if super().has(key):
            return super().read_file(key, name)
        manifest = self.peek(key)
        if name not in manifest.files:
            return None
        with tempfile.TemporaryDirectory(dir=self.root / "tmp", prefix=f"read-{os.getpid()}.") as folder:
            return self.shelf.read_file(manifest, name, Path(folder)).read_bytes()
