"""The numbers of a report's model, each with its unit, the estimate it belongs to, and its role."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Literal, NamedTuple

from harness.contracts.records import Fact
from reports.records import EstimateRow, ReportModel

Role = Literal["value", "threshold", "shortfall", "level"]


class Known(NamedTuple):
    """A number. ``owner`` is the estimate it belongs to (empty: the whole report)."""

    value: float
    unit: str
    owner: str = ""
    role: Role = "value"


class Span(NamedTuple):
    """An interval or a range of values, with the estimates whose it is."""

    low: float
    high: float
    unit: str
    owners: frozenset[str]


def known_numbers(model: ReportModel) -> Iterator[Known]:
    """Yield every number that prose may say."""
    for row in model.estimates:
        yield from _row(row)
    for fact in facts(model):
        yield from _fact(fact, model)
    for found in model.comparisons:
        for count in (found.cells, *found.levels.values()):
            yield Known(count, "count", found.first)
        if found.spread:
            yield Known(found.spread.low, found.display, found.first)
            yield Known(found.spread.high, found.display, found.first)
    for caveat in model.caveats:
        for number in caveat.numbers:
            if number.value is not None:
                role: Role = "threshold" if number.name in ("level", "threshold") else "value"
                yield Known(number.value, number.unit, caveat.about, role)
    yield from _counts(model)


def known_spans(model: ReportModel) -> Iterator[Span]:
    """Yield every interval that prose may say."""
    for row in model.estimates:
        for cell in row.estimate.cells:
            for interval in cell.intervals:
                yield Span(interval.low, interval.high, row.display, frozenset({row.estimate.name}))
    for found in model.comparisons:
        owners = frozenset({found.first, found.second})
        for interval in (found.first_interval, found.second_interval):
            yield Span(interval.low, interval.high, found.display, owners)


def facts(model: ReportModel) -> Iterator[Fact]:
    """Yield every comparison of every clause, gate and kill."""
    clauses = (clause for result in model.decision.hypotheses for clause in result.clauses)
    for finding in (*clauses, *model.decision.gates, *model.decision.kills):
        yield from finding.facts


def _row(row: EstimateRow) -> Iterator[Known]:
    name = row.estimate.name
    for cell in row.estimate.cells:
        if cell.value is not None:
            yield Known(cell.value, row.display, name)
        for interval in cell.intervals:
            yield Known(float(Fraction(interval.level)), "proportion", "", "level")
    for count in row.estimate.counts.values():
        yield Known(count, "count", name)
    for side in row.sides:
        if side.value is not None:
            yield Known(side.value, "proportion" if row.display == "pp" else row.display, name)
    for test in row.tests:
        if test.value is not None:
            yield Known(test.value, "p", name)


def _fact(fact: Fact, model: ReportModel) -> Iterator[Known]:
    row = model.row(fact.estimate)
    unit = row.display if row else "pp" if fact.unit == "proportion" and "pp" in fact.text else fact.unit
    for count in row.estimate.counts.values() if row else ():
        yield Known(count, "count", fact.estimate)
    if fact.value is not None:
        yield Known(fact.value, unit, fact.estimate)
    for limit in (fact.threshold, fact.upper):
        if limit is not None:
            yield Known(limit, unit, fact.estimate, "threshold")
    if fact.shortfall is not None and unit != "p":
        yield Known(fact.shortfall, "pp" if unit == "proportion" else unit, fact.estimate, "shortfall")


def _counts(model: ReportModel) -> Iterator[Known]:
    counts = [*model.tally.values()]
    for condition in model.conditions:
        counts += [condition.completions, condition.hits, condition.truncated, *condition.lengths]
        counts += [len(sample.text) for sample in condition.samples]
    sources = [note.source for note in model.differs]
    counts += [sources.count(source) for source in sources]
    yield from (Known(count, "count") for count in counts)
