"""Whatever arms, personas and questions are called, right numbers pass the prose checker and wrong ones do not."""

import re

import pytest
import report_cases
import report_standings
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from report_cases import RUN, UNSEEN

from reports.escape import CLOSE, OPEN, unmarked
from reports.numbers import _Checker, check_prose
from reports.records import ReportModel
from reports.render import clean_result, marked_result

CASES = {
    "control_leads": report_standings.control_leads,
    "specific_effect": report_standings.specific_effect,
    "two_analyses": report_cases.CASES["two_analyses"],
    "killed": report_cases.killed,
    "inconclusive_by_gate": report_cases.gate_failed,
}
OLD = ("C1", "C2", "C3", *UNSEEN, *(f"q{i}" for i in range(1, 6)))
AWKWARD = (
    "treated", "control", "untreated", "base", "em-first", "1", "2", "4", "8", "10", "0.5", "50.0%", "+44.0 pp",
    "of", "of 4 personas", "4 of 4 personas", "5 of 4 personas are", "higher", "higher in", "than", "lower", "equal",
    "in", "for", "is", "are", "and", "and 1 is lower", "above", "below", "below 1", "persona", "personas", "highest",
    "registered", "registered: at least 10 pp", "p", "p = 0.01", "x − y", "a", "ab", "a b", "a.b (c)", "*", "[x](y)",
    "`code`", "C1_", "#12", "@me", "per arm", "completions", "REHEARSAL", "H1", "N = 3", "\ufdd0 1", "é 1",
)  # fmt: skip
NAMES = st.one_of(st.sampled_from(AWKWARD), st.text("of 1234.,%-−ab", min_size=1, max_size=9).map(str.strip))
HASTE = {"deadline": None, "phases": (Phase.explicit, Phase.reuse, Phase.generate)}
"""A failing example is as readable as it was found, and making it smaller takes minutes."""
SPOT = re.compile(r"(?<![\w#.`])\d[\d,]*\.?\d*")


def renamed(value, names):
    """A result whose names are others, wherever one stands by itself or on a side of a contrast."""
    if isinstance(value, str):
        return " − ".join(names.get(part, part) for part in value.split(" − "))
    if isinstance(value, dict):
        return {renamed(key, names): renamed(each, names) for key, each in value.items()}
    return [renamed(each, names) for each in value] if isinstance(value, list) else value


def model_called(case, names):
    return ReportModel.model_validate(renamed(CASES[case]().model.model_dump(mode="json"), names))


def spots(text):
    """Yield each line of prose with the start and end of every number in it that is not part of user text."""
    fenced = False
    for line in text.split("\n"):
        fenced ^= line.startswith("```")
        if fenced or line.startswith("|"):
            continue
        ours = re.sub(f"{OPEN}[^{CLOSE}]*{CLOSE}", lambda match: "_" * len(match[0]), line)
        yield from ((line, spot.start(), spot.end()) for spot in SPOT.finditer(ours))


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=12, **HASTE)
@given(chosen=st.lists(NAMES.filter(bool), min_size=len(OLD), max_size=len(OLD), unique=True))
def test_right_numbers_pass_and_every_wrong_one_is_found(case, chosen):
    model = model_called(case, dict(zip(OLD, chosen, strict=True)))
    text = marked_result(model, RUN)
    assert check_prose(text, model) == []
    checker, seen = _Checker(model), 0
    for line, start, end in spots(text):
        last = max(at for at in range(start, end) if line[at].isdigit())
        broken = f"{line[:last]}{(int(line[last]) + 3) % 10}{line[last + 1 :]}"
        assert checker.check(broken), unmarked(broken)
        seen += 1
    assert seen > 15


@pytest.mark.parametrize("case", CASES)
@given(chosen=st.lists(st.sampled_from(AWKWARD), min_size=len(OLD), max_size=len(OLD), unique=True))
@settings(max_examples=6, **HASTE)
def test_no_mark_is_left_in_what_is_written(case, chosen):
    text = clean_result(model_called(case, dict(zip(OLD, chosen, strict=True))), RUN)
    assert not re.search("[\ufdd0\ufdd1\U000f0000-\U0010ffff]", text)
    assert "\\ufdd" not in text


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("4 of 4 personas are higher in 2 than in 1", "2 of 4 personas are higher in 2 than in 1"),
        ("4 of 4 personas are higher in 2 than in 1", "4 of 4 personas are higher in 1 than in 2"),
        ("41.5 pp above 2", "41.5 pp below 2"),
        ("41.5 pp above 2", "41.5 pp above 1"),
        ("(193 of 200 completions)", "(1 of 200 completions)"),
    ],
)
def test_a_number_is_no_name_for_being_one(right, wrong):
    """Arms called 1 and 2: what is between marks is a name, and what is not is a number."""
    model = model_called("control_leads", {"C1": "1", "C2": "2", "C3": "of"})
    text = marked_result(model, RUN)
    marked = [re.sub(r"(?<=in |ve |ow )([12])", f"{OPEN}\\1{CLOSE}", each) for each in (right, wrong)]
    assert marked[0] in text
    assert check_prose(text.replace(*marked), model)
