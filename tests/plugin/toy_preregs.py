"""Small preregs on recorded tables for tests of the plugin: one for each way a run can come out."""

from __future__ import annotations

from pathlib import Path

LEVELS = ("i1", "i2", "i3", "i4", "i5", "i6")
JITTER = (0.10, -0.05, 0.02, -0.08, 0.04, -0.03)
SHIFTS = {"supported": 1.0, "unsupported": 0.3, "killed": -1.0, "inconclusive": 1.0}

PREREG = """\
prereg: 1
id: {id}
title: A toy
question: Is b above a?
hypotheses:
  H1:
    claim: b is above a
    all:
      big: shift >= 0.5
      clear: ci(shift) > 0
  H2:
    claim: a is high
    role: secondary
    all: {{high: table.a >= 9}}
gates:
  varies: max(a_by_item) - min(a_by_item) > 0
kill:
  none: ci(shift) < 0.1
triage:
  - H1: b is above a -> go on
  - otherwise: not shown -> stop
confidence: {{MODERATE: supported, LOW: otherwise}}
estimands:
  shift: table.b - table.a
  a_by_item: table.a by item
measures:
  table: {{kind: recorded, file: {id}.csv, columns: {{item: dim, a: number, b: number}}, resample: item}}
dims:
  item: {{levels: [i1, i2, i3, i4, i5, i6], primary: mean}}
"""
NAMES = (
    "check", "measure[table]", "gate[varies]", "H1[big]", "H1[clear]", "H1", "H2[high]", "H2", "kill[none]", "verdict",
)  # fmt: skip


def write(folder: Path, name: str, *, shift: float | None = None, constant: bool | None = None) -> Path:
    """Write ``name.yaml`` and ``name.csv``; names of :data:`SHIFTS` come out as they are called."""
    shift = SHIFTS.get(name, 1.0) if shift is None else shift
    constant = name == "inconclusive" if constant is None else constant
    rows = ["item,a,b"]
    for place, (level, jitter) in enumerate(zip(LEVELS, JITTER, strict=True)):
        a = 1.0 if constant else 1.0 + 0.2 * place
        rows.append(f"{level},{a:.3f},{a + shift + jitter:.3f}")
    (folder / f"{name}.csv").write_text("\n".join(rows) + "\n")
    path = folder / f"{name}.yaml"
    path.write_text(PREREG.format(id=name))
    return path


QUIET = tuple(word for name in ("randomly", "timeout", "hypothesispytest", "anyio") for word in ("-p", f"no:{name}"))
"""Plugins that a run inside this process must leave alone (Hypothesis refuses to load after it was used)."""


SPOILS = """\
from pathlib import Path

def pytest_collection_finish():
    table = Path(__file__).with_name("{name}.csv")
    table.write_text(table.read_text().replace("i3,1.400", "i3,nan"))
"""


def write_spoilt(folder: Path, name: str) -> Path:
    """Write a toy whose table is spoilt after it was collected: its job fails, where a run would be refused else."""
    (folder / "conftest.py").write_text(SPOILS.format(name=name))
    return write(folder, name)
