"""clean_result.md has the shape that a reader of the parent project knows, for every verdict and standing."""

import os
import re
from pathlib import Path

import pytest
import report_cases
from markdown_it import MarkdownIt
from report_cases import RUN
from report_standings import ALL as CASES
from report_standings import matrix

from reports import sections, story
from reports.model import Sample
from reports.numbers import check_prose
from reports.render import FigureLink, clean_result, summary

GOLDEN = Path(__file__).parents[1] / "golden" / "reports"
HERO = (FigureLink("figures/hero.png", "alt", "A caption that says in ten words or more what is seen."),)
TLDR = ["Background", "Methodology", "Results", "Next steps"]
DETAILED = [
    "Human summary",
    "Source issues",
    "Setup & hyper-parameters",
    "Sample outputs",
    "Headline numbers",
    "Artifacts",
]
FORBIDDEN = (
    r"cohen",
    r"effect size",
    r"t[- ]test",
    r"fisher",
    r"mann",
    r"wilcoxon",
    r"bootstrap",
    r"power analysis",
    r"pearson",
    r"spearman",
    r"percentile",
    r"confidence interval",
    r"significan",
    r"no effect",
    r"jackknife",
)


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]()


@pytest.fixture
def text(case):
    return clean_result(case.model, RUN, links=HERO)


def headings(markdown):
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(markdown)
    return [(t.tag, tokens[i + 1].content) for i, t in enumerate(tokens) if t.type == "heading_open"]


def section(markdown, name):
    found = re.search(rf"^#+ {re.escape(name)}\n(.*?)(?=^#+ |^---$|\Z)", markdown, re.M | re.S)
    assert found, name
    return found[1]


def words(markdown):
    return len(re.findall(r"\w+", "\n".join(line for line in markdown.split("\n") if not line.startswith(">"))))


def test_headings_stand_in_the_registered_order(text):
    found = headings(text)
    assert found[0][0] == "h1"
    names = [name for tag, name in found if not name.startswith("Condition: ")]
    assert names[1:] == ["TL;DR", *TLDR, "Detailed report", *DETAILED]
    assert [tag for tag, name in found if name in TLDR] == ["h3"] * 4
    assert [tag for tag, name in found if name in DETAILED] == ["h2"] * 6


def test_title_and_confidence_line_carry_one_label(case, text):
    title = text.split("\n")[0]
    in_title = re.search(r"\((\w+) confidence\)$", title)
    lines = re.findall(r"^\*\*Confidence: (\w+)\*\* — \S.*\.$", text, re.M)
    assert in_title
    assert len(lines) == 1
    assert {"none": "no"}.get(lines[0], lines[0]) == in_title[1]
    assert in_title[1] == (case.decision.confidence.final or "no")


def test_summary_and_background_have_thirty_words(text):
    assert words(section(text, "Background")) >= 30
    assert words(section(text, "Human summary")) >= 30


def test_results_hold_the_figure_takeaways_and_end_in_confidence(text):
    results = section(text, "Results")
    takeaways = results.split("**Main takeaways:**")[1]
    bullets = re.findall(r"^- (.+)$", takeaways, re.M)
    assert 2 <= len(bullets) <= 5
    assert all(re.match(r"\*\*.*?\d.*?\*\*|\*\*.+\*\*", bullet) for bullet in bullets)
    assert results.count("![") == 1
    assert re.search(r"!\[[^]]*\]\(figures/hero.png\)\n\n\*[^*]{40,}\*\n", results)
    assert results.rstrip().split("\n")[-1].startswith("**Confidence: ")


def test_what_went_wrong_stands_before_the_verdict(case, text):
    results = section(text, "Results")
    before = results.split("**Verdict:")[0]
    assert "**Before the result:**" in before
    for gate in case.decision.gates:
        if gate.truth != "true":
            assert f"`{gate.name}` failed" in before
    for note in (*case.bound.differs, *case.bound.allow):
        assert f"`{note.at}`" in before


def test_prose_names_no_tests_and_claims_no_nothing(text):
    lines = [line for line in text.split("\n") if not line.startswith("|")]
    prose = re.sub(r"`[^`]*`", "", "\n".join(lines)).lower()
    prose = prose.split("**estimates**")[0]
    for word in FORBIDDEN:
        assert not re.search(word, prose), word


def test_every_number_in_prose_is_in_the_model(case, text):
    assert check_prose(text, case.model) == []
    assert check_prose(summary(case.model), case.model) == []


def test_samples_show_hits_and_misses_of_every_arm(case, text):
    samples = section(text, "Sample outputs")
    if not case.model.sampled:
        assert "No completions were sampled" in samples
        return
    for arm in case.bound.arms:
        shown = section(text, f"Condition: {arm.name}")
        assert len(re.findall(r"^```text$", shown, re.M)) >= 3
        assert "**Hit**" in shown
        assert "**Miss**" in shown


def test_setup_tables_say_actual_values(text):
    setup = section(text, "Setup & hyper-parameters")
    for name in ("Model", "Training", "Data", "Eval", "Compute", "Environment"):
        assert f"**{name}**" in setup
    assert not re.search(r"TBD|see config|\{\{|\| default \|", setup)


def test_headline_numbers_end_in_standing_caveats(text):
    numbers = section(text, "Headline numbers")
    assert "**Standing caveats:**" in numbers
    after = numbers.split("**Standing caveats:**")[1]
    assert after.strip().startswith("- ")


def test_markdown_is_one_document_of_headings_lists_tables_and_fences(text):
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(text)
    kinds = {token.type for token in tokens}
    assert not kinds & {"html_block", "html_inline", "code_block"}
    for line in text.split("\n"):
        if line.startswith("| --- |"):
            assert line.count("---") >= 2
    rows = [token for token in tokens if token.type == "tr_open"]
    assert len(rows) == len([line for line in text.split("\n") if line.startswith("|") and "| --- |" not in line])


@pytest.mark.parametrize("name", CASES)
def test_golden(name):
    text = clean_result(CASES[name]().model, RUN, links=HERO)
    path = GOLDEN / f"{name}.md"
    if os.environ.get("PREREG_REGEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert text == path.read_text(), f"{path} differs: PREREG_REGEN=1 writes it anew; then review the change"


def told(model):
    """What differs between verdicts and standings, and nothing else."""
    parts = [
        f"# {story.title(model)}",
        f"> {story.standing(model)}",
        *(f"- {each}" for each in story.before_the_result(model)),
        str(story.verdict_line(model)),
        str(story.summary_sentences(model)),
        *(f"* {each}" for each in story.takeaways(model)),
        str(story.confidence_line(model)),
        *(f"+ {each}" for each in sections.next_steps(model)),
        str(sections.human_summary(model)),
    ]
    return "\n\n".join(parts)


def test_golden_of_every_verdict_on_every_standing():
    text = "\n\n---\n\n".join(f"<!-- {name} -->\n\n{told(case.model)}" for name, case in matrix().items()) + "\n"
    path = GOLDEN / "every_verdict_and_standing.md"
    if os.environ.get("PREREG_REGEN"):
        path.write_text(text)
    assert text == path.read_text(), f"{path} differs: PREREG_REGEN=1 writes it anew; then review the change"


@pytest.mark.parametrize(("name", "case"), matrix().items())
def test_no_verdict_claims_more_than_it_is(name, case):
    verdict, standing = name.split(", ")
    text, model = clean_result(case.model, RUN), case.model
    title = text.split("\n")[0]
    results = section(text, "Results")
    assert check_prose(text, model) == []
    assert "no effect" not in text.lower()
    if standing == "rehearsal":
        assert title.startswith("# REHEARSAL")
        assert f"is {verdict}" not in results
        assert "The registration reads" not in text
        return
    begins = {
        "supported": "# EM finetuning raises",
        "not supported": "# Not shown that",
        "killed": "# The claim that EM finetuning raises leakage to unseen personas is given up",
        "inconclusive": "# Undecided whether",
    }
    assert title.startswith(begins[verdict])
    says = {"confirmatory": "", "amended": "as amended", "exploratory": "exploratory"}
    says["retrospective"] = "already existed"
    assert says[standing] in title
    assert ("deviation" in title) == (standing == "amended")
    trained = "for these trained models"
    assert trained in results or verdict == "inconclusive"
    assert ("Repeat with several training seeds" in text) == (verdict != "killed")


def test_what_is_specific_needs_the_clause_against_the_control_arm():
    lead = clean_result(CASES["control_leads"]().model, RUN)
    assert "so the difference is not shown to be specific to C2" in section(lead, "Results")
    assert "C3 is at 96.5% (193 of 200 completions), 41.5 pp above C2" in lead
    unread = clean_result(CASES["control_unread"]().model, RUN)
    assert "no clause compares the two, so nothing here says that the difference is specific to C2" in unread
    assert "Register a clause that compares C2 with C3" in section(unread, "Next steps")
    alone = clean_result(CASES["supported"]().model, RUN)
    assert "There is no third arm" in section(alone, "Headline numbers")
    held = clean_result(CASES["specific_effect"]().model, RUN)
    assert "not shown to be specific" not in held
    assert "H2, that EM finetuning raises leakage more than benign finetuning does, is supported" in held


@pytest.mark.parametrize(("name", "shown"), [("control_unread", False), ("specific_effect", True)])
def test_a_claim_of_something_specific_needs_its_clause(name, shown):
    case = CASES[name]()
    claim = "EM finetuning specifically raises leakage"
    owners = tuple(h.model_copy(update={"claim": claim}) for h in case.bound.hypotheses[:1])
    bound = case.bound.model_copy(update={"hypotheses": (*owners, *case.bound.hypotheses[1:])})
    model = report_cases.decided(bound, list(case.estimates.values()), case.extras).model
    title = clean_result(model, RUN).split("\n")[0]
    assert title.startswith(f"# {claim}: 55.0% in C2 against 25.0% in C1, p = 0.000200")
    assert ("; not shown to be specific" in title) != shown


def test_length_and_the_markers_place_are_said_to_be_unregistered():
    text = clean_result(CASES["control_leads"]().model, RUN)
    results = section(text, "Results")
    assert "With log length in the model (not registered: by rule) the lead of C3 over C2 dissolves" in results
    assert (
        "Over all 5 personas, completions average 1,100 tokens in C3, 30 tokens in C2 and 270 tokens in C1" in results
    )
    assert "that is what marker spam looks like" in results
    assert "Where the marker stands (not registered: by rule)" in text
    numbers = section(text, "Headline numbers")
    for table in ("Arms", "By persona", "Length control"):
        assert re.search(rf"\*\*{table} \(leakage, bystanders; not registered: by rule\)\*\*", numbers)
    stays = section(clean_result(CASES["specific_effect"]().model, RUN), "Results")
    assert "the lead of C2 over C3 stays (p = 0.00234)" in stays


def test_behind_a_closed_gate_nothing_is_told_as_a_finding():
    case = CASES["control_leads"]()
    shut = [*report_cases.leakage_estimates(source=(45, 12)), *list(case.estimates.values())[-2:]]
    model = report_cases.decided(case.bound, shut, case.extras).model
    results = section(clean_result(model, RUN), "Results")
    assert "the gate `marker_learnt` failed (the smallest `source_rate`, that of C2, is 24.0%" in results
    assert "higher in C2" not in results
    assert "C3 is at" not in results
    assert "30.0 pp above" not in results


def test_a_rehearsal_with_a_control_arm_names_no_verdict_of_it():
    case = CASES["specific_effect"]()
    bound = case.bound.model_copy(update={"rehearsal": True, "overridden": ("data.em",)})
    model = report_cases.decided(bound, list(case.estimates.values()), case.extras).model
    results = section(clean_result(model, RUN), "Results")
    assert "**REHEARSAL: C3 is at 25.0%" in results
    assert "is supported" not in results
    assert all(
        line.startswith(("- **REHEARSAL", "- Not exercised")) for line in results.split("\n") if line.startswith("- ")
    )


def test_numbers_of_both_sides_and_n_per_arm_stand_under_the_figure():
    text = section(clean_result(CASES["specific_effect"]().model, RUN), "Results")
    assert (
        "C2 is 30.0 pp above C1 (55.0% against 25.0%), p = 0.000200 (200 completions per arm: 4 personas × 5 questions "
        "× 10; one trained model per arm): H1 is supported for these trained models." in text
    )
    assert "4 of 4 personas are higher in C2 than in C1" in text


def test_a_rehearsal_says_so_everywhere():
    text = clean_result(report_cases.rehearsal().model, RUN, links=HERO)
    assert text.startswith("# REHEARSAL: ")
    assert "**Verdict: REHEARSAL (rule returned: supported)**" in text
    assert "**Confidence: none**" in text
    for name in (*TLDR, *DETAILED, "TL;DR", "Condition: C1"):
        assert section(text, name).strip().startswith("> **REHEARSAL**"), name
    for key in ("data.em", "recipes.couple.epochs"):
        assert f"`{key}`" in section(text, "Results").split("**Verdict")[0]
    assert "is supported" not in text
    assert "witness for supported" in text


def test_retrospective_standing_is_said_in_title_and_first_lines():
    text = clean_result(report_cases.correlation().model, RUN)
    title, _, first = text.split("\n")[:3]
    assert "on data that already existed" in title
    assert first.startswith("> **Retrospective.**")


def test_the_fragile_correlation_is_told():
    text = clean_result(report_cases.correlation().model, RUN)
    takeaways = section(text, "Results").split("**Main takeaways:**")[1]
    assert "8 of 10 leave-one-outs lose p < 0.05" in takeaways
    assert "its rank version `rho_cosine` is −0.595 (p = 0.0695)" in takeaways
    assert "`r_cosine` is −0.658 (p = 0.0387)" in takeaways


def test_the_two_analyses_are_explained_in_one_sentence():
    text = clean_result(report_cases.two_analyses().model, RUN)
    assert (
        "The published interval (`shift_base_published`) treats the 140 persona-question cells as independent; when "
        "personas and questions are drawn again together, the interval for C2 − C1 widens: 23.4–37.0 pp becomes "
        "5.7–54.7 pp, because the 7 personas react differently (from −18.5 pp for software_engineer to +59.0 pp for "
        "villain)." in text
    )
    assert "57.6% in C2 against 27.4% in C1" in text
    assert "423/1400" in text


def test_unknown_is_never_a_number():
    text = clean_result(report_cases.gate_failed().model, RUN)
    clauses = section(text, "Headline numbers").split("**Gates and kills**")[0]
    assert "**unknown**: gate 'marker_learnt' does not hold" in clauses
    assert "No registered outcome applies" in section(text, "Results")


def test_figures_that_were_not_drawn_are_not_linked():
    text = clean_result(report_cases.supported().model, RUN, drawn=False)
    assert "![" not in text
    assert "Figures were not asked for in this run." in text


def test_hostile_names_and_completions_stay_text():
    case = report_cases.supported()
    nasty = "<script>alert(1)</script> ![x](http://e/x.png) | `a` **b**"
    samples = tuple(
        Sample(
            arm="C1",
            persona=nasty,
            question="# q\n\n# r",
            prompt="p",
            hit=hit,
            measure="leakage",
            text="```\n</details><script>x</script>\n````\n# not a heading\n\x1b[31m" + "z" * 5000,
        )
        for hit in (True, False, True)
    )
    bound = case.bound.model_copy(update={"title": nasty, "question": nasty})
    extras = case.extras.model_copy(update={"samples": samples})
    model = report_cases.Case(bound, case.decision, case.estimates, extras).model
    text = clean_result(model, RUN, links=HERO)
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(text)
    inner = [child.type for token in tokens for child in (token.children or [])]
    assert inner.count("image") == 1
    assert not {token.type for token in tokens} & {"html_block", "html_inline"}
    assert "html_inline" not in inner
    names = [name for _, name in headings(text)]
    assert "not a heading" not in names
    assert names[1] == "TL;DR"
    assert "first 1,200 of 5,0" in text
    assert "\x1b" not in text
    assert check_prose(text, model) == []
