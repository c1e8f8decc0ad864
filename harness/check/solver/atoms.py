"""The solver's variables: means of a measure's column over groups of levels that no formula tells apart.

Formulas derive from them exactly: two contrasts share an arm, a mean and a maximum share layers, and a rate is k of n.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from math import prod
from typing import Any

import z3

from harness.check.solver.logic import rational
from harness.check.walk import column_of
from harness.contracts.bound import BoundMeasure
from harness.contracts.records import Column
from harness.contracts.trees import Call, Ref, Value
from harness.contracts.walks import nodes

STEPS = 100_000
"""Counts above which a rate's steps are too fine to matter: the solver takes it as any number."""


@dataclass(frozen=True)
class Atom:
    """One variable: a column at a group of levels per dim (in the order of the measure's dims)."""

    measure: str
    column: str
    groups: tuple[tuple[str, tuple[str, ...]], ...]


class Atoms:
    """Makes variables as formulas ask for them, with the range of their column.

    Args:
        measures: of the registration, by name.
        trees: every formula that will be asked for; they say which levels must be told apart.
    """

    def __init__(self, measures: dict[str, BoundMeasure], trees: Iterable[Value]) -> None:
        self.measures = measures
        self.facts: list[Any] = []
        """Constraints that always hold."""
        self.ranges: dict[tuple[str, str, str], list[Any]] = {}
        """Constraints by measure, column and end (``low`` or ``high``) of the column's range."""
        self.made: dict[Atom, Any] = {}
        self._cuts: dict[tuple[str, str], dict[frozenset[str], None]] = {}
        for tree in trees:
            self._cut(tree)
        self._classes: dict[tuple[str, str], tuple[list[tuple[str, ...]], dict[str, int]]] = {}

    def mean(self, ref: Ref) -> Any:
        """Return the value of a reference without kept dims: the mean over its levels, equally weighted."""
        measure = self.measures[ref.measure]
        column = column_of(measure, ref.column)
        dims = [dim for dim in measure.dims if ref.select.get(dim)]
        parts = [self._parts(measure, column, dim, ref.select[dim]) for dim in dims]
        total = prod(len(ref.select[dim]) for dim in dims)
        terms = []
        for groups in product(*parts):
            weight = Fraction(prod(len(group) for group in groups), total)
            variable = self._variable(measure, column, tuple(zip(dims, groups, strict=True)))
            terms.append(variable if weight == 1 else rational(weight) * variable)
        return terms[0] if len(terms) == 1 else z3.Sum(terms)

    def _parts(
        self, measure: BoundMeasure, column: Column, dim: str, chosen: tuple[str, ...]
    ) -> tuple[tuple[str, ...], ...]:
        if column.form == "gram" and dim == column.pair:
            return (chosen,)  # A cosine over other questions is another number: it follows from no mean.
        groups, which = self._grouped(measure, dim)
        return tuple(groups[index] for index in dict.fromkeys(which[level] for level in chosen))

    def _grouped(self, measure: BoundMeasure, dim: str) -> tuple[list[tuple[str, ...]], dict[str, int]]:
        """Levels that no formula tells apart, and the place of each level's group among them."""
        if (measure.name, dim) not in self._classes:
            cuts = self._cuts.get((measure.name, dim), {})
            by_sign: dict[tuple[bool, ...], list[str]] = {}
            known = dict.fromkeys(
                [
                    *measure.levels.get(dim, ()),
                    *(level for cut in cuts for level in sorted(cut - {*measure.levels.get(dim, ())})),
                ]
            )
            for level in known:
                by_sign.setdefault(tuple(level in cut for cut in cuts), []).append(level)
            groups = [tuple(group) for group in by_sign.values()]
            which = {level: index for index, group in enumerate(groups) for level in group}
            self._classes[measure.name, dim] = (groups, which)
        return self._classes[measure.name, dim]

    def _cut(self, tree: Value) -> None:
        singled = {node.over[0] for node in nodes(tree) if isinstance(node, Call) and node.fn == "leave_one_out"}
        for ref in (node for node in nodes(tree) if isinstance(node, Ref)):
            for dim, levels in ref.select.items():
                cuts = self._cuts.setdefault((ref.measure, dim), {})
                cuts[frozenset(levels)] = None
                if dim in ref.keep or dim in singled:
                    cuts.update((frozenset([level]), None) for level in levels)

    def _variable(self, measure: BoundMeasure, column: Column, groups: tuple[tuple[str, tuple[str, ...]], ...]) -> Any:
        atom = Atom(measure.name, column.name, groups)
        if atom not in self.made:
            name = f"{measure.name}.{column.name}#{len(self.made)}"
            variable = z3.Real(name)
            trials = _trials(measure, column, groups)
            if trials:
                hits = z3.Int(f"{name}.k")
                self.facts.append(variable * trials == z3.ToReal(hits))
            if column.low is not None:
                self._range(measure, column, "low", variable >= rational(Fraction(column.low)))
            if column.high is not None:
                self._range(measure, column, "high", variable <= rational(Fraction(column.high)))
            self.made[atom] = variable
        return self.made[atom]

    def _range(self, measure: BoundMeasure, column: Column, end: str, fact: Any) -> None:
        self.ranges.setdefault((measure.name, column.name, end), []).append(fact)


def _trials(measure: BoundMeasure, column: Column, groups: tuple[tuple[str, tuple[str, ...]], ...]) -> int:
    """Observations behind a rate at these groups; 0 where they are not planned or too many to matter."""
    completions = measure.params.get("completions")
    if column.form != "ratio" or measure.family != "eval" or not isinstance(completions, int):
        return 0
    if measure.truncated.get("as") == "drop" or measure.unscorable.get("as") == "drop":
        return 0
    trials = completions * prod(len(group) for _, group in groups)
    return trials if trials <= STEPS else 0
