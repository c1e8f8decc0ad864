"""Values, intervals and p-values of formulas as the solver sees them.

Linear formulas, minima, maxima and absolute values are exact. Correlations, entropies and products are free within
their range. An interval and a p-value are tied to the estimate only where their method proves it (t: interval =
estimate -/+ h, and p < a is the same as an interval beyond the threshold). What holds for the others in practice,
and not always (a percentile interval holds its estimate), is asserted under ``plausible`` alone.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import z3

from harness.check.methods import Method, method_of, smallest_p
from harness.check.solver.atoms import Atoms
from harness.check.solver.logic import rational
from harness.check.solver.shapes import at, axes, is_constant, key, places
from harness.contracts.trees import Call, Neg, Num, Op, PValue, Ref, Value

BOUNDED = {"pearson": (-1, 1), "spearman": (-1, 1), "tau": (-1, 1), "entropy": (0, None)}
PROVEN = ("t", "two_way_t")
CENTRED = ("correlation_t",)
"""Fisher's interval holds its estimate too, and widens with its level; its p comes from another approximation."""


@dataclass
class Spread:
    """Intervals of one formula: by level, their ends; ``known`` says whether there is one at all."""

    method: Method
    value: Any
    known: Any
    ends: dict[Fraction, tuple[Any, Any]]


class Numbers:
    """Encodes formulas without kept dims; everything is made once.

    ``links`` are facts that hold by arithmetic, ``likely`` those that hold in practice and are not proven.
    """

    def __init__(self, atoms: Atoms) -> None:
        self.atoms = atoms
        self.links: list[Any] = []
        self.likely: list[Any] = []
        self.edges: list[Any] = []
        """How far interval ends are from the nulls of the p-values that they stand for."""
        self.free = 0
        self._values: dict[Hashable, Any] = {}
        self._known: dict[Hashable, Any] = {}
        self._spreads: dict[Hashable, Spread] = {}
        self._quotients: dict[Hashable, tuple[Any, Any, Any]] = {}

    def value(self, tree: Value) -> Any:
        """Return a formula's value."""
        name = key(tree)
        if name not in self._values:
            self._values[name] = self._value(tree)
        return self._values[name]

    def known(self, tree: Value) -> Any:
        """Return whether a formula has a value."""
        match tree:
            case Num() | Ref():
                return z3.BoolVal(True)
            case Neg():
                return self.known(tree.of)
            case PValue():
                return z3.And(self.known(tree.of), self._doubt(tree))
            case Op():
                both = [self.known(tree.left), self.known(tree.right)]
                if tree.op == "/" and not is_constant(tree.right):
                    both.append(self.value(tree.right) != 0)
                return z3.And(both)
            case Call():
                inner = [self.known(each) for each in self.arguments(tree)]
                return z3.And([*inner, self._doubt(tree)] if tree.fn in BOUNDED else inner)

    def spread(self, tree: Value) -> Spread:
        """Return the intervals of a formula."""
        name = key(tree)
        if name not in self._spreads:
            method = method_of(tree, self.atoms.measures)
            known = z3.And(self.known(tree), self._doubt(tree)) if method.name else z3.BoolVal(False)
            self._spreads[name] = Spread(method, self.value(tree), known, {})
        return self._spreads[name]

    def spreads(self) -> list[Spread]:
        """Return every formula whose interval was asked for."""
        return list(self._spreads.values())

    def doubts(self) -> list[Any]:
        """Return everything that may be unknown although its formula has data: one truth value each."""
        return list(self._known.values())

    def interval(self, tree: Value, level: Fraction) -> tuple[Any, Any]:
        """Return the ends of the interval at a level."""
        spread = self.spread(tree)
        if level not in spread.ends:
            spread.ends[level] = self._ends(spread, level)
        return spread.ends[level]

    def beyond(self, p: PValue, rel: str, alpha: Fraction) -> None:
        """Tie ``p < alpha`` to the interval that says the same, where there is one."""
        if p.null is not None or not 0 < alpha < Fraction(1, 2):
            return
        tree, threshold, two_sided = _tested(p)
        spread = self.spread(tree)
        low, high = self.interval(tree, 1 - alpha if two_sided else 1 - 2 * alpha)
        strict = rel in ("<", ">=")
        above, below = (low > threshold, high < threshold) if strict else (low >= threshold, high <= threshold)
        says = z3.Or(above, below) if two_sided else above if p.rel in (">", ">=") else below
        self.edges.append(low - threshold if two_sided or p.rel in (">", ">=") else high - threshold)
        small = self.value(p) < rational(alpha) if strict else self.value(p) <= rational(alpha)
        self._proven(spread.method, small == says)

    def against(self, tree: Value, number: Fraction) -> None:
        """Tie a quotient to a constant that it is compared with: a/b > c is a > c*b where b > 0."""
        self.value(tree)
        known = self._quotients.get(key(tree))
        if known is not None:
            quotient, top, bottom = known
            for of, sign in ((quotient > rational(number), top > rational(number) * bottom),
                             (quotient < rational(number), top < rational(number) * bottom)):  # fmt: skip
                self.links.append(z3.Implies(bottom > 0, of == sign))

    def arguments(self, call: Call) -> list[Value]:
        """Return a call's arguments at every place of the dims that it reduces."""
        return [at(arg, spot) for arg in call.args for spot in places(axes(arg))]

    # --- values ---

    def _value(self, tree: Value) -> Any:
        match tree:
            case Num():
                return rational(Fraction(tree.value))
            case Ref():
                return self.atoms.mean(tree)
            case Neg():
                return -self.value(tree.of)
            case Op():
                return self._arithmetic(tree)
            case PValue():
                return self._p(tree)
            case Call():
                return self._call(tree)

    def _arithmetic(self, tree: Op) -> Any:
        left, right = self.value(tree.left), self.value(tree.right)
        if tree.op == "+":
            return left + right
        if tree.op == "-":
            return left - right
        if is_constant(tree.right) or (tree.op == "*" and is_constant(tree.left)):
            return left * right if tree.op == "*" else left / right
        free = self._fresh()
        if tree.op == "/":
            self._quotients[key(tree)] = (free, left, right)
        return free

    def _call(self, tree: Call) -> Any:
        parts = [self.value(each) for each in self.arguments(tree)]
        if tree.fn == "abs":
            return z3.If(parts[0] >= 0, parts[0], -parts[0])
        if tree.fn == "mean":
            return z3.Sum(parts) / len(parts)
        weights = _weights(tree)
        if weights is not None:
            first, per = weights
            return first + z3.Sum([rational(w) * part for w, part in zip(per, parts, strict=True)])
        free = self._fresh()
        low, high = BOUNDED.get(tree.fn, (None, None))
        self.links += [free >= low] if low is not None else []
        self.links += [free <= high] if high is not None else []
        if tree.fn in ("min", "max", "median"):
            if tree.fn != "max":
                self.links.append(z3.Or([free >= part for part in parts]))
            if tree.fn != "min":
                self.links.append(z3.Or([free <= part for part in parts]))
            self.links += [free <= part for part in parts] if tree.fn == "min" else []
            self.links += [free >= part for part in parts] if tree.fn == "max" else []
        return free

    # --- uncertainty ---

    def _ends(self, spread: Spread, level: Fraction) -> tuple[Any, Any]:
        if spread.method.name in PROVEN:
            half = self._fresh()
            low, high = spread.value - half, spread.value + half
            self.links.append(half > 0)
        else:
            low, high = self._fresh(), self._fresh()
            self.links.append(low <= high)
            self._proven(spread.method, z3.And(low <= spread.value, spread.value <= high), CENTRED)
        for other, (inner, outer) in spread.ends.items():
            wider = z3.And(low < inner, high > outer) if level > other else z3.And(low > inner, high < outer)
            self._proven(spread.method, wider, CENTRED)
        return low, high

    def _p(self, p: PValue) -> Any:
        free = self._fresh()
        self.links += [free >= rational(smallest_p(p, self.atoms.measures)), free <= 1]
        tree, threshold, two_sided = _tested(p)
        if isinstance(p.threshold, Num):
            self.against(tree, Fraction(p.threshold.value))
        above = self.value(tree) > threshold if p.rel in (">", ">=") else self.value(tree) < threshold
        if p.null is not None:
            self.likely.append(z3.Implies(free < rational(Fraction(1, 2)), above))
        elif not two_sided:
            self._proven(method_of(tree, self.atoms.measures), (free < rational(Fraction(1, 2))) == above, CENTRED)
        return free

    def _proven(self, method: Method, fact: Any, also: tuple[str, ...] = ()) -> None:
        (self.links if method.name in (*PROVEN, *also) else self.likely).append(fact)

    def _doubt(self, tree: Value) -> Any:
        name = key(tree)
        if name not in self._known:
            self._known[name] = z3.Bool(f"known#{len(self._known)}")
        return self._known[name]

    def _fresh(self) -> Any:
        self.free += 1
        return z3.Real(f"free#{self.free}")


def _tested(p: PValue) -> tuple[Value, Any, bool]:
    """Return what a p-value tests, against which number, and whether on both sides."""
    two_sided = isinstance(p.of, Call) and p.of.fn == "abs"
    of = p.of.args[0] if isinstance(p.of, Call) and two_sided else p.of
    if isinstance(p.threshold, Num):
        return of, rational(Fraction(p.threshold.value)), two_sided
    return Op(op="-", left=of, right=p.threshold), rational(Fraction(0)), two_sided


def _weights(call: Call) -> tuple[Any, list[Fraction]] | None:
    """Return constant and weights of a slope or an area over numbered levels; None where it is not linear."""
    if call.fn not in ("slope", "aoc") or len(call.args) != 1 or len(call.over) != 1:
        return None
    try:
        x = [Fraction(level) for level in axes(call.args[0])[call.over[0]]]
    except (KeyError, ValueError):
        return None
    if call.fn == "slope":
        middle = sum(x, Fraction(0)) / len(x)
        square = sum(((each - middle) ** 2 for each in x), Fraction(0))
        return rational(Fraction(0)), [(each - middle) / square for each in x]
    order = sorted(range(len(x)), key=x.__getitem__)
    weights = [Fraction(0)] * len(x)
    for before, after in pairwise(order):
        for end in (before, after):
            weights[end] -= (x[after] - x[before]) / 2 / (max(x) - min(x))
    return rational(Fraction(1)), weights
