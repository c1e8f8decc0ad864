"""Background, methodology, next steps, the plain-English summary and the sources of a report."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from harness.contracts.records import HypothesisResult
from harness.core.numbers import count_noun, plural_of
from reports import briefs, findings, sentences
from reports.escape import code, join, md
from reports.records import Design, ReportModel
from reports.sentences import claimed, listed, references
from reports.setup import BANK


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
    how = "with" if tally["hypotheses"] == 1 else "each with"
    stated = f"states {noun}, {how} the criteria that decide it" if tally["hypotheses"] else "states no hypothesis"
    name = f", “{md(registered.title)}”," if registered.question and registered.title != registered.question else ""
    return Markup(
        f"The question: {md(registered.question or registered.title)}{parents}\n\n"
        f"The preregistration {code(registered.id)}{name} {stated}. {claims} {_written(model)} a program; nobody typed "
        "a number between that registration and this report."
    )


def _written(model: ReportModel) -> str:
    """``What counts as support and what each outcome leads to were written down as``: no more than was registered."""
    parts = ["counts as support"] if model.tally["hypotheses"] else ["is measured"]
    parts += ["would end the line of work"] if model.tally["kills"] else []
    parts += ["each outcome leads to"] if model.registered_outcomes else []
    what = listed([Markup(f"what {part}") for part in parts])
    return f"W{what[1:]} {'was' if len(parts) == 1 else 'were'} written down as"


def methodology(model: ReportModel) -> list[Markup]:
    """Return the Methodology's bullets."""
    registered = model.registration
    if registered.arms:
        arms = join([Markup(f"{md(name)} ({md(label)})") for name, label in registered.arms.items()], ", ")
        bases = listed(registered.models)
        models = Markup(f"**Model:** {bases}; {count_noun(len(registered.arms), 'arm')}: {arms}.")
    else:
        models = Markup("**Model:** none is loaded or trained here.")
    return [
        models,
        Markup(f"**Dataset:** {_data(model)}"),
        Markup(f"**Eval:** {_evals(model)}"),
        Markup(
            f"**Decision:** {_rules(model)} {_generalises(model)} How each number was computed stands in the tables."
        ),
    ]


def _data(model: ReportModel) -> str:
    read = [
        f"{code(design.name)} is {_layout(design)}, read from {code(design.source)}"
        for design in model.designs
        if design.family == "recorded"
    ]
    if read:
        return f"recorded tables, as published: {'; '.join(read)}."
    table = next((each for each in model.setup if each.name == "Data"), None)
    rows = table.rows if table else ()
    sets = [code(name) for name, source, *_ in rows if not source.startswith(BANK)]
    given = f"training data {listed(sets)}; the rest is " if sets else ""
    return f"{given}made by this run; see the setup tables."


def _evals(model: ReportModel) -> str:
    made = [design for design in model.designs if design.family in ("eval", "probe")]
    said = [f"{code(design.name)} ({md(design.kind)}) is {_layout(design)}" for design in made]
    return f"{'; '.join(said)}." if said else "no model is run; recorded numbers are read."


def _layout(design: Design) -> str:
    """``4 arms × 11 personas × 20 questions × 10 completions``."""
    levels = [count_noun(count, dim) for dim, count in design.dims.items()]
    levels += [count_noun(design.each, "completion")] if design.each else []
    return " × ".join(levels) or "a single number"


def _generalises(model: ReportModel) -> str:
    """To what the numbers generalise, in the words of what is drawn again and what is taken as given."""
    said = [f"{code(design.name)} {_draws(design)}" for design in model.designs if design.over]
    return f"In intervals and p-values {'; '.join(said)}." if said else ""


def _draws(design: Design) -> str:
    if design.cells:
        return f"draws every cell of {listed(design.over)} again as if it stood alone"
    drawn = listed([plural_of(dim) for dim in design.over])
    fixed = [plural_of(dim) for dim in design.dims if dim not in (*design.over, "arm")]
    given = f", with the {listed(fixed)} as given" if fixed else ""
    return f"draws {drawn} again and so speaks of other {drawn} like these{given}"


def _rules(model: ReportModel) -> str:
    tally = model.tally
    rules = [count_noun(tally["clauses"], "clause")]
    rules += [count_noun(tally[f"{word}s"], word) for word in ("gate", "kill") if tally[f"{word}s"]]
    return f"{listed([Markup(rule) for rule in rules])}, judged mechanically: true, false or unknown."


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
        Markup(f"Mend what the gate {code(gate.name)} found ({sentences.facts([gate], 'false', model)}) and run again.")
        for gate in decision.gates
        if gate.truth == "false"
    ]
    found += [
        Markup(f"Measure what the gate {code(gate.name)} needs ({sentences.facts([gate], 'unknown', model)}).")
        for gate in decision.gates
        if gate.truth == "unknown"
    ]
    if decision.verdict == "killed":
        kills = [code(kill.name) for kill in decision.kills if kill.truth == "true"]
        found.append(Markup(f"Give up this line of work: {join(kills, ', ')} was written down as what ends it."))
        return found
    found += list(_unmet(model))
    found += [
        Markup(
            f"Mend what kept {code(each.about)} from being judged ({md(each.words['why'] or 'no value')}); run again."
        )
        for each in model.caveats
        if each.code == "UNKNOWN"
    ]
    found += list(dict.fromkeys(_open(model)))
    found += list(dict.fromkeys((*_by_control(model), *_by_length(model))))
    return found or [Markup("None: the registration names no next step for this outcome.")]


def _unmet(model: ReportModel) -> Iterator[Markup]:
    """What every false clause of a hypothesis that is not supported lacks."""
    for result in model.decision.hypotheses:
        for clause in result.clauses:
            if clause.truth == "false" and result.verdict != "supported":
                said = briefs.together([fact for fact in clause.facts if fact.truth == "false"], model, rest=True)
                name = code(f"{result.name}.{clause.name}")
                yield Markup(f"Do not build on {name}: it was not met{f' ({said})' if said else ''}.")


def _open(model: ReportModel) -> Iterator[Markup]:
    """What the caveats leave to do."""
    for found in model.caveats:
        if found.code == "LEAVE_ONE_OUT":
            yield Markup(f"Add {plural_of(md(found.words['dim'] or 'level'))} until no single one decides.")
        elif found.code == "WIDE":
            yield _more(model)
        elif found.code in _OPEN:
            yield Markup(_OPEN[found.code])


def _more(model: ReportModel) -> Markup:
    """Say what to measure more of: what is drawn again for the estimates whose intervals are wide."""
    wide = [found.about for found in model.caveats if found.code == "WIDE"]
    rows = [row for name in wide if (row := model.row(name)) is not None]
    measures = {name for row in rows for name in row.measures}
    drawn = dict.fromkeys(dim for each in model.designs if each.name in measures for dim in each.over)
    what = listed([plural_of(dim) for dim in drawn]) if drawn else "of what is drawn again"
    named = listed([code(name) for name in wide])
    judged = "is judged again: its interval holds" if len(wide) == 1 else "are judged again: their intervals hold"
    return Markup(f"Measure more {what} before {named} {judged} values on both sides of what was registered.")


_OPEN = {
    "TRUNCATED": "Raise the length limit until nothing is cut off.",
    "SATURATED": "Use a measure with room at the end of its scale.",
    "RUNS_UNSEEN": "Repeat with several training seeds.",
    "ONE_SEED": "Repeat with several training seeds.",
    "ONE_MODEL": "Repeat on a second base model.",
    "MODELS_UNSEEN": "Repeat on a second base model.",
    "RETROSPECTIVE": "Register and seal a confirmation on data that do not exist yet.",
    "EXPLORATORY": "Seal the registration and repeat it on new data.",
}


def _by_length(model: ReportModel) -> Iterator[Markup]:
    pairs = [
        f"between {listed(sorted((each.words['leader'], each.words['other'])))}"
        for each in model.caveats
        if each.code == "LENGTH" and each.words["reading"] in ("dissolves", "unclear", "reverses")
    ]
    if pairs:
        yield Markup(f"Match the lengths of completions {', and '.join(pairs)}, before rates are compared again.")


def _by_control(model: ReportModel) -> Iterator[Markup]:
    for each in model.caveats:
        if each.code == "SPECIFIC" and each.words["state"] == "uncompared":
            arms = f"{md(each.words['arm'])} with {md(each.words['other'])}"
            yield Markup(f"Register a clause that compares {arms} before any claim about what is specific.")
        elif each.code == "SPECIFIC" and each.words["state"] == "alone":
            yield Markup(
                f"Add a control arm before any claim that the difference is specific to {md(each.words['arm'])}."
            )


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
        numbers = briefs.brief(result, model)
        if result.verdict == "inconclusive":
            numbers = _kept_open(result, model)
        found = f": {numbers}" if numbers else ""
        words.append(f"{md(result.name)}, that {claimed(result.claim)}, is {result.verdict}{found}.")
    words += [_MEANS[verdict] for verdict in dict.fromkeys(each.verdict for each in decision.hypotheses)]
    if decision.standing != "confirmatory":
        changed = decision.basis is not None and bool(decision.basis.sealed) and decision.standing == "exploratory"
        words.append(_UNFIXED if changed else _WORTH[decision.standing])
    if decision.triage:
        words.append(f"The registration reads this outcome as: {md(decision.triage.reads)}.")
    words.append(f"Confidence in the verdict is {decision.confidence.final or 'not claimed'}.")
    return Markup(" ".join(words))


def _kept_open(result: HypothesisResult, model: ReportModel) -> Markup:
    """Why a hypothesis is inconclusive, without names of estimates: its gates with their numbers, or the reason."""
    shut = findings.shut_gates(result, model)
    said = []
    for gate in shut:
        numbers = briefs.together([fact for fact in gate.facts if fact.truth == "false"], model, briefs.nothing)
        state = "failed" if gate.truth == "false" else "is unknown"
        said.append(Markup(f"the gate {code(gate.name)} {state}{f' ({numbers})' if numbers else ''}"))
    return join(said, "; ") if said else findings.undecided(result, model)


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
