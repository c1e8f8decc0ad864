"""Compare two results: seed against seed, a replication against its original.

Estimates stand side by side with their difference and whether their intervals overlap. Overlap is described and not
tested: two runs often share personas, questions or data, so a test of their difference is not to be had from them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from harness.contracts.records import Cell, Interval, Record
from harness.core.errors import PreregError
from reports.family import is_called
from reports.reading import Found
from reports.records import EstimateRow, ReportModel

SCHEMA_NAME, SCHEMA_VERSION = "prereg-comparison", 1
Overlap = Literal["overlap", "apart", "unknown"]


class Result(Record):
    """One side of a comparison."""

    id: str
    title: str
    meaning: str
    verdict: str
    standing: str
    confidence: str
    date: str


class Pair(Record):
    """One cell of one estimate on both sides.

    ``difference`` is second minus first in the estimate's unit, None where either is unknown. ``note`` says why two
    numbers may not be laid side by side (another formula or unit).
    """

    estimate: str
    at: dict[str, str]
    display: str
    deciding: bool
    first: float | None
    second: float | None
    first_interval: Interval | None
    second_interval: Interval | None
    difference: float | None
    intervals: Overlap
    note: str = ""


class Ruling(Record):
    """One decision on both sides; empty where a side does not have it."""

    kind: Literal["verdict", "confidence", "hypothesis", "clause", "gate", "kill", "triage"]
    name: str
    first: str
    second: str

    @property
    def changed(self) -> bool:
        """Whether the two sides decided differently: what is on one side only was decided once."""
        return self.in_both and self.first != self.second

    @property
    def in_both(self) -> bool:
        """Whether both sides decided this."""
        return bool(self.first and self.second)


class RunComparison(Record):
    """Two results beside each other. ``only_first`` and ``only_second`` name estimates that one side lacks."""

    schema_name: Literal["prereg-comparison"] = "prereg-comparison"
    schema_version: int = SCHEMA_VERSION
    first: Result
    second: Result
    relation: str
    shared: tuple[str, ...]
    """Labels of measurements that are the same stored artifact on both sides: there the runs are one run."""
    pairs: tuple[Pair, ...]
    rulings: tuple[Ruling, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]


def compare(first: Found, second: Found) -> RunComparison:
    """Compare two results.

    Raises:
        PreregError: one is a rehearsal, which proves nothing, or the results have no estimate and no hypothesis in
            common.
    """
    for found in (first, second):
        if found.model.registration.rehearsal or found.model.decision.rehearsal:
            raise PreregError(
                f"{found.path}: a rehearsal of {found.model.registration.id}, which proves nothing and is compared "
                "with nothing; compare results of real runs"
            )
    a, b = first.model, second.model
    names = [row.estimate.name for row in a.estimates]
    others = [row.estimate.name for row in b.estimates]
    rulings = tuple(_rulings(a, b))
    if not set(names) & set(others) and not any(r.kind == "hypothesis" and r.first and r.second for r in rulings):
        raise PreregError(
            f"{a.registration.id} and {b.registration.id} have no estimate and no hypothesis of one name in common, so "
            "there is nothing to compare"
        )
    return RunComparison(
        first=_result(first),
        second=_result(second),
        relation=_relation(a, b),
        shared=tuple(_shared(a, b)),
        pairs=tuple(_pairs(a, b)),
        rulings=rulings,
        only_first=tuple(name for name in names if name not in others),
        only_second=tuple(name for name in others if name not in names),
    )


def _result(found: Found) -> Result:
    model = found.model
    return Result(
        id=model.registration.id,
        title=model.registration.title,
        meaning=model.registration.meaning,
        verdict=model.decision.verdict,
        standing=model.decision.standing,
        confidence=model.decision.confidence.final or "none",
        date=found.date,
    )


def _relation(a: ReportModel, b: ReportModel) -> str:
    first, second = a.registration, b.registration
    if first.meaning == second.meaning:
        return "the same registration"
    if first.id == second.id:
        return "two versions of one registration"
    if any(is_called(first.id, name) for name in second.parents):
        return "the second names the first as its parent"
    if any(is_called(second.id, name) for name in first.parents):
        return "the first names the second as its parent"
    return "two registrations"


def _shared(a: ReportModel, b: ReportModel) -> Iterator[str]:
    """Yield measurements that both results stand on: they are no independent evidence."""
    keys = {item.key for item in b.artifacts if _measures(item.kind)}
    yield from (item.label for item in a.artifacts if _measures(item.kind) and item.key in keys)


def _measures(kind: str) -> bool:
    return not kind.startswith("stage/") and kind not in ("verdict", "replay", "null", "estimate", "breakdown")


# --- estimates ------------------------------------------------------------------------------------------


def _pairs(a: ReportModel, b: ReportModel) -> Iterator[Pair]:
    for row in a.estimates:
        other = b.row(row.estimate.name)
        if other is not None:
            yield from _cells(row, other)


def _cells(row: EstimateRow, other: EstimateRow) -> Iterator[Pair]:
    note = _note(row, other)
    beside = {tuple(sorted(cell.at.items())): cell for cell in other.estimate.cells}
    own = {tuple(sorted(cell.at.items())): cell for cell in row.estimate.cells}
    for at in dict.fromkeys([*own, *beside]):
        yield _pair(row, dict(at), own.get(at), beside.get(at), note, other.deciding)


def _note(row: EstimateRow, other: EstimateRow) -> str:
    if row.estimate.unit != other.estimate.unit:
        return f"in {row.estimate.unit} here and in {other.estimate.unit} there"
    if row.estimate.formula != other.estimate.formula:
        return "another formula of the same name"
    return ""


def _pair(
    row: EstimateRow, at: dict[str, str], cell: Cell | None, other: Cell | None, note: str, deciding: bool
) -> Pair:
    first, second = (each.value if each is not None else None for each in (cell, other))
    spans = [each.intervals[0] if each is not None and each.intervals else None for each in (cell, other)]
    comparable = first is not None and second is not None and note[:3] != "in "
    return Pair(
        estimate=row.estimate.name,
        at=at,
        display=row.display,
        deciding=row.deciding or deciding,
        first=first,
        second=second,
        first_interval=spans[0],
        second_interval=spans[1],
        difference=second - first if comparable and first is not None and second is not None else None,
        intervals=overlap(spans[0], spans[1]) if comparable else "unknown",
        note=note,
    )


def overlap(first: Interval | None, second: Interval | None) -> Overlap:
    """Say whether two intervals of one level have a point in common."""
    if first is None or second is None or first.level != second.level:
        return "unknown"
    return "overlap" if first.low <= second.high and second.low <= first.high else "apart"


# --- decisions ------------------------------------------------------------------------------------------


def _rulings(a: ReportModel, b: ReportModel) -> Iterator[Ruling]:
    first, second = _decided(a), _decided(b)
    for kind, name in dict.fromkeys([*first, *second]):
        found, other = first.get((kind, name), ""), second.get((kind, name), "")
        yield Ruling.model_validate({"kind": kind, "name": name, "first": found, "second": other})


def _decided(model: ReportModel) -> dict[tuple[str, str], str]:
    decision = model.decision
    found: dict[tuple[str, str], str] = {
        ("verdict", "verdict"): decision.verdict,
        ("confidence", "confidence"): decision.confidence.final or "none",
    }
    for result in decision.hypotheses:
        found["hypothesis", result.name] = result.verdict
        for clause in result.clauses:
            found["clause", f"{result.name}.{clause.name}"] = clause.truth
    found |= {("gate", gate.name): gate.truth for gate in decision.gates}
    found |= {("kill", kill.name): kill.truth for kill in decision.kills}
    found["triage", "triage"] = decision.triage.reads if decision.triage else "none"
    return found
