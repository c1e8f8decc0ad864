"""Background, methodology, next steps, the plain-English summary and the sources of a report."""

from __future__ import annotations

from markupsafe import Markup

from harness.core.numbers import count_noun
from reports.escape import code, join, md
from reports.records import ReportModel
from reports.sentences import claimed, listed, references


def background(model: ReportModel) -> Markup:
    """Return the Background: the question, its parents, the claims."""
    registered, tally = model.registration, model.tally
    parents = f" It follows {references(model.registration.parents)}." if registered.parents else ""
    claims = join(
        [
            Markup(f"{md(result.name)}{' (secondary)' if result.role == 'secondary' else ''}: {md(result.claim)}.")
            for result in model.decision.hypotheses
        ]
    )
    noun = count_noun(tally["hypotheses"], "hypothesis")
    stated = "states" if tally["hypotheses"] else "states no hypothesis; it"
    return Markup(
        f"The question: {md(registered.question or registered.title)}{parents}\n\n"
        f"The preregistration {code(registered.id)} {stated} {noun}, each with the criteria that decide it. {claims} "
        "What counts as support, what would end the line of work and what each outcome leads to was written down as a "
        "program; nobody typed a number between that registration and this report."
    )


def methodology(model: ReportModel) -> list[Markup]:
    """Return the Methodology's bullets."""
    registered = model.registration
    if registered.arms:
        arms = join([Markup(f"{md(name)} ({md(label)})") for name, label in registered.arms.items()], ", ")
        bases = listed(registered.models)
        models = Markup(f"**Model:** {bases}; {count_noun(len(registered.arms), 'arm')}: {arms}.")
    else:
        models = Markup("**Model:** none is loaded or trained here.")
    recorded = join([code(name) for name in model.recorded], ", ")
    measured = join([code(name) for name in model.measured], ", ")
    data = (
        Markup(f"**Dataset:** recorded tables, read as published: {recorded}.")
        if model.recorded
        else Markup("**Dataset:** made by this run; see the setup tables.")
    )
    read = f"measured on the arms: {measured}" if model.measured else "no model is run; recorded numbers are read"
    return [
        models,
        data,
        Markup(f"**Eval:** {read}."),
        Markup(f"**Decision:** {_rules(model)} How each number was computed stands in the tables below."),
    ]


def _rules(model: ReportModel) -> str:
    tally = model.tally
    rules = [count_noun(tally["clauses"], "clause")]
    rules += [count_noun(tally[f"{word}s"], word) for word in ("gate", "kill") if tally[f"{word}s"]]
    return f"{listed(rules)}, judged mechanically: true, false or unknown."


def next_steps(model: ReportModel) -> list[Markup]:
    """Return what to do: the registered next step, failed gates and clauses, what remains open."""
    if model.registration.rehearsal:
        source = code(f"pytest {model.registration.source} -m gpu")
        return [Markup(f"Run the registration itself ({source}); a rehearsal answers no question.")]
    decision = model.decision
    found = []
    if decision.triage:
        found.append(Markup(f"As registered for this outcome: {md(decision.triage.next)}."))
    found += [
        Markup(f"Mend what the gate {code(gate.name)} found ({md(gate.text)}) and run again.")
        for gate in decision.gates
        if gate.truth == "false"
    ]
    failed = [
        code(f"{result.name}.{clause.name}")
        for result in decision.hypotheses
        for clause in result.clauses
        if clause.truth == "false" and result.verdict != "supported"
    ]
    if failed:
        found.append(Markup(f"Unmet: {join(failed, ', ')}. The shortfalls stand under Headline numbers."))
    open_ = {
        "RUNS_UNSEEN": "Repeat with several training seeds.",
        "ONE_SEED": "Repeat with several training seeds.",
        "ONE_MODEL": "Repeat on a second base model.",
        "MODELS_UNSEEN": "Repeat on a second base model.",
        "RETROSPECTIVE": "Register and seal a confirmation on data that do not exist yet.",
        "WIDE": "Measure more of what the interval is wide over before the threshold is judged again.",
    }
    codes = dict.fromkeys(each.code for each in model.caveats)
    found += [Markup(text) for text in dict.fromkeys(open_[each] for each in codes if each in open_)]
    return found or [Markup("None: the registration names no next step for this outcome.")]


def human_summary(model: ReportModel) -> Markup:
    """Return the plain-English summary of the detailed report."""
    registered, decision = model.registration, model.decision
    if registered.rehearsal:
        return Markup(
            f"This is a rehearsal. The whole registration {code(registered.id)} was run on toy models to find out "
            f"whether the machinery works from end to end. The rule returned “{decision.verdict}”, which says nothing "
            "about the question, because toy models are not the models that were asked about."
        )
    words = [f"We asked: {md(registered.question or registered.title)}"]
    for result in decision.hypotheses:
        words.append(f"{md(result.name)}, that {claimed(result.claim)}, is {result.verdict}.")
    words.append(_MEANS[decision.verdict])
    if decision.standing != "confirmatory":
        changed = decision.basis is not None and bool(decision.basis.sealed) and decision.standing == "exploratory"
        words.append(_UNFIXED if changed else _WORTH[decision.standing])
    if decision.triage:
        words.append(f"The registration reads this outcome as: {md(decision.triage.reads)}.")
    words.append(f"Confidence in the verdict is {decision.confidence.final or 'not claimed'}.")
    return Markup(" ".join(words))


_MEANS = {
    "supported": "Supported means that every number that was asked for came out on the side that was asked for.",
    "not supported": (
        "Not supported means that at least one number did not reach what was asked for; the effect may still be there, "
        "smaller or harder to see than was registered."
    ),
    "killed": "Killed means that the numbers met the criterion that was set for giving up this line of work.",
    "inconclusive": (
        "Inconclusive means that something that had to work did not, or was not measured, so that the question is as "
        "open as before."
    ),
}
_UNFIXED = "What was sealed in advance is not what was done, so this is a lead and not a test."
_WORTH = {
    "amended": "The rules were changed along the way, on the record.",
    "exploratory": "Nothing was sealed in advance, so this is a lead and not a test.",
    "retrospective": "The data were there before the rules, so this is a second look and not a test.",
}


def source_issues(model: ReportModel) -> list[Markup]:
    """Return the source issues, each with what the registration says about it."""
    found = []
    for parent in model.registration.parents:
        notes = sum(note.source == parent for note in model.differs)
        said = f": {count_noun(notes, 'declared departure')} from it" if notes else ""
        found.append(Markup(f"{references((parent,))}{said}"))
    return found
