"""Values: formulas to trees of measured columns, with every level, kept dim, unit and range resolved.

Dims are resolved from the top down. A dim that a formula keeps (``by``) stays an axis of every measure below that
has it; a dim fixed in brackets is gone; what is neither is averaged when it comes from a file or is the seed, takes
its primary when it has one, and is an error otherwise. Named estimands are put in place of their names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction

from harness.compile.functions import known_functions, result, signature
from harness.compile.inference import check_inference, refuse_extremes
from harness.compile.references import Broken, Fixed, Names, References
from harness.compile.units import Typed, arithmetic, check_aligned, computed, constant, matched, negated, reach
from harness.contracts.bound import BoundMeasure
from harness.contracts.trees import Call, Num, Op, PValue
from harness.contracts.walks import refs
from harness.core.registry import did_you_mean
from harness.spec import syntax
from harness.spec.formula import FormulaError
from harness.spec.read import shortened
from harness.spec.scalars import LARGEST_EXPONENT, quantity_of

_LARGEST = 10**LARGEST_EXPONENT


class Values:
    """Binds values; one per prereg."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.references = References(names)
        self.open: list[str] = []
        self.bound: dict[str, Typed] = {}

    def estimand(self, name: str) -> Typed:
        """Bind a named estimand, once.

        Raises:
            FormulaError: with the position in the formula's text.
            Broken: it refers to something that was reported already.
        """
        if name not in self.bound:
            if self.names.is_broken("estimands", name):
                raise Broken
            if name in self.open:
                circle = " -> ".join([*self.open[self.open.index(name) :], name])
                raise FormulaError(f"the estimand goes in a circle: {circle}")
            self.open.append(name)
            try:
                self.bound[name] = self.kept(self.names.estimands[name], (), {})
            except (FormulaError, Broken):
                self.names.broken.add(("estimands", name))
                raise
            finally:
                self.open.pop()
        return self.bound[name]

    def kept(self, arg: syntax.Arg, keep: tuple[str, ...], fixed: Mapping[str, Fixed]) -> Typed:
        """Bind an argument or estimand with its own ``by`` dims added to those that are kept already."""
        for dim in arg.by:
            self._check_dim(dim, arg)
        value = self.value(arg.of, _joined(keep, arg.by), fixed)
        for dim in arg.by:
            if dim not in value.axes and not (dim in fixed and fixed[dim].single):
                raise FormulaError(f"'by {dim}', and nothing in it has several levels of {dim}",
                                   f"one of its dims: {', '.join(self._dims_in(value)) or 'none'}",
                                   position=arg.of.end)  # fmt: skip
        return replace(value, axes=tuple(dim for dim in _joined(keep, arg.by) if dim in value.axes)
                       + tuple(dim for dim in value.axes if dim not in keep and dim not in arg.by))  # fmt: skip

    def value(self, node: syntax.Tree, keep: tuple[str, ...], fixed: Mapping[str, Fixed]) -> Typed:
        """Bind a value whose dims ``keep`` stay as axes and whose dims ``fixed`` are given from outside."""
        match node:
            case syntax.Number(number, unit):
                quantity = quantity_of(number, unit)
                return constant(quantity.value, quantity.unit, bare=quantity.bare)
            case syntax.Name():
                return self._name(node, keep, fixed)
            case syntax.Negative(of):
                return negated(self.value(of, keep, fixed))
            case syntax.Binary(op, left, right):
                return self._binary(op, (left, right), keep, fixed)
            case syntax.Call("p"):
                return self._p(node, keep, fixed)
            case syntax.Call():
                return self._call(node, keep, fixed)
        raise FormulaError("a criterion stands where a number is expected", "a value", position=node.start)

    def on_estimand(self, name: str) -> None:
        """Bind an estimand that a formula names; one that cannot be bound breaks the formula, without a second report.

        ``bind`` replaces this to file the fault.
        """
        self.estimand(name)

    # --- names ---

    def _name(self, node: syntax.Name, keep: tuple[str, ...], fixed: Mapping[str, Fixed]) -> Typed:
        name, names = node.name, self.names
        if name in names.estimands:
            return self._inlined(node, keep, fixed)
        if name in names.measures:
            return self.references.measured(node, names.measures[name], keep, fixed)
        if names.is_broken("estimands", name) or names.is_broken("measures", name):
            raise Broken
        if name == "alpha" and not node.part and not node.selectors:
            if names.alpha is None:
                raise FormulaError("alpha, and there are no looks", "a number, or looks: {alpha: …}",
                                   position=node.start)  # fmt: skip
            return constant(names.alpha, "p", bare=False)
        if name in names.hypotheses:
            raise FormulaError(f"the hypothesis '{name}' stands where a number is expected", "an estimand or a measure",
                               position=node.start)  # fmt: skip
        known = [*names.estimands, *names.measures]
        raise FormulaError(f"there is no estimand or measure '{name}'", f"one of {shortened(known)}",
                           did_you_mean(name, known), position=node.start)  # fmt: skip

    def _inlined(self, node: syntax.Name, keep: tuple[str, ...], fixed: Mapping[str, Fixed]) -> Typed:
        """Put an estimand's formula in place of its name; brackets select among the dims that it keeps."""
        arg = self.names.estimands[node.name]
        if node.part:
            raise FormulaError(f"the estimand '{node.name}' has no columns", node.name, position=node.start)
        # By itself first: a fault of its own is reported where it stands, and here is only what the context adds.
        self.on_estimand(node.name)
        inner = dict(fixed)
        if node.selectors:
            axes = {dim: self._axis_levels(dim, arg) for dim in arg.by}
            for dim, one in self.references.selected(node, axes, f"estimand '{node.name}'").items():
                inner[dim] = one
        own = tuple(dim for dim in arg.by if not (dim in inner and inner[dim].single))
        try:
            return self.value(arg.of, _joined(keep, own), inner)
        except FormulaError as error:
            raise FormulaError(f"in '{node.name}': {error.found}", error.expected, error.hint,
                               position=node.start) from error  # fmt: skip

    def _axis_levels(self, dim: str, arg: syntax.Arg) -> tuple[str, ...]:
        """Levels of a kept dim over all measures that a formula reads."""
        levels: dict[str, None] = {}
        for measure in self._measures_in(arg.of, set()):
            levels.update(dict.fromkeys(measure.levels.get(dim, ())))
        return tuple(levels)

    def _measures_in(self, node: object, seen: set[str]) -> Iterator[BoundMeasure]:
        match node:
            case syntax.Name(name):
                if name in self.names.measures:
                    yield self.names.measures[name]
                elif name in self.names.estimands and name not in seen:
                    yield from self._measures_in(self.names.estimands[name].of, seen | {name})
            case syntax.Negative(of) | syntax.Arg(of):
                yield from self._measures_in(of, seen)
            case syntax.Binary(_, left, right) | syntax.Compare(left, _, right):
                yield from self._measures_in(left, seen)
                yield from self._measures_in(right, seen)
            case syntax.Call(_, args):
                for arg in args:
                    yield from self._measures_in(arg, seen)

    def _check_dim(self, dim: str, arg: syntax.Arg) -> None:
        known = [*self.names.dims, "arm"]
        if dim in known or any(dim in one.columns for one in self.names.dims.values()):
            return
        if self.names.is_broken("dims", dim):
            raise Broken
        raise FormulaError(f"there is no dim '{dim}'", f"one of {shortened(known)}", did_you_mean(dim, known),
                           position=arg.of.end)  # fmt: skip

    def _dims_in(self, value: Typed) -> list[str]:
        return list(dict.fromkeys(d for ref in refs(value.tree) for d in ref.select if len(ref.select[d]) > 1))

    # --- operators and functions ---

    def _binary(
        self, op: str, nodes: tuple[syntax.Tree, syntax.Tree], keep: tuple[str, ...], fixed: Mapping[str, Fixed]
    ) -> Typed:
        left, right = (self.value(node, keep, fixed) for node in nodes)
        if op == "/" and isinstance(right.tree, Num) and Fraction(right.tree.value) == 0:
            raise FormulaError("a division by 0", position=nodes[1].start)
        left, right, unit = arithmetic(op, left, right, nodes)
        check_aligned((left, right), nodes)
        low, high = reach(op, left, right)
        if isinstance(left.tree, Num) and isinstance(right.tree, Num):
            result = computed(op, left.tree, right.tree)
            if result and not Fraction(1, _LARGEST) <= abs(result) <= _LARGEST:
                raise FormulaError("numbers that give one beyond ±1e300", position=nodes[1].start)
            return constant(result, unit, bare=left.bare and right.bare)
        tree = Op(op=op, left=left.tree, right=right.tree)
        return Typed(tree, unit, _joined(left.axes, right.axes), low, high)

    def _call(self, node: syntax.Call, keep: tuple[str, ...], fixed: Mapping[str, Fixed]) -> Typed:
        how = signature(node.fn)
        if how is None:
            known = known_functions()
            raise FormulaError(f"there is no function '{node.fn}'", f"one of {', '.join(known)}",
                               did_you_mean(node.fn, known), position=node.start)  # fmt: skip
        if not how.args[0] <= len(node.args) <= how.args[1]:
            raise FormulaError(f"{node.fn}() with {len(node.args)} arguments", f"{how.args[0]}", position=node.start)
        if how.axes == "levels":
            return self._count_levels(node)
        if how.axes == "leave_one_out":
            return self._leave_one_out(node, keep, fixed)
        if how.axes == "keep":
            if node.args[0].by:
                raise FormulaError(f"{node.fn}() reduces nothing", f"{node.fn}(value)", position=node.args[0].of.end)
            args = [self.value(node.args[0].of, keep, fixed)]
            over: tuple[str, ...] = ()
        else:
            args = [self.kept(arg, keep, fixed) for arg in node.args]
            over = self._over(node, args, keep, how.several or how.may_be_bare)
        if how.unit == "same" and len(args) > 1:
            args[0], args[-1] = matched(args[0], args[-1], (node.args[0].of, node.args[-1].of), "comparing")
        check_aligned(args, tuple(arg.of for arg in node.args))
        unit, low, high = result(node.fn, how, args)
        axes = _joined(*(arg.axes for arg in args))
        gone = () if how.axes == "neighbours" else over
        tree = Call(fn=node.fn, args=tuple(arg.tree for arg in args), over=over)
        return Typed(tree, unit, tuple(dim for dim in axes if dim not in gone), low, high)

    def _over(self, node: syntax.Call, args: list[Typed], keep: tuple[str, ...], scalars: bool) -> tuple[str, ...]:
        """Return the axes that a call works along: its ``by`` dims, else those that its arguments bring."""
        named = tuple(dict.fromkeys(dim for arg in node.args for dim in arg.by))
        over = named or tuple(dict.fromkeys(dim for arg in args for dim in arg.axes if dim not in keep))
        lacking = [index for index, arg in enumerate(args) if not set(over) <= set(arg.axes)]
        if lacking:
            expected = f"'by {' and '.join(over)}' in each"
            raise FormulaError(f"the arguments of {node.fn}() have different dims", expected,
                               position=node.args[lacking[0]].start)  # fmt: skip
        if not over and not (scalars and (len(args) > 1 or node.fn not in ("min", "max", "mean", "median"))):
            raise FormulaError(f"{node.fn}() of a single number", "a table: 'by DIM' inside the parentheses",
                               position=node.start)  # fmt: skip
        if node.fn == "successive" and len(over) > 1:
            raise FormulaError(f"successive() along {' and '.join(over)}", "one dim", position=node.start)
        return over

    def _count_levels(self, node: syntax.Call) -> Typed:
        of = node.args[0].of
        if not isinstance(of, syntax.Name) or of.part or of.selectors or node.args[0].by:
            raise FormulaError("levels() takes a dim", "levels(seed)", position=node.start)
        if of.name not in self.names.dims:
            if self.names.is_broken("dims", of.name):
                raise Broken
            raise FormulaError(f"there is no dim '{of.name}'", f"one of {shortened(self.names.dims)}",
                               did_you_mean(of.name, self.names.dims), position=of.start)  # fmt: skip
        return constant(Fraction(len(self.names.dims[of.name].levels)), "count", bare=False)

    def _leave_one_out(self, node: syntax.Call, keep: tuple[str, ...], fixed: Mapping[str, Fixed]) -> Typed:
        arg = node.args[0]
        if len(arg.by) != 1:
            raise FormulaError("leave_one_out() goes over one dim", "leave_one_out(value by DIM)", position=node.start)
        (dim,) = arg.by
        self._check_dim(dim, arg)
        value = self.value(arg.of, tuple(one for one in keep if one != dim), fixed)
        if not any(len(ref.select.get(dim, ())) > 1 for ref in refs(value.tree)):
            raise FormulaError(f"nothing in it has several levels of {dim} to leave out",
                               f"one of its dims: {', '.join(self._dims_in(value)) or 'none'}",
                               position=arg.of.end)  # fmt: skip
        tree = Call(fn="leave_one_out", args=(value.tree,), over=(dim,))
        return replace(value, tree=tree, axes=_joined(value.axes, (dim,)))

    def _p(self, node: syntax.Call, keep: tuple[str, ...], fixed: Mapping[str, Fixed]) -> Typed:
        comparison = node.args[0].of
        assert isinstance(comparison, syntax.Compare)
        of = self.value(comparison.left, keep, fixed)
        threshold = self.value(comparison.right, keep, fixed)
        of, threshold = matched(of, threshold, (comparison.left, comparison.right), "comparing")
        if not any(refs(of.tree)):
            raise FormulaError("p() of a constant", "an estimand on the left", position=comparison.start)
        refuse_extremes(of.tree, "a p-value", comparison.left)
        null = node.null
        if null is not None:
            self._check_null(null, of)
        tree = PValue(
            of=of.tree, rel=comparison.rel, threshold=threshold.tree,
            null=null.how if null else None, dim=null.dim if null else "",
            within=null.within if null else "",
        )  # fmt: skip
        if null is None:
            check_inference(tree, node, self.names)
        return Typed(tree, "p", _joined(of.axes, threshold.axes), 0.0, 1.0)

    def _check_null(self, null: syntax.Null, of: Typed) -> None:
        names = self.names
        if null.how == "random":
            if null.dim not in names.measures and not names.is_broken("measures", null.dim):
                raise FormulaError(f"there is no measure '{null.dim}'", f"one of {shortened(names.measures)}",
                                   did_you_mean(null.dim, names.measures), position=null.start)  # fmt: skip
            names.unsupported["a null of random directions"] = None
            return
        for dim in filter(None, (null.dim, null.within)):
            if not any(len(ref.select.get(dim, ())) > 1 for ref in refs(of.tree)):
                found = f"nothing in it has several levels of '{dim}' to shuffle"
                raise FormulaError(found, f"one of {', '.join(self._dims_in(of)) or 'none'}", position=null.start)


def _joined(*groups: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(dim for group in groups for dim in group))
