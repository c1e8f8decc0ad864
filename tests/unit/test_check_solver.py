"""The proofs about a decision rule: what can happen, what cannot and why, what excludes what, what decides nothing."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.check.reachability import reachability
from harness.check.run import check
from harness.compile.bind import bind
from harness.compose import declare_kinds
from harness.contracts.bound import Bound
from harness.contracts.records import CheckFinding
from harness.core.errors import PreregError
from harness.spec.load import read_text

TEXT = """\
prereg: 1
id: {id}
title: A rule
question: Can it happen?
hypotheses:
{hypotheses}
{more}
measures:
  t:
    {{kind: recorded, file: t.csv, columns: {{item: dim, a: rate, b: rate, c: number, d: number}},
     resample: {resample}}}
dims:
  item: {{levels: [i1, i2, i3, i4, i5, i6], primary: mean}}
"""


@pytest.fixture
def rule(tmp_path: Path):
    """Bind a rule on a table with two rates in [0, 1] and two numbers without bounds, over six items."""
    rows = [f"i{n},0.{n},0.{n},{n},{n}" for n in range(1, 7)]
    (tmp_path / "t.csv").write_text("item,a,b,c,d\n" + "\n".join(rows) + "\n")

    def make(clauses: str | dict[str, str], *, resample: str = "item", **sections: str) -> Bound:
        declare_kinds()
        named = {"H1": clauses} if isinstance(clauses, str) else clauses
        lines = [f"  {name}:\n    claim: it holds\n    all:\n      only: {text}" for name, text in named.items()]
        more = "\n".join(f"{name}:\n{text}" for name, text in sections.items())
        text = TEXT.format(id="rule", hypotheses="\n".join(lines), more=more, resample=resample)
        return bind(read_text(text, file="rule.yaml", folder=tmp_path))

    return make


def found(bound: Bound, code: str = "") -> list[CheckFinding]:
    return [each for each in reachability(bound) if not code or each.code == code]


# --- reproduced defects of peers: all three were called undetermined ---


def test_beyond_and_below_cannot_hold_together(rule) -> None:
    (only,) = found(rule("t.a > 50% and t.a < 40%"))
    assert (only.code, only.severity, only.at) == ("UNREACHABLE", "error", "hypotheses.H1.only")
    assert "'t.a > 50%' (line 9) and 't.a < 40%' (line 9) cannot hold together" in only.reason


def test_a_difference_needs_room_above_the_range_of_the_other(rule) -> None:
    (only,) = found(rule("t.a - t.b > 30 pp and t.a < 20%"))
    assert only.code == "UNREACHABLE"
    assert "'t.a - t.b > 30 pp' (line 9) and 't.a < 20%' (line 9) cannot hold together" in only.reason
    assert "because t.b is at least 0%" in only.reason
    assert found(rule("t.c - t.d > 0.3 and t.c < 0.2")) == []  # without a range there is room


def test_more_and_not_less(rule) -> None:
    (only,) = found(rule("t.a > 60% and not (t.a > 50%)"))
    assert only.code == "UNREACHABLE"
    assert "'t.a > 60%' (line 9) and 'not (t.a > 50%)' (line 9) cannot hold together" in only.reason


# --- reaching ---


def test_clauses_clash_across_names_and_lines(rule) -> None:
    bound = rule("t.a > 50%", gates="  low: t.a < 40%")
    (only,) = found(bound)
    assert (only.at, only.code) == ("hypotheses.H1", "UNREACHABLE")
    assert "'gate low: t.a < 40%' (line 11)" in only.reason
    assert "H1 supported can never happen" in only.reason


def test_a_claim_that_no_data_can_fail(rule) -> None:
    (only,) = found(rule("t.a >= 0%"), "UNFALSIFIABLE")
    assert only.severity == "error"
    assert "H1 not supported" in only.reason


def test_the_mean_lies_between_minimum_and_maximum(rule) -> None:
    assert found(rule("t.a > 50% and max(t.a by item) < 40%"), "UNREACHABLE")
    assert found(rule("t.a < 50% and min(t.a by item) > 60%"), "UNREACHABLE")
    assert found(rule("t.a > 50% and max(t.a by item) > 40%"), "INERT")
    assert found(rule("t.c > 5 and min(t.c by item) < 4")) == []


def test_a_kept_dim_is_judged_at_every_level(rule) -> None:
    each = "  each: t.c by item"
    assert found(rule("all(each > 1) and t.c < 1", estimands=each), "UNREACHABLE")
    assert found(rule("any(each > 1) and max(each) <= 1", estimands=each), "UNREACHABLE")
    assert not found(rule("any(each > 1) and t.c < 1", estimands=each), "UNREACHABLE")
    assert found(rule("all(ci(each) > 1)", estimands=each), "UNREACHABLE")[0].reason.endswith(
        "such data do not have)"
    )  # no interval
    assert found(rule("at_least(2, t.a > 50%, t.a < 40%)"), "UNREACHABLE")
    assert not found(rule("at_least(1, t.a > 50%, t.a < 40%)"), "UNREACHABLE")


def test_correlations_are_free_within_their_range(rule) -> None:
    r = "pearson(t.a by item, t.b by item)"
    assert not found(rule(f"{r} > 0.9 and t.a < 10%"), "UNREACHABLE")
    assert found(rule(f"{r} > 0.9 and {r} < 0.5"), "UNREACHABLE")


def test_quotients_are_compared_as_products(rule) -> None:
    assert found(rule("t.a / t.b > 2 and t.a < t.b"), "UNREACHABLE")
    assert not found(rule("t.a / t.b > 2 and t.a > t.b"), "UNREACHABLE")
    (only,) = found(rule("t.a / t.b > 2 and t.b > 60%"), "UNREACHABLE")
    assert only.reason.endswith("because t.a is at most 100%")


# --- intervals and p-values: tied to the estimate only where the method proves it ---


def test_a_t_interval_holds_its_estimate(rule) -> None:
    assert found(rule("t.c > 1 and ci(t.c) < 1"), "UNREACHABLE")
    assert found(rule("ci(t.c) > 1 and t.c > 1"), "INERT")[0].reason.startswith("'t.c > 1' decides nothing")


def test_a_percentile_interval_need_not(rule) -> None:
    assert not found(rule("t.c > 1 and ci(t.c) < 1", resample="item, method: bootstrap"), "UNREACHABLE")


def test_a_t_test_and_its_interval_say_the_same(rule) -> None:
    assert found(rule("p(t.c > 1) < 0.025 and not (ci(t.c) > 1)"), "UNREACHABLE")
    assert found(rule("p(t.c > 1) < 0.01 and not (ci(t.c) > 1)"), "UNREACHABLE")
    assert not found(rule("p(t.c > 1) < 0.05 and not (ci(t.c) > 1)"), "UNREACHABLE")
    assert found(rule("p(t.c > 1) < 0.01 and t.c <= 1"), "UNREACHABLE")
    assert found(rule("p(abs(t.c) > 0) < 0.05 and ci(t.c) within -1 .. 1 and abs(t.c) > 2"), "UNREACHABLE")


def test_a_p_below_what_is_attainable_is_impossible(rule) -> None:
    shuffled = "p(pearson(t.a by item, t.b by item) > 0 | shuffled item)"
    assert found(rule(f"{shuffled} < 0.001"), "UNREACHABLE")  # 1/6! = .0014
    assert not found(rule(f"{shuffled} < 0.01"), "UNREACHABLE")


# --- excluding ---


def test_a_kill_that_the_claim_allows(rule) -> None:
    bound = rule("p(t.c > 0) < 0.01", kill="  small: ci(t.c) < 0.5", estimands="  shift: t.c")
    (only,) = found(bound, "CONTRADICTION")
    assert (only.severity, only.at) == ("error", "kill.small")
    assert "kill 'small' can hold while H1, which it kills, is supported" in only.reason
    assert found(rule("p(t.c > 0) < 0.01 and t.c >= 0.5", kill="  small: ci(t.c) < 0.5"), "CONTRADICTION") == []


def test_what_takes_a_strange_percentile_interval_is_a_note(rule) -> None:
    bound = rule("t.c >= 0.5", kill="  small: ci(t.c) < 0.5", resample="item, method: bootstrap")
    (only,) = found(bound, "CONTRADICTION")
    assert only.severity == "note"
    assert "not proven impossible" in only.reason


def test_a_kill_may_spare_a_hypothesis(rule) -> None:
    claims = {"H1": "t.c > 1", "H2": "t.d > 1"}
    assert found(rule(claims, kill="  k: {if: ci(t.c) < 1, kills: [H1]}"), "CONTRADICTION") == []
    (only,) = found(rule(claims, kill="  k: ci(t.c) < 1"), "CONTRADICTION")
    assert "while H2, which it kills" in only.reason


def test_triage_rows_exclude_each_other(rule) -> None:
    rows = "  - H1: yes -> on\n  - t.d > 1: other -> on\n  - otherwise: no -> stop"
    (only,) = found(rule("t.c > 1", triage=rows), "OVERLAP")
    assert (only.at, only.severity) == ("triage.1", "error")
    assert "can both hold" in only.reason
    apart = "  - H1: yes -> on\n  - t.c < 0: less -> on\n  - otherwise: no -> stop"
    assert found(rule("t.c > 1", triage=apart)) == []


def test_rows_that_never_apply(rule) -> None:
    rows = "  - H1: yes -> on\n  - not H1 and t.c > 2: odd -> on\n  - otherwise: no -> stop"
    (only,) = found(rule("t.c > 1", triage=rows), "UNREACHABLE")
    assert only.at == "triage.1"
    every = "  - H1: yes -> on\n  - not H1: no -> on\n  - otherwise: rest -> stop"
    (only,) = found(rule("t.c > 1", triage=every), "UNREACHABLE")
    assert only.severity == "note"
    assert only.at == "triage.2"


def test_a_confidence_that_is_never_claimed(rule) -> None:
    (only,) = found(rule("t.c > 1", confidence="  HIGH: killed\n  LOW: otherwise"), "UNREACHABLE")
    assert (only.at, only.severity) == ("confidence.HIGH", "warning")


# --- deciding nothing ---


def test_an_implied_part_is_named_with_what_implies_it(rule) -> None:
    (only,) = found(rule("t.a > 60% and t.a > 50%"), "INERT")
    assert only.severity == "warning"
    assert only.reason == "'t.a > 50%' decides nothing: it holds whenever 't.a > 60%' does"


def test_of_two_equal_parts_one_remains(rule) -> None:
    assert len(found(rule("t.a > 60% and t.a > 60%"), "INERT")) == 1


def test_a_sound_rule_has_no_findings(rule) -> None:
    triage = "  - H1: yes -> on\n  - otherwise: no -> stop"
    bound = rule(
        "t.c >= 0.5 and ci(t.c) > 0", kill="  none: ci(t.c) < 0.1", triage=triage, gates="  varies: t.d > 0",
        confidence="  MODERATE: supported\n  LOW: otherwise",
    )  # fmt: skip
    assert found(bound) == []


# --- other defects of peers that belong to the checker ---


def test_a_threshold_out_of_range_does_not_even_bind(rule) -> None:
    with pytest.raises(PreregError, match="can never be reached"):
        rule("t.a - t.b > 150%")


def test_everything_at_once_is_sorted_by_line(rule) -> None:
    findings = check(rule("t.a > 50% and t.a < 40%", kill="  k: t.a < 10%"), deep=True)
    assert [f.line for f in findings] == sorted(f.line for f in findings)
    assert {"UNREACHABLE", "KILL-POINT"} <= {f.code for f in findings}


# --- against brute force ---

COMPARISONS = st.tuples(
    st.sampled_from(["t.a", "t.b", "t.a - t.b", "t.a + t.b", "max(t.a, t.b)", "abs(t.a - t.b)"]),
    st.sampled_from([">", ">=", "<", "<="]),
    st.sampled_from([0.25, 0.5, 0.75]),
)
VALUES = {
    "t.a": lambda a, b: a, "t.b": lambda a, b: b, "t.a - t.b": lambda a, b: a - b, "t.a + t.b": lambda a, b: a + b,
    "max(t.a, t.b)": max, "abs(t.a - t.b)": lambda a, b: abs(a - b),
}  # fmt: skip
GRID = [Fraction(i, 16) for i in range(17)]


def holds(comparison: tuple[str, str, float], a: Fraction, b: Fraction) -> bool:
    value, rel, limit = VALUES[comparison[0]](a, b), comparison[1], Fraction(comparison[2])
    return {">": value > limit, ">=": value >= limit, "<": value < limit, "<=": value <= limit}[rel]


@given(parts=st.lists(COMPARISONS, min_size=2, max_size=3, unique=True))
@settings(max_examples=60, deadline=None)
def test_possible_on_a_grid_is_never_called_impossible(rule_bound, parts) -> None:
    bound = rule_bound(" and ".join(f"{v} {rel} {100 * limit:g}%" for v, rel, limit in parts))
    reachable = any(all(holds(part, a, b) for part in parts) for a, b in product(GRID, GRID))
    # Thresholds lie on the grid and regions between them hold a grid point, so the grid misses nothing.
    assert bool(found(bound, "UNREACHABLE")) is not reachable


@pytest.fixture(scope="session")
def rule_bound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rule")
    (folder / "t.csv").write_text("item,a,b,c,d\n" + "\n".join(f"i{n},0.{n},0.{n},{n},{n}" for n in range(1, 7)) + "\n")

    def make(clause: str) -> Bound:
        declare_kinds()
        text = TEXT.format(id="rule", resample="item", more="",
                           hypotheses=f"  H1:\n    claim: it holds\n    all:\n      only: {clause}")  # fmt: skip
        return bind(read_text(text, file="rule.yaml", folder=folder))

    return make
