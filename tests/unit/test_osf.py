"""A registration as an answered form of the OSF: what is said stands in it, and nothing else is said."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "plugin"))
import toy_preregs
from sealing import TEXT, Repository

from harness.cli import main
from harness.compile.bind import load_bound
from harness.compose import declare_kinds
from harness.explain import osf_questions as form
from harness.explain.osf import NOT_STATED, osf_form
from harness.explain.page import explain

PREREGS = Path(__file__).parents[2] / "preregs"

WITH_FILES = ("q6", "q10", "q14", "q15", "q16", "q17")
KEYS = {f"q{number}" for number in range(2, 24)} - set(WITH_FILES)
KEYS |= {f"{name}.{part}" for name in WITH_FILES for part in ("question", "uploader")}
"""The keys of the form's answers, as OSF's schema blocks have them; it refuses others."""


def exported(file: Path, out: Path) -> tuple[str, dict[str, Any]]:
    assert main(["export", "--osf", str(file), "--out", str(out)]) == 0
    return (out / f"{file.stem}.osf.md").read_text(), json.loads((out / f"{file.stem}.osf.json").read_text())


@pytest.mark.parametrize("path", sorted(PREREGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_answers_fit_the_form(path: Path, tmp_path: Path) -> None:
    text, plain = exported(path, tmp_path)
    assert plain["schema"] == {"name": "OSF Preregistration", "version": 3}
    responses = plain["registration_responses"]
    choices = {question.key for question in form.QUESTIONS if question.kind in ("one", "several")}
    assert {question.key for question in form.QUESTIONS} <= KEYS
    assert KEYS - choices <= set(responses) <= KEYS
    for question in form.QUESTIONS:
        answer = responses.get(question.key)
        assert f"### {question.title} ({question.id})" in text
        if question.id in plain["not_stated"]:
            assert answer in (None, NOT_STATED)
        elif question.kind == "one":
            assert answer in question.options
        else:
            assert isinstance(answer, str)
            assert answer.strip()
    assert text.count(f"*{NOT_STATED}*\n") == len(plain["not_stated"])


@pytest.mark.parametrize("path", sorted(PREREGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_criteria_are_said_as_explained(path: Path, tmp_path: Path) -> None:
    """Each sentence about what decides stands on the page of ``prereg explain``, too."""
    _, plain = exported(path, tmp_path)
    declare_kinds()
    page = " ".join(explain(load_bound(path)).split())
    lines = plain["registration_responses"]["q19"].split("\n")
    assert len(lines) > 5
    for line in lines:
        assert line.removesuffix(":") in page


def test_what_is_not_said_is_not_stated(tmp_path: Path) -> None:
    path = toy_preregs.write(tmp_path, "supported")
    _, plain = exported(path, tmp_path / "out")
    assert plain["not_stated"] == ["q3", "q4", "q5", "q7", "q12", "q13", "q14", "q18", "q20", "q21", "q22"]
    assert all(plain["registration_responses"].get(key, NOT_STATED) == NOT_STATED for key in ("q3", "q5", "q12", "q18"))


def test_without_a_seal_nobody_knows_what_was_seen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, plain = exported(PREREGS / "issue_310_v2.yaml", tmp_path)
    assert plain["prereg"]["seal"] is None
    assert "q8" in plain["not_stated"]
    assert plain["registration_responses"]["q9"] == (
        "It is not sealed: nothing shows what had been seen when it was written."
    )
    assert "it is not sealed: seal it first" in capsys.readouterr().out


def test_recorded_data_that_existed_count_as_seen(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "study")
    seal = repository.sealed()
    text, plain = exported(repository.file, tmp_path / "out")
    assert plain["registration_responses"]["q8"] == "Registration following analysis of the data"
    said = plain["registration_responses"]["q9"]
    assert f"It was sealed at {seal.first.when} by Ada" in said
    assert "These recorded tables were there when it was sealed: tables/toy.csv." in said
    assert plain["prereg"]["seal"] == {
        "head": seal.head, "sealed": seal.first.when, "entries": 1, "holds": True, "faults": []
    }  # fmt: skip
    assert seal.head in text


def test_a_table_that_was_not_there_yet_is_registered_before_its_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = toy_preregs.write(tmp_path, "supported")
    path.write_text(path.read_text().replace("file: supported.csv", "file: 'data:supported.csv'"))
    data = ["--data", str(tmp_path / "data")]
    assert main(["seal", str(path), *data]) == 0
    (tmp_path / "data").mkdir()
    (tmp_path / "supported.csv").rename(tmp_path / "data" / "supported.csv")
    assert main(["export", "--osf", str(path), *data]) == 0
    plain = json.loads((tmp_path / "supported.osf.json").read_text())
    assert plain["registration_responses"]["q8"] == "Registration prior to creation of data"
    said = plain["registration_responses"]["q9"]
    assert "These recorded tables were not there yet: data:supported.csv." in said


def test_amendments_and_faults_are_told(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "study")
    repository.sealed()
    repository.file.write_text(TEXT.format(id="toy").replace("shift >= 0.5", "shift >= 0.6"))
    repository.amended("a larger effect matters")
    _, plain = exported(repository.file, tmp_path / "out")
    said = plain["registration_responses"]["q9"]
    assert "because a larger effect matters." in said
    assert "shift >= 0.5 -> shift >= 0.6" in said
    assert plain["prereg"]["seal"]["entries"] == 2
    repository.file.write_text(TEXT.format(id="toy").replace("shift >= 0.5", "shift >= 0.7"))
    _, plain = exported(repository.file, tmp_path / "out")
    assert plain["prereg"]["seal"]["holds"] is False
    assert "The seal does not hold: " in plain["registration_responses"]["q9"]


def test_markup_in_a_registration_stays_text(tmp_path: Path) -> None:
    path = toy_preregs.write(tmp_path, "supported")
    path.write_text(path.read_text().replace("title: A toy", "title: A <script>alert(1)</script> & a toy"))
    declare_kinds()
    text = osf_form(load_bound(path), None).markdown()
    assert "<script" not in text
    assert "# A &lt;script>alert(1)&lt;/script> &amp; a toy" in text


def test_bad_arguments_get_one_clear_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--osf", str(tmp_path / "absent.yaml")]) == 2
    assert "absent.yaml" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    path = toy_preregs.write(tmp_path, "supported")
    assert main(["export", "--osf", str(path), "--out", str(tmp_path / "file" / "below")]) == 2
    assert "cannot be written" in capsys.readouterr().err
