"""Files at a URL: tried several times, created once, and refused where that cannot be had."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from flaky import planned
from fsspec.implementations.memory import MemoryFileSystem

from harness.core.remote import files as files_module
from harness.core.remote import protocols
from harness.core.remote.files import ATTEMPTS, Files, RemoteError, StoppedError

REPO = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "PAUSE", 1e-4)


@pytest.fixture
def remote(tmp_path: Path) -> Files:
    return Files(f"flaky://{tmp_path}/bucket")


def test_what_fails_is_tried_again(remote: Files) -> None:
    remote.write("a/b", b"here")
    with planned(lambda number, *_: "before" if number < ATTEMPTS - 1 else "") as calls:
        assert remote.read("a/b") == b"here"
    assert [name for name, _ in calls] == ["cat_file"] * ATTEMPTS


def test_what_goes_on_failing_is_one_clear_error(remote: Files) -> None:
    with planned(lambda *_: "before") as calls, pytest.raises(RemoteError) as raised:
        remote.read("a/b")
    assert len(calls) == ATTEMPTS
    assert str(raised.value) == (
        f"{remote.url}: cannot read a/b (tried 5 times in 0 s): Dropped: connection refused. Check the network, the "
        "URL and the credentials, and run the same command again: finished jobs are kept in the local cache and "
        "shared then (or now: prereg store push)"
    )


def test_what_is_not_allowed_is_tried_once(remote: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def denied(path: str, start: int) -> bytes:
        tried.append(path)
        raise PermissionError("Access Denied")

    monkeypatch.setattr(remote._fs, "cat_file", denied)
    with pytest.raises(RemoteError, match=r"cannot read x \(tried once\): PermissionError: Access Denied"):
        remote.read("x")
    assert len(tried) == 1


def test_nothing_is_tried_again_when_the_process_ends(remote: Files) -> None:
    remote.stopping.set()
    with planned(lambda *_: "before") as calls, pytest.raises(StoppedError, match="stopped before x could be tried"):
        remote.read("x")
    assert len(calls) == 1


def test_what_is_not_there_is_an_answer(remote: Files, tmp_path: Path) -> None:
    with planned(lambda *_: "") as calls:
        assert remote.read("x") is None
        assert remote.sizes("x") == {}
        assert remote.names("x") == []
        assert not remote.download("x", tmp_path / "x")
        remote.remove("x")
        remote.move("x", "y")
    assert len([name for name, _ in calls if name != "ls"]) == 3


def test_a_file_is_created_once(remote: Files, tmp_path: Path) -> None:
    assert remote.create("m/k", b"first") is None
    assert remote.create("m/k", b"second") == b"first"
    assert remote.create("m/k", b"first") is None, "one's own bytes are one's own"
    assert remote.names("m") == ["k"]
    assert remote.read("m/k") == b"first"


def test_of_many_who_create_a_file_at_once_one_does(remote: Files) -> None:
    barrier, answers = threading.Barrier(16), {}

    def create(number: int) -> None:
        barrier.wait()
        answers[number] = remote.create("m/k", b"%d" % number)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [number for number, there in answers.items() if there is None]
    assert {there for there in answers.values() if there is not None} == {b"%d" % winner}
    assert remote.read("m/k") == b"%d" % winner


def test_what_is_gone_again_before_it_is_looked_at_is_created(remote: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by two machines on S3: a claim was given back between the attempt to take it and the look at it."""
    remote.write("m/k", b"theirs")
    read = Files._cat

    def late(self: Files, path: str) -> bytes:
        self._fs.rm_file(self._at(path))
        return read(self, path)

    monkeypatch.setattr(Files, "_cat", late)
    assert remote.create("m/k", b"mine") is None


@pytest.mark.parametrize("wrong", ["before", "after", "half"])
def test_a_lost_answer_makes_nobody_else_of_us(wrong: str, remote: Files) -> None:
    with planned(lambda number, *_: wrong if number == 0 else ""):
        assert remote.create("m/k", b"mine") is None
    assert remote.read("m/k") == b"mine"
    assert remote.names("m") == ["k"]


@pytest.mark.parametrize("wrong", ["before", "after", "half"])
def test_an_upload_that_was_cut_short_is_repeated(wrong: str, remote: Files, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(bytes(range(256)) * 9)
    with planned(lambda number, *_: wrong if number == 0 else ""):
        remote.upload(tmp_path / "source", "f/x")
    assert remote.read("f/x") == bytes(range(256)) * 9
    assert remote.names("f") == ["x"]


def test_sizes_are_those_of_all_files_below(remote: Files) -> None:
    remote.write("f/x", b"who")
    remote.write("f/sub/y", b"whole")
    remote.write("fx", b"another")
    assert remote.sizes("f") == {"x": 3, "sub/y": 5}
    assert remote.sizes("nothing") == {}


def test_a_full_disk_is_not_taken_for_the_network(remote: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(remote._fs, "get_file", full)
    with pytest.raises(OSError, match="No space left"):
        remote.download("x", Path("x"))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("memory://bucket", "memory:// cannot write a file only if there is none yet"),
        ("nothing://bucket", "Protocol not known: nothing. Use s3://, gs://, az:// or file://"),
    ],
)
def test_protocols_without_conditional_writes_are_refused(url: str, said: str) -> None:
    with pytest.raises(RemoteError) as raised:
        Files(url).read("x")
    assert f"{url}: {said}" in str(raised.value)


@pytest.mark.parametrize(
    ("protocol", "client", "install"), [("s3", "s3fs", "'pytest-prereg[s3]'"), ("gs", "gcsfs", "gcsfs")]
)
def test_a_client_that_is_not_installed_is_named(protocol: str, client: str, install: str) -> None:
    code = (
        f"import sys; sys.modules['{client}'] = None\n"
        f"from harness.core.remote.files import Files; Files('{protocol}://bucket/x').read('y')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=False)
    last = done.stderr.splitlines()[-1]
    assert f"{protocol}://bucket/x: nothing is installed for {protocol}:// (" in last
    assert last.endswith(f"Install it: pip install {install}")


def test_a_server_that_ignores_the_condition_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    careless = MemoryFileSystem.pipe_file
    monkeypatch.setattr(MemoryFileSystem, "pipe_file", lambda self, path, value, mode="": careless(self, path, value))
    monkeypatch.setattr(protocols, "EXCLUSIVE", ("memory",))
    with pytest.raises(RemoteError, match="the server wrote over a file that was to be created only if there was none"):
        Files("memory://careless").require_exclusive()


def test_a_server_that_heeds_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocols, "EXCLUSIVE", ("memory",))
    Files("memory://careful").require_exclusive()
    assert Files("memory://careful").names("") == []
