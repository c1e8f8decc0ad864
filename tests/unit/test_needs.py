"""What is missing, kept up to date job by job, is what a new walk over the plan would find."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from harness.contracts.records import Job
from harness.execute.needs import MOMENT, Missing, candidates, missing_jobs


def plan(rng: random.Random, size: int) -> dict[str, Job]:
    """A random plan: each job reads up to three of those before it."""
    jobs: dict[str, Job] = {}
    for number in range(size):
        key = f"{number:064x}"
        needs = rng.sample(sorted(jobs), min(len(jobs), rng.randint(0, 3)))
        inputs = {f"in{place}": needed for place, needed in enumerate(needs)}
        cost = float(rng.randint(0, 5))
        jobs[key] = Job(key=key, label=key[-4:], kind="toy", version=1, params={}, inputs=inputs, cost=cost)
    return jobs


@pytest.mark.parametrize("seed", range(20))
def test_it_agrees_with_a_new_walk_after_every_job(seed: int) -> None:
    rng = random.Random(seed)
    jobs = plan(rng, 40)
    stored = set(rng.sample(sorted(jobs), 8))
    wanted = rng.sample(sorted(jobs), 6)
    missing = Missing(wanted, jobs, stored.__contains__)
    order = list(missing_jobs(wanted, jobs, stored.__contains__))
    while missing:
        left = [key for key in order if key not in stored]
        ready = [key for key in left if all(needed in stored or needed not in order for needed in needs(jobs[key]))]
        assert [job.key for job in missing.ready()] == ready
        assert all((key in missing) == (key in left) for key in jobs)
        done = rng.choice(ready)
        stored.add(done)
        missing.stored(done)
        missing.stored(done)  # told twice, and of what is not needed
        missing.stored("f" * 64)
    assert stored >= set(order)


def needs(job: Job) -> set[str]:
    return set(job.inputs.values())


def test_a_plan_is_walked_once() -> None:
    jobs = plan(random.Random(1), 300)
    asked: Counter[str] = Counter()

    def has(key: str) -> bool:
        asked[key] += 1
        return False

    missing = Missing(jobs, jobs, has)
    while missing:
        missing.stored(next(missing.ready()).key)
    assert set(asked.values()) == {1}


def job(name: str, lane: str, cost: float, **inputs: str) -> Job:
    return Job(key=name * 64, label=name, kind="toy", version=1, params={}, inputs=inputs, cost=cost, lane=lane)


@pytest.mark.parametrize(("single", "ahead"), [((), True), (("cpu",), True), ((), False)])
def test_light_jobs_that_take_a_moment_go_before_models(single: tuple[str, ...], ahead: bool) -> None:
    """Otherwise they wait for the last model and then keep everybody waiting."""
    every = [job("a", "model", 30), job("b", "light", 0.1), job("c", "light", MOMENT + 1), job("d", "light", 0)]
    jobs = {each.key: each for each in every}
    missing, expected = (Missing(list(jobs), jobs, lambda key: False) for _ in range(2))
    found = [each.label for each in candidates(missing, expected if ahead else None, single)]
    assert found == ["b", "d", "a", "c"]


def test_with_one_slot_what_is_waited_for_goes_before_light_jobs_that_are_not() -> None:
    jobs = {each.key: each for each in (job("a", "model", 30), job("b", "light", 0.1))}
    waited = Missing(["a" * 64], jobs, lambda key: False)
    ahead = Missing(list(jobs), jobs, lambda key: False)
    assert [each.label for each in candidates(waited, ahead, ("cpu",))] == ["a", "b"]
    assert [each.label for each in candidates(waited, ahead, ())] == ["b", "a"]
