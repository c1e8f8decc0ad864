"""Unfinished work: durable, checked when read, gone when the artifact is stored."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from harness.contracts.records import Job
from harness.core import durable
from harness.core.durable import FullError
from harness.core.partial import Partial, Standing
from harness.core.store import Store

KEY = "ab" * 32


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    store.prepare()
    return store


def test_what_is_saved_is_read_by_the_next_process(store: Store) -> None:
    partial = store.partial(KEY)
    assert (partial.names(), partial.load("a"), partial.standing()) == ([], None, None)
    assert not (store.root / "partial").exists()
    partial.save("a", b"one\ntwo\n\x00", what="sampling", done=0.25)
    partial.save("b", b"", what="sampling", done=0.5)
    partial.save("a", b"three", what="sampling", done=0.4)
    again = Store(store.root).partial(KEY)
    assert again.names() == ["a", "b"]
    assert (again.load("a"), again.load("b"), again.load("c")) == (b"three", b"", None)
    assert again.standing() == Standing("sampling", 0.5)
    again.drop()
    again.drop()
    assert (again.names(), partial.load("a")) == ([], None)


def test_every_flipped_byte_is_found_named_and_removed(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    store.partial(KEY).save("a", b"data", what="training", done=0.5)
    path = store.root / "partial" / KEY / "a"
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert store.partial(KEY).load("a") is None
        assert str(path) in capsys.readouterr().err
        assert not path.exists()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        store.partial(KEY).standing()
        assert store.partial(KEY).load("a") is None


def test_a_full_disk_keeps_what_was_there(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    partial = store.partial(KEY)
    partial.save("a", b"old")

    def full(path: Path, data: bytes, **kwargs: Any) -> None:
        path.write_bytes(data[:3])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(durable, "write_file", full)
    with pytest.raises(FullError, match="no space left"):
        partial.save("a", b"new")
    monkeypatch.undo()
    assert partial.load("a") == b"old"
    assert os.listdir(partial.folder) == ["a"]  # noqa: PTH208


def test_what_a_killed_writer_left_is_cleared(store: Store) -> None:
    store.partial(KEY).save("a", b"old")
    (store.root / "partial" / KEY / ".a.0123abcd").write_bytes(b"half")
    partial = store.partial(KEY)
    assert partial.names() == ["a"]
    partial.save("b", b"new")
    assert sorted(path.name for path in partial.folder.iterdir()) == ["a", "b"]


def test_storing_the_artifact_drops_it(store: Store) -> None:
    job = Job(key=KEY, label="toy", kind="toy", version=1, params={})
    store.partial(KEY).save("a", b"old")
    store.partial("cd" * 32).save("a", b"of another job")
    store.put(job, lambda folder: (folder / "x").write_text("x") and None)
    assert not (store.root / "partial" / KEY).exists()
    assert store.partial("cd" * 32).load("a") == b"of another job"
    store.partial(KEY).save("a", b"of a process that died before it could drop it")
    Store(store.root).prepare()
    assert not (store.root / "partial" / KEY).exists()
    assert store.partial("cd" * 32).names() == ["a"]


def test_names_cannot_lead_elsewhere(tmp_path: Path) -> None:
    for name in ("", "../a", "A", ".a", "a/b", "a.b"):
        with pytest.raises(ValueError, match="no name"):
            Partial(tmp_path, KEY).save(name, b"")


def test_a_run_is_stopped_for_all_its_processes(store: Store) -> None:
    assert not store.stopped("run")
    store.stop("run")
    assert Store(store.root).stopped("run")
    assert not store.stopped("other")
    nowhere = Store(store.root / "nowhere")
    nowhere.stop("run")
    assert not nowhere.root.exists()
