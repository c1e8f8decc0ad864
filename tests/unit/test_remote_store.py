"""The store on a URL, as an executor and the readers of artifacts see it."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flaky import planned, sound
from shelves import job, put

from harness.contracts.records import Job
from harness.core import places
from harness.core.errors import PreregError
from harness.core.places import cache_folder, open_store, open_url, place, refusal
from harness.core.remote import exchange as exchange_module
from harness.core.remote import files as files_module
from harness.core.remote import store as store_module
from harness.core.remote.files import RemoteError
from harness.core.remote.store import RemoteStore
from harness.core.store import DamagedError, MissingError, Store
from harness.execute.children import Options
from harness.execute.executor import Event, Executor

TOYS = Path(__file__).parents[1] / "toys"


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "PAUSE", 1e-4)


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return tmp_path / "bucket"


@pytest.fixture
def host(tmp_path: Path, remote: Path) -> Callable[[str], RemoteStore]:
    return lambda name: RemoteStore(f"flaky://{remote}", tmp_path / name)


def shared(store: RemoteStore, *jobs: Job, text: str = "") -> None:
    store.connect()
    for each in jobs:
        put(store.cache, each, text)
        store.shelf.settle(each.key)


# --- places ---


def test_a_folder_is_a_store_as_ever(tmp_path: Path) -> None:
    store = open_store(tmp_path / "s")
    assert type(store) is Store
    assert store.where == str(tmp_path / "s")
    assert place("a/b") == Path("a/b")
    assert place(Path("a")) == Path("a")
    assert place("s3://bucket/a//b") == "s3://bucket/a//b"


def test_each_url_has_a_cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(places.CACHE, str(tmp_path))
    store = open_store("s3://bucket/prefix/")
    assert isinstance(store, RemoteStore)
    assert store.where == "s3://bucket/prefix"
    assert store.root == tmp_path / cache_folder("s3://bucket/prefix").name
    assert store.root.name.startswith("s3-bucket-prefix-")
    assert cache_folder("s3://bucket/prefix").name != cache_folder("s3://bucket-prefix").name
    assert list(tmp_path.iterdir()) == [], "opening touches nothing"
    monkeypatch.delenv(places.CACHE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder("s3://b").parent == tmp_path / "xdg" / "prereg"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://key:hidden@bucket/x", "s3://…@bucket/x: the store's URL holds a password; expected a URL without one. "
         "Give credentials through the usual environment (AWS_PROFILE, AWS_ACCESS_KEY_ID and its like)"),
        ("s3://bucket/x?sig=hidden", "s3://bucket/x: the store's URL goes on with '?' or '#'; expected "
         "protocol://bucket/prefix"),
        ("s3://", "s3://: the store's URL names no bucket and no folder; expected protocol://bucket/prefix"),
        ("s3://[x/y", "the store's URL cannot be read: Invalid IPv6 URL; expected protocol://bucket/prefix"),
    ],
)  # fmt: skip
def test_a_url_that_cannot_name_a_store_is_refused(url: str, said: str) -> None:
    assert str(refusal(url)) == said
    assert "hidden" not in said
    with pytest.raises(PreregError, match="the store's URL"):
        open_store(url)
    assert refusal("abfs://container@account.dfs.core.windows.net/x") is None


def test_a_folder_is_no_url() -> None:
    with pytest.raises(PreregError, match=r"'some/folder' is no URL; expected protocol://bucket/prefix"):
        open_url("some/folder")


# --- reading ---


def test_whether_it_is_stored_is_known_without_the_network(host: Callable[[str], RemoteStore]) -> None:
    shared(host("one"), made := job("a"))
    with planned(lambda *_: "before") as calls:
        assert not host("other").has(made.key), "what was never asked is not known"
    host("other").connect()
    with planned(lambda *_: "before") as calls:
        later = host("other")
        assert later.has(made.key)
        assert not later.has("ab" * 32)
        assert later.quarantined() == set()
    assert calls == []


def test_it_is_asked_once_a_minute_at_most(host: Callable[[str], RemoteStore]) -> None:
    store = host("one")
    with planned(lambda *_: "") as calls:
        store.connect()
        asked = len(calls)
        store.connect()
        assert len(calls) == asked
        store.connect(fresh_s=0.0)
        assert len(calls) == asked + 2, "the marker and one listing"


def test_reading_brings_it_here(host: Callable[[str], RemoteStore]) -> None:
    shared(host("one"), made := job("a"), text="text")
    other = host("other")
    other.connect()
    assert not other.cache.has(made.key)
    assert (other.open(made.key) / "sub" / "text.txt").read_text() == "text"
    assert other.read_json(made.key, "facts.json") == {}
    with planned(lambda *_: "before"):
        assert (other.open(made.key) / "sub" / "text.txt").read_text() == "text"
    with pytest.raises(MissingError, match="is not in the store flaky://"):
        other.open("ab" * 32)


def test_a_manifest_or_one_file_can_be_read_without_the_rest(host: Callable[[str], RemoteStore]) -> None:
    shared(host("one"), made := job("a"), text="text")
    other = host("other")
    other.connect()
    assert other.peek(made.key).label == "a"
    with planned(lambda *_: "") as calls:
        assert other.read_file(made.key, "sub/text.txt") == b"text"
        assert other.read_file(made.key, "nothing") is None
        assert other.glance([made.key, "ab" * 32]) == {made.key: other.peek(made.key)}
    assert [name for name, _ in calls] == ["get_file"]
    assert not other.cache.has(made.key)
    assert not list((other.root / "tmp").iterdir())


def test_what_is_damaged_here_is_fetched_again(host: Callable[[str], RemoteStore]) -> None:
    store = host("one")
    shared(store, made := job("a"), text="text")
    (store.path(made.key) / "sub" / "text.txt").write_text("tExt")
    again = host("one")
    assert (again.open(made.key) / "sub" / "text.txt").read_text() == "text"
    assert again.quarantined() == {made.key}


def test_what_is_damaged_here_and_nowhere_else_is_told(host: Callable[[str], RemoteStore]) -> None:
    store = host("one")
    store.connect()
    put(store.cache, made := job("a"), "text")
    (store.path(made.key) / "sub" / "text.txt").write_text("tExt")
    with pytest.raises(DamagedError, match=r"sub/text.txt has another digest"):
        store.open(made.key)


def test_a_cache_where_locks_do_not_work_says_what_it_is(
    host: Callable[[str], RemoteStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(folder: Path) -> None:
        raise PreregError("file locks do not work on this file system")

    monkeypatch.setattr("harness.core.store.require_working_locks", broken)
    with pytest.raises(PreregError, match=r"this is the cache of flaky://.*; put it elsewhere with PREREG_CACHE"):
        host("one").connect()


# --- runs ---


class Run:
    """An executor on a machine of its own, with what it told."""

    def __init__(self, store: RemoteStore, jobs: dict[str, Job], folder: Path) -> None:
        self.events: list[Event] = []
        options = Options(entry="toy_jobs:run", cores=2, gpus=(), preload={"light": (), "model": ()})
        self.executor = Executor(jobs, store, folder.name, options, on_event=self.events.append)

    def told(self, what: str) -> list[str]:
        return [event.text for event in self.events if event.what == what]


@pytest.fixture
def begin(
    host: Callable[[str], RemoteStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Run]]:
    monkeypatch.syspath_prepend(TOYS)
    runs: list[Run] = []

    def begun(name: str, *jobs: Job) -> Run:
        runs.append(Run(host(name), {each.key: each for each in jobs}, tmp_path / f"run-{name}-{len(runs)}"))
        return runs[-1]

    yield begun
    for each in runs:
        each.executor.close()


def toys(count: Path, **last: Any) -> tuple[Job, Job, Job]:
    from toy_jobs import toy

    a = toy("a", count=str(count))
    b = toy("b", {"base": a}, count=str(count))
    return a, b, toy("c", {"left": a, "right": b}, count=str(count), **last)


def test_a_run_shares_what_it_makes_and_the_next_machine_fetches_it(
    begin: Callable[..., Run], remote: Path, tmp_path: Path
) -> None:
    jobs = toys(tmp_path / "count")
    begin("one", *jobs).executor.obtain([jobs[2].key])
    assert set(sound(remote)) == {each.key for each in jobs}
    other = begin("other", *jobs)
    other.executor.obtain([jobs[2].key])
    assert (tmp_path / "count").read_text().split() == ["a", "b", "c"]
    assert other.executor.store.open(jobs[2].key)
    assert other.events == []
    assert list((remote / "claims").iterdir()) == []


def test_two_machines_make_each_job_once(begin: Callable[..., Run], remote: Path, tmp_path: Path) -> None:
    from toy_jobs import toy

    jobs = [toy(f"job{number}", count=str(tmp_path / "count")) for number in range(8)]
    runs = [begin(name, *jobs) for name in ("one", "other")]
    threads = [
        threading.Thread(target=lambda run=run: run.executor.obtain([each.key for each in jobs]))  # type: ignore[misc]
        for run in runs
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert sorted((tmp_path / "count").read_text().split()) == sorted(each.label for each in jobs)
    assert len(sound(remote)) == 8
    for run in runs:
        assert all(run.executor.store.cache.has(each.key) for each in jobs)  # type: ignore[attr-defined]


def test_who_waits_is_told_for_whom(begin: Callable[..., Run], tmp_path: Path) -> None:
    from toy_jobs import toy

    slow = toy("slow", until=str(tmp_path / "go"))
    one, other = begin("one", slow), begin("other", slow)
    first = threading.Thread(target=lambda: one.executor.obtain([slow.key]))
    first.start()
    while not one.told("started"):
        pass
    second = threading.Thread(target=lambda: other.executor.obtain([slow.key]))
    second.start()
    while not other.told("waiting"):
        pass
    (tmp_path / "go").touch()
    first.join(60)
    second.join(60)
    (text,) = other.told("waiting")
    assert text.startswith(f"held by pid {os.getpid()} on {socket.gethostname()} since 20")
    assert other.told("started") == []
    assert other.told("finished") == ["made by another process"]


def test_when_the_url_stays_away_obtaining_says_so_and_later_goes_on(
    begin: Callable[..., Run], remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = toys(tmp_path / "count")
    run = begin("one", *jobs)
    run.executor.obtain([jobs[0].key])
    with planned(lambda *_: "before") as calls:
        with pytest.raises(RemoteError, match=r"cannot .* \(tried 5 times"):
            run.executor.obtain([jobs[2].key])
        asked = len(calls)
        with pytest.raises(RemoteError, match=r"cannot .* \(tried 5 times"):
            run.executor.obtain([jobs[1].key])
        assert len(calls) == asked, "who asks next is told the same at once"
    monkeypatch.setattr(exchange_module, "SILENCE_S", 0.0)
    run.executor.obtain([jobs[2].key])
    assert (tmp_path / "count").read_text().split() == ["a", "b", "c"]
    assert set(sound(remote)) == {each.key for each in jobs}


def test_a_url_that_cannot_be_reached_is_not_asked_again_at_once(
    host: Callable[[str], RemoteStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by a run on S3 that seemed to hang: each item looked for the store anew, and each waited for time-outs."""
    store = host("one")
    store.connect()
    with planned(lambda *_: "before") as calls:
        with pytest.raises(RemoteError, match="tried 5 times"):
            store.connect(fresh_s=0.0)
        asked = len(calls)
        with pytest.raises(RemoteError, match="tried 5 times"):
            store.connect(fresh_s=0.0)
        assert len(calls) == asked > 0
    monkeypatch.setattr(store_module, "SILENCE_S", 0.0)
    store.connect(fresh_s=0.0)


def test_an_error_of_one_item_leaves_the_slots_to_the_next(
    begin: Callable[..., Run], remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by a run on S3 that hung: jobs whose admission had failed kept their slots."""
    from toy_jobs import toy

    jobs = [toy(f"job{number}", count=str(tmp_path / "count")) for number in range(6)]
    run = begin("one", *jobs)
    run.executor.obtain([jobs[0].key])
    with planned(lambda *_: "before"), pytest.raises(RemoteError):
        run.executor.obtain([jobs[1].key, jobs[2].key, jobs[3].key])
    monkeypatch.setattr(exchange_module, "SILENCE_S", 0.0)
    run.executor.obtain([jobs[4].key, jobs[5].key])
    assert sorted((tmp_path / "count").read_text().split()) == ["job0", "job4", "job5"]
    assert set(sound(remote)) == {jobs[number].key for number in (0, 4, 5)}


def test_what_could_not_be_shared_is_told_and_shared_by_the_next_run(
    begin: Callable[..., Run], remote: Path, tmp_path: Path
) -> None:
    jobs = toys(tmp_path / "count")
    run = begin("one", *jobs)
    with planned(lambda number, name, path: "before" if "/files/" in path else ""):
        with pytest.raises(RemoteError, match="cannot upload files/"):
            run.executor.obtain([jobs[0].key])
        run.executor.close(0.0)
    (note,) = run.told("note")
    assert note == (
        f"1 finished artifacts are not at flaky://{remote} yet; the next run that needs them shares them, "
        "or now: prereg store push"
    )
    assert sound(remote) == {}
    begin("one", *jobs).executor.obtain([jobs[2].key])
    assert (tmp_path / "count").read_text().split() == ["a", "b", "c"]
    assert set(sound(remote)) == {each.key for each in jobs}


def test_whoever_loses_makes_again_what_stood_on_it(
    begin: Callable[..., Run], host: Callable[[str], RemoteStore], remote: Path, tmp_path: Path
) -> None:
    """Another machine shares other bytes of the first job after this one has made it, without a claim."""
    jobs = toys(tmp_path / "count")
    run, other = begin("one", *jobs), host("other")
    other.connect()
    foreign = {"label": "foreign", "inputs": {}}

    def fill(folder: Path) -> None:
        (folder / "facts.json").write_text(json.dumps(foreign))

    other.cache.put(jobs[0], fill, {"host": "elsewhere"})
    create = files_module.Files.create

    def late(self: Any, path: str, data: bytes) -> bytes | None:
        if path == f"manifests/{jobs[0].key}.json" and b"elsewhere" not in data:
            other.shelf.settle(jobs[0].key)
        return create(self, path, data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files_module.Files, "create", late)
        run.executor.obtain([jobs[2].key])
    found = sound(remote)
    assert json.loads(found[jobs[0].key]["facts.json"]) == foreign
    for each in jobs[1:]:
        facts = json.loads(found[each.key]["facts.json"])
        assert "foreign" in facts["inputs"].values(), "what is shared was made from what is shared"
    store = run.executor.store
    assert json.loads((store.open(jobs[2].key) / "facts.json").read_bytes())["inputs"]["left"] == "foreign"


def test_damage_at_the_url_is_made_again(begin: Callable[..., Run], remote: Path, tmp_path: Path) -> None:
    jobs = toys(tmp_path / "count")
    begin("one", *jobs).executor.obtain([jobs[2].key])
    (path,) = remote.glob(f"files/*/{jobs[1].key}/*/facts.json")
    path.write_text("spoilt")
    (path,) = remote.glob(f"files/*/{jobs[2].key}/*/facts.json")
    path.write_text("spoilt")
    run = begin("other", *jobs)
    run.executor.obtain([jobs[2].key])
    assert (tmp_path / "count").read_text().split() == ["a", "b", "c", "b", "c"]
    assert all("is damaged: facts.json has" in text for text in run.told("damaged"))
    assert set(sound(remote)) == {each.key for each in jobs}
