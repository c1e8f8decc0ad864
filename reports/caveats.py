"""Standing caveats, derived by rule from what was registered, decided and estimated.

A caveat is a code with numbers and names; ``reports.caveat_words`` puts it in words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction

from harness.contracts.bound import Bound, BoundMeasure
from harness.contracts.records import Decision, Estimate, Fact
from harness.contracts.trees import Call, Expression, PValue, Value
from harness.decide.sides import constant
from reports import links
from reports.records import Caveat, EstimateRow, Extras, Mark, Quantity
from reports.setup import model_source

USUAL_P = Fraction(1, 20)
"""The level at which leave-one-outs are counted where the registration names none."""


def caveats(
    bound: Bound, decision: Decision, estimates: Mapping[str, Estimate], rows: tuple[EstimateRow, ...],
    marks: tuple[Mark, ...], extras: Extras,
) -> tuple[Caveat, ...]:
    """Return every caveat that holds, the gravest kind first."""
    return (
        *_standing(decision),
        *_gates(decision),
        *_unknown(bound, decision),
        *_accepted(bound),
        *_fragile(bound, decision, estimates),
        *_ranks(bound, estimates, rows),
        *_left_out_range(bound, estimates),
        *_sweeps(bound, estimates, marks),
        *_wide(rows, marks),
        *_truncated(bound, extras),
        *_runs(bound, rows),
        *_models(bound, rows),
        *_notes(rows),
        *(Caveat(code="MISSING", words={"what": what}) for what in bound.missing),
    )


def _standing(decision: Decision) -> Iterator[Caveat]:
    if decision.standing != "confirmatory" and not decision.rehearsal:
        yield Caveat(code=decision.standing.upper())


def _gates(decision: Decision) -> Iterator[Caveat]:
    for gate in decision.gates:
        if gate.truth != "true":
            yield Caveat(code="GATE", about=gate.name, words={"truth": gate.truth, "text": gate.text, "why": gate.why})


def _unknown(bound: Bound, decision: Decision) -> Iterator[Caveat]:
    """Clauses that could not be judged for another reason than a gate, which is said of the gate."""
    shut = {gate.name for gate in decision.gates if gate.truth != "true"}
    closed = [gate.targets for gate in bound.gates if gate.name in shut]
    seen = set()
    for hypothesis in decision.hypotheses:
        if any(not targets or hypothesis.name in targets for targets in closed):
            continue
        for clause in hypothesis.clauses:
            if clause.truth != "unknown":
                continue
            why = next((fact.why for fact in clause.facts if fact.truth == "unknown" and fact.why), clause.why)
            if (hypothesis.name, why) not in seen:
                seen.add((hypothesis.name, why))
                yield Caveat(code="UNKNOWN", about=f"{hypothesis.name}.{clause.name}", words={"why": why})


def _accepted(bound: Bound) -> Iterator[Caveat]:
    for note in bound.allow:
        yield Caveat(code="ACCEPTED", about=note.at, words={"finding": note.source, "because": note.because})


def _fragile(bound: Bound, decision: Decision, estimates: Mapping[str, Estimate]) -> Iterator[Caveat]:
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
            code="LEAVE_ONE_OUT", about=target,
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


def _ranks(bound: Bound, estimates: Mapping[str, Estimate], rows: tuple[EstimateRow, ...]) -> Iterator[Caveat]:
    by_name = {row.estimate.name: row for row in rows}
    for expression in bound.expressions:
        own = by_name.get(expression.name)
        for other in links.rank_version(expression, bound):
            rank = by_name.get(other.name)
            if own is None or rank is None or not own.estimate.cells or not rank.estimate.cells:
                continue
            yield Caveat(
                code="RANK", about=expression.name,
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


def _left_out_range(bound: Bound, estimates: Mapping[str, Estimate]) -> Iterator[Caveat]:
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
            code="LEFT_OUT_RANGE", about=_name_of(tree.args[0], bound) or expression.name,
            numbers=(
                Quantity(name="low", value=lowest.value, unit=expression.unit),
                Quantity(name="high", value=highest.value, unit=expression.unit),
            ),
            words={"dim": tree.over[0] if tree.over else "", "low": ", ".join(lowest.at.values()),
                   "high": ", ".join(highest.at.values())},
        )


def _sweeps(bound: Bound, estimates: Mapping[str, Estimate], marks: tuple[Mark, ...]) -> Iterator[Caveat]:
    """Levels of a sweep at which a registered comparison would have come out otherwise."""
    by_name = {expression.name: expression for expression in bound.expressions}
    for mark in marks:
        own, estimate = by_name.get(mark.estimate), estimates.get(mark.estimate)
        if own is None or estimate is None or mark.kind == "gate" or mark.upper is not None:
            continue
        value = estimate.cells[0].value if len(estimate.cells) == 1 else None
        if value is None or mark.rel == "within":
            continue
        for other, dim in _sweeping(own, bound):
            table = estimates.get(other.name)
            otherwise = [
                cell for cell in (table.cells if table else ())
                if cell.value is not None and _holds(cell.value, mark) != _holds(value, mark)
            ]
            if otherwise and table:
                yield Caveat(
                    code="SWEEP", about=mark.estimate,
                    numbers=(
                        Quantity(name="otherwise", value=len(otherwise), unit="count"),
                        Quantity(name="all", value=len(table.cells), unit="count"),
                    ),
                    words={"of": mark.of, "dim": dim, "levels": ", ".join(cell.at[dim] for cell in otherwise)},
                )


def _sweeping(expression: Expression, bound: Bound) -> list[tuple[Expression, str]]:
    sweeps = {dim for measure in bound.measures for dim in measure.sweeps} | {
        dim.name for dim in bound.dims if dim.primary and dim.primary != "mean"
    }
    return [(other, dim) for other, dim in links.sweep_versions(expression, bound) if dim in sweeps]


def _holds(value: float, mark: Mark) -> bool:
    return {">": value > mark.value, ">=": value >= mark.value, "<": value < mark.value, "<=": value <= mark.value}[
        mark.rel
    ]


def _wide(rows: tuple[EstimateRow, ...], marks: tuple[Mark, ...]) -> Iterator[Caveat]:
    """An interval that holds values on both sides of a registered threshold (0 only where there is no other)."""
    for row in rows:
        if not row.deciding or len(row.estimate.cells) != 1 or not row.estimate.cells[0].intervals:
            continue
        interval = row.estimate.cells[0].intervals[0]
        own = [mark for mark in marks if mark.estimate == row.estimate.name and mark.kind == "hypothesis"]
        own.sort(key=lambda mark: mark.value == 0)
        if own and interval.low < own[0].value < interval.high:
            yield Caveat(
                code="WIDE", about=row.estimate.name,
                numbers=(
                    Quantity(name="low", value=interval.low, unit=row.display),
                    Quantity(name="high", value=interval.high, unit=row.display),
                    Quantity(name="threshold", value=own[0].value, unit=row.display),
                ),
            )


def _truncated(bound: Bound, extras: Extras) -> Iterator[Caveat]:
    policies = {measure.name: measure.truncated.get("as", "") for measure in bound.measures}
    for count in extras.completions:
        if count.truncated:
            yield Caveat(
                code="TRUNCATED", about=count.arm,
                numbers=(
                    Quantity(name="truncated", value=count.truncated, unit="count"),
                    Quantity(name="all", value=count.completions, unit="count"),
                ),
                words={"measure": count.measure, "policy": policies.get(count.measure, "")},
            )


def _runs(bound: Bound, rows: tuple[EstimateRow, ...]) -> Iterator[Caveat]:
    deciding = _deciding_measures(bound, rows)
    if any("seed" not in measure.dims for measure in deciding):
        yield Caveat(code="RUNS_UNSEEN")
    seeds = [len(measure.levels.get("seed", ())) for measure in deciding if "seed" in measure.dims]
    if seeds and min(seeds) == 1:
        yield Caveat(code="ONE_SEED")


def _models(bound: Bound, rows: tuple[EstimateRow, ...]) -> Iterator[Caveat]:
    deciding = _deciding_measures(bound, rows)
    if any(len(measure.levels.get("model", ())) > 1 for measure in deciding) or len(bound.models) > 1:
        return
    if bound.models:
        yield Caveat(code="ONE_MODEL", words={"model": model_source(bound.models[0])})
    elif deciding:
        yield Caveat(code="MODELS_UNSEEN")


def _deciding_measures(bound: Bound, rows: tuple[EstimateRow, ...]) -> list[BoundMeasure]:
    names = {name for row in rows if row.deciding for name in row.measures}
    return [measure for measure in bound.measures if measure.name in names] or list(bound.measures)


def _notes(rows: tuple[EstimateRow, ...]) -> Iterator[Caveat]:
    for row in rows:
        if row.estimate.note and row.deciding:
            yield Caveat(code="NOTE", about=row.estimate.name, words={"note": row.estimate.note})


def _name_of(tree: Value, bound: Bound) -> str:
    return next((expression.name for expression in bound.expressions if expression.tree == tree), "")


def _value_of(tree: Value, bound: Bound, estimates: Mapping[str, Estimate]) -> float | None:
    known = constant(tree)
    if known is not None:
        return float(known)
    estimate = estimates.get(_name_of(tree, bound))
    return estimate.cells[0].value if estimate and len(estimate.cells) == 1 else None
