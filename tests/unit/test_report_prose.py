"""The prose checker finds numbers that results.json does not carry."""

import re

import pytest
import report_cases
from report_cases import RUN
from report_standings import ALL as CASES
from report_standings import matrix

from reports import numbers
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
    ("control_leads", "1,100 tokens in C3", "1,200 tokens in C3"),
    ("control_leads", "(p = 0.436 instead of", "(p = 0.463 instead of"),
    ("control_leads", "instead of 0.0123", "instead of 0.0132"),
    ("control_leads", "**4 of 4 personas", "**3 of 4 personas"),
    ("control_leads", "**4 of 4 personas", "**four of 5 personas"),
    ("control_leads", "193 of 200 completions", "139 of 200 completions"),
    ("control_leads", "41.5 pp above C2", "41.5 pp below C2"),
    ("control_leads", "200 completions per arm", "400 completions per arm"),
    ("control_leads", "questions × 10;", "questions × 20;"),
    ("control_leads", "92.0–100.0% of", "92.0–99.0% of"),
    ("control_leads", "stands 1.5 times", "stands 2.5 times"),
    ("control_leads", "75.0% of them once", "57.0% of them once"),
    ("control_leads", "C3 is at 96.5%", "C4 is at 96.5%"),
    ("control_leads", "+44.0 pp for police_officer", "−44.0 pp for police_officer"),
    ("specific_effect", "is highest (50.0%)", "is highest (60.5%)"),
    ("two_primaries", "1 of 2 primary", "2 of 2 primary"),
    ("two_primaries", "20.0 pp short", "30.0 pp short"),
    ("two_primaries", "registered 50 pp", "registered 50%"),
    ("amended_with_a_deviation", "; 1 deviation", "; 2 deviations"),
    ("amended_with_a_deviation", "amended at 2026-01-01T09:00:00Z", "amended at 2026-01-01T08:00:00Z"),
    ("amended_with_a_deviation", "run with `5`", "run with `6`"),
    ("killed", "26.0% in C2 against", "62.0% in C2 against"),
    ("killed", "C2 is 1.0 pp above", "C2 is 1.0 pp below"),
    ("not_supported", "Qwen/Qwen2.5-7B-Instruct; 2 arms", "Qwen/Qwen2.5-14B-Instruct; 2 arms"),
    ("not_supported", "2 arms: C1", "3 arms: C1"),
    ("not_supported", "95 hits in 250", "59 hits in 250"),
    ("supported", "At most 6 per arm", "At most 9 per arm"),
    ("two_analyses", "N = 2,800, both", "N = 2,900, both"),
    ("control_leads", "Over all 5 personas", "Over all 4 personas"),
    ("supported", "that of C2, is 80.0%", "that of C2, is 90.5%"),
    ("supported", "5 questions × 10 completions", "50 questions × 10 completions"),
    ("supported", "asked “What is 2 plus 3?”", "asked “What is 2 plus 1?”"),
    ("supported", "2 arms × 1 seed", "2 arms × 3 seeds"),
    ("inconclusive_by_gate", "1 gate and", "2 gates and"),
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


def test_no_golden_raises_a_false_alarm():
    """Times, versions, names with digits and counts in words are no numbers of the prose, or right ones."""
    for name, make in CASES.items():
        model = make().model
        assert check_prose(clean_result(model, RUN), model) == [], name
    for name, case in matrix().items():
        assert check_prose(clean_result(case.model, RUN), case.model) == [], name


def test_a_count_is_only_right_with_its_noun():
    _, model = document("control_leads")
    assert check_prose("Four of 4 personas are higher in C2 than in C1.", model) == []
    assert check_prose("5 of 4 personas are higher in C2 than in C1.", model)
    assert check_prose("4 of 4 personas are higher in C1 than in C2.", model)
    assert check_prose("There were 4 gates.", model)
    assert check_prose("N = 400: 4 personas × 5 questions.", model) == []
    assert check_prose("It was 400 times as much.", model)


@pytest.mark.parametrize("name", CASES)
def test_every_number_in_prose_can_be_broken(name):
    """Change the last digit of each number of a report: every single change must be seen."""
    text, model = document(name)
    checker, fenced, spots = numbers._Checker(model), False, 0
    for line in text.split("\n"):
        fenced ^= line.startswith("```")
        for spot in re.finditer(r"(?<![\w#.`])\d[\d,]*\.?\d*", line if not (fenced or line.startswith("|")) else ""):
            last = max(at for at, char in enumerate(spot[0]) if char.isdigit())
            wrong = f"{spot[0][:last]}{(int(spot[0][last]) + 3) % 10}{spot[0][last + 1 :]}"
            broken = line[: spot.start()] + wrong + line[spot.end() :]
            assert checker.check(broken), broken
            spots += 1
    assert spots > 20
