"""Checks on every measurement before it is stored, and its stored form."""

from __future__ import annotations

import json

import numpy as np
import pytest

from harness.contracts.kinds import Table
from harness.contracts.records import Column
from harness.core.errors import JobError
from harness.measure.run import check
from harness.measure.table import read_table, write_table

COS = Column(name="cos", low=-1, high=1)
RATE = Column(name="rate", unit="proportion", low=0, high=1, form="ratio")
GRAM = Column(name="g", low=-1, high=1, form="gram")
LEVELS = {"persona": ("a", "b"), "question": ("1", "2")}
OUTSIDE = "1 row(s) of rate with successes outside 0 .. trials: "
DIMS = ("persona", "question")
LABELS = {"persona": ["a", "a", "b", "b"], "question": ["1", "2", "1", "2"]}


def table(**columns):
    declared = [COS] if "cos" in columns else [RATE]
    data = {name.replace("_", "."): values for name, values in columns.items()}
    return Table(DIMS, tuple(declared), {**LABELS, **data})


def refusal(broken, levels=LEVELS):
    with pytest.raises(JobError) as caught:
        check(broken, levels)
    return str(caught.value)


def test_a_sound_table_passes():
    for levels in (LEVELS, None):
        assert check(table(cos=[0.1, -1, 1, 0]), levels)
        assert check(table(rate_k=[0, 1, 2, 3], rate_n=[3, 3, 3, 3]), levels)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_must_be_finite(bad):
    text = refusal(table(cos=[0, bad, 0, bad]))
    assert text == (
        f"2 value(s) of cos are not finite numbers: row 2 (persona=a, question=2) {bad}, "
        f"row 4 (persona=b, question=2) {bad}"
    )


def test_numbers_must_be_in_range():
    assert refusal(table(cos=[0, 1.5, 0, 0])) == "1 value(s) of cos outside [-1, 1]: row 2 (persona=a, question=2) 1.5"
    assert check(table(cos=[0, 1 + 1e-12, 0, 0]), LEVELS), "rounding is no error"


@pytest.mark.parametrize(
    ("k", "n", "text"),
    [
        ([0, 4, 0, 0], [3] * 4, OUTSIDE + "row 2 (persona=a, question=2) 4 of 3"),
        ([0, -1, 0, 0], [3] * 4, OUTSIDE + "row 2 (persona=a, question=2) -1 of 3"),
        ([0] * 4, [3, 3, 0, 3], "1 row(s) of rate with no trials (a rate of nothing is unknown, not 0): "
                                "row 3 (persona=b, question=1) 0 of 0"),
        ([0.5, 0, 0, 0], [3] * 4, "1 row(s) of rate with counts that are not whole: "
                                "row 1 (persona=a, question=1) 0.5 of 3"),
    ],
)  # fmt: skip
def test_counts_must_count(k, n, text):
    assert refusal(table(rate_k=k, rate_n=n)) == text


def test_planned_cells_are_all_there_once():
    short = Table(DIMS, (COS,), {"persona": ["a", "b"], "question": ["1", "1"], "cos": [0, 0]})
    assert refusal(short) == "2 of 4 planned cells missing: (persona=a, question=2), (persona=b, question=2)"
    assert check(short), "without a plan, what occurs is the plan"
    twice = Table(DIMS, (COS,), {"persona": ["a", "a", "b"], "question": ["1", "1", "1"], "cos": [0, 0, 0]})
    assert refusal(twice, {"persona": ("a", "b"), "question": ("1",)}) == (
        "1 of 2 planned cells present more than once: (persona=a, question=1)"
    )
    many = Table(("question",), (COS,), {"question": ["1"], "cos": [0]})
    assert refusal(many, {"question": [str(i) for i in range(1, 9)]}).endswith("(question=4) and 4 more")


def test_unplanned_levels_are_refused():
    assert (
        refusal(table(cos=[0] * 4), {"persona": ("a",), "question": ("1", "2")}) == "1 unplanned level(s) of persona: b"
    )


def test_no_rows_and_no_columns_are_refused():
    empty = Table(DIMS, (COS,), {"persona": [], "question": [], "cos": []})
    assert refusal(empty) == "the measurement has no rows: no data is an error and never a zero"
    assert refusal(Table(DIMS, (COS,), LABELS)) == "the table declares 'cos' and does not hold it"
    assert "cos has 1 values and the table 4 rows" in refusal(table(cos=[0]))


def test_all_problems_come_at_once():
    broken = Table(DIMS, (COS, Column(name="x")), {**LABELS, "cos": [2, 0, 0, 0], "x": [np.nan, 0, 0, 0]})
    assert len(refusal(broken).splitlines()) == 2


def test_the_second_dim_of_a_pair_has_the_levels_of_the_first():
    data = {"question": ["1", "1", "2", "2"], "question_b": ["1", "2", "1", "2"]}
    parts = {name: [1.0, 0.5, 0.5, 1.0] for name in ("g.dot", "g.own", "g.ref")}
    pairs = Table(("question", "question_b"), (GRAM,), {**data, **parts})
    assert check(pairs, {"question": ("1", "2")})
    one_sided = Table(pairs.dims, (GRAM,), {name: values[:3] for name, values in pairs.data.items()})
    assert refusal(one_sided, {"question": ("1", "2")}) == "1 of 4 planned cells missing: (question=2, question_b=2)"
    assert "are not finite" in refusal(Table(pairs.dims, (GRAM,), {**data, **parts, "g.own": [np.nan, 1, 1, 1]}))


def test_a_table_without_dims_has_one_row():
    assert check(Table((), (COS,), {"cos": [0.5]}), {})
    assert refusal(Table((), (COS,), {"cos": [0.5, 0.6]})) == "a table without dims has one row, found 2"


# --- stored form ---------------------------------------------------------------------------------


def test_a_stored_table_comes_back(tmp_path):
    text = Column(name="answer", form="text")
    data = {**LABELS, "cos": [0.1, 0.2, 0.3, 1 / 3], "rate.k": [0, 1, 2, 3], "rate.n": [3] * 4, "answer": list("wxyz")}
    whole = Table(DIMS, (COS, RATE, text), data)
    write_table(whole, tmp_path)
    back = read_table(tmp_path)
    assert (back.dims, back.columns) == (whole.dims, whole.columns)
    assert {name: list(values) for name, values in back.data.items()} == data
    assert back.data["rate.k"].dtype == np.int64
    assert json.loads((tmp_path / "table.json").read_text())["dims"] == ["persona", "question"]


def test_equal_tables_are_equal_bytes(tmp_path):
    for name, array in (("one", list), ("two", np.array)):
        write_table(table(cos=array([0.1, 0.2, 0.3, 0.4])), tmp_path / name)
    for file in ("table.parquet", "table.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_tables_that_cannot_be_stored(tmp_path):
    with pytest.raises(JobError, match="declares 'cos' and does not hold it"):
        write_table(Table(DIMS, (COS,), LABELS), tmp_path)
    with pytest.raises(JobError, match="columns that it does not declare: stray"):
        write_table(Table(DIMS, (), {**LABELS, "stray": [1]}), tmp_path)
    with pytest.raises(JobError, match="differ in length"):
        write_table(table(cos=[0.5]), tmp_path)
    with pytest.raises(JobError, match=r"'rate.k' counts and holds values that are not whole"):
        write_table(table(rate_k=[0.5] * 4, rate_n=[1] * 4), tmp_path)
    with pytest.raises(JobError, match="'cos' is <U1, not numbers"):
        write_table(table(cos=list("abcd")), tmp_path)


def test_a_damaged_measurement_is_named(tmp_path):
    with pytest.raises(JobError, match=r"has no table.json"):
        read_table(tmp_path)
    write_table(table(cos=[0] * 4), tmp_path)
    (tmp_path / "table.json").write_text('{"dims": ["persona"], "columns": []}')
    with pytest.raises(JobError, match=r"table.json declares \['persona'\], table.parquet holds"):
        read_table(tmp_path)
