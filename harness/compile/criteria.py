"""Criteria: trees of comparisons, with both sides in one unit and every table reduced to true, false or unknown."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from harness.compile.inference import check_inference, refuse_extremes
from harness.compile.references import Broken
from harness.compile.units import Typed, check_attainable, matched
from harness.compile.values import Values
from harness.contracts import trees
from harness.contracts.trees import Criterion, Num
from harness.contracts.walks import refs
from harness.core.registry import did_you_mean
from harness.spec import syntax
from harness.spec.formula import FormulaError
from harness.spec.read import shortened
from harness.spec.scalars import quantity_of


@dataclass(frozen=True)
class Place:
    """Where a criterion stands: its text and line, and what it may refer to there.

    ``hypotheses`` maps names to clauses (none where hypotheses are not judged yet), ``states`` allows ``supported``
    and ``killed``, ``keep`` are dims that stay open (the rule of a choice).
    """

    text: str
    line: int
    hypotheses: dict[str, tuple[str, ...]]
    states: bool = False
    keep: tuple[str, ...] = ()
    where: str = "here"


@dataclass(frozen=True)
class Wanted:
    """A formula inside a criterion that has to be estimated.

    ``level`` is the interval that is read of it, ``threshold`` what a p-value is compared with.
    """

    value: Typed
    text: str
    level: str = ""
    threshold: str = ""


class Criteria:
    """Binds criteria; ``wanted`` gathers the formulas that they compare."""

    def __init__(self, values: Values, default_level: str) -> None:
        self.values = values
        self.default_level = default_level
        self.wanted: list[Wanted] = []

    def bind(self, tree: syntax.Tree, place: Place, *, over: bool = False) -> Criterion:
        """Bind a criterion; ``over`` says that all() or any() around it takes tables.

        Raises:
            FormulaError: with the position in the criterion's text.
        """
        match tree:
            case syntax.And(of):
                return trees.All(of=tuple(self.bind(one, place, over=over) for one in of))
            case syntax.Or(of):
                return trees.Any_(of=tuple(self.bind(one, place, over=over) for one in of))
            case syntax.Not(of):
                return trees.Not(of=self.bind(of, place, over=over))
            case syntax.Compare(syntax.Call("ci") as interval, rel, right):
                return self._interval(tree, interval, place, over, rel=rel, bound=right)
            case syntax.Within(syntax.Call("ci") as interval, low, high):
                return self._interval(tree, interval, place, over, low=low, high=high)
            case syntax.Compare(left, rel, right):
                return self._compare(tree, (left, right), rel, place, over)
            case syntax.Call("all" | "any" as how, (arg,)):
                return self._over(tree, how, arg.of, place)
            case syntax.Call("at_least", args):
                count = int(args[0].of.number) if isinstance(args[0].of, syntax.Number) else 1
                inside = tuple(self.bind(arg.of, place, over=over) for arg in args[1:])
                return trees.AtLeast(count=count, of=inside)
            case syntax.Name():
                return self._named(tree, place)
        raise FormulaError("a number stands where a comparison is expected", position=tree.start)

    def _compare(
        self, tree: syntax.Compare, nodes: tuple[syntax.Tree, syntax.Tree], rel: str, place: Place, over: bool
    ) -> Criterion:
        left, right = (self.values.value(node, place.keep, {}) for node in nodes)
        left, right = matched(left, right, nodes, "comparing")
        if left.bare and right.bare:
            raise FormulaError("a comparison of two numbers", "something that is measured", position=tree.start)
        check_attainable(left, right, nodes)
        self._single((left, right), place, over, tree)
        for value, other, node in ((left, right, nodes[0]), (right, left, nodes[1])):
            threshold = other.tree.value if value.unit == "p" and isinstance(other.tree, Num) else ""
            self._want(value, place.text[node.start : node.end], threshold=threshold)
        text = place.text[tree.start : tree.end]
        return trees.Compare(left=left.tree, rel=rel, right=right.tree, text=text, line=place.line)

    def _interval(
        self, tree: syntax.Compare | syntax.Within, call: syntax.Call, place: Place, over: bool, *, rel: str = "",
        bound: syntax.Tree | None = None, low: syntax.Tree | None = None, high: syntax.Tree | None = None,
    ) -> Criterion:  # fmt: skip
        inside = call.args[0].of
        of = self.values.value(inside, place.keep, {})
        if not any(refs(of.tree)):
            raise FormulaError("the interval of a constant", "an estimand", position=inside.start)
        refuse_extremes(of.tree, "the interval", inside)
        check_inference(of.tree, inside, self.values.names)
        level = _level(call, self.default_level)
        ends: list[Typed | None] = []
        for node in (bound, low, high):
            if node is None:
                ends.append(None)
                continue
            of, end = matched(of, self.values.value(node, (), {}), (inside, node), "comparing")
            if end.axes or any(refs(end.tree)):
                raise FormulaError("an interval is compared with something measured", "a number", position=node.start)
            check_attainable(of, end, (inside, node))
            ends.append(end)
        if ends[1] and ends[2] and ends[1].low >= ends[2].low:
            raise FormulaError("the lower end is not below the upper one", "low .. high", position=call.end)
        self._single((of,), place, over, tree)
        self._want(of, place.text[inside.start : inside.end], level)
        one, two, three = (end.tree if end is not None else None for end in ends)
        return trees.Ci(of=of.tree, level=level, rel=rel or None, bound=one, low=two, high=three,
                        text=place.text[tree.start : tree.end], line=place.line)  # fmt: skip

    def _over(self, tree: syntax.Call, how: str, inside: syntax.Tree, place: Place) -> Criterion:
        before = len(self.wanted)
        of = self.bind(inside, place, over=True)
        axes = {dim for want in self.wanted[before:] for dim in want.value.axes}
        if not axes - set(place.keep):
            raise FormulaError(f"{how}() over a single comparison", "a table: an estimand that keeps a dim with 'by'",
                               position=tree.start)  # fmt: skip
        return trees.Over(how=how, of=of)

    def _single(self, values: tuple[Typed, ...], place: Place, over: bool, tree: syntax.Node) -> None:
        open_ = [dim for value in values for dim in value.axes if dim not in place.keep]
        if open_ and not over:
            dims = " and ".join(dict.fromkeys(open_))
            raise FormulaError(f"a table over {dims} is compared", "one number",
                               "reduce it with all(), any(), min(), max() or mean(), or select a level",
                               position=tree.start)  # fmt: skip

    def _want(self, value: Typed, text: str, level: str = "", threshold: str = "") -> None:
        if any(refs(value.tree)):
            self.wanted.append(Wanted(value, text, level, threshold))

    def _named(self, tree: syntax.Name, place: Place) -> Criterion:
        name, clause = tree.name, tree.part
        if name in ("supported", "killed") and not clause:
            if not place.states:
                raise FormulaError(f"'{name}' {place.where}", "comparisons: the outcome is not known yet",
                                   position=tree.start)  # fmt: skip
            return trees.State(state=name)
        names = self.values.names
        if names.is_broken("hypotheses", name):
            raise Broken
        if name in place.hypotheses:
            clauses = place.hypotheses[name]
            if clause and clause not in clauses:
                raise FormulaError(f"hypothesis '{name}' has no clause '{clause}'", f"one of {', '.join(clauses)}",
                                   did_you_mean(clause, clauses), position=tree.start)  # fmt: skip
            return trees.Hyp(name=name, clause=clause)
        if name in names.hypotheses:
            raise FormulaError(f"the hypothesis '{name}' {place.where}", "comparisons of estimands: it is judged later",
                               position=tree.start)  # fmt: skip
        if name in names.estimands or name in names.measures:
            raise FormulaError(f"the number '{name}' stands where a comparison is expected", f"{name} > value",
                               position=tree.start)  # fmt: skip
        known = [*place.hypotheses, *(("supported", "killed") if place.states else ())]
        expected = f"one of {shortened(known)}" if known else "a comparison"
        raise FormulaError(f"there is no hypothesis '{name}'", expected,
                           did_you_mean(name, known), position=tree.start)  # fmt: skip


def _level(call: syntax.Call, default: str) -> str:
    if len(call.args) == 1:
        return default
    node = call.args[1].of
    assert isinstance(node, syntax.Number)
    level = quantity_of(node.number, node.unit).value
    if not Fraction(1, 2) <= level < 1:
        raise FormulaError(f"an interval at {node.number}{node.unit}", "a level from 50% to below 100%",
                           position=node.start)  # fmt: skip
    return str(level)
