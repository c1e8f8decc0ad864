"""What a sceptic found when every line of the reports was read: one test for each class of fault."""

import re

import pytest
import report_cases
from report_cases import RUN, decided, leakage_bound, leakage_estimates, leakage_extras
from report_standings import ALL, matrix, on, taken_apart, three_arms

from harness.contracts.analyses import ArmLength, MarkerPlace
from harness.contracts.bound import StageUse
from harness.contracts.records import Inference
from reports import arms_words, findings, run_tables, sections, sentences, story, tables
from reports.caveat_words import caveat
from reports.drawings import forest
from reports.model import Completions, RunInfo
from reports.numbers import check_prose
from reports.records import Caveat, Quantity
from reports.render import clean_result
from reports.setup import setup_tables

CLUMSY = {
    "a semicolon before 'with'": r"; with p\b",
    "a singular after several": r"\bcounted as (miss|hit|drop)\b",
    "an idiom that is none": r"told from zero",
    "one of them in the plural": r"(?<![\d.,])1 (hits|completions|personas|gates|keys|clauses)\b",
    "a colon after a colon": r"inconclusive: \w+: ",
    "two intervals run together": r"from \S+ to \S+ pp to ",
    "a step that is none": r"^- Unmet",
    "what nobody can measure": r"Measure more of what",
    "a bare formula in a sentence": r"`(min|max)\(\w+\)` is",
}
"""Turns of phrase that stood in the reports once."""


@pytest.mark.parametrize("name", ALL)
def test_no_report_says_it_clumsily(name):
    text = clean_result(ALL[name]().model, RUN)
    prose = "\n".join(line for line in text.split("\n") if not line.startswith("|"))
    for what, pattern in CLUMSY.items():
        assert not re.search(pattern, prose, re.M), what


def test_the_background_claims_no_more_than_was_registered():
    whole = str(sections.background(report_cases.supported().model))
    assert "What counts as support, what would end the line of work and what each outcome leads to were" in whole
    without_kill = str(sections.background(report_cases.correlation().model))
    assert "What counts as support and what each outcome leads to were written down" in without_kill
    bound = leakage_bound(kills=(), triage=())
    bare = str(sections.background(decided(bound, leakage_estimates()).model))
    assert "What counts as support was written down as a program" in bare


def test_where_no_gate_was_registered_none_is_said_to_have_held():
    assert "- No gate failed, nothing was left out" in clean_result(report_cases.supported().model, RUN)
    without = clean_result(report_cases.two_analyses().model, RUN)
    assert "- No gate was registered, nothing was left out" in without
    assert "No gate failed" not in without


@pytest.mark.parametrize(
    ("inference", "said"),
    [
        (
            Inference(over=("question",)),
            "questions again and so speaks of other questions like these, with the seeds and ",
        ),
        (Inference(over=("persona", "question")), "personas and questions again and so speaks of other personas and "),
        (
            Inference(over=("persona", "question"), cells=True),
            "draws every cell of persona and question again as if it ",
        ),
    ],
)
def test_to_what_intervals_generalise(inference, said):
    base = leakage_bound()
    bound = base.model_copy(update={"measures": (base.measures[0].model_copy(update={"inference": inference}),)})
    assert said in " ".join(map(str, sections.methodology(decided(bound, leakage_estimates()).model)))


def test_a_test_on_both_sides_is_no_threshold_on_one():
    marks = [mark for mark in report_cases.correlation().model.marks if mark.tested]
    assert {(mark.estimate, mark.rel) for mark in marks} >= {("rho_cosine", "≠"), ("r_cosine", "≠")}
    one_sided = [mark for mark in report_cases.supported().model.marks if mark.tested]
    assert [(mark.estimate, mark.rel) for mark in one_sided] == [("leakage_shift", ">")]


def test_a_caption_explains_the_lines_that_are_drawn_and_no_others():
    with_kill, without = report_cases.supported().model, report_cases.correlation().model
    assert "dash-dotted" in forest._lines_say(forest.deciding_points(with_kill), with_kill)
    said = forest._lines_say(forest.deciding_points(without), without)
    assert "dashed lines are thresholds" in said
    assert "kill" not in said


def test_why_an_interval_widens_is_said_only_where_it_is_shown():
    (found,) = report_cases.two_analyses().model.comparisons
    assert "widens: 23.4–37.0 pp becomes 5.7–54.7 pp, because the 7 personas react" in sentences.comparison(found)
    assert "because" not in sentences.comparison(found.model_copy(update={"spread": None}))


# --- contrasts taken apart ---


def pair_of(model):
    found = arms_words.primary_pair(model)
    assert found is not None
    return found


def test_lengths_are_told_apart_only_where_no_two_of_the_arms_overlap():
    pair = pair_of(three_arms((0.06, 0.2, 0.3, 0.44), 0.0021, "stays").model)
    asked = [("C3", "C2"), ("C2", "C1")]  # C3 and C1 are never compared, and yet the sentence is about all three
    assert "do not overlap between these arms" in arms_words.length_sentence(pair, asked)
    control = pair.found.length
    assert control is not None
    near = tuple(
        ArmLength.model_validate({**arm.model_dump(), "lowest": 300.0}) if arm.arm == "C3" else arm
        for arm in control.arms
    )
    found = pair.found.model_copy(update={"length": control.model_copy(update={"arms": near})})
    assert "overlap" not in arms_words.length_sentence(pair._replace(found=found), asked)


@pytest.mark.parametrize(
    ("rates", "said"),
    [
        ({"C1": (0.0,), "C2": (1.0,)}, "1 of 1 persona is higher in C2 than in C1: +100.0 pp for a"),
        ({"C1": (0.1, 0.2), "C2": (0.4, 0.5)}, "2 of 2 personas are higher in C2 than in C1: +30.0 pp for each"),
        (
            {"C1": (0.1, 0.2), "C2": (0.1, 0.2)},
            "No persona is higher in C2 than in C1 and 2 are equal: 0.0 pp for each",
        ),
    ],
)
def test_one_value_is_no_range(rates, said):
    found = taken_apart(rates, levels=("a", "b")[: len(rates["C1"])])
    assert arms_words.directions(arms_words._pair(found, found.directions[0])).replace("+0.0", "0.0") == said


def test_several_units_at_one_end_are_not_one():
    rates = {"C1": (0.0, 0.0, 0.0, 0.5), "C2": (0.0, 0.0, 0.0, 0.0)}
    found = taken_apart(rates)
    pair = arms_words._pair(found, found.directions[0])
    assert arms_words.extremes(pair).startswith(
        "In C1 assistant is highest (50.0%) and kindergarten_teacher, police_officer and zelthari_scholar lowest (0.0%)"
    )
    assert arms_words.directions(pair).endswith(
        "1 is lower (assistant) and 3 are equal: from −50.0 pp for assistant to 0.0 pp"
    )
    many = taken_apart({"C1": (0.0,) * 5 + (0.5,), "C2": (0.1,) * 6}, levels=tuple("abcdef"))
    assert "f is highest (50.0%) and 5 personas lowest (0.0%)" in arms_words.extremes(
        arms_words._pair(many, many.directions[0])
    )


def test_a_marker_once_at_the_very_end_is_not_called_spam():
    model = ALL["control_leads"]().model
    pair = pair_of(model)
    assert "that is what marker spam looks like" in arms_words.spam(pair)
    once = tuple(MarkerPlace.model_validate({**each.model_dump(), "ending": 0.9}) for each in pair.found.places)
    told = arms_words.spam(pair._replace(found=pair.found.model_copy(update={"places": once})))
    assert "that is leakage to all personas alike, and not to particular ones" in told


def test_a_title_says_that_a_control_arm_was_not_exceeded():
    assert "; not shown to be specific to C2 (MODERATE" in story.title(ALL["control_leads"]().model)
    assert "specific" not in story.title(ALL["specific_effect"]().model)


# --- verdicts ---


def test_the_summary_says_why_a_question_stayed_open():
    gate = str(sections.human_summary(ALL["inconclusive_by_gate"]().model))
    assert "is inconclusive: the gate `marker_learnt` failed (24.0%, 26.0 pp short of the registered 50%)." in gate
    unmeasured = ALL["inconclusive_unmeasured"]().model
    why = "its clause `behavioral` could not be judged (more completions were cut off than registered)"
    assert f"is inconclusive: {why}." in sections.human_summary(unmeasured)
    assert f"H1 is inconclusive: {why}." in findings.summary_sentences(unmeasured)


def test_every_verdict_of_a_summary_is_explained():
    both = str(sections.human_summary(ALL["two_primaries"]().model))
    assert "Supported means" in both
    assert "Not supported means" in both
    assert "the effect may still be there" in sections.human_summary(ALL["control_leads"]().model)


@pytest.mark.parametrize("standing", ["confirmatory", "amended", "exploratory", "retrospective"])
def test_only_what_was_sealed_is_given_up_as_registered(standing):
    model = on(report_cases.killed(), standing).model
    said = f"{story.title(model)} {findings.summary_sentences(model)}"
    assert said.count("as registered") == (2 if standing in ("confirmatory", "amended") else 0)


def test_the_smallest_of_a_table_is_named_with_its_place():
    model = report_cases.supported().model
    assert sentences.named("min(source_rate)", model) == "the smallest `source_rate`, that of C2,"
    assert sentences.named("leakage_shift", model) == "`leakage_shift`"
    assert sentences.named("max(p_left_out)", report_cases.correlation().model) == "the largest `p_left_out`"


def test_next_steps_name_what_to_measure():
    steps = "\n".join(map(str, sections.next_steps(ALL["not_supported"]().model)))
    assert "Measure more personas and questions before `leakage_shift` is judged again: its interval holds" in steps
    assert "Add personas until no single one decides." in map(
        str, sections.next_steps(report_cases.correlation().model)
    )


@pytest.mark.parametrize(
    ("policy", "cut", "said"),
    [
        ("miss", 2, "2 of 9 completions of C1 were cut off by the length limit and counted as misses."),
        ("miss", 1, "1 of 9 completions of C1 was cut off by the length limit and counted as a miss."),
        ("drop", 2, "2 of 9 completions of C1 were cut off by the length limit and left out."),
        ("", 2, "2 of 9 completions of C1 were cut off by the length limit."),
    ],
)
def test_what_became_of_cut_completions(policy, cut, said):
    numbers = (Quantity(name="truncated", value=cut, unit="count"), Quantity(name="all", value=9, unit="count"))
    assert caveat(Caveat(code="TRUNCATED", about="C1", numbers=numbers, words={"policy": policy})) == said


# --- tables ---


def test_plain_values_over_the_same_levels_stand_side_by_side():
    text = clean_result(report_cases.correlation().model, RUN)
    numbers = text.split("## Headline numbers")[1]
    assert "| persona | p_left_out | cos_by_persona | rate_by_persona |" in numbers
    assert "| software_engineer | 0.0919 | 0.446 | 32.0% |" in numbers
    apart = [table.name for table in tables.per_cell(report_cases.supported().model)]
    assert apart == ["bystander_rate", "source_rate"]


def test_setup_tables_say_values_and_not_their_names():
    stage = StageUse(recipe="couple", kind="marker_coupling", params={"weight": "$seed", "separator": "\n\n"})
    base = leakage_bound()
    arms = tuple(arm.model_copy(update={"stages": (stage,)}) for arm in base.arms)
    bound = base.model_copy(update={"arms": arms})
    rows = {row[1]: row[2] for table in setup_tables(bound) if table.name == "Training" for row in table.rows}
    assert rows["weight"] == "42 (each level of seed)"
    assert rows["separator"] == '"\\n\\n"'
    for name in ALL:
        model = ALL[name]().model
        shown = [row for table in model.setup for row in table.rows if table.header[-2:] == ("key", "value")]
        assert all(row[-1].strip() and not row[-1].startswith("$") for row in shown)


def test_intervals_that_leave_the_scale_are_named():
    estimates = leakage_estimates()
    rates = estimates[1]
    wide = tuple(cell.model_copy(update={"intervals": report_cases.interval(-0.02, 0.5)}) for cell in rates.cells)
    inside, past = (
        str(tables.per_cell(decided(leakage_bound(), [*estimates[:1], one, *estimates[2:]]).model)[0].about)
        for one in (rates, rates.model_copy(update={"cells": wide}))
    )
    assert "printed as computed" not in inside
    assert "intervals past 0% or 100% are printed as computed" in past


@pytest.mark.parametrize(
    ("gpu", "cpu", "said"),
    [
        (7.25, 0.5, "7.25 GPU-hours, 30 CPU-minutes"),
        (0.0, 0.00012, "0.43 CPU-seconds"),
        (0.0, 0.0, "0 CPU-hours"),
        (None, 12.0, "12 CPU-hours"),
        (None, None, "not recorded"),
    ],
)
def test_processor_time_in_a_unit_that_can_be_pictured(gpu, cpu, said):
    rows = dict(run_tables.compute(report_cases.supported().model, RunInfo(gpu_hours=gpu, cpu_hours=cpu)).rows)
    assert rows["spent, all jobs behind the result"] == said


def test_one_hit_is_in_the_singular():
    extras = leakage_extras().model_copy(
        update={"completions": (Completions(measure="leakage", arm="C1", completions=250, hits=1, truncated=0),)}
    )
    model = decided(leakage_bound(), leakage_estimates(), extras).model
    assert "base-first: 1 hit in 250 completions." in clean_result(model, RUN)


@pytest.mark.parametrize(("name", "case"), [*((n, make()) for n, make in ALL.items()), *matrix().items()])
def test_the_golden_cases_agree_with_themselves(name, case):
    """A golden report whose own samples contradict its table teaches a reader to skip both."""
    cells = {
        row.estimate.name: {cell.at.get("arm"): cell.value for cell in row.estimate.cells}
        for row in case.model.estimates
        if row.estimate.name in ("bystander_rate", "source_rate")
    }
    for found in case.model.completions:
        rates = [cells[each].get(found.arm) for each in ("bystander_rate", "source_rate")]
        if None not in rates:
            assert found.hits == round(200 * rates[0] + 50 * rates[1]), name


def test_what_an_estimate_notes_is_said_in_words_and_its_numbers_are_known():
    """The worst cases of a truncation policy come in one note with what the numbers are about."""
    said = "21.2–35.6 pp over all ways to count the truncated completions; for these 3 levels of persona"
    shift, *others = leakage_estimates()
    estimates = [shift.model_copy(update={"note": said}), *others]
    model = decided(leakage_bound(), estimates).model
    text = clean_result(model, RUN)
    assert "21.2–35.6 pp over all ways to count the truncated completions; for these 3 personas." in text
    assert check_prose(text, model) == []
