"""The words of results.json that a report may repeat: registered text, names, and the reasons of the decision."""

from __future__ import annotations

from collections.abc import Iterator

from reports.known import facts
from reports.records import ReportModel
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


def code_texts(model: ReportModel) -> Iterator[str]:
    """Yield everything that may stand in a code span."""
    yield from quotable(model)
    yield from (row.estimate.name for row in model.estimates)
    yield from (model.claimed_when, f"pytest {model.registration.source} -m gpu", *model.recorded, *model.measured)
    yield from (row[0] for table in model.setup if table.name == "Data" for row in table.rows)
    yield from (design.source for design in model.designs if design.source)
    yield from (f"{result.name}.{clause.name}" for result in model.decision.hypotheses for clause in result.clauses)
    yield from (finding.name for finding in (*model.decision.gates, *model.decision.kills))
