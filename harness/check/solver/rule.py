"""The complete rule as formulas: what ``harness.decide.court`` computes on numbers, for all numbers at once.

The order is error, gates, kill, hypotheses. A gate that does not hold makes what it guards unknown, and unknown
never supports and never kills.
"""

from __future__ import annotations

import re
from typing import Any

import z3

from harness.check.solver.atoms import Atoms
from harness.check.solver.numbers import Numbers
from harness.check.solver.truths import Truth, Truths, conjunction
from harness.check.walk import criteria
from harness.contracts.bound import Bound, Clause, Hypothesis
from harness.contracts.records import VerdictWord
from harness.contracts.trees import Ci, Compare, Criterion, Hyp, State, Value
from harness.contracts.walks import nodes, trees_of, values


class Rule:
    """One registration's rule. Everything is encoded when it is first asked for, and once."""

    def __init__(self, bound: Bound) -> None:
        self.bound = bound
        measures = {measure.name: measure for measure in bound.measures}
        self.numbers = Numbers(Atoms(measures, _trees(bound)))
        self.truths = Truths(self.numbers, self._refer)
        self._made: dict[tuple[str, ...], Truth] = {}
        self._judged: dict[tuple[str, int], tuple[Criterion, Truth]] = {}

    @property
    def facts(self) -> list[Any]:
        """What holds whatever is measured, the ranges of columns aside."""
        return [*self.numbers.atoms.facts, *self.numbers.links]

    def gate(self, gate: Clause) -> Truth:
        """Return a gate's truth; nothing guards a gate."""
        return self._once(("gate", gate.name), lambda: self.truths.of(gate.criterion, lambda _: z3.BoolVal(False)))

    def clause(self, owner: Hypothesis, clause: Clause) -> Truth:
        """Return a clause's truth behind its gates."""
        closed, corrected = self.closed(owner.name), owner.correct.endswith(f" {clause.name}")

        def make() -> Truth:
            return self.truths.of(clause.criterion, lambda leaf: z3.Or(closed, self._guarded(leaf)), None, corrected)

        return self._once(("clause", owner.name, clause.name), make)

    def hypothesis(self, owner: Hypothesis) -> Truth:
        """Return a hypothesis's truth."""

        def make() -> Truth:
            whole = conjunction([self.clause(owner, clause) for clause in owner.clauses])
            free = [z3.Not(self.closed(owner.name))]
            free += [self.free(owner.after).true] if owner.after is not None else []
            return Truth(z3.And(whole.true, *free), z3.And(whole.false, *free))

        return self._once(("hypothesis", owner.name), make)

    def kill(self, kill: Clause) -> Truth:
        """Return a kill's truth; it is unknown when gates close everything that it would kill."""
        targets = self.killed_by(kill)
        closed = z3.And([self.closed(name) for name in targets]) if targets else z3.BoolVal(False)

        def make() -> Truth:
            return self.truths.of(kill.criterion, lambda leaf: z3.Or(closed, self._guarded(leaf)))

        return self._once(("kill", kill.name), make)

    def verdict(self, owner: Hypothesis) -> dict[VerdictWord, Any]:
        """Return when a hypothesis has each verdict."""
        truth = self.hypothesis(owner)
        kills = [self.kill(kill).true for kill in self.bound.kills if owner.name in self.killed_by(kill)]
        killed = z3.And(z3.Or(kills), z3.Not(self.closed(owner.name)))
        spared = z3.Not(killed)
        return {
            "supported": z3.And(truth.true, spared),
            "not supported": z3.And(truth.false, spared),
            "killed": killed,
            "inconclusive": z3.And(spared, z3.Not(truth.true), z3.Not(truth.false)),
        }

    def outcome(self) -> dict[VerdictWord, Any]:
        """Return when the primary hypotheses together have each verdict."""
        found = [self.verdict(owner) for owner in self.bound.hypotheses if owner.role == "primary"]
        if not found:
            none = z3.BoolVal(False)
            return {"supported": none, "not supported": none, "killed": none, "inconclusive": z3.BoolVal(True)}
        supported = z3.And([each["supported"] for each in found])
        killed = z3.Or([each["killed"] for each in found])
        failed = z3.And(z3.Not(killed), z3.Or([each["not supported"] for each in found]))
        rest = z3.Not(z3.Or(supported, killed, failed))
        return {"supported": supported, "killed": killed, "not supported": failed, "inconclusive": rest}

    def free(self, criterion: Criterion) -> Truth:
        """Return the truth of a criterion outside hypotheses: triage, confidence, ``after``."""
        if ("free", id(criterion)) not in self._judged:
            closed = self.closed("")
            truth = self.truths.of(criterion, lambda leaf: z3.Or(closed, self._guarded(leaf)))
            self._judged["free", id(criterion)] = (criterion, truth)
        return self._judged["free", id(criterion)][1]

    def bare(self, criterion: Criterion) -> Truth:
        """Return the truth of a criterion as if no gate guarded it."""
        # Kept with its truth: an identity is good only for as long as the object lives.
        if ("bare", id(criterion)) not in self._judged:
            truth = self.truths.of(criterion, lambda _: z3.BoolVal(False))
            self._judged["bare", id(criterion)] = (criterion, truth)
        return self._judged["bare", id(criterion)][1]

    def closed(self, hypothesis: str) -> Any:
        """Return when a gate closes a hypothesis ("" asks for what only gates without ``guards`` close)."""
        gates = [gate for gate in self.bound.gates if not gate.targets or hypothesis in gate.targets]
        return z3.Or([z3.Not(self.gate(gate).true) for gate in gates])

    def killed_by(self, kill: Clause) -> tuple[str, ...]:
        """Return the hypotheses that a kill ends."""
        return kill.targets or tuple(owner.name for owner in self.bound.hypotheses if owner.role == "primary")

    def owner(self, name: str) -> Hypothesis:
        """Return a hypothesis by name."""
        return next(owner for owner in self.bound.hypotheses if owner.name == name)

    def _once(self, name: tuple[str, ...], make: Any) -> Truth:
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    def _guarded(self, leaf: Compare | Ci) -> Any:
        shut = []
        for gate in self.bound.gates:
            guards = [e for e in self.bound.expressions if e.named and e.name in gate.targets]
            reads = any(
                any(node == e.tree for value in values(leaf) for node in nodes(value))
                or re.search(rf"(?<![\w.]){re.escape(e.name)}(?!\w)", leaf.text)
                for e in guards
            )
            if reads:
                shut.append(z3.Not(self.gate(gate).true))
        return z3.Or(shut)

    def _refer(self, name: Hyp | State) -> Truth:
        if isinstance(name, Hyp):
            owner = self.owner(name.name)
            if not name.clause:
                return self.hypothesis(owner)
            return self.clause(owner, next(each for each in owner.clauses if each.name == name.clause))
        outcome = self.outcome()
        if name.state == "supported":
            unknown = outcome["inconclusive"]
        else:
            kills = [self.kill(kill) for kill in self.bound.kills]
            unknown = z3.Or([z3.Not(z3.Or(kill.true, kill.false)) for kill in kills])
        true = outcome[name.state]
        return Truth(true, z3.And(z3.Not(true), z3.Not(unknown)))


def _trees(bound: Bound) -> list[Value]:
    """Formulas that decide: what they do not tell apart stays one variable, so that witnesses are plain."""
    return [value for criterion in criteria(bound) for value in trees_of(criterion)]
