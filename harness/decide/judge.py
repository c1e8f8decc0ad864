"""Judge one criterion on estimates: true, false or unknown, with every comparison it rests on.

Comparisons are exact wherever the estimate is: an exact difference of 15 pp meets ``>= 15 pp``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import TypeVar

from harness.contracts.records import Estimate, Fact, Truth
from harness.contracts.trees import (
    All,
    Any_,
    AtLeast,
    Ci,
    Compare,
    Criterion,
    Hyp,
    Not,
    Over,
    State,
)
from harness.contracts.walks import leaves, values
from harness.core.errors import PreregError, Problem, Where
from harness.decide import compare, kleene
from harness.decide.sides import side_axes
from harness.decide.wording import some

__all__ = ["Judge", "Judged", "Situation", "children", "judge", "leaves", "names", "values"]


@dataclass(frozen=True)
class Judged:
    """A criterion's truth, the comparisons in reading order, and the reason in words."""

    truth: Truth
    facts: tuple[Fact, ...] = ()
    why: str = ""


def _no_hypothesis(name: str, clause: str) -> Judged:
    raise PreregError(f"{name}{'.' + clause if clause else ''} is asked for where no hypothesis has been judged")


def _no_state(state: str) -> Judged:
    raise PreregError(f"'{state}' is asked for where nothing has been decided")


def _open(leaf: Compare | Ci) -> str:
    return ""


@dataclass(frozen=True)
class Situation:
    """What criteria may refer to besides numbers.

    ``barred`` returns why a comparison may not be read (a failed gate guards it) or an empty string;
    ``adjusted`` holds p-values corrected for multiplicity, by expression id.
    """

    hypothesis: Callable[[str, str], Judged] = _no_hypothesis
    state: Callable[[str], Judged] = _no_state
    barred: Callable[[Compare | Ci], str] = _open
    adjusted: Mapping[str, float] = field(default_factory=dict)


def judge(criterion: Criterion, estimates: Mapping[str, Estimate], situation: Situation | None = None) -> Judged:
    """Judge a criterion.

    Args:
        criterion: a bound tree.
        estimates: by expression id (``harness.contracts.trees.expression_id``).
        situation: hypotheses and states that the criterion may name.

    Raises:
        PreregError: an estimate is absent altogether, or a table is compared without ``all`` or ``any``.
    """
    return Judge(estimates, situation or Situation()).at(criterion, {})


def names(criterion: Criterion) -> tuple[Hyp | State, ...]:
    """Return the hypotheses, clauses and states that a criterion refers to."""
    if isinstance(criterion, Hyp | State):
        return (criterion,)
    return tuple(name for child in children(criterion) for name in names(child))


def children(criterion: Criterion) -> tuple[Criterion, ...]:
    """Return the criteria directly inside one."""
    if isinstance(criterion, Not | Over):
        return (criterion.of,)
    return criterion.of if isinstance(criterion, All | Any_ | AtLeast) else ()


class Judge:
    """Judges criteria, place by place; a subclass may say otherwise where a comparison's truth comes from."""

    def __init__(self, estimates: Mapping[str, Estimate], situation: Situation) -> None:
        self.estimates = estimates
        self.situation = situation

    def at(self, criterion: Criterion, place: dict[str, str]) -> Judged:
        """Judge at one place of the kept dims that an enclosing ``all`` or ``any`` runs over."""
        match criterion:
            case Compare() | Ci():
                return self.leaf(criterion, place)
            case Not():
                inner = self.at(criterion.of, place)
                return Judged(kleene.negation(inner.truth), inner.facts, inner.why)
            case All():
                return _together([self.at(child, place) for child in criterion.of], kleene.conjunction)
            case Any_():
                return _together([self.at(child, place) for child in criterion.of], kleene.disjunction)
            case Over():
                return self._over(criterion, place)
            case AtLeast():
                return self._at_least(criterion, place)
            case Hyp():
                return self.situation.hypothesis(criterion.name, criterion.clause)
            case State():
                return self.situation.state(criterion.state)

    def leaf(self, leaf: Compare | Ci, place: dict[str, str]) -> Judged:
        """Judge one comparison at one place."""
        free = [axis for axis in self.axes(leaf) if axis not in place]
        if free:
            raise PreregError(
                Problem(
                    Where(line=leaf.line),
                    f"'{leaf.text}' compares a table by {' and '.join(free)}",
                    "one value",
                    "reduce it with all( ), any( ), min( ), max( ) or mean( )",
                )
            )
        fact = compare.fact(leaf, self.estimates, place, self.situation.barred(leaf), self.situation.adjusted)
        return Judged(fact.truth, (fact,), fact.why)

    def _over(self, over: Over, place: dict[str, str]) -> Judged:
        cells = [self.at(over.of, spot) for spot in self._places(over.of, place)]
        if not cells:
            return Judged("unknown", (), "there are no cells to judge")
        return _together(cells, kleene.conjunction if over.how == "all" else kleene.disjunction)

    def _at_least(self, criterion: AtLeast, place: dict[str, str]) -> Judged:
        parts = [self.at(child, spot) for child in criterion.of for spot in self._places(child, place)]
        truth = kleene.at_least(criterion.count, [part.truth for part in parts])
        holds = sum(part.truth == "true" for part in parts)
        why = f"{holds} of {len(parts)} hold, {criterion.count} needed"
        return Judged(truth, _facts(parts), why)

    def _places(self, criterion: Criterion, place: dict[str, str]) -> list[dict[str, str]]:
        """Return every combination of levels that the comparisons inside keep and nothing has fixed."""
        levels: dict[str, dict[str, None]] = {}
        for leaf in _unreduced(criterion):
            for axis, names_ in self.axes(leaf).items():
                if axis not in place:
                    levels.setdefault(axis, {}).update(dict.fromkeys(names_))
        spots = product(*levels.values())
        return [{**place, **dict(zip(levels, spot, strict=True))} for spot in spots]

    def axes(self, leaf: Compare | Ci) -> dict[str, tuple[str, ...]]:
        """Return the kept dims of a comparison and their levels."""
        axes: dict[str, tuple[str, ...]] = {}
        for value in values(leaf):
            axes.update(side_axes(value, self.estimates))
        return axes


def _unreduced(criterion: Criterion) -> tuple[Compare | Ci, ...]:
    """Comparisons whose kept dims no inner ``all`` or ``any`` has reduced."""
    if isinstance(criterion, Compare | Ci):
        return (criterion,)
    if isinstance(criterion, Over | AtLeast):
        return ()
    return tuple(leaf for child in children(criterion) for leaf in _unreduced(child))


Connective = Callable[[list[Truth]], Truth]
_T = TypeVar("_T")


def _together(parts: list[Judged], connective: Connective) -> Judged:
    truth = connective([part.truth for part in parts])
    return Judged(truth, _facts(parts), some([part.why for part in parts if part.truth == truth]))


def _facts(parts: list[Judged]) -> tuple[Fact, ...]:
    return tuple(fact for part in parts for fact in part.facts)
