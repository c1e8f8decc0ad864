"""``prereg new``: what it writes binds, checks without errors, plans its rehearsal, and overwrites nothing."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from harness.check.run import check
from harness.cli import main
from harness.cli_author import FROM
from harness.compile.bind import load_bound
from harness.compose import declare_kinds
from harness.explain.page import explain
from harness.plan.plan import make_plan
from harness.scaffold.write import KINDS, SCHEMA, write

TRAINING = ("two-probe", "sweep")
ALLOWED = {"two-probe": {"PIN", "POWER", "UNREAD"}, "sweep": {"POWER"}, "correlation": set(), "recorded": {"UNREAD"}}


@pytest.fixture(autouse=True)
def _kinds() -> None:
    declare_kinds()


@pytest.fixture(params=KINDS)
def made(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    assert main(["new", "my-first", "--from", request.param, "--dir", str(tmp_path)]) == 0
    return request.param, tmp_path / "my-first.yaml"


def test_it_binds_and_checks_without_errors(made: tuple[str, Path]) -> None:
    kind, path = made
    bound = load_bound(path)
    findings = check(bound, deep=True)
    assert bound.id == "my-first"
    assert bound.missing == ()
    assert not bound.allow
    assert [finding for finding in findings if finding.severity == "error"] == []
    assert {finding.code for finding in findings} == ALLOWED[kind]  # what is to be supplied, and no more


def test_what_trains_rehearses(made: tuple[str, Path]) -> None:
    kind, path = made
    rehearsal = load_bound(path, rehearsal=True)
    plan = make_plan(rehearsal, device="cpu")
    trained = [job for job in plan.jobs.values() if job.kind.startswith("stage/")]
    assert bool(trained) is (kind in TRAINING)
    if trained:
        assert len(trained) <= 10  # toy scale: minutes
        assert all(model.embedded for model in rehearsal.models)
        assert all(data.register_name for data in rehearsal.data)
    assert rehearsal.retrospective is (kind not in TRAINING)


def test_it_is_commented_and_every_placeholder_is_filled(made: tuple[str, Path]) -> None:
    kind, path = made
    text = path.read_text("utf-8")
    assert "@" not in text
    assert text.count("#") >= 10
    assert "# change" in text
    assert ("MADE UP" in text) is (kind == "recorded")


def test_the_first_line_points_to_the_schema_beside_it(made: tuple[str, Path]) -> None:
    _, path = made
    first = path.read_text("utf-8").splitlines()[0]
    assert first == f"# yaml-language-server: $schema=./{SCHEMA}"
    assert "hypotheses" in json.loads((path.parent / SCHEMA).read_text("utf-8"))["properties"]


def test_it_can_be_explained(made: tuple[str, Path]) -> None:
    assert "H1 is supported when" in explain(load_bound(made[1]))


@pytest.mark.parametrize("kind", ["correlation", "recorded"])
def test_a_recorded_one_decides_on_the_table_beside_it(kind: str, tmp_path: Path) -> None:
    path, table, _ = write("mine", kind, tmp_path, {})
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    (measure,) = load_bound(path).measures
    assert measure.file is not None
    assert Path(measure.file.path) == table
    assert len(rows) == (10 if kind == "correlation" else 96)


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "mine.csv").write_text("precious")
    assert main(["new", "mine", "--from", "recorded", "--dir", str(tmp_path)]) == 2
    assert "mine.csv: the file exists" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["mine.csv", "tables"]
    assert (tmp_path / "tables" / "mine.csv").read_text() == "precious"


def test_the_schema_of_an_earlier_one_stays(tmp_path: Path) -> None:
    (tmp_path / SCHEMA).write_text("{}")
    write("mine", "sweep", tmp_path, {"new": True})
    assert (tmp_path / SCHEMA).read_text() == "{}"


@pytest.mark.parametrize("name", ["my first", "../escape", "", "a/b"])
def test_a_name_that_is_no_id_is_refused(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", name, "--dir", str(tmp_path / "in")]) == 2
    assert "cannot be an id" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["new", "mine", "--dir", str(tmp_path / "file")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_it_says_what_to_do_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "mine", "--dir", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    steps = [
        told.index(f"{step} {tmp_path / 'mine.yaml'}")
        for step in ("prereg explain", "prereg check", "pytest", "prereg seal")
    ]
    assert steps == sorted(steps)
    assert "--rehearse" in told
    assert "-m gpu" in told


def test_the_choices_are_those_that_exist() -> None:
    assert set(FROM) == set(KINDS)


def test_no_row_promises_what_an_inconclusive_result_leads_to(made: tuple[str, Path]) -> None:
    """Where a hypothesis is inconclusive no row applies, ``otherwise`` included: see ``language.md``."""
    assert not [row for row in load_bound(made[1]).triage if "inconclusive" in f"{row.reads} {row.next}"]
