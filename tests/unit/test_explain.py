"""Registrations in plain English. The goldens are read by people; regenerate them with ``PREREG_REGEN=1``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import main
from harness.compile.bind import bind, load_bound
from harness.compose import declare_kinds
from harness.contracts.bound import Bound
from harness.decide import confidence as rules
from harness.decide.court import Court
from harness.explain.caps import LOWERS_TO_LOW, known_caps
from harness.explain.page import explain
from harness.explain.words import WIDTH, count_noun, plural_of, sentence, singular
from harness.spec.load import read_text

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "explain"
PREREGS = sorted((ROOT / "preregs").glob("*.yaml"))

BASE = """\
prereg: 1
id: toy
title: A toy
question: Does it differ?
hypotheses:
  H1: {{claim: it does, all: {{more: "{clause}"}}}}
  H2: {{claim: it does so twice, role: secondary, after: H1, all: {{also: "shift > 0"}}}}
gates: {{room: "{gate}"}}
kill: {{flat: "{kill}"}}
triage:
  - {row}: yes -> go on
  - otherwise: no -> stop
confidence: {{MODERATE: supported, LOW: otherwise}}
estimands:
  shift: counts[b] - counts[a]
  by_persona: counts[b] - counts[a] by persona
  rate: counts by arm
measures:
  counts: {{kind: recorded, file: "data:toy.csv", columns: {{arm: dim, persona: dim, question: dim,
           rate: {{successes: k, trials: n}}}}, resample: persona and question}}
dims:
  arm: [a, b]
  persona: {{levels: [p1, p2, p3, p4], sets: {{few: [p1, p2]}}, primary: mean}}
  question: {{levels: [q1, q2, q3], primary: mean}}
"""


@pytest.fixture(autouse=True)
def _kinds() -> None:
    declare_kinds()


def toy(
    clause: str = "shift >= 10 pp", gate: str = "min(rate) >= 5%", kill: str = "ci(shift) < 5 pp", row: str = "H1"
) -> Bound:
    text = BASE.format(clause=clause, gate=gate, kill=kill, row=row)
    return bind(read_text(text, file="toy.yaml", folder=Path()))


def said(**parts: str) -> str:
    """Return the page of a toy on one line."""
    return " ".join(explain(toy(**parts)).split())


@pytest.mark.parametrize("path", PREREGS, ids=lambda path: path.stem)
def test_every_prereg_of_the_repository_in_english(path: Path) -> None:
    text = explain(load_bound(path))
    golden = GOLDEN / f"{path.stem}.txt"
    if os.environ.get("PREREG_REGEN"):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text("utf-8")


@pytest.mark.parametrize("path", PREREGS, ids=lambda path: path.stem)
def test_the_page_says_every_name_that_decides(path: Path) -> None:
    bound, text = load_bound(path), explain(load_bound(path))
    clauses = [*bound.gates, *bound.kills, *(c for owner in bound.hypotheses for c in owner.clauses)]
    for name in [*(e.name for e in bound.expressions if e.named), *(clause.name for clause in clauses)]:
        assert name in text, name
    assert all(len(line) <= WIDTH for line in text.splitlines())


SHIFT = "shift (the counts rate in b minus that in a)"
BY_PERSONA = "by_persona (the counts rate in b minus that in a, for each persona)"


@pytest.mark.parametrize(
    ("clause", "english"),
    [
        (
            "shift >= 15 pp and p(shift > 0) < 0.001",
            f"{SHIFT} is at least 15 pp, and its one-sided p-value against 0 or less is below 0.001",
        ),
        ("p(shift < -5 pp) < 0.05", f"the one-sided p-value of {SHIFT} against −5 pp or more is below 0.05"),
        ("p(abs(shift) > 0) <= 0.05", f"the two-sided p-value of {SHIFT} against 0 is at most 0.05"),
        ("ci(shift, 90%) within -3 pp .. 3 pp", f"the whole 90% interval of {SHIFT} lies between −3 pp and 3 pp"),
        ("not shift > 10 pp", f"{SHIFT} is not above 10 pp"),
        (
            "not (shift > 10 pp and rate[a] < 50%)",
            f"{SHIFT} is not above 10 pp, or rate in a is not below 50%",
        ),
        ("all(by_persona > 0)", f"{BY_PERSONA} is above 0 for every persona"),
        ("any(ci(by_persona) > 0)", f"the whole 95% interval of {BY_PERSONA} is above 0 for at least one persona"),
        (
            "at_least(1, shift > 0, rate[b] > 50%)",
            f"at least 1 of these holds: {SHIFT} is above 0 or rate in b is above 50%",
        ),
        ("counts[b, few] - counts[a, few] > 0", "the few's counts rate in b minus that in a is above 0"),
        ("(counts[b] - counts[a]) / counts[a] > 0.5", f"{SHIFT} divided by rate in a is above 0.5"),
        ("max(rate) / min(rate) >= 2", "the largest rate divided by the smallest rate is at least 2"),
        (
            "min(leave_one_out(shift by persona)) > 0",
            f"the smallest {SHIFT} when one persona at a time is left out over personas is above 0",
        ),
        ("shift > rate[a]", f"{SHIFT} is above rate in a"),
    ],
)
def test_criteria_in_english(clause: str, english: str) -> None:
    assert f"H1 is supported when {english}. H2" in said(clause=clause)


def test_an_estimand_is_explained_where_it_is_first_read_and_only_there() -> None:
    page = said(gate="shift <= 90 pp")
    assert page.count("(the counts rate in b minus that in a)") == 1
    assert page.index("room: shift (the counts") < page.index("H1 is supported when shift is at least 10 pp")


def test_triage_rows_in_english() -> None:
    assert "If H1's 'more' holds and H2 is not supported: yes -> go on" in said(row="H1.more and not H2")
    assert "If the verdict is killed: yes" in said(row="killed")
    assert "Otherwise: no -> stop" in said()


def test_what_makes_it_inconclusive_names_the_gates_and_the_limits() -> None:
    assert "H1: gate room does not hold or is unknown, or a number that could still decide is unknown." in said()
    page = " ".join(explain(load_bound(ROOT / "preregs" / "issue_310_v2.yaml")).split())
    assert "A number is unknown when, for one, more than 5% of the answers of leakage are cut off." in page


def test_singular_and_plural() -> None:
    page = " ".join(explain(load_bound(ROOT / "preregs" / "issue_310.yaml", rehearsal=True)).split())
    assert "1 epoch, batches of 16" in page
    assert "REHEARSAL: the same at toy scale." in page
    assert [plural_of(noun) for noun in ("epoch", "epochs", "corpus", "persona", "loss")] == [
        "epochs", "epochs", "corpuses", "personas", "losses",
    ]  # fmt: skip
    assert [singular(noun) for noun in ("epochs", "corpus", "loss", "lm")] == ["epoch", "corpus", "loss", "lm"]
    assert count_noun(1, "question") == "1 question"
    assert [sentence(text) for text in ("one seed", "shift: x", "a_b c", "Why?")] == [
        "One seed.",
        "shift: x.",
        "a_b c.",
        "Why?",
    ]


def test_accepted_findings_lower_confidence_as_the_decision_does() -> None:
    assert LOWERS_TO_LOW == rules._LOWERS_TO_LOW


@pytest.mark.parametrize("path", PREREGS, ids=lambda path: path.stem)
def test_the_known_caps_are_those_of_the_decision(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bound = load_bound(path)
    monkeypatch.setattr(Court, "outcome", ("inconclusive", ""))
    decided = [word for word, _ in rules._caps(Court(bound, {}))]
    known = {word for word, _ in known_caps(bound)}
    assert known <= set(decided)
    assert ("LOW" in known) == ("LOW" in decided)


def test_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["explain", str(PREREGS[0])]) == 0
    assert capsys.readouterr().out == (GOLDEN / f"{PREREGS[0].stem}.txt").read_text("utf-8")
    assert main(["explain", str(tmp_path / "none.yaml")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_nothing_heavy_is_imported() -> None:
    heavy = {"numpy", "scipy", "pandas", "torch", "matplotlib", "z3", "pyarrow"}
    code = (
        "import sys; from harness.cli import main; main(['explain', sys.argv[1]]); "
        f"print('HEAVY', sorted(set(sys.modules) & {heavy!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(ROOT / "preregs" / "issue_310_v2.yaml")], cwd=ROOT,
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert done.stdout.endswith("HEAVY []\n")


def test_what_follows_an_inconclusive_result_is_said() -> None:
    unknown = "If what would choose one of these is unknown, as when a hypothesis that it reads is inconclusive"
    assert f"Otherwise: no -> stop - {unknown}: no registered outcome applies." in said()


SETTINGS = "".join(f"  {dim}: {{{{levels: [{dim}_1, {dim}_2], primary: mean}}}}\n" for dim in ("model", "level"))
SWEPT = BASE.replace("arm: dim, ", "arm: dim, model: dim, level: dim, ").replace(
    "  persona: {{", f"{SETTINGS}  persona: {{{{"
)


def test_every_average_over_what_was_set_is_said() -> None:
    """What is drawn again is told where the numbers generalise; what was set is never averaged silently."""
    text = SWEPT.format(clause="shift > 10 pp", gate="counts[a, model_1] >= 5%", kill="ci(shift) < 5 pp", row="H1")
    page = " ".join(explain(bind(read_text(text, file="toy.yaml", folder=Path()))).split())
    assert "the counts rate in a at model model_1 averaged over levels is at least 5%" in page
    assert "shift (the counts rate in b minus that in a, averaged over models and levels) is above 10 pp" in page
