"""The main takeaways, by rule: two to five bullets, each with its claim and numbers in bold.

In this order: what became of each primary hypothesis (and, where registered, what that was to mean), what drawing
again does to the interval, which units lead and trail, what further arms and length say, what is fragile, secondary
hypotheses. A rehearsal's bullets carry its stamp.
"""

from __future__ import annotations

import re

from markupsafe import Markup

from harness.contracts.records import Fact, HypothesisResult
from harness.core.numbers import format_n, format_value, phrase_p
from reports import arms_words, briefs, sentences
from reports.caveat_words import caveat
from reports.escape import code, join, md
from reports.findings import STAMP, primary, shut_gates, undecided
from reports.records import Comparison, EstimateRow, ReportModel

MOST_TAKEAWAYS = 5
FEWEST_TAKEAWAYS = 2
MOST_LISTED = 4
"""Cells of a table that a sentence reads out."""


def takeaways(model: ReportModel) -> list[Markup]:
    """Return two to five bullets."""
    first = primary(model)
    secondary = [result for result in model.decision.hypotheses if result.role != "primary"]
    said = [hypothesis(result, model) for result in first[:2]]
    if said and not model.registration.rehearsal and model.decision.triage:
        said[0] = Markup(f"{said[0]} The registration reads this outcome as: {md(model.decision.triage.reads)}.")
    closed = any(shut_gates(result, model) for result in first)  # behind a closed gate nothing is told as a finding
    said += [_bold(sentences.comparison(found), model) for found in _widest(model) if not closed]
    pair = arms_words.primary_pair(model)
    told: list[HypothesisResult] = []
    if pair is not None and not closed:
        said.append(units(pair, model))
        control, told = control_arm(pair, model)
        said += [control] if control else []
    said += largest(model, said) if not closed else []
    fragile = [each for each in model.caveats if each.code in ("LEAVE_ONE_OUT", "RANK")]
    if fragile:
        said.append(join([_bold(caveat(fragile[0]), model), *map(caveat, fragile[1:])]))
    said += [hypothesis(result, model) for result in (*first[2:], *secondary) if result not in told]
    if len(said) < FEWEST_TAKEAWAYS:
        said += [_standout(row, model) for row in _reported(model)[:1]]
    if len(said) < FEWEST_TAKEAWAYS and model.decision.verdict == "inconclusive":
        said += [_listed(row, model) for row in _small_tables(model)[:1]]
    if len(said) < FEWEST_TAKEAWAYS:
        said.append(_gates_bullet(model))
    return said[:MOST_TAKEAWAYS]


def _bold(sentence: Markup, model: ReportModel) -> Markup:
    """A bold claim; behind a rehearsal's stamp it goes on in lower case."""
    said = sentence.strip()
    if model.registration.rehearsal and re.match(r"[A-Z][a-z]+ ", said):
        said = Markup(f"{said[0].lower()}{said[1:]}")
    return Markup(f"**{_stamp(model)}{said}**")


def _stamp(model: ReportModel) -> str:
    return f"{STAMP}: " if model.registration.rehearsal else ""


def _widest(model: ReportModel) -> list[Comparison]:
    """The comparison that a reader must see: that of a deciding estimand, else the first."""
    deciding = {row.estimate.name for row in model.estimates if row.deciding}
    ordered = sorted(model.comparisons, key=lambda found: found.second not in deciding)
    return list(ordered[:1])


def hypothesis(result: HypothesisResult, model: ReportModel) -> Markup:
    """Say what became of one hypothesis, with the comparisons that carry the verdict."""
    wanted = briefs.WANTED[result.verdict]
    findings = result.clauses
    if result.verdict == "killed":
        findings = tuple(kill for kill in model.decision.kills if kill.truth == "true")
    said = sentences.facts(findings, wanted, model)
    if result.verdict == "inconclusive":
        said = undecided(result, model)
    facts = briefs.carrying(result, model)
    size = briefs.n_of(_first_counted(facts, model), model) if result.verdict != "inconclusive" else ""
    numbers = f": {said}{f'; {size}' if size else ''}" if said else ""
    if model.registration.rehearsal:
        return Markup(f"**{STAMP}: the rule returned “{result.verdict}” for {md(result.name)}{numbers}.**")
    head = f"{md(result.name)}, that {sentences.claimed(result.claim)}, is {result.verdict}"
    return Markup(f"**{head}{numbers}.**{_rest(result, model)}")


def _first_counted(facts: list[Fact], model: ReportModel) -> EstimateRow | None:
    rows = (briefs.subject(fact, model) for fact in facts)
    return next((row for row in rows if row is not None and row.estimate.counts), None)


def _rest(result: HypothesisResult, model: ReportModel) -> str:
    """What else a reader should update on: the clauses that did hold when not all of them did."""
    if result.verdict != "not supported":
        return ""
    held = [clause for clause in result.clauses if clause.truth == "true"]
    if not held:
        return ""
    names = sentences.listed([code(clause.name) for clause in held])
    return f" Its {'clause' if len(held) == 1 else 'clauses'} {names} did hold: {sentences.facts(held, 'true', model)}."


def units(pair: arms_words.Pair, model: ReportModel) -> Markup:
    """Say which units moved which way, and which lead and trail on both sides."""
    return Markup(f"{_bold(Markup(f'{arms_words.directions(pair)}.'), model)} {arms_words.extremes(pair)}")


def control_arm(pair: arms_words.Pair, model: ReportModel) -> tuple[Markup | None, list[HypothesisResult]]:
    """Say what the highest further arm and length say, and which hypotheses that tells of."""
    others = arms_words.others(pair)
    if not others:
        lengths = arms_words.length_sentence(pair, [(pair.left.arm, pair.right.arm)])
        return (_bold(lengths, model) if lengths else None), []
    other, left = others[0], pair.left.arm
    found = sentences.compared(model, left, other.arm)
    stands = arms_words.standing_of(other, pair)
    if model.registration.rehearsal:
        claim = str(stands)
    elif found is None:
        claim = (
            f"{stands}; no clause compares the two, so nothing here says that the difference is specific to {md(left)}"
        )
    elif found.verdict == "supported":
        claim = f"{stands}; {md(found.name)}, that {sentences.claimed(found.claim)}, is supported"
    else:
        claim = (
            f"{stands}; {md(found.name)}, that {sentences.claimed(found.claim)}, is {found.verdict}"
            f"{_numbers(found, model)}, so the difference is not shown to be specific to {md(left)}"
        )
    tail = [arms_words.length_sentence(pair, [(other.arm, left), (left, pair.right.arm)]), arms_words.spam(pair)]
    told = [found] if found is not None and found.role != "primary" else []
    return join([Markup(f"**{_stamp(model)}{claim}.**"), *(each for each in tail if each)]), told


def _numbers(result: HypothesisResult, model: ReportModel) -> str:
    facts = [fact for fact in briefs.carrying(result, model) if fact.value is not None]
    if result.verdict != "not supported" or not facts or facts[0].unit != "p":
        return ""
    return f" ({sentences.p_phrase(facts[0])})"


def largest(model: ReportModel, said: list[Markup]) -> list[Markup]:
    """Say the largest contrast of two arms unless it was told already or hangs on a gate that did not hold."""
    shut = {
        row.contrast
        for result in model.decision.hypotheses
        if shut_gates(result, model)
        for clause in result.clauses
        for fact in clause.facts
        if (row := briefs.subject(fact, model)) is not None
    }
    rows = [
        row
        for row in model.estimates
        if row.contrast and row.display == "pp" and len(row.estimate.cells) == 1 and row.contrast not in shut
    ]
    found = [(abs(row.estimate.cells[0].value), row) for row in rows if row.estimate.cells[0].value is not None]
    if not found:
        return []
    size, row = max(found, key=lambda each: each[0])
    if any(format_value(size, "pp") in str(each).replace("−", "") for each in said):
        return []
    return [_bold(Markup(f"The largest difference between two arms: {briefs.contrast(row)}."), model)]


def _reported(model: ReportModel) -> list[EstimateRow]:
    """Named single values that decide nothing, the one with the smallest p-value first."""
    rows = [
        row
        for row in model.estimates
        if row.named
        and not row.deciding
        and not row.estimate.axes
        and row.estimate.unit != "p"
        and row.estimate.cells[0].value is not None
    ]
    return sorted(rows, key=lambda row: min((t.value for t in row.tests if t.value is not None), default=2.0))


def _standout(row: EstimateRow, model: ReportModel) -> Markup:
    tests = [test.value for test in row.tests if test.value is not None]
    p = f", {phrase_p(min(tests))}" if tests else ""
    size = f", N = {format_n(row.estimate.counts)}" if row.estimate.counts else ""
    value = format_value(row.estimate.cells[0].value, row.display)
    said = Markup(f"Reported beside it: {code(row.estimate.name)} is {value}{p}{size}.")
    return Markup(f"{_bold(said, model)} It decides nothing.")


def _small_tables(model: ReportModel) -> list[EstimateRow]:
    """Named tables that decide nothing and are short enough to be read out."""
    return [
        row
        for row in model.estimates
        if row.named
        and not row.deciding
        and len(row.estimate.axes) == 1
        and row.estimate.unit != "p"
        and row.display != "pp"  # a contrast behind a closed gate is told by nothing
        and len(row.estimate.cells) <= MOST_LISTED
        and all(cell.value is not None for cell in row.estimate.cells)
    ]


def _listed(row: EstimateRow, model: ReportModel) -> Markup:
    axis = row.estimate.axes[0]
    places = [(format_value(cell.value, row.display), f"{axis} {cell.at[axis]}") for cell in row.estimate.cells]
    said = [Markup(f"{value} for {md(place)}") for value, place in places]
    head = Markup(f"Reported beside it: {code(row.estimate.name)} is {sentences.listed(said)}.")
    return Markup(f"{_bold(head, model)} It decides nothing.")


def _gates_bullet(model: ReportModel) -> Markup:
    tally = model.tally
    if not tally["gates"]:
        return Markup("**No gate was registered:** nothing checks that the measurement could have shown the effect.")
    held = sentences.gates_held(model)
    truth = "true" if tally["gates_passed"] == tally["gates"] else "false"
    said = sentences.facts(model.decision.gates, truth, model, most=2)
    return _bold(Markup(f"{held[0].upper()}{held[1:]}{f': {said}' if said else ''}."), model)
