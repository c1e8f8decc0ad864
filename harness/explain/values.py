"""Formulas in English: an estimand by its name, with what it is where it is first read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod

from harness.contracts.bound import Bound, BoundMeasure
from harness.contracts.trees import Call, Expression, Neg, Num, Op, PValue, Ref, Value
from harness.decide.subtrees import at_level
from harness.explain.words import AVERAGED, each, listed, number, plural_of, read_at

_OPERATORS = {"+": "plus", "-": "minus", "*": "times", "/": "divided by"}
_EXTREMES = {"min": ("the smallest", "the smaller of"), "max": ("the largest", "the larger of")}
_OF = {
    "mean": "the mean of", "median": "the median of", "entropy": "the entropy of",
    "pearson": "the correlation of", "spearman": "the rank correlation of", "tau": "Kendall's tau of",
    "slope": "the slope of", "aoc": "the area over the curve of", "successive": "the steps between neighbours of",
}  # fmt: skip
_AFTER = ("abs", "leave_one_out")
"""Functions whose words stand behind what they are taken of."""
_COLUMNS = {"truncated": "truncated share"}
_MOST_CELLS = 400
"""Cells of a named table up to which each can be recognised by its name."""


@dataclass(frozen=True)
class _Named:
    expression: Expression
    phrase: str


class Values:
    """Says formulas of one registration; what has been explained once is called by its name from then on."""

    def __init__(self, bound: Bound) -> None:
        self.bound = bound
        self.measures = {measure.name: measure for measure in bound.measures}
        self.dims = {dim.name: dim for dim in bound.dims}
        self.told: set[str] = set()
        self._names: dict[str, list[_Named]] = {}
        for expression in bound.expressions:
            if expression.named:
                for tree, phrase in self._cells(expression):
                    self._names.setdefault(tree.model_dump_json(), []).append(_Named(expression, phrase))

    def say(self, tree: Value, text: str = "") -> str:
        """Return a formula in words; ``text`` is the criterion it stands in, which settles between equal estimands."""
        named = self._named(tree, text)
        if named is None:
            return self._describe(tree, text)
        name = named.expression.name
        if name in self.told:
            return named.phrase
        self.told.add(name)
        return f"{named.phrase} ({self.meaning(named.expression)})"

    def called(self, tree: Value, meaning: str, text: str) -> str:
        """Return a formula's name, explained by ``meaning`` if it is new; just that for one without a name."""
        named = self._named(tree, text)
        if named is None:
            return meaning
        new = named.expression.name not in self.told
        self.told.add(named.expression.name)
        return f"{named.phrase} ({meaning})" if new else named.phrase

    def name_of(self, tree: Value) -> str:
        """Return what a formula is called, or nothing."""
        named = self._named(tree, "")
        return named.phrase if named else ""

    def meaning(self, expression: Expression) -> str:
        """Return what an estimand is; estimands inside it that nobody has explained yet are written out."""
        said = self._describe(expression.tree, expression.text, inside=True)
        return f"{said}, {each(expression.axes)}" if expression.axes and _keeps(expression.tree) else said

    def _cells(self, expression: Expression) -> Iterator[tuple[Value, str]]:
        """Yield an estimand's formula, and those of its cells, with what they are called."""
        yield expression.tree, expression.name
        axes = {axis: self._axis(expression.tree, axis) for axis in expression.axes}
        if not axes or prod(len(levels) + 1 for levels in axes.values()) > _MOST_CELLS:
            return
        for spot in product(*((None, *levels) for levels in axes.values())):
            fixed = {axis: level for axis, level in zip(axes, spot, strict=True) if level is not None}
            if fixed:
                tree = expression.tree
                for axis, level in fixed.items():
                    tree = at_level(tree, axis, level)
                yield tree, f"{expression.name}{''.join(self._at(axis, (level,)) for axis, level in fixed.items())}"

    def _axis(self, tree: Value, axis: str) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for ref in _refs(tree):
            if axis in ref.keep:
                found.update(dict.fromkeys(ref.select.get(axis, ())))
        return tuple(found)

    def _named(self, tree: Value, text: str) -> _Named | None:
        if isinstance(tree, Num):
            return None
        found = self._names.get(tree.model_dump_json(), [])
        written = [one for one in found if re.search(rf"(?<![\w.]){re.escape(one.expression.name)}(?!\w)", text)]
        return next(iter(written or found), None)

    def _part(self, tree: Value, text: str, inside: bool) -> str:
        """A formula inside another: in an explanation, only what has been explained goes by its name."""
        if not inside:
            return self.say(tree, text)
        named = self._named(tree, text)
        if named is not None and named.expression.name in self.told:
            return named.phrase
        return self._describe(tree, text, inside=True)

    def _operand(self, tree: Value, text: str, inside: bool) -> str:
        """One of several parts, in brackets where it is spelled out and so would run into the words around it."""
        said = self._part(tree, text, inside)
        of_one = isinstance(tree, Call) and tree.fn not in _AFTER and [self._is_one(arg, text) for arg in tree.args]
        return said if self._is_one(tree, text) or of_one == [True] else f"({said})"

    def _is_one(self, tree: Value, text: str) -> bool:
        """Whether a formula is said by one noun: a column, a quantity or the name of what has been explained."""
        named = self._named(tree, text)
        return isinstance(tree, Num | Ref) or (named is not None and named.expression.name in self.told)

    def _describe(self, tree: Value, text: str, *, inside: bool = False) -> str:
        match tree:
            case Num():
                return number(tree)
            case Ref():
                return self._ref(tree)
            case Neg():
                return f"minus {self._operand(tree.of, text, inside)}"
            case Op():
                return self._op(tree, text, inside)
            case Call():
                return self._call(tree, text, inside)
            case PValue():
                return self.p_value(tree, self._part(_tested(tree), text, inside))

    # --- what is measured ---

    def _ref(self, ref: Ref) -> str:
        return self._noun(ref) + read_at(self._phrases(ref).values())

    def _noun(self, ref: Ref) -> str:
        """The column, with the measure's name where it does not say the same, of whose personas."""
        column = _COLUMNS.get(ref.column, ref.column)
        noun = ref.measure if column in (ref.measure, "value") else f"{ref.measure} {column}"
        set_name = self._set(ref)
        if not set_name:
            return f"the {noun}"
        return f"the {set_name}{chr(39) if set_name.endswith('s') else chr(39) + 's'} {noun}"

    def _phrases(self, ref: Ref) -> dict[str, str]:
        """Where the column is read, by dim: the arm, a level of a sweep, a set of questions."""
        measure, found = self.measures[ref.measure], {}
        for dim, levels in ref.select.items():
            planned = measure.levels.get(dim, ())
            if dim in ref.keep or (dim == "persona" and self._set(ref)):
                continue
            if set(levels) == set(planned):
                if len(planned) > 1 and self._is_setting(dim, measure):
                    found[dim] = f"{AVERAGED}{plural_of(dim)}"
                elif dim == "arm" and len(planned) == 1:
                    found[dim] = self._at(dim, levels)
            else:
                found[dim] = self._at(dim, levels)
        return found

    def _is_setting(self, dim: str, measure: BoundMeasure) -> bool:
        drawn = measure.inference.over if measure.inference else ()
        return dim in measure.sweeps or dim not in ("persona", "question", "seed", *drawn)

    def _set(self, ref: Ref) -> str:
        """The registered set of personas that a reference reads; none where it keeps all that are measured."""
        levels, planned = ref.select.get("persona", ()), self.measures[ref.measure].levels.get("persona", ())
        known = self.dims.get("persona")
        if known is None or not levels or ("persona" in ref.keep and set(levels) == set(planned)):
            return ""
        return next((name for name, members in known.sets.items() if set(members) == set(levels)), "")

    def _at(self, dim: str, levels: tuple[str, ...]) -> str:
        known = self.dims.get(dim)
        sets = [name for name, members in known.sets.items() if set(members) == set(levels)] if known else []
        if dim == "arm":
            return f" in {listed(levels)}"
        if sets and len(levels) > 1:
            return f" over the {sets[0]} {plural_of(dim)}"
        if len(levels) == 1:
            return f" at {dim} {levels[0]}"
        return f" over {plural_of(dim)} {listed(levels)}"

    # --- operators and functions ---

    def _op(self, tree: Op, text: str, inside: bool) -> str:
        left, right = tree.left, tree.right
        if isinstance(left, Ref) and isinstance(right, Ref) and self._noun(left) == self._noun(right):
            mine, other = self._phrases(left), self._phrases(right)
            common = {dim for dim in mine if mine[dim] == other.get(dim)}
            if len(common) < len(mine):
                both = read_at(phrase for dim, phrase in mine.items() if dim in common)
                first, second = (
                    read_at(phrase for dim, phrase in phrases.items() if dim not in common) for phrases in (mine, other)
                )
                return f"{self._noun(left)}{first} {_OPERATORS[tree.op]} that{second}{',' if both else ''}{both}"
        first, second = (self._operand(part, text, inside) for part in (left, right))
        return f"{first} {_OPERATORS[tree.op]} {second}"

    def _call(self, tree: Call, text: str, inside: bool) -> str:
        alone = len(tree.args) == 1 and tree.fn != "abs" and isinstance(tree.args[0], Call)
        parts = [(self._part if alone else self._operand)(arg, text, inside) for arg in tree.args]
        over = f" over {listed(map(plural_of, tree.over))}" if tree.over else ""
        if tree.fn in _EXTREMES:
            one, two = _EXTREMES[tree.fn]
            if len(parts) == 1:
                bare = parts[0].removeprefix("the ")
                return f"{one} {bare}" if self._named(tree.args[0], text) else f"{one} {bare}{over}"
            return f"{two if len(parts) == 2 else one + ' of'} {listed(parts)}"
        if tree.fn == "abs":
            return f"{parts[0]} without its sign"
        if tree.fn == "leave_one_out":
            return f"{parts[0]} when one {tree.over[0]} at a time is left out"
        if tree.fn in ("pearson", "spearman"):
            return f"{_OF[tree.fn]} {_pair(parts)}{over}"
        along = f" along {listed(tree.over)}" if tree.fn in ("tau", "slope", "aoc", "successive") else over
        return f"{_OF.get(tree.fn, f'{tree.fn}() of')} {listed(parts)}{along}"

    def p_value(self, tree: PValue, of: str, its: bool = False) -> str:
        """Say a p-value: one-sided against a threshold or beyond, two-sided where the sign does not count."""
        threshold = number(tree.threshold, tree.of) if isinstance(tree.threshold, Num) else self.say(tree.threshold)
        if two_sided(tree):
            head, against = "two-sided p-value", threshold
        else:
            head = "one-sided p-value"
            against = f"{threshold} or {'less' if tree.rel in ('>', '>=') else 'more'}"
        null = ""
        if tree.null == "shuffled":
            null = f" (from shuffling {plural_of(tree.dim)}{f' within each {tree.within}' if tree.within else ''})"
        elif tree.null == "random":
            null = f" (from random directions in place of {tree.dim})"
        return f"its {head} against {against}{null}" if its else f"the {head} of {of} against {against}{null}"


def _pair(parts: list[str]) -> str:
    """Two columns of one measure: ``the published cos_assistant and source_rate``."""
    words = [part.split(" ") for part in parts]
    if len(parts) == 2 and all(len(each_) == 3 for each_ in words) and words[0][:2] == words[1][:2]:
        return f"{parts[0]} and {words[1][2]}"
    return listed(parts)


def two_sided(tree: PValue) -> bool:
    """Whether a p-value is that of ``abs(x) > 0``."""
    return isinstance(tree.of, Call) and tree.of.fn == "abs" and tree.rel in (">", ">=")


def _tested(tree: PValue) -> Value:
    return tree.of.args[0] if isinstance(tree.of, Call) and two_sided(tree) else tree.of


def subject(tree: Value) -> Value:
    """Return what a comparison is about: of a p-value, the quantity that it tests."""
    return _tested(tree) if isinstance(tree, PValue) else tree


def _keeps(tree: Value) -> bool:
    """Whether a table's dims have to be said: leaving out says its own."""
    return not (isinstance(tree, Call) and tree.fn == "leave_one_out")


def _refs(tree: Value) -> Iterator[Ref]:
    match tree:
        case Ref():
            yield tree
        case Neg() | PValue():
            yield from _refs(tree.of)
        case Op():
            yield from _refs(tree.left)
            yield from _refs(tree.right)
        case Call():
            for arg in tree.args:
                yield from _refs(arg)


def axes_of(tree: Value) -> tuple[str, ...]:
    """Return the dims that a formula keeps."""
    match tree:
        case Ref():
            return tree.keep
        case Neg() | PValue():
            return axes_of(tree.of)
        case Op():
            return tuple(dict.fromkeys((*axes_of(tree.left), *axes_of(tree.right))))
        case Call(fn="leave_one_out"):
            return tuple(dict.fromkeys((*axes_of(tree.args[0]), *tree.over)))
        case Call():
            kept = dict.fromkeys(axis for arg in tree.args for axis in axes_of(arg))
            return tuple(axis for axis in kept if axis not in tree.over or tree.fn == "successive")
        case Num():
            return ()
