"""A registration as an answered form "OSF Preregistration": Markdown for people, JSON with the form's question ids.

Everything is said from the bound registration, by the sentences of ``prereg explain``, and from its seal. What neither
says is :data:`NOT_STATED`: nothing is filled in for the author.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import harness
from harness.contracts.bound import Bound
from harness.explain import osf_questions as form
from harness.explain.design import limits, measured, seeds, sets, sizes, trained, treated
from harness.explain.page import sections
from harness.explain.values import Values
from harness.explain.words import listed, sentence, stopped
from harness.spec.seal import ABSENT, Seal, called

NOT_STATED = "not stated in the registration"


@dataclass(frozen=True)
class Sealed:
    """The seal of a registration and what does not hold about it (``harness.plan.verify``)."""

    seal: Seal
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class Form:
    """The answered form. ``answers`` has, by question id, text, one option or several; a missing one is not stated."""

    bound: Bound
    sealed: Sealed | None
    answers: Mapping[str, str | tuple[str, ...]]

    def markdown(self) -> str:
        """Return it for people."""
        return "\n".join(self._lines()) + "\n"

    def plain(self) -> dict[str, Any]:
        """Return it as JSON: ``registration_responses`` are those of a draft registration in OSF's API, v2.

        A choice that is not stated is left out there; ``not_stated`` lists all ids without an answer.
        """
        responses: dict[str, Any] = {}
        for question in form.QUESTIONS:
            answer = self.answers.get(question.id)
            if answer is not None:
                responses[question.key] = list(answer) if isinstance(answer, tuple) else answer
            elif question.kind in ("text", "upload"):
                responses[question.key] = NOT_STATED
            if question.kind == "upload":
                responses[f"{question.id}.uploader"] = []
        return {
            "schema": {"name": form.NAME, "version": form.VERSION},
            "title": self.bound.title,
            "description": self.bound.question,
            "registration_responses": responses,
            "not_stated": [each.id for each in form.QUESTIONS if each.id not in self.answers],
            "prereg": {"id": self.bound.id, "meaning_sha256": self.bound.meaning, "seal": self._seal(),
                       "tool": f"pytest-prereg {harness.__version__}"},
        }  # fmt: skip

    def _seal(self) -> dict[str, Any] | None:
        if self.sealed is None:
            return None
        seal = self.sealed.seal
        return {
            "head": seal.last.hash, "sealed": seal.first.when, "entries": len(seal.entries),
            "holds": not self.sealed.faults, "faults": list(self.sealed.faults),
        }  # fmt: skip

    def _lines(self) -> Iterator[str]:
        yield from _paragraphs(f"# {self.bound.title}\n{self.bound.question}")
        yield ""
        yield (
            f"Answers to the form “{form.NAME}”, version {form.VERSION}, written from the preregistration "
            f"`{self.bound.id}` (meaning `{self.bound.meaning}`). Nothing was added: what it does not say is "
            f"*{NOT_STATED}*."
        )
        page = ""
        for question in form.QUESTIONS:
            if question.page != page:
                page = question.page
                yield from ("", f"## {page}")
            yield from ("", f"### {question.title} ({question.id})", "")
            answer = self.answers.get(question.id)
            if answer is None:
                yield f"*{NOT_STATED}*"
            elif isinstance(answer, tuple):
                yield from _paragraphs("\n".join(f"- {each}" for each in answer))
            else:
                yield from _paragraphs(answer)


def _paragraphs(text: str) -> Iterator[str]:
    """Yield Markdown: a blank line between paragraphs, and around lists."""
    before = ""
    for line in text.split("\n"):
        if before and not (line.startswith("- ") and before.startswith("- ")):
            yield ""
        yield line.replace("&", "&amp;").replace("<", "&lt;")
        before = line


def osf_form(bound: Bound, sealed: Sealed | None) -> Form:
    """Answer the form.

    Args:
        bound: the registration, not its rehearsal.
        sealed: its seal, None when it has none.
    """
    said = sections(bound)
    answers: dict[str, str | tuple[str, ...]] = {
        "q2": _text(_hypotheses(bound)),
        "q6": _text(sentence(line) if line[-1] != ":" else line for line in trained(bound)),
        "q7": _text(seeds(bound)),
        "q9": _text(_seen(bound, sealed)),
        "q10": _text((*measured(bound), *sets(bound))),
        "q11": _text(sizes(bound)),
        "q12": _text(_budget(bound)),
        "q14": _text(treated(bound)),
        "q15": _text(measured(bound)),
        "q16": _text(_indices(bound)),
        "q17": _text(_bare(said.get("To what the numbers generalise", ()))),
        "q19": _text(_criteria(said)),
        "q20": _text(_exclusions(bound)),
        "q21": _text(_missing(bound)),
        "q22": _text(_reported(said)),
        "q23": _text(_other(bound, said, sealed)),
    }  # fmt: skip
    existing = _existing(bound, sealed)
    if existing:
        answers["q8"] = existing
    return Form(bound, sealed, {key: answer for key, answer in answers.items() if answer})


def _text(found: Iterable[str]) -> str:
    return "\n".join(found)


def _bare(found: Sequence[str]) -> list[str]:
    return [line.strip() for line in found]


def _hypotheses(bound: Bound) -> Iterator[str]:
    for owner in bound.hypotheses:
        second = "" if owner.role == "primary" else ", secondary (the verdict does not depend on it)"
        yield sentence(f"{owner.name}{second}: {owner.claim}")
        if owner.expect:
            expected = listed(f"{name} {value}" for name, value in owner.expect.items())
            yield f"Expected under {owner.name}: {expected}."


def _existing(bound: Bound, sealed: Sealed | None) -> str:
    """Choose what is known about data at registration; nothing where neither the seal nor the file says it."""
    if bound.retrospective and (sealed is None or not _collected_later(bound, sealed.seal)):
        return form.ANALYSED
    if sealed is None or sealed.faults:
        return ""
    seal = sealed.seal
    if seal.first.measured or seal.first.reported:
        return form.ANALYSED
    tables = [file for file in seal.first.files if file.key.startswith("measures.")]
    return form.BEFORE_DATA if all(file.sha256 == ABSENT for file in tables) else ""


def _collected_later(bound: Bound, seal: Seal) -> bool:
    return {each.name for each in bound.measures if each.family == "recorded"} <= set(seal.collected_later())


def _seen(bound: Bound, sealed: Sealed | None) -> Iterator[str]:
    """Say what had been seen: retrospective or sealed when, what was measured by then, and what changed since."""
    if bound.retrospective:
        yield "Every number that decides comes from recorded data."
    if sealed is None:
        yield "It is not sealed: nothing shows what had been seen when it was written."
        return
    seal = sealed.seal
    first = seal.first
    yield f"It was sealed at {first.when} by {first.author or 'somebody without a name'}{_commit(first.commit)}."
    names = [each.name for each in first.measured]
    known = f"These measurements were stored by then: {listed(dict.fromkeys(names))}." if names else ""
    yield known or "No measurement of it was stored by then where it was sealed."
    if first.reported:
        yield "A report of it was there by then."
    tables = [file for file in first.files if file.key.startswith("measures.")]
    there = [file.file for file in tables if file.sha256 != ABSENT]
    later = [file.file for file in tables if file.sha256 == ABSENT]
    if there:
        yield f"These recorded tables were there when it was sealed: {listed(dict.fromkeys(there))}."
    if later:
        yield f"These recorded tables were not there yet: {listed(dict.fromkeys(later))}."
    for number, entry in enumerate(seal.entries[1:], 1):
        before = tuple(dict.fromkeys([*seal.known_before(number), *seal.read_before(number)]))
        seen = f"known by then: {listed(before)}" if before else "nothing was measured by then"
        yield f"{sentence(called(number, entry))[:-1]}, because {stopped(entry.because)} {sentence(seen)}"
        yield from (f"- {change}" for change in entry.changes)
    for fault in sealed.faults:
        yield f"The seal does not hold: {stopped(fault)}"


def _commit(commit: str) -> str:
    return f", at commit {commit[:12]}" if commit else ""


def _budget(bound: Bound) -> Iterator[str]:
    if bound.budget_gpu_hours is not None:
        yield f"The budget is {bound.budget_gpu_hours:g} GPU-hours at most."


def _indices(bound: Bound) -> Iterator[str]:
    values = Values(bound)
    for expression in bound.expressions:
        if expression.named:
            yield f"- {expression.name} = {expression.text}: {stopped(values.meaning(expression))}"
            values.told.add(expression.name)


def _criteria(said: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for title in ("Before anything counts", "Supported", "Killed", "Not supported", "Inconclusive"):
        if title in said:
            yield f"{title}:"
            yield from _bare(said[title])


def _exclusions(bound: Bound) -> Iterator[str]:
    for measure in bound.measures:
        for what, policy in (("is cut off", measure.truncated), ("has no score", measure.unscorable)):
            if policy:
                yield f"- {measure.name}: an answer that {what} is handled as '{policy['as']}'."


def _missing(bound: Bound) -> Iterator[str]:
    unknown = list(limits(bound))
    if unknown:
        yield f"A number is unknown, and what it decides inconclusive, when {listed(unknown, 'or')}."


def _reported(said: Mapping[str, Sequence[str]]) -> Iterator[str]:
    if "Reported besides" in said:
        yield "Reported besides, and decides nothing:"
        yield from _bare(said["Reported besides"])


def _other(bound: Bound, said: Mapping[str, Sequence[str]], sealed: Sealed | None) -> Iterator[str]:
    if bound.parents:
        yield f"It follows {listed(bound.parents)}."
    for title in ("What follows", "Confidence", "Accepted findings of the checker", "Departures from earlier work"):
        if title in said:
            yield f"{title}:"
            yield from _bare(said[title])
    yield f"The registration is a file that a program runs; the SHA-256 of its meaning is {bound.meaning}."
    if sealed is not None:
        yield f"The hash of its seal's last entry is {sealed.seal.last.hash}."
