"""The whole numbers that a report may say, each with the words that must stand beside it.

A count is only right with its noun: "7 personas" says nothing about "7 gates".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from harness.contracts.analyses import Breakdown, LengthControl
from harness.contracts.records import Fact
from harness.core.numbers import format_count, plural_of
from reports.arms_words import level_with
from reports.known import Pattern
from reports.records import Caveat, ReportModel
from reports.samples import PER_CONDITION
from reports.sentences import EXTREME


class Counted(NamedTuple):
    """A count with patterns of the text right after it and right before it (either may be empty).

    ``owner`` is the estimate that it belongs to; empty: the whole report.
    """

    value: int
    after: str
    before: str = ""
    owner: str = ""


def noun(word: str) -> str:
    """A pattern for a noun in either number."""
    return rf"(?:{re.escape(word)}|{re.escape(plural_of(word))})\b"


def of(total: int, word: str) -> str:
    """A pattern for ``of 7 personas``."""
    return rf"of {re.escape(format_count(total))} {noun(word)}"


def counted(model: ReportModel, named: Pattern) -> Iterator[Counted]:
    """Yield every count that prose may say; ``named`` returns the pattern of a name."""
    for row in model.estimates:
        extreme = EXTREME.fullmatch(row.estimate.name)  # prose names the smallest of a table by the table
        for name in (row.estimate.name, *([extreme[2]] if extreme else [])):
            yield from _data(row.estimate.counts, name)
    for name, counts in _facts(model):
        yield from _data(counts, name)
    for found in model.comparisons:
        yield Counted(found.cells, rf"{named('-'.join(found.levels))} cells?\b", owner=found.first)
        yield from (Counted(count, noun(dim), owner=found.first) for dim, count in found.levels.items())
    for caveat in model.caveats:
        yield from _caveat(caveat)
    yield from _tally(model)
    yield from _samples(model)
    for taken in model.breakdowns:
        yield from _breakdown(taken, named)
    for design in model.designs:
        yield from (Counted(count, noun(dim)) for dim, count in design.dims.items())
        if design.each is not None:
            yield Counted(design.each, noun("completion"), before="× ")


def _facts(model: ReportModel) -> Iterator[tuple[str, dict[str, int]]]:
    """The data behind the estimate that a comparison's p-value tests, under the comparison's own name."""
    for row in model.estimates:
        yield from ((test.name, row.estimate.counts) for test in row.tests)


def _data(counts: dict[str, int], owner: str) -> Iterator[Counted]:
    for dim, count in counts.items():
        if dim == "observations":
            yield Counted(count, r"[:;, (.)]|$", before="N = ", owner=owner)
        else:
            yield Counted(count, noun(dim), owner=owner)


def _caveat(caveat: Caveat) -> Iterator[Counted]:
    numbers = {number.name: int(number.value or 0) for number in caveat.numbers if number.unit == "count"}
    total = numbers.get("all")
    if total is None:
        return
    word = {"LEAVE_ONE_OUT": "leave-one-out", "TRUNCATED": "completion", "SWEEP": "level"}.get(caveat.code, "")
    yield Counted(total, noun(word))
    yield from (Counted(count, of(total, word)) for name, count in numbers.items() if name != "all")


def _tally(model: ReportModel) -> Iterator[Counted]:
    tally = model.tally
    for key, word in _TALLIED.items():
        yield Counted(tally[key], noun(word))
    yield Counted(tally["gates_passed"], of(tally["gates"], "gate"))
    yield Counted(tally["gates"] - tally["gates_passed"], of(tally["gates"], "gate") + " not passed")
    yield Counted(tally["primary_supported"], of(tally["primary"], "primary hypothesis"))
    yield Counted(max(tally["primary"] - 2, 0), noun("further primary hypothesis"))
    if model.decision.basis:
        yield Counted(len(model.decision.basis.deviations), noun("deviation"))
    sources = [note.source for note in model.differs]
    yield from (Counted(sources.count(source), noun("declared departure")) for source in sources)
    facts = [fact for finding in _findings(model) for fact in finding]
    yield from (Counted(more, "more", before="and ") for more in range(1, len(facts)))


def _findings(model: ReportModel) -> Iterator[tuple[Fact, ...]]:
    decision = model.decision
    clauses = [clause for result in decision.hypotheses for clause in result.clauses]
    yield from (finding.facts for finding in (*clauses, *decision.gates, *decision.kills))


_TALLIED = {
    "hypotheses": "hypothesis",
    "primary": "primary hypothesis",
    "clauses": "clause",
    "gates": "gate",
    "kills": "kill",
    "arms": "arm",
    "differs": "declared departure",
    "overridden": "key",
}


def _samples(model: ReportModel) -> Iterator[Counted]:
    yield Counted(PER_CONDITION, "per arm", before="At most ")
    for condition in model.conditions:
        for sample, length in zip(condition.samples, condition.lengths, strict=True):
            yield Counted(len(sample.text), of(length, "character"), before="first ")
            yield Counted(length, noun("character"))


def _breakdown(found: Breakdown, named: Pattern) -> Iterator[Counted]:
    for arm in found.arms:
        yield Counted(arm.n, rf"{noun(found.noun)} (?:per arm|in )|{noun(found.noun)}\)")
        yield Counted(arm.hits, of(arm.n, found.noun))
        for end in (arm.lowest, arm.highest):
            yield Counted(len(level_with(arm, end)), rf"{noun(found.unit)} (?:are highest|lowest)")
    for move in found.directions:
        total = move.rose + move.fell + move.same
        arms = rf"higher in {named(move.left)} than in {named(move.right)}"
        yield Counted(total, rf"{noun(found.unit)} (?:is|are) {arms}")
        yield Counted(move.rose, of(total, found.unit) + rf" (?:is|are) {arms}")
        yield Counted(move.fell, "(?:is|are) lower")
        yield Counted(move.same, "(?:is|are) equal")
    yield from (Counted(count, noun(dim)) for dim, count in found.dims.items())
    yield from (Counted(count, r"[;.)]|$", before="× ") for count in found.per_cell)
    yield from (Counted(place.hits, noun("hit"), before="in ") for place in found.places)
    if found.length is not None:
        yield from _length(found.length, found.unit)


def _length(control: LengthControl, unit: str) -> Iterator[Counted]:
    yield Counted(control.units, noun(unit), before=r"\(|[Oo]ver all ")
    most = [arm.at_longest for arm in control.arms if arm.at_longest]
    yield from (Counted(count, of(control.units, unit), before="for ") for count in most)
