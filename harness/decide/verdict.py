"""The decision of one prereg: gates, kills, hypotheses, triage, verdict and confidence."""

from __future__ import annotations

from collections.abc import Mapping

from harness.contracts.bound import Bound
from harness.contracts.records import Decision, Estimate, HypothesisResult, Standing, TriageResult
from harness.core.errors import PreregError, Problem, Where
from harness.decide.confidence import confidence
from harness.decide.court import Court


def decide(bound: Bound, estimates: Mapping[str, Estimate]) -> Decision:
    """Decide a prereg mechanically.

    Args:
        bound: the registration.
        estimates: every expression of ``bound.expressions`` by its id.

    Raises:
        PreregError: an estimate is absent, or the design contradicts itself on these data (a kill and what
            it kills both hold; two triage rows hold).
    """
    court = Court(bound, estimates)
    gates = tuple(court.gate(gate.name) for gate in bound.gates)
    kills = tuple(court.kill(kill.name) for kill in bound.kills)
    hypotheses = tuple(hypothesis_result(court, hypothesis.name) for hypothesis in bound.hypotheses)
    word, why = court.outcome
    return Decision(
        prereg=bound.id,
        rehearsal=bound.rehearsal,
        standing=standing(bound),
        gates=gates,
        kills=kills,
        hypotheses=hypotheses,
        triage=triage(court),
        verdict=word,
        why=why,
        confidence=confidence(court),
    )


def standing(bound: Bound) -> Standing:
    """Return what the registration is worth: nothing is confirmatory without a seal."""
    return "retrospective" if bound.retrospective else "exploratory"


def hypothesis_result(court: Court, name: str) -> HypothesisResult:
    """Judge a hypothesis and its clauses."""
    owner = court.hypothesis_named(name)
    clauses = tuple(court.clause(name, clause.name) for clause in owner.clauses)
    word, why = court.verdict(name)
    return HypothesisResult(
        name=name,
        claim=owner.claim,
        role=owner.role,
        line=owner.line,
        truth=court.hypothesis(name).truth,
        verdict=word,
        why=why,
        clauses=clauses,
        expect=owner.expect,
    )


def triage(court: Court) -> TriageResult | None:
    """Return the triage row that holds; None while an unknown row could still be the one.

    Raises:
        PreregError: two rows hold.
    """
    rows = court.bound.triage
    truths = ["unknown" if row.criterion is None else court.rule(row.criterion).truth for row in rows]
    holding = [index for index, truth in enumerate(truths) if truth == "true"]
    if len(holding) > 1:
        first, second = rows[holding[0]], rows[holding[1]]
        raise PreregError(
            Problem(
                Where(court.bound.file, second.line, key=f"triage.{holding[1]}"),
                f"the rows '{first.text}' (line {first.line}) and '{second.text}' (line {second.line}) both hold",
                "rows that exclude each other",
                "this is a fault of the design",
            )
        )
    if not holding and all(truth == "false" for row, truth in zip(rows, truths, strict=True) if row.criterion):
        holding = [index for index, row in enumerate(rows) if row.criterion is None]
    if not holding:
        return None
    row = rows[holding[0]]
    return TriageResult(row=holding[0], text=row.text, reads=row.reads, next=row.next, line=row.line)
