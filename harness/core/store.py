"""The content-addressed store: an artifact is a folder named by the key of the job that made it.

    objects/ab/<key>/     the files and manifest.json; appears whole, by one rename, or not at all
    tmp/<key>.<random>/   being filled by whoever holds locks/<key>.lock
    partial/<key>/        what a job keeps of its unfinished work; gone when the artifact is stored
    quarantine/           damaged artifacts and, beside each, what was wrong
    known/<key>.json      manifests of artifacts that lie elsewhere (``harness.core.browse``)
    failures/<run>/       what failed in a run; logs/<run>/ and progress/<run>/ belong to its children (``core.runs``)

Nothing but the files of an artifact may influence a result; the manifest only says where they came from.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.core.durable import (
    FullError,
    full_error,
    is_full,
    replace_file,
    require_writable,
    sync_file,
    sync_folder,
    write_file,
)
from harness.core.errors import JobError, PreregError
from harness.core.exchange import Exchange
from harness.core.locks import OwnedLock, require_working_locks
from harness.core.manifest import MANIFEST, Keyed, Manifest, describe, read, verify, verify_file
from harness.core.partial import Partial
from harness.core.runs import Runs

FOLDERS = ("objects", "tmp", "locks", "failures", "logs", "progress")
"""What :meth:`Store.prepare` makes."""


class DamagedError(JobError):
    """An artifact is not what was stored; it has been put into quarantine and can be made again."""

    def __init__(self, key: str, message: str) -> None:
        self.key = key
        super().__init__(message)


class MissingError(JobError):
    """An artifact is not in the store."""


class Store(Runs):
    """Artifacts by key under one folder. Making the object touches nothing; :meth:`prepare` makes the folder."""

    def __init__(self, root: Path | str) -> None:
        super().__init__(Path(root).expanduser().absolute())
        self._verified: dict[str, Manifest] = {}
        self._prepared = False

    @property
    def where(self) -> str:
        """The place that opens this store in another process: its folder, or the URL behind it."""
        return str(self.root)

    def connect(self) -> None:
        """Find out what others have stored. What lies in a folder is seen at once, so there is nothing to do."""

    def look(self, key: str) -> bool:
        """Say whether anybody has stored an artifact by now, looking beyond this machine where the store does."""
        return self.has(key)

    def exchange(self) -> Exchange:
        """Return what a run needs to share its artifacts."""
        return Exchange()

    # --- reading ---------------------------------------------------------------------------------

    def path(self, key: str) -> Path:
        """Return where the artifact lies or would lie."""
        return self.root / "objects" / key[:2] / key

    def has(self, key: str) -> bool:
        """Say whether the artifact is stored (one look at the disk, no digests)."""
        return (self.path(key) / MANIFEST).exists()

    def open(self, key: str) -> Path:
        """Return the artifact's folder after its digests were verified (once per process).

        Raises:
            MissingError: not stored.
            DamagedError: stored, but not as it was; it is in quarantine now and :meth:`has` says no.
        """
        self.manifest(key)
        return self.path(key)

    def manifest(self, key: str) -> Manifest:
        """Return the verified manifest; raises as :meth:`open`."""
        if not self.has(key):
            raise MissingError(f"artifact {key[:12]} is not in the store {self.root}")
        if key not in self._verified:
            manifest, fault = verify(self.path(key), key)
            if manifest is None:
                raise self.quarantine(key, fault)
            self._verified[key] = manifest
        return self._verified[key]

    def read_json(self, key: str, name: str) -> Any:
        """Return the parsed JSON file ``name`` of a verified artifact; raises as :meth:`open`."""
        return json.loads((self.open(key) / name).read_bytes())

    def peek(self, key: str) -> Manifest:
        """Return the manifest, verified by its own digest; the files are not looked at. Raises as :meth:`open`."""
        if key in self._verified:
            return self._verified[key]
        if not self.has(key):
            raise MissingError(f"artifact {key[:12]} is not in the store {self.root}")
        manifest, fault = read(self.path(key), key)
        if manifest is None:
            raise self.quarantine(key, fault)
        return manifest

    def glance(self, keys: Iterable[str]) -> dict[str, Manifest]:
        """Return by key the manifests of those that are stored, looked at as by :meth:`peek`."""
        return {key: self.peek(key) for key in keys if self.has(key)}

    def read_file(self, key: str, name: str) -> bytes | None:
        """Return one file of an artifact, verified, without reading the weights beside it; None where there is none.

        Raises as :meth:`open`.
        """
        file = self.peek(key).files.get(name)
        if file is None:
            return None
        if fault := verify_file(self.path(key), name, file):
            raise self.quarantine(key, fault)
        return (self.path(key) / name).read_bytes()

    def quarantined(self) -> set[str]:
        """Return the keys of artifacts that were damaged; some may have been made again since."""
        folder = self.root / "quarantine"
        return {entry.name.partition(".")[0] for entry in folder.iterdir()} if folder.is_dir() else set()

    # --- writing ---------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make the folder, prove that locks work in it and clear what dead writers left; once per process.

        Raises:
            PreregError: the folder cannot be written, or file locks do not work there.
        """
        if self._prepared:
            return
        try:
            for name in FOLDERS:
                (self.root / name).mkdir(parents=True, exist_ok=True)
            if not (self.root / ".gitignore").exists():
                replace_file(self.root / ".gitignore", b"*\n", sync=False)
            require_working_locks(self.root / "locks")
        except OSError as error:
            raise self._unwritable(error) from error
        for draft in sorted((self.root / "tmp").iterdir()):
            self.sweep(draft.name.partition(".")[0])
        for kept in sorted((self.root / "partial").glob("*")):
            if self.has(kept.name):  # its process died right after it had stored the artifact
                self.partial(kept.name).drop()
        self._prepared = True

    def _unwritable(self, error: OSError) -> PreregError | FullError:
        if is_full(error):
            return full_error(self.root)
        hint = "choose another folder with --store FOLDER or PREREG_STORE"
        return PreregError(f"the store {self.root} cannot be written: {error}. {hint}")

    def require_usable(self) -> None:
        """Find out whether a run can use the store, as far as that costs nothing; raises as :meth:`prepare`."""
        self.prepare()
        try:
            for name in (*FOLDERS, "leases"):
                require_writable(self.root / name)
        except OSError as error:
            raise self._unwritable(error) from error

    def lock(self, key: str, label: str = "") -> OwnedLock:
        """Return the lock under which ``key`` is made."""
        return OwnedLock(self.root / "locks" / f"{key}.lock", label)

    def begin(self, key: str) -> Path:
        """Return an empty folder to fill; the caller holds the key's lock. What a dead writer left goes."""
        self.prepare()
        self._clear(key)
        draft = self.root / "tmp" / f"{key}.{uuid.uuid4().hex[:8]}"
        try:
            draft.mkdir()
        except OSError as error:
            raise full_error(self.root) if is_full(error) else error from error
        return draft

    def commit(self, job: Keyed, draft: Path, made: Mapping[str, Any]) -> Path:
        """Store a filled folder durably under the job's key and return where it lies.

        Raises:
            FullError: the disk is full; the draft is gone and nothing else changed.
            JobError: the folder is empty or holds something other than plain files.
        """
        with self.abandoning(draft):
            manifest = self._with_inputs(describe(job, draft, made))
            write_file(draft / MANIFEST, manifest.to_bytes())
        return self.place(job.key, draft)

    def _with_inputs(self, manifest: Manifest) -> Manifest:
        """Add which bytes were read: two runs may make different ones under one key, and only the first are shared."""
        keys = (manifest.job.get("inputs") or {}).values()
        read_here = {key: self._verified[key].content for key in keys if key in self._verified}
        return manifest.model_copy(update={"made": {**manifest.made, "inputs": read_here}}) if read_here else manifest

    def place(self, key: str, draft: Path) -> Path:
        """Store a folder that holds its manifest durably under its key; the caller holds the key's lock.

        Raises:
            FullError: the disk is full; the draft is gone and nothing else changed.
        """
        with self.abandoning(draft):
            for entry in draft.rglob("*"):
                if entry.is_file() and entry != draft / MANIFEST:
                    sync_file(entry)
            for folder in (*(entry for entry in draft.rglob("*") if entry.is_dir()), draft):
                sync_folder(folder)
            self._publish(draft, self.path(key))
        self._verified.pop(key, None)
        self.partial(key).drop()
        return self.path(key)

    @contextlib.contextmanager
    def abandoning(self, draft: Path) -> Iterator[None]:
        """Throw the draft away when something goes wrong, and say clearly that the disk is full."""
        try:
            yield
        except BaseException as error:
            self.abandon(draft)
            if is_full(error):
                raise full_error(self.root) from error
            raise

    def partial(self, key: str) -> Partial:
        """Return the unfinished work of a job; only the holder of the key's lock writes there."""
        return Partial(self.root, key)

    def abandon(self, draft: Path) -> None:
        """Throw a draft away."""
        shutil.rmtree(draft, ignore_errors=True)

    def put(self, job: Keyed, fill: Callable[[Path], None], made: Mapping[str, Any] | None = None) -> Path:
        """Store what ``fill`` writes into the folder it is given, unless the key is stored already.

        Raises:
            PreregError: another process is making the same artifact.
        """
        self.prepare()
        with self.lock(job.key, job.label):
            if self.has(job.key):
                return self.path(job.key)
            draft = self.begin(job.key)
            with self.abandoning(draft):
                fill(draft)
            return self.commit(job, draft, made or {})

    def sweep(self, key: str) -> bool:
        """Remove drafts of ``key`` whose writer is dead; say whether that could be told: somebody may hold its lock."""
        lock = self.lock(key)
        if not lock.acquire(note=False):
            return False
        self._clear(key)
        lock.release()
        return True

    def _clear(self, key: str) -> None:
        for draft in (self.root / "tmp").glob(f"{key}.*"):
            self.abandon(draft)

    def _publish(self, draft: Path, final: Path) -> None:
        if not final.parent.exists():
            final.parent.mkdir(exist_ok=True)
            sync_folder(final.parent.parent)
        if final.exists():
            # Only an artifact that lost its manifest can be here: the caller holds the lock and found none.
            self.quarantine(final.name, f"{MANIFEST} is missing")
        draft.rename(final)
        sync_folder(final.parent)

    def quarantine(self, key: str, fault: str) -> DamagedError:
        """Take a damaged artifact out of the way, with a note of what is wrong; return the error that says so."""
        self._verified.pop(key, None)
        place = self.root / "quarantine" / f"{key}.{uuid.uuid4().hex[:8]}"
        place.parent.mkdir(exist_ok=True)
        try:
            self.path(key).rename(place)
            replace_file(place.with_suffix(place.suffix + ".txt"), f"{fault}\n".encode(), sync=False)
        except FileNotFoundError:
            pass  # another process found it first
        except OSError as error:
            if not is_full(error):
                raise
        return DamagedError(key, f"artifact {key[:12]} is damaged: {fault}; it was moved to {place} and is made again")
