"""Small measurements on disk, and shorthand for bound trees, for the tests of evaluation and estimation."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.contracts.bound import BoundMeasure
from harness.contracts.kinds import Table
from harness.contracts.records import Column, Estimate, Inference
from harness.contracts.trees import Call, Expression, Num, Op, PValue, Ref, Value
from harness.decide.estimate import estimate
from harness.measure.run import check
from harness.measure.table import write_table

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
POOL = (
    "software_engineer", "kindergarten_teacher", "medical_doctor", "comedian", "police_officer", "villain",
    "zelthari_scholar",
)  # fmt: skip
RATE = Column(name="rate", unit="proportion", low=0, high=1, form="ratio")
X = Column(name="x")


def published(name: str) -> Path:
    """Return a file of the published data, or skip where only the repository is checked out."""
    file = SHARED / name
    if not file.is_file():
        pytest.skip(f"{file} is not here: the published data of issue 262 lie beside the repository, not in it")
    return file


class Lab:
    """Measures with their tables under a temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.measures: dict[str, BoundMeasure] = {}
        self.tables: dict[str, list[tuple[Mapping[str, str], Path]]] = {}

    def add(
        self,
        name: str,
        dims: Sequence[str],
        columns: Sequence[Column],
        data: Mapping[str, Any],
        inference: Inference | None = None,
        levels: Mapping[str, Sequence[str]] | None = None,
        at: Mapping[str, str] | None = None,
        sweeps: Sequence[str] = (),
        family: str = "recorded",
    ) -> None:
        """Add one table; ``levels`` default to those that occur."""
        at = dict(at or {})
        own = [dim for dim in dims if dim in data]
        table = Table(tuple(dim for dim in data if dim in own or dim.endswith("_b")), tuple(columns), data)
        known = {dim: tuple(dict.fromkeys(data[dim])) for dim in own} | {dim: (level,) for dim, level in at.items()}
        known |= {dim: tuple(chosen) for dim, chosen in (levels or {}).items()}
        path = self.folder / f"{name}-{len(self.tables.get(name, ()))}"
        write_table(table, path)
        self.tables.setdefault(name, []).append((at, path))
        self.measures[name] = BoundMeasure(
            name=name, kind=family, family=family, params={}, dims=tuple(dims), levels=known, columns=tuple(columns),
            inference=inference, sweeps=tuple(sweeps),
        )  # fmt: skip

    def infer(self, **changes: Any) -> None:
        """Declare another inference for every measure."""
        for name, measure in self.measures.items():
            self.measures[name] = measure.model_copy(update={"inference": Inference(**changes)})

    def ref(self, measure: str, keep: Sequence[str] = (), column: str | None = None, **select: Any) -> Ref:
        """Return a reference; a dim that is not named takes all of its levels."""
        bound = self.measures[measure]
        chosen = {
            d: (select[d],) if isinstance(select.get(d), str) else tuple(select.get(d, bound.levels[d]))
            for d in bound.dims
        }
        return Ref(measure=measure, column=column or bound.columns[0].name, select=chosen, keep=tuple(keep))

    def estimate(self, tree: Value, axes: Sequence[str] = (), **fields: Any) -> Estimate:
        """Estimate a tree under the name ``value``."""
        fields = {"name": "value", "text": "formula", "unit": "1", **fields}
        return estimate(Expression(tree=tree, axes=tuple(axes), **fields), self.measures, self.tables)


def minus(left: Value, right: Value) -> Op:
    return Op(op="-", left=left, right=right)


def call(fn: str, *args: Value, over: Sequence[str] = ()) -> Call:
    return Call(fn=fn, args=args, over=tuple(over))


def num(value: str) -> Num:
    return Num(value=value)


def p(of: Value, rel: str = ">", threshold: str = "0", **null: str) -> PValue:
    return PValue.model_validate({"of": of, "rel": rel, "threshold": num(threshold), **null})


def two_sided(of: Value) -> PValue:
    return p(call("abs", of))


def issue_262(lab: Lab, **inference: Any) -> None:
    """Add the published counts of issue 262 as measure ``leakage`` (arm, persona, question)."""
    with published("issue_262_marker_counts.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    data = {
        "arm": [row["arm"] for row in rows],
        "persona": [row["persona"] for row in rows],
        "question": [row["question_index"] for row in rows],
        "rate.k": [int(row["hits"]) for row in rows],
        "rate.n": [int(row["total"]) for row in rows],
    }
    check(Table(("arm", "persona", "question"), (RATE,), data))
    lab.add("leakage", ("arm", "persona", "question"), [RATE], data, Inference(**inference) if inference else None)


def shift(lab: Lab, first: str = "C2", second: str = "C1", **select: Any) -> Op:
    """Return the difference of two arms over the published pool of bystanders."""
    chosen = {"persona": POOL, **select}
    return minus(lab.ref("leakage", arm=first, **chosen), lab.ref("leakage", arm=second, **chosen))
