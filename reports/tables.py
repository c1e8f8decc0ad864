"""The tables of a report: where tests, degrees of freedom, intervals and exact fractions live."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from markupsafe import Markup

from harness.contracts.records import Cell, Fact, Finding
from harness.core.numbers import (
    UNKNOWN,
    count_noun,
    format_count,
    format_exact,
    format_interval,
    format_level,
    format_n,
    format_p,
    format_rel,
    format_threshold,
    format_value,
)
from reports.escape import code, md
from reports.records import EstimateRow, PRow, ReportModel

MOST_ROWS = 120
"""Rows of a per-cell table that are printed; results.json has all of them."""


@dataclass(frozen=True)
class TextTable:
    """A table ready for printing: user text is escaped by the template."""

    header: tuple[str, ...]
    rows: tuple[tuple[str | Markup, ...], ...]
    name: str | Markup = ""
    about: TextTable | None = None


def verdicts(model: ReportModel) -> TextTable:
    """Return one row per hypothesis."""
    rows = tuple(
        (result.name, result.claim, result.role, result.verdict, result.why, _expected(result.expect))
        for result in model.decision.hypotheses
    )
    word = "REHEARSAL (rule returned)" if model.registration.rehearsal else "verdict"
    return TextTable(("hypothesis", "claim", "role", word, "why", "expected"), rows)


def _expected(expect: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in expect.items()) or "not stated"


_FACTS = ("criterion", "registered", "estimate", "value", "interval", "threshold", "shortfall", "n", "holds")


def clauses(model: ReportModel) -> TextTable:
    """Return every comparison of every hypothesis."""
    found = [
        (f"{result.name}.{clause.name}", clause) for result in model.decision.hypotheses for clause in result.clauses
    ]
    return TextTable(_FACTS, tuple(_fact_rows(found, model)))


def gates_and_kills(model: ReportModel) -> TextTable:
    """Return every comparison of every gate and kill."""
    found = [(f"gate {gate.name}", gate) for gate in model.decision.gates]
    found += [(f"kill {kill.name}", kill) for kill in model.decision.kills]
    return TextTable(_FACTS, tuple(_fact_rows(found, model)))


def _fact_rows(found: Iterable[tuple[str, Finding]], model: ReportModel) -> Iterator[tuple[str | Markup, ...]]:
    for name, finding in found:
        for fact in finding.facts:
            yield (name, code(fact.text, table=True), *_fact(fact, model))
        if len(finding.facts) != 1:
            yield (name, code(finding.text, table=True), "", "", "", "", "", "", Markup(f"**{finding.truth}**"))


def _fact(fact: Fact, model: ReportModel) -> tuple[str | Markup, ...]:
    row = model.row(fact.estimate)
    unit = row.display if row else fact.unit
    at = " ".join(f"{dim} {level}" for dim, level in fact.at.items())
    threshold = format_threshold(fact.threshold, unit)
    if fact.kind == "within":
        threshold = f"{threshold} to {format_threshold(fact.upper, unit)}"
    interval = fact.interval
    cell = _cell_at(row, fact.at)
    if interval is None and cell is not None and cell.intervals:
        interval = cell.intervals[0]
    return (
        code(f"{fact.estimate} {at}".strip(), table=True) if fact.estimate else "",
        format_value(fact.value, unit, apart_from=fact.threshold),
        f"{format_level(interval.level)}: {format_interval(interval.low, interval.high, unit)}" if interval else "",
        f"{format_rel(fact.rel)} {threshold}",
        _shortfall(fact, unit),
        format_n(row.estimate.counts) if row else "",
        Markup(f"**{fact.truth}**") if fact.truth != "unknown" else Markup(f"**{UNKNOWN}**: {md(fact.why)}"),
    )


def _shortfall(fact: Fact, unit: str) -> str:
    if fact.shortfall is None:
        return UNKNOWN
    if not fact.shortfall:
        return "none" if fact.truth == "true" else "0"
    if unit == "p":
        return format_value(fact.shortfall, "1")
    return format_value(fact.shortfall, "pp" if unit == "proportion" else unit)


def _cell_at(row: EstimateRow | None, at: dict[str, str]) -> Cell | None:
    return next((cell for cell in row.estimate.cells if cell.at == at), None) if row else None


def estimands(model: ReportModel) -> TextTable:
    """Return every single-valued estimate with its exact value, intervals, p-values and method."""
    rows = tuple(_estimand(row) for row in model.estimates if len(row.estimate.cells) == 1 and not row.estimate.axes)
    header = ("estimand", "formula", "value", "exact", "interval", "p", "df", "n", "method")
    return TextTable(header, rows)


def _estimand(row: EstimateRow) -> tuple[str | Markup, ...]:
    estimate, cell = row.estimate, row.estimate.cells[0]
    value = (
        format_value(cell.value, row.display)
        if cell.value is not None
        else Markup(f"{UNKNOWN}: {md(cell.reason)}" if cell.reason else UNKNOWN)
    )
    formula = code(estimate.formula, table=True) if estimate.formula and estimate.formula != estimate.name else ""
    return (
        code(estimate.name, table=True),
        formula,
        value,
        format_exact(cell.exact),
        _intervals(row, cell),
        "; ".join(_p(test) for test in row.tests),
        _df(cell),
        format_n(estimate.counts),
        _method(row),
    )


def _method(row: EstimateRow) -> str:
    method, draws = row.estimate.method, row.estimate.draws
    if draws and str(draws) not in method.replace(",", ""):
        method = f"{method}, {count_noun(draws, 'draw')}"
    return "; ".join(part for part in (method, row.estimate.note, _past_the_ends(row)) if part)


def _past_the_ends(row: EstimateRow) -> str:
    """Say that an interval of a rate is not cut where it leaves 0 to 100%: near the ends it is rough."""
    bounds = [end for cell in row.estimate.cells for each in cell.intervals for end in (each.low, each.high)]
    past = row.display == "proportion" and any(not 0 <= end <= 1 for end in bounds)
    return "intervals past 0% or 100% are printed as computed" if past else ""


def _intervals(row: EstimateRow, cell: Cell) -> str:
    return "; ".join(f"{format_level(i.level)}: {format_interval(i.low, i.high, row.display)}" for i in cell.intervals)


def _df(cell: Cell) -> str:
    return "" if cell.df is None else f"{cell.df:.2f}".rstrip("0").rstrip(".")


def _p(test: PRow) -> str:
    kind = "two-sided" if test.two_sided else f"{test.rel} {format_threshold(test.threshold)}"
    return f"{format_p(test.value)} ({kind}{', ' + test.null if test.null else ''})"


def per_cell(model: ReportModel) -> list[TextTable]:
    """Return one table per estimate that keeps a dim; plain values over the same levels stand side by side."""
    found: dict[tuple[str, ...], list[EstimateRow]] = {}
    for row in model.estimates:
        if row.estimate.axes:
            found.setdefault(_place(row), []).append(row)
    return [_cells(rows[0]) if len(rows) == 1 else _side_by_side(rows) for rows in found.values()]


def _place(row: EstimateRow) -> tuple[str, ...]:
    """What tables must share to stand side by side: their one dim and its levels. Others share nothing."""
    estimate = row.estimate
    bare = not any(cell.intervals or cell.exact for cell in estimate.cells)
    if len(estimate.axes) == 1 and bare and len(estimate.cells) <= MOST_ROWS:
        return (estimate.axes[0], *(cell.at.get(estimate.axes[0], "") for cell in estimate.cells))
    return ("", estimate.name)


def _side_by_side(rows: list[EstimateRow]) -> TextTable:
    axis = rows[0].estimate.axes[0]
    tables = [_cells(row) for row in rows]
    lines = tuple((line[0], *(table.rows[at][1] for table in tables)) for at, line in enumerate(tables[0].rows))
    names = [row.estimate.name for row in rows]
    about = TextTable(
        ("estimand", "formula", "n", "method", "rows"),
        tuple(
            (name, *line) for name, table in zip(names, tables, strict=True) if table.about for line in table.about.rows
        ),
    )
    return TextTable((axis, *names), lines, name=f"by {axis}", about=about)


def _cells(row: EstimateRow) -> TextTable:
    estimate = row.estimate
    shown = estimate.cells[:MOST_ROWS]
    exact, intervals = any(cell.exact for cell in shown), any(cell.intervals for cell in shown)
    header = [*estimate.axes, "value", *(["exact"] if exact else []), *(["interval"] if intervals else [])]
    rows = []
    for cell in shown:
        value = format_value(cell.value, row.display)
        line: list[str | Markup] = [cell.at.get(axis, "") for axis in estimate.axes]
        line.append(f"{value}: {cell.reason}" if cell.value is None and cell.reason else value)
        line += [format_exact(cell.exact)] if exact else []
        line += [_intervals(row, cell)] if intervals else []
        rows.append(tuple(line))
    left = len(estimate.cells) - len(shown)
    about = TextTable(
        ("formula", "n", "method", "rows"),
        (
            (
                code(estimate.formula, table=True),
                format_n(estimate.counts),
                _method(row),
                f"first {len(shown)} of {len(estimate.cells)}; results.json has all" if left else "all",
            ),
        ),
    )
    return TextTable(tuple(header), tuple(rows), name=estimate.name, about=about)


def training(model: ReportModel) -> TextTable:
    """Return one row per training stage that ran."""
    rows = tuple(
        (
            log.arm,
            log.stage,
            ", ".join(f"{dim} {level}" for dim, level in log.at.items()),
            format_count(len(log.losses)),
            format_count(log.tokens),
            *(format_value(log.losses[at]) if log.losses else "none" for at in (0, -1)),
            format_value(log.logit_change),
            _marker(log.marker_logprob_before),
            _marker(log.marker_logprob_after),
        )
        for log in model.training
    )
    header = (
        "arm",
        "stage",
        "at",
        "steps",
        "tokens",
        "first loss",
        "last loss",
        "logit change",
        "log p(marker) before",
        "after",
    )
    return TextTable(header, rows)


def _marker(values: dict[str, float] | None) -> str:
    if not values:
        return "no marker"
    return ", ".join(f"{name} {format_value(value)}" for name, value in values.items())
