"""The page: what is asked, what is done, what decides, and what follows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness.contracts.bound import Bound, Clause, Hypothesis
from harness.contracts.trees import All, Criterion
from harness.core.numbers import format_count
from harness.explain.caps import known_caps
from harness.explain.criteria import Criteria
from harness.explain.design import generalises, limits, measured, sets, trained, untold
from harness.explain.values import Values
from harness.explain.words import lines, listed, sentence, stopped, unwrapped


def explain(bound: Bound) -> str:
    """Return a registration in plain English, about a page of at most 100 columns.

    Every criterion is said from its bound tree, so that what is read here is what will be judged. An estimand is
    explained where it is first read and goes by its name from then on.
    """
    return "\n".join(_Page(bound).text()) + "\n"


def sections(bound: Bound) -> dict[str, tuple[str, ...]]:
    """Return the sections of that page by title, in order; each paragraph and each item (``- ``) is one line."""
    with unwrapped():
        return {title: tuple(shown) for title, shown in _Page(bound).sections()}


class _Page:
    def __init__(self, bound: Bound) -> None:
        self.bound = bound
        self.values = Values(bound)
        self.criteria = Criteria(self.values)
        self.primary = [owner for owner in bound.hypotheses if owner.role == "primary"]

    def text(self) -> Iterator[str]:
        yield from lines(self.bound.title, 0)
        yield from self._head()
        for title, shown in self.sections():
            yield ""
            yield title
            yield from shown

    def sections(self) -> Iterator[tuple[str, list[str]]]:
        """Yield what has something to say; later sections name what earlier ones have explained."""
        for title, found in (
            ("Asked", lines(self.bound.question)),
            ("Trained", _items(trained(self.bound))),
            ("Measured", _items((*measured(self.bound), *sets(self.bound)), "- ")),
            ("Before anything counts", self._gates()),
            ("Supported", self._supported()),
            ("Killed", self._killed()),
            ("Not supported", self._not_supported()),
            ("Inconclusive", self._inconclusive()),
            ("What follows", self._triage()),
            ("Confidence", self._confidence()),
            ("To what the numbers generalise", _items(generalises(self.bound, self.values), "- ")),
            ("Reported besides", self._reported()),
            ("Cost", self._cost()),
            ("Accepted findings of the checker", self._notes(self.bound.allow, "{source} at {at}: {because}")),
            ("Departures from earlier work", self._notes(self.bound.differs, "from {source}, at {at}: {because}")),
            ("Not exercised by this rehearsal", self._overridden()),
            ("Not implemented yet", _items(self.bound.missing, "- ")),
        ):
            shown = list(found)
            if shown:
                yield title, shown

    def _head(self) -> Iterator[str]:
        after = f", follows {listed(self.bound.parents)}" if self.bound.parents else ""
        yield from lines(f"{self.bound.id}{after}", 0)
        if self.bound.rehearsal:
            yield "REHEARSAL: the same at toy scale. It exercises everything and proves nothing."
        if self.bound.retrospective:
            yield "Retrospective: the numbers existed before this was registered."

    # --- what decides ---

    def _gates(self) -> Iterator[str]:
        for gate in self.bound.gates:
            guarded = f" (guards {listed(gate.targets)})" if gate.targets else ""
            yield from lines(sentence(f"{gate.name}{guarded}: {self._said(gate)}"), 2, "- ")

    def _supported(self) -> Iterator[str]:
        for owner in self.bound.hypotheses:
            yield from self._hypothesis(owner)
        if len(self.primary) > 1:
            every = "both" if len(self.primary) == 2 else "all"
            yield from lines(
                f"The verdict is supported when {listed(owner.name for owner in self.primary)} {every} are."
            )

    def _hypothesis(self, owner: Hypothesis) -> Iterator[str]:
        second = "" if owner.role == "primary" else ", secondary (the verdict does not depend on it)"
        yield from lines(sentence(f"{owner.name}{second}: {owner.claim}"))
        after = f"{self.criteria.say(owner.after)} and " if owner.after is not None else ""
        if len(owner.clauses) == 1:
            clause = owner.clauses[0]
            yield from lines(f"{owner.name} is supported when {after}{stopped(self._said(clause))}", 4)
        else:
            number = "both" if len(owner.clauses) == 2 else "all"
            yield from lines(f"{owner.name} is supported when {after}{number} of these hold:", 4)
            for clause in owner.clauses:
                yield from lines(sentence(f"{clause.name}: {self._said(clause)}"), 4, "- ")
        if owner.correct:
            how, _, what = owner.correct.partition(" over ")
            name = {"holm": "Holm's", "bh": "Benjamini and Hochberg's"}.get(how, how)
            yield from lines(f"The p-values of '{what}' are corrected by {name} method.", 4)
        if owner.expect:
            expected = listed(f"{name} {value}" for name, value in owner.expect.items())
            yield from lines(f"Expected: {expected}.", 4)

    def _killed(self) -> Iterator[str]:
        for kill in self.bound.kills:
            whose = kill.targets or tuple(owner.name for owner in self.primary)
            ends = f"the line of work ends ({listed(whose)} {'is' if len(whose) == 1 else 'are'} killed)"
            yield from lines(sentence(f"{kill.name}: {ends} when {self._said(kill)}"), 2, "- ")
        if not self.bound.kills:
            yield from lines("Nothing ends the line of work: no kill is registered.")

    def _not_supported(self) -> Iterator[str]:
        for owner in self.primary:
            parts = [
                *(["every gate that guards it holds"] if self._guards(owner.name) else []),
                *([self.criteria.say(owner.after)] if owner.after is not None else []),
                *(["no kill does"] if self._kills(owner.name) else []),
            ]
            fails = "its condition does not hold" if _single(owner) else "one or more of its conditions do not hold"
            yield from lines(f"{owner.name}: {listed(parts)}{', but ' if parts else ''}{fails}.", 2, "- ")
        yield from lines("Not supported is not 'no effect': only a kill bounds the effect.")

    def _inconclusive(self) -> Iterator[str]:
        for owner in self.primary:
            gates = self._guards(owner.name)
            reasons = [f"gate {listed(gates, 'or')} does not hold or is unknown"] if gates else []
            if owner.after is not None:
                reasons.append(f"it is not so that {self.criteria.say(owner.after)}")
            reasons.append("a number that could still decide is unknown")
            yield from lines(f"{owner.name}: {', or '.join(reasons)}.", 2, "- ")
        if unknown := list(limits(self.bound)):
            yield from lines(f"A number is unknown when, for one, {listed(unknown, 'or')}.")

    def _guards(self, name: str) -> list[str]:
        return [gate.name for gate in self.bound.gates if not gate.targets or name in gate.targets]

    def _kills(self, name: str) -> list[str]:
        return [kill.name for kill in self.bound.kills if not kill.targets or name in kill.targets]

    # --- what follows ---

    def _triage(self) -> Iterator[str]:
        for row in self.bound.triage:
            when = "Otherwise" if row.criterion is None else f"If {self.criteria.say(row.criterion)}"
            yield from lines(f"{when}: {row.reads} -> {row.next}", 2, "- ")
        if any(row.criterion is not None for row in self.bound.triage):
            unknown = "If what would choose one of these is unknown, as when a hypothesis that it reads is inconclusive"
            yield from lines(f"{unknown}: no registered outcome applies.", 2, "- ")

    def _confidence(self) -> Iterator[str]:
        said = []
        for claim in self.bound.confidence:
            when = "otherwise" if claim.criterion is None else f"if {self.criteria.say(claim.criterion)}"
            said.append(f"{claim.word} {when}" if len(self.bound.confidence) > 1 else claim.word)
        yield from lines(sentence(f"Claimed: {listed(said)}" if said else "None is claimed, which makes it LOW"))
        caps = list(known_caps(self.bound))
        lowest = next((word for word in ("LOW", "MODERATE") if any(cap == word for cap, _ in caps)), "")
        if lowest:
            whys = listed(why for word, why in caps if word == lowest)
            yield from lines(f"Whatever the outcome, {lowest} at most: {whys}.")

    def _reported(self) -> Iterator[str]:
        for expression in untold(self.bound, self.values):
            yield from lines(sentence(f"{expression.name}: {self.values.meaning(expression)}"), 2, "- ")
            self.values.told.add(expression.name)

    def _cost(self) -> Iterator[str]:
        hours = self.bound.budget_gpu_hours
        if hours is not None and not self.bound.rehearsal:
            shown = format_count(int(hours)) if hours == int(hours) else f"{hours:g}"
            yield f"  {shown} GPU hour{'' if hours == 1 else 's'} at most."

    def _notes(self, notes: Iterable[object], form: str) -> Iterator[str]:
        for note in notes:
            yield from lines(sentence(form.format(**vars(note))), 2, "- ")

    def _overridden(self) -> Iterator[str]:
        if self.bound.rehearsal:
            yield from lines(stopped(listed(self.bound.overridden)))

    def _said(self, clause: Clause) -> str:
        return self.criteria.say(clause.criterion)


def _single(owner: Hypothesis) -> bool:
    criterion: Criterion = owner.clauses[0].criterion
    return len(owner.clauses) == 1 and not isinstance(criterion, All)


def _items(found: Iterable[str], mark: str = "") -> Iterator[str]:
    for text in found:
        if text.startswith("- "):
            yield from lines(text[2:], 2, "- ")
        else:
            yield from lines(text if text.endswith(":") else stopped(text) if mark else sentence(text), 2, mark)
