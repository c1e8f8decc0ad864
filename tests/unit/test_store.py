"""The store: whole or absent, verified on reading, and nothing left behind."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.contracts.records import Job
from harness.core import durable, locks
from harness.core.durable import FullError, is_full
from harness.core.errors import JobError, PreregError
from harness.core.ident import digest
from harness.core.locks import OwnedLock, require_working_locks
from harness.core.manifest import Manifest
from harness.core.store import DamagedError, MissingError, Store


def job(label: str = "one", seed: int = 0) -> Job:
    return Job(key=digest([label, str(seed)]), label=label, kind="toy", version=1, params={"x": [0.1, None]}, seed=seed)


def fill(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "table.json").write_text('{"n": 3}')
    (folder / "sub" / "bytes.bin").write_bytes(bytes(range(256)))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_an_artifact_comes_back_as_it_was_stored(store: Store) -> None:
    one = job(seed=2**63 - 1)
    assert not store.has(one.key)
    folder = store.put(one, fill, {"wall_s": 0.25})
    assert folder == store.path(one.key) == store.root / "objects" / one.key[:2] / one.key
    assert store.has(one.key)
    again = Store(store.root)
    assert (again.open(one.key) / "sub" / "bytes.bin").read_bytes() == bytes(range(256))
    assert again.read_json(one.key, "table.json") == {"n": 3}
    manifest = again.manifest(one.key)
    assert Job.model_validate(manifest.job) == one
    assert sorted(manifest.files) == ["sub/bytes.bin", "table.json"]
    assert manifest.files["table.json"].bytes == 8
    assert manifest.made == {"wall_s": 0.25}


def test_a_stored_artifact_is_not_made_again(store: Store) -> None:
    store.put(job(), fill)

    def boom(folder: Path) -> None:
        raise AssertionError("made twice")

    store.put(job(), boom)


def test_making_the_object_touches_nothing(store: Store) -> None:
    assert not store.has(job().key)
    with pytest.raises(MissingError, match="is not in the store"):
        store.open(job().key)
    assert not store.root.exists()


def test_the_folder_ignores_itself(store: Store) -> None:
    store.prepare()
    assert (store.root / ".gitignore").read_text() == "*\n"


def test_a_failed_fill_leaves_nothing(store: Store) -> None:
    def half(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        store.put(job(), half)
    assert not store.has(job().key)
    assert list((store.root / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda folder: (folder / "link").symlink_to("table.json"), "wrote link, which cannot be stored"),
        (lambda folder: (folder / "manifest.json").write_text("{}"), "wrote manifest.json, which cannot be stored"),
        (lambda folder: None, "wrote no files"),
    ],
)
def test_only_plain_files_are_stored(store: Store, spoil: Callable[[Path], object], why: str) -> None:
    with pytest.raises(JobError, match=why):
        store.put(job(), lambda folder: spoil(folder) and None)
    assert list((store.root / "tmp").iterdir()) == []


@pytest.mark.parametrize("name", ["table.json", "sub/bytes.bin", "manifest.json"])
@pytest.mark.parametrize("where", [0, 3, -3])
def test_one_flipped_byte_is_found_named_and_quarantined(store: Store, name: str, where: int) -> None:
    path = store.put(job(), fill, {"wall_s": 1.0}) / name
    data = bytearray(path.read_bytes())
    data[where] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedError, match=name) as caught:
        Store(store.root).open(job().key)
    assert caught.value.key == job().key
    assert not store.has(job().key)
    quarantined = sorted(entry.name for entry in (store.root / "quarantine").iterdir())
    assert [entry[:64] for entry in quarantined] == [job().key] * 2
    assert name in (store.root / "quarantine" / quarantined[1]).read_text()
    store.put(job(), fill)
    assert Store(store.root).read_json(job().key, "table.json") == {"n": 3}


def test_every_byte_of_the_manifest_is_guarded(store: Store) -> None:
    raw = (store.put(job(), fill, {"wall_s": 1.5}) / "manifest.json").read_bytes()
    assert Manifest.from_bytes(raw) is not None
    for place in range(len(raw)):
        assert Manifest.from_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]) is None, place


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (lambda folder: (folder / "table.json").unlink(), "table.json is missing"),
        (lambda folder: (folder / "more").write_text("x"), "more is not in the manifest"),
        (lambda folder: (folder / "table.json").write_text("{}"), "table.json has 2 bytes instead of 8"),
        (lambda folder: (folder / "manifest.json").write_text("[]"), "manifest.json is not what was written"),
    ],
)
def test_other_damage_is_named(store: Store, harm: Callable[[Path], object], why: str) -> None:
    harm(store.put(job(), fill))
    with pytest.raises(DamagedError, match=why):
        Store(store.root).open(job().key)


def test_an_artifact_under_a_wrong_name_is_damage(store: Store) -> None:
    other = store.path(job("two").key)
    other.parent.mkdir(parents=True)
    shutil.copytree(store.put(job(), fill), other)
    with pytest.raises(DamagedError):
        store.open(job("two").key)


def test_an_artifact_without_manifest_is_made_again(store: Store) -> None:
    (store.put(job(), fill) / "manifest.json").unlink()
    assert not store.has(job().key)
    store.put(job(), fill)
    assert Store(store.root).open(job().key)


WRITES = 7
"""Flush two files and write the manifest; flush two folders, the shard's parent and the shard."""


@pytest.mark.parametrize("call", range(1, WRITES + 2))
def test_a_full_disk_at_any_write_is_one_clear_error(store: Store, monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    """Writing and flushing fail at the n-th call; whatever happened, the store is sound and the next try works."""
    store.prepare()
    calls = 0

    def maybe(real: Callable[..., None]) -> Callable[..., None]:
        def write(*args: object, **more: object) -> None:
            nonlocal calls
            calls += 1
            if calls == call:
                raise OSError(errno.ENOSPC, "No space left on device")
            real(*args, **more)

        return write

    for name in ("write_file", "sync_file", "sync_folder"):
        monkeypatch.setattr(f"harness.core.store.{name}", maybe(getattr(durable, name)))
    if call <= WRITES:
        with pytest.raises(FullError, match=r"no space left on the disk of .* --store FOLDER"):
            store.put(job(), fill)
    else:
        store.put(job(), fill)
    assert calls == min(call, WRITES)
    monkeypatch.undo()
    assert list((store.root / "tmp").iterdir()) == []
    store.put(job(), fill)
    assert Store(store.root).read_json(job().key, "table.json") == {"n": 3}


def test_a_full_disk_while_filling_is_the_same_error(store: Store) -> None:
    def full(folder: Path) -> None:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise RuntimeError("cannot serialise") from error

    with pytest.raises(FullError, match="finished jobs are kept"):
        store.put(job(), full)
    assert list((store.root / "tmp").iterdir()) == []
    assert not is_full(ValueError("other"))


def test_drafts_of_dead_writers_go_and_those_of_living_ones_stay(store: Store) -> None:
    store.prepare()
    living, dead = job("living").key, job("dead").key
    with store.lock(living, "living"):
        drafts = store.begin(living), store.begin(dead)
        Store(store.root).prepare()
        assert [draft.exists() for draft in drafts] == [True, False]


def test_a_lock_says_who_holds_it(store: Store) -> None:
    store.prepare()
    lock = store.lock("k", "train C1")
    assert lock.holder() is None
    with lock:
        holder = store.lock("k").holder()
        assert holder is not None
        assert holder.label == "train C1"
        assert str(holder).startswith("pid ")
        assert not store.lock("k").acquire()
        with pytest.raises(PreregError, match="train C2 is held by pid"), store.lock("k", "train C2"):
            pass
    assert lock.holder() is None


def test_failures_are_per_run(store: Store) -> None:
    store.fail("run1", "key", "ValueError: bad", "train C1")
    failure = Store(store.root).failure("run1", "key")
    assert failure is not None
    assert (failure.label, failure.text) == ("train C1", "ValueError: bad")
    assert store.failure("run2", "key") is None


def test_a_file_system_without_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_second_process_is_refused", lambda path: False)
    with pytest.raises(PreregError, match="file locks do not work") as caught:
        Store(tmp_path / "store").prepare()
    assert "--store" in str(caught.value)
    assert "two processes held the same lock" in str(caught.value)


def test_a_file_system_that_knows_no_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nosys(self: OwnedLock, *, note: bool = True) -> bool:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(OwnedLock, "acquire", nosys)
    with pytest.raises(PreregError, match="Function not implemented"):
        Store(tmp_path / "store").prepare()


def test_the_proof_of_locks_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_working_locks(tmp_path / "locks")
    assert json.loads((tmp_path / "locks" / "proof.json").read_text())["host"]
    monkeypatch.setattr(locks, "_second_process_is_refused", lambda path: False)
    require_working_locks(tmp_path / "locks")


def test_an_unwritable_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(PreregError, match="cannot be written"):
        Store(tmp_path / "file" / "store").prepare()


def test_an_error_that_is_its_own_cause_is_no_full_disk() -> None:
    error = OSError(errno.EIO, "broken")
    error.__cause__ = error
    assert not is_full(error)


def test_a_folder_that_cannot_be_written_is_found_out_before_a_run(tmp_path):
    store = Store(tmp_path / "store")
    store.require_usable()
    left = {path.name for path in store.root.rglob("*")}
    (store.root / "logs").rmdir()
    (store.root / "logs").symlink_to("/proc/self")  # nobody can write there, not even root
    with pytest.raises(PreregError, match=r"store cannot be written: .*/logs'\. choose another folder with --store"):
        Store(store.root).require_usable()
    assert {path.name for path in store.root.rglob("*")} == left


def test_a_full_disk_is_found_out_before_a_run(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(FullError, match="no space left on the disk of"):
        Store(tmp_path / "store").require_usable()
