"""Small bound preregs and estimates for tests of the decision: no YAML, no data."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from harness.contracts.bound import Bound, Clause, ConfidenceClaim, Hypothesis, TriageRow
from harness.contracts.records import Cell, Estimate, Interval
from harness.contracts.trees import Ci, Compare, Expression, Num, PValue, Ref, expression_id


def ref(name: str, *keep: str, **select: tuple[str, ...]) -> Ref:
    return Ref(measure=name, column=name, select=select, keep=keep)


def num(value: str, unit: str = "1") -> Num:
    return Num(value=value, unit=unit)


def cmp(left: Any, rel: str, right: Any, text: str = "", line: int = 1) -> Compare:
    left = ref(left) if isinstance(left, str) else left
    right = num(right) if isinstance(right, str) else right
    return Compare(left=left, rel=rel, right=right, text=text or "x", line=line)


def ci(of: Any, rel: str | None, bound: str = "0", low: str = "", high: str = "", text: str = "", line: int = 1) -> Ci:
    of = ref(of) if isinstance(of, str) else of
    if rel is None:
        return Ci(of=of, level="19/20", low=num(low), high=num(high), text=text or "x", line=line)
    return Ci(of=of, level="19/20", rel=rel, bound=num(bound), text=text or "x", line=line)


def p_of(name: str) -> PValue:
    return PValue(of=ref(name), rel=">", threshold=num("0"))


def cell(value: str | float | None, interval: tuple[float, float] | None = None, reason: str = "", **at: str) -> Cell:
    intervals = () if interval is None else (Interval(level="19/20", low=interval[0], high=interval[1]),)
    exact = value if isinstance(value, str) else None
    number = None if value is None else float(Fraction(value)) if isinstance(value, str) else value
    return Cell(at=at, value=number, exact=exact, intervals=intervals, reason=reason)


def estimates(*found: tuple[Any, Any], unit: str = "1", draws: int = 0) -> dict[str, Estimate]:
    """``estimates(("x", cell("1/2")), (tree, [cell, cell]))`` by expression id."""
    made = {}
    for tree, cells in found:
        tree = ref(tree) if isinstance(tree, str) else tree
        cells = (cells,) if isinstance(cells, Cell) else tuple(cells)
        axes = tuple(cells[0].at) if cells else ("layer",)
        kind = "p" if isinstance(tree, PValue) else unit
        made[expression_id(tree)] = Estimate(
            name=getattr(tree, "measure", "p(x)"), formula="", unit=kind, axes=axes, cells=cells, draws=draws
        )
    return made


def clause(name: str, criterion: Any, line: int = 1, targets: tuple[str, ...] = ()) -> Clause:
    return Clause(name=name, criterion=criterion, text=name, line=line, targets=targets)


def hypothesis(name: str, *clauses: Clause, **more: Any) -> Hypothesis:
    return Hypothesis(name=name, claim=f"claim of {name}", clauses=clauses, **more)


def row(criterion: Any, reads: str, line: int = 1) -> TriageRow:
    return TriageRow(criterion=criterion, text=reads, reads=reads, next="go on", line=line)


def claim(word: str, criterion: Any) -> ConfidenceClaim:
    return ConfidenceClaim(word=word, criterion=criterion, text=word, line=1)


def bound(*hypotheses: Hypothesis, named: tuple[str, ...] = (), **more: Any) -> Bound:
    expressions = tuple(Expression(name=name, text=name, unit="1", tree=ref(name)) for name in named)
    fields: dict[str, Any] = {
        "id": "made", "title": "Made", "question": "?", "parents": (), "file": "made.yaml", "meaning": "0" * 64,
        "hypotheses": hypotheses, "expressions": expressions, "measures": (), **more,
    }  # fmt: skip
    return Bound(**fields)
