"""Artifacts at a URL, and their way from a local store to there and back.

    prereg-store.json                       says that this is a store, and of which format
    manifests/<key>.json                    the manifest: written last, in one step, by the first writer only
    files/ab/<key>/<digest of files>/NAME   the files, under a name that other bytes never have
    claims/, owners/                        who is at work on what (``harness.core.remote.claims``)
    quarantine/                             what was damaged, and beside it why

It is not the layout of a local store: keys lie in one folder, so that one request lists a thousand of them, and the
files of two writers with other bytes never lie in one folder, so that the loser's cannot mix with the winner's.

Three things always hold for what has a manifest here: its files were complete before it; nobody ever changes them;
and it was made from the very bytes that its inputs have here.
"""

from __future__ import annotations

import json
import re
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness.core.durable import write_file
from harness.core.errors import JobError
from harness.core.manifest import MANIFEST, Manifest, verify_file
from harness.core.remote.files import Files, RemoteError, StoppedError
from harness.core.remote.listing import Listing
from harness.core.store import DamagedError, MissingError, Store

MARKER = "prereg-store.json"
FORMAT = json.dumps({"format": 1}).encode() + b"\n"
FRESH_S = 60.0
"""Seconds for which a listing is believed before the next :meth:`Shelf.connect` asks again."""
_NAME = re.compile(r"([0-9a-f]{64})\.json")

Outcome = Literal["same", "sent", "fetched", "replaced", "differs"]
"""``same`` here and there; ``sent`` there or ``fetched`` from there just now; other bytes were first: ``replaced``
ours, or ``differs``, where ours stay."""


@dataclass
class Traffic:
    """What went over the network, for people: artifacts and bytes of their files."""

    sent: int = 0
    sent_bytes: int = 0
    fetched: int = 0
    fetched_bytes: int = 0
    notes: list[str] = field(default_factory=list)


class StaleError(JobError):
    """An artifact was made from other bytes than its input is shared with; it was put aside and must be made again."""

    def __init__(self, key: str, message: str) -> None:
        self.key = key
        super().__init__(message)


class Shelf:
    """The artifacts at a URL, beside a local store. Its methods may be called from several threads.

    Args:
        files: the URL.
        store: where artifacts come from and go to: a plain local store.
        listing: what is known of the URL.
        yields: whether what somebody else shared first takes the place of ours, as it must in a cache. Somebody's own
            folder keeps what it has.
    """

    def __init__(self, files: Files, store: Store, listing: Listing, *, yields: bool = True) -> None:
        self.files = files
        self.store = store
        self.listing = listing
        self.yields = yields
        self.traffic = Traffic()

    @property
    def url(self) -> str:
        """Where the artifacts are."""
        return self.files.url

    def connect(self, *, fresh_s: float = FRESH_S, create: bool = True) -> None:
        """Find out which artifacts there are, unless that was asked ``fresh_s`` seconds ago or later.

        ``create`` makes a store where there is none.

        Raises:
            RemoteError: it cannot be reached, is no store of this format, or does not heed conditional writes.
        """
        if self.listing.age < fresh_s:
            return
        found = self.files.read(MARKER)
        if found is None and create:
            self.files.require_exclusive()
            found = self.files.create(MARKER, FORMAT) or FORMAT
        if found is None:
            raise RemoteError(f"there is no store at {self.url}; prereg store push or a run makes one")
        if found != FORMAT:
            raise RemoteError(f"{self.url}/{MARKER} says {found[:40]!r}, which this version of the harness cannot read")
        names = (_NAME.fullmatch(name) for name in self.files.names("manifests"))
        self.listing.replace(name[1] for name in names if name)

    # --- reading ---------------------------------------------------------------------------------

    def manifest(self, key: str) -> Manifest | None:
        """Return an artifact's manifest; None where there is none.

        Raises:
            DamagedError: it is not what was written; it was put aside.
        """
        raw = self.files.read(f"manifests/{key}.json")
        if raw is None:
            self.listing.discard(key)
            return None
        manifest = Manifest.from_bytes(raw)
        if manifest is None or manifest.key != key:
            raise self._quarantine(key, None, f"{MANIFEST} is not what was written")
        self.listing.add(key)
        return manifest

    def read_file(self, manifest: Manifest, name: str, folder: Path) -> Path:
        """Download one file of an artifact into a folder, checked; return where it lies. Raises as :meth:`fetch`."""
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        fault = ""
        for _ in range(2):  # what was damaged on the way only is whole the second time
            there = self.files.download(_file(manifest, name), path)
            fault = verify_file(folder, name, manifest.files[name]) if there else f"{name} is missing"
            if not fault:
                return path
        raise self._quarantine(manifest.key, manifest, fault, name)

    def fetch(self, key: str) -> Outcome:
        """Download an artifact into the local store, check every byte, and let it appear there by one rename.

        Raises:
            MissingError: there is none.
            DamagedError: it is not what was stored; it was put aside, and can be made again.
        """
        with self._held(key):
            if self.store.has(key):
                return "same"  # another process of this machine was faster
            return self._fetch(self._required(key))

    def _required(self, key: str) -> Manifest:
        manifest = self.manifest(key)
        if manifest is None:
            raise MissingError(f"artifact {key[:12]} is not at {self.url} any more")
        return manifest

    def _fetch(self, manifest: Manifest) -> Outcome:
        draft = self.store.begin(manifest.key)
        with self.store.abandoning(draft):
            for name in manifest.files:
                self.read_file(manifest, name, draft)
            write_file(draft / MANIFEST, manifest.to_bytes())
        self.store.place(manifest.key, draft)
        self.listing.settle(manifest.key, manifest.content)
        self.traffic.fetched += 1
        self.traffic.fetched_bytes += _bytes(manifest)
        return "fetched"

    def _quarantine(self, key: str, manifest: Manifest | None, fault: str, name: str = "") -> DamagedError:
        """Put the manifest and the file that is damaged aside, so that the artifact can be made again."""
        self.listing.discard(key)
        place = f"quarantine/{key}.{uuid.uuid4().hex[:8]}"
        self.files.move(f"manifests/{key}.json", f"{place}.json")
        if manifest is not None and name:
            self.files.move(_file(manifest, name), f"{place}/{name}")
        self.files.write(f"{place}.txt", f"{fault}\n".encode())
        text = f"artifact {key[:12]} at {self.url} is damaged: {fault}; it was moved to {place} there and is made again"
        return DamagedError(key, text)

    def check(self, key: str) -> Manifest:
        """Download an artifact, check every byte and keep nothing; return its manifest. Raises as :meth:`fetch`."""
        manifest = self._required(key)
        with tempfile.TemporaryDirectory(dir=self.store.root / "tmp", prefix="check.") as folder:
            for name in manifest.files:
                self.read_file(manifest, name, Path(folder)).unlink()
        for source, content in (manifest.made.get("inputs") or {}).items():
            behind = self.manifest(source) if source in self.listing else None
            if behind is not None and behind.content != content:
                raise self._quarantine(key, None, f"it was made from other bytes of {source[:12]} than are there")
        return manifest

    # --- writing ---------------------------------------------------------------------------------

    def settle(self, key: str) -> Outcome:
        """Make an artifact the same here and there: send it, fetch it, or take what somebody else was first with.

        Its inputs are settled before it is sent, as far as they are anywhere.

        Raises:
            MissingError: it is neither here nor there.
            DamagedError: it is damaged, here or there; it was put aside.
            StaleError: it was made from bytes that somebody else was faster to replace; it was put aside.
        """
        if self.store.has(key) and self.listing.settled(key, self.store.peek(key).content):
            return "same"
        with self._held(key):  # so that what many stand on is not sent by many at once
            return self._settle(key)

    def _settle(self, key: str) -> Outcome:
        if not self.store.has(key):
            return self._fetch(self._required(key))
        mine = self.store.peek(key)
        if self.listing.settled(key, mine.content):
            return "same"
        theirs = self.manifest(key) if key in self.listing else None
        if theirs is None:  # as far as is known; else creating the manifest says so
            theirs = self._send(mine)
            if theirs is None:
                return "sent"
        if theirs.content == mine.content:
            self.listing.settle(key, mine.content)
            return "same"
        if not self.yields:
            return "differs"
        self._replace(mine, theirs)
        return "replaced"

    def _send(self, mine: Manifest) -> Manifest | None:
        """Send an artifact; return the manifest of whoever was faster, or None."""
        self._settle_inputs(mine)
        folder = self.store.open(mine.key)  # every byte is checked before it is shared
        there = self.files.sizes(_folder(mine))  # of an upload that was interrupted: nothing else has these names
        new = [name for name, file in mine.files.items() if there.get(name) != file.bytes]
        for name in new:
            self.files.upload(folder / name, _file(mine, name))
        while self.files.create(f"manifests/{mine.key}.json", mine.to_bytes()) is not None:
            if theirs := self.manifest(mine.key):  # else it was put aside just now
                return theirs
        self.listing.settle(mine.key, mine.content)
        self.traffic.sent += 1
        self.traffic.sent_bytes += sum(mine.files[name].bytes for name in new)
        return None

    def _settle_inputs(self, mine: Manifest) -> None:
        read = mine.made.get("inputs") or {}
        for key in dict.fromkeys((mine.job.get("inputs") or {}).values()):
            if not self.store.has(key) and key not in self.listing:
                continue  # cleared away everywhere, or never carried along (the base models of a bundle)
            if read.get(key, shared := self._content(key)) != shared:
                fault = f"it was made from other bytes of {key[:12]} than are shared at {self.url}"
                if self.yields:
                    self.store.quarantine(mine.key, fault)
                raise StaleError(mine.key, f"{mine.label} {'is made again' if self.yields else 'stays here'}: {fault}")

    def _content(self, key: str) -> str:
        """Return the digest of the files that everybody has under a key, and share ours if nobody has."""
        if self.store.has(key) and self.settle(key) != "differs":
            return self.store.peek(key).content
        return self._required(key).content

    def _replace(self, mine: Manifest, theirs: Manifest) -> None:
        """Take what was first; ours goes into quarantine here, and what was sent of it there goes."""
        host = theirs.made.get("host", "another host")
        fault = f"{host} was first to share it, with other bytes, at {self.url}"
        self.store.quarantine(mine.key, fault)
        self._fetch(theirs)
        self.traffic.notes.append(
            f"{mine.label} ({mine.key[:12]}): {fault}; theirs is used, and ours is in quarantine/"
        )
        for name in mine.files:
            self.files.remove(_file(mine, name))

    @contextmanager
    def _held(self, key: str) -> Iterator[None]:
        """Hold the key's lock, waited for: whoever has it downloads or makes the same artifact."""
        lock = self.store.lock(key, "exchange")
        while not lock.acquire():
            if self.files.stopping.wait(0.05):
                raise StoppedError(f"{self.url}: stopped while {key[:12]} was held by {lock.holder()}")
        try:
            yield
        finally:
            lock.release()


def _folder(manifest: Manifest) -> str:
    return f"files/{manifest.key[:2]}/{manifest.key}/{manifest.content[:16]}"


def _file(manifest: Manifest, name: str) -> str:
    return f"{_folder(manifest)}/{name}"


def _bytes(manifest: Manifest) -> int:
    return sum(file.bytes for file in manifest.files.values())
