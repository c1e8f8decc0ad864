"""The finding: the title that states it and ends in its confidence, and the sentences under the hero figure.

"Not supported" never becomes "there is nothing", a killed claim is given up and not refuted, and a rehearsal finds
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from harness.contracts.records import Finding, HypothesisResult
from harness.core.numbers import count_noun
from reports import briefs, sentences
from reports.caveat_words import TRAINED_MODELS
from reports.escape import code, join, md
from reports.records import ReportModel

STAMP = "REHEARSAL"
_ON = {
    "confirmatory": "",
    "amended": " — as amended after registration",
    "exploratory": " — exploratory",
    "retrospective": " — on data that already existed",
}
_AS = {
    "confirmatory": "",
    "amended": ", as amended after registration",
    "exploratory": ", as a lead and not a test",
    "retrospective": ", on data that already existed",
}


def confidence_word(model: ReportModel) -> str:
    """Return HIGH, MODERATE, LOW, or ``no`` where none can be had."""
    return model.decision.confidence.final or "no"


def title(model: ReportModel) -> Markup:
    """Return the title: what was found in plain words and numbers, on what standing, and the confidence."""
    asked, decision = model.registration.title.strip(), model.decision
    if model.registration.rehearsal:
        return Markup(f"{STAMP}: {md(asked)} (rule returned: {decision.verdict}) (no confidence)")
    found = _found(model) or Markup(f"{md(asked)} {decision.verdict[0].upper()}{decision.verdict[1:]}")
    return Markup(f"{found}{flaws(model)}{_ON[decision.standing]} ({confidence_word(model)} confidence)")


def flaws(model: ReportModel) -> str:
    """What a reader must know before any good news, in a title's few words: failed gates and deviations."""
    decision = model.decision
    named = decision.verdict == "inconclusive"
    closed = 0 if named else sum(gate.truth != "true" for gate in decision.gates)
    departed = len(decision.basis.deviations) if decision.basis else 0
    said = [f"{closed} of {count_noun(len(decision.gates), 'gate')} not passed"] if closed else []
    said += [count_noun(departed, "deviation")] if departed else []
    return f"; {', '.join(said)}" if said else ""


def primary(model: ReportModel) -> list[HypothesisResult]:
    """Return the primary hypotheses, in order."""
    return [result for result in model.decision.hypotheses if result.role == "primary"]


def _found(model: ReportModel) -> Markup | None:
    results = primary(model)
    if not results:
        return None
    if len(results) == 1:
        return _single(results[0], model)
    verdict = model.decision.verdict
    telling = [result for result in results if result.verdict == verdict]
    if verdict == "supported":
        claims = join([sentences.claimed(result.claim) for result in results], "; ")
        return Markup(f"All {len(results)} primary hypotheses are supported: {claims}")
    if not telling:
        return None
    held = sum(result.verdict == "supported" for result in results)
    noun = count_noun(len(results), "primary hypothesis")
    return Markup(f"{_single(telling[0], model)}; {held or 'none'} of {noun} {'is' if held == 1 else 'are'} supported")


def _single(result: HypothesisResult, model: ReportModel) -> Markup:
    claim = sentences.claimed(result.claim)
    numbers = briefs.brief(result, model)
    tail = f": {numbers}" if numbers else ""
    match result.verdict:
        case "supported":
            return Markup(f"{sentences.headed(result.claim)}{tail}{_unspecific(result, model)}")
        case "not supported":
            return Markup(f"Not shown that {claim}{tail}")
        case "killed":
            return Markup(f"The claim that {claim} is given up{by_the_rule(model)}{tail}")
        case _:
            return Markup(f"Undecided whether {claim}{_undecided(result, model)}")


def _unspecific(result: HypothesisResult, model: ReportModel) -> str:
    """Say so where a control arm was compared and not exceeded, or something specific is claimed and not shown."""
    lacking = [each for each in model.caveats if each.code == "SPECIFIC"]
    unmet = next((each for each in lacking if each.words["state"] == "not supported"), None)
    if unmet is not None:
        return f"; not shown to be specific to {md(unmet.words['arm'])}"
    return "; not shown to be specific" if lacking and "specific" in result.claim.lower() else ""


def by_the_rule(model: ReportModel) -> str:
    """``, as registered`` where that was sealed before anything was known."""
    return ", as registered" if model.decision.standing in ("confirmatory", "amended") else ""


def _undecided(result: HypothesisResult, model: ReportModel) -> str:
    shut = shut_gates(result, model)
    if shut:
        names = sentences.listed([gate.name for gate in shut])
        failed = [gate for gate in shut if gate.truth == "false"]
        state = "failed" if len(failed) == len(shut) else "not passed"
        if state == "failed":
            return f": the {'gate' if len(shut) == 1 else 'gates'} {names} failed"
        return f": the {'gate' if len(shut) == 1 else 'gates'} {names} {'was' if len(shut) == 1 else 'were'} not passed"
    why = next((fact.why for fact in briefs.carrying(result, model) if fact.why), "")
    return f": {md(why)}" if why else ""


def shut_gates(result: HypothesisResult, model: ReportModel) -> list[Finding]:
    """Return the gates that close a hypothesis."""
    return [
        gate
        for gate in model.decision.gates
        if gate.truth != "true" and (not model.guards.get(gate.name) or result.name in model.guards[gate.name])
    ]


def closed(shut: Sequence[Finding], model: ReportModel) -> Markup:
    """Say which gates close a hypothesis, each with its numbers."""
    said = []
    for gate in shut:
        numbers = sentences.facts([gate], gate.truth, model, most=1)
        state = "failed" if gate.truth == "false" else "is unknown"
        said.append(Markup(f"the gate {code(gate.name)} {state}{f' ({numbers})' if numbers else ''}"))
    return join(said, "; ")


def undecided(result: HypothesisResult, model: ReportModel) -> Markup:
    """Say why a hypothesis is inconclusive: its gates with their numbers, its clause, or the decision's reason."""
    shut = shut_gates(result, model)
    if shut:
        return closed(shut, model)
    for clause in result.clauses:
        if clause.truth == "unknown" and result.why.startswith(f"{clause.name}: ") and "; " not in result.why:
            why = result.why.removeprefix(f"{clause.name}: ")
            return Markup(f"its clause {code(clause.name)} could not be judged ({md(why)})")
    return md(result.why)


def summary_sentences(model: ReportModel) -> Markup:
    """Return the one or two sentences under the hero figure: the finding, for what it holds, what it was to mean."""
    if model.registration.rehearsal:
        return Markup(
            f"The rule returned “{model.decision.verdict}” on toy models. What a real result of this kind would mean "
            "is not said of a rehearsal."
        )
    said = [Markup(f"{finding_sentence(result, model)}.") for result in primary(model)[:2]]
    left = len(primary(model)) - len(said)
    if left > 0:
        said.append(
            Markup(f"{count_noun(left, 'further primary hypothesis')} {'stands' if left == 1 else 'stand'} below.")
        )
    if model.decision.triage is None and model.registered_outcomes:
        said.append(Markup("No registered outcome applies, because what would choose one is unknown."))
    return join(said)


def finding_sentence(result: HypothesisResult, model: ReportModel) -> Markup:
    """Say what was found about one hypothesis: numbers, n, p, verdict, and for which models."""
    name = md(result.name)
    numbers = briefs.brief(result, model, briefs.contrast)
    facts = briefs.carrying(result, model)
    size = briefs.n_of(briefs.subject(facts[0], model), model) if facts and result.verdict != "inconclusive" else ""
    notes = "; ".join(note for note in (str(size), runs(model) if size else "") if note)
    of = f"{numbers}{f' ({notes})' if notes else ''}"
    of = f"I{of[1:]}" if of.startswith("interval ") else of
    head = f"{of}: " if of else ""
    stands = f"{' for these trained models' if _one_run(model) else ''}{_AS[model.decision.standing]}"
    match result.verdict:
        case "supported":
            return Markup(f"{head}{name} is supported{stands}")
        case "not supported":
            return Markup(f"{head}{name} is not supported{stands}. This does not show that nothing is there")
        case "killed":
            return Markup(f"{head}{name} is killed{stands}: the line of work ends here{by_the_rule(model)}")
        case _:
            return Markup(f"{name} is inconclusive: {undecided(result, model)}")


def runs(model: ReportModel) -> str:
    """Say on how many training runs of each arm the numbers stand, where it is one or not recorded."""
    codes = {each.code for each in model.caveats}
    one = "one trained model per arm" if any("arm" in each.dims for each in model.designs) else "one seed"
    if "ONE_SEED" in codes:
        return one
    return f"no seeds are recorded, which counts as {one}" if "RUNS_UNSEEN" in codes else ""


def _one_run(model: ReportModel) -> bool:
    return any(each.code in ("ONE_SEED", "RUNS_UNSEEN") for each in model.caveats)


def trained_note(model: ReportModel) -> str:
    """``Every p-value reads “for these trained models”.`` where the runs say so, else nothing."""
    return f"Every p-value reads {TRAINED_MODELS}." if _one_run(model) else ""
