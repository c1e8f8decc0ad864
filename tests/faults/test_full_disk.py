"""The disk is full at the n-th write to the store, for every n: one clear error, nothing corrupt, and it goes on.

A write is whatever opens a file for writing, makes a folder, moves something or flushes it to the disk, in any
process of the run. In the ordinary suite a few writes fail; by ``make faults`` each of a chain of jobs in turn, and
twenty of a whole rehearsal.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from toy_rehearsal import RIG, ROOT, SEED, THOROUGH, Life, Study, Undisturbed, wait_for

from harness.core.store import Store

TOYS = ROOT / "tests" / "toys"

CLEAR = "no space left on the disk of"


def fail_once(study: Study, expected: bytes, at: int, *, ever: bool) -> bool:
    """Fail a write of a first run, go on with a second; return whether the first one had such a write."""
    life = study.start(full=study.disk(at, ever=ever))
    status, said = life.end(), life.text
    reached = study.writes() >= at
    if status:
        assert reached, said
        assert CLEAR in said, f"write {at}: the error does not say that the disk is full\n{said}"
        assert "Traceback" not in said, f"write {at}\n{said}"
        assert "INTERNALERROR" not in said, f"write {at}\n{said}"
    else:
        assert not ever or not reached, f"write {at} and all that follow fail, and the run succeeds"
        study.check(expected)
    study.finish()
    study.check(expected)
    return reached


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("ever", [False, True], ids=["once", "from then on"])
def test_a_rehearsal_whose_disk_is_full_at_some_write(ever: bool, undisturbed: Undisturbed, tmp_path: Path) -> None:
    """The real plugin, kinds and report; writes drawn at random, because a rehearsal has some two thousand."""
    chance = random.Random(f"{SEED}/{ever}")
    for at in chance.sample(range(1, undisturbed.writes // 2), 20 if THOROUGH else 1):
        print(f"PREREG_FAULT_SEED={SEED} write {at} of about {undisturbed.writes}")
        fail_once(Study(tmp_path / "study", seconds=0.0), undisturbed.results, at, ever=ever)
        shutil.rmtree(tmp_path / "study")


class Chain:
    """Three jobs in a row on the executor alone, with few enough writes that each can fail in turn."""

    def __init__(self, folder: Path) -> None:
        from toy_jobs import plan, toy

        first = toy("first")
        middle = toy("middle", {"in": first})
        self.jobs = plan(first, middle, toy("last", {"in": middle}))
        self.folder, self.store = folder, folder / "store"
        folder.mkdir()
        (folder / "plan.json").write_text(
            json.dumps({key: job.model_dump(mode="json") for key, job in self.jobs.items()})
        )

    def run(self, **rig: Any) -> tuple[int, str]:
        spec = {"plan": str(self.folder / "plan.json"), "store": str(self.store), "run": "run", "cores": 1}
        spec |= {"keys": list(self.jobs)[-1:], "run": f"run{len(rig)}"}
        path = os.pathsep.join(map(str, (RIG, ROOT, TOYS)))
        done = subprocess.run(
            [sys.executable, str(TOYS / "toy_jobs.py"), json.dumps(spec)],
            env={**os.environ, "PYTHONPATH": path, "PREREG_RIG": json.dumps(rig)}, capture_output=True, text=True,
            check=False, timeout=300,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def check(self) -> None:
        store = Store(self.store)
        for key, job in self.jobs.items():
            assert store.read_json(key, "facts.json")["label"] == job.label
        assert list((self.store / "tmp").iterdir()) == []
        assert not (self.store / "quarantine").exists()


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("ever", [False, True], ids=["once", "from then on"])
def test_the_disk_is_full_at_the_nth_write(ever: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thoroughly: for each n, until a run has no n-th write."""
    monkeypatch.syspath_prepend(TOYS)
    chance = random.Random(f"{SEED}/chain/{ever}")
    for at in itertools.count(1) if THOROUGH else chance.sample(range(1, 60), 2):
        chain, count = Chain(tmp_path / f"at{at}"), tmp_path / f"writes{at}"
        status, said = chain.run(full={"store": str(chain.store), "count": str(count), "at": at, "ever": ever})
        reached = count.stat().st_size >= at
        if status:
            assert reached, said
            assert CLEAR in said, f"write {at}\n{said}"
        else:
            chain.check()  # also where all writes from here on fail: only notes are left then, and everything is stored
        status, said = chain.run()
        assert status == 0, said
        chain.check()
        if not reached:
            assert at > 30, "there are more writes than that"
            break


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own in memory, where this process may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    if not mount(place):
        pytest.skip("no permission to mount a file system here (it takes root): a really full disk is not tested")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def mount(place: Path) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", "size=512m", "tmpfs", str(place)]
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.timeout(900)
@pytest.mark.parametrize("share", [0.02, 0.1, 0.4, 0.7] if THOROUGH else [0.3])
def test_a_disk_that_is_really_full(share: float, undisturbed: Undisturbed, small_disk: Path, tmp_path: Path) -> None:
    """Preflight finds space enough, and then somebody else fills the disk."""
    study = Study(tmp_path / "study", seconds=0.2)
    study.store = small_disk / "store"
    life = study.start()
    wait_for("the first job", study.said)
    ballast = small_disk / "ballast"
    with halted(life), ballast.open("wb") as handle:
        state = os.statvfs(small_disk)
        rest = undisturbed.bytes - (state.f_blocks - state.f_bavail) * state.f_frsize
        assert rest > 0, "nothing is left to be written"
        os.posix_fallocate(handle.fileno(), 0, max(state.f_bavail * state.f_frsize - int(rest * share), 1))
    assert life.end() != 0, "the rest does not fit"
    assert CLEAR in life.text, life.text
    assert "Traceback" not in life.text, life.text
    ballast.unlink()
    study.finish()
    study.check(undisturbed.results)


@contextlib.contextmanager
def halted(life: Life) -> Iterator[None]:
    """Let every process of a run stand still: nothing is written between a look at the disk and what follows of it."""
    there = [pid for pids in life.look().values() for pid in pids]
    for pid in there:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in there:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
