"""The rule on truths alone: the court's own order of things, with every comparison already judged.

Experiments whose comparisons came out alike are decided once. Leaving out a clause and deciding again says whether
it ever mattered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from harness.contracts.bound import Bound, Clause
from harness.contracts.records import Finding, Truth
from harness.contracts.trees import All, Ci, Compare, Criterion, Num
from harness.core.errors import PreregError
from harness.decide.court import Court
from harness.decide.judge import Judge, Judged, Situation
from harness.decide.verdict import triage

CONTRADICTION = "contradiction"
ALWAYS = Compare(left=Num(value="1"), rel=">=", right=Num(value="0"), text="always", line=0)
Places = Mapping[int, Mapping[str, tuple[str, ...]]]
"""Kept dims and their levels, by the identity of a comparison."""
TruthOf = Callable[[Compare | Ci, Mapping[str, str]], Truth]


class _Truths(Judge):
    """Judges criteria whose comparisons are already known."""

    def __init__(self, places: Places, truth: TruthOf, situation: Situation) -> None:
        super().__init__({}, situation)
        self._places_of, self._truth = places, truth

    def leaf(self, leaf: Compare | Ci, place: dict[str, str]) -> Judged:
        if id(leaf) not in self._places_of:
            return Judged("true")  # what a variant put in place of a clause
        return Judged("unknown" if self.situation.barred(leaf) else self._truth(leaf, place))

    def axes(self, leaf: Compare | Ci) -> dict[str, tuple[str, ...]]:
        return dict(self._places_of.get(id(leaf), {}))


class TruthCourt(Court):
    """A court that is told the truth of every comparison; order, gates, kills and Kleene's logic are the court's."""

    def __init__(self, bound: Bound, places: Places, truth: TruthOf) -> None:
        super().__init__(bound, {})
        self._places_of, self._truth = places, truth

    def clause(self, hypothesis: str, name: str) -> Finding:
        """Judge a clause; its corrected p-values are already in the truths."""
        owner = self.hypothesis_named(hypothesis)
        clause = next(each for each in owner.clauses if each.name == name)
        return self._finding(hypothesis, name, clause, self._situation(self._closed(hypothesis)))

    def rule(self, criterion: Criterion) -> Judged:
        """Judge a criterion that stands outside hypotheses."""
        return self._judged(criterion, self._situation(self._closed("")))

    def _finding(self, owner: str, name: str, clause: Clause, situation: Situation) -> Finding:
        if (owner, name) not in self._findings:
            truth = self._judged(clause.criterion, situation).truth
            self._findings[owner, name] = Finding(name=name, text=clause.text, line=clause.line, truth=truth)
        return self._findings[owner, name]

    def _judged(self, criterion: Criterion, situation: Situation) -> Judged:
        return _Truths(self._places_of, self._truth, situation).at(criterion, {})


@dataclass(frozen=True)
class Ruling:
    """What the rule said: truths by name (``gate.NAME``, ``kill.NAME``, ``H``, ``H.CLAUSE``), verdicts, triage row.

    ``verdict`` is that of the primary hypotheses together, or ``contradiction`` where the design contradicts itself;
    ``row`` is the triage row, -1 for none.
    """

    verdict: str
    row: int
    truths: Mapping[str, Truth]
    verdicts: Mapping[str, str]


def rule(bound: Bound, places: Places, truth: TruthOf) -> Ruling:
    """Decide one pattern of truths."""
    court = TruthCourt(bound, places, truth)
    truths: dict[str, Truth] = {f"gate.{gate.name}": court.gate(gate.name).truth for gate in bound.gates}
    truths |= {f"kill.{kill.name}": court.kill(kill.name).truth for kill in bound.kills}
    own: dict[str, str] = {}
    for hypothesis in bound.hypotheses:
        for clause in hypothesis.clauses:
            truths[f"{hypothesis.name}.{clause.name}"] = court.clause(hypothesis.name, clause.name).truth
        truths[hypothesis.name] = court.hypothesis(hypothesis.name).truth
        own[hypothesis.name] = _verdict(court, hypothesis.name)
    try:
        found = triage(court)
        row, verdict = -1 if found is None else found.row, court.outcome[0]
    except PreregError:
        return Ruling(CONTRADICTION, -1, truths, own)
    return Ruling(verdict, row, truths, own)


def verdicts(bound: Bound, places: Places, truth: TruthOf) -> tuple[str, ...]:
    """Return the verdict of one pattern of truths, and that of each hypothesis."""
    court = TruthCourt(bound, places, truth)
    try:
        whole = court.outcome[0]
    except PreregError:
        whole = CONTRADICTION  # type: ignore[assignment]
    return whole, *(_verdict(court, hypothesis.name) for hypothesis in bound.hypotheses)


def _verdict(court: Court, hypothesis: str) -> str:
    try:
        return court.verdict(hypothesis)[0]
    except PreregError:
        return CONTRADICTION


def variants(bound: Bound) -> Iterator[tuple[str, str, Bound]]:
    """Yield the registration without one thing each: name, text, and what is left.

    Gates and kills go whole; a clause holds always instead and, where it is a conjunction, each of its parts does.
    """
    for gate in bound.gates:
        rest = tuple(each for each in bound.gates if each is not gate)
        yield f"gate.{gate.name}", gate.text, bound.model_copy(update={"gates": rest})
    for kill in bound.kills:
        kills = tuple(each for each in bound.kills if each is not kill)
        yield f"kill.{kill.name}", kill.text, bound.model_copy(update={"kills": kills})
    for index, hypothesis in enumerate(bound.hypotheses):
        for place, clause in enumerate(hypothesis.clauses):
            before, after = hypothesis.clauses[:place], hypothesis.clauses[place + 1 :]
            always = clause.model_copy(update={"criterion": ALWAYS})
            yield f"{hypothesis.name}.{clause.name}", clause.text, _with(bound, index, (*before, always, *after))
            parts = clause.criterion.of if isinstance(clause.criterion, All) else ()
            for number, part in enumerate(parts):
                others = tuple(each for each in parts if each is not part)
                left = clause.model_copy(update={"criterion": others[0] if len(others) == 1 else All(of=others)})
                text = part.text if isinstance(part, Compare | Ci) else f"part {number + 1} of {clause.text}"
                name = f"{hypothesis.name}.{clause.name}.{number + 1}"
                yield name, text, _with(bound, index, (*before, left, *after))


def _with(bound: Bound, index: int, clauses: tuple[Clause, ...]) -> Bound:
    changed = bound.hypotheses[index].model_copy(update={"clauses": clauses})
    hypotheses = (*bound.hypotheses[:index], changed, *bound.hypotheses[index + 1 :])
    return bound.model_copy(update={"hypotheses": hypotheses})
