"""The verdict map as results.json holds it; ``harness.decide.plane`` makes it."""

from __future__ import annotations

from harness.contracts.records import Record


class PlaneAxis(Record):
    """One direction of a map: the estimand, its unit in print, both ends, and what is moved for it."""

    estimate: str
    display: str
    low: float
    high: float
    moves: str


class Plane(Record):
    """What the rule returns over a plane of two deciding estimands.

    ``verdicts`` has one text per step of ``y`` from low to high, and in it one letter per step of ``x``:
    s(upported), n(ot supported), k(illed), i(nconclusive), x where criteria contradict each other. ``rows`` has
    the triage row that holds there as a digit (base 36), ``-`` for none; ``triage`` are the rows' conditions.
    """

    x: PlaneAxis
    y: PlaneAxis
    verdicts: tuple[str, ...]
    rows: tuple[str, ...]
    triage: tuple[str, ...] = ()
