"""Whatever is killed, whenever: the next run goes on, nothing is corrupt, nobody works on, nothing is made twice.

No test here depends on timing: jobs wait for files, tests wait for conditions, deadlines are generous.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.contracts.records import Job
from harness.core.store import Store
from harness.execute.children import Options
from harness.execute.executor import Event, Executor, JobFailedError

TOYS = Path(__file__).parents[1] / "toys"
ROOT = Path(__file__).parents[2]
LONG = 120.0


def wait_for(condition: Callable[[], Any], seconds: float = LONG) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return value


def dead(pid: int) -> bool:
    """Say whether a process is gone; a zombie that nobody has collected yet is."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except ProcessLookupError:
        return True
    except OSError:
        return False


class Scene:
    """A store, a plan of toy jobs, and processes that obtain it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = Store(root / "store")
        self.owners: list[subprocess.Popen[str]] = []
        self.executors: list[Executor] = []
        self.events: list[Event] = []

    def file(self, name: str) -> str:
        return str(self.root / name)

    def owner(
        self, keys: list[str], jobs: dict[str, Job], run: str = "run", fork: bool = True
    ) -> subprocess.Popen[str]:
        """Start a process of its own that obtains ``keys``."""
        plan = self.root / "plan.json"
        if not plan.exists():
            plan.write_text(json.dumps({key: job.model_dump(mode="json") for key, job in jobs.items()}))
        spec = {"plan": str(plan), "store": str(self.store.root), "run": run, "keys": keys, "cores": 2, "fork": fork}
        path = os.pathsep.join([str(ROOT), str(TOYS)])
        process = subprocess.Popen(
            [sys.executable, str(TOYS / "toy_jobs.py"), json.dumps(spec)],
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.owners.append(process)
        return process

    def executor(self, jobs: dict[str, Job], run: str = "run") -> Executor:
        options = Options(entry="toy_jobs:run", cores=2, gpus=(), preload={"light": ()})
        executor = Executor(jobs, self.store, run, options, on_event=self.events.append)
        self.executors.append(executor)
        return executor

    def note(self, name: str) -> dict[str, Any]:
        """Wait for the note that a job writes when it has begun."""
        path = self.root / name
        wait_for(path.exists)
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def counted(self) -> Counter[str]:
        path = self.root / "count"
        return Counter(path.read_text().split() if path.exists() else [])

    def verify(self, jobs: dict[str, Job]) -> None:
        """Check every artifact of the plan, and that nothing unfinished lies about."""
        fresh = Store(self.store.root)
        for key, job in jobs.items():
            assert fresh.read_json(key, "facts.json")["label"] == job.label
        fresh.prepare()
        assert list((self.store.root / "tmp").iterdir()) == []
        assert not (self.store.root / "quarantine").exists()


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.syspath_prepend(TOYS)
    scene = Scene(tmp_path)
    yield scene
    for executor in scene.executors:
        executor.close()
    for owner in scene.owners:
        owner.kill()
        owner.communicate()


def toys(*jobs: Job) -> dict[str, Job]:
    return {job.key: job for job in jobs}


def chain(scene: Scene) -> tuple[Job, Job, Job]:
    """Return three jobs in a row; the middle one stops half-way until ``go`` exists and keeps a helper process."""
    from toy_jobs import toy

    count = scene.file("count")
    first = toy("first", count=count)
    middle = toy(
        "middle", {"in": first}, count=count, note=scene.file("note"), until=scene.file("go"), helper=scene.file("beat")
    )
    return first, middle, toy("last", {"in": middle}, count=count)


def free(scene: Scene, job: Job) -> None:
    """Wait for a dead job's lock: a process shows as a zombie while its last thread still closes its files."""
    wait_for(lambda: scene.store.lock(job.key).holder() is None)


def ended(scene: Scene, note: dict[str, Any], job: Job) -> None:
    """Wait until a job's child and its helper are dead; then its lock is free and its helper is silent."""
    wait_for(lambda: dead(note["pid"]) and dead(note["helper"]))
    free(scene, job)
    assert not scene.store.has(job.key)


def test_a_killed_job_fails_its_run_and_the_next_run_goes_on(scene: Scene) -> None:
    first, middle, last = chain(scene)
    jobs = toys(first, middle, last)
    owner = scene.owner([last.key], jobs)
    note = scene.note("note")
    os.kill(note["pid"], signal.SIGKILL)
    output, _ = owner.communicate(timeout=LONG)
    assert owner.returncode == 1
    assert "job 'middle' failed: killed by SIGKILL (out of memory?)" in output
    ended(scene, note, middle)
    Store(scene.store.root).prepare()  # while the helper was dying, it still held the lock and with it the draft
    assert not Path(note["draft"]).exists()
    with pytest.raises(JobFailedError, match="killed by SIGKILL"):
        scene.executor(jobs).obtain([last.key])
    Path(scene.file("go")).touch()
    scene.executor(jobs, run="next").obtain([last.key])
    assert scene.counted() == {"first": 1, "middle": 2, "last": 1}
    scene.verify(jobs)


@pytest.mark.parametrize("fork", [True, False], ids=["forked", "spawned"])
def test_when_the_owner_is_killed_nobody_works_on(scene: Scene, fork: bool) -> None:
    first, middle, last = chain(scene)
    jobs = toys(first, middle, last)
    owner = scene.owner([last.key], jobs, fork=fork)
    note = scene.note("note")
    owner.kill()
    ended(scene, note, middle)
    if fork:
        wait_for(lambda: dead(note["ppid"]))
    Path(scene.file("go")).touch()
    scene.executor(jobs).obtain([last.key])
    assert scene.counted() == {"first": 1, "middle": 2, "last": 1}
    scene.verify(jobs)


def test_when_the_zygote_is_killed_its_job_is_asked_again(scene: Scene) -> None:
    first, middle, last = chain(scene)
    jobs = toys(first, middle, last)
    owner = scene.owner([last.key], jobs)
    note = scene.note("note")
    Path(scene.file("note")).unlink()
    os.kill(note["ppid"], signal.SIGKILL)
    again = scene.note("note")
    assert again["ppid"] != note["ppid"]
    wait_for(lambda: dead(note["pid"]) and dead(note["helper"]))
    Path(scene.file("go")).touch()
    output, _ = owner.communicate(timeout=LONG)
    assert owner.returncode == 0, output
    assert "note  the process that starts light jobs died; starting another" in output
    assert scene.counted() == {"first": 1, "middle": 2, "last": 1}
    scene.verify(jobs)


def test_owner_and_zygote_killed_together_leave_no_orphan(scene: Scene) -> None:
    first, middle, last = chain(scene)
    owner = scene.owner([last.key], toys(first, middle, last))
    note = scene.note("note")
    os.kill(note["ppid"], signal.SIGSTOP)  # it cannot clean up
    owner.kill()
    os.kill(note["ppid"], signal.SIGKILL)
    wait_for(lambda: dead(note["pid"]))
    free(scene, middle)
    os.kill(note["helper"], signal.SIGKILL)


def test_ctrl_c_ends_the_children_and_keeps_what_is_done(scene: Scene) -> None:
    first, middle, last = chain(scene)
    jobs = toys(first, middle, last)
    owner = scene.owner([last.key], jobs)
    note = scene.note("note")
    owner.send_signal(signal.SIGINT)
    output, _ = owner.communicate(timeout=LONG)
    assert "KeyboardInterrupt" in output
    ended(scene, note, middle)
    assert not Path(note["draft"]).exists()
    assert scene.store.failure("run", middle.key) is None
    Path(scene.file("go")).touch()
    scene.executor(jobs).obtain([last.key])
    assert scene.counted() == {"first": 1, "middle": 2, "last": 1}


def test_another_process_takes_over_a_dead_owners_job(scene: Scene) -> None:
    first, middle, last = chain(scene)
    jobs = toys(first, middle, last)
    one = scene.owner([last.key], jobs)
    note = scene.note("note")
    other = scene.owner([last.key], jobs)
    assert other.stdout is not None
    said = wait_for(other.stdout.readline)
    assert said.startswith(f"waiting middle held by pid {note['pid']} on ")
    Path(scene.file("note")).unlink()
    one.kill()
    assert scene.note("note")["pid"] != note["pid"]
    Path(scene.file("go")).touch()
    output, _ = other.communicate(timeout=LONG)
    assert other.returncode == 0, output
    assert scene.counted() == {"first": 1, "middle": 2, "last": 1}
    scene.verify(jobs)


def grid(scene: Scene) -> dict[str, Job]:
    """Return 24 jobs: eight roots, each read by two jobs that read two roots each."""
    from toy_jobs import toy

    count = scene.file("count")
    roots = [toy(f"root{i}", count=count) for i in range(8)]
    leaves = [
        toy(f"leaf{i}{side}", {"a": roots[i], "b": roots[(i + 1) % 8]}, count=count) for i in range(8) for side in "xy"
    ]
    return toys(*roots, *leaves)


def test_processes_that_race_make_each_job_once(scene: Scene) -> None:
    jobs = grid(scene)
    scene.store.prepare()
    owners = [scene.owner(order, jobs) for order in (list(jobs), list(jobs)[::-1], sorted(jobs))]
    for owner in owners:
        output, _ = owner.communicate(timeout=LONG)
        assert owner.returncode == 0, output
    assert scene.counted() == Counter(job.label for job in jobs.values())
    scene.verify(jobs)


def test_random_kills_over_a_runs_life(scene: Scene) -> None:
    """Kill the owner, its zygote or a job at random moments; what was stored is never made again."""
    chance = random.Random(310)
    jobs = grid(scene)
    for round_ in range(6):
        before, stored = scene.counted(), {key for key in jobs if scene.store.has(key)}
        owner = scene.owner(list(jobs), jobs, run=f"run{round_}")
        goal = min(len(stored) + chance.randint(1, 4), len(jobs) - 1)
        wait_for(lambda: owner.poll() is not None or sum(map(scene.store.has, jobs)) >= goal)  # noqa: B023
        victims = [owner.pid, *descendants(owner.pid)]
        with contextlib.suppress(ProcessLookupError):
            os.kill(chance.choice(victims), signal.SIGKILL)
        if chance.random() < 0.5:
            owner.kill()
        owner.communicate(timeout=LONG)
        wait_for(lambda: all(map(dead, victims)))  # noqa: B023
        again = scene.counted() - before
        assert all(again[jobs[key].label] == 0 for key in stored), again
    scene.executor(jobs, run="last").obtain(jobs)
    scene.verify(jobs)


def descendants(pid: int) -> list[int]:
    """Return the children of a process and theirs, none where the system does not tell."""
    try:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [one for child in children for one in (child, *descendants(child))]
