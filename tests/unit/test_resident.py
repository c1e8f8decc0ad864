"""Processes that keep their model: loaded once for consecutive jobs, replaced for another, shared by turns."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.contracts.records import Job
from harness.core.locks import OwnedLock
from harness.core.store import Store
from harness.execute import resident
from harness.execute.child import DONE, FOUND, NO_SLOT, Request
from harness.execute.children import Options
from harness.execute.devices import Slot, ask_for, asked_for, gpu_slots
from harness.execute.events import Event
from harness.execute.executor import Executor, JobFailedError
from harness.execute.lanes import child_environment
from harness.execute.resident_lane import ResidentLane, ResidentProcess, identity

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="sockets are handed down as POSIX does"),
    pytest.mark.timeout(300),
]
TOYS = Path(__file__).parents[1] / "toys"


class Bench:
    """Executors over toy jobs on made-up GPUs, and what happened."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = Store(root / "store")
        self.events: list[Event] = []
        self.open: list[Executor] = []

    def job(self, label: str, model: str = "A", **more: Any) -> Job:
        from toy_jobs import toy

        made: Job = toy(label, more.pop("needs", None), "model", model=model, loads=str(self.root / "loads"), **more)
        return made.model_copy(update={"device": "cuda"})

    def executor(self, *jobs: Job, run: str = "run", gpus: tuple[str, ...] = ("0",), **more: Any) -> Executor:
        options = Options(entry="toy_jobs:run", cores=2, gpus=gpus, **more)
        made = Executor({job.key: job for job in jobs}, self.store, run, options, on_event=self.events.append)
        self.open.append(made)
        return made

    @property
    def loads(self) -> list[str]:
        """The models in the order in which they were loaded."""
        return [line.split()[1] for line in self._loaded()]

    @property
    def pids(self) -> list[int]:
        return [int(line.split()[0]) for line in self._loaded()]

    def _loaded(self) -> list[str]:
        path = self.root / "loads"
        return path.read_text().splitlines() if path.exists() else []

    def facts(self, job: Job) -> Any:
        return Store(self.store.root).read_json(job.key, "facts.json")

    def made(self, job: Job) -> dict[str, Any]:
        return dict(self.store.manifest(job.key).made)

    def started(self) -> list[str]:
        return [event.label for event in self.events if event.what == "started"]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.syspath_prepend(TOYS)
    monkeypatch.setenv("PREREG_LEASES", str(tmp_path / "leases"))
    bench = Bench(tmp_path)
    yield bench
    for executor in bench.open:
        executor.close()


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def state(pid: int) -> str:
    """The letter of what a process does (R, S, T, Z …); empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie has ended."""
    return state(pid) not in ("", "Z")


def test_consecutive_jobs_on_one_model_load_it_once(bench: Bench) -> None:
    jobs = [bench.job(f"job {number}", count=str(bench.root / "count")) for number in range(4)]
    bench.executor(*jobs).obtain([job.key for job in jobs])
    assert bench.loads == ["A"]
    assert len({bench.made(job)["pid"] for job in jobs}) == 1
    assert {bench.made(job)["device"] for job in jobs} == {"cuda:0"}
    assert len((bench.root / "count").read_text().splitlines()) == 4


def test_nine_jobs_on_three_models_load_three(bench: Bench) -> None:
    """Whatever order the plan has them in: jobs of the model in memory come first."""
    jobs = [bench.job(f"{model}{weight}", model) for weight in range(3) for model in "ABC"]
    bench.executor(*jobs).obtain([job.key for job in jobs])
    assert sorted(bench.loads) == ["A", "B", "C"]
    assert len(set(bench.pids)) == 3, "another model, another process"
    assert [label[0] for label in bench.started()] == sorted(
        (label[0] for label in bench.started()), key=bench.loads.index
    )


def test_the_order_is_the_same_every_time(bench: Bench) -> None:
    jobs = [bench.job(f"{model}{weight}", model) for weight in range(2) for model in "AB"]
    orders = []
    for name in ("one", "other"):
        bench.store, bench.events = Store(bench.root / name), []
        bench.executor(*jobs).obtain([job.key for job in jobs])
        bench.open.pop().close()
        orders.append(bench.started())
    assert orders[0] == orders[1]


def test_two_gpus_keep_a_model_each(bench: Bench) -> None:
    """The first jobs of the two models wait for each other, so they run side by side; the others follow theirs."""
    notes = {model: str(bench.root / f"note{model}") for model in "AB"}
    first = [bench.job(f"{m}0", m, note=notes[m], until=notes["B" if m == "A" else "A"]) for m in "AB"]
    later = [bench.job(f"{m}{n}", m, needs={"x": first[0], "y": first[1]}) for n in (1, 2) for m in "AB"]
    bench.executor(*first, *later, gpus=("0", "1")).obtain([job.key for job in later])
    assert sorted(bench.loads) == ["A", "B"]
    for m, job in zip("AB", first, strict=True):
        assert {bench.made(each)["pid"] for each in later if each.label.startswith(m)} == {bench.made(job)["pid"]}


def test_identity_is_engine_and_base_and_not_adapters() -> None:
    base = {"engine": {"engine": "vllm", "device": "cuda", "vllm": "0.32"}, "inputs": {"base": "b"}, "params": {}}
    job = Job(key="k", label="l", kind="x", version=1, **base)
    assert identity(job) == identity(job.model_dump(mode="json"))
    assert identity(job) == identity({**base, "inputs": {"base": "b", "adapter0": "a"}})
    assert identity(job) != identity({**base, "inputs": {"base": "c"}})
    assert identity(job) != identity({**base, "engine": {**base["engine"], "engine": "transformers"}})
    hub = {"engine": {}, "inputs": {}, "params": {"model": {"hf": "x", "revision": "1"}}}
    assert identity(hub) != identity({**hub, "params": {"model": {"hf": "x", "revision": "2"}}})


def test_each_job_has_its_own_log_environment_and_figures(bench: Bench) -> None:
    names = ["EXTRA", "CUDA_VISIBLE_DEVICES"]
    large = bench.job("large", say="from the large one", work=[0.5, 400], env=names)
    small = bench.job("small", needs={"x": large}, say="from the small one", work=[0.0, 1], env=names)
    bench.executor(large, small, env={"EXTRA": "yes"}).obtain([small.key])
    assert bench.loads == ["A"]
    for job in (large, small):
        assert bench.store.log("run", job.key).read_text().strip() == f"from the {job.label} one"
        assert bench.facts(job)["env"] == {"EXTRA": "yes", "CUDA_VISIBLE_DEVICES": "0"}
    assert bench.made(large)["cpu_s"] >= 0.5 > bench.made(small)["cpu_s"]
    if sys.platform == "linux":
        assert bench.made(large)["max_rss_mb"] > 400 > bench.made(small)["max_rss_mb"]


def test_a_failure_ends_the_process_and_names_its_log(bench: Bench) -> None:
    good, bad = bench.job("good"), bench.job("bad", fail="CUDA error: an illegal memory access")
    after = bench.job("after")
    executor = bench.executor(good, bad, after)
    executor.obtain([good.key])
    with pytest.raises(JobFailedError, match=r"an illegal memory access(.|\n)*about to fail"):
        executor.obtain([bad.key])
    wait_for(lambda: not alive(bench.pids[0]))
    executor.obtain([after.key])
    assert bench.loads == ["A", "A"], "what a failure left behind serves nobody"


def test_a_crash_fails_its_job_and_no_other(bench: Bench) -> None:
    good, bad, after = bench.job("good"), bench.job("bad", exit=3), bench.job("after")
    executor = bench.executor(good, bad, after)
    executor.obtain([good.key])
    with pytest.raises(JobFailedError, match="ended with status 3 without saying why"):
        executor.obtain([bad.key])
    executor.obtain([after.key])
    assert list((bench.store.root / "tmp").iterdir()) == []


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process(bench: Bench, how: signal.Signals) -> None:
    """As with a process of its own: SIGKILL is a failure, SIGTERM means once more."""
    note = bench.root / "note"
    good, slow = bench.job("good"), bench.job("slow", note=str(note), until=str(bench.root / "go"))
    executor = bench.executor(good, slow)
    executor.obtain([good.key])

    def kill() -> None:
        wait_for(note.exists)
        (bench.root / "go").touch() if how == signal.SIGTERM else None
        os.kill(json.loads(note.read_text())["pid"], how)

    thread = threading.Thread(target=kill)
    slow_is_killed = how == signal.SIGKILL
    thread.start()
    if slow_is_killed:
        with pytest.raises(JobFailedError, match=r"signal 9|SIGKILL"):
            executor.obtain([slow.key])
    else:
        executor.obtain([slow.key])
    thread.join()
    assert bench.store.lock(slow.key).holder() is None


def test_an_idle_process_that_is_gone_is_replaced(bench: Bench) -> None:
    first, second = bench.job("first"), bench.job("second")
    executor = bench.executor(first, second)
    executor.obtain([first.key])
    os.kill(bench.pids[0], signal.SIGKILL)
    executor.obtain([second.key])
    assert bench.loads == ["A", "A"]


def test_a_process_without_work_ends_and_gives_the_device_back(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREREG_RESIDENT_IDLE", "0.3")
    first, second = bench.job("first"), bench.job("second")
    executor = bench.executor(first, second)
    executor.obtain([first.key])
    (slot,) = gpu_slots(["0"])
    assert OwnedLock(slot.lock).holder() is not None, "it keeps the device while it waits"
    wait_for(lambda: not alive(bench.pids[0]))
    wait_for(lambda: OwnedLock(slot.lock).holder() is None)  # the last thread of a zombie may still close its files
    executor.obtain([second.key])
    assert bench.loads == ["A", "A"]


def test_close_ends_a_waiting_process(bench: Bench) -> None:
    first = bench.job("first")
    executor = bench.executor(first)
    executor.obtain([first.key])
    executor.close()
    assert not alive(bench.pids[0])


def test_a_turn_ends_although_there_is_more_to_do(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """With turns of no length, whoever waits is let in after the job under way."""
    monkeypatch.setenv("PREREG_RESIDENT_TURN", "0.01")
    (slot,) = gpu_slots(["0"])
    slot.lock.parent.mkdir(parents=True)
    jobs = [bench.job(f"job {number}", work=[0.2, 1]) for number in range(4)]
    other = [sys.executable, "-c", f"from harness.execute.devices import *; from pathlib import Path; import time\n"
             f"while True: ask_for(Slot('cuda', '0', Path({str(slot.lock)!r}))); time.sleep(.1)"]  # fmt: skip
    waiting = subprocess.Popen(other)
    try:
        wait_for(lambda: asked_for(slot.lock, besides=os.getpid()))
        executor = bench.executor(*jobs)
        thread = threading.Thread(target=lambda: executor.obtain([job.key for job in jobs]), daemon=True)
        thread.start()
        wait_for(lambda: len(bench.loads) == 1 and not alive(bench.pids[0]))
        assert sum(bench.store.has(job.key) for job in jobs) == 1, "one job, then the other's turn"
    finally:
        waiting.kill()
        waiting.wait()
    thread.join(60)
    assert all(bench.store.has(job.key) for job in jobs), "and ours again when nobody waits any more"


def test_asking_is_forgotten_and_does_not_concern_oneself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slot = Slot("cuda", "0", tmp_path / "cuda-0.lock")
    assert not asked_for(slot.lock, besides=0)
    ask_for(slot)
    assert asked_for(slot.lock, besides=0)
    assert not asked_for(slot.lock, besides=os.getpid())
    os.utime(tmp_path / "cuda-0.asked", (1, 1))
    assert not asked_for(slot.lock, besides=0)


OWNER = """
import json, sys, time
from pathlib import Path
from harness.contracts.records import Job
from harness.core.store import Store
from harness.execute.executor import Executor
from harness.execute.children import Options
spec = json.loads(sys.argv[1])
job = Job.model_validate(spec["job"])
executor = Executor({job.key: job}, Store(spec["store"]), "run", Options(entry="toy_jobs:run", gpus=("0",)))
executor.obtain([job.key])
Path(spec["done"]).touch()
time.sleep(600)
"""


def owner_of(bench: Bench, job: Job, done: Path) -> subprocess.Popen[bytes]:
    """Start a process that obtains a job, says so, and stays."""
    spec = {"job": job.model_dump(mode="json"), "store": str(bench.store.root), "done": str(done)}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (TOYS, TOYS.parents[1])))}
    return subprocess.Popen([sys.executable, "-c", OWNER, json.dumps(spec)], env=environment)


def test_two_runs_share_a_gpu_by_turns(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first keeps its model and the device; as soon as it has nothing to do, the second gets its turn."""
    monkeypatch.setenv("PREREG_RESIDENT_IDLE", "600")  # only the other's wish ends a process
    mine, theirs, again = bench.job("mine"), bench.job("theirs", "B"), bench.job("again")
    first = bench.executor(mine, again)
    first.obtain([mine.key])
    done = bench.root / "done"
    second = owner_of(bench, theirs, done)
    try:
        wait_for(done.exists)
        assert not alive(bench.pids[0]), "two models were never on the device together"
        first.obtain([again.key])
        assert [event.what for event in bench.events if event.label == "again"][:1] == ["waiting"]
        assert bench.loads == ["A", "B", "A"]
    finally:
        second.kill()
        second.wait()


@pytest.mark.parametrize("busy", [True, False])
def test_it_dies_with_its_parent(bench: Bench, busy: bool) -> None:
    note, done = bench.root / "note", bench.root / "done"
    helper = {"helper": str(bench.root / "beats")} if busy else {}
    job = bench.job("job", note=str(note), **helper, **({"until": str(bench.root / "never")} if busy else {}))
    owner = owner_of(bench, job, done)
    wait_for(note.exists if busy else done.exists)
    noted = json.loads(note.read_text())
    owner.kill()
    owner.wait()
    wait_for(lambda: not alive(noted["pid"]))
    if busy:
        wait_for(lambda: not alive(noted["helper"]))
    (slot,) = gpu_slots(["0"])
    wait_for(lambda: OwnedLock(slot.lock).holder() is None)  # it is freed with the last of its threads


@pytest.mark.parametrize("unread", [b"", b"what the parent had not read yet"])
def test_a_parent_that_is_gone_is_noticed_whatever_it_left_unread(tmp_path: Path, unread: bytes) -> None:
    """A socket that is closed with something unread is reset, and reading from the other end is an error."""
    ours, theirs = socket.socketpair()
    with ours:
        ours.sendall(unread)
        theirs.close()
        host = resident.Host(ours, os.getppid(), tmp_path / "lease.lock", keep=True)
        assert host._hung_up()
        assert host.next() is None


def test_one_process_by_hand(bench: Bench) -> None:
    """What another scheduler needs: start, send, status."""
    jobs = [bench.job(f"job {number}") for number in range(3)]
    other = bench.job("other", "B")
    bench.store.prepare()
    process = ResidentProcess(asked(bench, jobs[0]), child_environment({}, gpu=True))
    try:
        assert status_of(process) == DONE
        assert process.fits(asked(bench, jobs[1]))
        assert not process.fits(asked(bench, other))
        process.send(asked(bench, jobs[1]))
        assert not process.fits(asked(bench, jobs[2])), "one at a time"
        assert status_of(process) == DONE
        process.send(asked(bench, jobs[1]))
        assert status_of(process) == FOUND
        assert process.status() is None, "told once"
        os.kill(process.pid, signal.SIGTERM)
        wait_for(process.gone)
        process.send(asked(bench, jobs[2]))
        assert status_of(process) == NO_SLOT, "it had left: ask again"
    finally:
        process.close()
    assert bench.loads == ["A"]


def asked(bench: Bench, job: Job) -> Request:
    (slot,) = gpu_slots(["0"])
    return Request(
        job=job.model_dump(mode="json"), store=str(bench.store.root), run="run", entry="toy_jobs:run", device="cuda",
        slot="0", lease=str(slot.lock),
    )  # fmt: skip


def status_of(process: ResidentProcess) -> int:
    found: list[int] = []

    def ended() -> bool:
        status = process.status()
        found.extend([] if status is None else [status])
        return bool(found)

    wait_for(ended)
    return found[0]


def test_a_request_that_was_not_begun_can_be_dropped(bench: Bench) -> None:
    """The old process is at its end while the next request is taken back."""
    lane = ResidentLane(child_environment({}, gpu=True))
    bench.store.prepare()
    try:
        lane.start(1, asked(bench, bench.job("first")))
        ended: list[Any] = []
        wait_for(lambda: ended.extend(lane.news()) or any(each.what == "ended" for each in ended))
        old = lane._processes[next(iter(lane._processes))]
        os.kill(old.pid, signal.SIGSTOP)  # it cannot leave yet
        wait_for(lambda: state(old.pid) == "T")
        lane.start(2, asked(bench, bench.job("second", "B")))
        assert lane.kept() == {}
        lane.kill(2, signal.SIGTERM)
        assert [(each.what, each.id, each.status) for each in lane.news()] == [("ended", 2, -signal.SIGTERM)]
        os.kill(old.pid, signal.SIGCONT)
    finally:
        lane.close()
    assert not alive(old.pid)


def test_cores_are_given_back_between_jobs(bench: Bench) -> None:
    """On a CPU a waiting process holds memory and no core: a light job runs on its slot."""
    model = bench.job("model").model_copy(update={"device": "cpu"})
    from toy_jobs import toy

    light = toy("light", {"x": model})
    again = bench.job("again", needs={"x": light}).model_copy(update={"device": "cpu"})
    options = Options(
        entry="toy_jobs:run", cores=1, gpus=(), resident=("model",), preload={"light": ()}
    )  # fmt: skip
    plan = {job.key: job for job in (model, light, again)}
    executor = Executor(plan, bench.store, "run", options)
    bench.open.append(executor)
    executor.obtain([again.key])
    assert bench.loads == ["A"]
    assert bench.made(light)["pid"] != bench.made(model)["pid"] == bench.made(again)["pid"]


def test_its_statuses_are_not_those_of_jobs() -> None:
    assert resident.LEFT not in {*resident.GOES_ON, NO_SLOT, 1, 74, 78}
