"""clean_result.md on GitHub: parsed by cmark-gfm, the parser that GitHub runs, and by markdown-it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import cmarkgfm
import pytest
from cmarkgfm.cmark import Options
from markdown_it import MarkdownIt
from report_cases import RUN, Case, supported
from report_standings import ALL, matrix, taken_apart

from harness.contracts.bound import Arm
from harness.contracts.records import Estimate
from reports.model import Extras, Sample, build, results_json
from reports.numbers import check_prose
from reports.render import FigureLink, clean_result, summary, write

HERO = (FigureLink("figures/hero.png", "alt", "A caption that says in ten words or more what is seen."),)
TAGS = {
    "h1", "h2", "h3", "p", "ul", "li", "table", "thead", "tbody", "tr", "th", "td", "strong", "em", "code", "pre",
    "img", "hr", "blockquote",
}  # fmt: skip
"""Everything that a report is made of. No link, no raw HTML, no line break of its own."""


class Page(HTMLParser):
    """What GitHub's parser made of a report: tags, headings with their text, tables as rows of cells, images."""

    def __init__(self, markdown: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.headings: list[tuple[int, str]] = []
        self.tables: list[list[int]] = []
        self.images: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.open: list[str] = []
        # Unsafe: raw HTML would come through as it is, so that the tags show it.
        self.feed(cmarkgfm.github_flavored_markdown_to_html(markdown, Options.CMARK_OPT_UNSAFE))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.open.append(tag)
        if tag in ("h1", "h2", "h3", "h4"):
            self.headings.append((int(tag[1]), ""))
        elif tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append(0)
        elif tag in ("td", "th"):
            self.tables[-1][-1] += 1
        elif tag == "img":
            self.images.append(dict(attrs)["src"] or "")
        elif tag == "a":
            self.links.append(dict(attrs).get("href") or "")

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            continue

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.open and self.open[-1] in ("h1", "h2", "h3", "h4", "code", "em") and self.headings and self._heading():
            level, said = self.headings[-1]
            self.headings[-1] = (level, said + data)

    def _heading(self) -> bool:
        return any(tag in ("h1", "h2", "h3", "h4") for tag in self.open)


def cases() -> dict[str, Case]:
    return {**{name: make() for name, make in ALL.items()}, **matrix()}


@pytest.fixture(params=cases().items(), ids=lambda item: item[0])
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param[1]
    return found


def sound(text: str) -> Page:
    """Assert what every report must be, whatever it holds; return it parsed."""
    page = Page(text)
    assert set(page.tags) <= TAGS
    levels = [level for level, _ in page.headings]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels)), "headings nest"
    outside = re.sub(r"^(`{3,})[^\n]*\n.*?^\1$", "", text, flags=re.M | re.S)
    rules = [line for line in outside.split("\n") if line.startswith("| --- |")]
    assert len(page.tables) == len(rules), "every table parses as a table"
    for table, rule in zip(page.tables, rules, strict=True):
        assert set(table) == {rule.count("---")}, "every row has the cells of its header"
        assert len(table) >= 2
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(text)
    kinds = {token.type for token in tokens} | {child.type for token in tokens for child in token.children or ()}
    assert not kinds & {"html_block", "html_inline", "code_block", "link_open"}
    assert sum(token.type == "table_open" for token in tokens) == len(rules)
    return page


def test_github_reads_every_report_as_it_is_meant(case: Case) -> None:
    page = sound(clean_result(case.model, RUN, links=HERO))
    assert page.images == ["figures/hero.png"]
    names = [name for _, name in page.headings]
    assert names[1:4] == ["TL;DR", "Background", "Methodology"]
    assert "Detailed report" in names
    assert page.headings[-1] == (2, "Artifacts")


def test_the_summary_for_job_pages_is_sound_too(case: Case) -> None:
    page = Page(summary(case.model))
    assert set(page.tags) <= TAGS
    assert page.links == page.images == []


def test_every_image_and_file_of_a_written_report_is_there(tmp_path: Path) -> None:
    files = write(ALL["control_leads"]().model, RUN, tmp_path)
    text = (tmp_path / "clean_result.md").read_text(encoding="utf-8")
    page = sound(text)
    assert len(page.images) >= 2
    for path in page.images:
        assert (tmp_path / path) in files
        assert (tmp_path / path).is_file()
    for path in re.findall(r"`((?:figures/)?[\w-]+\.(?:png|json|html|parquet))`", text):
        assert (tmp_path / path).is_file(), path


# --- hostile content ----------------------------------------------------------------------------------

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "![x](http://example.org/x.png) [y](javascript:alert(1))",
    "| a | b |\n| --- | --- |\n| c | d |",
    "# heading\n\n## another\n---\n***",
    "\x1b[31mred\x1b[0m \x07 \x00",
    "\u202eright to left\u2066 \u200b\ufeff",
    "```\n````\n~~~\n</details>",
    "**bold** _em_ ~~gone~~ `code` $x$ &lt; &#60; \\",
    "https://example.org www.example.org a@example.org @somebody #1",
    "1. one\n2. two\n- three\n> four",
    "99.9% p = 0.0001 (LOW confidence)",
)


def hostile(text: str) -> Case:
    """Everything that a user can name or a model can say is ``text``."""
    case = supported()
    samples = tuple(
        Sample(arm="C1", persona=text, question=text, prompt=text, text=text, hit=hit, measure="leakage")
        for hit in (True, False, True)
    )
    claim = case.bound.hypotheses[0].model_copy(update={"claim": text})
    arms = tuple(Arm(name=arm.name, label=text, model=arm.model, stages=arm.stages) for arm in case.bound.arms)
    triage = tuple(row.model_copy(update={"reads": text, "next": text}) for row in case.bound.triage)
    bound = case.bound.model_copy(
        update={"title": text, "question": text, "hypotheses": (claim,), "arms": arms, "triage": triage}
    )
    told = case.decision.hypotheses[0].model_copy(update={"claim": text, "why": text})
    assert case.decision.triage
    reads = case.decision.triage.model_copy(update={"reads": text, "next": text})
    decision = case.decision.model_copy(update={"hypotheses": (told,), "triage": reads})
    rates = {"C1": (0.04, 0.16, 0.3, 0.5), "C2": (0.44, 0.6, 0.56, 0.6), text: (0.92, 0.96, 0.98, 1.0)}
    apart = taken_apart(rates, "dissolves", levels=(text, "b", "c", "d"), pairs=[("C2", "C1"), ("C2", text)])
    extras = case.extras.model_copy(update={"samples": samples, "breakdowns": (apart,)})
    return Case(bound, decision, case.estimates, extras)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_and_never_obeyed(text: str) -> None:
    model = hostile(text).model
    report = clean_result(model, RUN, links=HERO)
    page = sound(report)
    assert page.images == ["figures/hero.png"]
    names = [name for _, name in page.headings[1:]]
    assert not {"heading", "another"} & set(names)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u200b\u202a-\u202e\u2066-\u2069\ufeff]", report)
    assert check_prose(report, model) == []


def test_a_completion_of_ten_megabytes_is_cut_and_its_length_said() -> None:
    case = supported()
    long = "word " * 2_000_000
    samples = tuple(
        Sample(arm="C1", persona="librarian", question="q1", prompt=long, text=long, hit=hit, measure="leakage")
        for hit in (True, False, True)
    )
    model = build(case.bound, case.decision, case.estimates, Extras(samples=samples))
    report = clean_result(model, RUN)
    assert len(report) < 30_000
    assert len(results_json(model)) < 100_000
    assert "first 1,200 of 10,000,000 characters" in report
    assert check_prose(report, model) == []


def test_an_empty_pool_is_unknown_and_never_a_number() -> None:
    case = supported()
    empty = {
        name: estimate.model_copy(
            update={
                "cells": tuple(
                    cell.model_copy(
                        update={"value": None, "exact": None, "intervals": (), "reason": "the pool is empty"}
                    )
                    for cell in estimate.cells
                ),
                "counts": {},
            }
        )
        for name, estimate in case.estimates.items()
    }
    report = _redecided(case, empty)
    assert "Undecided whether" in report.split("\n")[0]
    assert not re.search(r"\b(?:nan|inf|None)\b", report)
    assert "the pool is empty" in report


def _redecided(case: Case, estimates: dict[str, Estimate]) -> str:
    from report_cases import decided

    model = decided(case.bound, list(estimates.values()), case.extras).model
    report = clean_result(model, RUN, links=HERO)
    sound(report)
    assert check_prose(report, model) == []
    return report
