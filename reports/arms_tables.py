"""Tables of a contrast taken apart: counts and lengths by arm, units side by side, length control, marker places."""

from __future__ import annotations

from markupsafe import Markup

from harness.contracts.analyses import ArmLength, Breakdown, Effect, LengthControl
from harness.core.numbers import format_count, format_interval, format_value, plural_of
from reports.arms_words import BY_RULE, at_end, level_with
from reports.records import ReportModel
from reports.tables import TextTable

READS = {
    "stays": "the lead stays",
    "dissolves": "the lead dissolves",
    "reverses": "the lead turns round",
    "unclear": "the lead does not shrink and can no longer be told apart from zero",
    "no lead": "no lead even without length",
}


def breakdown_tables(model: ReportModel) -> list[TextTable]:
    """Return the tables of every contrast that was taken apart."""
    found = []
    for each in model.breakdowns:
        where = f"{each.measure}, {each.pool_name or 'all levels'}"
        found += [_arms(each, where), _units(each, where)]
        if each.length is not None:
            found.append(_length(each.length, where))
        if each.places:
            found.append(_places(each, where))
    return found


def _arms(found: Breakdown, where: str) -> TextTable:
    lengths = {each.arm: each for each in found.length.arms} if found.length else {}
    rows = []
    for arm in found.arms:
        rows.append(
            (
                arm.arm,
                f"{format_count(arm.hits)} of {format_count(arm.n)}",
                format_value(arm.rate, "proportion"),
                *(
                    Markup(f"{format_value(end.rate, 'proportion')} ({at_end(level_with(arm, end), found.unit)})")
                    for end in (arm.lowest, arm.highest)
                ),
                *(_tokens(lengths[arm.arm], found.unit) if arm.arm in lengths else ("not known", "")),
            )
        )
    rows += [(arm, "not measured on every cell", "unknown", "", "", "", "") for arm in found.missing]
    unit = found.unit
    header = ("arm", "hits", "rate", f"lowest {unit}", f"highest {unit}", "mean tokens", f"shortest to longest {unit}")
    return TextTable(header, tuple(rows), name=f"Arms ({where}; {BY_RULE})")


def _tokens(length: ArmLength, unit: str) -> tuple[str, str]:
    span = f"{length.lowest:,.1f} ({length.lowest_at}) to {length.highest:,.1f} ({length.highest_at})"
    own, everywhere = f"{length.tokens:,.1f}", f"{length.everywhere:,.1f}"
    return own if own == everywhere else f"{own} ({everywhere} over all {plural_of(unit)})", span


def _units(found: Breakdown, where: str) -> TextTable:
    rates = {arm.arm: {part.level: part for part in arm.parts} for arm in found.arms}
    rows = []
    for level in found.pool[found.unit]:
        own = [f"{format_value(rates[arm.arm][level].rate, 'proportion')}" for arm in found.arms]
        moves = [
            format_value(rates[move.left][level].rate - rates[move.right][level].rate, "pp", signed=True)
            for move in found.directions
        ]
        rows.append((level, *own, *moves))
    header = (found.unit, *(arm.arm for arm in found.arms), *(f"{m.left} − {m.right}" for m in found.directions))
    return TextTable(header, tuple(rows), name=f"By {found.unit} ({where}; {BY_RULE})")


def _length(control: LengthControl, where: str) -> TextTable:
    name = f"Length control ({where}; {BY_RULE})"
    if control.reason:
        return TextTable(("length control", "why"), (("not computed", control.reason),), name=name)
    rows = tuple(
        (
            f"{each.leader} over {each.other}",
            format_value(each.lead, "pp"),
            *_effect(each.plain),
            *_effect(each.controlled),
            "yes" if each.overlap else "no",
            READS[each.reading],
        )
        for each in control.contrasts
    )
    header = (
        "lead",
        "difference",
        "log-odds",
        "p",
        "log-odds with length",
        "p with length",
        "lengths overlap",
        "reading",
    )
    slope = ("slope of log length", "", "", "", *(_effect(control.slope) if control.slope else ("", "")), "", "")
    few = f"with {control.clusters} clusters such errors are too small rather than too large"
    left = f"; without {', '.join(control.left_out)}, all or none of whose rows are hits" if control.left_out else ""
    about = TextTable(
        ("rows", "method", "note"), ((f"one per {control.rows}", control.method, f"{few}{left}; it decides nothing"),)
    )
    return TextTable(header, (*rows, slope), name=name, about=about)


def _effect(effect: Effect) -> tuple[str, str]:
    value = f"{format_value(effect.value)} (95%: {format_interval(effect.low, effect.high)})"
    return value, format_value(effect.p, "p")


def _places(found: Breakdown, where: str) -> TextTable:
    rows = tuple(
        (
            place.arm,
            format_count(place.hits),
            format_value(place.position, "proportion"),
            format_value(place.ending, "proportion"),
            f"{place.times:.2f}",
        )
        for place in found.places
    )
    header = ("arm", "hits", "mean place of the first marker in the text", "once, at the very end", "times on average")
    return TextTable(header, rows, name=f"Where the marker stands ({where}; {BY_RULE})")
