"""The mean of a recorded column, read from its table: a baseline that may be known before the seal."""

from __future__ import annotations

import csv
from collections import Counter
from fractions import Fraction
from math import factorial, prod
from pathlib import Path

from harness.contracts.bound import BoundMeasure
from harness.contracts.trees import Ref


def mean_of(measure: BoundMeasure, ref: Ref) -> Fraction | None:
    """Return the mean of a reference over the rows that it selects; None where there is no such table."""
    known = values_of(measure, ref)
    return sum(known, Fraction(0)) / len(known) if known else None


def alike(measure: BoundMeasure, ref: Ref) -> int:
    """Return how many orders of a column's values look the same, because values are equal (1 where none are)."""
    return prod(factorial(count) for count in Counter(values_of(measure, ref)).values())


def values_of(measure: BoundMeasure, ref: Ref) -> list[Fraction]:
    """Return a column's values at the rows that a reference selects; none where there is no such table."""
    if measure.family != "recorded" or measure.file is None or not Path(measure.file.path).is_file():
        return []
    named = measure.params.get("columns", {})
    dims = {name: spec for name, spec in named.items() if spec == "dim" or (isinstance(spec, dict) and "dim" in spec)}
    labels = {spec["dim"] if isinstance(spec, dict) else name: name for name, spec in dims.items()}
    spec, values = named.get(ref.column), []
    with Path(measure.file.path).open(encoding="utf-8", newline="") as rows:
        for row in csv.DictReader(rows):
            if all(row.get(column) in ref.select.get(dim, (row.get(column),)) for dim, column in labels.items()):
                values.append(_value(row, ref.column, spec))
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) else []


def _value(row: dict[str, str], column: str, spec: object) -> Fraction | None:
    try:
        if isinstance(spec, dict):
            return Fraction(row[spec["successes"]]) / Fraction(row[spec["trials"]])
        return Fraction(row[column])
    except (KeyError, ValueError, ZeroDivisionError):
        return None
