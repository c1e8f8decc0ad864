"""``--track`` on the toy study, with a tracker that writes down what it is told, or fails."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from toy_rehearsal import Study, Undisturbed

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="the rig is for POSIX"),
    pytest.mark.timeout(600),
]


def test_trackers_are_told_of_the_result_and_never_change_it(
    undisturbed: Undisturbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "told"
    monkeypatch.setenv("FAKE_TRACKER", str(told))
    monkeypatch.setenv("WANDB_MODE", "offline")
    study = Study(tmp_path / "study", seconds=0.0)
    text = study.finish("--track", "wandb")
    assert "  wandb: 2 runs in " in text or "  wandb: 3 runs in " in text
    assert study.results() == undisturbed.results
    lines = [json.loads(line) for line in told.read_text().splitlines()]
    begun = {run: given for run, what, given in lines if what == "init"}
    results = json.loads(study.results())
    assert {each["config"]["arm"] for each in begun.values()} == set(results["registration"]["arms"])
    for each in begun.values():
        assert each["name"].startswith("REHEARSAL toy_study ")
        assert each["tags"] == ["rehearsal", "proves nothing"]
        assert each["group"] == "toy_study-rehearsal"
        assert set(each["config"]["artifacts"].values()) <= set(study.manifests())
    for _, what, outcome in lines:
        if what == "summary":
            assert "verdict" not in outcome, "a rehearsal has no verdict that a table could list"
            assert outcome["rehearsal_returned"] == results["decision"]["verdict"]
    wanted = {(each["arm"], each["stage"]): each["losses"] for each in results["training"]}
    for (arm, stage), losses in wanted.items():
        (run,) = [run for run, given in begun.items() if given["config"]["arm"] == arm]
        rows = [row for number, what, row in lines if number == run and what == "log"]
        (name,) = {name for row in rows for name in row if name.startswith(f"loss/{stage}/")}
        assert [row[name] for row in rows if name in row] == losses
        assert [row["step"] for row in rows] == list(range(len(rows)))

    told.unlink()
    text = study.finish("--track", "wandb", workers=2)
    again = {run for run, what, _ in map(json.loads, told.read_text().splitlines()) if what == "init"}
    assert again == set(begun), "the same result has the same runs"

    monkeypatch.setenv("FAKE_TRACKER_FAILS", "1")
    text = study.finish("--track", "wandb", "--track", "mlflow")
    assert "  warning: wandb was not told: the tracker is down" in text
    study.check(undisturbed.results)
    monkeypatch.delenv("FAKE_TRACKER_FAILS")
    monkeypatch.delenv("WANDB_MODE")
    told.unlink()
    (study.folder / "pytest.ini").write_text("[pytest]\nprereg_track = wandb\n")
    assert "  warning: wandb was not told: there is no API key; set WANDB_API_KEY" in study.finish()
    assert not told.exists()


def test_a_tracker_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    study = Study(tmp_path / "study", seconds=0.0)
    (study.folder / "pytest.ini").write_text("[pytest]\nprereg_track = tensorboard\n")
    life = study.start()
    assert life.end() == 4
    assert "prereg_track names 'tensorboard'; expected wandb or mlflow" in life.text
    assert not study.store.exists()
