"""Criteria in Kleene's logic: a pair of formulas, "is true" and "is false"; neither means unknown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import z3

from harness.check.solver.logic import RELATIONS
from harness.check.solver.numbers import Numbers
from harness.check.solver.shapes import Place, at, axes, places
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
from harness.contracts.walks import values


@dataclass(frozen=True)
class Truth:
    """When something is true and when it is false."""

    true: Any
    false: Any

    def negated(self) -> Truth:
        """Return the negation; that of unknown is unknown."""
        return Truth(self.false, self.true)


ALWAYS = Truth(z3.BoolVal(True), z3.BoolVal(False))


def conjunction(parts: list[Truth]) -> Truth:
    """Return the conjunction: false beats unknown."""
    return Truth(z3.And([part.true for part in parts]), z3.Or([part.false for part in parts]))


def disjunction(parts: list[Truth]) -> Truth:
    """Return the disjunction: true beats unknown."""
    return Truth(z3.Or([part.true for part in parts]), z3.And([part.false for part in parts]))


@dataclass
class Truths:
    """Encodes criteria; what they name besides numbers is asked of ``refer`` (hypotheses and states).

    ``margins`` collects every comparison's distance from its threshold with its scale, so that a witness can be
    asked to keep away from the edges.
    """

    numbers: Numbers
    refer: Callable[[Hyp | State], Truth]
    margins: list[tuple[Any, Fraction]] = field(default_factory=list)

    def of(self, criterion: Criterion, barred: Callable[[Compare | Ci], Any], place: Place | None = None,
           corrected: bool = False) -> Truth:  # fmt: skip
        """Return the truth of a criterion; ``barred`` says when a comparison may not be read.

        With ``corrected``, p-values are adjusted for multiplicity: at least as large as they are alone.
        """
        spot = place or {}
        match criterion:
            case Compare() | Ci():
                found = self._leaf(criterion, spot, corrected)
                closed = barred(criterion)
                return Truth(z3.And(found.true, z3.Not(closed)), z3.And(found.false, z3.Not(closed)))
            case Not():
                return self.of(criterion.of, barred, spot, corrected).negated()
            case All():
                return conjunction([self.of(part, barred, spot, corrected) for part in criterion.of])
            case Any_():
                return disjunction([self.of(part, barred, spot, corrected) for part in criterion.of])
            case Over():
                parts = [self.of(criterion.of, barred, each, corrected) for each in self._spots(criterion.of, spot)]
                return conjunction(parts) if criterion.how == "all" else disjunction(parts)
            case AtLeast():
                parts = [
                    self.of(part, barred, each, corrected)
                    for part in criterion.of
                    for each in self._spots(part, spot)
                ]  # fmt: skip
                room = len(parts) - criterion.count
                return Truth(
                    z3.PbGe([(part.true, 1) for part in parts], criterion.count),
                    z3.PbGe([(part.false, 1) for part in parts], room + 1) if room >= 0 else z3.BoolVal(True),
                )
            case Hyp() | State():
                return self.refer(criterion)

    def _spots(self, criterion: Criterion, place: Place) -> list[dict[str, str]]:
        levels: dict[str, tuple[str, ...]] = {}
        for leaf in _unreduced(criterion):
            for value in values(leaf):
                levels |= {axis: names for axis, names in axes(value).items() if axis not in place}
        return [{**place, **spot} for spot in places(levels)]

    def _leaf(self, leaf: Compare | Ci, place: Place, corrected: bool) -> Truth:
        numbers = self.numbers
        if isinstance(leaf, Ci):
            return self._interval(leaf, place)
        left, right = at(leaf.left, place), at(leaf.right, place)
        self._tie(left, leaf.rel, right)
        self._tie(right, _flipped(leaf.rel), left)
        a, b = numbers.value(left), numbers.value(right)
        holds = RELATIONS[leaf.rel](a, b)
        self._away(a - b, right)
        known = z3.And(numbers.known(left), numbers.known(right))
        if corrected and isinstance(left, PValue):
            holds = z3.And(holds, z3.FreshBool("corrected"))
        return Truth(z3.And(known, holds), z3.And(known, z3.Not(holds)))

    def _interval(self, leaf: Ci, place: Place) -> Truth:
        numbers, of = self.numbers, at(leaf.of, place)
        low, high = numbers.interval(of, Fraction(leaf.level))
        known, facts = [numbers.spread(of).known], []
        for limit, end, rel in ((leaf.bound, low if leaf.rel in (">", ">=") else high, leaf.rel),
                                (leaf.low, low, ">="), (leaf.high, high, "<=")):  # fmt: skip
            if limit is None or rel is None:
                continue
            tree = at(limit, place)
            bound = numbers.value(tree)
            known.append(numbers.known(tree))
            facts.append(RELATIONS[rel](end, bound))
            self._away(end - bound, tree)
            if isinstance(tree, Num):
                numbers.against(of, Fraction(tree.value))
        return Truth(z3.And([*known, *facts]), z3.And([*known, z3.Not(z3.And(facts))]))

    def _tie(self, left: Value, rel: str, right: Value) -> None:
        if isinstance(right, Num):
            number = Fraction(right.value)
            self.numbers.against(left, number)
            if isinstance(left, PValue):
                self.numbers.beyond(left, rel, number)

    def _away(self, distance: Any, threshold: Value) -> None:
        scale = abs(Fraction(threshold.value)) if isinstance(threshold, Num) else Fraction(0)
        self.margins.append((distance, scale or Fraction(1, 10)))


def _flipped(rel: str) -> str:
    return {">": "<", ">=": "<=", "<": ">", "<=": ">="}[rel]


def _unreduced(criterion: Criterion) -> list[Compare | Ci]:
    """Comparisons whose kept dims no inner ``all`` or ``any`` has reduced."""
    match criterion:
        case Compare() | Ci():
            return [criterion]
        case Not():
            return _unreduced(criterion.of)
        case All() | Any_():
            return [leaf for part in criterion.of for leaf in _unreduced(part)]
        case _:
            return []
