"""What the driver decides by itself, with a cluster that is only spoken of."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

pytest.importorskip("ray")

import ray
from toy_jobs import toy

from harness.core.errors import JobError
from harness.core.store import Store
from harness.execute.child import DONE, FAILED, FOUND
from harness.execute.children import Options
from harness.execute.ray import alike, bench
from harness.execute.ray.bench import Bench, Post, Work
from harness.execute.ray.pool import RayPool
from harness.execute.ray.seat import Brief, Place, Report, Told


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """What the cluster has."""
    has = {"CPU": 8.0}
    monkeypatch.setattr(ray, "cluster_resources", lambda: has)
    monkeypatch.setattr(RayPool, "_run", lambda self, coroutine: coroutine.close())
    return has


def test_twice_as_many_jobs_are_asked_for_as_there_are_places(tmp_path: Path, cluster: dict[str, float]) -> None:
    driver = RayPool(Store(tmp_path), "run", Options())
    jobs = [toy(f"job{i}") for i in range(20)]
    for job in jobs:
        slot, user = driver.free_slot(job)
        assert user is None
        if slot is None:
            break
        driver.start(job, slot)
    assert driver.keys == {job.key for job in jobs[:16]}


def test_a_cluster_without_gpu_is_one_error(tmp_path: Path, cluster: dict[str, float]) -> None:
    job = toy("trains", lane="model").model_copy(update={"device": "cuda"})
    with pytest.raises(JobError, match=r"no node of the Ray cluster has a GPU\. Start one with ray start --num-gpus"):
        RayPool(Store(tmp_path), "run", Options()).free_slot(job)
    cluster["GPU"] = 1.0
    assert RayPool(Store(tmp_path), "run", Options()).free_slot(job)[0] is not None


def test_a_fault_of_a_node_ends_the_run_in_its_words(tmp_path: Path) -> None:
    driver = RayPool(Store(tmp_path), "run", Options())
    driver._tell(Post(fault="the node n7 runs other code"))
    for _ in range(2):
        with pytest.raises(JobError, match="the node n7 runs other code"):
            driver.news()


def a_bench(store: Store, posts: list[Post]) -> Bench:
    return Bench(
        Brief(str(store.root), "run", "toy_jobs:run", "cpu", {}, {}, True, alike.describe()), store, posts.append
    )


def test_what_was_stored_there_and_is_not_seen_here_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "VISIBLE", 0.3)
    job, done = toy("one"), Told("ended", DONE)
    seats = a_bench(Store(tmp_path), [])
    report = asyncio.run(seats._checked(job, done, Report((done,), log=b"said"), Place("n7", "id")))
    assert [told.status for told in report.told] == [FAILED]
    assert (
        report.failure
        == f"n7 has stored it in {tmp_path}, where this process does not find it: do they share that folder?"
    )
    assert report.log == b"said"


def test_a_waiting_job_that_somebody_else_has_made_is_not_run(tmp_path: Path) -> None:
    store, posts = Store(tmp_path), list[Post]()
    made, other = toy("made"), toy("other")
    store.put(made, lambda folder: (folder / "facts.json").write_text("{}") and None)
    seats = a_bench(store, posts)
    seats._queue.extend([Work(1, made, "light"), Work(2, other, "light")])
    work = asyncio.run(seats._next("light"))
    assert work is not None
    assert work.job == other
    assert [(post.number, post.report and post.report.told[0].status) for post in posts] == [(1, FOUND)]


def test_a_seat_takes_what_wants_the_same_before_others(tmp_path: Path) -> None:
    seats = a_bench(Store(tmp_path), [])
    seats._queue.extend([Work(1, toy("one"), "base a"), Work(2, toy("two"), "base b"), Work(3, toy("three"), "base b")])
    taken = [asyncio.run(seats._next("base b")) for _ in range(3)]
    assert [work.number for work in taken if work] == [2, 3, 1]
