"""A plan over its budget is refused before anything starts, or run with a reason that stays on record."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import toy_preregs

from harness.plan import budget

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "plan" / "over_budget.txt"
ANY = ("-m", "gpu or not gpu")
"""Asks for GPU items and leaves no other out."""


def write_dear(folder: Path) -> None:
    """Write issue #310 with a budget of a quarter of a GPU-hour."""
    place = folder / "preregs"
    shutil.copytree(ROOT / "preregs" / "banks", place / "banks")
    text = (ROOT / "preregs" / "issue_310.yaml").read_text()
    (place / "dear.yaml").write_text(text.replace("gpu_hours: 7", "gpu_hours: 0.25"))


def told(result: pytest.RunResult) -> str:
    """Return what a refused run says of the budget."""
    assert result.ret == 4, (result.outlines, result.errlines)
    said = "\n".join(result.errlines)
    assert said.count("ERROR: ") == 1, said
    (line,) = [line for line in result.errlines if "budget.gpu_hours" in line]
    return line


def test_a_plan_over_its_budget_is_refused_with_and_without_workers(run) -> None:
    write_dear(run.folder)
    (run.folder / "test_own.py").write_text("def test_own():\n    assert True\n")
    alone = told(run("preregs", "-m", "gpu"))
    if os.environ.get("PREREG_REGEN"):
        GOLDEN.write_text(alone + "\n")
    assert alone == GOLDEN.read_text().rstrip("\n"), "PREREG_REGEN=1 writes it anew; then review the change"
    assert told(run.process("preregs", "-m", "gpu", "-n2", CUDA_VISIBLE_DEVICES="")) == alone
    assert not (run.folder / ".prereg").exists()
    assert run("test_own.py", "preregs", "-m", "not gpu").ret == 0, "own tests are left alone"


def test_only_what_is_selected_is_priced(run, monkeypatch) -> None:
    monkeypatch.setattr("harness.plugin.registrations.cuda_fault", lambda: "")
    write_dear(run.folder)
    path = run.folder / "preregs" / "dear.yaml"
    path.write_text(path.read_text().replace("gpu_hours: 0.25", "gpu_hours: 0.01"))
    # Its sft alone: 6,000 rows of 300 tokens, 0.08 ms each, and 15 s to start.
    one = told(run("preregs/dear.yaml::measure[training-C2]", "-m", "gpu"))
    assert "the likely price of the missing GPU job is 0.04 GPU-hours (0.03 to 0.2), declared, not measured" in one


def test_a_reason_lets_it_run(run) -> None:
    write_dear(run.folder)
    result = run("preregs", "-m", "gpu", "--over-budget", "the card is ours this week")
    assert "budget.gpu_hours" not in "\n".join(result.errlines)


def test_a_reason_has_words(run) -> None:
    toy_preregs.write(run.folder, "supported")
    result = run("--over-budget", "  ")
    assert result.ret == 4
    assert "say why the plan may cost more than was registered" in "\n".join(result.errlines)


def test_the_reason_is_printed_in_the_report_and_stays_there(run, monkeypatch) -> None:
    path = toy_preregs.write(run.folder, "supported")
    path.write_text(path.read_text().replace("question: Why", "question: Why") + "budget: {gpu_hours: 1}\n")
    monkeypatch.setattr(budget, "over_budget", lambda cost, hours: bool(cost.jobs))
    assert run(*ANY).ret == 4
    assert not (run.folder / "results").exists()
    reason = "the mentor | asked for 3 more"
    assert run(*ANY, "--over-budget", reason).ret == 0
    report = run.folder / "results" / "supported"
    text = (report / "clean_result.md").read_text()
    assert "| budget | 1 GPU-hours |" in text
    assert "| run over the budget because | the mentor \\| asked for 3 more |" in text
    assert "**Deviation at `budget`:** the likely price was over the registered budget" in text
    first = json.loads((report / "run.json").read_text())
    assert first["over_budget"] == reason
    assert first["planned_cpu_hours"] > 0
    assert first["unpriced"] == 0
    assert "over_budget" not in (report / "results.json").read_text()
    assert "mentor" not in (report / "results.json").read_text()
    # Nothing is missing any more, so nothing is over anything; what was done stays on record.
    results = (report / "results.json").read_bytes()
    assert run().ret == 0
    again = json.loads((report / "run.json").read_text())
    assert (again["over_budget"], again["planned_cpu_hours"]) == (reason, first["planned_cpu_hours"])
    assert again["jobs_this_run"] == 0
    assert (report / "results.json").read_bytes() == results


def test_a_reason_that_is_not_needed_is_not_recorded(run) -> None:
    path = toy_preregs.write(run.folder, "supported")
    path.write_text(path.read_text() + "budget: {gpu_hours: 1}\n")
    assert run(*ANY, "--over-budget", "just in case").ret == 0
    report = run.folder / "results" / "supported"
    assert json.loads((report / "run.json").read_text())["over_budget"] == ""
    assert "just in case" not in (report / "clean_result.md").read_text().replace("--over-budget 'just in case'", "")


def test_artifacts_say_by_which_command_they_were_made(judged) -> None:
    store = judged.folder / ".prereg"
    assert judged("supported.yaml").ret == 0
    manifests = [json.loads(path.read_text()) for path in store.glob("objects/*/*/manifest.json")]
    assert manifests
    for each in manifests:
        assert each["made"]["command"].startswith("pytest ")
        assert each["job"]["cost"] > 0, "its price when it was started"
        assert "gpu" not in each["made"]
    assert (store / "costs.ledger").read_bytes().count(b"\n") == len(manifests)
