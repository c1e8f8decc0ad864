"""Simulated schedules: each is possible, starts jobs in the executor's order, and comes close to what is possible."""

from __future__ import annotations

import itertools
import json
import random
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import scheduling

from harness.cli import main
from harness.contracts.records import Job
from harness.core.store import Store
from harness.execute.children import Options
from harness.execute.devices import Device
from harness.execute.executor import Event, Executor
from harness.execute.schedule import Schedule, enough, schedule

TOYS = Path(__file__).parents[1] / "toys"


def graph(rng: random.Random, size: int) -> dict[str, Job]:
    """A random plan on two devices: each job reads up to three of those before it."""
    jobs: dict[str, Job] = {}
    for number in range(size):
        key = f"{number:064x}"
        needs = {f"in{each}": each for each in rng.sample(sorted(jobs), min(len(jobs), rng.randint(0, 3)))}
        device: Device = rng.choice(["cuda", "cpu"])
        jobs[key] = Job(
            key=key, label=key[-4:], kind="toy", version=1, params={}, inputs=needs, cost=rng.randint(0, 50) / 10,
            lane="model", device=device,
        )  # fmt: skip
    return jobs


def longest(key: str, jobs: Mapping[str, Job], stored: set[str]) -> float:
    """The minutes of the longest chain that ends with a job, by trying all."""
    needs = [needed for needed in jobs[key].inputs.values() if needed not in stored]
    return jobs[key].cost + max([longest(needed, jobs, stored) for needed in needs], default=0.0)


@pytest.mark.parametrize("seed", range(25))
def test_a_schedule_is_possible_and_its_bounds_hold(seed: int) -> None:
    rng = random.Random(seed)
    jobs = graph(rng, 18)
    stored = set(rng.sample(sorted(jobs), 4))
    groups = [rng.sample(sorted(jobs), 3) for _ in range(3)]
    slots: dict[Device, int] = {"cuda": rng.randint(1, 4), "cpu": rng.randint(1, 3)}
    found = schedule(jobs, groups, stored.__contains__, slots)
    spans = {span.job.key: span for span in found.spans}
    needed: set[str] = set()
    stack = [key for group in groups for key in group]
    while stack:
        key = stack.pop()
        if key not in needed | stored:
            needed.add(key)
            stack += jobs[key].inputs.values()
    assert set(spans) == needed
    assert len(found.spans) == len(needed), "each job runs once"
    for span in found.spans:
        assert span.end == span.begin + span.job.cost
        assert 0 <= span.slot < slots[span.job.device]
        assert all(each in stored or spans[each].end <= span.begin for each in span.job.inputs.values())
    for one, other in itertools.combinations(found.spans, 2):
        if (one.job.device, one.slot) == (other.job.device, other.slot):
            assert one.end <= other.begin or other.end <= one.begin, "one job at a time on a slot"
    path = max(longest(key, jobs, stored) for key in needed) if needed else 0.0
    assert found.critical_path == pytest.approx(path)
    assert all(one.key in other.inputs.values() for one, other in itertools.pairwise(found.critical))
    loads = [sum(jobs[key].cost for key in needed if jobs[key].device == each) / slots[each] for each in slots]
    assert found.lower_bound == pytest.approx(max(path, *loads))
    assert found.makespan >= found.lower_bound - 1e-9
    # Graham 1966: whenever the last chain does not run, all slots of a device are busy.
    assert found.makespan <= path + sum(loads) + 1e-9
    assert schedule(jobs, groups, stored.__contains__, slots) == found


def nothing(key: str) -> bool:
    return False


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> scheduling.Work:
    return scheduling.work_of_310(tmp_path_factory.mktemp("three_seeds"))


def play(work: scheduling.Work, gpus: int) -> Schedule:
    return schedule(work.jobs, work.wanted, nothing, {"cuda": gpus, "cpu": gpus})


def test_issue_310_with_three_seeds_is_its_graph_three_times(work: scheduling.Work) -> None:
    kinds = [job.kind for job in work.jobs.values()]
    assert kinds.count("stage/marker_coupling") == 27
    assert kinds.count("eval/marker_rate") == 27
    assert kinds.count("stage/sft") == 6


def test_issue_310_on_four_gpus_is_within_a_tenth_of_what_is_possible(work: scheduling.Work) -> None:
    found = play(work, 4)
    assert found.lower_bound == pytest.approx(found.work["cuda"] / 4), "four GPUs are bounded by work"
    assert found.efficiency >= 0.9


def test_issue_310_on_64_gpus_takes_its_critical_path(work: scheduling.Work) -> None:
    found = play(work, 64)
    assert found.makespan == pytest.approx(found.critical_path)
    kinds = [job.kind.rpartition("/")[2] for job in found.critical if job.device == "cuda"]
    assert kinds == ["sft", "merge", "on_policy", "marker_coupling", "marker_rate"]
    last = enough(lambda gpus: play(work, gpus), 64)
    assert last is not None
    assert play(work, last).makespan == pytest.approx(found.critical_path)
    assert play(work, last - 1).makespan > found.critical_path + 1e-6
    assert enough(lambda gpus: play(work, gpus), 4) is None


# --- the executor ---


class Conductor(threading.Thread):
    """Lets jobs end in the order of a schedule, each when the executor has started what it can."""

    def __init__(self, plan: Schedule, folder: Path) -> None:
        super().__init__(daemon=True)
        self.plan, self.folder = plan, folder
        self.started: list[str] = []
        self.finished: list[str] = []
        self.waited_in_vain = ""

    def hear(self, event: Event) -> None:
        if event.what == "started":
            self.started.append(event.key)
        elif event.what == "finished":
            self.finished.append(event.key)

    def run(self) -> None:
        spans = self.plan.spans
        ends = sorted(range(len(spans)), key=lambda number: (spans[number].end, number))
        for ended, number in enumerate(ends):
            so_far = sum(span.after <= ended for span in spans)
            self.wait(f"{so_far} starts after {ended} ends", lambda count=so_far: len(self.started) >= count)
            (self.folder / f"{spans[number].job.params['number']}").touch()
            self.wait(f"the end of {spans[number].job.label}", lambda count=ended: len(self.finished) > count)

    def wait(self, what: str, condition: Any) -> None:
        deadline = time.monotonic() + 60
        while not condition() and not self.waited_in_vain:
            time.sleep(0.002)
            if time.monotonic() > deadline:
                self.waited_in_vain = what


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    monkeypatch.syspath_prepend(TOYS)
    monkeypatch.setenv("PREREG_LEASES", str(tmp_path / "leases"))
    (tmp_path / "go").mkdir()
    yield tmp_path / "go"
    for number in range(200):
        (tmp_path / "go" / str(number)).touch()  # whatever still waits may end


@pytest.mark.parametrize(("gpus", "weights"), [(1, "[1.0]"), (4, scheduling.WEIGHTS)])
def test_the_executor_starts_jobs_in_the_order_of_the_simulation(
    gpus: int, weights: str, toys: Path, tmp_path: Path
) -> None:
    """The executor with real children, on simulated GPUs: children that hold a GPU's slot and touch no CUDA."""
    whole = scheduling.work_of_310(tmp_path, "[42]", weights)
    few = scheduling.toys_of(whole, lambda number, job: {"until": str(toys / str(number)), "number": number})
    slots: dict[Device, int] = {"cuda": gpus, "cpu": 2}
    plan = schedule(few.jobs, few.wanted, nothing, slots)
    conductor = Conductor(plan, toys)
    options = Options(
        entry="toy_jobs:run",
        cores=2,
        gpus=[str(gpu) for gpu in range(gpus)],
        preload={"light": (), "model": ()},
        resident=(),  # else jobs whose model is loaded go first, whatever their price
    )
    conductor.start()
    with Executor(few.jobs, Store(tmp_path / "store"), "run", options, on_event=conductor.hear) as executor:
        executor.expect(key for group in few.wanted for key in group)
        for group in few.wanted:
            executor.obtain(group)
    conductor.join()
    assert not conductor.waited_in_vain
    for device in slots:
        done = [few.jobs[key].label for key in conductor.started if few.jobs[key].device == device]
        assert done == [span.job.label for span in plan.spans if span.job.device == device]


# --- the command ---


def test_the_command_prints_the_schedule(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = scheduling.write_310(tmp_path)
    assert main(["plan", str(path), "--gpus", "4", "--store", str(tmp_path / "store")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "schedule on 4 GPUs and 4 cores, by likely price, in minutes"
    charts = [line for line in lines if line.startswith("GPU ")]
    assert [line.split()[1] for line in charts] == ["0", "1", "2", "3"]
    assert {len(line) for line in charts} == {len(charts[0])}
    assert "critical path, 8.3 min: each job waits for the one before" in lines
    text = "\n".join(lines)
    assert "makespan 36.3 min; lower bound 36.3 min" in text
    assert "efficiency 100%; GPUs busy 100%" in text
    assert "it scales up to 4 and beyond\n145.0 min of work over a critical path of 8.3 min could keep 17.5" in text


def test_the_command_says_where_it_stops_scaling(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = scheduling.write_310(tmp_path)
    assert main(["plan", str(path), "--gpus", "64", "--store", str(tmp_path / "store")]) == 0
    text = capsys.readouterr().out
    assert "37 GPUs never used" in text
    assert "it stops scaling at 27 GPUs: from there on a run takes its critical path" in text


def test_the_schedule_is_json_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = scheduling.write_310(tmp_path, "[42]")
    arguments = ["plan", str(path), "--gpus", "2", "--cores", "3", "--json", "--store", str(tmp_path / "store")]
    assert main(arguments) == 0
    told = json.loads(capsys.readouterr().out)
    found = told["schedule"]
    assert found["slots"] == {"cuda": 2, "cpu": 3}
    assert {job["key"] for job in found["jobs"]} == {job["key"] for job in told["jobs"]}
    assert found["efficiency"] == pytest.approx(found["lower_bound_min"] / found["makespan_min"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--gpus", "0"], "--gpus 0: a schedule needs at least 1"),
        (["--gpus", "2", "--cores", "-1"], "--cores -1: a schedule needs at least 1"),
        (["--cores", "2"], "--cores belongs to the schedule of --gpus N: give both"),
        (["--gpus", "2", "--rehearse"], "--gpus with --rehearse: a rehearsal runs on cores; leave one of them out"),
    ],
)
def test_bad_arguments_get_one_clear_error(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = scheduling.write_310(tmp_path, "[42]")
    assert main(["plan", str(path), *arguments]) == 2
    assert capsys.readouterr().err.strip() == said
