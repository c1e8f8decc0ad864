"""What machines read: JUnit properties, GitHub's annotations and its summary page."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import toy_preregs

from harness.contracts.records import Confidence, Decision, Finding, HypothesisResult
from harness.plugin import github


def properties(file: Path) -> dict[str, dict[str, str]]:
    return {
        str(case.get("name")): {str(p.get("name")): str(p.get("value")) for p in case.iter("property")}
        for case in ET.parse(file).iter("testcase")
    }


def test_junit_has_properties(judged) -> None:
    judged("--junitxml=out.xml", "unsupported.yaml")
    found = properties(judged.folder / "out.xml")
    assert set(found) == set(toy_preregs.NAMES)
    verdict = found["verdict"]
    assert {name: verdict[name] for name in ("prereg", "verdict", "standing", "confidence")} == {
        "prereg": "unsupported",
        "verdict": "not supported",
        "standing": "retrospective",
        "confidence": "LOW",
    }
    assert float(verdict["estimate.shift"]) == pytest.approx(0.3)
    low, high = map(float, verdict["interval.shift"].split(".."))
    assert low < 0.3 < high
    assert len(verdict["key"]) == len(verdict["meaning"]) == 64
    assert found["check"] == {"prereg": "unsupported", "meaning": verdict["meaning"]}
    assert len(found["measure[table]"]["key"]) == 64
    assert float(found["H1[big]"]["estimate.shift"]) == pytest.approx(0.3)
    assert "estimate.a_by_item[item=i1]" not in verdict


def test_properties_survive_xdist(judged) -> None:
    result = judged.process("-n1", "--junitxml=far.xml", "unsupported.yaml")
    assert result.ret == 1
    assert properties(judged.folder / "far.xml")["verdict"]["verdict"] == "not supported"


def test_github_is_told_on_the_lines_of_the_prereg(judged, tmp_path, monkeypatch) -> None:
    page = tmp_path / "summary"
    page.write_text("before\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    monkeypatch.setenv("GITHUB_WORKSPACE", str(judged.folder))
    result = judged("unsupported.yaml")
    said = [line for line in result.outlines if line.startswith("::")]
    assert said == [
        "::error file=unsupported.yaml,line=9,title=H1.big does not hold::0.300 is 0.200 below 0.5",
        "::warning file=unsupported.yaml,line=14,title=H2.high does not hold::" + said[1].rpartition("::")[2],
    ]
    assert page.read_text().startswith("before\n## ")
    assert page.read_text().count("| H1 |") == 1
    quiet = judged("--exit-on=errors", "unsupported.yaml")
    assert [line.split(" ")[0] for line in quiet.outlines if line.startswith("::")] == ["::warning", "::warning"]


def test_nothing_is_told_elsewhere(judged, tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    result = judged("unsupported.yaml")
    assert not [line for line in result.outlines if line.startswith("::")]
    assert not (tmp_path / "summary").exists()


def decision(**changes: object) -> Decision:
    def finding(name: str, truth: str, line: int) -> Finding:
        return Finding.model_validate({"name": name, "text": "a > b", "line": line, "truth": truth, "why": f"{name}!"})

    primary = HypothesisResult(
        name="H1", claim="", role="primary", line=3, truth="unknown", verdict="inconclusive", why="",
        clauses=(finding("one", "unknown", 4), finding("two", "true", 5)),
    )  # fmt: skip
    content = {
        "prereg": "toy", "rehearsal": False, "standing": "exploratory", "verdict": "inconclusive", "why": "",
        "triage": None, "confidence": Confidence(claimed=None, final="LOW"), "hypotheses": (primary,),
        "gates": (finding("g", "false", 7), finding("h", "true", 8)), "kills": (finding("k", "true", 9),),
    }  # fmt: skip
    return Decision.model_validate({**content, **changes})


def test_gates_kills_and_clauses_are_annotated_in_this_order() -> None:
    assert github.annotate(Path("toy.yaml"), decision()) == [
        "::error file=toy.yaml,line=7,title=gate g does not hold::g!",
        "::error file=toy.yaml,line=9,title=kill k holds::k!",
        "::error file=toy.yaml,line=4,title=H1.one is unknown::one!",
    ]
    assert github.annotate(Path("toy.yaml"), decision(rehearsal=True)) == []


def test_many_annotations_are_cut() -> None:
    gate = decision().gates[0]
    said = github.annotate(Path("toy.yaml"), decision(gates=(gate,) * 20))
    assert len(said) == 11
    assert said[-1] == "::warning file=toy.yaml,line=1,title=toy::and 12 more do not hold"


def test_nothing_can_end_an_annotation_or_begin_another() -> None:
    said = github.command("error", Path("a,b:c.yaml"), 0, "t,\n::error::x", "50%\r\n::error::y")
    assert said == "::error file=a%2Cb%3Ac.yaml,line=1,title=t%2C%0A%3A%3Aerror%3A%3Ax::50%25%0D%0A::error::y"
    assert "\n" not in said


def test_a_summary_that_cannot_be_written_is_told(tmp_path) -> None:
    report = tmp_path / "clean_result.md"
    (tmp_path / "summary.md").write_text("x")
    assert github.add_summary(report, {"GITHUB_STEP_SUMMARY": str(tmp_path)}).startswith("the job summary cannot")
    assert github.add_summary(report, {}) == ""
    assert github.add_summary(None, {"GITHUB_STEP_SUMMARY": str(tmp_path / "page")}) == ""


def test_a_prereg_without_a_verdict_is_an_error() -> None:
    said = github.unfinished(Path("toy.yaml"), ["toy: no verdict yet", "  failed: job"])
    assert said == ["::error file=toy.yaml,line=1,title=no verdict::toy: no verdict yet%0Afailed: job"]
