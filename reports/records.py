"""The records of a report: what results.json holds (``ReportModel``); ``reports.inputs`` is what it is built from."""

from __future__ import annotations

from typing import Literal

from harness.contracts.analyses import Breakdown
from harness.contracts.records import Decision, Estimate, Interval, Record, Truth
from reports.figure_records import FigureData
from reports.inputs import Artifact, Completions, Extras, Replay, RunInfo, Sample, Training

__all__ = [
    "REPORT_VERSION",
    "SCHEMA_NAME",
    "SCHEMA_VERSION",
    "Artifact",
    "Caveat",
    "Comparison",
    "Completions",
    "Condition",
    "Departure",
    "Design",
    "EstimateRow",
    "Extras",
    "Mark",
    "PRow",
    "Quantity",
    "Registration",
    "Replay",
    "ReportModel",
    "RunInfo",
    "Sample",
    "Scatter",
    "SetupTable",
    "SideValue",
    "Spread",
    "Training",
]

SCHEMA_NAME = "prereg-results"
SCHEMA_VERSION = 1
REPORT_VERSION = 3
"""Raised when the same results.json is to be written up differently; older reports are then rendered again."""


class Registration(Record):
    """What was registered, in the words of the registration. ``source`` is the YAML's file name."""

    id: str
    title: str
    question: str
    parents: tuple[str, ...]
    source: str
    meaning: str
    rehearsal: bool
    overridden: tuple[str, ...]
    retrospective: bool
    budget_gpu_hours: float | None
    models: tuple[str, ...]
    arms: dict[str, str]
    """Labels by arm."""


class Departure(Record):
    """An entry of ``differs`` or ``allow``."""

    source: str
    at: str
    because: str


class PRow(Record):
    """A p-value of an estimand: that of ``of REL threshold`` against its complement (``two_sided``: of = 0)."""

    name: str
    rel: str
    threshold: float | None
    two_sided: bool
    null: str
    value: float | None
    reason: str


class SideValue(Record):
    """One side of a contrast, where its own value was estimated."""

    label: str
    estimate: str
    value: float | None
    exact: str | None


class EstimateRow(Record):
    """An estimate with what a reader needs beside it.

    ``display`` is its unit in print (``pp`` for a difference of proportions); ``contrast`` names the two sides
    (``C2 − C1``); ``sides`` their values where known.
    """

    estimate: Estimate
    named: bool
    deciding: bool
    display: str
    measures: tuple[str, ...]
    contrast: str = ""
    sides: tuple[SideValue, ...] = ()
    tests: tuple[PRow, ...] = ()


def two_sides(row: EstimateRow) -> tuple[str, str]:
    """Return the names of a contrast's two sides. A name may hold the sign between them, so labels come first."""
    if len(row.sides) == 2:
        return row.sides[0].label, row.sides[1].label
    left, _, right = row.contrast.partition(" − ")
    return left, right


class Mark(Record):
    """A registered line on an estimate's scale: a threshold of a hypothesis, a gate or a kill.

    ``tested`` marks the value that a p-value tests against, which is no threshold of the estimate itself.
    """

    estimate: str
    of: str
    kind: Literal["hypothesis", "gate", "kill"]
    rel: str
    value: float
    upper: float | None = None
    truth: Truth
    tested: bool = False


class Spread(Record):
    """The contrast at its lowest and highest level of a dim, from the estimate that keeps that dim."""

    estimate: str
    dim: str
    low: float
    low_at: str
    high: float
    high_at: str


class Comparison(Record):
    """The same contrast of the same data under two ways of drawing again. ``first`` is the published way."""

    first: str
    second: str
    label: str
    display: str
    first_says: str
    second_says: str
    drawn: tuple[str, ...]
    cells: int
    levels: dict[str, int]
    first_interval: Interval
    second_interval: Interval
    first_p: float | None
    second_p: float | None
    spread: Spread | None = None


class Quantity(Record):
    """A number of a caveat, with its unit (``count`` for whole numbers)."""

    name: str
    value: float | int | None
    unit: str


class Caveat(Record):
    """Something a reader must know, derived by rule. ``words`` holds names and registered text."""

    code: str
    about: str = ""
    numbers: tuple[Quantity, ...] = ()
    words: dict[str, str] = {}


class Scatter(Record):
    """A correlation whose two sides were also estimated as tables over the same dim."""

    estimate: str
    x: str
    y: str
    dim: str


class Condition(Record):
    """An arm's sample outputs: up to a few hits and misses, long ones cut (``length`` is the full one)."""

    name: str
    label: str
    completions: int
    hits: int
    truncated: int
    samples: tuple[Sample, ...]
    lengths: tuple[int, ...]


class SetupTable(Record):
    """One table of the setup: actual values, as text."""

    name: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


class Design(Record):
    """A measure as it was laid out: how many levels of each dim, and to what its numbers generalise.

    ``data`` is the digest of a recorded table (empty: measured here) and ``source`` its file's name; ``over`` are the
    dims that are drawn again, ``cells`` draws their combinations. ``each`` is how many completions a cell has
    (None: not sampled here).
    """

    name: str
    family: str
    kind: str
    dims: dict[str, int]
    over: tuple[str, ...] = ()
    cells: bool = False
    each: int | None = None
    source: str = ""
    data: str = ""


class ReportModel(Record):
    """Everything a report says. No times, hosts or absolute paths: equal results are equal bytes."""

    schema_name: Literal["prereg-results"] = "prereg-results"
    schema_version: int = SCHEMA_VERSION
    registration: Registration
    decision: Decision
    claimed_when: str
    """The registered criterion under which the claimed confidence applies."""
    guards: dict[str, tuple[str, ...]]
    """What each gate guards (hypotheses or estimands; empty: everything)."""
    estimates: tuple[EstimateRow, ...]
    marks: tuple[Mark, ...]
    comparisons: tuple[Comparison, ...]
    scatters: tuple[Scatter, ...]
    caveats: tuple[Caveat, ...]
    differs: tuple[Departure, ...]
    allow: tuple[Departure, ...]
    missing: tuple[str, ...]
    sampled: bool
    recorded: tuple[str, ...]
    """Measures read from recorded tables."""
    measured: tuple[str, ...]
    """Measures made on trained arms."""
    conditions: tuple[Condition, ...]
    completions: tuple[Completions, ...]
    training: tuple[Training, ...]
    setup: tuple[SetupTable, ...]
    replays: tuple[Replay, ...]
    breakdowns: tuple[Breakdown, ...] = ()
    """Contrasts taken apart by rule, not registered: counts by arm and unit, directions, length."""
    designs: tuple[Design, ...] = ()
    registered_outcomes: int = 0
    """Rows of the triage, of which at most one applies."""
    artifacts: tuple[Artifact, ...]
    figures: FigureData = FigureData()
    tally: dict[str, int]
    """Counts that prose may use: hypotheses, gates, failed gates, arms, ..."""

    def row(self, name: str) -> EstimateRow | None:
        """Return the estimate called ``name``, or None."""
        return next((row for row in self.estimates if row.estimate.name == name), None)
