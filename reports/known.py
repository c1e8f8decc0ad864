"""The numbers of a report's model, each with its unit, the estimate it belongs to, and its role."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Literal, NamedTuple

from harness.contracts.analyses import Breakdown, LengthControl
from harness.contracts.records import Fact
from harness.core.numbers import format_threshold, format_value
from reports.records import EstimateRow, ReportModel, two_sides
from reports.sentences import EXTREME

Role = Literal["value", "threshold", "shortfall", "level", "times", "gap"]
"""What a number is said to be. A ``gap`` is the size of a difference, followed by its direction and its other side."""


class Known(NamedTuple):
    """A number that is no count (``reports.counted``). ``owner`` is its estimate (empty: the whole report)."""

    value: float
    unit: str
    owner: str = ""
    role: Role = "value"
    after: str = ""
    """A pattern of what follows a gap: ``above C1``."""


class Span(NamedTuple):
    """An interval or a range of values, with the estimates whose it is."""

    low: float
    high: float
    unit: str
    owners: frozenset[str]


Pattern = Callable[[str], str]
"""The pattern of a name, as it stands in a passage that is checked."""


def known_numbers(model: ReportModel, named: Pattern) -> Iterator[Known]:
    """Yield every number that prose may say; ``named`` returns the pattern of a name."""
    for row in model.estimates:
        yield from _row(row, named)
    for fact in facts(model):
        yield from _fact(fact, model)
    for found in model.comparisons:
        if found.spread:
            yield Known(found.spread.low, found.display, found.first)
            yield Known(found.spread.high, found.display, found.first)
    for caveat in model.caveats:
        for number in caveat.numbers:
            if number.value is not None and number.unit != "count":
                role: Role = "threshold" if number.name in ("level", "threshold") else "value"
                yield Known(number.value, number.unit, caveat.about, role)
    for taken in model.breakdowns:
        yield from _breakdown(taken, named)


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
    for taken in model.breakdowns:
        for arm in taken.arms:
            yield Span(arm.everywhere_lowest.rate, arm.everywhere_highest.rate, "proportion", frozenset())


def facts(model: ReportModel) -> Iterator[Fact]:
    """Yield every comparison of every clause, gate and kill."""
    clauses = (clause for result in model.decision.hypotheses for clause in result.clauses)
    for finding in (*clauses, *model.decision.gates, *model.decision.kills):
        yield from finding.facts


def _row(row: EstimateRow, named: Pattern) -> Iterator[Known]:
    name = row.estimate.name
    for cell in row.estimate.cells:
        if cell.value is not None:
            yield Known(cell.value, row.display, name)
            if row.contrast:
                yield _gap(cell.value, row.display, named(two_sides(row)[1]), name)
        for interval in cell.intervals:
            yield Known(float(Fraction(interval.level)), "proportion", "", "level")
    for side in row.sides:
        if side.value is not None:
            yield Known(side.value, "proportion" if row.display == "pp" else row.display, name)
    for test in row.tests:
        if test.value is not None:
            yield Known(test.value, "p", name)


def _gap(value: float, unit: str, other: str, owner: str = "") -> Known:
    return Known(abs(value), unit, owner, "gap", f"{'above' if value > 0 else 'below'} {other}")


def missed(model: ReportModel) -> Iterator[str]:
    """Yield every shortfall with its threshold, as prose says them: ``3.0 pp short of the registered 15 pp``."""
    for fact in facts(model):
        row = model.row(fact.estimate)
        if fact.shortfall and fact.kind == "compare":
            unit = row.display if row else "pp" if fact.unit == "proportion" and "pp" in fact.text else fact.unit
            short = format_value(fact.shortfall, "pp" if unit == "proportion" else unit)
            way = "short of" if fact.rel in (">", ">=") else "over"
            yield f"{short} {way} the registered {format_threshold(fact.threshold, unit)}"


def _fact(fact: Fact, model: ReportModel) -> Iterator[Known]:
    row = model.row(fact.estimate)
    unit = row.display if row else "pp" if fact.unit == "proportion" and "pp" in fact.text else fact.unit
    # Prose names the smallest of a table by the table.
    extreme = EXTREME.fullmatch(fact.estimate)
    names = (fact.estimate, extreme[2]) if extreme else (fact.estimate,)
    if fact.value is not None:
        yield from (Known(fact.value, unit, name) for name in names)
    for limit in (fact.threshold, fact.upper):
        if limit is not None:
            tested = [row.estimate.name for row in model.estimates if any(t.name == fact.estimate for t in row.tests)]
            yield from (Known(limit, unit, owner, "threshold") for owner in (*names, *tested))
    if fact.shortfall is not None and unit != "p":
        shown = "pp" if unit == "proportion" else unit
        yield from (Known(fact.shortfall, shown, name, "shortfall") for name in names)


def _breakdown(found: Breakdown, named: Pattern) -> Iterator[Known]:
    for arm in found.arms:
        everywhere = (arm.everywhere_lowest, arm.everywhere_highest)
        yield from (
            Known(rate, "proportion") for rate in (arm.rate, *(part.rate for part in (*arm.parts, *everywhere)))
        )
        yield from (_gap(arm.rate - other.rate, "pp", named(other.arm)) for other in found.arms if other is not arm)
    for move in found.directions:
        yield from (Known(value, "pp") for value in (move.lowest, move.highest))
    for place in found.places:
        yield Known(place.ending, "proportion")
        yield Known(place.times, "1", role="times")
    if found.length is not None:
        yield from _length(found.length)


def _length(control: LengthControl) -> Iterator[Known]:
    yield from (Known(arm.everywhere, "tokens") for arm in control.arms)
    if control.longest is not None:
        yield Known(control.longest, "tokens")
    yield from (Known(effect.p, "p") for each in control.contrasts for effect in (each.plain, each.controlled))
    if control.slope is not None:
        yield Known(control.slope.p, "p")
