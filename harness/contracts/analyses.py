"""What a report says beside the registered numbers: analyses that no criterion reads, made by rule.

They are stored jobs like any estimate, carry their own words of caution, and decide nothing.
"""

from __future__ import annotations

from typing import Literal

from harness.contracts.records import Record

Reading = Literal["stays", "dissolves", "reverses", "unclear", "no lead"]


class Part(Record):
    """One level of the unit dim (a persona): successes of trials, and the mean rate of its cells."""

    level: str
    hits: int
    n: int
    rate: float


class ArmCounts(Record):
    """How often one arm hit on the pool, in all and by unit; ``rate`` weighs every cell alike."""

    arm: str
    hits: int
    n: int
    rate: float
    parts: tuple[Part, ...]
    lowest: Part
    highest: Part
    everywhere_lowest: Part
    everywhere_highest: Part
    """The extremes over all units of the table, those outside the pool included."""


class Direction(Record):
    """A contrast ``left - right`` unit by unit, in proportions: how many rose, and the extremes."""

    left: str
    right: str
    rose: int
    fell: int
    same: int
    lowest: float
    lowest_at: str
    highest: float
    highest_at: str
    fallers: tuple[str, ...] = ()
    risers: tuple[str, ...] = ()


class ArmLength(Record):
    """How long an arm's completions are, in tokens: the mean over the pool's units, and its extremes.

    ``everywhere`` is the mean over all units of the table. ``at_longest`` counts the units whose median is the longest
    that is recorded anywhere (a heap there is what a length limit looks like); None where no medians are known.
    """

    arm: str
    tokens: float
    lowest: float
    lowest_at: str
    highest: float
    highest_at: str
    everywhere: float
    at_longest: int | None = None


class Effect(Record):
    """A difference of log-odds with its 95% interval and two-sided p."""

    value: float
    low: float
    high: float
    p: float


class LengthContrast(Record):
    """The lead of one arm over another without and with length as a covariate.

    ``lead`` is the difference of the raw rates; ``overlap`` says whether any unit of the one arm is as short or as
    long as one of the other: where none is, equal length lies outside the data.
    """

    leader: str
    other: str
    lead: float
    plain: Effect
    controlled: Effect
    reading: Reading
    overlap: bool


class LengthControl(Record):
    """Success against log length and arm, over the pool: one common slope, errors robust to clusters of one dim.

    ``rows`` says what a row of the model is. ``reason`` is why there is no model; ``left_out`` names arms without
    finite log-odds.
    """

    rows: Literal["completion", "cell"]
    covariate: str
    cluster: str
    clusters: int
    arms: tuple[ArmLength, ...]
    units: int
    """Units of the whole table, against which ``at_longest`` counts."""
    longest: float | None = None
    """The longest median that is recorded, in tokens."""
    slope: Effect | None = None
    contrasts: tuple[LengthContrast, ...] = ()
    left_out: tuple[str, ...] = ()
    reason: str = ""
    method: str = ""


class MarkerPlace(Record):
    """Where the marker stands in the completions that carry it (first match, share of the text's characters).

    ``times`` is how often it stands there on average, ``ending`` the share of hits in which it stands once, at the end.
    """

    arm: str
    hits: int
    position: float
    ending: float
    times: float


class Breakdown(Record):
    """One contrast pool of a rate by arm and unit, with what length and the marker's place say about it.

    ``pool`` names the pool's levels by dim (without the arm) and ``dims`` counts them; ``per_cell`` are the fewest and
    most trials of a cell. ``noun`` is what a trial is called; ``trained`` counts training runs per arm (None: not
    recorded).
    """

    measure: str
    column: str
    unit: str
    pool: dict[str, tuple[str, ...]]
    pool_name: str
    dims: dict[str, int]
    per_cell: tuple[int, int]
    noun: str
    trained: int | None
    arms: tuple[ArmCounts, ...]
    directions: tuple[Direction, ...]
    length: LengthControl | None = None
    places: tuple[MarkerPlace, ...] = ()
    places_reason: str = ""
    missing: tuple[str, ...] = ()
    """Arms with cells of the pool that were not measured: they are in no number here."""
