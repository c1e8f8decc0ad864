"""Trackers by the real libraries, offline: what was told can be read back, and telling it twice adds nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tracked import results

from reports.trackers import write
from reports.tracking import arm_runs


@pytest.mark.timeout(300)
def test_mlflow_keeps_losses_keys_and_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    runs = arm_runs(results())
    for _ in range(2):
        assert write("mlflow", runs, tmp_path) == f"2 runs in sqlite:///{tmp_path}/mlflow.db"
    client = mlflow.tracking.MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.get_experiment_by_name("prereg")
    kept = {each.data.tags["prereg.run"]: each for each in client.search_runs([experiment.experiment_id])}
    assert set(kept) == {run.id for run in runs}
    for run in runs:
        there = kept[run.id]
        assert there.info.status == "FINISHED"
        assert there.info.run_name == run.name
        assert there.data.tags["verdict"] == "supported"
        assert there.data.params["arm"] == run.config["arm"]
        for name, losses in run.losses.items():
            history = client.get_metric_history(there.info.run_id, name)
            assert sorted((each.step, each.value) for each in history) == list(enumerate(losses))
        (file,) = (tmp_path / "mlartifacts").glob(f"{there.info.run_id}/**/artifacts.json")
        assert json.loads(file.read_text()) == run.artifacts


@pytest.mark.timeout(300)
@pytest.mark.parametrize("rehearsal", [False, True])
def test_wandb_keeps_losses_keys_and_verdict(rehearsal: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("WANDB_DIR", raising=False)
    runs = arm_runs(results(rehearsal=rehearsal))
    assert write("wandb", runs, tmp_path) == f"2 runs in {tmp_path}/wandb, offline"
    wandb.teardown()  # what a process does when it ends: everything reaches the disk
    for run in runs:
        (file,) = tmp_path.glob(f"wandb/offline-run-*-{run.id}/*.wandb")
        content = file.read_bytes()
        for text in (run.name, run.group, *run.tags, *run.losses, *run.artifacts.values(), *run.outcome.values()):
            assert text.encode() in content
        assert (b"verdict.H1" in content) != rehearsal
    write("wandb", runs, tmp_path)
    wandb.teardown()
    for run in runs:
        first, second = sorted(
            tmp_path.glob(f"wandb/offline-run-*-{run.id}*/*.wandb"), key=lambda path: path.stat().st_mtime
        )
        name = next(iter(run.losses)).encode()
        assert name in first.read_bytes()
        assert name not in second.read_bytes(), "losses that are there are not told again"
        assert next(iter(run.outcome.values())).encode() in second.read_bytes(), "the outcome is told anew"
