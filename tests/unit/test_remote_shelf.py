"""Artifacts at a URL: whole or absent, the first writer's, checked on arrival, whatever the network does."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flaky import Flaky, Host, planned, sound
from shelves import family, job, put

from harness.core.remote import files as files_module
from harness.core.remote.files import RemoteError
from harness.core.remote.shelf import MARKER, StaleError
from harness.core.store import DamagedError, MissingError


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "PAUSE", 1e-4)
    monkeypatch.setattr("harness.core.store.require_working_locks", lambda folder: None)  # a process each time


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return tmp_path / "bucket" / "prefix"


@pytest.fixture
def host(tmp_path: Path, remote: Path) -> Callable[[str], Host]:
    def named(name: str) -> Host:
        made = Host(f"flaky://{remote}", tmp_path / name)
        made.shelf.connect()
        return made

    return named


def test_what_one_machine_shares_another_has_byte_for_byte(host: Callable[[str], Host], remote: Path) -> None:
    one, other, made = host("one"), host("other"), job("a")
    put(one.cache, made, "text")
    assert one.shelf.settle(made.key) == "sent"
    assert one.shelf.settle(made.key) == "same"
    assert other.shelf.settle(made.key) == "fetched"
    assert other.shelf.settle(made.key) == "same"
    for store in (one.cache, other.cache):
        assert (store.open(made.key) / "sub" / "text.txt").read_text() == "text"
    assert one.cache.manifest(made.key).to_bytes() == other.cache.manifest(made.key).to_bytes()
    assert sound(remote)[made.key] == {"facts.json": b"{}", "sub/text.txt": b"text"}
    assert (one.shelf.traffic.sent, one.shelf.traffic.sent_bytes) == (1, 6)
    assert (other.shelf.traffic.fetched, other.shelf.traffic.fetched_bytes) == (1, 6)


def test_what_is_settled_needs_no_network(host: Callable[[str], Host], tmp_path: Path, remote: Path) -> None:
    put(host("one").cache, made := job("a"))
    host("one").shelf.settle(made.key)
    again = Host(f"flaky://{remote}", tmp_path / "one")
    with planned(lambda *_: "before") as calls:
        assert again.shelf.settle(made.key) == "same"
    assert calls == []


def test_what_it_was_made_from_is_shared_first(host: Callable[[str], Host], remote: Path) -> None:
    one, jobs = host("one"), family()
    for each in jobs.values():
        put(one.cache, each)
    with planned(lambda *_: "") as calls:
        assert one.shelf.settle(jobs["estimate"].key) == "sent"
    order = [Path(path).name[:64] for name, path in calls if name == "pipe_file" and "manifests" in path]
    assert sorted(order) == sorted(jobs[name].key for name in ("base", "sft", "rate", "probe", "estimate"))
    for place, key in enumerate(order):
        (made,) = (each for each in jobs.values() if each.key == key)
        assert set(made.inputs.values()) <= set(order[:place])
    assert jobs["verdict"].key not in sound(remote)


def test_nothing_at_a_url_and_nothing_here_is_missing(host: Callable[[str], Host]) -> None:
    with pytest.raises(MissingError, match="artifact abababababab is not at flaky://"):
        host("one").shelf.settle("ab" * 32)


def test_another_format_is_refused(host: Callable[[str], Host], remote: Path, tmp_path: Path) -> None:
    host("one")
    (remote / MARKER).write_text('{"format": 2}')
    with pytest.raises(RemoteError, match="which this version of the harness cannot read"):
        host("two")
    with pytest.raises(RemoteError, match="there is no store at"):
        Host(f"flaky://{tmp_path}/empty", tmp_path / "three").shelf.connect(create=False)
    assert not (tmp_path / "empty").exists()


# --- a bad network ---


@pytest.mark.parametrize("wrong", ["before", "after", "half"])
@pytest.mark.parametrize("lasting", [False, True])
def test_sending_may_fail_anywhere_and_goes_on_later(
    wrong: str, lasting: bool, host: Callable[[str], Host], remote: Path
) -> None:
    jobs = family()
    with planned(lambda *_: "") as calls:
        whole = host("whole")
        put(whole.cache, jobs["base"])
        put(whole.cache, jobs["sft"])
        whole.shelf.settle(jobs["sft"].key)
    wanted, total = sound(remote), len(calls)
    assert total > 10
    for at in range(total):
        here = remote.parent / f"{wrong}-{lasting}-{at}"
        one = Host(f"flaky://{here}", remote.parent / f"cache-{wrong}-{lasting}-{at}")
        put(one.cache, jobs["base"])
        put(one.cache, jobs["sft"])
        told = pytest.raises(RemoteError, match="tried 5 times") if lasting else contextlib.nullcontext()
        with planned(lambda number, *_, at=at: wrong if number == at or (lasting and number > at) else ""), told:  # type: ignore[misc]
            one.shelf.connect()
            one.shelf.settle(jobs["sft"].key)
        for key, files in sound(here).items():
            assert wanted[key] == files, "what is there is whole, whatever happened"
        one.shelf.connect()
        one.shelf.settle(jobs["sft"].key)
        assert sound(here) == wanted
        assert list(here.rglob("*.new")) == [], at


@pytest.mark.parametrize("wrong", ["before", "after", "half"])
@pytest.mark.parametrize("lasting", [False, True])
def test_fetching_may_fail_anywhere_and_goes_on_later(
    wrong: str, lasting: bool, host: Callable[[str], Host], tmp_path: Path
) -> None:
    one, made = host("one"), job("a")
    put(one.cache, made, "text " * 99)
    one.shelf.settle(made.key)
    with planned(lambda *_: "") as calls:
        host("whole").shelf.settle(made.key)
    for at in range(len(calls)):
        other = Host(one.shelf.url, tmp_path / f"{wrong}-{lasting}-{at}")
        told = pytest.raises(RemoteError, match="tried 5 times") if lasting else contextlib.nullcontext()
        with planned(lambda number, *_, at=at: wrong if number == at or (lasting and number > at) else ""), told:  # type: ignore[misc]
            other.shelf.connect()
            other.shelf.settle(made.key)
        assert lasting != other.cache.has(made.key)
        assert not (other.cache.root / "tmp").exists() or not list((other.cache.root / "tmp").iterdir())
        other.shelf.connect()
        other.shelf.settle(made.key)
        assert (other.cache.open(made.key) / "sub" / "text.txt").read_text() == "text " * 99


def test_what_is_damaged_on_the_way_is_fetched_again(
    host: Callable[[str], Host], remote: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other, made = host("one"), host("other"), job("a")
    put(one.cache, made)
    one.shelf.settle(made.key)
    fetch, spoilt = Flaky.get_file, []

    def flipped(self: Any, source: str, to: str, **kwargs: Any) -> None:
        fetch(self, source, to, **kwargs)
        if not spoilt:
            spoilt.append(source)
            content = bytearray(Path(to).read_bytes())
            content[0] ^= 1
            Path(to).write_bytes(content)

    monkeypatch.setattr(Flaky, "get_file", flipped)
    assert other.shelf.settle(made.key) == "fetched"
    assert len(spoilt) == 1
    assert not (remote / "quarantine").exists()


@pytest.mark.parametrize("what", ["flip", "cut", "gone", "manifest"])
def test_what_is_damaged_there_is_named_put_aside_and_made_again(
    what: str, host: Callable[[str], Host], remote: Path
) -> None:
    one, other, made = host("one"), host("other"), job("a")
    put(one.cache, made, "text")
    one.shelf.settle(made.key)
    (path,) = remote.glob("files/*/*/*/sub/text.txt")
    damage = {"flip": lambda: path.write_text("tExt"), "cut": lambda: path.write_text("te"), "gone": path.unlink}
    if what == "manifest":
        (remote / "manifests" / f"{made.key}.json").write_text("{}")
    else:
        damage[what]()
    with pytest.raises(DamagedError) as raised:
        other.shelf.settle(made.key)
    named = {
        "flip": "sub/text.txt has another digest than when it was stored", "gone": "sub/text.txt is missing",
        "cut": "sub/text.txt has 2 bytes instead of 4", "manifest": "manifest.json is not what was written",
    }[what]  # fmt: skip
    assert f"artifact {made.key[:12]} at flaky://{remote} is damaged: {named}; it was moved to quarantine/" in str(
        raised.value
    )
    assert not other.cache.has(made.key)
    assert not list((other.cache.root / "tmp").glob("*"))
    assert made.key not in other.shelf.listing
    (note,) = (remote / "quarantine").glob("*.txt")
    assert note.read_text() == f"{named}\n"
    put(other.cache, made, "text")
    assert other.shelf.settle(made.key) == "sent"
    assert sound(remote)[made.key]["sub/text.txt"] == b"text"


# --- two writers ---


def test_the_second_of_two_with_equal_bytes_has_the_same_artifact(host: Callable[[str], Host], remote: Path) -> None:
    one, other, made = host("one"), host("other"), job("a")
    put(one.cache, made, made={"host": "one"})
    put(other.cache, made, made={"host": "other"})
    assert one.shelf.settle(made.key) == "sent"
    assert other.shelf.settle(made.key) == "same"
    assert json.loads((remote / "manifests" / f"{made.key}.json").read_bytes())["made"] == {"host": "one"}
    assert other.cache.quarantined() == set()


def test_the_second_of_two_with_other_bytes_takes_the_firsts(host: Callable[[str], Host], remote: Path) -> None:
    one, other, made = host("one"), host("other"), job("a")
    put(one.cache, made, "first", made={"host": "one"})
    put(other.cache, made, "second", made={"host": "other"})
    assert one.shelf.settle(made.key) == "sent"
    assert other.shelf.settle(made.key) == "replaced"
    assert (other.cache.open(made.key) / "sub" / "text.txt").read_text() == "first"
    (note,) = other.shelf.traffic.notes
    assert note.startswith(f"a ({made.key[:12]}): one was first to share it, with other bytes, at flaky://{remote}")
    assert other.cache.quarantined() == {made.key}
    (kept,) = (other.cache.root / "quarantine").glob("*/sub/text.txt")
    assert kept.read_text() == "second"
    assert sound(remote)[made.key]["sub/text.txt"] == b"first"


def test_the_files_of_a_race_never_mix(
    host: Callable[[str], Host], remote: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have sent all their files before either creates the manifest."""
    hosts, made, barrier = [host("one"), host("other")], job("a"), threading.Barrier(2)
    for each, text in zip(hosts, ("one", "other"), strict=True):
        put(each.cache, made, text)
    create = files_module.Files.create

    def together(self: Any, path: str, data: bytes) -> Any:
        if path.startswith("manifests/"):
            barrier.wait(30)
        return create(self, path, data)

    monkeypatch.setattr(files_module.Files, "create", together)
    outcomes: dict[int, str] = {}
    threads = [
        threading.Thread(target=lambda at=at: outcomes.update({at: hosts[at].shelf.settle(made.key)}))  # type: ignore[misc]
        for at in (0, 1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(outcomes.values()) == ["replaced", "sent"]
    (winner,) = [at for at, outcome in outcomes.items() if outcome == "sent"]
    text = ("one", "other")[winner].encode()
    assert sound(remote)[made.key]["sub/text.txt"] == text
    for each in hosts:
        assert (each.cache.open(made.key) / "sub" / "text.txt").read_bytes() == text
    assert len(list((remote / "files" / made.key[:2] / made.key).rglob("text.txt"))) == 1, "the loser's files are gone"


def test_what_was_made_from_bytes_that_lost_is_made_again(host: Callable[[str], Host], remote: Path) -> None:
    one, other, jobs = host("one"), host("other"), family()
    put(one.cache, jobs["base"], "first")
    one.shelf.settle(jobs["base"].key)
    put(other.cache, jobs["base"], "second")
    other.cache.open(jobs["base"].key)
    put(other.cache, jobs["sft"], "from the second")
    assert other.cache.manifest(jobs["sft"].key).made["inputs"] == {
        jobs["base"].key: other.cache.manifest(jobs["base"].key).content
    }
    with pytest.raises(StaleError, match=r"stage\[C1.sft\] is made again: it was made from other bytes of"):
        other.shelf.settle(jobs["sft"].key)
    assert not other.cache.has(jobs["sft"].key)
    assert (other.cache.open(jobs["base"].key) / "sub" / "text.txt").read_text() == "first"
    put(other.cache, jobs["sft"], "from the first")
    assert other.shelf.settle(jobs["sft"].key) == "sent"
    assert set(sound(remote)) == {jobs["base"].key, jobs["sft"].key}


def test_a_folder_of_ones_own_keeps_what_it_has(host: Callable[[str], Host], tmp_path: Path) -> None:
    one, other, jobs = host("one"), host("other"), family()
    put(one.cache, jobs["base"], "first")
    one.shelf.settle(jobs["base"].key)
    put(other.cache, jobs["base"], "second")
    other.cache.open(jobs["base"].key)
    put(other.cache, jobs["sft"])
    other.shelf.yields = False
    assert other.shelf.settle(jobs["base"].key) == "differs"
    with pytest.raises(StaleError, match=r"stage\[C1.sft\] stays here: it was made from other bytes"):
        other.shelf.settle(jobs["sft"].key)
    assert (other.cache.open(jobs["base"].key) / "sub" / "text.txt").read_text() == "second"
    assert other.cache.has(jobs["sft"].key)
    assert other.cache.quarantined() == set()
