"""Children that are asked to end, that run out of something, or that die with words in their log."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.contracts.records import Job
from harness.core.ident import digest
from harness.core.store import Store
from harness.execute.child import Request
from harness.execute.children import Options
from harness.execute.ending import SAVED
from harness.execute.executor import Executor, JobFailedError
from harness.execute.lanes import LaneEvent, SpawnLane, child_environment
from harness.execute.progress import read_running

TOYS = Path(__file__).parents[1] / "toys"


class Bench:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = Store(root / "store")
        self.open: list[Executor] = []

    def job(self, label: str = "toy", **params: Any) -> Job:
        params = {"to": 20, "count": str(self.root / "count"), **params}
        return Job(key=digest([label, params]), label=label, kind="toy", version=1, params=params)

    def executor(self, *jobs: Job, run: str = "run", fork: bool = True) -> Executor:
        options = Options(entry="toy_partial:run", cores=2, gpus=(), preload={"light": ()}, fork=fork)
        self.open.append(Executor({job.key: job for job in jobs}, self.store, run, options))
        return self.open[-1]

    def counted(self) -> list[int]:
        path = self.root / "count"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def when(self, condition: Callable[[], Any], act: Callable[[], Any]) -> threading.Thread:
        """Do something in another thread as soon as a condition holds."""

        def wait() -> None:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and not condition():
                time.sleep(0.01)
            act()

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        return thread

    def child(self) -> int:
        return read_running(self.store.progress("run"))[0].pid


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.syspath_prepend(TOYS)
    bench = Bench(tmp_path)
    yield bench
    for executor in bench.open:
        executor.close()


pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")


@pytest.mark.parametrize("fork", [True, False])
def test_closing_lets_a_child_save_and_the_next_run_goes_on(bench: Bench, fork: bool) -> None:
    job = bench.job(to=60, keeps=True)
    executor = bench.executor(job, fork=fork)
    bench.when(lambda: len(bench.counted()) > 5, lambda: bench.store.stop("run"))
    with pytest.raises(KeyboardInterrupt):
        executor.obtain([job.key])
    done = len(bench.counted())
    standing = bench.store.partial(job.key).standing()
    assert standing is not None
    assert (standing.what, standing.done) == ("counting", pytest.approx(done / 60, abs=1e-6))
    assert list((bench.store.root / "tmp").iterdir()) == []
    assert bench.store.failed("run") == set()
    bench.executor(job, run="next", fork=fork).obtain([job.key])
    assert bench.counted() == list(range(1, 61))
    assert not (bench.store.root / "partial" / job.key).exists()


def test_a_child_hears_of_its_runs_end_by_itself(bench: Bench) -> None:
    """Nobody signals it: the process that stops the run is not the one that started the child."""
    job = bench.job(to=400, keeps=True)
    bench.store.prepare()
    environment = child_environment({"PYTHONPATH": os.pathsep.join([str(TOYS.parents[1]), str(TOYS)])}, gpu=False)
    lane = SpawnLane(environment)
    lease = str(bench.root / "lease.lock")
    request = Request(job.model_dump(mode="json"), str(bench.store.root), "run", "toy_partial:run", "cpu", "0", lease)
    lane.start(1, request)
    bench.when(lambda: len(bench.counted()) > 3, lambda: bench.store.stop("run")).join()
    ended: list[LaneEvent] = []
    while not ended:
        ended = [event for event in lane.news() if event.what == "ended"]
        time.sleep(0.02)
    lane.close()
    assert ended[0].status == SAVED
    standing = bench.store.partial(job.key).standing()
    assert standing is not None
    assert 0 < standing.done < 1


def test_a_child_with_nothing_to_save_ends_at_once(bench: Bench) -> None:
    note = bench.root / "note"
    job = bench.job(sleeps=3600, note=str(note))
    executor = bench.executor(job)
    bench.when(note.exists, lambda: bench.store.stop("run"))
    with pytest.raises(KeyboardInterrupt):
        executor.obtain([job.key])
    assert "asked to end" in bench.store.log("run", job.key).read_text()
    assert list((bench.store.root / "tmp").iterdir()) == []


def test_sigterm_to_a_child_alone_is_no_failure_but_not_for_ever(bench: Bench) -> None:
    job = bench.job(to=40, keeps=True)
    bench.when(lambda: len(bench.counted()) > 5, lambda: os.kill(bench.child(), signal.SIGTERM))
    bench.executor(job).obtain([job.key])
    assert bench.counted() == list(range(1, 41))
    manifest = bench.store.manifest(job.key)
    assert manifest.made["resumed"] is True

    note = bench.root / "note"
    stubborn = bench.job("stubborn", sleeps=3600, note=str(note))

    def kill() -> None:
        for _ in range(4):
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and not note.exists():
                time.sleep(0.01)
            note.unlink()
            os.kill(bench.child(), signal.SIGTERM)

    bench.when(lambda: True, kill)
    with pytest.raises(JobFailedError, match="asked to end"):
        bench.executor(stubborn).obtain([stubborn.key])


def test_a_dead_engine_is_a_failure_with_its_last_words(bench: Bench) -> None:
    job = bench.job("sample C2", dies=True)
    with pytest.raises(JobFailedError) as caught:
        bench.executor(job).obtain([job.key])
    text = str(caught.value)
    assert text.startswith("job 'sample C2' failed: killed by SIGABRT")
    assert "  step 41 of 375\n  CUDA error: device-side assert triggered" in text


def test_what_a_job_remarks_stands_in_its_manifest_and_its_log(bench: Bench) -> None:
    job = bench.job(to=1, remark="out of memory while sampling with 256 rows at once; going on with 128")
    quiet = bench.job("quiet", to=1)
    bench.executor(job, quiet).obtain([job.key, quiet.key])
    assert bench.store.manifest(job.key).made["remarks"] == [job.params["remark"]]
    assert "remarks" not in bench.store.manifest(quiet.key).made
    assert bench.store.log("run", job.key).read_text() == job.params["remark"] + "\n"


def test_a_disk_that_is_full_when_a_job_saves_is_said_clearly(bench: Bench) -> None:
    job = bench.job(full=True)
    with pytest.raises(JobFailedError, match="no space left on the disk of"):
        bench.executor(job).obtain([job.key])
    assert list((bench.store.root / "tmp").iterdir()) == []
