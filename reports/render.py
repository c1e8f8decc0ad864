"""Write a report: clean_result.md, report.html, results.json, run.json and figures, each by an atomic rename.

results.json and run.json are written last, so an interrupted report is written again by the next run; an
equal result under the same report version is not rendered twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from harness.core.errors import PreregError
from reports import arms_words, escape, run_file, run_tables, sections, sentences, story, tables
from reports.arms_tables import breakdown_tables
from reports.caveat_words import caveat
from reports.figure_data import operating_file, with_operating
from reports.model import results_json
from reports.numbers import check_prose
from reports.records import ReportModel, RunInfo
from reports.run_file import replace as _replace
from reports.samples import PER_CONDITION
from reports.tables import TextTable
from reports.templating import environment, plain, tidy

if TYPE_CHECKING:
    from reports.figures import Figure
    from reports.html.completions import Browser


CLEAN_RESULT, SUMMARY = "clean_result.md.j2", "summary.md.j2"


@dataclass(frozen=True)
class FigureLink:
    """A figure as the report shows it."""

    path: str
    alt: str
    caption: str


def write(
    model: ReportModel, run: RunInfo, out: Path, *, figures: bool = True,
    completions: Callable[[], Browser | None] = lambda: None, basis: str = "",
) -> list[Path]:  # fmt: skip
    """Write a report into ``out`` and return the paths of all its files.

    Args:
        model: What is reported.
        run: What is true of this run only; goes to run.json and the compute and environment tables.
        out: The report's own folder; made when absent.
        figures: Draw figures (matplotlib is imported only then).
        completions: Returns what report.html lets a reader browse; None takes what an earlier report left in ``out``.
            It is called while other processes draw.
        basis: A digest of what the report is made of; the next run need not build it again while that holds.

    Raises:
        PreregError: a number in the prose is not in results.json. The report is written with a warning on top,
            so that nothing is lost, and the next run writes it again.
    """
    model = with_operating(model, out)
    with _figures(model, figures) as drawn:
        content = results_json(model)
        browsed, extra = _beside(model, out, completions())
        known = _current(out, content, extra, figures)
        if known is None:
            made, wrong = _rendered(model, run, drawn(), browsed, figures)
    if known is not None:
        _replace(out / "run.json", run_file.written(run, known, figures=figures))
        run_file.note(basis, out)
        return [*(out / name for name in known), out / "results.json", out / "run.json"]
    made.update(extra)
    out.mkdir(parents=True, exist_ok=True)
    for name, data in made.items():
        _replace(out / name, data)
    _drop_stale(out, list(made))
    _replace(out / "results.json", content)
    _replace(out / "run.json", run_file.written(run, list(made), figures=figures, unverified=wrong))
    if not wrong:
        run_file.note(basis, out)
    if wrong:
        where = out / "clean_result.md"
        raise PreregError(f"{where} says numbers that are not in results.json: {'; '.join(wrong)}. Trust results.json")
    return [*(out / name for name in made), out / "results.json", out / "run.json"]


def _rendered(
    model: ReportModel, run: RunInfo, drawn: Sequence[Figure], completions: Browser | None, figures: bool
) -> tuple[dict[str, bytes], list[str]]:
    """Return the report's files by name, and the numbers of its prose that are not in results.json."""
    words, marked = _marked(model, run, links=[_link(figure) for figure in drawn], drawn=figures)
    text = escape.unmarked(marked)
    wrong = check_prose(marked, model)
    if wrong:
        text = _with_warning(text, wrong)
    made = {f"figures/{figure.name}{suffix}": data for figure in drawn for suffix, data in figure.files.items()}
    made["clean_result.md"] = text.encode()
    made["summary.md"] = summary(model).encode()
    made["report.html"] = _page(model, words, completions, drawn, wrong)
    return made, wrong


def clean_result(model: ReportModel, run: RunInfo, *, links: Sequence[FigureLink] = (), drawn: bool = True) -> str:
    """Return clean_result.md. The first figure is the hero; ``drawn`` says whether figures were asked for."""
    return escape.unmarked(marked_result(model, run, links=links, drawn=drawn))


def marked_result(model: ReportModel, run: RunInfo, *, links: Sequence[FigureLink] = (), drawn: bool = True) -> str:
    """Return clean_result.md with marks around user text, as the prose checker reads it."""
    return _marked(model, run, links=links, drawn=drawn)[1]


def _marked(
    model: ReportModel, run: RunInfo, *, links: Sequence[FigureLink], drawn: bool
) -> tuple[Mapping[str, Any], str]:
    """Return what clean_result.md says, and the file itself with marks around user text."""
    with escape.marking():
        words = _words(model, run, links=links, drawn=drawn)
        text = tidy(environment().get_template(CLEAN_RESULT).render(words))
    return {name: plain(value) for name, value in words.items()}, text


def _words(model: ReportModel, run: RunInfo, *, links: Sequence[FigureLink], drawn: bool) -> dict[str, Any]:
    """Return everything that clean_result.md says; report.html says the same things in another order."""
    return {
        **_story(model, run),
        "hero": links[0] if links else None,
        "figures": links[1:],
        "no_figure": "No number could be drawn." if drawn else "Figures were not asked for in this run.",
        "summary": story.summary_sentences(model),
        "background": sections.background(model),
        "methodology": sections.methodology(model),
        "next_steps": sections.next_steps(model),
        "human_summary": sections.human_summary(model),
        "source_issues": sections.source_issues(model) or ["None is registered."],
        "setup": model.setup,
        "training": tables.training(model),
        "compute": run_tables.compute(model, run),
        "environment": run_tables.environment(run),
        "differs": _departures(model, "differs"),
        "allow": _departures(model, "allow"),
        "overridden": [escape.code(key) for key in model.registration.overridden],
        "samples_intro": _samples_intro(model),
        "conditions": model.conditions,
        "clauses": tables.clauses(model),
        "gates_and_kills": tables.gates_and_kills(model),
        "estimands": tables.estimands(model),
        "per_cell": tables.per_cell(model),
        "breakdowns": breakdown_tables(model),
        "caveats": _caveats(model),
        "replays": TextTable(
            ("table", "must return", "returned"), tuple((r.name, r.expected, r.returned) for r in model.replays)
        ),
        "artifacts": _artifacts(model, links),
    }


def summary(model: ReportModel) -> str:
    """Return a short Markdown summary for a CI job page (``$GITHUB_STEP_SUMMARY``)."""
    return tidy(environment().get_template(SUMMARY).render(_story(model)))


def _story(model: ReportModel, run: RunInfo | None = None) -> dict[str, Any]:
    before = [*_overrun(run), *story.before_the_result(model)]
    return {
        "rehearsal": model.registration.rehearsal,
        "title": story.title(model),
        "standing": story.standing(model),
        "before": before or [_clean(model)],
        "verdict_line": story.verdict_line(model),
        "takeaways": story.takeaways(model),
        "confidence_line": story.confidence_line(model),
        "verdicts": tables.verdicts(model),
    }


def _clean(model: ReportModel) -> Markup:
    """What there is to say where nothing went wrong; without gates nothing could."""
    gates = "No gate failed" if model.tally["gates"] else "No gate was registered"
    return Markup(f"{gates}, nothing was left out and no departure is on record.")


def _overrun(run: RunInfo | None) -> list[Markup]:
    """Say that jobs were run over the budget; figures and reason are the run's and stand in the compute table."""
    if run is None or not run.over_budget:
        return []
    said = "the likely price was over the registered budget and the jobs were run all the same; the reason and what"
    return [Markup(f"**Deviation at {escape.code('budget')}:** {said} was spent stand under Compute.")]


def _caveats(model: ReportModel) -> list[Markup]:
    gates = {gate.name: gate for gate in model.decision.gates}
    said = [
        story.gate_sentence(gates[each.about], model) if each.code == "GATE" else caveat(each) for each in model.caveats
    ]
    said += [sentences.comparison(each) for each in model.comparisons]
    said += [place for each in model.breakdowns if (place := arms_words.place_sentence(each))]
    said = [*story.deviations(model), *said]
    return said or [Markup("None was found by rule.")]


def _departures(model: ReportModel, which: str) -> TextTable:
    notes = model.differs if which == "differs" else model.allow
    first = "from" if which == "differs" else "finding"
    source = sentences.references if which == "differs" else "".join
    rows = tuple((source((n.source,)), escape.code(n.at, table=True), n.because) for n in notes)
    return TextTable((first, "at", "because"), rows)


def _samples_intro(model: ReportModel) -> Markup:
    if model.conditions:
        return Markup(
            f"At most {PER_CONDITION} per arm, half of them hits where there are enough of both: by name and question, "
            "one of each persona before a second of any. Long ones are cut."
        )
    if model.sampled:
        return Markup("This registration samples completions, but none is stored for this run.")
    return Markup("No completions were sampled: this registration reads numbers that were recorded or probed.")


def _artifacts(model: ReportModel, links: Sequence[FigureLink]) -> TextTable:
    rows: list[tuple[str | Markup, ...]] = [("results", escape.code("results.json", table=True), "every number")]
    rows += [("figure", escape.code(link.path, table=True), link.alt) for link in links]
    rows += [(item.kind, escape.code(item.key, table=True), item.label) for item in model.artifacts]
    rows.append(("registration", escape.code(model.registration.meaning, table=True), model.registration.source))
    return TextTable(("type", "path or key", "what"), tuple(rows))


# --- files ------------------------------------------------------------------------------------------


@contextmanager
def _figures(model: ReportModel, wanted: bool) -> Iterator[Callable[[], Sequence[Figure]]]:
    """Let other processes begin to draw; what is yielded returns the figures, none where none are wanted."""
    if not wanted:
        yield tuple
        return
    from reports.figures import begun

    with begun(model) as drawn:
        yield drawn


def _link(figure: Figure) -> FigureLink:
    return FigureLink(f"figures/{figure.name}.png", figure.alt, figure.caption)


def _beside(model: ReportModel, out: Path, completions: Browser | None) -> tuple[Browser | None, dict[str, bytes]]:
    """Return the completions of this run, or those that an earlier report left, and their file."""
    from reports.html import completions as files

    found = completions or files.unpacked(out / files.FILE, model)
    return found, {**({files.FILE: files.packed(found)} if found else {}), **operating_file(model)}


def _page(
    model: ReportModel,
    words: Mapping[str, Any],
    completions: Browser | None,
    drawn: Sequence[Figure],
    wrong: Sequence[str],
) -> bytes:
    from reports.html.page import Picture, page

    pictures = [
        Picture(f"figures/{each.name}.png", each.alt, each.caption, each.files[".png"], each.files[".svg"], each.spots)
        for each in drawn
    ]
    return page(model, words, completions=completions, pictures=pictures, unverified=wrong)


def _with_warning(text: str, wrong: Sequence[str]) -> str:
    title, _, rest = text.partition("\n")
    return f"{title}\n\n> **Unverified.** Not in results.json: {'; '.join(wrong)}.\n{rest}"


def _current(out: Path, content: bytes, extra: Mapping[str, bytes], figures: bool) -> list[str] | None:
    """Return the files of the report in ``out`` when it is up to date, else None."""
    try:
        if any((out / name).read_bytes() != data for name, data in {"results.json": content, **extra}.items()):
            return None
    except OSError:
        return None
    before = run_file.known(out)
    if before is None or before.get("figures") != figures:
        return None
    files = [str(name) for name in before["files"]]
    return files if {"summary.md", "report.html", *extra} <= set(files) else None


def _drop_stale(out: Path, files: Sequence[str]) -> None:
    """Remove figures that an earlier report listed and this one has not."""
    try:
        before = json.loads((out / "run.json").read_bytes()).get("files", [])
    except (OSError, ValueError, AttributeError):
        return
    for name in before:
        path = Path(str(name))
        if str(name) not in files and path.parts[:1] == ("figures",) and len(path.parts) == 2:
            (out / path).unlink(missing_ok=True)
