"""The command line looks at preregs and writes reports again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.cli import main

ROOT = Path(__file__).parents[2]


def test_plan_lists_every_job_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(ROOT / "preregs" / "coupling_predictors.yaml"), "--store", str(tmp_path / "store")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("to run") and line.endswith("measure[published]") for line in lines)
    assert lines[-1].startswith(f"coupling_predictors: {len(lines) - 1} of {len(lines) - 1} jobs to run")
    assert list(tmp_path.iterdir()) == []


def test_problems_go_to_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.yaml").write_text("prereg: 1\nid: bad\n")
    assert main(["plan", str(tmp_path / "bad.yaml")]) == 2
    assert "bad.yaml" in capsys.readouterr().err
    assert main(["report", str(tmp_path / "results.json")]) == 2
    assert "there is no file" in capsys.readouterr().err


def test_unknown_commands_are_usage_errors(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["nope"])
    assert "invalid choice" in capsys.readouterr().err


def test_report_writes_the_same_report_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from making import bound, cell, clause, cmp, estimates, hypothesis

    from harness.decide.verdict import decide
    from reports.model import build
    from reports.records import RunInfo
    from reports.render import write

    big = clause("big", cmp("x", ">=", "1/2", text="x >= 0.5")).model_copy(update={"text": "x >= 0.5"})
    registered = bound(hypothesis("H1", big), named=("x",))
    found = estimates(("x", cell(0.3)))
    decision = decide(registered, found)
    write(build(registered, decision, {"x": next(iter(found.values()))}), RunInfo(host="here"), tmp_path, figures=False)
    first = (tmp_path / "clean_result.md").read_bytes()
    for name in ("results.json", "run.json"):
        (tmp_path / "again").mkdir(exist_ok=True)
        shutil.copy(tmp_path / name, tmp_path / "again")
    assert main(["report", str(tmp_path / "again" / "results.json"), "--no-figures"]) == 0
    assert (tmp_path / "again" / "clean_result.md").read_bytes() == first
    assert str(tmp_path / "again" / "clean_result.md") in capsys.readouterr().out
