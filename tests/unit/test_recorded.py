"""Recorded tables: declared columns, units and ranges, and every error at once with its line."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.contracts.records import Column
from harness.core.errors import PreregError
from harness.measure.recorded import declare, measure_recorded
from harness.measure.run import check

COLUMNS = {"persona": "dim", "cos": "cosine", "js": "nats", "rate": "rate"}
GOOD = """persona,cos,js,rate
librarian,-0.081,0.013,67%
villain,-0.237,0.032,0.57
"""


def read(tmp_path, text, columns=None, levels=None, name="table.csv"):
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    return measure_recorded({"columns": columns or COLUMNS, "levels": levels or {}}, file)


def problems(tmp_path, text, columns=None, levels=None):
    with pytest.raises(PreregError) as caught:
        read(tmp_path, text, columns, levels)
    return [str(problem).replace(f"{tmp_path}/", "") for problem in caught.value.problems]


def test_a_table_with_units(tmp_path):
    table = read(tmp_path, GOOD, levels={"persona": ("librarian", "villain")})
    assert table.dims == ("persona",)
    assert table.columns == (
        Column(name="cos", low=-1, high=1),
        Column(name="js", unit="nats", low=0),
        Column(name="rate", unit="proportion", low=0, high=1),
    )
    assert table.data == {
        "persona": ["librarian", "villain"], "cos": [-0.081, -0.237], "js": [0.013, 0.032], "rate": [0.67, 0.57],
    }  # fmt: skip
    assert check(table, {"persona": ("librarian", "villain")}) is table


def test_exact_rates_from_successes_and_trials(tmp_path):
    columns = {
        "arm": "dim",
        "who": {"dim": "persona"},
        "rate": {"successes": "hits", "trials": "total"},
        "note": "text",
    }
    table = read(tmp_path, "arm,who,hits,total,note\nC1,villain,3,10,a\nC2,villain,0,7,b\n", columns)
    assert table.dims == ("arm", "persona")
    assert table.columns[0] == Column(name="rate", unit="proportion", low=0, high=1, form="ratio")
    assert (table.data["rate.k"], table.data["rate.n"], table.data["note"]) == ([3, 0], [10, 7], ["a", "b"])


def test_columns_that_are_not_declared_are_left_alone(tmp_path):
    assert "extra" not in read(tmp_path, "persona,extra,x\na,?,1\n", {"persona": "dim", "x": "number"}).data


def test_parquet_is_read_the_same(tmp_path):
    rows = {"persona": ["a", "b"], "layer": [6, 10], "hits": [3.0, 4.0], "total": [10, 10], "x": [0.25, -1.0]}
    pq.write_table(pa.table(rows), tmp_path / "t.parquet")
    columns = {"persona": "dim", "layer": "dim", "rate": {"successes": "hits", "trials": "total"}, "x": "number"}
    table = measure_recorded({"columns": columns}, tmp_path / "t.parquet", {"layer": ("6", "10")})
    assert table.data["layer"] == ["6", "10"]
    assert (table.data["rate.k"], table.data["x"]) == ([3, 4], [0.25, -1.0])


def test_every_error_of_a_file_at_once_with_its_line(tmp_path):
    text = """persona,cos,js,rate
librarian,1.2,0.013,67
vilain,-0.2,,0.57
comedian,nan,-0.1,x

librarian,0,0,0
,0,0,0
"""
    assert problems(tmp_path, text, levels={"persona": ("librarian", "villain", "comedian")}) == [
        "table.csv:2:cos: 1.2 is out of range; expected a value in [-1, 1]",
        "table.csv:2:rate: 67 is out of range; expected a value in [0, 1]. Write 67%",
        "table.csv:3:persona: 'vilain' is not a level of the dim; expected one of librarian, villain, comedian. "
        "Did you mean 'villain'?",
        "table.csv:3:js: the cell is empty; expected a number",
        "table.csv:4:cos: found 'nan'; expected a finite number. "
        "A missing cell is left out of the plan and never a number",
        "table.csv:4:js: -0.1 is out of range; expected a value in [0, inf]",
        "table.csv:4:rate: found 'x'; expected a number",
        "table.csv:6: a second row for persona=librarian; expected one row per cell. The first is line 2",
        "table.csv:7:persona: the label is empty",
    ]


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ("a,11,10", "table.csv:2:hits: 11 successes in 10 trials; expected 0 .. trials"),
        ("a,-1,10", "table.csv:2:hits: -1 successes in 10 trials; expected 0 .. trials"),
        ("a,0,0", "table.csv:2:total: 0 trials; expected at least 1. A rate of nothing is unknown, not 0: "
                  "leave its cell out of the plan"),
        ("a,2.5,10", "table.csv:2:hits: found '2.5'; expected a whole number"),
        ("a,,10", "table.csv:2:hits: the cell is empty; expected a whole number"),
        ("a,1,99999999999999999999", "table.csv:2:total: found '99999999999999999999'; expected a whole number of at "
                                     "most 9223372036854775807"),
    ],
)  # fmt: skip
def test_counts_that_are_no_counts(tmp_path, row, text):
    columns = {"persona": "dim", "rate": {"successes": "hits", "trials": "total"}}
    assert problems(tmp_path, f"persona,hits,total\n{row}\n", columns) == [text]


def test_a_file_of_another_shape(tmp_path):
    assert problems(tmp_path, "persona,cosine,js\na,1,1\n") == [
        "table.csv:1:cos: there is no column 'cos'; expected one of persona, cosine, js. Did you mean 'cosine'?",
        "table.csv:1:rate: there is no column 'rate'; expected one of persona, cosine, js",
    ]
    assert problems(tmp_path, GOOD + "comedian,0,0\n") == ["table.csv:4: found 3 cells; expected 4 as in the header"]
    assert problems(tmp_path, "persona,cos,cos\n") == ["table.csv:1:cos: column 'cos' stands twice"]
    assert problems(tmp_path, "persona,cos,js,rate\n") == [
        "table.csv:2: the file has no rows: no data is an error and never a zero"
    ]


def test_rows_of_another_length_are_told_with_the_rest(tmp_path):
    assert problems(tmp_path, GOOD + "comedian,0,0\npoet,2,0,0\nnurse,0,0,0,0\n") == [
        "table.csv:4: found 3 cells; expected 4 as in the header",
        "table.csv:5:cos: 2 is out of range; expected a value in [-1, 1]",
        "table.csv:6: found 5 cells; expected 4 as in the header",
    ]


def test_a_file_without_a_header(tmp_path):
    assert problems(tmp_path, "") == ["table.csv:1: there is no header; expected the names of the columns"]


def test_a_cell_without_end(tmp_path):
    (said,) = problems(tmp_path, GOOD + 'comedian,"' + "0" * 200_000)
    assert said.startswith("table.csv:4: the line cannot be read: field larger than field limit")


def test_only_line_ends_end_a_line(tmp_path):
    columns = {"persona": "dim", "note": "text"}
    table = read(tmp_path, "persona,note\r\na,one\u2028two\x0cthree\r\nb,four\r\n", columns)
    assert table.data["note"] == ["one\u2028two\x0cthree", "four"]


def test_long_cells_are_shown_by_their_beginning(tmp_path):
    (said,) = problems(tmp_path, f"persona,x\na,{'y' * 500}\n", {"persona": "dim", "x": "number"})
    assert said == f"table.csv:2:x: found '{'y' * 60}…'; expected a number"


def test_equal_numbers_of_parquet_keep_their_sign(tmp_path):
    pq.write_table(pa.table({"persona": ["a", "b"], "x": [0.0, -0.0]}), tmp_path / "t.parquet")
    table = measure_recorded({"columns": {"persona": "dim", "x": "number"}}, tmp_path / "t.parquet")
    assert [str(x) for x in table.data["x"]] == ["0.0", "-0.0"]


def test_a_parquet_that_is_none(tmp_path):
    (tmp_path / "t.parquet").write_text("persona,x\n")
    with pytest.raises(PreregError, match=r"t\.parquet: it cannot be read: .*; expected a parquet file"):
        measure_recorded({"columns": {"persona": "dim", "x": "number"}}, tmp_path / "t.parquet")


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(PreregError, match="the file is not there"):
        measure_recorded({"columns": COLUMNS}, tmp_path / "none.csv")
    with pytest.raises(PreregError, match=r"'.json' cannot be read; expected a .csv or .parquet file"):
        read(tmp_path, "{}", name="t.json")
    (tmp_path / "latin.csv").write_bytes("persona\nzoé".encode("latin-1"))
    with pytest.raises(PreregError, match=r"latin\.csv:2: the byte 0xe9 is not UTF-8"):
        measure_recorded({"columns": {"persona": "dim"}}, tmp_path / "latin.csv")


def test_a_type_that_is_none():
    with pytest.raises(PreregError, match=r"columns.cos: 'cosin' is no type.*Did you mean 'cosine'"):
        declare({"persona": "dim", "cos": "cosin"})


@pytest.mark.parametrize(
    ("word", "unit", "low", "high"),
    [("bits", "bits", 0, None), ("tokens", "tokens", 0, None), ("points", "points", None, None), ("p", "p", 0, 1),
     ("count", "count", 0, None), ("number", "1", None, None), ("deg", "deg", None, None)],
)  # fmt: skip
def test_unit_words(word, unit, low, high):
    assert declare({"x": word}).columns == (Column(name="x", unit=unit, low=low, high=high),)
