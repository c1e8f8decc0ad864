"""Reports of registrations that once made the prose checker refuse its own report."""

from __future__ import annotations

from pathlib import Path

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
