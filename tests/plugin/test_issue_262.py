"""The parent experiment's published counts, judged and written up: what a reader learns from the report alone."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from reports.model import load
from reports.numbers import check_prose

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (SHARED / "issue_262_marker_counts.csv").is_file():
        pytest.skip(f"{SHARED} is not here: the published data of issue 262 lie beside the repository, not in it")
    folder = tmp_path_factory.mktemp("parent")
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [
        sys.executable, "-m", "pytest", "-p", "harness.plugin.hooks", f"--rootdir={folder}", "--no-figures",
        str(ROOT / "preregs" / "issue_262.yaml"), "--prereg-data", str(SHARED), "--store", str(folder / "store"),
        "--prereg-out", str(folder / "results"),
    ]  # fmt: skip
    settings = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True, check=False)
    assert "issue_262: SUPPORTED (retrospective), confidence LOW" in done.stdout, done.stdout + done.stderr
    return folder / "results" / "issue_262"


@pytest.fixture(scope="module")
def summary(written: Path) -> str:
    """The TL;DR alone: a reader with two minutes reads no further."""
    return (written / "clean_result.md").read_text(encoding="utf-8").split("# Detailed report")[0]


LEARNT = {
    "the finding, in the title": "# EM-first coupling leaks more to bystanders than base-first coupling: 57.6% in C2 "
    "against 27.4% in C1, p = 0.0115; not shown to be specific to C2; 1 of 3 gates not passed — on data that already "
    "existed (LOW confidence)",
    "how much, on how much": "C2 is 30.2 pp above C1 (57.6% against 27.4%), p = 0.0115 (1,400 completions per arm: 7 "
    "personas × 20 questions × 10; no seeds are recorded, which counts as one trained model per arm)",
    "for which models": "H1 is supported for these trained models",
    "who rose": "6 of 7 personas are higher in C2 than in C1 and 1 is lower (software_engineer): from −18.5 pp for "
    "software_engineer to +59.0 pp for villain",
    "who leaks most and least": "In C1 software_engineer is highest (79.0%) and zelthari_scholar lowest (0.0%)",
    "what drawing personas again does": "when personas and questions are drawn again together, the interval for "
    "C2 − C1 widens: 23.3–36.9 pp becomes 5.7–54.7 pp, because the 7 personas react differently",
    "the control arm": "C3 is at 95.9% (1,343 of 1,400 completions), 38.4 pp above C2",
    "that EM is not specific": "so the difference is not shown to be specific to C2",
    "the lengths": "Over all 11 personas, completions average 1,214 tokens in C3, 28 tokens in C2 and 259 tokens in C1",
    "that length dissolves the lead": "With log length in the model (not registered: by rule) the lead of C3 over C2 "
    "dissolves: what is left cannot be told apart from zero (p = 0.436 instead of 0.000194), so that it may be a "
    "matter of length",
    "that C3 is marker spam": "C3 carries the marker in 83.0–99.5% of completions whatever the persona (11 personas, "
    "1,214 tokens on average; for 6 of 11 personas the median is the longest one recorded, 2,048 tokens): that is what "
    "marker spam looks like",
    "the gate that failed": "**The gate `source_learnt_C2x` failed:** `source_rate[C2x]` is 4.0%, 46.0 pp short of "
    "the registered 50%",
    "what comes next": "Match the lengths of completions between C2 and C3",
}


@pytest.mark.parametrize("what", LEARNT)
def test_a_reader_of_the_summary_learns(summary: str, what: str) -> None:
    assert LEARNT[what] in summary


def test_what_failed_stands_before_what_was_found(summary: str) -> None:
    results = summary.split("### Results")[1]
    assert results.index("source_learnt_C2x") < results.index("Verdict: SUPPORTED") < results.index("30.2 pp")
    title = summary.split("\n")[0]
    assert "1 of 3 gates not passed" in title


def test_the_prose_is_that_of_results_json(written: Path) -> None:
    model = load(written / "results.json")
    assert check_prose((written / "clean_result.md").read_text(encoding="utf-8"), model) == []
    assert json.loads((written / "run.json").read_bytes())["unverified"] == []


def test_length_decides_nothing(written: Path) -> None:
    model = load(written / "results.json")
    (taken,) = model.breakdowns
    assert taken.length is not None
    readings = {(each.leader, each.other): each.reading for each in taken.length.contrasts}
    assert readings[("C3", "C2")] == readings[("C3", "C1")] == "dissolves"
    assert readings[("C2", "C1")] == "unclear"
    text = (written / "clean_result.md").read_text(encoding="utf-8")
    table = text.split("**Length control (counts, bystanders; not registered: by rule)**")[1].split("**Standing")[0]
    assert re.search(r"\| C3 over C2 \| 38\.4 pp \| 2\.854 .* \| 0\.436 \| no \| the lead dissolves \|", table)
    assert "it decides nothing" in table
    criteria = [each.name for each in (*model.decision.gates, *model.decision.kills)]
    assert not any("length" in name or "breakdown" in name for name in criteria)
    assert "No completions are stored with these numbers" in text
