"""Caveats about what a design can show: specificity to an arm, values at the end of their scale, completion length."""

from __future__ import annotations

from collections.abc import Iterator

from harness.contracts.analyses import Breakdown
from harness.contracts.bound import Bound
from harness.contracts.records import Decision, HypothesisResult
from harness.contracts.trees import Ref
from reports import links
from reports.records import Caveat, EstimateRow, Quantity

NEAR = 0.01
"""A value within this share of its scale's width from an end is at that end."""


def specific(bound: Bound, decision: Decision, rows: tuple[EstimateRow, ...]) -> Iterator[Caveat]:
    """For every supported primary contrast of two arms: which further arms it was not shown to exceed."""
    arms = _arms(bound)
    told = set()
    if decision.rehearsal:
        return
    for result in decision.hypotheses:
        if result.role != "primary" or result.verdict != "supported":
            continue
        for left, right in _contrasts(result, bound, rows):
            if (left, right) in told:
                continue
            told.add((left, right))
            others = [arm for arm in arms if arm not in (left, right)]
            if not others:
                yield Caveat(code="SPECIFIC", about=f"{left} − {right}", words={"arm": left, "state": "alone"})
            for other in sorted(others, key=lambda arm: _judged(left, arm, decision, bound, rows) != "not supported"):
                judged = _judged(left, other, decision, bound, rows)
                if judged == "supported":
                    continue
                words = {"arm": left, "against": right, "other": other, "state": judged or "uncompared"}
                yield Caveat(code="SPECIFIC", about=f"{left} − {other}", words=words)


def _arms(bound: Bound) -> tuple[str, ...]:
    named = [arm.name for arm in bound.arms]
    return tuple(dict.fromkeys([*named, *(arm for m in bound.measures for arm in m.levels.get("arm", ()))]))


def _contrasts(result: HypothesisResult, bound: Bound, rows: tuple[EstimateRow, ...]) -> list[tuple[str, str]]:
    """The contrasts of two single arms that a hypothesis reads."""
    facts = {fact.estimate for clause in result.clauses for fact in clause.facts}
    names = {row.estimate.name for row in rows if row.estimate.name in facts or any(t.name in facts for t in row.tests)}
    found = []
    for expression in bound.expressions:
        sides = links.contrast(expression.tree) if expression.name in names else None
        if sides and (pair := _pair(sides)):
            found.append(pair)
    return found


def _pair(sides: links.Contrast) -> tuple[str, str] | None:
    left, right = sides.left.select.get("arm", ()), sides.right.select.get("arm", ())
    return (left[0], right[0]) if len(left) == len(right) == 1 and left != right else None


def _judged(left: str, other: str, decision: Decision, bound: Bound, rows: tuple[EstimateRow, ...]) -> str:
    """The best verdict of a hypothesis that compares the two arms; empty where none does."""
    verdicts = [
        result.verdict
        for result in decision.hypotheses
        for pair in _contrasts(result, bound, rows)
        if set(pair) == {left, other}
    ]
    return "supported" if "supported" in verdicts else next(iter(verdicts), "")


def saturated(bound: Bound, rows: tuple[EstimateRow, ...]) -> Iterator[Caveat]:
    """Deciding values, or sides of a deciding contrast, at the end of their scale."""
    trees = {expression.name: expression.tree for expression in bound.expressions}
    for row in rows:
        ref = next(iter(links.refs(trees[row.estimate.name])), None) if row.deciding else None
        ends = _ends(ref, bound) if ref is not None else None
        if ends is None or ref is None:
            continue
        low, high = ends
        unit = "proportion" if row.display == "pp" else row.display
        sides = [(side.label, side.value) for side in row.sides if side.value is not None]
        for label, value in sides:
            for end, name in ((high, "top"), (low, "bottom")):
                if abs(value - end) <= NEAR * (high - low):
                    yield Caveat(
                        code="SATURATED",
                        about=row.estimate.name,
                        numbers=(
                            Quantity(name="value", value=value, unit=unit),
                            Quantity(name="left", value=abs(end - value), unit="pp" if unit == "proportion" else unit),
                        ),
                        words={"side": label, "end": name},
                    )


def _ends(ref: Ref, bound: Bound) -> tuple[float, float] | None:
    for measure in bound.measures:
        for column in measure.columns:
            if measure.name == ref.measure and column.name == ref.column:
                return (column.low, column.high) if column.low is not None and column.high is not None else None
    return None


def lengths(breakdowns: tuple[Breakdown, ...]) -> Iterator[Caveat]:
    """For every registered contrast that was taken apart: what completion length does to its lead."""
    for found in breakdowns:
        control = found.length
        if control is None:
            continue
        registered = [{move.left, move.right} for move in found.directions]
        for each in control.contrasts:
            if {each.leader, each.other} in registered and each.reading != "stays":
                yield Caveat(
                    code="LENGTH",
                    about=f"{each.leader} − {each.other}",
                    numbers=(
                        Quantity(name="plain", value=each.plain.p, unit="p"),
                        Quantity(name="controlled", value=each.controlled.p, unit="p"),
                    ),
                    words={"leader": each.leader, "other": each.other, "reading": each.reading},
                )
        if control.reason:
            yield Caveat(code="LENGTH_UNKNOWN", about=found.measure, words={"why": control.reason})
