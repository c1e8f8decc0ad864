"""Facts and caveats in plain words. Every number here is read from the model and written by ``core.numbers``.

Prose gives percentages, p-values and N. It names no tests, effect sizes or kinds of interval; those stand in
the tables. "Not supported" is never turned into "there is nothing", and unknown is never a number.
"""

from __future__ import annotations

import re
from collections.abc import Container, Sequence

from markupsafe import Markup

from harness.contracts.records import Fact, Finding, HypothesisResult
from harness.core.numbers import (
    count_noun,
    format_interval,
    format_p,
    format_rel,
    format_threshold,
    format_value,
    plural_of,
)
from reports.escape import code, join, md
from reports.records import Comparison, EstimateRow, ReportModel

EXTREME = re.compile(r"(min|max)\((\w+)\)")
"""An unnamed estimate: the end of a named table."""
_TRUTH = {"true": "holds", "false": "does not hold", "unknown": "is unknown"}


def truth_word(truth: str) -> str:
    """Say a truth value as a verb: ``holds``, ``does not hold``, ``is unknown``."""
    return _TRUTH[truth]


def listed(parts: Sequence[str], last: str = "and") -> Markup:
    """Join names into ``a, b and c``."""
    shown = [md(part) for part in parts]
    if len(shown) < 2:
        return Markup("".join(shown))
    return Markup(", ".join(shown[:-1]) + f" {last} {shown[-1]}")


def references(parents: Sequence[str]) -> Markup:
    """Write issue numbers as ``#138``, which GitHub links."""
    return listed([Markup(f"#{parent}") if parent.isdigit() else parent for parent in parents])


def claimed(claim: str) -> Markup:
    """Write a claim so that it can follow ``that``: no full stop, and no capital unless it is a name."""
    return md(_claimed(claim))


def _claimed(claim: str) -> str:
    text = claim.strip().rstrip(".")
    first = text.split(" ")[0]
    if first[1:] == first[1:].lower() and not any(char.isdigit() for char in first):
        text = text[:1].lower() + text[1:]
    return text


def headed(claim: str) -> Markup:
    """Write a claim as a title begins with it: a capital, unless its first word is a name (``b``, ``x_1``)."""
    text = _claimed(claim)
    first = text.partition(" ")[0]
    return md(f"{text[:1].upper()}{text[1:]}" if len(first) > 1 and first.isalpha() else text)


def fact(found: Fact, model: ReportModel, told: Container[str] = ()) -> Markup:
    """Say one comparison: what was found, and what was registered.

    A p-value is said with the estimate that it belongs to, unless that one has been ``told`` just before.
    """
    row = model.row(found.estimate)
    name = join([named(found.estimate or found.text, model), _place(found)], "")
    if found.truth == "unknown":
        return Markup(f"{name} is unknown ({md(found.why)})") if found.why else Markup(f"{name} is unknown")
    unit = _unit(found, row)
    if found.kind != "compare":
        return _interval_fact(found, name, unit)
    threshold = format_threshold(found.threshold, unit)
    if unit == "p":
        return _p_fact(found, name, threshold, model, told)
    said = Markup(f"{name} is {format_value(found.value, unit, apart_from=found.threshold)}")
    if found.truth == "true":
        registered = f"registered: {format_rel(found.rel, words=True)} {threshold}"
        return Markup(f"{said} ({'; '.join(part for part in (_sides(row), registered) if part)})")
    said = Markup(f"{said}{_in_brackets(_sides(row))}")
    if not found.shortfall:
        return Markup(f"{said}, exactly the registered limit, and had to be {format_rel(found.rel, words=True)} it")
    short = format_value(found.shortfall, "pp" if unit == "proportion" else unit)
    way = "short of" if found.rel in (">", ">=") else "over"
    return Markup(f"{said}, {short} {way} the registered {threshold}")


def named(estimate: str, model: ReportModel) -> Markup:
    """Name an estimate in prose; ``min(source_rate)`` becomes ``the smallest `source_rate`, that of C2,``."""
    match = EXTREME.fullmatch(estimate)
    table = model.row(match[2]) if match else None
    if match is None or table is None or not table.estimate.axes:
        return code(estimate)
    end = "smallest" if match[1] == "min" else "largest"
    return Markup(f"the {end} {code(match[2])}{_whose(estimate, table, model)}")


def _whose(estimate: str, table: EstimateRow, model: ReportModel) -> str:
    """Where in a table its extreme stands, if in one place; of p-values it is told elsewhere."""
    row = model.row(estimate)
    if row is None or len(row.estimate.cells) != 1 or table.estimate.unit == "p":
        return ""
    value = row.estimate.cells[0].value
    places = [cell.at for cell in table.estimate.cells if value is not None and cell.value == value]
    if len(places) != 1:
        return ""
    where = [level if level[:1].isalpha() else f"{dim} {level}" for dim, level in places[0].items()]
    return f", that of {listed(where)},"


def _p_fact(found: Fact, name: Markup, threshold: str, model: ReportModel, told: Container[str]) -> Markup:
    p = f"p = {format_p(found.value, apart_from=found.threshold)}".replace("= <", "<")
    rel = format_rel(found.rel, words=True)
    held = found.truth == "true"
    registered = f"registered: {rel} {threshold}" if held else ""
    miss = "" if held else f", not {rel} the registered {threshold}"
    of = next((row for row in model.estimates if any(test.name == found.estimate for test in row.tests)), None)
    if of is None or len(of.estimate.cells) != 1:
        return Markup(f"{name}: {p}{_in_brackets(registered)}{miss}")
    own = model.row(found.estimate)
    note = "; ".join(part for part in (name if own is not None and own.named else "", registered) if part)
    if of.estimate.name in told:
        return Markup(f"with {p}{_in_brackets(note)}{miss}")
    value = format_value(of.estimate.cells[0].value, of.display)
    return Markup(f"{code(of.estimate.name)} is {value}{_in_brackets(_sides(of))} with {p}{_in_brackets(note)}{miss}")


def _in_brackets(text: str) -> str:
    return f" ({text})" if text else ""


def _unit(found: Fact, row: EstimateRow | None) -> str:
    if row is not None:
        return row.display
    return "pp" if found.unit == "proportion" and "pp" in found.text else found.unit


def _place(found: Fact) -> Markup:
    at = ", ".join(f"{dim} {level}" for dim, level in found.at.items())
    return Markup(f" at {md(at)}") if at else Markup("")


def _interval_fact(found: Fact, name: Markup, unit: str) -> Markup:
    if found.interval is None:
        return Markup(f"the interval of {name} is unknown")
    said = f"the interval of {name}, {format_interval(found.interval.low, found.interval.high, unit)},"
    low = format_threshold(found.threshold, unit)
    if found.kind == "within":
        where = f"within {low} to {format_threshold(found.upper, unit)}"
    else:
        where = f"{format_rel(found.rel, words=True)} {low}"
    return Markup(f"{said} {'lies' if found.truth == 'true' else 'does not lie'} wholly {where}")


def _sides(row: EstimateRow | None) -> str:
    if row is None or len(row.sides) != 2 or any(side.value is None for side in row.sides):
        return ""
    unit = "proportion" if row.display == "pp" else row.display
    return " against ".join(f"{format_value(side.value, unit)} in {md(side.label)}" for side in row.sides)


def facts(findings: Sequence[Finding], truth: str, model: ReportModel, most: int = 3) -> Markup:
    """Say the comparisons of some findings that came out one way, and how many more there are."""
    wanted = [each for finding in findings for each in finding.facts if each.truth == truth]
    said: dict[Markup, None] = {}
    for number, each in enumerate(wanted):
        said.setdefault(fact(each, model, {before.estimate for before in wanted[:number]}))
    found = list(said)
    more = [Markup(f"and {len(found) - most} more")] if len(found) > most else []
    return Markup("; ".join([*found[:most], *more]).replace("; with p ", ", with p "))


def gates_held(model: ReportModel) -> str:
    """``the gate held``, ``all 3 gates held``, ``1 of 3 gates held``."""
    passed, total = model.tally["gates_passed"], model.tally["gates"]
    if total == 1:
        state = model.decision.gates[0].truth
        return {"true": "the gate held", "false": "the gate did not hold", "unknown": "the gate is unknown"}[state]
    if passed == total:
        return f"all {total} gates held"
    return f"{passed or 'none'} of {total} gates held"


def compared(model: ReportModel, one: str, two: str) -> HypothesisResult | None:
    """Return the hypothesis that has a clause on the contrast of two arms."""
    labels = {f"{one} − {two}", f"{two} − {one}"}
    rows = [row for row in model.estimates if row.contrast in labels]
    names = {row.estimate.name for row in rows} | {test.name for row in rows for test in row.tests}
    for result in model.decision.hypotheses:
        if any(fact.estimate in names for clause in result.clauses for fact in clause.facts):
            return result
    return None


def p_phrase(found: Fact) -> str:
    """Say a p-value against what was registered: ``p = 1.000, not below the registered 0.05``."""
    p = f"p = {format_p(found.value, apart_from=found.threshold)}".replace("= <", "<")
    way = format_rel(found.rel, words=True)
    return (
        f"{p}, {'' if found.truth == 'true' else 'not '}{way} the registered {format_threshold(found.threshold, 'p')}"
    )


def comparison(found: Comparison) -> Markup:
    """Explain in one sentence why two analyses of the same contrast give different intervals."""
    first = format_interval(found.first_interval.low, found.first_interval.high, found.display)
    second = format_interval(found.second_interval.low, found.second_interval.high, found.display)
    was, now = _width(found.first_interval), _width(found.second_interval)
    change = "widens" if now > 1.05 * was else "narrows" if now < 0.95 * was else "hardly changes"
    label = md(found.label) if found.label not in (found.first, found.second) else code(found.label)
    sentence = (
        f"{_treats(found)}; when {_dims(found.drawn)} are drawn again{' together' if len(found.drawn) > 1 else ''}, "
        f"the interval for {label} {change}: {first} becomes {second}"
    )
    return Markup(f"{sentence}{_because(found, change)}.")


def _treats(found: Comparison) -> str:
    name = code(found.first)
    if found.first_says == "dims":
        return f"The interval of {name} draws fewer things again"
    over = "-".join(dim for dim in found.levels)
    return f"The published interval ({name}) treats the {count_noun(found.cells, f'{md(over)} cell')} as independent"


def _because(found: Comparison, change: str) -> str:
    """Why an interval widens, where the report shows it: the contrast level by level."""
    spread = found.spread
    if change != "widens" or spread is None:
        return ""
    return (
        f", because the {count_noun(found.levels[spread.dim], spread.dim)} react differently "
        f"(from {format_value(spread.low, found.display, signed=True)} for {md(spread.low_at)} to "
        f"{format_value(spread.high, found.display, signed=True)} for {md(spread.high_at)})"
    )


def _width(interval: object) -> float:
    return float(getattr(interval, "high")) - float(getattr(interval, "low"))  # noqa: B009


def _dims(dims: Sequence[str]) -> Markup:
    return listed([plural_of(dim) for dim in dims])
