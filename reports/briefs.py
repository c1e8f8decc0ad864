"""Facts in a few plain words, without names of estimates: for titles, next steps and the plain-English summary."""

from __future__ import annotations

from collections.abc import Callable

from markupsafe import Markup

from harness.contracts.records import Fact, HypothesisResult
from harness.core.numbers import format_interval, format_n, format_rel, format_threshold, format_value, phrase_p
from reports.escape import code, join, md
from reports.records import EstimateRow, ReportModel, two_sides
from reports.sentences import named

Say = Callable[[EstimateRow], Markup]
WANTED = {"supported": "true", "not supported": "false", "killed": "true", "inconclusive": "unknown"}
"""Which comparisons carry a verdict."""


def carrying(result: HypothesisResult, model: ReportModel) -> list[Fact]:
    """Return the comparisons that carry a hypothesis's verdict, in the order of the registration."""
    findings = result.clauses
    if result.verdict == "killed":
        findings = tuple(kill for kill in model.decision.kills if kill.truth == "true")
    wanted = WANTED[result.verdict]
    return [fact for finding in findings for fact in finding.facts if fact.truth == wanted]


def subject(fact: Fact, model: ReportModel) -> EstimateRow | None:
    """Return the estimate that a comparison is about: of a p-value the one that it tests."""
    row = model.row(fact.estimate)
    if fact.unit != "p":
        return row
    return next((each for each in model.estimates if any(test.name == fact.estimate for test in each.tests)), row)


def values(row: EstimateRow) -> Markup:
    """Say an estimate by its two sides (``55.0% in C2 against 25.0% in C1``), else by its value; empty when unknown."""
    if len(row.sides) == 2 and all(side.value is not None for side in row.sides):
        unit = "proportion" if row.display == "pp" else row.display
        said = [Markup(f"{format_value(side.value, unit)} in {md(side.label)}") for side in row.sides]
        return join(said, " against ")
    if len(row.estimate.cells) != 1 or row.estimate.cells[0].value is None or row.estimate.unit == "p":
        return Markup("")
    if row.contrast:
        return _gap(row, row.estimate.cells[0].value)
    return Markup(f"{code(row.estimate.name)} {format_value(row.estimate.cells[0].value, row.display)}")


def _gap(row: EstimateRow, value: float) -> Markup:
    """``C2 is 41.4 pp below C3``, from a contrast's label."""
    left, right = two_sides(row)
    if not value:
        return Markup(f"{md(left)} is level with {md(right)}")
    return Markup(
        f"{md(left)} is {format_value(abs(value), row.display)} {'above' if value > 0 else 'below'} {md(right)}"
    )


def contrast(row: EstimateRow) -> Markup:
    """Say a contrast as a sentence: ``C2 is 30.0 pp above C1 (55.0% against 25.0%)``; else as :func:`values`."""
    value = row.estimate.cells[0].value if len(row.estimate.cells) == 1 else None
    if len(row.sides) != 2 or value is None or any(side.value is None for side in row.sides):
        return _stated(row, values(row))
    unit = "proportion" if row.display == "pp" else row.display
    one, two = (format_value(side.value, unit) for side in row.sides)
    return Markup(f"{_gap(row, value)} ({one} against {two})")


def _stated(row: EstimateRow, said: Markup) -> Markup:
    """```x` −0.6`` as the beginning of a sentence: ```x` is −0.6``."""
    name = code(row.estimate.name)
    return Markup(f"{name} is{said.removeprefix(name)}") if said.startswith(f"{name} ") else said


def short(fact: Fact, model: ReportModel, say: Say = values) -> Markup:
    """Say one comparison without naming what was estimated: its numbers, and by how much it fails."""
    row, about = model.row(fact.estimate), subject(fact, model)
    said = say(about) if about is not None else Markup("")
    unit = row.display if row is not None else fact.unit
    if fact.interval is not None:
        span = format_interval(fact.interval.low, fact.interval.high, unit)
        limit = format_threshold(fact.threshold, unit)
        lies = "wholly" if fact.truth == "true" else "not wholly"
        where = f"{format_rel(fact.rel, words=True)} {limit}"
        if fact.kind == "within":
            where = f"within {limit} to {format_threshold(fact.upper, unit)}"
        return join([each for each in (said, Markup(f"interval {span}, {lies} {where}")) if each], ", ")
    if fact.value is None:
        return said
    limit = format_threshold(fact.threshold, unit)
    if unit == "p":
        p = phrase_p(fact.value)
        miss = "" if fact.truth == "true" else f", not {format_rel(fact.rel, words=True)} the registered {limit}"
        return join([each for each in (said, Markup(p + miss)) if each], ", ")
    if fact.truth == "true" or not fact.shortfall:
        return said or Markup(format_value(fact.value, unit))
    way = "short of" if fact.rel in (">", ">=") else "over"
    missed = f"{format_value(fact.shortfall, 'pp' if unit == 'proportion' else unit)} {way} the registered {limit}"
    return join([said or Markup(format_value(fact.value, unit)), Markup(missed)], ", ")


def nothing(row: EstimateRow) -> Markup:
    """Say nothing of an estimate: where its numbers were told just before, or are not to be named."""
    return Markup("")


def brief(result: HypothesisResult, model: ReportModel, say: Say = values) -> Markup:
    """Say in one breath the numbers behind a hypothesis's verdict: values, p, what is missing."""
    facts = carrying(result, model)
    return together(facts[:], model, say)


def together(facts: list[Fact], model: ReportModel, say: Say = values, *, rest: bool = False) -> Markup:
    """Say the first comparison that has values, and what else was asked of the same estimate.

    With ``rest``, what was asked of others is said too, with their names.
    """
    if not facts:
        return Markup("")
    facts.sort(key=lambda fact: (about := subject(fact, model)) is None or not values(about))
    first, told = facts[0], subject(facts[0], model)
    said = [short(first, model, say)]
    for other in facts[1:]:
        if subject(other, model) is told and other.unit == "p" and other.value is not None:
            said.append(short(other, model, nothing))
            break
    others = [fact for fact in facts[1:] if subject(fact, model) is not told and fact.value is not None]
    if rest and others:
        name = named(others[0].estimate, model)
        said.append(Markup(f"and {name}: {short(others[0], model, nothing)}"))
    return join([each for each in said if each], ", ")


def n_of(row: EstimateRow | None, model: ReportModel) -> Markup:
    """Say how much stands behind an estimate: per arm where the contrast was taken apart, else in all."""
    if row is None or not row.estimate.counts:
        return Markup("")
    found = _per_arm(row, model)
    if found is not None:
        return found
    total, _, levels = format_n(row.estimate.counts).partition(" (")
    both = ", both sides together" if levels and " − " in row.contrast else ""
    return Markup(f"N = {total}{both}{f': {levels[:-1]}' if levels else ''}")


def _per_arm(row: EstimateRow, model: ReportModel) -> Markup | None:
    """``1,400 completions per arm: 7 personas × 20 questions × 10``."""
    from harness.core.numbers import count_noun, format_count

    labels = two_sides(row)
    for found in model.breakdowns:
        arms = [arm for label in labels for arm in found.arms if arm.arm == label]
        if found.measure not in row.measures and not _same_data(found.measure, row, model):
            continue
        if len(arms) != 2 or {dim: row.estimate.counts.get(dim) for dim in found.dims} != found.dims:
            continue
        levels = " × ".join(count_noun(count, dim) for dim, count in found.dims.items())
        low, high = found.per_cell
        each = f" × {format_count(low)}" if low == high else ""
        if arms[0].n == arms[1].n:
            said = f"{count_noun(arms[0].n, found.noun)} per arm: {levels}{each}"
        else:
            ns = " and ".join(f"{count_noun(arm.n, found.noun)} in {md(arm.arm)}" for arm in arms)
            said = f"{ns}: {levels}{each}"
        return Markup(said)
    return None


def _same_data(measure: str, row: EstimateRow, model: ReportModel) -> bool:
    """Whether a row reads the same file as a measure that was taken apart, under another way of drawing again."""
    names = {found.name: found.data for found in model.designs}
    return bool(names.get(measure)) and any(names.get(each) == names[measure] for each in row.measures)
