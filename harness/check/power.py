"""POWER: how often the rule will be right, from the stored simulation of this very registration."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from harness.contracts.bound import Bound, Clause, Hypothesis
from harness.contracts.records import CheckFinding
from harness.contracts.trees import Compare, Num
from harness.contracts.walks import leaves
from harness.core.ident import unchanged

ENOUGH = 0.8
LEVEL = 0.05
"""The largest share of true nulls that may come out supported."""
ERRORS = 3
"""Monte Carlo errors by which it must be exceeded before it is called so."""
FOLDER = "simulations"


def thresholds_at_the_truth(bound: Bound) -> Iterator[CheckFinding]:
    """Yield a finding for each threshold at or beyond what is expected: it passes half the time or less."""
    named = {expression.name: expression.tree for expression in bound.expressions if expression.named}
    for owner in bound.hypotheses:
        for name, text in owner.expect_values.items():
            expected = Fraction(text)
            for clause in owner.clauses:
                for leaf in leaves(clause.criterion):
                    if not isinstance(leaf, Compare) or not isinstance(leaf.right, Num) or leaf.left != named.get(name):
                        continue
                    limit = Fraction(leaf.right.value)
                    if (expected <= limit) if leaf.rel in (">", ">=") else (expected >= limit):
                        yield _at_truth(owner, clause, leaf.text, f"{name}: {owner.expect[name]}")


def power(bound: Bound, store: Path | None) -> Iterator[CheckFinding]:
    """Yield what the stored simulation says, or that there is none."""
    owners = [owner for owner in bound.hypotheses if owner.role == "primary"]
    if bound.retrospective or bound.rehearsal or not owners:
        return
    path = store / FOLDER / f"{bound.meaning}.json" if store is not None else None
    if path is None or not path.is_file():
        yield _finding("note", owners[0].line, f"hypotheses.{owners[0].name}",
                       "power unknown: this registration has not been simulated",
                       f"prereg simulate {bound.file} --run-sd 5pp, with the SD between runs that you expect in its "
                       "place: it has no default")  # fmt: skip
        return
    try:
        found = json.loads(path.read_bytes())
        sound = unchanged(found)
    except (ValueError, AttributeError):
        sound = False
    if not sound:
        yield _finding("note", owners[0].line, f"hypotheses.{owners[0].name}",
                       "power unknown: the stored simulation is damaged",
                       f"prereg simulate {bound.file}")  # fmt: skip
        return
    yield from _simulated(found, owners[0])


def _simulated(found: dict[str, Any], owner: Hypothesis) -> Iterator[CheckFinding]:
    """Judge the shares of verdicts at each point, as ``harness.decide.simulate`` stores them."""
    points, details = found.get("points", {}), found.get("details", {})
    at, line = f"hypotheses.{owner.name}", owner.line
    expected = points.get("expect", {}).get("supported")
    if expected is not None and expected < ENOUGH:
        yield _finding("warning", line, at, f"P(supported) is {expected:.0%} when the effects are as expected",
                       "more personas, questions or seeds, or a threshold further from what is expected")  # fmt: skip
    null = points.get("null", {}).get("supported")
    error = details.get("null", {}).get("errors", {}).get("supported", 0.0)
    if null is not None and null - ERRORS * error > LEVEL:
        yield _finding("error", line, at, f"P(supported) is {null:.1%} when there is no effect, above {LEVEL:.0%}",
                       "a resample that covers what varies, or a stricter threshold")  # fmt: skip
    for each in found.get("dropped", ()):
        # A gate is there for what no simulation plants: a training that failed, a judge that is wrong.
        if not each["changed"] and not each["name"].startswith("gate."):
            yield _finding("note", line, at, f"without '{each['name']}' 0 of {each['of']} simulated verdicts change",
                           "leave it out, or state the bound that was meant")  # fmt: skip


def _at_truth(owner: Hypothesis, clause: Clause, text: str, expected: str) -> CheckFinding:
    return _finding(
        "error",
        clause.line,
        f"hypotheses.{owner.name}.{clause.name}",
        f"'{text}' lies at or beyond what is expected ({expected}): it fails half the time or more when the claim is "
        "true",
        "a threshold between no effect and the expected one",
    )


def _finding(severity: str, line: int, at: str, reason: str, fix: str) -> CheckFinding:
    return CheckFinding(code="POWER", severity=severity, at=at, line=line, reason=reason, fix=fix)
