"""The value of a bound tree: references, arithmetic, functions, p-values and leave-one-out.

One evaluator serves points, bootstrap draws, jackknife replicates and permutations: everything carries a leading
axis of draws, and NaN is unknown until the estimate is written.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from harness.contracts.trees import Call, Neg, Num, Op, PValue, Ref, Value
from harness.core.errors import JobError
from harness.core.ident import seed_for
from harness.decide.draws import Draws, NoInferenceError
from harness.decide.infer import SIDES, agreed, infer
from harness.decide.labelled import Labelled, combine, reduce, scalar, stack
from harness.decide.leaf import leaf
from harness.decide.nulls import Shuffle, exchanged_leaf, make_shuffle, shuffled_values
from harness.decide.shape import is_constant, levels_of, without
from harness.decide.tables import World
from harness.stats import permutation
from harness.stats.arrays import FloatArray
from harness.stats.registry import FUNCTIONS, Function

ARITHMETIC: dict[str, Callable[[FloatArray, FloatArray], FloatArray]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
BATCH = 2_500
"""Permutations that are evaluated together."""
MORE = 10
"""How many times more draws a Monte Carlo p gets when its 99% interval holds its threshold."""


@dataclass
class Evaluator:
    """Evaluates trees on a world, and keeps what a reader of the result must know.

    Args:
        world: the measurements.
        name: of the expression; it seeds every draw together with the measures' seed.
        thresholds: numbers that a p-value is compared with.
    """

    world: World
    name: str
    thresholds: tuple[Fraction, ...] = ()
    notes: dict[str, None] = field(default_factory=dict)
    reasons: dict[str, None] = field(default_factory=dict)
    methods: dict[str, None] = field(default_factory=dict)
    draws: int = 0

    def value(self, tree: Value, draws: Draws | None = None, shuffle: Shuffle | None = None) -> Labelled:
        """Return the values ``[b, *axes]`` of a tree, at a point (b = 1), under draws, or under permutations.

        Raises:
            JobError: levels that do not match, or functions that do not fit their arguments.
            NoInferenceError: a part that has no value under draws.
        """
        match tree:
            case Num():
                return scalar(float(Fraction(tree.value)))
            case Ref():
                if shuffle is not None and len(shuffle.exchanged) > 1 and len(tree.select.get(shuffle.dim, ())) == 1:
                    return exchanged_leaf(self.world, tree, shuffle)
                return leaf(self.world, tree, draws)
            case Neg():
                return combine([self.value(tree.of, draws, shuffle)], operator.neg)
            case Op():
                parts = [self.value(tree.left, draws, shuffle), self.value(tree.right, draws, shuffle)]
                return combine(parts, ARITHMETIC[tree.op])
            case Call(fn="levels"):
                return scalar(float(len(self.world.levels(tree.over[0]))))
            case Call(fn="leave_one_out"):
                if draws is not None:
                    raise NoInferenceError(SIDES)
                return self._leave_one_out(tree, shuffle)
            case Call():
                return self._call(tree, [self.value(arg, draws, shuffle) for arg in tree.args], draws, shuffle)
            case PValue():
                if draws is not None or shuffle is not None:
                    raise NoInferenceError("a p-value has no interval and no p-value of its own")
                return self._p(tree)

    def _call(self, tree: Call, args: list[Labelled], draws: Draws | None, shuffle: Shuffle | None) -> Labelled:
        function = FUNCTIONS.get(tree.fn)
        if not function.reduces:
            return combine(args, function.compute)
        over = tree.over
        if shuffle is not None and shuffle.dim in over:
            args = [*args[:-1], shuffled_values(args[-1], shuffle)]
        if function.several and (len(args) > 1 or not over):
            args = [_side_by_side(args)]
            over = (*over, "")
        elif function.against_axis and len(args) == 1:
            args = [_positions(tree, args[0], draws), *args]
        if len(args) != function.arity:
            raise JobError(f"{tree.fn} takes {function.arity} argument(s), found {len(args)}")
        if not over:
            raise JobError(f"{tree.fn} needs a dim to run along")
        return _checked(tree, reduce(args, over, function.compute, function.neighbours), function)

    def _leave_one_out(self, tree: Call, shuffle: Shuffle | None) -> Labelled:
        dim = tree.over[0]
        levels = levels_of(tree.args[0], dim)
        if len(levels) < 2:
            raise JobError(f"leave_one_out by {dim} needs at least two levels, found {len(levels)}")
        return stack([self.value(without(tree.args[0], dim, level), None, shuffle) for level in levels], dim, levels)

    # --- p-values ---

    def _p(self, node: PValue) -> Labelled:
        if node.null == "random":
            raise JobError("p against random directions is not implemented yet; remove '| random …' from the formula")
        if node.null == "shuffled":
            return self._shuffled(node)
        zero = isinstance(node.threshold, Num) and Fraction(node.threshold.value) == 0
        two_sided = isinstance(node.of, Call) and node.of.fn == "abs"
        if two_sided and not (zero and node.rel in (">", ">=")):
            raise JobError("a two-sided p is written p(abs(x) > 0): with abs, no other comparison has a p-value")
        of = node.of.args[0] if isinstance(node.of, Call) and two_sided else node.of
        # The null goes to the right of the comparison, so a threshold with data in it is part of the estimate.
        against = node.threshold if is_constant(node.threshold) else None
        tree = of if against is not None else Op(op="-", left=of, right=node.threshold)
        point = self.value(tree)
        null = 0.0 if against is None else float(self.value(against).data.item())
        try:
            values = self._tails(tree, np.full(point.data[0].size, null), node.rel, two_sided)
        except NoInferenceError as why:
            self.reasons[str(why)] = None
            values = np.full(point.data[0].size, np.nan)
        return Labelled(point.axes, point.levels, values.reshape(point.data.shape))

    def _tails(self, tree: Value, null: FloatArray, rel: str, two_sided: bool) -> FloatArray:
        p: FloatArray
        for more in (1, MORE):
            found = infer(tree, self.world, self.value, self.name, more)
            if two_sided:
                p = np.minimum(1.0, 2 * np.minimum(found.tail(null, 1), found.tail(null, -1)))
            else:
                p = found.tail(null, 1 if rel in (">", ">=") else -1)
            if not found.draws or not self._undecided(p, found.draws, 2 if two_sided else 1):
                break
        self.draws = max(self.draws, found.draws)
        self.methods[f"{'two-sided' if two_sided else 'one-sided'} p by {found.method}"] = None
        self.notes.update(dict.fromkeys(found.notes))
        if np.isnan(p).any():
            self.reasons["nothing varies between the drawn units, or the value is undefined"] = None
        return p

    def _undecided(self, p: FloatArray, draws: int, sides: int) -> bool:
        known = p[~np.isnan(p)]
        return any(permutation.straddles(x, draws, float(t), sides) for x in known for t in self.thresholds)

    def _shuffled(self, node: PValue) -> Labelled:
        if not (isinstance(node.threshold, Num) and Fraction(node.threshold.value) == 0):
            raise JobError("shuffled labels say that there is no relation: their p-value is against 0 only")
        try:
            inference = agreed(node.of, self.world)
            draws, seed = inference.draws, inference.seed
        except NoInferenceError:
            draws, seed = 10_000, 0
        tree: Value = node.of if node.rel in (">", ">=") else Neg(of=node.of)
        point = self.value(tree)
        for more in (1, MORE):
            rng = np.random.default_rng(seed_for("permutation", self.name, seed))
            shuffle = make_shuffle(node, self.world, draws * more, rng)
            p = permutation.tail(point.data[0].reshape(-1), self._permuted(tree, shuffle), shuffle.exact)
            if shuffle.exact or not self._undecided(p, len(shuffle.orders), 1):
                break
        size = len(shuffle.orders)
        self.draws = max(self.draws, 0 if shuffle.exact else size)
        within = f" within {node.within}" if node.within else ""
        how = f"all {size}" if shuffle.exact else f"{size} random"
        self.methods[f"permutation test, {node.dim} shuffled{within}, {how} arrangements"] = None
        return Labelled(point.axes, point.levels, p.reshape(point.data.shape))

    def _permuted(self, tree: Value, shuffle: Shuffle) -> FloatArray:
        result = []
        for start in range(0, len(shuffle.orders), BATCH):
            part = shuffle.part(slice(start, start + BATCH))
            data = self.value(tree, None, part).data
            if not part.used:
                raise JobError(f"shuffling {shuffle.dim} changes nothing in this formula")
            result.append(data.reshape(len(data), -1))
        return np.concatenate(result)


def _side_by_side(args: Sequence[Labelled]) -> Labelled:
    """Return several arguments as one table along an axis without a name."""
    return stack(args, "", [str(i) for i in range(len(args))])


def _positions(tree: Call, arg: Labelled, draws: Draws | None) -> Labelled:
    """Return the numbers that name the places along the one axis a trend runs along."""
    if len(tree.over) != 1 or tree.over[0] not in arg.axes:
        raise JobError(f"{tree.fn} of one table runs along exactly one of its dims")
    dim = tree.over[0]
    if draws is not None and dim in draws.design.dims and arg.levels[dim][0].startswith("draw "):
        raise NoInferenceError(f"{tree.fn} along {dim} cannot be resampled over {dim}")
    try:
        numbers = [float(level) for level in arg.levels[dim]]
    except ValueError as error:
        if tree.fn != "tau":
            raise JobError(f"{tree.fn} along {dim} needs numeric levels, found {', '.join(arg.levels[dim])}") from error
        numbers = [float(i) for i in range(len(arg.levels[dim]))]
    return Labelled((dim,), {dim: arg.levels[dim]}, np.array([numbers], dtype=np.float64))


def _checked(tree: Call, result: Labelled, function: Function) -> Labelled:
    if function.neighbours and len(tree.over) != 1:
        raise JobError(f"{tree.fn} runs along exactly one dim")
    return result
