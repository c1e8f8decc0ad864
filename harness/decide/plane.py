"""The verdict map: what the registered rule returns when two of its deciding numbers are other than observed.

The plane is spanned by two deciding estimands. Each is moved by moving the levels of one side of it (say, C2's
leakage), every other number that decides moves with those levels as its formula says, and the registered criteria
are judged again at every point by the same court. Intervals keep their observed width and p-values follow from the
observed standard error, so the map says "had it come out there, as precisely"; it is no simulation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

from harness.contracts.bound import Bound
from harness.contracts.display import display_unit
from harness.contracts.planes import Plane, PlaneAxis
from harness.contracts.records import Estimate, Truth
from harness.contracts.trees import Ci, Compare, Expression, PValue, Ref, Value, expression_id
from harness.contracts.walks import leaves, nodes, refs, trees_of, values
from harness.core.errors import PreregError
from harness.decide.court import Court, needed
from harness.decide.judge import Judge, Situation
from harness.decide.moving import Moves, Unmovable, slope
from harness.decide.sides import constant
from harness.decide.verdict import triage

STEPS = 61
"""Points along each axis."""
COARSE = 25
"""The same where p-values are corrected for multiplicity, so that every point has to be ruled upon."""
MARGIN = 0.3
"""How far the map reaches beyond what it must show, as a share of that."""
LETTERS = {"supported": "s", "not supported": "n", "killed": "k", "inconclusive": "i"}
CONTRADICTION, NO_ROW = "x", "-"
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class _Pair:
    """Two estimands and, for each, how far two moves go when it alone is to grow by 1."""

    x: Expression
    y: Expression
    moved: tuple[Ref, Ref]
    inverse: tuple[tuple[float, float], tuple[float, float]]

    def shifts(self, dx: float, dy: float) -> tuple[float, float]:
        """Return how far to move both references for ``x + dx`` and ``y + dy``."""
        (a, b), (c, d) = self.inverse
        return a * dx + b * dy, c * dx + d * dy


def verdict_plane(bound: Bound, estimates: Mapping[str, Estimate], steps: int = STEPS) -> Plane | None:
    """Judge a plane of what could have come out.

    Args:
        bound: the registration.
        estimates: by the name of the expression.
        steps: points along each axis.

    Returns:
        The map; None where fewer than two deciding numbers can be moved apart, where something that decides does
        not follow from such moves (a correlation, say), or where one verdict fills it.
    """
    by_id = {expression_id(e.tree): estimates[e.name] for e in bound.expressions if e.name in estimates}
    pair = next(_pairs(bound, estimates), None)
    if pair is None:
        return None
    try:
        moves = Moves(_deciding(bound, by_id), by_id, pair.moved)
        return _judged(bound, estimates, pair, moves, steps)
    except Unmovable:
        return None


def _judged(bound: Bound, estimates: Mapping[str, Estimate], pair: _Pair, moves: Moves, steps: int) -> Plane | None:
    before, here = _point(bound, moves.observed), _point(bound, moves.at(0.0, 0.0))
    if before != here or before[0] == CONTRADICTION:
        return None  # the observed precision does not even give back what was observed
    if any(owner.correct for owner in bound.hypotheses):
        steps = min(steps, COARSE)
    x, y = (_axis(bound, each, ref, estimates) for each, ref in zip((pair.x, pair.y), pair.moved, strict=True))
    at_x, at_y = estimates[pair.x.name].cells[0].value or 0.0, estimates[pair.y.name].cells[0].value or 0.0
    across, up = ([low - at for low in _steps(axis, steps)] for axis, at in ((x, at_x), (y, at_y)))
    found = _Points(bound, moves, pair, across, up)
    lines = [[found.at(i, j) for i in range(steps)] for j in range(steps)]
    verdicts = tuple("".join(letter for letter, _ in line) for line in lines)
    if len(set("".join(verdicts))) == 1:
        return None
    rows = tuple("".join(row for _, row in line) for line in lines)
    return Plane(x=x, y=y, verdicts=verdicts, rows=rows, triage=tuple(row.text for row in bound.triage))


class _Points:
    """Judges the points of a grid, each pattern of truths once.

    A court's ruling depends on the truths of the single comparisons alone, and most comparisons depend on one
    direction only: those are judged once per column or row. Corrections for multiplicity compare numbers with each
    other; with them every point is ruled upon.
    """

    def __init__(self, bound: Bound, moves: Moves, pair: _Pair, across: Sequence[float], up: Sequence[float]) -> None:
        self.bound, self.moves, self.pair, self.across, self.up = bound, moves, pair, across, up
        self._leaves = [(leaf, self._depends(leaf)) for leaf in _comparisons(bound)]
        self._truths: dict[tuple[int, int, int], tuple[Truth, ...]] = {}
        self._known: dict[tuple[tuple[Truth, ...], ...], tuple[str, str]] = {}
        self._alone = any(owner.correct for owner in bound.hypotheses)

    def at(self, i: int, j: int) -> tuple[str, str]:
        """Return the letters of the verdict and the triage row at a point."""
        if self._alone:
            return _point(self.bound, self._moved(i, j))
        pattern = tuple(self._truth(number, i, j) for number in range(len(self._leaves)))
        if pattern not in self._known:
            self._known[pattern] = _point(self.bound, self._moved(i, j))
        return self._known[pattern]

    def _truth(self, number: int, i: int, j: int) -> tuple[Truth, ...]:
        leaf, (on_x, on_y) = self._leaves[number]
        key = (number, i if on_x else -1, j if on_y else -1)
        if key not in self._truths:
            judge = Judge(self._moved(i, j), Situation())
            axes = judge.axes(leaf)
            places = (dict(zip(axes, spot, strict=True)) for spot in product(*axes.values()))
            self._truths[key] = tuple(judge.leaf(leaf, place).truth for place in places)
        return self._truths[key]

    def _moved(self, i: int, j: int) -> Mapping[str, Estimate]:
        return self.moves.at(*self.pair.shifts(self.across[i], self.up[j]))

    def _depends(self, leaf: Compare | Ci) -> tuple[bool, bool]:
        """Whether a comparison's values move with x, and with y."""
        (a, b), (c, d) = self.pair.inverse
        found = [pair for tree in values(leaf) for pair in self.moves.slopes(expression_id(tree))]
        return (
            any(abs(first * a + second * c) > 1e-12 for first, second in found),
            any(abs(first * b + second * d) > 1e-12 for first, second in found),
        )


def _comparisons(bound: Bound) -> list[Compare | Ci]:
    rules = [row.criterion for row in bound.triage] + [owner.after for owner in bound.hypotheses]
    clauses = [clause for owner in bound.hypotheses for clause in owner.clauses]
    criteria = [each.criterion for each in (*bound.gates, *bound.kills, *clauses)]
    return [leaf for rule in (*criteria, *rules) if rule is not None for leaf in leaves(rule)]


def _point(bound: Bound, estimates: Mapping[str, Estimate]) -> tuple[str, str]:
    court = Court(bound, estimates)
    try:
        word, _ = court.outcome
        row = triage(court)
    except PreregError:
        return CONTRADICTION, NO_ROW
    return LETTERS[word], NO_ROW if row is None else _DIGITS[row.row % len(_DIGITS)]


# --- which plane ----------------------------------------------------------------------------------------


def _pairs(bound: Bound, estimates: Mapping[str, Estimate]) -> Iterator[_Pair]:
    """Yield pairs of deciding estimands that can be moved apart: of two measures first, primary ones first."""
    found = [each for each in _scalars(bound) if _known(estimates.get(each.name))]
    pairs = sorted(combinations(found, 2), key=lambda pair: _measures(pair[0]) == _measures(pair[1]))
    for x, y in pairs:
        candidates = [(a, b) for a in refs(x.tree) for b in refs(y.tree) if a != b]
        for moved in candidates:
            inverse = _inverse(x, y, moved)
            if inverse is not None:
                yield _Pair(x, y, moved, inverse)
                break


def _inverse(
    x: Expression, y: Expression, moved: tuple[Ref, Ref]
) -> tuple[tuple[float, float], tuple[float, float]] | None:
    try:
        (a, b), (c, d) = ([slope(each.tree, ref, {}) for ref in moved] for each in (x, y))
    except Unmovable:
        return None
    scale = a * d - b * c
    return None if abs(scale) < 1e-12 else ((d / scale, -b / scale), (-c / scale, a / scale))


def _scalars(bound: Bound) -> list[Expression]:
    """Named single values that primary hypotheses, secondary ones or kills read (tested by a p-value, too)."""
    owners = sorted(bound.hypotheses, key=lambda owner: owner.role != "primary")
    criteria = [clause.criterion for owner in owners for clause in owner.clauses]
    criteria += [kill.criterion for kill in bound.kills]
    read = [node for criterion in criteria for tree in trees_of(criterion) for node in nodes(tree)]
    named = [e for e in bound.expressions if e.named and not e.axes and e.unit != "p"]
    named.sort(key=lambda e: next((i for i, node in enumerate(read) if node == e.tree), len(read)))
    return [e for e in named if e.tree in read]


def _known(estimate: Estimate | None) -> bool:
    return estimate is not None and len(estimate.cells) == 1 and estimate.cells[0].value is not None


def _measures(expression: Expression) -> frozenset[str]:
    return frozenset(ref.measure for ref in refs(expression.tree))


def _deciding(bound: Bound, by_id: Mapping[str, Estimate]) -> tuple[Expression, ...]:
    """Return the expressions that judging needs."""
    criteria = [clause.criterion for owner in bound.hypotheses for clause in owner.clauses]
    criteria += [owner.after for owner in bound.hypotheses if owner.after is not None]
    criteria += [kill.criterion for kill in bound.kills]
    criteria += [row.criterion for row in bound.triage if row.criterion is not None]
    wanted = set(needed(bound, criteria))
    if not wanted <= set(by_id):
        raise Unmovable("something that decides was not estimated")
    return tuple(e for e in bound.expressions if expression_id(e.tree) in wanted)


# --- how much of it -------------------------------------------------------------------------------------


def _axis(bound: Bound, expression: Expression, moved: Ref, estimates: Mapping[str, Estimate]) -> PlaneAxis:
    """Reach from the smallest to the largest of 0, the thresholds, and the estimate with its interval."""
    cell = estimates[expression.name].cells[0]
    shown = [0.0, cell.value or 0.0, *_thresholds(bound, expression)]
    shown += [end for interval in cell.intervals[:1] for end in (interval.low, interval.high)]
    low, high = min(shown), max(shown)
    room = MARGIN * (high - low or 1.0)
    low, high = low - room, high + room
    if expression.unit == "proportion":
        low, high = max(low, -1.0), min(high, 1.0)
    arm = " and ".join(moved.select.get("arm", ()))
    moves = f"{moved.measure} of {arm}" if arm else moved.measure
    unit = display_unit(expression.tree, expression.unit)
    return PlaneAxis(estimate=expression.name, display=unit, low=low, high=high, moves=moves)


def _thresholds(bound: Bound, expression: Expression) -> Iterator[float]:
    clauses = [clause for owner in bound.hypotheses for clause in owner.clauses]
    for clause in (*clauses, *bound.kills):
        for leaf in leaves(clause.criterion):
            about, *limits = values(leaf)
            if isinstance(about, PValue):
                yield from _constants([about.threshold] if about.of == expression.tree else [])
            elif about == expression.tree:
                yield from _constants(limits)


def _constants(trees: Iterable[Value]) -> Iterator[float]:
    yield from (float(limit) for tree in trees if (limit := constant(tree)) is not None)


def _steps(axis: PlaneAxis, steps: int) -> Sequence[float]:
    return [axis.low + (axis.high - axis.low) * i / (steps - 1) for i in range(steps)]
