"""The words of results.json that a report may repeat: registered text, names, and the reasons of the decision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from reports.known import facts
from reports.records import ReportModel, two_sides
from reports.samples import asked


def quotable(model: ReportModel) -> Iterator[str]:
    """Yield texts that may stand in prose word for word."""
    registered, decision = model.registration, model.decision
    yield from (registered.title, registered.question, registered.id, *registered.models, *registered.arms.values())
    yield from (*registered.overridden, decision.why)
    for result in decision.hypotheses:
        claim = result.claim.strip().rstrip(".")
        yield from (result.claim, claim, claim[:1].lower() + claim[1:], claim[:1].upper() + claim[1:], result.why)
        yield from (text for clause in result.clauses for text in (clause.text, clause.why))
    for finding in (*decision.gates, *decision.kills):
        yield from (finding.text, finding.why)
    yield from (fact.why for fact in facts(model))
    if decision.triage:
        yield from (decision.triage.reads, decision.triage.next, decision.triage.text)
    yield from (text for _, text in decision.confidence.caps)
    if decision.basis:
        yield from decision.basis.reasons
        for each in decision.basis.deviations:
            yield from (each.key, each.registered, each.done, each.because, f"amended at {each.when}")
            yield ", ".join(each.known)
    yield from (text for note in (*model.differs, *model.allow) for text in (note.at, note.because, note.source))
    yield from (text for caveat in model.caveats for text in caveat.words.values())
    for row in model.estimates:
        yield from (f"{dim} {level}" for cell in row.estimate.cells for dim, level in cell.at.items())
        yield from (level for cell in row.estimate.cells for level in cell.at.values())
    for condition in model.conditions:
        yield from (text for sample in condition.samples for text in (sample.persona, asked(sample)))


def names(model: ReportModel) -> Iterator[str]:
    """Yield what arms, levels, hypotheses and gates are called, whatever that is: a word, a number, a sentence."""
    yield from model.registration.arms
    yield from (result.name for result in model.decision.hypotheses)
    yield from (finding.name for finding in (*model.decision.gates, *model.decision.kills))
    for row in model.estimates:
        yield from (*two_sides(row), *(side.label for side in row.sides))
        places = [cell.at for cell in row.estimate.cells]
        yield from (text for at in places for text in (*at, *at.values(), *_placed(at)))
    yield from (text for fact in facts(model) for text in (*fact.at.values(), *_placed(fact.at)))
    for found in model.comparisons:
        yield from (found.label, *found.levels, "-".join(found.levels))
        yield from (found.spread.low_at, found.spread.high_at) if found.spread else ()
    for caveat in model.caveats:
        yield from (caveat.about, *caveat.words.values())
    for taken in model.breakdowns:
        yield from (text for arm in taken.arms for text in (arm.arm, *(part.level for part in arm.parts)))
        yield from (text for level in taken.pool.values() for text in level)
        yield from (taken.places_reason, taken.places_reason[:1].upper() + taken.places_reason[1:])
        yield taken.length.reason if taken.length else ""
    for condition in model.conditions:
        yield from (condition.name, condition.label)
    yield from (text for design in model.designs for text in (design.name, design.kind, design.source))


def _placed(at: Mapping[str, str]) -> Iterator[str]:
    """Yield a place as sentences write it, dim by dim and in one."""
    places = [f"{dim} {level}" for dim, level in at.items()]
    yield from (*places, ", ".join(places))


def code_texts(model: ReportModel) -> Iterator[str]:
    """Yield everything that may stand in a code span."""
    yield from quotable(model)
    yield from (row.estimate.name for row in model.estimates)
    yield from (model.claimed_when, f"pytest {model.registration.source} -m gpu", *model.recorded, *model.measured)
    yield from (row[0] for table in model.setup if table.name == "Data" for row in table.rows)
    yield from (design.source for design in model.designs if design.source)
    yield from (f"{result.name}.{clause.name}" for result in model.decision.hypotheses for clause in result.clauses)
    yield from (finding.name for finding in (*model.decision.gates, *model.decision.kills))
