"""Every question about one rule: what can be reached, what excludes what, and what decides nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from harness.check.solver.ask import Answer, Questions
from harness.check.solver.rule import Rule
from harness.check.solver.words import (
    Part,
    conjuncts,
    of_clause,
    of_gates,
    of_hypothesis,
    of_kill,
    of_row,
    said,
)
from harness.contracts.bound import Bound, Clause, Hypothesis
from harness.contracts.trees import Criterion


@dataclass(frozen=True)
class Result:
    """One question and its answer. ``what`` names the thing asked about in the researcher's words.

    asked:
        ``reach``: can it happen at all; ``fail``: can it come out otherwise; ``exclusive``: can these hold at once;
        ``inert``: can it decide anything that the rest of its claim does not.
    """

    asked: Literal["reach", "fail", "exclusive", "inert"]
    kind: Literal["gate", "clause", "hypothesis", "kill", "verdict", "triage", "otherwise", "confidence", "part"]
    at: str
    line: int
    what: str
    answer: Answer
    other: str = ""


class Study:
    """Asks everything once. With ``witness``, each thing that can be reached comes with an experiment in numbers."""

    def __init__(self, bound: Bound, *, witness: bool = False) -> None:
        self.bound = bound
        self.rule = Rule(bound)
        self.questions = Questions(self.rule)
        self.witness = witness

    def results(self) -> Iterator[Result]:
        """Yield every answer; what follows from a part that is impossible is not asked again."""
        sound = True
        for each in self._parts():
            sound = sound and not (each.asked == "reach" and each.answer.found == "unsat")
            yield each
        if not sound:
            return
        whole = list(self._wholes())
        yield from whole
        if all(each.answer.found != "unsat" for each in whole if each.asked == "reach"):
            yield from self._rows()
        yield from self._inert()

    def targets(self) -> Iterator[tuple[str, str, Answer]]:
        """Yield what ``decide`` is to be asked for, with an experiment that should bring it about.

        Each is a kind (``verdict``, ``hypothesis``, ``triage``), a name and the solver's answer. The names are a
        verdict, ``HYPOTHESIS/VERDICT`` and the number of a triage row.
        """
        for word, fact in self.rule.outcome().items():
            yield "verdict", word, self.questions.ask([Part(fact, "", 0)], witness=True)
        for owner in self.bound.hypotheses:
            verdict = self.rule.verdict(owner)
            for word in ("supported", "not supported"):
                part = Part(verdict[word], "", owner.line)
                yield "hypothesis", f"{owner.name}/{word}", self.questions.ask([part], witness=True)
        rows = [self.rule.free(row.criterion) for row in self.bound.triage if row.criterion is not None]
        for index, row in enumerate(self.bound.triage):
            if row.criterion is not None:
                parts = [Part(self.rule.free(row.criterion).true, row.text, row.line)]
            else:
                parts = [Part(truth.false, "", row.line) for truth in rows]
            yield "triage", str(index), self.questions.ask(parts, witness=True)

    # --- parts ---

    def _parts(self) -> Iterator[Result]:
        for gate in self.bound.gates:
            parts = [part for part in of_gates(self.rule) if part.line == gate.line] or [self._of_gate(gate)]
            yield self._result("reach", "gate", f"gates.{gate.name}", gate.line, f"gate '{gate.name}'", parts)
        for owner in self.bound.hypotheses:
            for clause in owner.clauses:
                at = f"hypotheses.{owner.name}.{clause.name}"
                parts = list(of_clause(self.rule, owner, clause))
                yield self._result("reach", "clause", at, clause.line, f"{owner.name}.{clause.name}", parts)
        for kill in self.bound.kills:
            parts = list(of_kill(self.rule, kill))
            yield self._result("reach", "kill", f"kill.{kill.name}", kill.line, f"kill '{kill.name}'", parts)

    def _of_gate(self, gate: Clause) -> Part:
        return Part(self.rule.gate(gate).true, gate.text, gate.line)

    # --- hypotheses and kills ---

    def _wholes(self) -> Iterator[Result]:
        for owner in self.bound.hypotheses:
            at, line = f"hypotheses.{owner.name}", owner.line
            parts = list(of_hypothesis(self.rule, owner))
            yield self._result("reach", "hypothesis", at, line, f"{owner.name} supported", parts)
            verdict = self.rule.verdict(owner)
            failed = [Part(verdict["not supported"], f"{owner.name} not supported", line)]
            yield self._result("fail", "hypothesis", at, line, f"{owner.name} not supported", failed)
        for kill in self.bound.kills:
            at, parts = f"kill.{kill.name}", list(of_kill(self.rule, kill))
            for name in self.rule.killed_by(kill):
                owner = self.rule.owner(name)
                gates = list(of_gates(self.rule, name))
                yield self._result("reach", "kill", at, kill.line, f"{name} killed", [*gates, *parts])
                both = [*of_hypothesis(self.rule, owner), *parts]
                what = f"kill '{kill.name}'"
                yield self._result("exclusive", "kill", at, kill.line, what, both, name)
        if len([owner for owner in self.bound.hypotheses if owner.role == "primary"]) > 1:
            parts = [
                part
                for owner in self.bound.hypotheses
                if owner.role == "primary"
                for part in of_hypothesis(self.rule, owner)
            ]  # fmt: skip
            yield self._result("reach", "verdict", "hypotheses", 1, "all primary hypotheses supported", parts)

    # --- triage and confidence ---

    def _rows(self) -> Iterator[Result]:
        rows = [
            (i, row, list(of_row(self.rule, row.criterion, row.line)))
            for i, row in enumerate(self.bound.triage)
            if row.criterion is not None
        ]
        for i, row, parts in rows:
            yield self._result("reach", "triage", f"triage.{i}", row.line, f"the row '{row.text}'", parts)
        for (_, first, a), (j, second, b) in combinations(rows, 2):
            what = f"the rows '{first.text}' (line {first.line}) and '{second.text}'"
            yield self._result("exclusive", "triage", f"triage.{j}", second.line, what, [*a, *b])
        for i, row in enumerate(self.bound.triage):
            if row.criterion is None and rows:
                others = [self.rule.free(each.criterion) for _, each, _ in rows if each.criterion is not None]
                parts = [
                    Part(truth.false, f"not ({r.text})", r.line) for truth, (_, r, _) in zip(others, rows, strict=True)
                ]
                yield self._result("reach", "otherwise", f"triage.{i}", row.line, "the row 'otherwise'", parts)
        for claim in self.bound.confidence:
            if claim.criterion is not None:
                parts = list(of_row(self.rule, claim.criterion, claim.line))
                at = f"confidence.{claim.word}"
                yield self._result("reach", "confidence", at, claim.line, f"confidence {claim.word}", parts)

    # --- what decides nothing ---

    def _inert(self) -> Iterator[Result]:
        for owner in self.bound.hypotheses:
            if not owner.correct:
                yield from self._inert_in(owner)
        for kill in self.bound.kills:
            yield from self._implied(
                [(f"kill.{kill.name}", kill.line, said(each), each) for each in conjuncts(kill.criterion)], []
            )

    def _inert_in(self, owner: Hypothesis) -> Iterator[Result]:
        entries = [
            (f"hypotheses.{owner.name}.{clause.name}", clause.line, said(each), each)
            for clause in owner.clauses
            for each in conjuncts(clause.criterion)
        ]
        yield from self._implied(entries, list(of_gates(self.rule, owner.name)))

    def _implied(self, entries: Sequence[tuple[str, int, str, Criterion]], gates: list[Part]) -> Iterator[Result]:
        truths = [self.rule.bare(each) for *_, each in entries]
        gone: set[int] = set()
        for i in reversed(range(len(entries))):
            at, line, text, _ = entries[i]
            rest = [
                Part(truth.true, entries[j][2], entries[j][1])
                for j, truth in enumerate(truths)
                if j != i and j not in gone
            ]
            result = self._result("inert", "part", at, line, text, [*gates, *rest, Part(truths[i].false, "", line)])
            if result.answer.found == "unsat":
                gone.add(i)  # Of two that imply each other, one is enough.
            yield result

    def _result(
        self,
        asked: Literal["reach", "fail", "exclusive", "inert"],
        kind: Literal["gate", "clause", "hypothesis", "kill", "verdict", "triage", "otherwise", "confidence", "part"],
        at: str,
        line: int,
        what: str,
        parts: Sequence[Part],
        other: str = "",
    ) -> Result:  # fmt: skip
        witness = asked == "exclusive" or self.witness
        return Result(asked, kind, at, line, what, self.questions.ask(parts, witness=witness), other)
