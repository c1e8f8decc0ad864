"""Bound preregs for tests of the simulation: the real files, and small ones written as text."""

from __future__ import annotations

from pathlib import Path

from harness.compile.bind import load_bound
from harness.compose import declare_kinds
from harness.contracts.bound import Bound

PREREGS = Path(__file__).parents[2] / "preregs"

TWO_ARMS = """
prereg: 1
id: {id}
title: Two arms
question: Is B above A?
hypotheses:
  H1:
    claim: B is above A
    all:
      {clauses}
    {expect}
{rest}
estimands:
  shift: m[B] - m[A]
  level: m.other by arm
measures:
  m:
    kind: recorded
    file: {file}
    columns: {{arm: dim, persona: dim, question: dim, x: {kind}, other: rate}}
    resample: {resample}
dims:
  arm: [A, B]
  persona: {{levels: [{personas}], primary: mean}}
  question: {{levels: [{questions}], primary: mean}}
"""


def registered(name: str, data_root: Path | None = None) -> Bound:
    """Return a prereg of the repository."""
    declare_kinds()
    return load_bound(PREREGS / f"{name}.yaml", data_root=data_root)


def two_arms(
    folder: Path,
    *,
    personas: int = 4,
    questions: int = 5,
    kind: str = "points",
    resample: str = "persona and question",
    clauses: str = "more: p(shift > 0) < 0.05",
    expect: str = "expect: {shift: 1 points}",
    rest: str = "",
) -> Bound:
    """Return a bound prereg on a recorded table with two arms, whose one deciding column is ``m.x``."""
    declare_kinds()
    names = {"persona": [f"p{i}" for i in range(personas)], "question": [f"q{i}" for i in range(questions)]}
    rows = [f"{arm},{p},{q},1,0.5" for arm in "AB" for p in names["persona"] for q in names["question"]]
    value = "x"
    if kind == "counts":
        kind, value = "{successes: k, trials: n}", "k,n"
        rows = [row.replace(",1,0.5", ",1,10,0.5") for row in rows]
    (folder / "table.csv").write_text("\n".join([f"arm,persona,question,{value},other", *rows]) + "\n")
    text = TWO_ARMS.format(
        id="two_arms", file="table.csv", kind=kind, resample=resample, clauses=clauses, expect=expect, rest=rest,
        personas=", ".join(names["persona"]), questions=", ".join(names["question"]),
    )  # fmt: skip
    path = folder / "two_arms.yaml"
    path.write_text(text)
    return load_bound(path)
