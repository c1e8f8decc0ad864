from __future__ import annotations

import math

import pytest
from making import cell, ci, cmp, estimates, num, p_of, ref

from harness.contracts.trees import All, Any_, AtLeast, Hyp, Not, Over
from harness.core.errors import PreregError
from harness.decide.judge import judge


def test_exact_threshold_is_met_where_floats_fail() -> None:
    # .84 - .69 is .15000000000000002 or .1499999 in floats, depending on the baseline; 21/25 - 69/100 is 3/20.
    met = cmp("shift", ">=", num("3/20", "proportion"))
    beyond = cmp("shift", ">", num("3/20", "proportion"))
    found = estimates(("shift", cell("3/20")), unit="proportion")
    assert judge(met, found).truth == "true"
    assert judge(beyond, found).truth == "false"
    assert judge(beyond, found).why == "15.0% is not above 15%"


def test_floats_compare_with_the_float_of_the_threshold() -> None:
    assert judge(cmp("x", ">=", "3/20"), estimates(("x", cell(0.15)))).truth == "true"


@pytest.mark.parametrize(("rel", "expected"), [(">", "false"), (">=", "true"), ("<", "false"), ("<=", "true")])
def test_equality_is_strict_or_not_as_written(rel: str, expected: str) -> None:
    assert judge(cmp("x", rel, "1/3"), estimates(("x", cell("1/3")))).truth == expected


def test_shortfall_says_what_it_would_have_taken() -> None:
    criterion = cmp("shift", ">=", num("3/20", "proportion"), text="shift >= 15 pp", line=7)
    (fact,) = judge(criterion, estimates(("shift", cell("123/1000")), unit="proportion")).facts
    assert fact.why == "12.3 pp is 2.7 pp below 15 pp"
    assert fact.shortfall == pytest.approx(0.027)
    assert (fact.line, fact.estimate, fact.value, fact.threshold) == (7, "shift", 0.123, 0.15)


def test_close_values_are_told_apart() -> None:
    criterion = cmp("shift", ">=", num("3/20", "proportion"), text="shift >= 15 pp")
    assert judge(criterion, estimates(("shift", cell("1499/10000")), unit="proportion")).why == (
        "14.99 pp is 0.010 pp below 15 pp"
    )


def test_whole_interval_decides() -> None:
    found = estimates(("x", cell(0.3, (0.05, 0.5))))
    assert judge(ci("x", ">"), found).truth == "true"
    assert judge(ci("x", "<", "1/2"), found).truth == "false"
    assert judge(ci("x", "<=", "1/2"), found).truth == "true"
    assert judge(ci("x", ">", "1/10"), found).why == "the 95% interval 0.050–0.500 reaches down 0.050 past 0.1"
    assert judge(ci("x", None, low="0", high="1/2"), found).truth == "true"
    outside = judge(ci("x", None, low="1/10", high="1"), found)
    assert outside.truth == "false"
    assert outside.facts[0].shortfall == pytest.approx(0.05)


@pytest.mark.parametrize("missing", [cell(None, reason="no data"), cell(math.nan), cell(math.inf)])
def test_a_missing_value_is_unknown_and_never_zero(missing: object) -> None:
    found = estimates(("x", missing))
    for criterion in (cmp("x", ">=", "0"), cmp("x", "<", "0"), Not(of=cmp("x", ">", "0")), ci("x", ">")):
        judged = judge(criterion, found)
        assert judged.truth == "unknown"
        assert judged.facts[0].shortfall is None
        assert judged.why


def test_a_missing_interval_is_unknown() -> None:
    judged = judge(ci("x", ">"), estimates(("x", cell(1.0))))
    assert (judged.truth, judged.why) == ("unknown", "x has no interval at 95%")


def test_a_number_that_nobody_computed_is_an_error() -> None:
    # peers.md, defect 3: a metric that was not measured must not pass on another one's value.
    with pytest.raises(PreregError, match="there is no estimate"):
        judge(All(of=(cmp("a", ">", "0"), cmp("b", ">", "0"))), estimates(("a", cell(1.0))))


def test_all_and_any_run_over_the_kept_dims() -> None:
    table = ref("x", "layer")
    found = estimates((table, [cell(0.1, layer="1"), cell(-0.2, layer="2")]))
    inner = cmp(table, ">", "0")
    every, some = judge(Over(how="all", of=inner), found), judge(Over(how="any", of=inner), found)
    assert (every.truth, some.truth) == ("false", "true")
    assert [fact.at for fact in every.facts] == [{"layer": "1"}, {"layer": "2"}]
    assert every.why == "−0.200 is 0.200 below 0"


def test_an_unknown_cell_leaves_all_unknown_unless_another_fails() -> None:
    table = ref("x", "layer")
    inner = Over(how="all", of=cmp(table, ">", "0"))
    assert judge(inner, estimates((table, [cell(1.0, layer="1"), cell(None, layer="2")]))).truth == "unknown"
    assert judge(inner, estimates((table, [cell(-1.0, layer="1"), cell(None, layer="2")]))).truth == "false"


@pytest.mark.parametrize("how", ["all", "any"])
def test_no_cells_are_unknown_and_never_vacuously_true(how: str) -> None:
    table = ref("x", "layer")
    judged = judge(Over(how=how, of=cmp(table, ">", "0")), estimates((table, [])))
    assert (judged.truth, judged.why) == ("unknown", "there are no cells to judge")


def test_tables_are_matched_by_dim_and_broadcast() -> None:
    a, b = ref("a", "layer"), ref("b", "arm")
    found = estimates(
        (a, [cell(1.0, layer="1"), cell(3.0, layer="2")]),
        (b, [cell(2.0, arm="C1"), cell(0.0, arm="C2")]),
        ("c", cell(9.0)),
    )
    judged = judge(Over(how="any", of=All(of=(cmp(a, ">", b), cmp("c", ">", a)))), found)
    assert judged.truth == "true"
    assert len(judged.facts) == 8


def test_a_table_must_be_reduced() -> None:
    table = ref("x", "layer")
    with pytest.raises(PreregError, match=r"compares a table by layer.*all\( \)"):
        judge(cmp(table, ">", "0"), estimates((table, [cell(1.0, layer="1")])))


def test_at_least_counts() -> None:
    found = estimates(("a", cell(1.0)), ("b", cell(-1.0)), ("c", cell(None)))
    parts = tuple(cmp(name, ">", "0") for name in "abc")
    assert judge(AtLeast(count=1, of=parts), found).truth == "true"
    assert judge(AtLeast(count=2, of=parts), found).truth == "unknown"
    assert judge(AtLeast(count=3, of=parts), found).truth == "false"
    assert judge(AtLeast(count=2, of=parts), found).why == "1 of 3 hold, 2 needed"


def test_why_names_the_reasons_that_decide() -> None:
    found = estimates(("a", cell(1.0)), ("b", cell(-1.0)))
    both = judge(All(of=(cmp("a", ">", "0"), cmp("b", ">", "0"))), found)
    assert both.why == "−1.000 is 1.000 below 0"
    assert judge(Any_(of=(cmp("a", ">", "0"), cmp("b", ">", "0"))), found).why == "1.000 is above 0"


def test_a_hypothesis_needs_a_situation() -> None:
    with pytest.raises(PreregError, match="no hypothesis has been judged"):
        judge(Hyp(name="H1"), {})


@pytest.mark.parametrize(
    ("p", "draws", "truth"),
    [
        (1 / 10_001, 10_000, "true"),  # k = 0 of 10,000: the 99% interval ends at .0005
        (11 / 10_001, 10_000, "unknown"),  # k = 10 against .001: a new seed would flip it
        (41 / 10_001, 10_000, "false"),
        (1 / 2_001, 2_000, "unknown"),  # k = 0 of 2,000: the interval reaches .0026
        (0.0008, 0, "true"),  # nothing was drawn
    ],
)
def test_a_drawn_p_near_its_threshold_is_unknown(p: float, draws: int, truth: str) -> None:
    judged = judge(cmp(p_of("x"), "<", "1/1000"), estimates((p_of("x"), cell(p)), draws=draws))
    assert judged.truth == truth


def test_the_monte_carlo_interval_is_clopper_pearson() -> None:
    from scipy.stats import beta

    from harness.decide.compare import _binomial_at_most

    draws, threshold = 10_000, 0.001
    for hits in range(0, 40):
        low = beta.ppf(0.005, hits, draws - hits + 1) if hits else 0.0
        high = beta.ppf(0.995, hits + 1, draws - hits)
        fewer = _binomial_at_most(hits, draws, threshold)
        more = 1 - (_binomial_at_most(hits - 1, draws, threshold) if hits else 0.0)
        assert (min(fewer, more) >= 0.005) == (low <= threshold <= high), hits
