"""What ``prereg store gc`` keeps: all that the given or sealed preregs plan, whatever engine made it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sealing import Repository
from shelves import put, stocked

from harness.cli import main
from harness.compile.bind import load_bound
from harness.compose import declare_kinds, run_job
from harness.core.browse import keys
from harness.core.store import Store
from harness.plan.keep import Needed
from harness.plan.plan import Pins, make_plan

PREREGS = Path(__file__).parents[2] / "preregs"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A sealed prereg whose store also holds artifacts of another one."""
    monkeypatch.chdir(tmp_path)
    repository = Repository(tmp_path / "preregs")
    store = repository.place.store
    for job in make_plan(load_bound(repository.file), device="cuda").jobs.values():
        inputs = {role: store.open(key) for role, key in job.inputs.items()}
        store.put(job, lambda out, job=job, inputs=inputs: run_job(job, inputs, out, lambda *_, **__: None))
    stocked(store.root)
    return repository


def gc(*arguments: object) -> int:
    return main(["store", "gc", *map(str, arguments)])


def test_gc_keeps_what_a_sealed_prereg_needs(
    repository: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository.sealed()
    store = repository.place.store
    plan = make_plan(load_bound(repository.file), device="cuda")
    assert gc("--store", store.root) == 0
    out = capsys.readouterr().out
    assert out.startswith("keeping what preregs/toy.yaml needs\n")
    assert len(re.findall(r"^would go  [0-9a-f]{12}  ", out, re.MULTILINE)) == 6
    assert re.search(r"^ +6 +93 B  artifacts$", out, re.MULTILINE)
    assert len(list(keys(store))) == len(plan.jobs) + 6, "nothing is deleted without --yes"
    assert gc("--yes", "--store", store.root) == 0
    assert "removing" in capsys.readouterr().out
    assert set(keys(store)) == set(plan.jobs)
    assert not plan.missing(Store(store.root))
    assert gc("--yes", "--store", store.root) == 0
    assert capsys.readouterr().out.endswith("nothing to clear away\n")


def test_gc_keeps_what_it_is_told_to(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    store = repository.place.store
    assert gc("--store", store.root) == 2, "not sealed"
    assert gc(repository.file, "--yes", "--store", store.root) == 0
    assert set(keys(store)) == set(make_plan(load_bound(repository.file), device="cuda").jobs)


def test_gc_keeps_what_a_seal_lists_as_measured_and_all_behind_it(repository: Repository) -> None:
    store = repository.place.store
    repository.sealed()
    _, others = stocked(store.root)
    named = {"name": "rate-C1", "key": others["rate"].key, "when": "2026-11-21T08:00:00Z", "of": "arm"}
    repository.forge(lambda content: content["entries"][0]["measured"].append(named))
    assert gc("--yes", "--store", store.root) == 0
    left = set(keys(store))
    assert {others[name].key for name in ("rate", "sft", "base")} <= left
    assert not {others[name].key for name in ("probe", "estimate", "verdict")} & left


def test_another_version_of_torch_is_no_reason_to_delete(tmp_path: Path) -> None:
    declare_kinds()
    store = Store(tmp_path)
    bound = load_bound(PREREGS / "issue_310.yaml", rehearsal=True)
    old = make_plan(bound, pins=Pins({"torch": "2.1", "transformers": "4.40", "peft": "0.9"})).jobs
    now = make_plan(bound).jobs
    assert not {job.key for job in old.values() if job.lane == "model"} & set(now)
    for job in old.values():
        put(store, job)
    needed = Needed(store, [PREREGS / "issue_310.yaml"])
    assert all(map(needed, old))
    trained = next(job for job in old.values() if job.kind == "stage/marker_coupling")
    params = {**trained.params, "params": {**trained.params["params"], "lr": 0.5}}
    other = trained.model_copy(update={"key": "ab" * 32, "params": params})
    put(store, other)
    assert not needed(other.key)


def test_what_cannot_be_read_is_not_deleted(repository: Repository) -> None:
    store = repository.place.store
    _, others = stocked(store.root)
    (store.path(others["sft"].key) / "manifest.json").write_text("{")
    assert gc(repository.file, "--yes", "--store", store.root) == 0
    assert store.path(others["sft"].key).exists(), "it is for verify to judge"


def test_a_prereg_that_cannot_be_read_stops_everything(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    store = repository.place.store
    repository.sealed()
    before = set(keys(store))
    repository.change("shift >= 0.5", "shft >= 0.5")
    assert gc("--yes", "--store", store.root) == 2
    assert "shft" in capsys.readouterr().err
    assert set(keys(store)) == before
