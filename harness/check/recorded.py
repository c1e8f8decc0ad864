"""The mean of a recorded column, read from its table: a baseline that may be known before the seal."""

from __future__ import annotations

import csv
from fractions import Fraction
from pathlib import Path

from harness.contracts.bound import BoundMeasure
from harness.contracts.trees import Ref


def mean_of(measure: BoundMeasure, ref: Ref) -> Fraction | None:
    """Return the mean of a reference over the rows that it selects; None where there is no such table."""
    if measure.family != "recorded" or measure.file is None or not Path(measure.file.path).is_file():
        return None
    named = measure.params.get("columns", {})
    labels = {(spec["dim"] if isinstance(spec, dict) else name): name
              for name, spec in named.items() if spec == "dim" or (isinstance(spec, dict) and "dim" in spec)}  # fmt: skip
    spec, values = named.get(ref.column), []
    with Path(measure.file.path).open(encoding="utf-8", newline="") as rows:
        for row in csv.DictReader(rows):
            if all(row.get(column) in ref.select.get(dim, (row.get(column),)) for dim, column in labels.items()):
                values.append(_value(row, ref.column, spec))
    known = [value for value in values if value is not None]
    return sum(known, Fraction(0)) / len(known) if known and len(known) == len(values) else None


def _value(row: dict[str, str], column: str, spec: object) -> Fraction | None:
    try:
        if isinstance(spec, dict):
            return Fraction(row[spec["successes"]]) / Fraction(row[spec["trials"]])
        return Fraction(row[column])
    except (KeyError, ValueError, ZeroDivisionError):
        return None
