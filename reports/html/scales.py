"""Line-scales: where a value, its interval and its registered lines stand, in per cent of a drawing's width."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from harness.contracts.records import Fact, Interval
from harness.core.numbers import format_interval, format_level, format_rel, format_threshold, format_value
from reports.records import EstimateRow, Mark, ReportModel

MARGIN = 4.0
"""Per cent of the width on either side of a scale, into which an interval may reach that goes past its end."""
MOST_STEPS = 6
"""Round steps that a scale has at most."""
SMALLEST = 1e-5
"""Where a scale of p-values starts."""


@dataclass(frozen=True)
class Axis:
    """A scale from ``low`` to ``high``; logarithmic for p-values."""

    low: float
    high: float
    log: bool = False

    def place(self, value: float) -> float:
        """Return where a value stands, in per cent of the width; what lies beyond stands at the edge."""
        low, high = self._number(self.low), self._number(self.high)
        share = (self._number(value) - low) / (high - low) if high > low else 0.5
        return round(min(max(MARGIN + (100 - 2 * MARGIN) * share, 0.5), 99.5), 2)

    def _number(self, value: float) -> float:
        return math.log10(max(value, SMALLEST)) if self.log else value


@dataclass(frozen=True)
class Tick:
    """A place on a scale with its text; ``anchor`` keeps the text inside the drawing."""

    x: float
    text: str
    anchor: str = "middle"


@dataclass(frozen=True)
class Line:
    """One comparison on its line-scale. Places are in per cent of the width; None: not there."""

    name: str
    formula: str
    said: str
    truth: str
    good: str
    value: str
    interval: str
    wanted: str
    why: str
    x: float | None = None
    bar: tuple[float, float] | None = None
    zero: float | None = None
    holds: tuple[float, float] | None = None
    lines: tuple[float, ...] = ()
    ticks: tuple[Tick, ...] = ()


def axis_of(values: Iterable[float], unit: str) -> Axis:
    """Return a scale for all values and zero with round ends; that of proportions is 0–100%, of p-values 0.00001–1."""
    if unit == "p":
        return Axis(SMALLEST, 1.0, log=True)
    if unit == "proportion":
        return Axis(0.0, 1.0)
    found = [0.0, *values]
    low, high = min(found), max(found)
    if high <= low:
        return Axis(-1.0, 1.0)
    tens = 10.0 ** math.floor(math.log10((high - low) / MOST_STEPS))
    step = next(each * tens for each in (1, 2, 5, 10) if (high - low) / (each * tens) <= MOST_STEPS)
    return Axis(round(math.floor(low / step) * step, 12), round(math.ceil(high / step) * step, 12))


def line(fact: Fact, kind: str, name: str, model: ReportModel) -> Line:
    """Return a comparison of a hypothesis, gate or kill on its scale."""
    row = model.row(fact.estimate)
    unit = row.display if row else fact.unit
    interval = fact.interval or _interval(row, fact.at)
    wanted = f"{format_rel(fact.rel)} {format_threshold(fact.threshold, unit)}"
    if fact.kind == "within":
        wanted = f"within {format_threshold(fact.threshold, unit)} to {format_threshold(fact.upper, unit)}"
    if fact.kind == "ci":
        wanted = f"whole interval {wanted}"
    value = format_value(fact.value, unit, apart_from=fact.threshold)
    bar = f"{format_interval(interval.low, interval.high, unit)} ({format_level(interval.level)})" if interval else ""
    shown = Line(
        name=name,
        formula=fact.text,
        said=", ".join(part for part in (value, bar and f"interval {bar}", f"registered: {wanted}") if part),
        truth=fact.truth,
        good=good(kind, fact.truth),
        value=value,
        interval=bar,
        wanted=wanted,
        why=fact.why,
    )
    return shown if fact.value is None and interval is None else _drawn(shown, fact, unit, interval)


def tested(mark: Mark, model: ReportModel) -> Line | None:
    """Return the estimate that a p-value is about, against the value that it tests; it has no truth of its own."""
    row = model.row(mark.estimate)
    if row is None or len(row.estimate.cells) != 1:
        return None
    cell = row.estimate.cells[0]
    fact = Fact(text=mark.estimate, line=0, truth="unknown", estimate=mark.estimate, value=cell.value)
    shown = line(fact.model_copy(update={"threshold": mark.value, "upper": mark.upper}), mark.kind, mark.of, model)
    wanted = f"tested against {format_threshold(mark.value, row.display)}"
    said = shown.said.rpartition(", registered")[0] + f", {wanted}"
    return replace(shown, truth="", good="", wanted=wanted, said=said)


def good(kind: str, truth: str) -> str:
    """Say what a truth means for the reader: ``good``, ``bad`` or ``open``; a kill that holds is bad."""
    if truth == "unknown":
        return "open"
    return "good" if (truth == "true") != (kind == "kill") else "bad"


def _interval(row: EstimateRow | None, at: dict[str, str]) -> Interval | None:
    for cell in row.estimate.cells if row else ():
        if cell.at == at and cell.intervals:
            return cell.intervals[0]
    return None


def _drawn(shown: Line, fact: Fact, unit: str, interval: Interval | None) -> Line:
    marks = [mark for mark in (fact.threshold, fact.upper) if mark is not None]
    ends = [interval.low, interval.high] if interval else []
    axis = axis_of([*marks, *ends, *([fact.value] if fact.value is not None else [])], unit)
    return replace(
        shown,
        x=axis.place(fact.value) if fact.value is not None else None,
        bar=(axis.place(ends[0]), axis.place(ends[1])) if ends else None,
        zero=axis.place(0.0) if axis.low < 0 < axis.high else None,
        holds=_holds(fact, axis),
        lines=tuple(axis.place(mark) for mark in marks),
        ticks=ticks(axis, unit, marks),
    )


def _holds(fact: Fact, axis: Axis) -> tuple[float, float] | None:
    """The part of the scale on which the comparison holds: its start and its width."""
    if fact.threshold is None:
        return None
    left, right = 0.0, 100.0
    mark = axis.place(fact.threshold)
    if fact.kind == "within":
        left, right = mark, axis.place(fact.upper) if fact.upper is not None else mark
    elif fact.rel.startswith(">"):
        left = mark
    elif fact.rel.startswith("<"):
        right = mark
    else:
        return None
    return (left, round(right - left, 2))


def ticks(axis: Axis, unit: str, marks: Sequence[float] = (), apart: float = 16) -> tuple[Tick, ...]:
    """Return the registered lines' texts and, where they are ``apart`` per cent away, those of zero and the ends."""
    found: list[Tick] = []
    for value in (*marks, *([0.0] if axis.low <= 0 <= axis.high and not axis.log else []), axis.low, axis.high):
        place = axis.place(value)
        if all(abs(place - other.x) >= apart for other in found):
            anchor = "start" if place < 12 else "end" if place > 88 else "middle"
            found.append(
                Tick(place, "0.00001" if axis.log and value == SMALLEST else format_threshold(value, unit), anchor)
            )
    return tuple(found)
