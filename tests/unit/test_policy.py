"""Truncated completions: more than declared make a value unknown; fewer are reported with both worst cases."""

from __future__ import annotations

from pathlib import Path

import pytest
from measured import RATE, Lab

from harness.contracts.records import Column, Estimate
from harness.contracts.trees import Op, Ref, Value

CUT = Column(name="truncated", unit="proportion", low=0, high=1, form="ratio")
LOW = Column(name="rate_low", unit="proportion", low=0, high=1, form="ratio")
HIGH = Column(name="rate_high", unit="proportion", low=0, high=1, form="ratio")


def ref(arm: str, column: str = "rate") -> Ref:
    return Ref(measure="leakage", column=column, select={"arm": (arm,), "question": ("q1", "q2")})


def estimated(folder: Path, tree: Value, cut: dict[str, int], at_most: str | None) -> Estimate:
    """Two arms, two questions, ten completions each; ``cut`` completions per question of an arm are truncated."""
    lab = Lab(folder)
    arms, questions = ("C1", "C2"), ("q1", "q2")
    rows = [(arm, question) for arm in arms for question in questions]
    hits = {"C1": 2, "C2": 6}
    lab.add(
        "leakage", ("arm", "question"), (RATE, CUT, LOW, HIGH),
        {
            "arm": [arm for arm, _ in rows],
            "question": [question for _, question in rows],
            "rate.k": [hits[arm] for arm, _ in rows], "rate.n": [10] * 4,
            "truncated.k": [cut[arm] for arm, _ in rows], "truncated.n": [10] * 4,
            "rate_low.k": [hits[arm] for arm, _ in rows], "rate_low.n": [10] * 4,
            "rate_high.k": [hits[arm] + cut[arm] for arm, _ in rows], "rate_high.n": [10] * 4,
        },
    )  # fmt: skip
    policy = {"as": "miss"} | ({"at_most": at_most} if at_most else {})
    lab.measures["leakage"] = lab.measures["leakage"].model_copy(update={"truncated": policy})
    return lab.estimate(tree, unit="proportion")


SHIFT = Op(op="-", left=ref("C2"), right=ref("C1"))


def test_more_than_declared_leave_the_value_unknown_and_say_whose(tmp_path: Path) -> None:
    (cell,) = estimated(tmp_path, SHIFT, {"C1": 0, "C2": 1}, "1/20").cells
    assert cell.value is None
    assert cell.intervals == ()
    assert cell.reason == (
        "10.0% of the completions of C2 were cut off by the length limit, more than the 5% that are allowed"
    )


def test_the_share_itself_stays_known_for_a_gate_to_read(tmp_path: Path) -> None:
    (cell,) = estimated(tmp_path, ref("C2", "truncated"), {"C1": 0, "C2": 1}, "1/20").cells
    assert cell.exact == "1/10"


@pytest.mark.parametrize("at_most", ["1/10", None])
def test_up_to_the_limit_the_value_stands_with_both_worst_cases(tmp_path: Path, at_most: str | None) -> None:
    found = estimated(tmp_path, SHIFT, {"C1": 1, "C2": 1}, at_most)
    assert found.cells[0].exact == "2/5"
    # C2 at its lowest against C1 at its highest, and the other way round.
    assert "30.0–50.0 pp over all ways to count the truncated completions" in found.note


def test_nothing_is_said_where_nothing_was_cut(tmp_path: Path) -> None:
    assert "truncated" not in estimated(tmp_path, SHIFT, {"C1": 0, "C2": 0}, "1/20").note
