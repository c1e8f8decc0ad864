"""What trackers are told: runs by arm, ids by keys, and nothing of a rehearsal that looks like evidence."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tracked import LABELS, results

from harness.plugin.tracking import tracked
from reports import trackers
from reports.tracking import ArmRun, arm_runs

ROOT = Path(__file__).parents[2]


def test_a_run_per_arm_has_its_losses_its_artifacts_and_the_verdict() -> None:
    first, second = arm_runs(results())
    assert (first.name, second.name) == ("toy C1", "toy C2")
    assert set(first.artifacts.values()) == {"b", "c1", "m1"}
    assert second.artifacts == {LABELS[key]: key for key in ("b", "s", "c2", "m2")}
    assert first.losses == {"loss/couple/weight 1.0/seed 42": (0.6,)}
    assert second.losses == {"loss/sft/seed 42": (3.0, 2.0, 1.0), "loss/couple/weight 1.0/seed 42": (0.5,)}
    assert second.tags == ("registered", "confirmatory")
    assert second.outcome == {
        "verdict": "supported", "confidence": "MODERATE", "standing": "confirmatory", "verdict.H1": "supported",
        "verdict.H2": "not supported",
    }  # fmt: skip


def test_a_rehearsal_never_looks_like_evidence() -> None:
    for run in arm_runs(results(rehearsal=True)):
        assert run.name.startswith("REHEARSAL ")
        assert run.group == "toy-rehearsal"
        assert run.tags == ("rehearsal", "proves nothing")
        assert run.config["rehearsal"] is True
        assert not [key for key in run.outcome if key.startswith(("verdict", "confidence"))]


def test_ids_come_from_what_was_made() -> None:
    ids = [run.id for run in arm_runs(results())]
    assert ids == [run.id for run in arm_runs(results())]
    assert len(set(ids)) == 2
    assert not set(ids) & {run.id for run in arm_runs(results(rehearsal=True))}
    other = results()
    other["artifacts"][5]["key"] = "m3"
    changed = [run.id for run in arm_runs(other)]
    assert changed[0] == ids[0]
    assert changed[1] != ids[1], "another artifact makes another run"
    decided = results()
    decided["decision"]["verdict"] = "killed"
    assert [run.id for run in arm_runs(decided)] == ids, "a new decision on the same artifacts updates the runs"


def test_recorded_preregs_have_no_runs(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(json.dumps(results(arms={})))
    assert list(tracked(("wandb",), tmp_path / "clean_result.md", tmp_path)) == ["  wandb: nothing: no arms"]


class FakeMlflow:
    """A client that keeps what it is told; ``full`` lets a batch fail."""

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        self.experiments: dict[str, str] = {}
        self.fails_at: int | None = None
        self.tracking = SimpleNamespace(MlflowClient=lambda tracking_uri: self)
        self.entities = SimpleNamespace(Metric=lambda key, value, when, step: (key, step, value))

    def get_experiment_by_name(self, name: str) -> Any:
        number = self.experiments.get(name)
        return SimpleNamespace(experiment_id=number) if number else None

    def create_experiment(self, name: str, artifact_location: str | None) -> str:
        return self.experiments.setdefault(name, "1")

    def search_runs(self, numbers: list[str], filter_string: str, max_results: int) -> list[Any]:
        wanted = filter_string.partition("'")[2].rstrip("'")
        return [self.info(number) for number, run in self.runs.items() if run["tags"]["prereg.run"] == wanted]

    def info(self, number: str) -> Any:
        return SimpleNamespace(info=SimpleNamespace(run_id=number))

    def create_run(self, experiment: str, run_name: str, tags: dict[str, str]) -> Any:
        number = f"r{len(self.runs)}"
        self.runs[number] = {"name": run_name, "tags": dict(tags), "metrics": defaultdict(list), "params": {}}
        return self.info(number)

    def set_tag(self, number: str, name: str, value: str) -> None:
        self.runs[number]["tags"][name] = value

    def log_param(self, number: str, name: str, value: str) -> None:
        assert self.runs[number]["params"].setdefault(name, value) == value, "a parameter cannot be changed"

    def log_dict(self, number: str, content: dict[str, str], name: str) -> None:
        self.runs[number][name] = content

    def get_metric_history(self, number: str, name: str) -> list[Any]:
        return self.runs[number]["metrics"][name]

    def log_batch(self, number: str, metrics: list[Any]) -> None:
        for name, step, value in metrics:
            if self.fails_at == step:
                raise ConnectionError("the server is gone")
            self.runs[number]["metrics"][name].append((step, value))

    def set_terminated(self, number: str) -> None:
        self.runs[number]["ended"] = True


def told(mlflow: FakeMlflow, runs: tuple[ArmRun, ...], root: Path) -> None:
    trackers.to_mlflow(mlflow, runs, root)


def test_mlflow_is_updated_and_not_doubled(tmp_path: Path) -> None:
    mlflow, runs = FakeMlflow(), arm_runs(results())
    mlflow.fails_at = 2
    with pytest.raises(ConnectionError):
        told(mlflow, runs, tmp_path)
    mlflow.fails_at = None
    for _ in range(2):
        told(mlflow, runs, tmp_path)
    assert len(mlflow.runs) == 2
    for run in runs:
        (kept,) = [each for each in mlflow.runs.values() if each["tags"]["prereg.run"] == run.id]
        assert kept["ended"]
        assert kept["artifacts.json"] == run.artifacts
        assert kept["tags"]["verdict"] == "supported"
        for name, losses in run.losses.items():
            assert kept["metrics"][name] == list(enumerate(losses)), "an interrupted history is completed, once"


def test_a_tracker_that_is_not_installed_costs_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    (tmp_path / "results.json").write_text(json.dumps(results()))
    assert list(tracked(("mlflow",), tmp_path / "clean_result.md", tmp_path)) == [
        "  warning: mlflow was not told: the package 'mlflow-skinny' is not installed; run: pip install mlflow-skinny"
    ]


EXTRAS = {"wandb", "mlflow", "rocrate", "sqlalchemy", "alembic", "submitit"}


def test_no_extra_is_imported_before_it_is_asked_for() -> None:
    code = (
        "import importlib, sys\n"
        "for name in ('harness.plugin.hooks', 'harness.plugin.conclusions', 'harness.plugin.tracking',\n"
        "             'reports.tracking', 'reports.trackers', 'harness.bundle.crate', 'harness.bundle.export',\n"
        "             'harness.cli_bundle', 'harness.cli_export', 'harness.cli_plan', 'harness.cli_slurm',\n"
        "             'harness.execute.slurm', 'harness.execute.slurm_files', 'harness.execute.slurm_task'):\n"
        "    importlib.import_module(name)\n"
        f"print(sorted({EXTRAS!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_plain_installation_pulls_no_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    plain = {re.split(r"[<>=~! \[]", each)[0].lower() for each in project["dependencies"]}
    optional = project["optional-dependencies"]
    named = {re.split(r"[<>=~! \[]", each)[0].lower() for key in ("crate", "wandb", "mlflow") for each in optional[key]}
    assert named == {"rocrate", "wandb", "mlflow-skinny", "sqlalchemy", "alembic"}
    assert not plain & named
