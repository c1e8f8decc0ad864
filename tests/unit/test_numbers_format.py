"""How numbers are written, in the terminal and in reports."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.contracts.display import display_unit
from harness.contracts.trees import Call, Neg, Num, Op, Ref
from harness.core.numbers import (
    count_noun,
    format_interval,
    format_level,
    format_n,
    format_p,
    format_rel,
    format_threshold,
    format_value,
    phrase_p,
)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.5757142857, "proportion", "57.6%"),
        (Fraction(423, 1400), "pp", "30.2 pp"),
        (-0.383571, "pp", "−38.4 pp"),
        (0.0004, "proportion", "0.040%"),
        (-0.658, "1", "−0.658"),
        (0.00061, "1", "0.00061"),
        (1234.5, "tokens", "1,234.5 tokens"),
        (5.94, "deg", "5.9°"),
        (12, "count", "12"),
        (0.0387, "p", "0.0387"),
        (0.0, "pp", "0.0 pp"),
        (-0.0, "1", "0.000"),
        (None, "pp", "unknown"),
    ],
)
def test_values_are_written_with_their_unit(value, unit, text):
    assert format_value(value, unit) == text


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.0387, "p = 0.0387"),
        (0.107, "p = 0.107"),
        (0.0695, "p = 0.0695"),
        (0.00001, "p < 0.0001"),
        (0.0, "p < 0.0001"),
        (1.0, "p = 1.000"),
        (None, "p unknown"),
    ],
)
def test_p_values_are_never_zero(p, text):
    assert phrase_p(p) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.15, "pp", "15 pp"),
        (0.5, "proportion", "50%"),
        (0.001, "p", "0.001"),
        (-0.4, "1", "−0.4"),
        (0, "pp", "0 pp"),
        (2048, "tokens", "2,048 tokens"),
        (1 / 60, "p", "0.01667"),
        (0.0123, "pp", "1.23 pp"),
    ],
)
def test_registered_quantities_are_written_in_full(value, unit, text):
    assert format_threshold(value, unit) == text


def test_a_value_never_reads_like_the_threshold_it_misses():
    assert format_value(0.1499999, "pp", apart_from=0.15) == "14.99999 pp"
    assert format_p(0.04999, apart_from=0.05) == "0.04999"
    assert format_value(0.15, "pp", apart_from=0.15) == "15.0 pp"


def test_intervals_and_levels():
    assert format_interval(0.23429, 0.37, "pp") == "23.4–37.0 pp"
    assert format_interval(-0.42429, -0.34357, "pp") == "−42.4 to −34.4 pp"
    assert format_interval(0.0078, 0.5394, "proportion") == "0.8–53.9%"
    assert format_interval(0.0, 0.0004, "proportion") == "0.000–0.040%"
    assert format_interval(None, 1.0, "pp") == "unknown"
    assert format_level("19/20") == "95%"


def test_counts_and_words():
    assert format_n({"persona": 7, "question": 20, "observations": 2800}) == "2,800 (7 personas × 20 questions)"
    assert format_n({"persona": 10}) == "10 personas"
    assert format_n({"persona": 10, "observations": 10}) == "10 personas"
    assert format_n({"observations": 10}) == "10"
    assert format_n({}) == ""
    assert count_noun(1, "gate") == "1 gate"
    assert [count_noun(2, noun) for noun in ("hypothesis", "entry", "corpus", "key")] == [
        "2 hypotheses",
        "2 entries",
        "2 corpuses",
        "2 keys",
    ]
    assert (format_rel(">="), format_rel(">=", words=True)) == ("≥", "at least")


@given(st.floats(min_value=-1, max_value=1, allow_nan=False))
def test_a_printed_proportion_reads_back_within_rounding(value):
    shown = format_value(value, "pp", suffix=False).replace("−", "-").replace(",", "")
    decimals = len(shown.partition(".")[2])
    assert abs(float(shown) - 100 * value) <= 0.5 * 10**-decimals + 1e-9


def test_differences_of_proportions_are_shown_in_points():
    rate = Ref(measure="m", column="rate", select={})
    shift = Op(op="-", left=rate, right=rate)
    assert display_unit(shift, "proportion") == "pp"
    assert display_unit(Call(fn="max", args=(shift,)), "proportion") == "pp"
    assert display_unit(Neg(of=rate), "proportion") == "pp"
    assert display_unit(rate, "proportion") == "proportion"
    assert display_unit(Call(fn="mean", args=(rate,)), "proportion") == "proportion"
    assert display_unit(Op(op="*", left=Num(value="1/2"), right=rate), "proportion") == "proportion"
    assert display_unit(shift, "nats") == "nats"
