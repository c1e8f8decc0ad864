"""What a report says around the result: its standing, what went wrong before it, the verdict, the confidence."""

from __future__ import annotations

from markupsafe import Markup

from harness.contracts.records import Finding
from harness.core.numbers import count_noun
from reports import sentences
from reports.caveat_words import caveat
from reports.escape import code, join, md
from reports.findings import STAMP, summary_sentences, title
from reports.records import ReportModel
from reports.takeaways import takeaways

__all__ = [
    "STAMP",
    "before_the_result",
    "confidence_line",
    "deviations",
    "gate_sentence",
    "standing",
    "summary_sentences",
    "takeaways",
    "title",
    "verdict_line",
]

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
        return Markup(f"**Verdict: {STAMP} (rule returned: {decision.verdict})**{_gates(model)}.")
    meaning = _VERDICTS[decision.verdict]
    if decision.verdict == "supported" and model.tally["primary"] > 1:
        meaning = f"every criterion of all {model.tally['primary']} primary hypotheses was met"
    return Markup(f"**Verdict: {decision.verdict.upper()}** — {meaning}{_gates(model)}.")


def _gates(model: ReportModel) -> str:
    return f"; {sentences.gates_held(model)}" if model.tally["gates"] else ""


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
