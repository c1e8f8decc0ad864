"""What people read in the terminal: one block per item that does not hold, and one per prereg at the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.contracts.bound import Bound, Hypothesis
    from harness.contracts.records import Decision, Estimate, Fact, Finding, Truth

_SIGNS: dict[Truth, str] = {"true": "holds  ", "false": "FAILS  ", "unknown": "unknown"}
_MOST_FACTS = 6


class Page:
    """Writes blocks for one prereg.

    Args:
        bound: the registration.
        estimates: by expression id.
    """

    def __init__(self, bound: Bound, estimates: Mapping[str, Estimate]) -> None:
        from harness.contracts.display import display_unit

        self.bound = bound
        self._estimates = {estimate.name: estimate for estimate in estimates.values()}
        self._units = {each.name: display_unit(each.tree, each.unit) for each in bound.expressions}

    def finding(self, name: str, finding: Finding, said: str) -> str:
        """Say a gate, clause or kill: formula, value, interval, threshold, n, and what it would have taken."""
        head = f"{self._stamp()}{name} {said}  ({self._place(finding.line)})"
        return "\n".join([head, f"  {finding.text}", *self._facts(finding)])

    def hypothesis(self, name: str, owner: Hypothesis, word: str, why: str) -> str:
        """Say a hypothesis's verdict and its reason."""
        head = f"{self._stamp()}{name} is {word}  ({self._place(owner.line)})"
        return "\n".join([head, f"  claim: {owner.claim}", f"  {why}"])

    def verdict(self, decision: Decision) -> str:
        """Say the verdict, hypothesis by hypothesis, with triage and confidence."""
        return "\n".join([headline(decision), *(f"  {line}" for line in details(decision))])

    def _facts(self, finding: Finding) -> Iterator[str]:
        decisive = [fact for fact in finding.facts if fact.truth == finding.truth] or list(finding.facts)
        shown = sorted(decisive[:_MOST_FACTS] if len(finding.facts) > _MOST_FACTS else finding.facts, key=_place)
        for fact in shown:
            yield from self._fact(fact)
        if len(shown) < len(finding.facts):
            yield f"  ... and {len(finding.facts) - len(shown)} more comparisons"

    def _fact(self, fact: Fact) -> Iterator[str]:
        from harness.core.numbers import format_interval, format_level, format_n, format_threshold, format_value

        at = ", ".join(f"{axis}={level}" for axis, level in fact.at.items())
        yield f"  {_SIGNS[fact.truth]} {fact.text}" + (f"  [{at}]" if at else "")
        estimate = self._estimates.get(fact.estimate)
        unit = self._units.get(fact.estimate, fact.unit)
        told = [f"value {format_value(fact.value, unit)}"]
        cell = next((cell for cell in estimate.cells if cell.at == fact.at), None) if estimate else None
        for interval in (fact.interval,) if fact.interval else cell.intervals if cell else ():
            told.append(f"{format_level(interval.level)} {format_interval(interval.low, interval.high, unit)}")
        limits = [format_threshold(limit, unit) for limit in (fact.threshold, fact.upper) if limit is not None]
        told.append(f"threshold {fact.rel} {' .. '.join(limits) or 'unknown'}")
        if estimate and estimate.counts:
            told.append(f"n = {format_n(estimate.counts)}")
        yield f"          {', '.join(told)}"
        if fact.why:
            yield f"          {fact.why}"
        if estimate and estimate.formula and estimate.formula not in fact.text:
            yield f"          {fact.estimate} = {estimate.formula}"

    def _place(self, line: int) -> str:
        return f"{self.bound.file}:{line}"

    def _stamp(self) -> str:
        return "REHEARSAL " if self.bound.rehearsal else ""


def headline(decision: Decision) -> str:
    """Say a prereg's verdict and confidence in one line."""
    if decision.rehearsal:
        return f"{decision.prereg}: REHEARSAL (rule returned: {decision.verdict}), confidence none"
    confidence = decision.confidence.final or "none"
    return f"{decision.prereg}: {decision.verdict.upper()} ({decision.standing}), confidence {confidence}"


def details(decision: Decision) -> Iterator[str]:
    """Say why, hypothesis by hypothesis, what it means, and what lowered the confidence."""
    for result in decision.hypotheses:
        role = "" if result.role == "primary" else " (secondary)"
        yield f"{result.name}{role} {result.verdict}" + (f": {result.why}" if result.why else "")
    for gate in decision.gates:
        if gate.truth != "true":
            yield f"gate {gate.name} {'does not hold' if gate.truth == 'false' else 'is unknown'}: {gate.why}"
    if decision.triage:
        yield f"reads: {decision.triage.reads} -> {decision.triage.next}"
    yield from (f"{decision.standing}: {reason}" for reason in (decision.basis.reasons if decision.basis else ()))
    claimed = decision.confidence.claimed
    if decision.confidence.caps and not decision.rehearsal:
        yield f"confidence {decision.confidence.final} (claimed {claimed or 'none'}):"
        yield from (f"  {word}: {why}" for word, why in decision.confidence.caps)


def _place(fact: Fact) -> int:
    return {"false": 0, "unknown": 1, "true": 2}[fact.truth]
