"""What the Ray executor decides without Ray: addresses, refusals, and whether a node can run a job of this run."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.monkeypatch import MonkeyPatch

from harness.core.scratch import prefix_of
from harness.core.store import Store
from harness.execute.child import SAVED
from harness.execute.ray import alike, connect, seat
from harness.execute.ray.seat import Brief, Place, Report, Seat

TOYS = Path(__file__).parents[1] / "toys"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def has_ray(monkeypatch: MonkeyPatch, tmp_path: Path) -> None:
    """Make believe that Ray is installed and that no cluster runs here."""
    found = importlib.util.find_spec("json")
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: found if name == "ray" else real(name, *rest))
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.fixture
def server() -> Iterator[tuple[str, list[bytes]]]:
    """A server on 127.0.0.1 that answers with what is in the list, or not at all, and its address."""
    answers: list[bytes] = []
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()

        def serve() -> None:
            while True:
                try:
                    line, _ = listening.accept()
                except OSError:
                    return
                with line:
                    line.recv(100)
                    if answers:
                        line.sendall(answers[0])
                    else:
                        time.sleep(1)

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{listening.getsockname()[1]}", answers
        listening.shutdown(socket.SHUT_RDWR)


SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"


def test_only_what_speaks_as_grpc_does_counts_as_an_answer(server: tuple[str, list[bytes]]) -> None:
    address, answers = server
    assert connect.silence(address, patience=0.2) == "nothing in 0.2 s"
    answers.append(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert connect.silence(address) == "something else does"
    answers[0] = SETTINGS
    assert connect.silence(address) == ""


def test_no_host_and_port_is_said(has_ray: None) -> None:
    for wrong in ("head", "head:", "10.0.0.1:port", ":6379"):
        assert connect.silence(wrong) == "this is no HOST:PORT"
    told = str(connect.fault("head"))
    assert told.startswith("no Ray cluster answers at head (this is no HOST:PORT); expected HOST:PORT as ray start")


def test_a_closed_port_is_an_error_with_the_remedy(has_ray: None, monkeypatch: MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    monkeypatch.setenv("RAY_ADDRESS", address)
    told = str(connect.fault(""))
    assert f"no Ray cluster answers at {address} (" in told
    assert "Check --ray-address and RAY_ADDRESS" in told


def test_without_the_package_the_extra_is_named(monkeypatch: MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None)
    told = str(connect.fault("10.0.0.1:6379"))
    assert told == "--executor ray needs the package 'ray'. Run: pip install 'pytest-prereg[ray]'"


def test_ray_client_is_refused(has_ray: None) -> None:
    assert "run pytest on a node of the cluster" in str(connect.fault("ray://head:10001")).lower()


def test_no_address_finds_the_cluster_that_runs_here(
    has_ray: None, server: tuple[str, list[bytes]], tmp_path: Path
) -> None:
    address, answers = server
    answers.append(SETTINGS)
    assert connect.wanted("") == ""
    assert connect.fault("") is None, "one is started"
    assert "no Ray cluster runs on this machine" in str(connect.fault("auto"))
    assert "leave out -n" in str(connect.fault("", several=True))
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text(address)
    assert connect.wanted("") == connect.wanted("auto") == address
    assert connect.fault("", several=True) is None
    answers[0] = b"gone"
    assert connect.wanted("") == "", "a note of a cluster that is gone counts for nothing"


# --- a seat -----------------------------------------------------------------------------------------


@pytest.fixture
def brief(tmp_path: Path, monkeypatch: MonkeyPatch) -> Brief:
    """What a seat is told about a run whose store it shares."""
    monkeypatch.setattr(seat, "_node", lambda: "node-7")
    monkeypatch.syspath_prepend(TOYS)
    store = Store(tmp_path / "store")
    store.prepare()
    store.progress("run").mkdir()
    return Brief(str(store.root), "run", "toy_jobs:run", "cpu", {}, {"light": ()}, True, alike.describe())


@pytest.fixture
def here() -> Iterator[Seat]:
    each = Seat()
    yield each
    each.close(0.0)


def heard(each: Seat) -> list[Report]:
    """Return the reports of a seat's job to its end."""

    async def listen() -> list[Report]:
        found = [await each.news()]
        while not any(told.what == "ended" for told in found[-1].told):
            found.append(await each.news())
        return found

    return asyncio.run(listen())


def test_a_seat_runs_jobs_in_children_of_its_own(brief: Brief, here: Seat) -> None:
    from toy_jobs import toy

    assert here.open(brief) == Place(socket.gethostname(), "node-7")
    job = toy("one", progress=0.5, parent=True)
    here.start(job.model_dump(mode="json"))
    said = heard(here)
    assert [told.what for report in said for told in report.told] == ["started", "ended"]
    store = Store(brief.store)
    made = store.manifest(job.key).made
    assert made["ray_node"] == "node-7"
    assert made["pid"] != os.getpid() != store.read_json(job.key, "facts.json")["parent"]
    assert not store.log("run", job.key).exists(), "what concerns the run goes through the driver"


def test_a_failure_and_its_log_are_told(brief: Brief, here: Seat) -> None:
    from toy_jobs import toy

    here.open(brief)
    here.start(toy("bad", fail="no such layer").model_dump(mode="json"))
    said = heard(here)
    assert said[-1].failure == "ValueError: no such layer"
    assert b"about to fail\n" in b"".join(report.log for report in said)
    assert not Store(brief.store).failed("run")


def test_what_is_asked_to_end_before_it_starts_never_starts(brief: Brief, here: Seat) -> None:
    from toy_jobs import toy

    here.open(brief)
    job = toy("one")
    here.start(job.model_dump(mode="json"))
    here.ask()
    (report,) = heard(here)
    assert [told.status for told in report.told] == [SAVED]
    assert not Store(brief.store).has(job.key)


def test_a_node_that_does_not_share_the_store_says_so(brief: Brief, here: Seat, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    place = here.open(Brief(**{**vars(brief), "store": str(elsewhere)}))
    assert f"does not see the store {elsewhere} as this process does" in place.fault
    assert "--store or PREREG_STORE" in place.fault
    assert not elsewhere.exists()


def test_a_store_of_the_same_name_on_another_disk_is_found_out(
    brief: Brief, here: Seat, monkeypatch: MonkeyPatch
) -> None:
    monkeypatch.setattr(seat, "VISIBLE", 0.3)
    assert "does not see the store" in here.open(Brief(**{**vars(brief), "run": "another"})).fault


def test_a_node_with_other_code_is_refused(brief: Brief, here: Seat) -> None:
    theirs = {**brief.code, "torch": "1.0", "pytest-prereg": "0123456789ab"}
    fault = here.open(Brief(**{**vars(brief), "code": theirs})).fault
    ours = alike.describe()
    assert f"torch {ours['torch']} instead of 1.0" in fault
    assert f"pytest-prereg {ours['pytest-prereg']} instead of 0123456789ab" in fault


def test_the_desks_of_dead_seats_are_cleared_away(
    brief: Brief, here: Seat, monkeypatch: MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dead = tmp_path / f"{prefix_of('seat')}dead"
    dead.mkdir()
    (dead / "lock").touch()
    os.utime(dead / "lock", (0, 0))
    here.open(brief)
    assert not dead.exists()
    (desk,) = tmp_path.glob(f"{prefix_of('seat')}*")
    here.close(0.0)
    assert not desk.exists()


# --- nothing of it unless it is asked for ----------------------------------------------------------


def test_a_local_run_imports_nothing_of_ray(tmp_path: Path) -> None:
    sys.path.insert(0, str(TOYS.parent / "plugin"))
    import toy_preregs

    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    path = toy_preregs.write(tmp_path, "supported")
    code = (
        "import sys, json, pytest\n"
        f"status = pytest.main([{str(path)!r}, '-q', '-p', 'harness.plugin.hooks', '--no-figures'])\n"
        "names = [n for n in sys.modules if n.partition('.')[0] == 'ray' or n.startswith('harness.execute.ray')]\n"
        "print(json.dumps([int(status), names]))"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [0, []]
