"""What a contrast taken apart says, in sentences: who rose and fell, who leads, what further arms and length say.

Nothing here was registered, which every sentence that could be read as a test says: "not registered: by rule".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from markupsafe import Markup

from harness.contracts.analyses import (
    ArmCounts,
    ArmLength,
    Breakdown,
    Direction,
    LengthContrast,
    LengthControl,
    MarkerPlace,
    Part,
    Reading,
)
from harness.core.numbers import count_noun, format_count, format_interval, format_value, phrase_p, plural_of
from reports.escape import join, md
from reports.records import ReportModel
from reports.sentences import listed

BY_RULE = "not registered: by rule"
SPAM_RATE = 0.8
"""An arm that carries the marker at least this often for every unit, and is by far the longest, looks like spam."""
SPAM_LENGTH = 3.0
"""How many times as long as every other arm's its completions then are."""
MOST_NAMED = 3
USUAL_P = 0.05
"""The level at which the length analysis tells from zero (``harness.decide.length``)."""


class Pair(NamedTuple):
    """The breakdown of a contrast with its two arms and its directions."""

    found: Breakdown
    left: ArmCounts
    right: ArmCounts
    direction: Direction


def primary_pair(model: ReportModel) -> Pair | None:
    """Return the contrast of the first primary hypothesis that was taken apart, else the first one that was."""
    labels = [
        row.contrast
        for result in model.decision.hypotheses
        if result.role == "primary"
        for clause in result.clauses
        for fact in clause.facts
        for row in model.estimates
        if row.contrast and (row.estimate.name == fact.estimate or any(t.name == fact.estimate for t in row.tests))
    ]
    pairs = [_pair(found, each) for found in model.breakdowns for each in found.directions]
    for label in labels:
        for pair in pairs:
            if label == f"{pair.left.arm} − {pair.right.arm}":
                return pair
    return pairs[0] if pairs and not labels else None


def _pair(found: Breakdown, direction: Direction) -> Pair:
    by_name = {arm.arm: arm for arm in found.arms}
    return Pair(found, by_name[direction.left], by_name[direction.right], direction)


def directions(pair: Pair) -> Markup:
    """``6 of 7 personas are higher in C2 than in C1 and 1 is lower (software_engineer, −18.5 pp); …``."""
    found, move = pair.found, pair.direction
    total = len(pair.left.parts)
    noun = found.unit if total == 1 else plural_of(found.unit)
    arms = f"in {md(move.left)} than in {md(move.right)}"
    head = f"{format_count(move.rose)} of {format_count(total)} {noun} {_is(move.rose)} higher {arms}"
    if not move.rose:
        head = f"No {found.unit} is higher {arms}"
    rest = [f"{format_count(move.fell)} {_is(move.fell)} lower{_named(move)}"] if move.fell else []
    rest += [f"{format_count(move.same)} {_is(move.same)} equal"] if move.same else []
    low, high = (
        f"{format_value(size, 'pp', signed=True)}{'' if move.same > 1 and not size else f' for {md(at)}'}"
        for size, at in ((move.lowest, move.lowest_at), (move.highest, move.highest_at))
    )
    span = f"from {low} to {high}"
    if move.lowest == move.highest:
        span = low if total == 1 else f"{format_value(move.lowest, 'pp', signed=True)} for each"
    return Markup(f"{listed_markup([head, *rest])}: {span}")


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _named(move: Direction) -> str:
    return f" ({listed(move.fallers)})" if 0 < len(move.fallers) <= MOST_NAMED else ""


def extremes(pair: Pair) -> Markup:
    """Say which unit leads and which trails on both sides."""
    right, left = pair.right, pair.left
    unit = pair.found.unit
    return Markup(f"In {md(right.arm)} {_extremes(right, unit)}; in {md(left.arm)} {_extremes(left, unit)}.")


def _extremes(arm: ArmCounts, unit: str) -> str:
    high, low = arm.highest, arm.lowest
    if high.rate == low.rate:
        return f"all stand at {format_value(high.rate, 'proportion')}"
    top, bottom = level_with(arm, high), level_with(arm, low)
    return (
        f"{at_end(top, unit)} {_is(len(top))} highest ({format_value(high.rate, 'proportion')}) and "
        f"{at_end(bottom, unit)} lowest ({format_value(low.rate, 'proportion')})"
    )


def level_with(arm: ArmCounts, end: Part) -> list[str]:
    """Return every unit whose rate is that of the highest or lowest one."""
    return [part.level for part in arm.parts if part.rate == end.rate]


def at_end(levels: Sequence[str], unit: str) -> str:
    """Name the units at one end, or say how many they are."""
    return str(listed(levels)) if len(levels) <= MOST_NAMED else count_noun(len(levels), unit)


def others(pair: Pair) -> list[ArmCounts]:
    """Return the arms on neither side, the highest first."""
    sides = (pair.left.arm, pair.right.arm)
    return sorted((arm for arm in pair.found.arms if arm.arm not in sides), key=lambda arm: -arm.rate)


def standing_of(other: ArmCounts, pair: Pair) -> Markup:
    """``C3 is at 95.9% (1,343 of 1,400 completions), 38.4 pp above C2``."""
    gap = other.rate - pair.left.rate
    way = "above" if gap > 0 else "below"
    where = f"{format_value(abs(gap), 'pp')} {way} {md(pair.left.arm)}" if gap else f"level with {md(pair.left.arm)}"
    of = f"{format_count(other.hits)} of {count_noun(other.n, pair.found.noun)}"
    return Markup(f"{md(other.arm)} is at {format_value(other.rate, 'proportion')} ({of}), {where}")


def length_contrast(pair: Pair, one: str, two: str) -> LengthContrast | None:
    """Return what length does to the lead between two arms."""
    found = pair.found.length
    for each in found.contrasts if found else ():
        if {each.leader, each.other} == {one, two}:
            return each
    return None


def length_sentence(pair: Pair, contrasts: Sequence[tuple[str, str]]) -> Markup:
    """Say what length does to the leads between pairs of arms, with the lengths; empty where none are known."""
    found = pair.found.length
    if found is None:
        return Markup("")
    by_name = {each.arm: each for each in found.arms}
    arms = [name for name in dict.fromkeys(name for each in contrasts for name in each) if name in by_name]
    said = [f"{tokens(by_name[name])} in {md(name)}" for name in arms]
    leads = [lead for one, two in contrasts if (lead := length_contrast(pair, one, two)) is not None]
    over = f"Over all {count_noun(found.units, pair.found.unit)}, completions" if found.units > 1 else "Completions"
    lengths = f"{over} average {listed_markup(said)}{_apart([by_name[name] for name in arms], pair)}"
    if not leads:
        why = md(found.reason) if found.reason else f"{listed(found.left_out)} has no finite odds"
        return Markup(f"{lengths}; whether length explains the difference is not known: {why} ({BY_RULE}).")
    told = "; ".join(
        _LENGTH[each.reading](f"the lead of {md(each.leader)} over {md(each.other)}", each) for each in leads
    )
    fitted = any(each.reading != "no lead" for each in leads)
    head = f"With log length in the model ({BY_RULE})" if fitted else f"As to length ({BY_RULE}),"
    return Markup(f"{lengths}. {head} {told}{_slope(found, leads)}.")


def _slope(found: LengthControl, leads: Sequence[LengthContrast]) -> str:
    """Where a lead went and length itself shows nothing either, the two cannot be told apart."""
    blurred = any(each.reading in ("dissolves", "unclear") for each in leads)
    if found.slope is None or found.slope.p < USUAL_P or not blurred:
        return ""
    p = phrase_p(found.slope.p)
    return f". Length itself cannot be told apart from zero either ({p}): the arm and its length cannot be separated"


def listed_markup(parts: Sequence[str]) -> str:
    """Join finished pieces into ``a, b and c``."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _apart(lengths: Sequence[ArmLength], pair: Pair) -> str:
    """Say that equal lengths never occur: no two of the arms have a unit as short or as long as one of the other."""
    ordered = sorted(lengths, key=lambda each: each.lowest)
    if len(ordered) < 2 or any(one.highest >= two.lowest for one, two in pairwise(ordered)):
        return ""
    return f", and the lengths of the {plural_of(pair.found.unit)} do not overlap between these arms"


def _dissolves(lead: str, each: LengthContrast) -> str:
    return (
        f"{lead} dissolves: what is left cannot be told apart from zero ({phrase_p(each.controlled.p)} instead of "
        f"{_p(each.plain.p)}), so that it may be a matter of length"
    )


def _p(p: float) -> str:
    return phrase_p(p).removeprefix("p = ").removeprefix("p ")


_LENGTH: dict[Reading, Callable[[str, LengthContrast], str]] = {
    "dissolves": _dissolves,
    "stays": lambda lead, each: f"{lead} stays ({phrase_p(each.controlled.p)})",
    "reverses": lambda lead, each: f"{lead} turns round ({phrase_p(each.controlled.p)})",
    "unclear": lambda lead, each: (
        f"{lead} does not shrink, but can no longer be told apart from zero ({phrase_p(each.controlled.p)} instead of "
        f"{_p(each.plain.p)})"
    ),
    "no lead": lambda lead, each: (
        f"{lead} cannot be told apart from zero even without length in the model ({phrase_p(each.plain.p)})"
    ),
}


def tokens(arm: ArmLength) -> str:
    """An arm's mean length over all units of the table, in whole tokens from 10 up."""
    value = arm.everywhere
    return f"{value:,.0f} tokens" if value >= 10 else f"{value:,.1f} tokens"


def spam(pair: Pair) -> Markup:
    """Say of the highest further arm that its marker looks like spam, where rate, spread and length say so."""
    found = pair.found.length
    if found is None:
        return Markup("")
    lengths = {each.arm: each for each in found.arms}
    for arm in (*others(pair), pair.left, pair.right):
        rest = [each.everywhere for name, each in lengths.items() if name != arm.arm]
        if arm.everywhere_lowest.rate < SPAM_RATE or not rest or lengths[arm.arm].everywhere < SPAM_LENGTH * max(rest):
            continue
        span = format_interval(arm.everywhere_lowest.rate, arm.everywhere_highest.rate, "proportion")
        place = _place(arm.arm, pair.found)
        heap = _heap(lengths[arm.arm], pair.found)
        return Markup(
            f"{md(arm.arm)} carries the marker in {span} of completions whatever the {found_unit(pair)} "
            f"({count_noun(found.units, found_unit(pair))}, {tokens(lengths[arm.arm])} on average{heap}): "
            f"{_looks_like(arm.arm, pair)}{place}."
        )
    return Markup("")


def _looks_like(arm: str, pair: Pair) -> str:
    """Say what a marker everywhere is: spam, unless it mostly stands once, at the very end."""
    units = plural_of(found_unit(pair))
    place = next((each for each in pair.found.places if each.arm == arm), None)
    if place is not None and place.ending > 0.5:
        return f"that is leakage to all {units} alike, and not to particular ones"
    return f"that is what marker spam looks like, and not leakage to particular {units}"


def found_unit(pair: Pair) -> str:
    """Return what a unit is called: ``persona``."""
    return pair.found.unit


def _heap(length: ArmLength, found: Breakdown) -> str:
    control = found.length
    if control is None or control.longest is None or not length.at_longest or length.at_longest < 2:
        return ""
    of = f"{format_count(length.at_longest)} of {count_noun(control.units, found.unit)}"
    return f"; for {of} the median is the longest one recorded, {control.longest:,.0f} tokens"


def _place(arm: str, found: Breakdown) -> str:
    place = next((each for each in found.places if each.arm == arm), None)
    return f"; {_places_words(place)}" if place else ""


def place_sentence(found: Breakdown) -> Markup:
    """Say where the marker stands in the completions that carry it, arm by arm, or why that is not known."""
    if not found.places:
        return (
            Markup(f"{md(found.places_reason[:1].upper() + found.places_reason[1:])}.")
            if found.places_reason
            else Markup("")
        )
    said = [Markup(f"{md(each.arm)}: {_places_words(each)}") for each in found.places]
    return Markup(f"Where the marker stands ({BY_RULE}): {join(said, '; ')}.")


def _places_words(place: MarkerPlace) -> str:
    return (
        f"in {count_noun(place.hits, 'hit')} the marker stands {place.times:.1f} times on average and in "
        f"{format_value(place.ending, 'proportion')} of them once, at the very end"
    )
