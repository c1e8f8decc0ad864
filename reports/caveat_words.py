"""Every caveat in a sentence."""

from __future__ import annotations

from collections.abc import Callable

from markupsafe import Markup

from harness.core.numbers import format_interval, format_p, format_threshold, format_value, phrase_p
from reports.escape import code, md
from reports.records import Caveat, Quantity

TRAINED_MODELS = "“for these trained models”"


def caveat(found: Caveat) -> Markup:
    """Say a caveat in a sentence."""
    return _SAY[found.code](found, {number.name: number for number in found.numbers})


_Numbers = dict[str, Quantity]


def _shown(number: Quantity, **options: bool) -> str:
    if number.unit == "count":
        return f"{number.value:,}"
    return format_value(number.value, number.unit, **options)


def _count(number: Quantity) -> int:
    return int(number.value or 0)


def _retrospective(found: Caveat, n: _Numbers) -> Markup:
    if found.words:
        return Markup(f"Retrospective: {md(found.words['why'])}")
    return Markup(
        "Retrospective: the data existed before this was registered, so the criteria were written by people who could "
        "have known the numbers."
    )


def _exploratory(found: Caveat, n: _Numbers) -> Markup:
    if found.words:
        return Markup(f"Exploratory: {md(found.words['why'])}")
    return Markup("Exploratory: nothing was sealed before the measurement, so the criteria may have followed the data.")


def _amended(found: Caveat, n: _Numbers) -> Markup:
    if found.words:
        return Markup(f"Amended: {md(found.words['why'])}")
    return Markup("Amended: the registration was changed after it was sealed; the changes are on record.")


def _unknown(found: Caveat, n: _Numbers) -> Markup:
    return Markup(f"{code(found.about)} could not be judged: {md(found.words['why'] or 'no value')}.")


def _accepted(found: Caveat, n: _Numbers) -> Markup:
    return Markup(
        f"Accepted finding {md(found.words['finding'])} at {code(found.about)}: {md(found.words['because'])}."
    )


def _leave_one_out(found: Caveat, n: _Numbers) -> Markup:
    level, lost, total = format_threshold(n["level"].value, "p"), _count(n["lost"]), _count(n["all"])
    whole = n["whole"].value
    verb = "lose" if whole is not None and whole < (n["level"].value or 0) else "do not reach"
    if lost == 0:
        return Markup(f"{code(found.about)} keeps p < {level} in all {total} leave-one-outs.")
    worst = format_p(n["worst"].value)
    without = f" without {md(found.words['worst'])}" if found.words["worst"] else ""
    return Markup(
        f"{code(found.about)} is fragile: {lost} of {total} leave-one-outs {verb} p < {level} "
        f"(they have p ≥ {level}, up to {worst}{without})."
    )


def _rank(found: Caveat, n: _Numbers) -> Markup:
    own = f"{_shown(n['value'])}{_and_p(n['p'])}"
    rank = f"{_shown(n['rank'])}{_and_p(n['rank_p'])}"
    return Markup(f"{code(found.about)} is {own}; its rank version {code(found.words['rank'])} is {rank}.")


def _and_p(number: Quantity) -> str:
    return f" ({phrase_p(number.value)})" if number.value is not None else ""


def _left_out_range(found: Caveat, n: _Numbers) -> Markup:
    return Markup(
        f"Leaving out one {md(found.words['dim'] or 'level')} at a time moves {code(found.about)} between "
        f"{_shown(n['low'])} (without {md(found.words['low'])}) and {_shown(n['high'])} "
        f"(without {md(found.words['high'])})."
    )


def _sweep(found: Caveat, n: _Numbers) -> Markup:
    levels = ", ".join(code(level) for level in found.words["levels"].split(", "))
    return Markup(
        f"{_shown(n['otherwise'])} of {_shown(n['all'])} levels of {md(found.words['dim'])} ({levels}) would decide "
        f"{code(found.words['of'])} otherwise on {code(found.about)}."
    )


def _wide(found: Caveat, n: _Numbers) -> Markup:
    span = format_interval(n["low"].value, n["high"].value, n["low"].unit)
    return Markup(
        f"{code(found.about)} is not settled: its interval, {span}, holds values on both sides of the registered "
        f"{format_threshold(n['threshold'].value, n['threshold'].unit)}."
    )


def _specific(found: Caveat, n: _Numbers) -> Markup:
    arm, state = md(found.words["arm"]), found.words["state"]
    if state == "alone":
        return Markup(f"There is no third arm: nothing here says that the difference is specific to what {arm} got.")
    other, against = md(found.words["other"]), md(found.words["against"])
    head = f"The difference between {arm} and {against} is not shown to be specific to {arm}: "
    if state == "uncompared":
        return Markup(f"{head}no clause compares {arm} with {other}.")
    return Markup(f"{head}the hypothesis that compares {arm} with {other} is {state}.")


def _saturated(found: Caveat, n: _Numbers) -> Markup:
    way = "rise" if found.words["end"] == "top" else "fall"
    where = f"{md(found.words['side'])} of {code(found.about)} stands at {_shown(n['value'])}"
    return Markup(f"{where}, the {found.words['end']} of its scale: it can {way} by {_shown(n['left'])} at most.")


_LENGTH = {
    "dissolves": "dissolves when length is in the model: what is left cannot be told apart from zero",
    "reverses": "turns round when length is in the model",
    "unclear": "does not shrink when length is in the model, but can no longer be told apart from zero",
    "no lead": "cannot be told apart from zero even without length in the model",
}


def _length(found: Caveat, n: _Numbers) -> Markup:
    arms = f"{md(found.words['leader'])} over {md(found.words['other'])}"
    p = f"{phrase_p(n['controlled'].value)}, without length {phrase_p(n['plain'].value)}"
    return Markup(f"Length (not registered: by rule): the lead of {arms} {_LENGTH[found.words['reading']]} ({p}).")


def _length_unknown(found: Caveat, n: _Numbers) -> Markup:
    return Markup(f"Whether completion length explains {code(found.about)} is not known: {md(found.words['why'])}.")


_POLICIES = {
    "miss": (" and counted as a miss", " and counted as misses"),
    "hit": (" and counted as a hit", " and counted as hits"),
    "wrong": (" and counted as wrong",) * 2,
    "drop": (" and left out",) * 2,
}
"""What becomes of one completion, and of several, under each policy."""


def _truncated(found: Caveat, n: _Numbers) -> Markup:
    cut = _count(n["truncated"])
    one, more = _POLICIES.get(found.words["policy"], ("", ""))
    verb, policy = ("was", one) if cut == 1 else ("were", more)
    return Markup(
        f"{cut:,} of {_shown(n['all'])} completions of {md(found.about)} {verb} cut off by the length limit{policy}."
    )


def _one_seed(found: Caveat, n: _Numbers) -> Markup:
    return Markup(
        f"Each arm was trained with one seed: another run could differ, and every p-value reads {TRAINED_MODELS}."
    )


def _runs_unseen(found: Caveat, n: _Numbers) -> Markup:
    return Markup(
        "The recorded table has no seeds: how much training runs differ is in none of these numbers, and every p-value "
        f"reads {TRAINED_MODELS}."
    )


def _one_model(found: Caveat, n: _Numbers) -> Markup:
    return Markup(f"One base model ({md(found.words['model'])}): nothing here speaks about others.")


def _models_unseen(found: Caveat, n: _Numbers) -> Markup:
    return Markup("The recorded table does not compare base models: nothing here speaks about other models.")


def _note(found: Caveat, n: _Numbers) -> Markup:
    return Markup(f"{code(found.about)}: {md(found.words['note'])}.")


def _missing(found: Caveat, n: _Numbers) -> Markup:
    return Markup(f"Not there yet: {md(found.words['what'])}.")


_SAY: dict[str, Callable[[Caveat, _Numbers], Markup]] = {
    "RETROSPECTIVE": _retrospective,
    "EXPLORATORY": _exploratory,
    "AMENDED": _amended,
    "UNKNOWN": _unknown,
    "ACCEPTED": _accepted,
    "LEAVE_ONE_OUT": _leave_one_out,
    "RANK": _rank,
    "LEFT_OUT_RANGE": _left_out_range,
    "SWEEP": _sweep,
    "WIDE": _wide,
    "SPECIFIC": _specific,
    "SATURATED": _saturated,
    "LENGTH": _length,
    "LENGTH_UNKNOWN": _length_unknown,
    "TRUNCATED": _truncated,
    "ONE_SEED": _one_seed,
    "RUNS_UNSEEN": _runs_unseen,
    "ONE_MODEL": _one_model,
    "MODELS_UNSEEN": _models_unseen,
    "NOTE": _note,
    "MISSING": _missing,
}
