"""Export a result to tables: estimates, cells and clauses, one row each, as CSV or parquet.

CSV files open in spreadsheets, which run what begins like a formula: such text gets an apostrophe in front. parquet
holds every text as it is. Numbers are in the unit of their column ``unit`` (a proportion is 0..1) and in full.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from harness.contracts.records import Finding
from harness.core.durable import replace_file
from reports.records import ReportModel

Row = Mapping[str, str | float | int | bool | None]
Format = Literal["csv", "parquet"]
_RUN_BY_SPREADSHEETS = ("=", "+", "-", "@", "\t", "\r")

COLUMNS: dict[str, dict[str, str]] = {
    "estimates": {
        "prereg": "text", "rehearsal": "flag", "estimate": "text", "formula": "text", "unit": "text", "axes": "text",
        "named": "flag", "deciding": "flag", "cells": "count", "observations": "count", "method": "text",
        "draws": "count", "note": "text",
    },
    "cells": {
        "prereg": "text", "rehearsal": "flag", "estimate": "text", "at": "text", "value": "number", "exact": "text",
        "level": "number", "low": "number", "high": "number", "se": "number", "df": "number", "unit": "text",
        "reason": "text",
    },
    "clauses": {
        "prereg": "text", "rehearsal": "flag", "kind": "text", "name": "text", "role": "text", "formula": "text",
        "truth": "text", "verdict": "text", "fact": "text", "estimate": "text", "at": "text", "value": "number",
        "low": "number", "high": "number", "rel": "text", "threshold": "number", "upper": "number", "unit": "text",
        "shortfall": "number", "fact_truth": "text", "why": "text",
    },
}  # fmt: skip
"""Every table's columns, in order, and what they hold."""


def export(model: ReportModel, out: Path, form: Format) -> list[Path]:
    """Write ``estimates``, ``cells`` and ``clauses`` into ``out`` and return their paths."""
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for name, rows in tables(model).items():
        path = out / f"{name}.{form}"
        replace_file(path, as_csv(name, rows) if form == "csv" else as_parquet(name, rows))
        written.append(path)
    return written


def tables(model: ReportModel) -> dict[str, list[Row]]:
    """Return the rows of every table."""
    of: Row = {"prereg": model.registration.id, "rehearsal": model.registration.rehearsal}
    made = {"estimates": _estimates(model), "cells": _cells(model), "clauses": _clauses(model)}
    return {name: [{**of, **row} for row in rows] for name, rows in made.items()}


def as_csv(name: str, rows: Sequence[Row]) -> bytes:
    """Return a table as CSV (UTF-8, RFC 4180); unknown is empty."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(COLUMNS[name]), lineterminator="\r\n")
    writer.writeheader()
    writer.writerows({column: _plain(value) for column, value in row.items()} for row in rows)
    return out.getvalue().encode()


def as_parquet(name: str, rows: Sequence[Row]) -> bytes:
    """Return a table as parquet with a fixed schema, so that tables of several results can be joined."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"text": pa.string(), "number": pa.float64(), "count": pa.int64(), "flag": pa.bool_()}
    schema = pa.schema([(column, types[kind]) for column, kind in COLUMNS[name].items()])
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), out)
    return out.getvalue()


def _plain(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_RUN_BY_SPREADSHEETS):
        return f"'{value}"
    return value


def _estimates(model: ReportModel) -> Iterator[Row]:
    for row in model.estimates:
        estimate = row.estimate
        yield {
            "estimate": estimate.name, "formula": estimate.formula, "unit": estimate.unit,
            "axes": " ".join(estimate.axes), "named": row.named, "deciding": row.deciding,
            "cells": len(estimate.cells), "observations": estimate.counts.get("observations"),
            "method": estimate.method, "draws": estimate.draws, "note": estimate.note,
        }  # fmt: skip


def _cells(model: ReportModel) -> Iterator[Row]:
    """One row per cell and interval; a cell without interval has one row."""
    for row in model.estimates:
        for cell in row.estimate.cells:
            for interval in cell.intervals or (None,):
                yield {
                    "estimate": row.estimate.name, "at": _at(cell.at), "value": cell.value, "exact": cell.exact,
                    "level": _fraction(interval.level) if interval else None,
                    "low": interval.low if interval else None, "high": interval.high if interval else None,
                    "se": cell.se, "df": cell.df, "unit": row.estimate.unit, "reason": cell.reason,
                }  # fmt: skip


def _clauses(model: ReportModel) -> Iterator[Row]:
    """One row per comparison; a clause without comparisons has one row."""
    decision = model.decision
    for result in decision.hypotheses:
        for clause in result.clauses:
            yield from _facts("clause", f"{result.name}.{clause.name}", clause, result.role, result.verdict)
    for kind, findings in (("gate", decision.gates), ("kill", decision.kills)):
        for finding in findings:
            yield from _facts(kind, finding.name, finding)


def _facts(kind: str, name: str, finding: Finding, role: str = "", verdict: str = "") -> Iterator[Row]:
    head = {"kind": kind, "name": name, "role": role, "formula": finding.text, "truth": finding.truth}
    for fact in finding.facts or (None,):
        if fact is None:
            yield {**head, "verdict": verdict, "why": finding.why}
            continue
        yield {
            **head, "verdict": verdict, "fact": fact.text, "estimate": fact.estimate, "at": _at(fact.at),
            "value": fact.value, "low": fact.interval.low if fact.interval else None,
            "high": fact.interval.high if fact.interval else None, "rel": fact.rel, "threshold": fact.threshold,
            "upper": fact.upper, "unit": fact.unit, "shortfall": fact.shortfall, "fact_truth": fact.truth,
            "why": fact.why,
        }  # fmt: skip


def _at(at: Mapping[str, str]) -> str:
    return " ".join(f"{dim}={level}" for dim, level in at.items())


def _fraction(level: str) -> float:
    top, _, bottom = level.partition("/")
    return int(top) / int(bottom or 1)
