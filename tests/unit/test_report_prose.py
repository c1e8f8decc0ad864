"""The prose checker finds numbers that results.json does not carry."""

import re

import pytest
import report_cases
from report_cases import CASES, RUN

from reports.numbers import check_prose
from reports.render import clean_result


def document(name):
    case = CASES[name]()
    return clean_result(case.model, RUN), case.model


PLANTED = [
    ("two_analyses", "30.2 pp", "31.2 pp"),
    ("two_analyses", "30.2 pp", "30.2%"),
    ("two_analyses", "57.6% in C2", "75.6% in C2"),
    ("two_analyses", "27.4% in C1", "27.5% in C1"),
    ("two_analyses", "p = 0.0115", "p = 0.0015"),
    ("two_analyses", "p = 0.0115", "p = 0.0116"),
    ("two_analyses", "registered 0.01;", "registered 0.05;"),
    ("two_analyses", "N = 2,800", "N = 28,000"),
    ("two_analyses", "7 personas × 20", "8 personas × 20"),
    ("two_analyses", "the 140 persona", "the 141 persona"),
    ("two_analyses", "23.4–37.0 pp", "23.4–37.1 pp"),
    ("two_analyses", "5.7–54.7 pp", "15.7–54.7 pp"),
    ("two_analyses", "5.7–54.7 pp", "5.7–54.7%"),
    ("two_analyses", "−18.5 pp", "+18.4 pp"),
    ("two_analyses", "−18.5 pp", "−19.5 pp"),
    ("two_analyses", "+59.0 pp", "+95.0 pp"),
    ("two_analyses", "because the 7 personas", "because the 9 personas"),
    ("two_analyses", "It follows #125", "It follows #126"),
    ("two_analyses", "**Decision:** 1 clause", "**Decision:** 3 clauses"),
    ("two_analyses", "`issue_262`", "`issue_263`"),
    ("retrospective_correlation", "8 of 10 leave", "9 of 10 leave"),
    ("retrospective_correlation", "8 of 10 leave", "8 of 11 leave"),
    ("retrospective_correlation", "lose p < 0.05", "lose p < 0.01"),
    ("retrospective_correlation", "−0.658 (p = 0.0387)", "0.658 (p = 0.0387)"),
    ("retrospective_correlation", "−0.658 (p = 0.0387)", "−0.685 (p = 0.0387)"),
    ("retrospective_correlation", "−0.658 (p = 0.0387)", "−0.658 (p = 0.0378)"),
    ("retrospective_correlation", "up to 0.0919", "up to 0.0991"),
    ("retrospective_correlation", "−0.595 (p = 0.0695)", "−0.595 (p = 0.0659)"),
    ("not_supported", "12.0 pp (37.0%", "21.0 pp (37.0%"),
    ("not_supported", "3.0 pp short", "2.0 pp short"),
    ("not_supported", "registered 15 pp", "registered 10 pp"),
    ("not_supported", "7 of 250 completions", "17 of 250 completions"),
    ("not_supported", "7 of 250 completions", "7 of 2,500 completions"),
    ("supported", "seeds 137 and", "seeds 138 and"),
    ("killed", "−2.1 to 4.1 pp", "−2.1 to 4.2 pp"),
    ("killed", "−2.1 to 4.1 pp", "2.1 to 4.1 pp"),
    ("killed", "wholly below 5 pp", "wholly below 6 pp"),
    ("inconclusive_by_gate", "is 24.0%, 26.0 pp short", "is 42.0%, 26.0 pp short"),
    ("inconclusive_by_gate", "26.0 pp short of the registered 50%", "26.0 pp short of the registered 51%"),
    ("supported", "55.0% in C2 against 25.0%", "45.0% in C2 against 25.0%"),
]


@pytest.mark.parametrize(("name", "right", "wrong"), PLANTED)
def test_a_planted_number_is_found(name, right, wrong):
    text, model = document(name)
    assert right in text
    assert check_prose(text, model) == []
    assert check_prose(text.replace(right, wrong, 1), model), f"{wrong} was not found"


def test_text_without_numbers_of_its_own_passes():
    _, model = document("supported")
    assert check_prose("H1 is supported in C2.\n\n| 12345 |\n|---|\n\n```text\n99.9%\n```\n", model) == []


def test_numbers_in_code_must_be_registered():
    _, model = document("supported")
    assert check_prose("See `p(leakage_shift > 0)`.", model) == []
    assert check_prose("See `p(leakage_shift > 9)`.", model)


def test_a_number_of_another_estimate_is_wrong_beside_a_name():
    _, model = document("supported")
    assert check_prose("`leakage_shift` is 30.0 pp.", model) == []
    assert check_prose("`bystander_rate` is 30.0 pp.", model)


def test_registered_text_may_be_quoted_but_bare_numbers_are_never_whitelisted():
    case = report_cases.supported()
    model = case.model
    assert check_prose("Next: replicate with seeds 137 and 256.", model) == []
    assert check_prose("Next: replicate with 137.", model)


def test_every_prose_number_can_be_broken():
    """Change each number of a report by its last digit: nearly all changes must be seen."""
    text, model = document("two_analyses")
    body = text.split("## Setup")[0]
    spots = [m for m in re.finditer(r"(?<![\w#.`])\d[\d,]*\.?\d*(?= pp|%|\b)", body) if m[0][-1].isdigit()]
    seen = 0
    for spot in spots:
        last = str((int(spot[0][-1]) + 3) % 10)
        broken = body[: spot.end() - 1] + last + body[spot.end() :]
        seen += bool(check_prose(broken, model))
    assert len(spots) > 15
    assert seen / len(spots) > 0.85
