"""Input that no reader can take, a table in another encoding or a file where a folder is meant, is one message."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from registrations import bound, changed

from harness.cli import main
from harness.core.errors import PreregError
from harness.spec.formula import FormulaError, parse_criterion, parse_estimand

ROOT = Path(__file__).parents[2]
TABLE = "arm,persona,question,hits,total\nC1,persöna_1,q1,1,2\n"
PREREG = """prereg: 1
id: recorded
title: Title
question: Why?
hypotheses: {H1: {claim: more, all: {more: shift > 0}}}
estimands: {shift: "counts[C2] - counts[C1]"}
measures:
  counts:
    kind: recorded
    file: TABLE
    columns: {arm: dim, persona: dim, question: dim, rate: {successes: hits, trials: total}}
dims:
  arm: [C1, C2]
  persona: {levels: [persöna_1], primary: mean}
  question: {levels: [q1], primary: mean}
"""


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run a command that must refuse with exit code 2 and one message."""
    assert main([str(each) for each in arguments]) == 2
    err = capsys.readouterr().err
    assert "Traceback" not in err
    return err


@pytest.mark.parametrize(("content", "says"), [
    (TABLE.encode("latin-1"), "table.csv:2: the byte 0xf6 is not UTF-8; expected a CSV in UTF-8"),
    (b"\xef\xbb\xbf" + TABLE.encode("latin-1"), "table.csv:2: the byte 0xf6 is not UTF-8; expected a CSV in UTF-8"),
    (f"arm,persona\n{'a' * 200_000},b\n".encode(), "table.csv:2: the line cannot be read: field larger than"),
])  # fmt: skip
def test_a_table_that_cannot_be_read(
    content: bytes, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "table.csv").write_bytes(content)
    (tmp_path / "one.yaml").write_text(PREREG.replace("TABLE", "table.csv"), encoding="utf-8")
    for command in ("check", "explain", "plan"):
        assert says in said(capsys, command, tmp_path / "one.yaml")


@pytest.mark.parametrize("name", ["9" * 300 + ".csv", "data:" + "9" * 300 + ".csv"])
def test_a_table_whose_name_no_file_can_have(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "one.yaml").write_text(PREREG.replace("TABLE", name), encoding="utf-8")
    with_data = ("--data", tmp_path)
    if name.startswith("data:"):
        assert main(["check", str(tmp_path / "one.yaml"), *map(str, with_data)]) in (0, 1)
    else:
        assert "there is no file '9999" in said(capsys, "check", tmp_path / "one.yaml", *with_data)


def test_a_bank_whose_name_no_file_can_have() -> None:
    with pytest.raises(PreregError, match="there is no file 'bbbb"):
        bound(("file: builtin/questions.yaml", f"file: {'b' * 300}.yaml"))


@pytest.mark.parametrize("command", [
    ("check", "FILE"), ("plan", "FILE"), ("store", "ls"), ("simulate", "FILE", "--run-sd", "0"),
])  # fmt: skip
def test_a_file_where_a_store_is_meant(
    command: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(ROOT / "preregs" / "issue_310_v2.yaml", tmp_path / "one.yaml")
    shutil.copytree(ROOT / "preregs" / "banks", tmp_path / "banks")
    before = (tmp_path / "one.yaml").read_bytes()
    arguments = [str(tmp_path / "one.yaml") if each == "FILE" else each for each in command]
    told = said(capsys, *arguments, "--store", tmp_path / "one.yaml")
    assert "is a file and no folder; expected a folder" in told
    assert (tmp_path / "one.yaml").read_bytes() == before


@pytest.mark.parametrize("number", ["1e400", "1e999999999", "1e-999999999", "9" * 400, f"0.{'1' * 400}"])
def test_a_number_in_a_formula_can_be_computed_with(number: str) -> None:
    with pytest.raises(FormulaError, match="a number that is too large, too small or too long"):
        parse_criterion(f"x >= {number} pp")


def test_a_product_of_numbers_can_be_computed_with() -> None:
    with pytest.raises(PreregError, match="numbers that give one beyond ±1e300"):
        bound(("more: shift >= 15 pp", "more: shift >= 1e200 * 1e200"))


@pytest.mark.parametrize("text", [" + ".join(["x"] * 3000), "- " * 3000 + "x", "abs(" * 3000 + "x" + ")" * 3000])
def test_a_formula_is_not_deeper_than_the_stack(text: str) -> None:
    with pytest.raises(FormulaError, match="more than 100 parts within each other"):
        parse_estimand(text)


def test_brackets_alone_make_a_formula_no_deeper() -> None:
    assert parse_estimand("(" * 3000 + "x" + ")" * 3000) == parse_estimand("x")


def test_a_level_that_looks_like_an_endless_number_is_a_name() -> None:
    levels = bound(("seed: [42]\n", "seed: [42]\n  run: [1e99999999, 7e4567890]\n")).dims
    assert next(dim.levels for dim in levels if dim.name == "run") == ("1e99999999", "7e4567890")


def test_a_misspelt_kind_is_refused_and_one_that_does_not_exist_yet_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(PreregError, match=r"measures.leakage.kind: there is no kind 'marker_rates'; .* 'marker_rate'"):
        bound(("kind: marker_rate", "kind: marker_rates"))
    with pytest.raises(PreregError, match=r"recipes.couple.kind: there is no kind 'marker_couplin'; .* Did you mean"):
        bound(("kind: marker_coupling", "kind: marker_couplin"))
    path = tmp_path / "one.yaml"
    path.write_text(changed(("kind: sft, data", "kind: dpo, data")), encoding="utf-8")
    main(["check", str(path)])
    assert "one.yaml:48:recipes.sft: stage 'dpo' is not implemented yet" in capsys.readouterr().out


def test_a_measure_with_a_faulty_value_does_not_hide_the_faults_of_what_reads_it() -> None:
    with pytest.raises(PreregError) as caught:
        bound(("completions: 3", "completions: 0"), ("more: shift >= 15 pp", "more: shift >= 15 nats"))
    assert [problem.where.key for problem in caught.value.problems] == ["hypotheses.H1.all.more",
                                                                        "measures.leakage.completions"]  # fmt: skip


def test_a_misspelt_resample_is_one_fault_and_not_that_there_is_none() -> None:
    with pytest.raises(PreregError) as caught:
        bound(("resample: persona and question", "resampel: persona and question"))
    assert [problem.where.key for problem in caught.value.problems] == ["measures.leakage.resampel"]
