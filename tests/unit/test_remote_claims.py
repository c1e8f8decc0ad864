"""Claims across machines: who is at work on what, and what becomes of it when they die."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from flaky import planned

from harness.core.remote import claims as claims_module
from harness.core.remote import files as files_module
from harness.core.remote.claims import DEAD_S, Claims
from harness.core.remote.files import Files, RemoteError

KEY = "ab" * 32
REPO = Path(__file__).parents[2]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Claims]]:
    monkeypatch.setattr(files_module, "PAUSE", 1e-4)
    claims = {name: Claims(Files(f"flaky://{tmp_path}/bucket"), tmp_path / name) for name in ("one", "other")}
    yield claims
    for each in claims.values():
        each.close()


def test_the_second_is_told_who_was_first(made: dict[str, Claims]) -> None:
    assert made["one"].take(KEY, "train C1") is None
    assert made["one"].take(KEY, "train C1") is None, "one's own claim is one's own"
    holder = made["other"].take(KEY, "train C1")
    assert holder is not None
    assert (holder.pid, holder.host, holder.label) == (os.getpid(), socket.gethostname(), "train C1")
    assert str(holder).startswith(f"pid {os.getpid()} on {socket.gethostname()} since 20")
    made["one"].release(KEY)
    assert made["other"].take(KEY, "train C1") is None
    made["one"].release(KEY)  # which is not its own any more
    assert made["one"].take(KEY, "train C1") is not None


def test_closing_gives_everything_back(made: dict[str, Claims], tmp_path: Path) -> None:
    for key in (KEY, "cd" * 32):
        made["one"].take(key, "x")
    made["one"].close()
    assert [path for path in (tmp_path / "bucket").rglob("*") if path.is_file()] == []
    assert list((tmp_path / "one" / "remote" / "owners").iterdir()) == []


def test_an_owner_that_falls_silent_counts_as_dead(made: dict[str, Claims], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(claims_module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    one, other = made["one"], made["other"]
    one.take(KEY, "x")
    for count in range(1, 9):  # as long as it gives signs of life, however old its claim is
        one._beat(count)
        assert other.take(KEY, "x") is not None
        clock.now += DEAD_S - 1
        assert other.take(KEY, "x") is not None
    clock.now += 2
    assert other.take(KEY, "x") is None
    one.release(KEY)
    assert other.files.read(f"claims/{KEY}.json") is not None, "the dead does not take it from the living"


def test_an_owner_without_a_sign_of_life_is_dead(made: dict[str, Claims]) -> None:
    made["one"].take(KEY, "x")
    made["one"]._ended.set()
    made["one"].files.remove(f"owners/{made['one'].owner}")
    assert made["other"].take(KEY, "x") is None


def test_a_claim_that_cannot_be_read_is_nobodys(made: dict[str, Claims]) -> None:
    made["one"].files.write(f"claims/{KEY}.json", b"{")
    assert made["other"].take(KEY, "x") is None


def test_processes_with_one_cache_see_a_death_at_once(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from harness.core.remote.claims import Claims\n"
        "from harness.core.remote.files import Files\n"
        f"claims = Claims(Files('file://{tmp_path}/bucket'), Path('{tmp_path}/cache'))\n"
        f"print(claims.take('{KEY}', 'x'), flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code]
    other = Claims(Files(f"file://{tmp_path}/bucket"), tmp_path / "cache")
    with subprocess.Popen(command, cwd=REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as dying:
        assert dying.stdout is not None
        assert dying.stdout.readline() == "None\n"
        holder = other.take(KEY, "x")
        assert holder is not None
        assert holder.pid == dying.pid
        dying.kill()
    assert other.take(KEY, "x") is None
    other.close()


def test_claims_need_the_network(made: dict[str, Claims]) -> None:
    with planned(lambda *_: "before"), pytest.raises(RemoteError, match="tried 5 times"):
        made["one"].take(KEY, "x")


@pytest.mark.parametrize("owner", ["", "../manifests/x", 3])
def test_the_owner_of_a_claim_is_no_path(owner: object, made: dict[str, Claims]) -> None:
    note = {"owner": owner, "pid": 1, "host": "h", "since": "", "label": "x"}
    made["one"].files.write(f"claims/{KEY}.json", json.dumps(note).encode())
    assert made["other"].take(KEY, "x") is None


@pytest.mark.parametrize("wrong", ["before", "after", "half"])
def test_a_claim_is_taken_through_a_bad_network(wrong: str, made: dict[str, Claims]) -> None:
    made["other"].take("cd" * 32, "x")
    with planned(lambda number, *_: wrong if number % 3 == 0 else ""):
        assert made["one"].take(KEY, "x") is None
    assert made["other"].take(KEY, "x") is not None
