"""Caveats about correlations and other fragile numbers: leave-one-outs and versions by rank."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction

from harness.contracts.bound import Bound
from harness.contracts.records import Decision, Estimate, Fact
from harness.contracts.trees import Call, PValue, Value
from harness.decide.sides import constant
from reports import links
from reports.records import Caveat, EstimateRow, Quantity

USUAL_P = Fraction(1, 20)
"""The level at which leave-one-outs are counted where the registration names none."""


def leave_one_outs(bound: Bound, decision: Decision, estimates: Mapping[str, Estimate]) -> Iterator[Caveat]:
    """For every leave-one-out of a p-value: how many of them are not below the registered level."""
    for expression in bound.expressions:
        tree = expression.tree
        if not (isinstance(tree, Call) and tree.fn == "leave_one_out" and isinstance(tree.args[0], PValue)):
            continue
        estimate = estimates.get(expression.name)
        cells = [cell for cell in estimate.cells if cell.value is not None] if estimate else []
        if not cells:
            continue
        level = _registered_level(tree, bound, decision)
        lost = [cell for cell in cells if cell.value is not None and cell.value >= level]
        worst = max(cells, key=lambda cell: cell.value or 0.0)
        target = _name_of(links.tested(tree.args[0])[0], bound) or expression.name
        whole = _value_of(tree.args[0], bound, estimates)
        yield Caveat(
            code="LEAVE_ONE_OUT",
            about=target,
            numbers=(
                Quantity(name="lost", value=len(lost), unit="count"),
                Quantity(name="all", value=len(cells), unit="count"),
                Quantity(name="level", value=float(level), unit="p"),
                Quantity(name="worst", value=worst.value, unit="p"),
                Quantity(name="whole", value=whole, unit="p"),
            ),
            words={"dim": tree.over[0] if tree.over else "", "worst": ", ".join(worst.at.values())},
        )


def _registered_level(tree: Call, bound: Bound, decision: Decision) -> Fraction:
    """The level a criterion sets for these p-values, or for the p-value they were made from, or 0.05."""
    by_name = {expression.name: expression.tree for expression in bound.expressions}
    for wanted in (tree, tree.args[0]):
        for fact in _facts(decision):
            found = by_name.get(fact.estimate)
            if found is None or fact.threshold is None or fact.unit != "p":
                continue
            if any(part == wanted for part in links.parts(found)):
                return Fraction(str(fact.threshold))
    return USUAL_P


def _facts(decision: Decision) -> Iterator[Fact]:
    for hypothesis in decision.hypotheses:
        for clause in hypothesis.clauses:
            yield from clause.facts
    for finding in (*decision.gates, *decision.kills):
        yield from finding.facts


def rank_versions(bound: Bound, estimates: Mapping[str, Estimate], rows: tuple[EstimateRow, ...]) -> Iterator[Caveat]:
    """Yield every correlation with its version on ranks, each with its p-value."""
    by_name = {row.estimate.name: row for row in rows}
    for expression in bound.expressions:
        own = by_name.get(expression.name)
        for other in links.rank_version(expression, bound):
            rank = by_name.get(other.name)
            if own is None or rank is None or not own.estimate.cells or not rank.estimate.cells:
                continue
            yield Caveat(
                code="RANK",
                about=expression.name,
                numbers=(
                    Quantity(name="value", value=own.estimate.cells[0].value, unit=own.display),
                    Quantity(name="rank", value=rank.estimate.cells[0].value, unit=rank.display),
                    Quantity(name="p", value=_two_sided_p(own), unit="p"),
                    Quantity(name="rank_p", value=_two_sided_p(rank), unit="p"),
                ),
                words={"rank": other.name},
            )


def _two_sided_p(row: EstimateRow) -> float | None:
    """The row's p-value, the two-sided one where there are several."""
    ordered = sorted(row.tests, key=lambda test: (not test.two_sided, test.null != ""))
    return ordered[0].value if ordered else None


def left_out_ranges(bound: Bound, estimates: Mapping[str, Estimate]) -> Iterator[Caveat]:
    """For every leave-one-out of a value: between what it moves."""
    for expression in bound.expressions:
        tree = expression.tree
        if not (isinstance(tree, Call) and tree.fn == "leave_one_out") or isinstance(tree.args[0], PValue):
            continue
        estimate = estimates.get(expression.name)
        cells = [cell for cell in estimate.cells if cell.value is not None] if estimate else []
        if not cells:
            continue
        lowest, highest = min(cells, key=lambda c: c.value or 0.0), max(cells, key=lambda c: c.value or 0.0)
        yield Caveat(
            code="LEFT_OUT_RANGE",
            about=_name_of(tree.args[0], bound) or expression.name,
            numbers=(
                Quantity(name="low", value=lowest.value, unit=expression.unit),
                Quantity(name="high", value=highest.value, unit=expression.unit),
            ),
            words={
                "dim": tree.over[0] if tree.over else "",
                "low": ", ".join(lowest.at.values()),
                "high": ", ".join(highest.at.values()),
            },
        )


def _name_of(tree: Value, bound: Bound) -> str:
    return next((expression.name for expression in bound.expressions if expression.tree == tree), "")


def _value_of(tree: Value, bound: Bound, estimates: Mapping[str, Estimate]) -> float | None:
    known = constant(tree)
    if known is not None:
        return float(known)
    estimate = estimates.get(_name_of(tree, bound))
    return estimate.cells[0].value if estimate and len(estimate.cells) == 1 else None
