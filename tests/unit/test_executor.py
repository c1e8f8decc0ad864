"""The executor: makes what is missing, once, in the right order, and says what happened."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.contracts.records import Job
from harness.core.errors import JobError
from harness.core.locks import OwnedLock
from harness.core.store import Store
from harness.execute import devices
from harness.execute.children import Options
from harness.execute.executor import Event, Executor, JobFailedError, new_run_id
from harness.execute.needs import missing_jobs
from harness.execute.progress import FileProgress, read_running

TOYS = Path(__file__).parents[1] / "toys"


class Bench:
    """An executor over toy jobs, with everything it told."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = Store(root / "store")
        self.events: list[Event] = []
        self.open: list[Executor] = []
        self.when_waiting: Callable[[], None] | None = None

    def executor(self, *jobs: Job, run: str = "run", cores: int = 2, **more: Any) -> Executor:
        preload: dict[str, tuple[str, ...]] = {"light": (), "model": ("fractions",)}
        options = Options(entry="toy_jobs:run", cores=cores, gpus=more.pop("gpus", ()), preload=preload, **more)
        made = Executor({job.key: job for job in jobs}, self.store, run, options, on_event=self.hear)
        self.open.append(made)
        return made

    def hear(self, event: Event) -> None:
        self.events.append(event)
        if event.what == "waiting" and self.when_waiting is not None:
            self.when_waiting()

    def facts(self, job: Job) -> Any:
        return Store(self.store.root).read_json(job.key, "facts.json")

    def counted(self) -> list[str]:
        path = self.root / "count"
        return path.read_text().split() if path.exists() else []

    def told(self, what: str) -> list[Event]:
        return [event for event in self.events if event.what == what]

    @property
    def count(self) -> str:
        return str(self.root / "count")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.syspath_prepend(TOYS)
    bench = Bench(tmp_path)
    yield bench
    for executor in bench.open:
        executor.close()


def toy(label: str, needs: dict[str, Job] | None = None, **more: Any) -> Job:
    from toy_jobs import toy

    made: Job = toy(label, needs, **more)
    return made


def wait_for(condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_a_chain_is_made_in_order_and_only_once(bench: Bench) -> None:
    a = toy("a", count=bench.count)
    b = toy("b", {"base": a}, count=bench.count)
    c = toy("c", {"left": a, "right": b}, count=bench.count)
    other = toy("other", count=bench.count)
    executor = bench.executor(a, b, c, other)
    executor.obtain([c.key])
    assert bench.counted() == ["a", "b", "c"]
    assert bench.facts(c)["inputs"] == {"left": "a", "right": "b"}
    executor.obtain([c.key, a.key])
    bench.executor(a, b, c, other, run="next").obtain([c.key])
    assert bench.counted() == ["a", "b", "c"]
    assert not bench.store.has(other.key)
    assert [event.label for event in bench.told("finished")] == ["a", "b", "c"]
    assert list((bench.store.root / "tmp").iterdir()) == []


def test_what_is_stored_needs_no_inputs_and_no_child(bench: Bench) -> None:
    a = toy("a")
    b = toy("b", {"base": a})
    bench.executor(a, b).obtain([b.key])
    bench.store.path(a.key).rename(bench.root / "away")
    bench.events.clear()
    bench.executor(a, b, run="next").obtain([b.key])
    assert bench.events == []


def test_the_manifest_says_what_it_took(bench: Bench) -> None:
    a = toy("a")
    bench.executor(a).obtain([a.key])
    manifest = bench.store.manifest(a.key)
    assert Job.model_validate(manifest.job) == a
    assert manifest.made["wall_s"] >= 0
    assert manifest.made["cpu_s"] > 0
    assert 1 < manifest.made["max_rss_mb"] < 4000
    assert manifest.made["device"] in ("cpu:0", "cpu:1")
    assert manifest.made["pid"] != os.getpid()
    assert {"host", "python", "versions", "when"} <= set(manifest.made)


def test_jobs_run_side_by_side_up_to_the_slots(bench: Bench) -> None:
    """Each of two jobs waits for the other's note, so that one after the other would never end."""
    one = toy("one", note=str(bench.root / "one"), until=str(bench.root / "two"))
    two = toy("two", note=str(bench.root / "two"), until=str(bench.root / "one"))
    bench.executor(one, two).obtain([one.key, two.key])
    assert {bench.store.manifest(job.key).made["device"] for job in (one, two)} == {"cpu:0", "cpu:1"}


def test_one_slot_means_one_at_a_time(bench: Bench) -> None:
    jobs = [toy(str(i), count=bench.count) for i in range(3)]
    bench.executor(*jobs, cores=1).obtain([job.key for job in jobs])
    order = [(event.what, event.label) for event in bench.events if event.what in ("started", "finished")]
    assert [what for what, _ in order] == ["started", "finished"] * 3
    assert [label for _, label in order][::2] == [label for _, label in order][1::2]


def test_the_longest_way_starts_first() -> None:
    a, b = toy_job("a", cost=1), toy_job("b", cost=2)
    c = toy_job("c", {"in": a}, cost=5)
    jobs = {job.key: job for job in (a, b, c)}
    assert [job.label for job in missing_jobs(jobs, jobs, lambda key: False).values()] == ["a", "c", "b"]
    assert list(missing_jobs([c.key], jobs, lambda key: key == a.key)) == [c.key]
    with pytest.raises(JobError, match="neither stored nor made"):
        missing_jobs(["f" * 64], jobs, lambda key: False)


def toy_job(label: str, needs: dict[str, Job] | None = None, cost: float = 0) -> Job:
    inputs = {role: job.key for role, job in (needs or {}).items()}
    return Job(key=label * 64, label=label, kind="toy", version=1, params={}, inputs=inputs, cost=cost)


def test_a_failure_names_job_and_error_and_shows_the_log(bench: Bench) -> None:
    bad = toy("train C1", fail="loss is NaN", count=bench.count)
    after = toy("after", {"model": bad})
    with pytest.raises(JobFailedError) as caught:
        bench.executor(bad, after).obtain([after.key])
    text = str(caught.value)
    assert text.startswith("job 'train C1' failed: ValueError: loss is NaN")
    assert "about to fail" in text
    assert "  ValueError: loss is NaN" in text
    assert str(bench.store.log("run", bad.key)) in text
    assert [event.label for event in bench.told("failed")] == ["train C1"]
    assert list((bench.store.root / "tmp").iterdir()) == []


def test_a_failed_job_is_not_tried_again_in_its_run_by_anybody(bench: Bench) -> None:
    bad = toy("bad", fail="no", count=bench.count)
    after = toy("after", {"model": bad})
    free = toy("free")
    executor = bench.executor(bad, after, free)
    for _ in range(2):
        with pytest.raises(JobFailedError):
            executor.obtain([after.key])
    with pytest.raises(JobFailedError, match="ValueError: no"):
        bench.executor(bad, after).obtain([after.key])
    assert bench.counted() == ["bad"]
    executor.obtain([free.key])
    with pytest.raises(JobFailedError):
        bench.executor(bad, run="next run").obtain([bad.key])
    assert bench.counted() == ["bad", "bad"]


@pytest.mark.parametrize("fork", [True, False])
def test_a_child_that_ends_without_a_word_is_a_failure(bench: Bench, fork: bool) -> None:
    bad = toy("bad", exit=3)
    with pytest.raises(JobFailedError, match="ended with status 3 without saying why"):
        bench.executor(bad, fork=fork).obtain([bad.key])
    assert list((bench.store.root / "tmp").iterdir()) == []


def test_a_full_disk_is_said_clearly(bench: Bench) -> None:
    bad = toy("bad", error=errno.ENOSPC)
    with pytest.raises(JobFailedError, match="no space left on the disk of"):
        bench.executor(bad).obtain([bad.key])
    assert list((bench.store.root / "tmp").iterdir()) == []


def test_an_entry_that_does_not_import_is_a_failure(bench: Bench) -> None:
    a = toy("a")
    executor = Executor({a.key: a}, bench.store, "run", Options(entry="no_such:run", gpus=(), preload={"light": ()}))
    bench.open.append(executor)
    with pytest.raises(JobFailedError, match="No module named 'no_such'"):
        executor.obtain([a.key])


def test_what_nobody_makes_is_an_error(bench: Bench) -> None:
    orphan = toy_job("x", {"in": toy_job("y")})
    with pytest.raises(JobError, match="artifact yyyyyyyyyyyy is neither stored nor made"):
        bench.executor(orphan).obtain([orphan.key])


def test_the_environment_reaches_children(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    names = ["HF_HUB_OFFLINE", "HTTPS_PROXY", "OMP_NUM_THREADS", "EXTRA", "CUDA_VISIBLE_DEVICES"]
    a = toy("a", env=names)
    bench.executor(a, env={"EXTRA": "yes"}).obtain([a.key])
    assert bench.facts(a)["env"] == dict(zip(names, ["1", "http://proxy:3128", "1", "yes", ""], strict=True))


def test_a_gpu_child_sees_its_gpu_only(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREREG_LEASES", str(tmp_path / "leases"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert devices.visible_gpus() == ("2", "5")
    one = toy("one", lane="model", env=["CUDA_VISIBLE_DEVICES"]).model_copy(update={"device": "cuda"})
    with OwnedLock(devices.gpu_slots(["2"])[0].lock, "another store's job"):
        bench.executor(one, gpus=None).obtain([one.key])
    assert bench.facts(one)["env"]["CUDA_VISIBLE_DEVICES"] == "5"
    assert bench.store.manifest(one.key).made["device"] == "cuda:5"


def test_lanes_are_separate_and_start_when_needed(bench: Bench) -> None:
    light = toy("light", modules=["fractions"], parent=True)
    model = toy("model", {"x": light}, lane="model", modules=["fractions"], parent=True)
    executor = bench.executor(light, model)
    executor.obtain([light.key])
    logs = bench.store.log("run", "x").parent
    assert [path.name.split("-")[1] for path in logs.glob("zygote-*")] == ["light"]
    executor.obtain([model.key])
    assert bench.facts(model)["modules"] == {"fractions": True}
    assert bench.facts(light)["parent"] != bench.facts(model)["parent"]


def test_the_real_zygotes_may_be_forked_and_torch_works_after_it(bench: Bench) -> None:
    """What the lanes really import starts no thread; a job trains in a child."""
    light = toy("light", modules=["scipy.stats", "pyarrow.parquet", "torch"], parent=True)
    model = toy("model", lane="model", train=True, modules=["torch", "transformers", "peft"], parent=True)
    executor = Executor(
        {job.key: job for job in (light, model)},
        bench.store,
        "run",
        Options(entry="toy_jobs:run", gpus=()),
        on_event=bench.events.append,
    )
    bench.open.append(executor)
    executor.obtain([light.key, model.key])
    assert bench.told("note") == []
    assert bench.facts(light)["modules"] == {"scipy.stats": True, "pyarrow.parquet": True, "torch": False}
    assert bench.facts(model)["modules"] == {"torch": True, "transformers": True, "peft": True}
    assert bench.facts(model)["threads"] == 1
    assert os.getpid() not in (bench.facts(light)["parent"], bench.facts(model)["parent"])


def test_without_fork_jobs_are_spawned(bench: Bench) -> None:
    a = toy("a", parent=True)
    b = toy("b", {"base": a})
    bench.executor(a, b, fork=False).obtain([b.key])
    assert bench.facts(a)["parent"] == os.getpid()


def test_a_zygote_with_threads_is_not_forked(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "threaded.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    a = toy("a", parent=True)
    options = Options(entry="toy_jobs:run", gpus=(), preload={"light": ("threaded",)})
    executor = Executor({a.key: a}, bench.store, "run", options, on_event=bench.events.append)
    bench.open.append(executor)
    executor.obtain([a.key])
    assert bench.facts(a)["parent"] == os.getpid()
    assert "2 threads" in bench.told("note")[0].text


def test_a_zygote_that_cannot_live_is_an_error(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deadly.py").write_text("import os\nprint('last words', flush=True)\nos._exit(1)\n")
    monkeypatch.syspath_prepend(tmp_path)
    a = toy("a")
    options = Options(entry="toy_jobs:run", gpus=(), preload={"light": ("deadly",)})
    with pytest.raises(JobError, match=r"light jobs died 3 times\n.*\n.*last words"):
        Executor({a.key: a}, bench.store, "run", options).obtain([a.key])


def test_a_damaged_artifact_is_named_and_made_again(bench: Bench) -> None:
    a = toy("a", count=bench.count)
    bench.executor(a).obtain([a.key])
    (bench.store.path(a.key) / "sub" / "text.txt").write_text("b" * 10)
    bench.store = Store(bench.store.root)
    bench.executor(a, run="next").obtain([a.key])
    assert bench.counted() == ["a", "a"]
    assert "sub/text.txt has another digest" in bench.told("damaged")[0].text


def test_a_damaged_input_is_made_again_before_it_is_used(bench: Bench) -> None:
    a = toy("a", count=bench.count)
    b = toy("b", {"base": a}, count=bench.count)
    bench.executor(a, b).obtain([a.key])
    path = bench.store.path(a.key) / "facts.json"
    path.write_text(path.read_text().replace('"a"', '"z"'))
    bench.executor(a, b, run="next").obtain([b.key])
    assert bench.counted() == ["a", "a", "b"]
    assert bench.facts(b)["inputs"] == {"base": "a"}
    assert "facts.json has another digest" in bench.told("damaged")[0].text


def test_waiting_for_somebody_else_says_for_whom(bench: Bench) -> None:
    a = toy("a", count=bench.count)
    bench.store.prepare()
    lock = bench.store.lock(a.key, "a")
    assert lock.acquire()
    bench.when_waiting = lock.release
    bench.executor(a).obtain([a.key])
    assert bench.counted() == ["a"]
    assert f"held by pid {os.getpid()} on " in bench.told("waiting")[0].text


def test_slots_are_shared_by_executors_of_a_store(bench: Bench) -> None:
    a = toy("a")
    bench.store.prepare()
    lease = OwnedLock(devices.cpu_slots(bench.store.root, 1)[0].lock, "somebody's job")
    assert lease.acquire()
    bench.when_waiting = lease.release
    bench.executor(a, cores=1).obtain([a.key])
    assert "no free slot: 'somebody's job' runs, held by pid" in bench.told("waiting")[0].text


def test_status_shows_how_far_jobs_are(bench: Bench) -> None:
    """The job waits until its progress has been seen from outside."""
    a = toy("a", progress=0.25, until=str(bench.root / "seen"))
    seen: list[Any] = []

    def look(event: Event) -> None:
        if event.what == "progress" and event.running is not None and event.running.done == 0.25:
            seen.append(event.running)
            (bench.root / "seen").touch()

    options = Options(entry="toy_jobs:run", gpus=(), preload={"light": ()})
    executor = Executor({a.key: a}, bench.store, "run", options, on_event=look)
    bench.open.append(executor)
    executor.obtain([a.key])
    assert (seen[0].label, seen[0].what, seen[0].figures) == ("a", "counting", {"loss": 0.5})
    assert seen[0].eta == pytest.approx(3 * seen[0].elapsed)
    assert seen[0].device.startswith("cpu:")
    assert executor.status() == []


def test_progress_is_written_rarely_and_dies_with_its_process(tmp_path: Path) -> None:
    progress = FileProgress(tmp_path, "k", "train", "cpu:0")
    assert read_running(tmp_path)[0].what == "starting"
    progress("epoch 1", 0.5, loss=1.0)
    assert read_running(tmp_path)[0].figures == {"loss": 1.0}
    before = (tmp_path / "k.json").read_bytes()
    for _ in range(100):
        progress("epoch 1", 7.0, loss=2.0)
    assert (tmp_path / "k.json").read_bytes() == before
    assert read_running(tmp_path)[0].done <= 1
    note = json.loads(before)
    (tmp_path / "dead.json").write_text(json.dumps({**note, "pid": 2**22 + 1}))
    (tmp_path / "torn.json").write_text("{")
    assert [running.key for running in read_running(tmp_path)] == ["k"]
    progress.close()
    assert read_running(tmp_path) == []


def test_runs_have_different_names() -> None:
    assert new_run_id() != new_run_id()


def test_close_ends_what_runs_and_the_next_obtain_starts_anew(bench: Bench) -> None:
    note = bench.root / "note"
    slow = toy("slow", note=str(note), until=str(bench.root / "go"))
    bad = toy("bad", fail="x")
    executor = bench.executor(slow, bad)
    with pytest.raises(JobFailedError):
        executor.obtain([slow.key, bad.key])
    wait_for(note.exists)
    executor.close()
    assert bench.store.lock(slow.key).holder() is None
    assert list((bench.store.root / "tmp").iterdir()) == []
    assert bench.store.failure("run", slow.key) is None
    (bench.root / "go").touch()
    executor.obtain([slow.key])
    assert bench.store.has(slow.key)


def test_free_slots_work_ahead_on_what_is_expected(bench: Bench) -> None:
    """The first job ends when it has seen the second one, which nobody has asked for yet."""
    note = bench.root / "note"
    first, later = toy("first", until=str(note)), toy("later", note=str(note))
    executor = bench.executor(first, later)
    executor.expect([later.key])
    executor.obtain([first.key])
    assert note.exists()


def test_what_fails_ahead_is_told_when_it_is_wanted(bench: Bench) -> None:
    bad = toy("bad", fail="boom")
    after = toy("after", {"x": bad})
    first = toy("first", until=str(bench.store.root / "failures" / "run" / f"{bad.key}.json"))
    executor = bench.executor(first, bad, after)
    executor.expect([after.key])
    executor.obtain([first.key])
    with pytest.raises(JobFailedError, match="boom"):
        executor.obtain([after.key])
    assert len(bench.told("failed")) == 1, "it is not tried again"
