"""Reports of registrations that once made the prose checker refuse its own report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cli import main

SCAFFOLD = Path(__file__).parents[2] / "harness" / "scaffold"
TABLE = (Path(__file__).parents[2] / "preregs" / "tables" / "coupling_predictors.csv").read_text(encoding="utf-8")
PREREG = """\
prereg: 1
id: inline
title: Short names inside formulas
question: Does it relate?
hypotheses:
  H1:
    claim: it relates
    all:
      related: r < 0 and p(abs(r) > 0) < 0.05
      ranked: p(abs(rho) > 0) < 0.05
triage:
  - H1: yes -> go
  - otherwise: no -> stop
confidence: {LOW: otherwise}
estimands:
  r: pearson(t.cos_assistant by persona, t.source_rate by persona)
  rho: spearman(t.cos_assistant by persona, t.source_rate by persona)
measures:
  t:
    kind: recorded
    file: table.csv
    columns: {persona: dim, cos_assistant: cosine, source_rate: rate}
    resample: persona
dims:
  persona: [%s]
"""


def test_an_estimand_called_rho_may_stand_inside_a_quoted_formula(run) -> None:
    personas = [line.split(",")[0] for line in TABLE.splitlines()[1:]]
    (run.folder / "table.csv").write_text(TABLE, encoding="utf-8")
    (run.folder / "inline.yaml").write_text(PREREG % ", ".join(personas), encoding="utf-8")
    result = run("inline.yaml")
    result.assert_outcomes(failed=3, passed=3)
    report = (run.folder / "results" / "inline" / "clean_result.md").read_text(encoding="utf-8")
    assert "`p(abs(rho) > 0)`" in report
    assert "Unverified" not in report


def recorded(folder: Path, **names: str) -> None:
    """The template for recorded tables, with other names."""
    text, table = ((SCAFFOLD / f"recorded.{end}").read_text(encoding="utf-8") for end in ("yaml", "csv"))
    text = text.replace("@NAME@", "demo")
    for old, new in names.items():
        text = text.replace(f"[{old}", f"[{new}").replace(f"{old}]", f"{new}]").replace(f"{old},", f"{new},")
        table = table.replace(f"{old},", f"{new},")
    (folder / "tables").mkdir()
    (folder / "tables" / "demo.csv").write_text(table, encoding="utf-8")
    (folder / "demo.yaml").write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    "names",
    [
        {},
        {"control": "C1", "treated": "C2"},
        {"control": "1", "treated": "2"},
        {"control": "base", "treated": "em-first"},
        {"control": "lower", "treated": "higher", "persona_1": "of", "persona_5": "personas", "persona_4": "8"},
    ],
)
def test_the_recorded_template_finishes_its_report_whatever_its_arms_are_called(run, names: dict[str, str]) -> None:
    recorded(run.folder, **names)
    result = run("demo.yaml")
    assert result.ret == 0
    result.assert_outcomes(passed=8)
    written = run.folder / "results" / "demo"
    report = (written / "clean_result.md").read_text(encoding="utf-8")
    low, high = names.get("control", "control"), names.get("treated", "treated")
    assert f"8 of 8 personas are higher in {high} than in {low}" in report
    assert "Unverified" not in report
    assert main(["report", "--no-figures", "--from", str(written)]) == 0


def test_a_number_that_is_not_in_results_json_is_told_in_one_line(run, monkeypatch, capsys) -> None:
    """The report is written with its warning, and says so: exit code 1 of pytest, 2 of ``prereg report``."""
    import reports.render

    recorded(run.folder)
    monkeypatch.setattr(reports.render.sections, "human_summary", lambda model: "The rate was 12.34%.")
    result = run("demo.yaml")
    assert result.ret == 1
    (line,) = [line for line in result.outlines if "ERROR" in line]
    written = run.folder / "results" / "demo"
    said = "says numbers that are not in results.json: 12.34% in “The rate was 12.34%.”. Trust results.json"
    assert line == f"demo: ERROR: {written / 'clean_result.md'} {said}"
    assert "Traceback" not in result.stdout.str()
    assert "> **Unverified.** Not in results.json: 12.34%" in (written / "clean_result.md").read_text(encoding="utf-8")
    assert json.loads((written / "results.json").read_text(encoding="utf-8"))["decision"]["verdict"] == "supported"
    capsys.readouterr()
    assert main(["report", "--no-figures", "--from", str(written)]) == 2
    assert capsys.readouterr().err == f"{written / 'clean_result.md'} {said}\n"
