"""Questions to the solver: is there an experiment in which all of this holds? A witness in numbers, or a proof."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import z3

from harness.check.solver.logic import rational
from harness.check.solver.rule import Rule
from harness.check.solver.shapes import at, axes, places
from harness.check.solver.words import Part
from harness.check.walk import column_of, criteria
from harness.contracts.trees import Value
from harness.contracts.walks import nodes, trees_of

TIMEOUT_MS = 1500
EDGES = (Fraction(2), Fraction(1), Fraction(1, 2), Fraction(1, 10))
"""How far a witness keeps from every threshold, as shares of it: the widest that is possible."""
SMALL = Fraction(1, 20)
"""The scale of a distance from 0."""
TIGHT = rational(Fraction(1, 100))
"""Half the width of intervals in a witness, where it can be had: what a table with little noise gives."""


@dataclass(frozen=True)
class Level:
    """A planted level: a column's value at a group of levels per dim of its measure."""

    measure: str
    column: str
    at: tuple[tuple[str, tuple[str, ...]], ...]
    value: float


@dataclass(frozen=True)
class Answer:
    """``sat``: possible, with a witness; ``unsat``: impossible, with the parts that clash; ``unknown``: no answer.

    ``likely`` says that it is possible without leaving what methods do in practice (a percentile interval that
    holds its estimate).
    """

    found: Literal["sat", "unsat", "unknown"]
    clash: tuple[Part, ...] = ()
    because: tuple[str, ...] = ()
    likely: bool = True
    levels: tuple[Level, ...] = ()
    numbers: tuple[tuple[str, float], ...] = ()


class Questions:
    """Asks one rule; what a question encodes anew is loaded before it is asked."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.solver = z3.Solver()
        self.solver.set("timeout", TIMEOUT_MS)
        self._likely = z3.Bool("likely")
        self._loaded = [0, 0, 0]
        self._ranges: dict[tuple[str, str, str], tuple[Any, int]] = {}
        self._bools: dict[str, Any] = {}
        self._shown: list[tuple[str, Any]] | None = None

    def ask(self, parts: Sequence[Part], *, witness: bool = False) -> Answer:
        """Ask whether all parts can hold at once; a ``witness`` keeps its distance from thresholds where it can."""
        if witness and self._shown is None:
            self._shown = [(name, self.rule.numbers.value(tree)) for name, tree in _named(self.rule)]
        self._load()
        self.solver.push()
        try:
            own = {self._bool(f"part#{index}"): part for index, part in enumerate(parts)}
            self.solver.add([z3.Implies(flag, part.fact) for flag, part in own.items()])
            ranges = {flag: name for name, (flag, _) in self._ranges.items()}
            every = [*own, *ranges]
            found = self.solver.check(self._likely, *every)
            likely = found == z3.sat
            if found != z3.sat:
                found = self.solver.check(*every)
            if found == z3.sat:
                return self._witness(likely, every, parts) if witness else Answer("sat", likely=likely)
            if found != z3.unsat:
                return Answer("unknown")
            core = {flag.get_id() for flag in self._smallest(list(self.solver.unsat_core()))}
            because = tuple(self._range_said(name) for flag, name in ranges.items() if flag.get_id() in core)
            return Answer("unsat", tuple(part for flag, part in own.items() if flag.get_id() in core), because)
        finally:
            self.solver.pop()

    def _bool(self, name: str) -> Any:
        if name not in self._bools:
            self._bools[name] = z3.Bool(name)
        return self._bools[name]

    def _smallest(self, core: list[Any]) -> list[Any]:
        """Drop whatever the proof does not need: the solver's cores are not minimal."""
        for flag in list(core):
            rest = [each for each in core if each.get_id() != flag.get_id()]
            if self.solver.check(*rest) == z3.unsat:
                core = rest
        return core

    def _load(self) -> None:
        numbers = self.rule.numbers
        lists = (numbers.atoms.facts, numbers.links, numbers.likely)
        for index, facts in enumerate(lists):
            fresh = facts[self._loaded[index] :]
            self._loaded[index] = len(facts)
            self.solver.add([z3.Implies(self._likely, fact) for fact in fresh] if index == 2 else fresh)
        for name, facts in numbers.atoms.ranges.items():
            flag, done = self._ranges.get(name) or (z3.Bool("range " + " ".join(name)), 0)
            if done < len(facts):
                self.solver.add([z3.Implies(flag, fact) for fact in facts[done:]])
                self._ranges[name] = (flag, len(facts))

    def _range_said(self, name: tuple[str, str, str]) -> str:
        measure, column, end = name
        found = column_of(self.rule.numbers.atoms.measures[measure], column)
        limit = found.low if end == "low" else found.high
        shown = f"{100 * (limit or 0):g}%" if found.unit == "proportion" else f"{limit or 0:g}"
        return f"{measure}.{column} is at {'least' if end == 'low' else 'most'} {shown}"

    def _witness(self, likely: bool, every: list[Any], parts: Sequence[Part]) -> Answer:
        held = [*every, *([self._likely] if likely else [])]
        model = self.solver.model()
        precise = self._bool("precise")
        for spread in self.rule.numbers.spreads():
            for low, high in spread.ends.values():
                near = z3.And(low >= spread.value - TIGHT, high <= spread.value + TIGHT)
                self.solver.add(z3.Implies(precise, near))
        self.solver.add(*(z3.Implies(precise, known) for known in self.rule.numbers.doubts()))
        for edge in EDGES:
            flag = self._bool(f"away#{edge}")
            for distance, scale in (*self.rule.truths.margins, *((each, SMALL) for each in self.rule.numbers.edges)):
                gap = rational(edge * scale)
                self.solver.add(z3.Implies(flag, z3.Or(distance >= gap, distance <= -gap)))
        for also in ([flag, *more] for more in ([precise], []) for flag in (self._bool(f"away#{e}") for e in EDGES)):
            if self.solver.check(*also, *held) == z3.sat:
                model = self.solver.model()
                break
        atoms = self.rule.numbers.atoms
        levels = []
        for atom, variable in atoms.made.items():
            levels.append(Level(atom.measure, atom.column, atom.groups, _number(model, variable)))
        texts = " ".join(part.text for part in parts)
        named = [
            (name, rf"(?<![\w.]){re.escape(name.partition('[')[0])}(?!\w)", value) for name, value in self._shown or ()
        ]
        shown = [(name, value) for name, pattern, value in named if re.search(pattern, texts)]
        numbers = tuple((name, _number(model, value)) for name, value in shown)
        return Answer("sat", likely=likely, levels=tuple(levels), numbers=numbers)


def _named(rule: Rule) -> list[tuple[str, Value]]:
    """The named estimands that criteria read, at every place."""
    read = [node for criterion in criteria(rule.bound) for value in trees_of(criterion) for node in nodes(value)]
    found = []
    for expression in rule.bound.expressions:
        if expression.named and any(node == expression.tree for node in read):
            for spot in places(axes(expression.tree)):
                where = f"[{', '.join(spot.values())}]" if spot else ""
                found.append((f"{expression.name}{where}", at(expression.tree, spot)))
    return found


def _number(model: Any, value: Any) -> float:
    found = model.eval(value, model_completion=True)
    if z3.is_rational_value(found):
        return float(found.numerator_as_long()) / float(found.denominator_as_long())
    return float(Fraction(str(found.approx(12)).rstrip("?"))) if z3.is_algebraic_value(found) else 0.0
