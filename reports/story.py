"""The report's text, section by section, generated from the model: title, summary, takeaways, next steps."""

from __future__ import annotations

from markupsafe import Markup

from harness.contracts.records import Finding, HypothesisResult
from harness.core.numbers import count_noun, format_n, format_value, phrase_p
from reports import sentences
from reports.caveat_words import TRAINED_MODELS, caveat
from reports.escape import code, join, md
from reports.records import Comparison, EstimateRow, ReportModel

MOST_TAKEAWAYS = 5
FEWEST_TAKEAWAYS = 2
STAMP = "REHEARSAL"

_ON = {
    "confirmatory": "",
    "amended": ", as amended after registration",
    "exploratory": ", exploratory",
    "retrospective": ", on data that already existed",
}
_STANDING = {
    "confirmatory": "**Confirmatory.** Sealed before its first measurement and unchanged since.",
    "amended": "**Amended.** The registration was changed after it was sealed; the changes are on record.",
    "exploratory": "**Exploratory.** Nothing was sealed before the measurement: read this as a lead, not as a test.",
    "retrospective": (
        "**Retrospective.** The data existed, and could have been seen, before this was registered: the criteria are "
        "applied to known numbers."
    ),
}
_WORTH = {
    "confirmatory": "**Confirmatory.**",
    "amended": "**Amended.** The rules that were applied are not the ones that were sealed first.",
    "exploratory": "**Exploratory.** Read this as a lead, not as a test.",
    "retrospective": "**Retrospective.** The criteria are applied to numbers that could have been known.",
}
"""What a standing is worth, before the reasons for it."""
_VERDICTS = {
    "supported": "every criterion of the primary hypothesis was met",
    "not supported": "a registered criterion was not met, which is no evidence that there is nothing to find",
    "killed": "a registered kill criterion holds, which ends this line of work",
    "inconclusive": "what was measured cannot decide it",
}


def confidence_word(model: ReportModel) -> str:
    """Return HIGH, MODERATE, LOW, or ``no`` where none can be had."""
    return model.decision.confidence.final or "no"


def title(model: ReportModel) -> Markup:
    """Return the title: what was asked, what came out, on what standing, and the confidence."""
    asked, decision = model.registration.title.strip(), model.decision
    if model.registration.rehearsal:
        return Markup(f"{STAMP}: {md(asked)} (rule returned: {decision.verdict}) (no confidence)")
    outcome = f"{decision.verdict}{_ON[decision.standing]}"
    said = f" {outcome[0].upper()}{outcome[1:]}" if asked.endswith(("?", "!")) else f": {outcome}"
    joined = f"{md(asked)}{said}"
    return Markup(f"{joined} ({confidence_word(model)} confidence)")


def standing(model: ReportModel) -> Markup:
    """Return the first line under the title: what the result is worth."""
    if model.registration.rehearsal:
        return Markup(
            f"**{STAMP}.** Toy models at toy scale: everything below exercises the machinery and proves nothing. "
            "No number here is evidence for or against any claim."
        )
    basis = model.decision.basis
    if basis is None:
        return Markup(_STANDING[model.decision.standing])
    return join([Markup(_WORTH[basis.standing]), *map(md, basis.reasons)])


def verdict_line(model: ReportModel) -> Markup:
    """Return the verdict in one line."""
    decision = model.decision
    if model.registration.rehearsal:
        return Markup(f"**Verdict: {STAMP} (rule returned: {decision.verdict})**")
    meaning = _VERDICTS[decision.verdict]
    if decision.verdict == "supported" and model.tally["primary"] > 1:
        meaning = f"every criterion of all {model.tally['primary']} primary hypotheses was met"
    return Markup(f"**Verdict: {decision.verdict.upper()}** — {meaning}.")


def before_the_result(model: ReportModel) -> list[Markup]:
    """Return what a reader must know before any good news: failures, exclusions, deviations."""
    found = deviations(model)
    found += [gate_sentence(gate, model) for gate in model.decision.gates if gate.truth != "true"]
    first = ("UNKNOWN", "TRUNCATED", "MISSING", "ACCEPTED")
    found += [caveat(each) for code_ in first for each in model.caveats if each.code == code_]
    if model.registration.overridden:
        keys = join([code(key) for key in model.registration.overridden], ", ")
        noun = count_noun(len(model.registration.overridden), "key")
        found.append(Markup(f"Not exercised: this rehearsal replaced {noun} of the registration: {keys}."))
    if model.differs:
        sources = sentences.references(tuple(dict.fromkeys(note.source for note in model.differs)))
        keys = join([code(note.at) for note in model.differs], ", ")
        noun = count_noun(len(model.differs), "declared departure")
        found.append(Markup(f"{noun} from {sources} (reasons under Setup): {keys}."))
    return found


def deviations(model: ReportModel) -> list[Markup]:
    """Return one line for each difference between what was registered and what was run."""
    found = []
    for each in model.decision.basis.deviations if model.decision.basis else ():
        after = f", when {md(', '.join(each.known))} had been measured" if each.known else ""
        record = "no amendment records it"
        if each.when:
            record = f"{md(f'amended at {each.when}')}{after}: {md(each.because)}"
        change = f"registered {code(each.registered)}, run with {code(each.done)}"
        found.append(Markup(f"**Deviation at {code(each.key)}:** {change} ({record})."))
    return found


def gate_sentence(gate: Finding, model: ReportModel) -> Markup:
    """Say that a gate does not hold, by how much, and what that closes."""
    state = "failed" if gate.truth == "false" else "is unknown"
    said = sentences.facts([gate], gate.truth, model) or md(gate.why)
    guarded = model.guards.get(gate.name, ())
    what = sentences.listed(guarded) if guarded else "everything"
    return Markup(f"**The gate {code(gate.name)} {state}:** {said}. It guards {what}, which therefore is unknown.")


def _shut(result: HypothesisResult, model: ReportModel) -> list[Finding]:
    """The gates that close a hypothesis."""
    return [
        gate
        for gate in model.decision.gates
        if gate.truth != "true" and (not model.guards.get(gate.name) or result.name in model.guards[gate.name])
    ]


def summary_sentences(model: ReportModel) -> Markup:
    """Return the one or two sentences under the hero figure."""
    decision, tally = model.decision, model.tally
    if model.registration.rehearsal:
        held = f"The rule returned “{decision.verdict}” on toy models"
    elif tally["primary"] == 1:
        held = f"The primary hypothesis is {decision.verdict}"
    else:
        supported = tally["primary_supported"]
        noun = count_noun(tally["primary"], "primary hypothesis")
        held = f"Of {noun}, {supported or 'none'} {'is' if supported == 1 else 'are'} supported"
    gates = f", and {_gates_held(model)}" if tally["gates"] else ""
    trained = f" Every p-value reads {TRAINED_MODELS}." if _one_run(model) else ""
    said = (
        f"The registered reading: {md(decision.triage.reads)}."
        if decision.triage
        else ("No registered outcome applies, because what would choose one is unknown.")
    )
    return Markup(f"{held}{gates}.{trained} {said}")


def _gates_held(model: ReportModel) -> str:
    """``the gate held``, ``all 3 gates held``, ``1 of 3 gates held``."""
    passed, total = model.tally["gates_passed"], model.tally["gates"]
    if total == 1:
        return "the gate held" if passed else "the gate did not hold"
    if passed == total:
        return f"all {total} gates held"
    return f"{passed or 'none'} of {total} gates held"


def _one_run(model: ReportModel) -> bool:
    return any(each.code in ("ONE_SEED", "RUNS_UNSEEN") for each in model.caveats)


# --- takeaways --------------------------------------------------------------------------------------


def takeaways(model: ReportModel) -> list[Markup]:
    """Return two to five bullets, each with its claim and numbers in bold."""
    decision = model.decision
    primary = [result for result in decision.hypotheses if result.role == "primary"]
    secondary = [result for result in decision.hypotheses if result.role != "primary"]
    said = [_hypothesis(result, model) for result in primary[:2]]
    said += [_bold(sentences.comparison(found)) for found in _widest(model)]
    fragile = [each for each in model.caveats if each.code in ("LEAVE_ONE_OUT", "RANK")]
    if fragile:
        said.append(join([_bold(caveat(fragile[0])), *map(caveat, fragile[1:])]))
    said += [_hypothesis(result, model) for result in (*primary[2:], *secondary)]
    if len(said) < FEWEST_TAKEAWAYS:
        said += [_standout(row) for row in _reported(model)[:1]]
    if len(said) < FEWEST_TAKEAWAYS:
        said.append(_gates_bullet(model))
    return said[:MOST_TAKEAWAYS]


def _bold(sentence: Markup) -> Markup:
    return Markup(f"**{sentence.strip()}**")


def _widest(model: ReportModel) -> list[Comparison]:
    """The comparison that a reader must see: that of a deciding estimand, else the first."""
    deciding = {row.estimate.name for row in model.estimates if row.deciding}
    ordered = sorted(model.comparisons, key=lambda found: found.second not in deciding)
    return list(ordered[:1])


_WANTED = {"supported": "true", "not supported": "false", "killed": "true", "inconclusive": "unknown"}
"""Which comparisons carry a verdict."""


def _hypothesis(result: HypothesisResult, model: ReportModel) -> Markup:
    wanted = _WANTED[result.verdict]
    findings = result.clauses
    if result.verdict == "killed":
        findings = tuple(kill for kill in model.decision.kills if kill.truth == "true")
    said = sentences.facts(findings, wanted, model)
    if result.verdict == "inconclusive":
        shut = _shut(result, model)
        gates = sentences.listed([code(gate.name) for gate in shut])
        said = Markup(f"{'gates' if len(shut) > 1 else 'the gate'} {gates} did not hold") if shut else md(result.why)
    size = sentences.sample_size(findings, wanted, model) if result.verdict != "inconclusive" else ""
    numbers = f": {said}{f'; {size}' if size else ''}" if said else ""
    if model.registration.rehearsal:
        return Markup(f"**{STAMP}: the rule returned “{result.verdict}” for {md(result.name)}{numbers}.**")
    head = f"{md(result.name)}, that {sentences.claimed(result.claim)}, is {result.verdict}"
    return Markup(f"**{head}{numbers}.**{_rest(result, model)}")


def _rest(result: HypothesisResult, model: ReportModel) -> str:
    """What else a reader should update on: the clauses that did hold when not all of them did."""
    if result.verdict != "not supported":
        return ""
    held = [clause for clause in result.clauses if clause.truth == "true"]
    if not held:
        return ""
    names = sentences.listed([clause.name for clause in held])
    return f" Its {'clause' if len(held) == 1 else 'clauses'} {names} did hold: {sentences.facts(held, 'true', model)}."


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


def _standout(row: EstimateRow) -> Markup:
    tests = [test.value for test in row.tests if test.value is not None]
    p = f", {phrase_p(min(tests))}" if tests else ""
    size = f", N = {format_n(row.estimate.counts)}" if row.estimate.counts else ""
    value = format_value(row.estimate.cells[0].value, row.display)
    return Markup(f"**Reported beside it: {code(row.estimate.name)} is {value}{p}{size}.** It decides nothing.")


def _gates_bullet(model: ReportModel) -> Markup:
    tally = model.tally
    if not tally["gates"]:
        return Markup("**No gate was registered:** nothing checks that the measurement could have shown the effect.")
    held = _gates_held(model)
    truth = "true" if tally["gates_passed"] == tally["gates"] else "false"
    said = sentences.facts(model.decision.gates, truth, model, most=2)
    return Markup(f"**{held[0].upper()}{held[1:]}{f': {said}' if said else ''}.**")


# --- confidence, next steps, summary ----------------------------------------------------------------


def confidence_line(model: ReportModel) -> Markup:
    """Return ``**Confidence: LOW** — reason``."""
    found = model.decision.confidence
    if model.registration.rehearsal:
        reason = Markup("a rehearsal at toy scale exercises the machinery and proves nothing.")
    elif not found.caps:
        reason = Markup(f"claimed by the registration for this outcome ({code(model.claimed_when or 'otherwise')}).")
    else:
        reasons = join([md(text) for _, text in found.caps], "; ")
        claimed = (
            f"the registration claims {found.claimed} ({code(model.claimed_when or 'otherwise')})"
            if (found.claimed)
            else "the registration claims none"
        )
        rule = "by rule it can be no higher" if found.claimed == found.final else "it is lowered by rule"
        reason = Markup(f"{claimed}; {rule}: {reasons}.")
    return Markup(f"**Confidence: {found.final or 'none'}** — {reason}")
