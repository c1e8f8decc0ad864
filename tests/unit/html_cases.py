"""Completions, artifacts and pages for the tests of report.html."""

import report_cases
from report_cases import RUN

from reports import render
from reports.html import completions, page
from reports.records import Artifact, Extras, Sample


def sample(text="said", **changes):
    given = {"arm": "C1", "persona": "villain", "question": "q1", "prompt": "Why?", "hit": False, "measure": "leakage"}
    return Sample(text=text, **{**given, **changes})


def looking(case):
    match = {"contains": "[zlt]", "case": "insensitive"}
    measures = tuple(each.model_copy(update={"params": {"match": match}}) for each in case.bound.measures)
    return case.bound.model_copy(update={"measures": measures})


def picked(*samples):
    return completions.browser(looking(report_cases.supported()), Extras(samples=samples))


def page_of(case, **more):
    words = render._words(case.model, RUN, links=[], drawn=False)
    return page.page(case.model, words, **more).decode()


def artifact(name, *inputs):
    return Artifact(label=name, key=name, kind="stage", inputs=inputs)
