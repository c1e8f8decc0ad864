"""What programs read: the schema of results.json, tables, citations, and everything rebuilt from the file alone."""

import csv
import json
import shutil

import figure_cases
import pytest
import report_cases
import yaml
from jsonschema import Draft202012Validator
from report_cases import CASES, RUN
from report_files import put, put_model

from harness.cli import main
from reports import cite, exports
from reports.model import results_json
from reports.reading import read_result
from reports.results_schema import results_schema


@pytest.fixture(scope="module")
def validator():
    Draft202012Validator.check_schema(results_schema())
    return Draft202012Validator(results_schema())


# --- the schema -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*CASES, "two_probes"])
def test_every_result_meets_its_schema(name, validator):
    case = CASES[name]() if name in CASES else figure_cases.two_probes()
    assert list(validator.iter_errors(json.loads(results_json(case.model)))) == []


@pytest.mark.parametrize(
    ("at", "value"),
    [("schema_version", 99), ("decision", None), ("estimates", "none"), ("surprise", 1), ("schema_name", "other")],
)
def test_the_schema_refuses_what_is_none(at, value, validator):
    content = json.loads(results_json(report_cases.supported().model))
    assert list(validator.iter_errors({**content, at: value}))


def test_the_schema_is_printed_for_programs(capsys):
    assert main(["schema", "--results"]) == 0
    assert json.loads(capsys.readouterr().out) == results_schema()


# --- reading back ---------------------------------------------------------------------------------------


def test_a_folder_stands_for_its_results(tmp_path):
    path = put(report_cases.supported(), tmp_path / "a")
    assert read_result(tmp_path / "a").model == read_result(path).model
    assert read_result(path).run == RUN
    assert read_result(path).date == "2026-01-01"
    (tmp_path / "a" / "run.json").unlink()
    assert read_result(path).date == ""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no file"),
        ("{", "no JSON"),
        ("[1]", "a JSON list"),
        ("[" * 100_000, "no JSON"),
        ('{"schema_name": "other"}', "schema_name is 'other'"),
        ('{"schema_name": "prereg-results", "schema_version": 2}', "expected version 1"),
        ('{"schema_name": "prereg-results", "schema_version": 1}', "Field required"),
    ],
)
def test_what_is_no_result_is_refused_with_its_reason(tmp_path, content, said, capsys):
    path = tmp_path / "results.json"
    if content is not None:
        path.write_text(content)
    for command in (["report", str(path)], ["compare", str(path), str(path)]):
        assert main(command) == 2
        assert said in capsys.readouterr().err


def test_everything_is_rebuilt_from_results_json_alone(tmp_path, capsys):
    first = tmp_path / "first"
    put(report_cases.supported(), first)
    assert main(["report", "--from", str(first), "--no-figures"]) == 0
    written = {line.rpartition("/")[2] for line in capsys.readouterr().out.splitlines()}
    assert {"clean_result.md", "summary.md", "results.json", "run.json"} <= written
    second = tmp_path / "second"
    shutil.copytree(first, second)
    (second / "clean_result.md").unlink()
    assert main(["report", str(second / "results.json"), "--no-figures", "--out", str(tmp_path / "third")]) == 0
    for name in ("clean_result.md", "results.json"):
        assert (tmp_path / "third" / name).read_bytes() == (first / name).read_bytes()


def test_report_takes_one_result(tmp_path, capsys):
    assert main(["report"]) == 2
    assert "got 0" in capsys.readouterr().err
    path = str(put(report_cases.supported(), tmp_path))
    assert main(["report", path, "--from", path]) == 2
    assert "got 2" in capsys.readouterr().err


# --- tables ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_tables_hold_every_estimate_cell_and_comparison(tmp_path, form, capsys):
    import pyarrow.parquet as pq

    model = figure_cases.two_probes().model
    path = put_model(model, tmp_path)
    assert main(["report", "--from", str(path), "--export", form, "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.split() == [
        str(tmp_path / "out" / f"{name}.{form}") for name in ("estimates", "cells", "clauses")
    ]

    def read(name):
        file = tmp_path / "out" / f"{name}.{form}"
        if form == "parquet":
            return pq.read_table(file).to_pylist()
        return list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))

    estimates, cells, clauses = read("estimates"), read("cells"), read("clauses")
    assert [row["estimate"] for row in estimates] == [row.estimate.name for row in model.estimates]
    assert len(cells) == sum(len(cell.intervals or (0,)) for row in model.estimates for cell in row.estimate.cells)
    shift = next(row for row in cells if row["estimate"] == "leakage_shift")
    assert (float(shift["value"]), float(shift["low"]), float(shift["level"])) == (0.3, 0.21, 0.95)
    assert shift["exact"] == "3/10"
    assert {row["kind"] for row in clauses} == {"clause", "gate", "kill"}
    kill = [row for row in clauses if row["name"] == "no_flattening"]
    assert len(kill) == 5
    assert kill[0]["at"] == "layer=2"
    assert float(clauses[0]["threshold"]) == 0.15


def test_unknown_is_empty_and_never_zero():
    rows = [{"estimate": "x", "value": None, "low": None}]
    assert b"x" in exports.as_csv("cells", rows)
    assert exports.as_csv("cells", rows).splitlines()[1] == b",,x,,,,,,,,,,"


def test_spreadsheets_run_nothing():
    import io

    import pyarrow.parquet as pq

    hostile = '=HYPERLINK("http://x"),\n\''
    rows = [{"estimate": hostile, "formula": "-a", "note": "+1", "method": "@x", "unit": "1"}]
    (row,) = csv.DictReader(io.StringIO(exports.as_csv("estimates", rows).decode(), newline=""))
    assert row["estimate"] == f"'{hostile}"
    assert (row["formula"], row["note"], row["method"], row["unit"]) == ("'-a", "'+1", "'@x", "1")
    table = pq.read_table(io.BytesIO(exports.as_parquet("estimates", rows))).to_pylist()
    assert table[0]["estimate"] == hostile


def test_negative_numbers_stay_numbers():
    assert b",-0.25," in exports.as_csv("cells", [{"estimate": "x", "value": -0.25}])


# --- citations ------------------------------------------------------------------------------------------

CITATION = """\
cff-version: 1.2.0
message: If you use this result, please cite it with its registration.
type: dataset
title: Does EM finetuning raise marker leakage?
abstract: 'Verdict: supported (confirmatory), confidence MODERATE.'
authors:
- name: Ada Löv
keywords:
- preregistration
- confirmatory
- supported
identifiers:
- type: other
  value: prereg:leakage_example:abababababababababababababababababababababababababababababababab
  description: Identifier and SHA-256 digest of what was registered
date-released: '2026-01-01'
"""
BIB = """\
@misc{leakage_example_abababab,
  author = {{Ada Löv}},
  title = {{Does EM finetuning raise marker leakage?}},
  year = {2026},
  month = {01},
  howpublished = {Preregistered result (confirmatory)},
  note = {Verdict: supported (confirmatory), confidence MODERATE. Registration leakage\\_example, SHA-256 \
abababababababababababababababababababababababababababababababab},
}
"""


def test_a_result_is_cited_with_its_verdict(tmp_path):
    found = read_result(put(report_cases.supported(), tmp_path))
    files = cite.cite(found, ["Ada Löv <ada@example.org>", "Ada Löv <other@example.org>"])
    assert files["CITATION.cff"].decode() == CITATION
    assert files["citation.bib"].decode() == BIB


def test_nobody_is_made_up_and_a_rehearsal_says_so(tmp_path):
    content = cite.cff(read_result(put(report_cases.rehearsal(), tmp_path)), [])
    files = cite.cite(read_result(tmp_path), [])
    assert yaml.safe_load(files["CITATION.cff"])["authors"] == [{"name": "unknown author"}]
    assert content["title"].startswith("REHEARSAL: ")
    assert "no evidence" in content["abstract"]


def test_hostile_titles_stay_text(tmp_path):
    title = "a} \\input{/etc/passwd} $x$ \x1b[1m: - {b: c}\n"
    found = read_result(put(report_cases.supported(), tmp_path, title=title))
    files = cite.cite(found, ["<b>@{x}</b> <x@y>"])
    assert yaml.safe_load(files["CITATION.cff"])["title"] == "a} \\input{/etc/passwd} $x$ \\x1b[1m: - {b: c} "
    bib = files["citation.bib"].decode()
    assert r"a\} \textbackslash{}input\{/etc/passwd\} \$x\$" in bib
    assert bib.count("\n") == 8


def test_cite_names_those_who_sealed(tmp_path, capsys, monkeypatch):
    path = put(report_cases.supported(), tmp_path)
    prereg = tmp_path / "x.yaml"
    prereg.write_text("prereg: 1\n")
    assert main(["report", str(path), "--cite", "--prereg", str(tmp_path / "gone.yaml")]) == 2
    assert main(["report", str(path), "--cite", "--prereg", str(prereg)]) == 0
    assert "unknown author" in (tmp_path / "CITATION.cff").read_text()
    (tmp_path / "x.yaml.seal.json").write_text("{")
    capsys.readouterr()
    assert main(["report", str(path), "--cite", "--prereg", str(prereg)]) == 2
    assert "cut short" in capsys.readouterr().err
    monkeypatch.setattr(cite, "sealed_by", lambda prereg: ["Ada <a@b>", "Bo <c@d>"])
    assert main(["report", str(path), "--cite", "--prereg", str(prereg)]) == 0
    assert [each["name"] for each in yaml.safe_load((tmp_path / "CITATION.cff").read_text())["authors"]] == [
        "Ada",
        "Bo",
    ]
