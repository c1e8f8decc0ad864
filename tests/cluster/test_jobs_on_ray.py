"""Jobs on a cluster of node processes: what comes back, what is lost, what is left running."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

pytest.importorskip("ray")

from ray_cluster import LONG, Nodes, Scene
from toy_jobs import toy
from toy_rehearsal import alive, wait_for

from harness.contracts.records import Job
from harness.core.places import open_store

pytestmark = pytest.mark.timeout(600)


def waiting(scene: Scene, *names: str) -> list[Job]:
    """Return jobs that write a note when they begin and wait until ``go`` exists."""
    return [toy(name, count=scene.file("count"), note=scene.file(name), until=scene.file("go")) for name in names]


def test_two_nodes_run_two_jobs_at_once_and_say_where(scene: Scene, nodes: Nodes) -> None:
    jobs = waiting(scene, "one", "other")
    driver = scene.driver(*jobs, ray=nodes.address)
    notes = [scene.note("one"), scene.note("other")]
    assert notes[0]["ppid"] != notes[1]["ppid"]
    Path(scene.file("go")).touch()
    output, _ = driver.communicate(timeout=LONG)
    assert driver.returncode == 0, output
    assert f"jobs run on Ray: the cluster at {nodes.address}, 2 nodes, 2 CPUs, 1 GPUs" in output
    assert {scene.made(job)["ray_node"] for job in jobs} == set(nodes.ids)
    assert scene.counted() == {"one": 1, "other": 1}
    assert not list(scene.store.progress("run").glob("*.json"))


def test_nodes_that_share_only_a_url_exchange_artifacts_through_it(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each machine has a cache of its own: what a job reads is fetched, and it has ended when others can have it."""
    shared = f"file://{tmp_path}/shared"
    first, other = (toy(name, count=scene.file("count")) for name in ("first", "other"))
    last = toy("last", {"a": first, "b": other}, count=scene.file("count"))
    monkeypatch.setenv("PREREG_CACHE", scene.file("here"))
    with Nodes(tmp_path, [{"num_cpus": 1}, {"num_cpus": 1}], PREREG_CACHE=scene.file("there")) as nodes:
        scene.finish(first, other, last, ray=nodes.address, store=shared)
        assert scene.counted() == {"first": 1, "other": 1, "last": 1}
        monkeypatch.setenv("PREREG_CACHE", scene.file("elsewhere"))
        scene.finish(first, other, last, ray=None, store=shared)
        assert scene.counted() == {"first": 1, "other": 1, "last": 1}, "the second machine has only fetched"
        found = open_store(shared)
        assert found.root.is_relative_to(scene.file("elsewhere"))
        assert found.manifest(last.key).made["ray_node"] in nodes.ids


def test_a_job_on_a_gpu_sees_the_one_that_ray_gave(scene: Scene, nodes: Nodes) -> None:
    job = toy("trains", lane="model", env=["CUDA_VISIBLE_DEVICES"]).model_copy(update={"device": "cuda"})
    scene.finish(job, ray=nodes.address)
    assert scene.made(job)["device"] == "cuda:0"
    assert scene.store.read_json(job.key, "facts.json")["env"] == {"CUDA_VISIBLE_DEVICES": "0"}
    light = toy("light", env=["CUDA_VISIBLE_DEVICES"])
    scene.finish(light, ray=nodes.address)
    assert scene.store.read_json(light.key, "facts.json")["env"] == {"CUDA_VISIBLE_DEVICES": ""}


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ({"fail": "no such layer"}, "failed: ValueError: no such layer"),
        ({"kill": 0}, "failed: killed by SIGKILL (out of memory?)"),
        ({"exit": 3}, "failed: its process ended with status 3 without saying why"),
    ],
)
def test_a_failure_reads_as_it_does_locally(scene: Scene, nodes: Nodes, steps: dict[str, object], said: str) -> None:
    bad = toy("bad", count=scene.file("count"), **steps)
    there = scene.finish(bad, ray=nodes.address, expect=1, run="there")
    here = scene.finish(bad, ray=None, expect=1, run="here")
    assert f"job 'bad' {said}" in there
    assert message(there) == message(here)
    assert scene.counted() == {"bad": 2}, "a job that failed is not asked again"
    after = toy("after", count=scene.file("count"))
    scene.finish(after, ray=nodes.address, run="there")


def message(output: str) -> str:
    """Return the error that a driver printed, without what differs between any two runs."""
    text = output[output.rindex("JobFailedError") :]
    return re.sub(r"/logs/\w+/", "/logs/RUN/", re.sub(r'File "[^"]*", line \d+, in (_make|serve|start)', "", text))


def test_a_node_killed_in_the_middle_costs_one_job_its_work(scene: Scene, tmp_path: Path) -> None:
    with Nodes(tmp_path, [{"num_cpus": 1}, {"num_cpus": 1}]) as nodes:
        jobs = waiting(scene, "one", "other")
        driver = scene.driver(*jobs, ray=nodes.address)
        notes = {name: scene.note(name) for name in ("one", "other")}
        for name in notes:
            Path(scene.file(name)).unlink()
        nodes.kill(1)
        wait_for("a job to die with its node", lambda: any(not alive(note["pid"]) for note in notes.values()), LONG)
        (lost,) = (name for name, note in notes.items() if not alive(note["pid"]))
        Path(scene.file("go")).touch()
        output, _ = driver.communicate(timeout=LONG)
        assert driver.returncode == 0, output
        assert re.search(rf"note  the Ray worker of {lost} on \S+ was lost; it is asked again \(1 of 2\)", output)
        assert scene.counted() == {"one": 1, "other": 1, lost: 2}
        assert {scene.made(job)["ray_node"] for job in jobs} == {nodes.ids[0]}
        assert list((scene.store.root / "tmp").iterdir()) == []


def test_a_head_that_is_gone_is_one_error(scene: Scene, tmp_path: Path) -> None:
    with Nodes(tmp_path, [{"num_cpus": 1}]) as nodes:
        (job,) = waiting(scene, "one")
        driver = scene.driver(job, ray=nodes.address)
        note = scene.note("one")
        nodes.kill(0)
        output, _ = driver.communicate(timeout=LONG)
        assert driver.returncode == 1, output
        assert f"JobError: the head of the Ray cluster at {nodes.address} does not answer any more (" in output
        assert "What is stored stays: start the cluster again and run the same command" in output
        wait_for("the job to end", lambda: not alive(note["pid"]), LONG)
        assert not scene.store.has(job.key)


def test_a_job_whose_worker_is_lost_again_and_again_has_failed(scene: Scene, nodes: Nodes) -> None:
    bad = toy("bad", count=scene.file("count"), kill=2)
    output = scene.finish(bad, ray=nodes.address, expect=1)
    assert output.count("note  the Ray worker of bad on ") == 2
    assert re.search(r"job 'bad' failed: the Ray worker that ran it was lost 3 times, the last time on \S+: ", output)
    assert scene.counted() == {"bad": 3}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_jobs_save_and_nothing_is_left_running(scene: Scene, nodes: Nodes, number: signal.Signals) -> None:
    long = toy("long", count=scene.file("count"), to=200, keeps=True)
    driver = scene.driver(long, ray=nodes.address, entry="toy_partial:run")
    wait_for("steps", lambda: sum(scene.counted().values()) >= 5, LONG)
    driver.send_signal(number)
    output, _ = driver.communicate(timeout=LONG)
    assert driver.returncode != 0, output
    wait_for("seats to end", lambda: not nodes.at_work(), LONG)
    if number == signal.SIGINT:  # a driver other than pytest takes SIGTERM as its death
        assert scene.store.partial(long.key).names() == ["count"]
        begun = sum(scene.counted().values())
        scene.finish(long, ray=nodes.address, entry="toy_partial:run", run="next")
        assert max(scene.counted().values()) == 1, "no step that was kept is done again"
        assert sum(scene.counted().values()) == 200 > begun


def test_when_the_driver_is_killed_nothing_is_left_running(scene: Scene, nodes: Nodes) -> None:
    (job,) = waiting(scene, "one")
    driver = scene.driver(job, ray=nodes.address)
    note = scene.note("one")
    driver.kill()
    wait_for("the job to end", lambda: not alive(note["pid"]), LONG)
    wait_for("seats to end", lambda: not nodes.at_work(), LONG)
    wait_for("the lock to be free", lambda: scene.store.lock(job.key).holder() is None)


def test_two_drivers_make_each_job_once(scene: Scene, nodes: Nodes) -> None:
    roots = [toy(f"root{i}", count=scene.file("count")) for i in range(4)]
    leaves = [toy(f"leaf{i}", {"a": roots[i], "b": roots[i - 1]}, count=scene.file("count")) for i in range(4)]
    drivers = [scene.driver(*order, ray=nodes.address) for order in (roots + leaves, leaves[::-1] + roots)]
    for driver in drivers:
        output, _ = driver.communicate(timeout=LONG)
        assert driver.returncode == 0, output
    assert scene.counted() == {job.label: 1 for job in roots + leaves}


def test_progress_comes_back_while_the_job_runs(scene: Scene, nodes: Nodes) -> None:
    job = toy("one", progress=0.25, note=scene.file("one"), until=scene.file("go"))
    driver = scene.driver(job, ray=nodes.address)
    scene.note("one")
    assert driver.stdout is not None
    said: list[str] = []
    while not any(line.startswith("progress one counting") for line in said):
        said.append(driver.stdout.readline())
        assert said[-1], said
    Path(scene.file("go")).touch()
    output, _ = driver.communicate(timeout=LONG)
    assert driver.returncode == 0, output
