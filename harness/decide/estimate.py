"""From measurement tables to an estimate: the value of an expression, exact where it can be, with its intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np

from harness.contracts.bound import BoundMeasure
from harness.contracts.display import display_unit
from harness.contracts.records import Cell, Estimate, Interval
from harness.contracts.trees import Expression, PValue, Ref, Value
from harness.contracts.walks import nodes, refs
from harness.core.errors import JobError
from harness.core.numbers import format_interval
from harness.decide.draws import NoInferenceError
from harness.decide.evaluate import Evaluator
from harness.decide.exact import ExactTable, exact, has_exact
from harness.decide.infer import agreed, infer
from harness.decide.labelled import Labelled
from harness.decide.policy import spoilt, worst_cases
from harness.decide.shape import axes_of, map_refs
from harness.decide.tables import World, level_counts, load_world, observations
from harness.decide.uncertainty import Uncertainty
from harness.stats.arrays import FloatArray

UNDEFINED = "the value is undefined (a division by zero, or nothing varies)"
Tables = Mapping[str, Sequence[tuple[Mapping[str, str], Path]]]


def estimate(
    expression: Expression,
    measures: Mapping[str, BoundMeasure],
    tables: Tables,
    *,
    default_level: str = "19/20",
) -> Estimate:
    """Estimate one expression.

    Args:
        expression: what is wanted, bound.
        measures: every measure that the expression reads.
        tables: per measure, artifact directories with the coordinates (arm, sweep levels, seed) of all their rows.
        default_level: of the interval that named estimands get unasked, unless the measures declare another.

    Returns:
        One cell per combination of the kept dims. A value that is undefined is None with the reason. Intervals are
        at every level in ``expression.levels``, and at the default level when it is named and an inference is
        declared; where there can be none, ``note`` says why.

    Raises:
        JobError: data are missing or do not fit the formula. Nothing missing becomes a number.
    """
    return estimate_in(expression, load_world(measures, tables), default_level=default_level)


def estimate_in(expression: Expression, world: World, *, default_level: str = "19/20") -> Estimate:
    """Estimate one expression on tables that are in memory: see :func:`estimate`."""
    if not refs(expression.tree):
        raise JobError(f"'{expression.text}' holds no data to estimate from")
    tree = _complete(expression.tree, world)
    refusal = spoilt(tree, world)
    evaluator = Evaluator(world, expression.name, tuple(Fraction(t) for t in expression.thresholds))
    table = _ordered(evaluator.value(tree), expression)
    fractions = exact(tree, world) if has_exact(tree, world) else None
    levels = _levels(expression, tree, world, default_level)
    spread = _Spread(_uncertainty(tree, evaluator, levels), levels, table, axes_of(tree))
    if spread.lacks(table):
        evaluator.notes["no interval where nothing varies between the drawn units"] = None
    if worst := worst_cases(tree, world):
        shown = format_interval(*worst, display_unit(tree, expression.unit))
        evaluator.notes[f"{shown} over all ways to count the truncated completions"] = None
    if evaluator.methods:
        evaluator.notes.update(dict.fromkeys(_given(tree, world)))
    cells = _cells(table, fractions, spread, tuple(evaluator.reasons))
    return Estimate(
        name=expression.name,
        formula=expression.text,
        unit=expression.unit,
        axes=expression.axes,
        cells=_unknown(cells, refusal) if refusal else cells,
        counts={**level_counts(world, refs(tree)), "observations": observations(world, refs(tree))},
        method="; ".join(evaluator.methods),
        draws=evaluator.draws,
        note="; ".join(evaluator.notes),
    )


def _complete(tree: Value, world: World) -> Value:
    """Return the tree with every reference's selection spelt out over the measure's dims, and no others."""

    def spell(ref: Ref) -> Ref:
        if ref.measure not in world.measures:
            raise JobError(f"nothing was measured for {ref.measure}: no data is an error and never a zero")
        dense = world.measures[ref.measure]
        select = {dim: ref.select.get(dim) or dense.measure.levels[dim] for dim in dense.dims}
        return ref.model_copy(update={"select": select})

    return map_refs(tree, spell)


def _ordered(table: Labelled, expression: Expression) -> Labelled:
    if set(table.axes) != set(expression.axes):
        bound, found = " and ".join(expression.axes) or "one value", " and ".join(table.axes) or "one value"
        raise JobError(f"'{expression.text}' is bound as a table by {bound} and evaluates to one by {found}")
    return table.moved(expression.axes)


def _levels(expression: Expression, tree: Value, world: World, default: str) -> tuple[str, ...]:
    levels = list(expression.levels)
    if expression.named:
        try:
            declared = agreed(tree, world).level
            levels.insert(0, default if Fraction(declared) == Fraction(19, 20) else declared)
        except NoInferenceError:
            levels.insert(0, default)
    unique = {Fraction(level): level for level in reversed(levels)}
    return tuple(unique[fraction] for fraction in dict.fromkeys(Fraction(level) for level in levels))


def _uncertainty(tree: Value, evaluator: Evaluator, levels: Sequence[str]) -> Uncertainty | None:
    """Return the uncertainty when intervals are wanted and possible; leave the reason in the notes when not."""
    if not levels or any(isinstance(node, PValue) for node in nodes(tree)):
        return None
    try:
        found = infer(tree, evaluator.world, evaluator.value, evaluator.name)
        found.interval(float(Fraction(levels[0])))
    except NoInferenceError as why:
        evaluator.notes[f"no interval: {why}"] = None
        return None
    evaluator.methods[found.method] = None
    evaluator.notes.update(dict.fromkeys(found.notes))
    evaluator.draws = max(evaluator.draws, found.draws)
    return found


def _given(tree: Value, world: World) -> tuple[str, ...]:
    """Return to what the result does not generalise: dims with several levels, or one seed, that are not drawn."""
    try:
        drawn = agreed(tree, world).over
    except NoInferenceError:
        return ()
    notes = []
    for dim in dict.fromkeys(dim for ref in refs(tree) for dim in ref.select):
        sizes = {len(ref.select[dim]) for ref in refs(tree) if dim in ref.select and dim not in ref.keep}
        sweep = any(dim in dense.measure.sweeps for dense in world.measures.values())
        if dim in drawn or dim == "arm" or not sizes or (sweep and dim != "seed"):
            continue
        if dim == "seed":
            notes.append("for these trained models")
        elif max(sizes) > 1:
            notes.append(f"for these {max(sizes)} levels of {dim}")
    return tuple(notes)


class _Spread:
    """Standard errors, degrees of freedom and intervals per cell, in the order of the expression's axes."""

    def __init__(self, found: Uncertainty | None, levels: Sequence[str], table: Labelled, order: Sequence[str]) -> None:
        self.columns: dict[str, FloatArray] = {}
        self.levels = levels if found is not None else ()
        if found is None:
            return
        inner = table.moved(order)

        def arranged(values: FloatArray) -> FloatArray:
            return (
                Labelled(inner.axes, inner.levels, values.reshape(inner.data.shape)).moved(table.axes).data.reshape(-1)
            )

        for name, values in (("se", found.se), ("df", found.df)):
            if values is not None:
                self.columns[name] = arranged(values)
        for level in levels:
            low, high = found.interval(float(Fraction(level)))
            self.columns[f"{level} low"], self.columns[f"{level} high"] = arranged(low), arranged(high)

    def lacks(self, table: Labelled) -> bool:
        """Whether a cell that has a value lacks an interval."""
        known = np.isfinite(table.data.reshape(-1))
        return any(not np.isfinite(self.columns[f"{level} low"][known]).all() for level in self.levels)

    def at(self, index: int, name: str) -> float | None:
        """Return a finite number or None."""
        values = self.columns.get(name)
        return None if values is None or not math.isfinite(values[index]) else float(values[index])

    def intervals(self, index: int) -> tuple[Interval, ...]:
        """Return the intervals of one cell; one that is undefined is left out."""
        found = []
        for level in self.levels:
            low, high = self.at(index, f"{level} low"), self.at(index, f"{level} high")
            if low is not None and high is not None:
                found.append(Interval(level=level, low=low, high=high))
        return tuple(found)


def _unknown(cells: Sequence[Cell], reason: str) -> tuple[Cell, ...]:
    return tuple(Cell(at=cell.at, value=None, reason=reason) for cell in cells)


def _cells(table: Labelled, fractions: ExactTable | None, spread: _Spread, reasons: Sequence[str]) -> tuple[Cell, ...]:
    cells = []
    values = table.data.reshape(-1)
    for index, place in enumerate(product(*(table.levels[axis] for axis in table.axes))):
        at = dict(zip(table.axes, place, strict=True))
        value: float | None = float(values[index])
        text = None
        if fractions is not None:
            fraction = fractions.cells[tuple(at[axis] for axis in fractions.axes)]
            value = None if fraction is None else float(fraction)
            text = None if fraction is None else f"{fraction.numerator}/{fraction.denominator}"
        if value is None or not math.isfinite(value):
            cells.append(Cell(at=at, value=None, reason="; ".join(reasons) or UNDEFINED))
            continue
        se, df = spread.at(index, "se"), spread.at(index, "df")
        cells.append(Cell(at=at, value=value, exact=text, intervals=spread.intervals(index), se=se, df=df))
    return tuple(cells)
