"""UNREACHABLE, UNFALSIFIABLE, CONTRADICTION, OVERLAP, INERT, UNDECIDED: proofs about the whole decision rule.

An SMT solver looks for an experiment (means per arm, group of personas and layer, with intervals and p-values) that
brings each outcome about. Where there is none, the parts that clash are named. The solver is loaded when the first
question is asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.contracts.bound import Bound
from harness.contracts.display import display_unit
from harness.contracts.records import CheckFinding
from harness.core.numbers import format_value

if TYPE_CHECKING:
    from harness.check.solver.ask import Answer
    from harness.check.solver.study import Result

SHOWN = 5
_UNREACHED = {
    "gate": "so nothing that it guards is ever judged",
    "clause": "so its hypothesis can never be supported",
    "hypothesis": "so no data can bear the claim out",
    "kill": "so it ends nothing",
    "verdict": "so the prereg can never come out supported",
    "triage": "so what it says never applies",
    "confidence": "so this confidence is never claimed",
}


def reachability(bound: Bound) -> Iterator[CheckFinding]:
    """Yield a finding for everything that the rule makes impossible, contradictory, overlapping or idle."""
    from harness.check.solver.logic import unchecked
    from harness.check.solver.study import Study

    units = {each.name: display_unit(each.tree, each.unit) for each in bound.expressions}
    with unchecked():
        results = list(Study(bound).results())
    for result in results:
        yield from _finding(result, units)


def _finding(result: Result, units: dict[str, str]) -> Iterator[CheckFinding]:
    answer = result.answer
    if answer.found == "unknown":
        yield _made(result, "UNDECIDED", "note", f"the solver ran out of time on {result.what}",
                    "nothing: the rehearsal replays every outcome on made-up data")  # fmt: skip
    elif result.asked == "exclusive":
        yield from _both(result, units)
    elif answer.found == "sat":
        return
    elif result.asked == "reach":
        yield from _unreached(result)
    elif result.asked == "fail":
        yield _made(result, "UNFALSIFIABLE", "error", f"no data can bring about '{result.what}'",
                    "state a criterion that the data can fail")  # fmt: skip
    elif result.asked == "inert":
        implied = "; ".join(f"'{part.text}'" for part in answer.clash if part.text) or "its range alone"
        yield _made(
            result, "INERT", "warning",
            f"'{result.what}' decides nothing: it holds whenever {implied} does{_because(answer)}",
            "leave it out, or state the bound that was meant",
        )  # fmt: skip


def _unreached(result: Result) -> Iterator[CheckFinding]:
    if result.kind == "otherwise":
        yield _made(result, "UNREACHABLE", "note", "one of the other rows always holds", "nothing has to be done")
        return
    clash = clashing(result.answer)
    yield _made(
        result,
        "UNREACHABLE",
        "warning" if result.kind == "confidence" else "error",
        f"{result.what} can never happen, {_UNREACHED[result.kind]}: {clash}",
        "change one of them: as they stand, no data satisfy them",
    )


def clashing(answer: Answer) -> str:
    """Say which parts exclude each other, and which ranges the proof needs."""
    texts = [f"'{part.text}' (line {part.line})" for part in answer.clash]
    if not texts:
        return "nothing that it needs can be known" + _because(answer)
    if len(texts) == 1:
        why = (
            _because(answer) or ", whatever is measured (out of range, or an interval or p that such data do not have)"
        )
        return f"{texts[0]} cannot hold{why}"
    return f"{', '.join(texts[:-1])} and {texts[-1]} cannot hold together{_because(answer)}"


def _because(answer: Answer) -> str:
    return f", because {' and '.join(answer.because)}" if answer.because else ""


def _both(result: Result, units: dict[str, str]) -> Iterator[CheckFinding]:
    if result.answer.found == "unsat":
        return
    found = _numbers(result.answer, units)
    if result.kind == "triage":
        code, said = "OVERLAP", f"{result.what} can both hold: {found}"
        fix = "make them exclude each other (… and not …)"
    else:
        code, said = (
            "CONTRADICTION",
            f"{result.what} can hold while {result.other}, which it kills, is supported: {found}",
        )
        fix = "let the kill bound the effect below what the hypothesis asks for"
    if result.answer.likely:
        yield _made(result, code, "error", said, fix)
        return
    yield _made(
        result,
        code,
        "note",
        f"not proven impossible: {said}; it takes an interval that does not hold its own estimate",
        "nothing, or 'method: t', whose interval holds its estimate",
    )


def _numbers(answer: Answer, units: dict[str, str]) -> str:
    """A witness in numbers: estimands with one value first, and those that are not 0."""
    named = [(name, value, units.get(name.partition("[")[0], "1")) for name, value in answer.numbers]
    found = sorted((each for each in named if each[2] != "p"), key=lambda each: ("[" in each[0], each[1] == 0))[:SHOWN]
    shown = [f"{name} = {format_value(value, unit)}" for name, value, unit in found]
    return "for instance with " + ", ".join(shown) if shown else "some data do it"


def _made(result: Result, code: str, severity: str, reason: str, fix: str) -> CheckFinding:
    return CheckFinding(code=code, severity=severity, at=result.at, line=result.line, reason=reason, fix=fix)
