"""The items of a prereg without pytest: what each needs, and how it is judged on stored estimates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from harness.plugin import blocks

if TYPE_CHECKING:
    from harness.contracts.bound import Bound
    from harness.contracts.records import Decision, Estimate, Finding, Truth, VerdictWord
    from harness.contracts.trees import Criterion
    from harness.decide.court import Court
    from harness.plan.plan import Plan

Kind = Literal["check", "measure", "gate", "clause", "hypothesis", "kill", "verdict"]
Word = Literal["PASSED", "FAILED", "KILLED", "INCONCLUSIVE"]


@dataclass(frozen=True)
class Case:
    """One item: its name in node ids, its line in the YAML, and what of the prereg it stands for."""

    kind: Kind
    name: str
    line: int
    target: str = ""
    clause: str = ""


@dataclass(frozen=True)
class Outcome:
    """How an item came out. ``soft`` ones decide nothing and are reported like xfail; ``block`` is for people."""

    word: Word
    soft: bool = False
    block: str = ""


def cases(bound: Bound, plan: Plan) -> tuple[Case, ...]:
    """Return the items of a prereg, in order."""
    return tuple(_cases(bound, plan))


def _cases(bound: Bound, plan: Plan) -> Iterator[Case]:
    yield Case("check", "check", 1)
    lines = {measure.name: measure.line for measure in bound.measures}
    for name in plan.measurements:
        line = lines.get(name) or lines.get(name.rsplit("-", 1)[0], 1)
        yield Case("measure", f"measure[{name}]", line, name)
    for gate in bound.gates:
        yield Case("gate", f"gate[{gate.name}]", gate.line, gate.name)
    for owner in bound.hypotheses:
        for clause in owner.clauses:
            yield Case("clause", f"{owner.name}[{clause.name}]", clause.line, owner.name, clause.name)
        yield Case("hypothesis", owner.name, owner.line, owner.name)
    for kill in bound.kills:
        yield Case("kill", f"kill[{kill.name}]", kill.line, kill.name)
    yield Case("verdict", "verdict", 1)


def keys(case: Case, bound: Bound, plan: Plan) -> tuple[str, ...]:
    """Return the keys of the artifacts without which an item cannot be judged."""
    match case.kind:
        case "check":
            return ()
        case "measure":
            return plan.measurements[case.target]
        case "verdict":
            return plan.goals
        case _:
            return tuple(plan.estimates[name] for name in expressions(case, bound) if name in plan.estimates)


def expressions(case: Case, bound: Bound) -> tuple[str, ...]:
    """Return the expression ids that judging an item reads."""
    from harness.contracts.trees import Hyp
    from harness.decide.court import needed

    criteria: Sequence[Criterion]
    match case.kind:
        case "gate":
            criteria = [gate.criterion for gate in bound.gates if gate.name == case.target]
            return needed(bound, criteria, gates=False)
        case "clause":
            owner = next(each for each in bound.hypotheses if each.name == case.target)
            criteria = [clause.criterion for clause in owner.clauses if clause.name == case.clause]
        case "hypothesis":
            criteria = [Hyp(name=case.target), *(kill.criterion for kill in bound.kills)]
        case "kill":
            criteria = [kill.criterion for kill in bound.kills if kill.name == case.target]
        case _:
            return ()
    return needed(bound, criteria)


def judge(case: Case, court: Court, *, lenient: bool = False) -> Outcome:
    """Judge a gate, clause, hypothesis or kill.

    Args:
        case: which one.
        court: over the estimates of :func:`expressions`.
        lenient: report everything that does not hold like xfail.
    """
    bound, page = court.bound, blocks.Page(court.bound, court.estimates)
    if case.kind == "hypothesis":
        owner = court.hypothesis_named(case.target)
        word, why = court.verdict(case.target)
        soft = lenient or owner.role == "secondary"
        return Outcome(_verdict_word(word), soft, page.hypothesis(case.name, owner, word, why))
    if case.kind == "kill":
        kill = court.kill(case.target)
        killed: Word = "KILLED" if kill.truth == "true" else "PASSED"
        return Outcome(killed, lenient, page.finding(case.name, kill, "holds: it ends the line of work"))
    finding = court.gate(case.target) if case.kind == "gate" else court.clause(case.target, case.clause)
    secondary = case.kind == "clause" and court.hypothesis_named(case.target).role == "secondary"
    said = _SAYS[finding.truth] + _guarded(bound, case, finding)
    return Outcome(_truth_word(finding), lenient or secondary, page.finding(case.name, finding, said))


def judge_verdict(bound: Bound, decision: Decision, estimates: Mapping[str, Estimate], lenient: bool) -> Outcome:
    """Judge the ``verdict`` item on the stored decision."""
    soft = lenient or decision.rehearsal
    return Outcome(_verdict_word(decision.verdict), soft, blocks.Page(bound, estimates).verdict(decision))


_SAYS: dict[Truth, str] = {"true": "holds", "false": "does not hold", "unknown": "is unknown"}


def _guarded(bound: Bound, case: Case, finding: Finding) -> str:
    if case.kind != "gate" or finding.truth == "true":
        return ""
    targets = next(gate.targets for gate in bound.gates if gate.name == case.target)
    return f": it makes {', '.join(targets) or 'everything'} unknown"


def _truth_word(finding: Finding) -> Word:
    words: dict[Truth, Word] = {"true": "PASSED", "false": "FAILED", "unknown": "INCONCLUSIVE"}
    return words[finding.truth]


def _verdict_word(word: VerdictWord) -> Word:
    words: dict[VerdictWord, Word] = {
        "supported": "PASSED",
        "not supported": "FAILED",
        "killed": "KILLED",
        "inconclusive": "INCONCLUSIVE",
    }
    return words[word]
