"""The command line looks at preregs and writes reports again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from harness.cli import main

ROOT = Path(__file__).parents[2]


def test_plan_lists_every_job_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(ROOT / "preregs" / "coupling_predictors.yaml"), "--store", str(tmp_path / "store")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("to run") and line.endswith("measure[published]") for line in lines)
    jobs = sum(line.startswith("to run") for line in lines)
    assert lines[jobs].startswith(f"coupling_predictors: {jobs} of {jobs} jobs to run")
    assert lines[jobs + 1].split("  ")[0] == "likely (low to high)"
    assert lines[-1].startswith("total")
    assert lines[-1].endswith("declared, not measured")
    assert list(tmp_path.iterdir()) == []


def test_plan_prices_a_registration_against_its_budget(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "preregs" / "issue_310.yaml").read_text().replace("banks/", f"{ROOT}/preregs/banks/")
    path = tmp_path / "dear.yaml"
    path.write_text(text.replace("gpu_hours: 7", "gpu_hours: 0.5"))
    asked = ["plan", str(path), "--store", str(tmp_path / "store")]
    assert main(asked) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "budget: 30 GPU-minutes (0.5 GPU-hours): the likely price is over it" in lines
    assert main([*asked, "--strict"]) == 2
    assert "dear.yaml:budget.gpu_hours: the likely price of the " in capsys.readouterr().err
    assert main([*asked, "--strict", "--rehearse"]) == 0, "a rehearsal takes no GPU"
    capsys.readouterr()
    assert main([*asked, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["over_budget"] is True
    assert told["total"]["gpu"]["range"]["likely"] == pytest.approx(
        sum(job["seconds"]["likely"] for job in told["jobs"] if job["state"] == "to run" and job["device"] == "cuda")
    )
    assert {job["origin"] for job in told["jobs"] if job["state"] == "to run"} == {"declared"}


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
