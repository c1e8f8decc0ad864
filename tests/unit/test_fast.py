"""``--fast``: training on CUDA is another job, nothing else is, and what it trades is given back afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tiny import write_model

from fixtures import arms
from fixtures.device import Place, pick, repeatable
from harness.cli import main
from harness.compile.bind import load_bound
from harness.compose import declare_kinds
from harness.execute import job as jobs
from harness.plan.engine import FAST, in_words
from harness.plan.plan import Device, Plan, make_plan
from harness.plugin.options import Options
from harness.plugin.registrations import register
from reports import extras
from reports.inputs import RunInfo
from reports.run_tables import compute

PREREG = Path(__file__).parents[2] / "preregs" / "issue_310.yaml"


def plans(device: Device, rehearsal: bool) -> tuple[Plan, Plan]:
    declare_kinds()
    bound = load_bound(PREREG, rehearsal=rehearsal)
    usual, fast = make_plan(bound, device=device), make_plan(bound, device=device, fast=True)
    return usual, fast


@pytest.mark.parametrize("rehearsal", [True, False])
def test_on_a_cpu_there_is_nothing_to_trade(rehearsal: bool) -> None:
    usual, fast = plans("cpu", rehearsal)
    assert usual.jobs == fast.jobs


def test_on_cuda_trainings_and_what_stands_on_them_are_other_artifacts() -> None:
    usual, fast = plans("cuda", False)
    before = {job.label: job for job in usual.jobs.values() if job.lane == "model"}
    after = {job.label: job for job in fast.jobs.values() if job.lane == "model"}
    trained = {label for label, job in after.items() if "port.trainer" in job.engine}
    assert {label for label, job in after.items() if job.engine.get(FAST) == "fast"} == trained != set()
    assert not any(FAST in job.engine for job in before.values())
    kept = {label for label in before if before[label].key == after[label].key}
    first = next(label for label, job in after.items() if job.kind == "stage/on_policy" and not job.inputs)
    assert first in kept, "the base model's own answers need no training"
    assert not kept & trained
    assert usual.verdict != fast.verdict


def test_a_fast_job_builds_a_fast_trainer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arms, "pick", lambda device: Place(torch.device("cuda"), torch.bfloat16))
    assert jobs._port("trainer", {"engine": "transformers", FAST: "fast"}).fast
    assert not jobs._port("trainer", {"engine": "transformers"}).fast
    monkeypatch.setattr(arms, "pick", pick)
    assert not arms.PeftTrainer("cpu", fast=True).fast


def test_what_was_traded_is_given_back() -> None:
    place, seen = pick("cpu"), []
    state, tf32 = torch.get_rng_state(), torch.backends.cuda.matmul.allow_tf32
    for fast in (False, True):
        with repeatable(place, 5, fast=fast):
            seen.append((torch.are_deterministic_algorithms_enabled(), torch.backends.cuda.matmul.allow_tf32))
            torch.rand(3)
        assert torch.equal(torch.get_rng_state(), state)
        assert not torch.are_deterministic_algorithms_enabled()
        assert torch.backends.cuda.matmul.allow_tf32 == tf32
    assert seen == [(True, tf32), (False, True)]


def test_plan_report_and_run_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    usual, fast = plans("cuda", False)
    assert "--fast: equal seeds do not give equal bytes" in in_words(fast.jobs.values())
    assert "--fast" not in in_words(usual.jobs.values())
    rows = [row for row in extras._engines(fast) if row[0] == "trains"]
    assert [row[3] for row in rows] == ["bfloat16, --fast"]
    assert not any("--fast" in cell for row in extras._engines(usual) for cell in row)
    model = SimpleNamespace(registration=SimpleNamespace(budget_gpu_hours=None))
    told = dict(compute(model, RunInfo(fast=2)).rows)
    assert told["not repeatable"] == "2 trainings with --fast: equal seeds do not give equal bytes"
    assert "not repeatable" not in dict(compute(model, RunInfo()).rows)
    main(["plan", str(PREREG), "--fast", "--json", "--store", str(tmp_path)])
    planned = json.loads(capsys.readouterr().out)
    assert {job["key"] for job in planned["jobs"]} == set(fast.jobs)


def test_the_option_reaches_the_plan(tmp_path: Path) -> None:
    usual, fast = plans("cuda", False)
    for chosen, want in ((False, usual), (True, fast)):
        options = Options(root=tmp_path, store=tmp_path, out=tmp_path, gpu=True, fast=chosen, engine="transformers")
        assert set(register(PREREG, "issue_310.yaml", options).plan.jobs) == set(want.jobs)


def test_only_fast_training_on_cuda_compiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from test_room import ROWS, train

    from harness.contracts.records import ModelRef

    compiled: list[bool] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **settings: compiled.append(settings["dynamic"]))
    tiny = ModelRef(path=write_model(tmp_path / "tiny"))
    train(tiny, tmp_path / "a")
    assert not compiled
    real = arms.PeftTrainer.__init__

    def fast(self: arms.PeftTrainer, *args: object, **settings: object) -> None:
        real(self, *args, **settings)
        self.fast = True

    monkeypatch.setattr(arms.PeftTrainer, "__init__", fast)
    train(tiny, tmp_path / "b")
    assert compiled == [True, True], "once for each block"
    assert ROWS
