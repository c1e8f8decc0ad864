"""Standing caveats, derived by rule from what was registered, decided and estimated.

A caveat is a code with numbers and names; ``reports.caveat_words`` puts it in words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from harness.contracts.bound import Bound, BoundMeasure
from harness.contracts.records import Decision, Estimate
from harness.contracts.trees import Expression
from harness.core.numbers import count_noun
from reports import links
from reports.design_caveats import lengths, saturated, specific
from reports.fragility import leave_one_outs, left_out_ranges, rank_versions
from reports.records import Caveat, EstimateRow, Extras, Mark, Quantity
from reports.setup import model_source


def caveats(
    bound: Bound,
    decision: Decision,
    estimates: Mapping[str, Estimate],
    rows: tuple[EstimateRow, ...],
    marks: tuple[Mark, ...],
    extras: Extras,
) -> tuple[Caveat, ...]:
    """Return every caveat that holds, the gravest kind first."""
    return (
        *_standing(decision),
        *_gates(decision),
        *_unknown(bound, decision),
        *_accepted(bound),
        *leave_one_outs(bound, decision, estimates),
        *rank_versions(bound, estimates, rows),
        *left_out_ranges(bound, estimates),
        *_sweeps(bound, estimates, marks),
        *_wide(rows, marks),
        *specific(bound, decision, rows),
        *saturated(bound, rows),
        *lengths(extras.breakdowns),
        *_truncated(bound, extras),
        *_runs(bound, rows),
        *_models(bound, rows),
        *_notes(rows),
        *(Caveat(code="MISSING", words={"what": what}) for what in bound.missing),
    )


def _standing(decision: Decision) -> Iterator[Caveat]:
    if decision.standing != "confirmatory" and not decision.rehearsal:
        why = " ".join(decision.basis.reasons) if decision.basis else ""
        yield Caveat(code=decision.standing.upper(), words={"why": why} if why else {})


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


def _sweeps(bound: Bound, estimates: Mapping[str, Estimate], marks: tuple[Mark, ...]) -> Iterator[Caveat]:
    """Levels of a sweep at which a registered comparison would have come out otherwise."""
    by_name = {expression.name: expression for expression in bound.expressions}
    for mark in marks:
        own, estimate = by_name.get(mark.estimate), estimates.get(mark.estimate)
        if own is None or estimate is None or mark.kind == "gate" or mark.tested or mark.rel == "within":
            continue
        value = estimate.cells[0].value if len(estimate.cells) == 1 else None
        if value is None:
            continue
        for other, dim in _sweeping(own, bound):
            table = estimates.get(other.name)
            primary = next((found.primary for found in bound.dims if found.name == dim), "")
            otherwise = [
                cell
                for cell in (table.cells if table else ())
                if cell.value is not None
                and cell.at[dim] != primary
                and _holds(cell.value, mark) != _holds(value, mark)
            ]
            if otherwise and table:
                yield Caveat(
                    code="SWEEP",
                    about=mark.estimate,
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
                code="WIDE",
                about=row.estimate.name,
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
                code="TRUNCATED",
                about=count.arm,
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


_LEVELS = re.compile(r"\b(\d+) levels of (\w+)")


def _notes(rows: tuple[EstimateRow, ...]) -> Iterator[Caveat]:
    for row in rows:
        if row.estimate.note and row.deciding:
            # That every p-value reads "for these trained models" is a caveat of the whole result.
            parts = [part for part in row.estimate.note.split("; ") if part != "for these trained models"]
            if parts:
                note = _LEVELS.sub(lambda match: count_noun(int(match[1]), match[2]), "; ".join(parts))
                yield Caveat(code="NOTE", about=row.estimate.name, words={"note": note})
