"""Criteria in English: ``leakage_shift (…) is at least 15 pp, and its one-sided p-value … is below 0.001``."""

from __future__ import annotations

from itertools import pairwise

from harness.contracts.trees import (
    All,
    Any_,
    AtLeast,
    Ci,
    Compare,
    Criterion,
    Hyp,
    Not,
    Num,
    Over,
    PValue,
    State,
    Value,
)
from harness.core.numbers import format_level, format_rel
from harness.explain.values import Values, axes_of, subject
from harness.explain.words import listed, number, singular


class Criteria:
    """Says the criteria of one registration, in the order of the page."""

    def __init__(self, values: Values) -> None:
        self.values = values

    def say(self, criterion: Criterion) -> str:
        """Return a criterion as a clause of a sentence."""
        return self._said(criterion, None)[0]

    def _said(self, criterion: Criterion, before: Value | None, negated: bool = False) -> tuple[str, Value | None]:
        """Return the clause, and what it was about, so that the next can say ``its``."""
        match criterion:
            case Compare():
                return self._compare(criterion, before, negated)
            case Ci():
                return self._interval(criterion, before, negated)
            case Not():
                return self._said(criterion.of, before, not negated)
            case All() | Any_():
                return self._joined(criterion, before, negated)
            case Over():
                return self._over(criterion, before, negated)
            case AtLeast():
                parts = listed([self.say(part) for part in criterion.of], "or")
                few = f"{'fewer than' if negated else 'at least'} {criterion.count}"
                return f"{few} of these {'holds' if criterion.count == 1 else 'hold'}: {parts}", None
            case Hyp():
                return _hypothesis(criterion, negated), None
            case State():
                return f"the verdict is {'not ' if negated else ''}{criterion.state}", None

    def _joined(self, criterion: All | Any_, before: Value | None, negated: bool) -> tuple[str, Value | None]:
        parts: list[str] = []
        both = isinstance(criterion, All) is not negated
        about = before
        for part in criterion.of:
            said, about = self._said(part, about, negated)
            nested = isinstance(part, All | Any_) and type(part) is not type(criterion)
            parts.append(f"({said})" if nested else said)
        word = "and" if both else "or"
        short = all(isinstance(part, Hyp | State | Not) for part in criterion.of)
        return (f" {word} " if short else f", {word} ").join(_elided(parts)), about

    def _over(self, criterion: Over, before: Value | None, negated: bool) -> tuple[str, Value | None]:
        axes = listed(map(singular, _free(criterion.of)))
        said, about = self._said(criterion.of, before, negated)
        every = (criterion.how == "all") is not negated
        said = f"({said})" if isinstance(criterion.of, All | Any_) else said
        return f"{said} for {'every' if every else 'at least one'} {axes}", about

    def _compare(self, leaf: Compare, before: Value | None, negated: bool) -> tuple[str, Value | None]:
        if isinstance(leaf.left, Num) and isinstance(leaf.right, Num):
            return f"'{leaf.text}' does {'not ' if negated else ''}hold", None
        about, said = subject(leaf.left), ""
        if before is not None and about == before and isinstance(leaf.left, PValue):
            its = self.values.p_value(leaf.left, "", its=True)
            said = self.values.called(leaf.left, its, leaf.text)
        elif isinstance(leaf.left, PValue):
            said = self.values.say(leaf.left, leaf.text)
        else:
            said = "it" if about == before else self.values.say(leaf.left, leaf.text)
        return f"{said} is {'not ' if negated else ''}{self._bound(leaf.rel, leaf.right, leaf.left, leaf.text)}", about

    def _interval(self, leaf: Ci, before: Value | None, negated: bool) -> tuple[str, Value | None]:
        interval = f"whole {format_level(leaf.level)} interval"
        said = f"its {interval}" if leaf.of == before else f"the {interval} of {self.values.say(leaf.of, leaf.text)}"
        no = "not " if negated else ""
        if leaf.rel is not None and leaf.bound is not None:
            return f"{said} is {no}{self._bound(leaf.rel, leaf.bound, leaf.of, leaf.text)}", leaf.of
        low, high = (self._value(end, leaf.of, leaf.text) for end in (leaf.low, leaf.high))
        return f"{said} {'does not lie' if negated else 'lies'} between {low} and {high}", leaf.of

    def _bound(self, rel: str, bound: Value, beside: Value, text: str) -> str:
        return f"{format_rel(rel, words=True)} {self._value(bound, beside, text)}"

    def _value(self, bound: Value | None, beside: Value, text: str) -> str:
        if bound is None:
            return ""
        return number(bound, beside) if isinstance(bound, Num) else self.values.say(bound, text)


def _hypothesis(named: Hyp, negated: bool) -> str:
    if named.clause:
        return f"{named.name}'s '{named.clause}' {'does not hold' if negated else 'holds'}"
    return f"{named.name} is {'not ' if negated else ''}supported"


def _elided(parts: list[str]) -> list[str]:
    """Leave out the name that two clauses in a row share: ``H1's 'a' holds and 'b' does not``."""
    found = parts[:1]
    for before, part in pairwise(parts):
        owner = part.split("'s '", 1)[0] + "'s '" if "'s '" in part else ""
        if owner and before.startswith(owner):
            part = "its '" + part.removeprefix(owner)
        found.append(part)
    return found


def _free(criterion: Criterion) -> tuple[str, ...]:
    """Return the dims that the comparisons inside keep and nothing inside has reduced."""
    match criterion:
        case Compare():
            return tuple(dict.fromkeys((*axes_of(criterion.left), *axes_of(criterion.right))))
        case Ci():
            return axes_of(criterion.of)
        case Not():
            return _free(criterion.of)
        case All() | Any_():
            return tuple(dict.fromkeys(axis for part in criterion.of for axis in _free(part)))
        case _:
            return ()
