"""report.html: one file with its style, script, figures and completions inside; it asks the network for nothing.

The page is a pure function of the model, the completions picked for it and the figures: equal results are equal
bytes. Times, hosts and paths stand in run.json.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from harness.contracts.records import Finding
from harness.core.numbers import format_count
from reports.html import inline
from reports.html.cells import singles
from reports.html.cells import tables as cell_tables
from reports.html.completions import Browser, Row
from reports.html.graph import graph
from reports.html.scales import Line, good, line, tested
from reports.records import ReportModel
from reports.tables import TextTable
from reports.templating import TEMPLATES

FIGURES_ROOM = 1_000_000
"""Bytes of the page that pictures may take; those that do not fit are named and stay beside the page."""
MOST_SVG = 100_000
"""Bytes up to which a drawing is taken as lines, which stay sharp; a longer one is taken as a picture."""
COLOURS = 64
LONGEST_TITLE = 500
"""Characters of a title that stand above the verdict."""
MOST_ARTIFACTS = 500
"""Rows of the list of artifacts; results.json has all of them."""


@dataclass(frozen=True)
class Picture:
    """A figure as PNG and SVG (empty: none).

    ``spots`` are points with their words: (x, y, text), x and y in per cent from the top left.
    """

    path: str
    alt: str
    caption: str
    png: bytes
    svg: bytes = b""
    spots: tuple[tuple[float, float, str], ...] = ()


@dataclass(frozen=True)
class Criterion:
    """A clause, gate or kill with its comparisons, each on its line-scale."""

    name: str
    formula: str
    truth: str
    good: str
    why: str
    lines: tuple[Line, ...]

    @property
    def several(self) -> bool:
        """Whether the formula joins comparisons, so that each has to be named."""
        return sum(bool(line.truth) for line in self.lines) > 1


def page(
    model: ReportModel,
    words: Mapping[str, Any],
    *,
    completions: Browser | None = None,
    pictures: Sequence[Picture] = (),
    unverified: Sequence[str] = (),
) -> bytes:
    """Return the bytes of report.html.

    Args:
        model: What is reported.
        words: What the template of clean_result.md is given: generated Markdown, lists of it and tables.
        completions: What the completions browser shows; None: nothing was sampled.
        pictures: Drawn figures, the hero first.
        unverified: Numbers of the prose that are not in results.json.
    """
    style, script = _text("report.css"), _text("report.js")
    context = {
        "words": {name: converted(value) for name, value in words.items()},
        "style": Markup(style),
        "script": Markup(script),
        "policy": _policy(style, script),
        "page_title": inline.plain(words["title"], LONGEST_TITLE),
        "title": inline.html(words["title"], LONGEST_TITLE),
        "model": model,
        "rehearsal": model.registration.rehearsal,
        "decision": model.decision,
        "registered": model.registration,
        "alarms": _alarms(model),
        "unverified": list(unverified),
        "hypotheses": [
            (
                result,
                [_criterion(clause, "hypothesis", f"{result.name}.{clause.name}", model) for clause in result.clauses],
            )
            for result in model.decision.hypotheses
        ],
        "gates": [_criterion(gate, "gate", gate.name, model) for gate in model.decision.gates],
        "kills": [_criterion(kill, "kill", kill.name, model) for kill in model.decision.kills],
        "cells": cell_tables(model),
        "singles": singles(model),
        "background": inline.paragraphs(words["background"]),
        "setup": model.setup,
        "pictures": list(_pictures(pictures)),
        "completions": completions,
        "drawn": sum(each.completions for each in completions.drawn) if completions else 0,
        "shown": len(completions.rows) if completions else 0,
        "facets": _facets(completions) if completions else {},
        "data": _embedded(completions) if completions else Markup(""),
        "graph": graph(model.artifacts),
        "artifacts": model.artifacts[:MOST_ARTIFACTS],
        "commands": list(_commands(model)),
    }
    return template().render(context).encode()


def converted(value: Any) -> Any:
    """Turn generated Markdown and registered text into HTML, in whatever lists and tables they stand."""
    if isinstance(value, str):
        return inline.html(value)
    if isinstance(value, TextTable):
        return {
            "name": inline.html(value.name),
            "header": [inline.html(text) for text in value.header],
            "rows": [[inline.cell(text) for text in row] for row in value.rows],
            "about": converted(value.about) if value.about else None,
        }
    if isinstance(value, Mapping):
        return {name: converted(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [converted(each) for each in value]
    return value


@cache
def template() -> Template:
    """Return the page's template."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        autoescape=True,
        # Whatever is not HTML yet loses its invisible characters and its excess of length, and is then escaped.
        finalize=lambda value: (
            inline.html(value) if isinstance(value, str) and not isinstance(value, Markup) else value
        ),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(count=format_count)
    return environment.get_template("report.html.j2")


def _text(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """The content security policy: this page's own style and script by their digests, inlined pictures, no more."""
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)]
    return (
        f"default-src 'none'; style-src 'sha256-{digests[0]}'; script-src 'sha256-{digests[1]}'; img-src data:; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def _alarms(model: ReportModel) -> list[str]:
    """What stands against the result, counted, for the banner."""
    decision = model.decision
    failed = sum(gate.truth == "false" for gate in decision.gates)
    unknown = sum(gate.truth == "unknown" for gate in decision.gates)
    deviations = len(decision.basis.deviations) if decision.basis else 0
    killed = sum(kill.truth == "true" for kill in decision.kills)
    counted = (
        (killed, "kill criterion holds", "kill criteria hold"),
        (failed, "gate failed", "gates failed"),
        (unknown, "gate unknown", "gates unknown"),
        (deviations, "deviation", "deviations"),
        (len(model.allow), "accepted finding", "accepted findings"),
    )
    return [f"{count} {one if count == 1 else more}" for count, one, more in counted if count]


def _criterion(finding: Finding, kind: str, name: str, model: ReportModel) -> Criterion:
    return Criterion(
        name=name,
        formula=finding.text,
        truth=finding.truth,
        good=good(kind, finding.truth),
        why=finding.why,
        lines=(
            *(line(fact, kind, name, model) for fact in finding.facts),
            *(found for mark in model.marks if mark.tested and mark.of == name and (found := tested(mark, model))),
        ),
    )


def _pictures(found: Sequence[Picture]) -> Iterator[dict[str, Any]]:
    left = FIGURES_ROOM
    for picture in found:
        kind, data = _small(picture)
        source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
        fits = len(source) <= left
        left -= len(source) if fits else 0
        yield {
            "path": picture.path,
            "alt": picture.alt,
            "caption": picture.caption,
            "source": Markup(source) if fits else "",
            "width": int.from_bytes(picture.png[16:20]),
            "height": int.from_bytes(picture.png[20:24]),
            "spots": picture.spots,
        }


def _small(picture: Picture) -> tuple[str, bytes]:
    """Return the lines of a drawing as they are, or, where they are many, its picture with few colours."""
    if picture.svg and len(picture.svg) <= MOST_SVG:
        return "svg+xml", picture.svg
    from PIL import Image

    out = io.BytesIO()
    with Image.open(io.BytesIO(picture.png)) as image:
        image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return "png", min(out.getvalue(), picture.png, key=len)


def _commands(model: ReportModel) -> Iterator[tuple[str, str]]:
    """Commands with what they do, safe to paste whatever the file is called."""
    source = shlex.quote(model.registration.source)
    yield "Check the design before anything runs", f"prereg check {source}"
    if model.registration.rehearsal:
        yield "Rehearse again: toy models, no evidence", f"pytest {source} --rehearse"
    else:
        yield "Compare the registration with its seal", f"prereg verify {source}"
    if model.measured and not model.registration.rehearsal:
        yield "Run everything that is not stored yet", f"pytest {source} -m gpu"
    elif model.measured:
        yield "Run the registration itself", f"pytest {source} -m gpu"
    else:
        yield "Decide again on the recorded tables", f"pytest {source} --prereg-data FOLDER_OF_TABLES"
    yield "Write this page again without models or data", "prereg report results.json"


# --- completions ------------------------------------------------------------------------------------


def _facets(found: Browser) -> dict[str, list[str]]:
    """The values of every filter in the order in which they first occur."""
    return {
        name: list(dict.fromkeys(getattr(row, name) for row in found.rows))
        for name in ("measure", "arm", "persona", "question", "at")
    }


def _embedded(found: Browser) -> Markup:
    """Return the completions as JSON that is safe inside a script element: no tag and no line separator in it."""
    facets = _facets(found)
    places = {name: {value: place for place, value in enumerate(values)} for name, values in facets.items()}

    def packed(row: Row) -> list[Any]:
        at = [places[name][getattr(row, name)] for name in ("measure", "arm", "persona", "question", "at")]
        return [*at, row.k, int(row.hit), int(row.truncated), row.length, row.parts]

    content = {**facets, "texts": found.texts, "rows": [packed(row) for row in found.rows]}
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return Markup(text)
