"""The template environment: whatever is not Markdown already is escaped, and undefined names are errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness.core.numbers import count_noun, format_count
from reports import escape
from reports.records import Condition, Sample
from reports.samples import asked
from reports.tables import TextTable

TEMPLATES = Path(__file__).parent / "templates"


@cache
def environment() -> Environment:
    """Return the environment of all templates."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        autoescape=True,
        finalize=escape.md,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        raw=Markup,
        code=escape.code,
        fence=escape.fence,
        bullets=_bullets,
        table=_table,
        condition_head=_condition_head,
        sample_line=sample_line,
        sample_head=sample_head,
    )
    return environment


def _bullets(items: Sequence[object]) -> Markup:
    return Markup("\n".join(f"- {escape.md(item)}" for item in items))


def _table(found: TextTable) -> Markup:
    lines = [tuple(_in_table(value) for value in found.header), tuple("---" for _ in found.header)]
    lines += [tuple(_in_table(value) for value in row) for row in found.rows]
    return Markup("\n" + "".join("| " + " | ".join(line) + " |\n" for line in lines) + "\n")


def _in_table(value: object) -> str:
    text = str(escape.md(value))
    return text if text else " "


def _condition_head(condition: Condition) -> Markup:
    return Markup(f"Condition: {escape.md(condition.name)}")


def sample_line(condition: Condition) -> Markup:
    """Return the line under an arm's heading: how many of its completions carry the marker."""
    label = f"{escape.md(condition.label)}: " if condition.label else ""
    said = f"{label}{count_noun(condition.hits, 'hit')} in {count_noun(condition.completions, 'completion')}"
    if condition.truncated:
        said += f", {format_count(condition.truncated)} cut off by the length limit"
    few = "" if len(condition.samples) >= 3 else " (there are no more to show)"
    return Markup(f"{said}{few}.")


def sample_head(sample: Sample, length: int) -> Markup:
    """Return the line above a completion: hit or miss, who was asked what, and what of it is shown."""
    kind = "Hit" if sample.hit else "Miss"
    cut = ", cut off by the length limit" if sample.truncated else ""
    shown = (
        f", first {format_count(len(sample.text))} of {format_count(length)} characters"
        if (length > len(sample.text))
        else ""
    )
    return Markup(f"**{kind}** — {escape.md(sample.persona)}, asked “{escape.md(asked(sample))}”{cut}{shown}:")


def plain(value: Any) -> Any:
    """Take the marks out of text, in whatever lists and tables it stands."""
    if isinstance(value, str):
        return escape.unmarked(value)
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, TextTable):
        rows = tuple(tuple(escape.unmarked(cell) for cell in row) for row in value.rows)
        return replace(value, rows=rows, about=plain(value.about))
    return value


def tidy(text: str) -> str:
    """Collapse runs of blank lines outside fences and end with one newline."""
    lines: list[str] = []
    fence = ""
    for line in text.split("\n"):
        ticks = line[: len(line) - len(line.lstrip("`"))]
        if len(ticks) >= 3 and (not fence or (line == ticks and len(ticks) >= len(fence))):
            fence = "" if fence else ticks
        if fence or line.strip() or (lines and lines[-1].strip()):
            lines.append(line if fence else line.rstrip())
    return "\n".join(lines).strip("\n") + "\n"
