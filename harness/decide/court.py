"""The court: judges gates, clauses, hypotheses and kills of one prereg, each when it is asked for.

The order is error, gates, kill, hypotheses. A gate that does not hold makes what it guards unknown, and
unknown never supports and never kills.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property

from harness.contracts.bound import Bound, Clause, Hypothesis
from harness.contracts.records import Estimate, Finding, Truth, VerdictWord
from harness.contracts.trees import Ci, Compare, Criterion, Hyp, expression_id
from harness.core.errors import PreregError, Problem, Where
from harness.decide import kleene
from harness.decide.correct import adjusted_p
from harness.decide.judge import Judged, Situation, judge, leaves, names, values
from harness.decide.sides import constant
from harness.decide.subtrees import contains
from harness.decide.wording import some


class Court:
    """Judges one prereg on its estimates; everything is judged once and remembered.

    Args:
        bound: the registration.
        estimates: by expression id. Only what a judgement needs has to be there.
    """

    def __init__(self, bound: Bound, estimates: Mapping[str, Estimate]) -> None:
        self.bound = bound
        self.estimates = estimates
        self._findings: dict[tuple[str, str], Finding] = {}
        self._hypotheses: dict[str, Judged] = {}
        self._asked: list[str] = []

    def gate(self, name: str) -> Finding:
        """Judge a gate. Nothing guards a gate, and it may not refer to hypotheses."""
        return self._finding("gate", name, _named(self.bound.gates, name, "gate"), Situation())

    def clause(self, hypothesis: str, name: str) -> Finding:
        """Judge a clause of a hypothesis behind its gates."""
        owner = self.hypothesis_named(hypothesis)
        clause = _named(owner.clauses, name, f"clause of {hypothesis}")
        closed = self._closed(hypothesis)
        adjusted = adjusted_p(owner, clause, self.estimates)
        return self._finding(hypothesis, name, clause, self._situation(closed, adjusted))

    def hypothesis(self, name: str) -> Judged:
        """Judge the conjunction of a hypothesis's clauses, after the hypotheses that come before it."""
        if name in self._hypotheses:
            return self._hypotheses[name]
        if name in self._asked:
            raise PreregError(f"the hypotheses {' -> '.join([*self._asked, name])} wait for each other")
        self._asked.append(name)
        try:
            self._hypotheses[name] = self._judge_hypothesis(self.hypothesis_named(name))
        finally:
            self._asked.remove(name)
        return self._hypotheses[name]

    def kill(self, name: str) -> Finding:
        """Judge a kill; it is unknown when gates guard everything that it would kill."""
        kill = _named(self.bound.kills, name, "kill")
        closed = [self._closed(target) for target in self.killed_by(kill)]
        return self._finding("kill", name, kill, self._situation(closed[0] if closed and all(closed) else ""))

    def verdict(self, name: str) -> tuple[VerdictWord, str]:
        """Return a hypothesis's verdict and the reason.

        Raises:
            PreregError: a kill and the hypothesis that it kills both hold, which is a fault of the design.
        """
        judged = self.hypothesis(name)
        for kill in self.bound.kills:
            finding = self.kill(kill.name)
            if finding.truth != "true" or name not in self.killed_by(kill) or self._closed(name):
                continue
            if judged.truth == "true":
                found = f"kill '{kill.name}' holds while {name}, which it kills, is supported"
                raise PreregError(
                    Problem(
                        Where(self.bound.file, kill.line, key=f"kill.{kill.name}"),
                        found,
                        "criteria that exclude each other",
                        "this is a fault of the design",
                    )
                )
            return "killed", f"kill '{kill.name}': {finding.why}"
        words: dict[Truth, VerdictWord] = {
            "true": "supported",
            "false": "not supported",
            "unknown": "inconclusive",
        }
        return words[judged.truth], judged.why

    def rule(self, criterion: Criterion) -> Judged:
        """Judge a criterion that stands outside hypotheses: triage, confidence, ``after``, ``run_when``."""
        return judge(criterion, self.estimates, self._situation(self._closed("")))

    @cached_property
    def outcome(self) -> tuple[VerdictWord, str]:
        """The verdict of the primary hypotheses together, and the reason."""
        verdicts = {hypothesis.name: self.verdict(hypothesis.name) for hypothesis in self.primary}
        found = [word for word, _ in verdicts.values()]
        word: VerdictWord = "inconclusive"
        if found and all(each == "supported" for each in found):
            word = "supported"
        elif "killed" in found:
            word = "killed"
        elif "not supported" in found:
            word = "not supported"
        reasons = [f"{name}: {why}" for name, (each, why) in verdicts.items() if each == word]
        return word, some(reasons) if found else "there is no primary hypothesis"

    @property
    def primary(self) -> tuple[Hypothesis, ...]:
        """The primary hypotheses, in order."""
        return tuple(hypothesis for hypothesis in self.bound.hypotheses if hypothesis.role == "primary")

    def killed_by(self, kill: Clause) -> tuple[str, ...]:
        """Return the hypotheses that a kill ends: those it names, or every primary one."""
        return kill.targets or tuple(hypothesis.name for hypothesis in self.primary)

    def hypothesis_named(self, name: str) -> Hypothesis:
        """Return a hypothesis by name."""
        for hypothesis in self.bound.hypotheses:
            if hypothesis.name == name:
                return hypothesis
        raise PreregError(f"there is no hypothesis '{name}'")

    def _judge_hypothesis(self, hypothesis: Hypothesis) -> Judged:
        closed = self._closed(hypothesis.name)
        findings = [self.clause(hypothesis.name, clause.name) for clause in hypothesis.clauses]
        facts = tuple(fact for finding in findings for fact in finding.facts)
        if closed:
            return Judged("unknown", facts, closed)
        if hypothesis.after is not None and (before := self.rule(hypothesis.after)).truth != "true":
            return Judged("unknown", facts, f"not tested: what comes before it does not hold ({before.why})")
        truth = kleene.conjunction(finding.truth for finding in findings)
        whys = [f"{finding.name}: {finding.why}" for finding in findings if finding.truth == truth]
        return Judged(truth, facts, some(whys))

    def _finding(self, owner: str, name: str, clause: Clause, situation: Situation) -> Finding:
        if (owner, name) not in self._findings:
            judged = judge(clause.criterion, self.estimates, situation)
            self._findings[owner, name] = Finding(
                name=name, text=clause.text, line=clause.line, truth=judged.truth, facts=judged.facts, why=judged.why
            )
        return self._findings[owner, name]

    def _closed(self, hypothesis: str) -> str:
        """Say which gate closes a hypothesis ("" asks for what only gates without ``guards`` close)."""
        for gate in self.bound.gates:
            if (not gate.targets or hypothesis in gate.targets) and (why := self._shut(gate)):
                return why
        return ""

    def _shut(self, gate: Clause) -> str:
        finding = self.gate(gate.name)
        if finding.truth == "true":
            return ""
        state = "does not hold" if finding.truth == "false" else "is unknown"
        return f"gate '{gate.name}' {state}: {finding.why}"

    def _situation(self, closed: str, adjusted: Mapping[str, float] | None = None) -> Situation:
        def barred(leaf: Compare | Ci) -> str:
            return closed or self._guarded(leaf)

        return Situation(self._refer, self._state, barred, adjusted or {})

    def _guarded(self, leaf: Compare | Ci) -> str:
        """Say which gate guards an estimand that a comparison reads."""
        for gate in self.bound.gates:
            guards = [e for e in self.bound.expressions if e.named and e.name in gate.targets]
            reads = any(
                contains(value, e.tree) or re.search(rf"(?<![\w.]){re.escape(e.name)}(?!\w)", leaf.text)
                for e in guards
                for value in values(leaf)
            )
            if reads and (why := self._shut(gate)):
                return why
        return ""

    def _refer(self, name: str, clause: str) -> Judged:
        if not clause:
            judged = self.hypothesis(name)
            return Judged(judged.truth, (), f"{name} is {judged.truth} ({judged.why})")
        finding = self.clause(name, clause)
        return Judged(finding.truth, (), f"{name}.{clause} is {finding.truth} ({finding.why})")

    def _state(self, state: str) -> Judged:
        word, why = self.outcome
        truth: Truth = "true" if word == state else "false"
        if state == "supported" and word == "inconclusive":
            truth = "unknown"
        if (
            state == "killed"
            and truth == "false"
            and any(self.kill(kill.name).truth == "unknown" for kill in self.bound.kills)
        ):
            truth = "unknown"
        return Judged(truth, (), f"the verdict is {word} ({why})")


def needed(bound: Bound, criteria: Iterable[Criterion], *, gates: bool = True) -> tuple[str, ...]:
    """Return the expression ids that judging these criteria needs, gates and named hypotheses included."""
    wanted: dict[str, None] = {}
    waiting, seen = [*criteria, *(gate.criterion for gate in bound.gates if gates)], set[str]()
    while waiting:
        criterion = waiting.pop(0)
        trees = (value for leaf in leaves(criterion) for value in values(leaf))
        wanted.update((expression_id(tree), None) for tree in trees if constant(tree) is None)
        for name in names(criterion):
            whose = name.name if isinstance(name, Hyp) else ""
            if whose in seen:
                continue
            seen.add(whose)
            waiting += _behind(bound, whose)
    return tuple(wanted)


def _behind(bound: Bound, hypothesis: str) -> list[Criterion]:
    """Criteria behind the name of a hypothesis, or behind ``supported`` and ``killed`` ("")."""
    owners = [h for h in bound.hypotheses if not hypothesis or h.name == hypothesis]
    found = [clause.criterion for owner in owners for clause in owner.clauses]
    found += [owner.after for owner in owners if owner.after is not None]
    return found if hypothesis else found + [kill.criterion for kill in bound.kills]


def _named(clauses: Iterable[Clause], name: str, what: str) -> Clause:
    for clause in clauses:
        if clause.name == name:
            return clause
    raise PreregError(f"there is no {what} '{name}'")
