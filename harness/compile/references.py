"""References: a measure's name with its column, brackets and kept dims, to the levels that take part."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from harness.compile.banks import place_of
from harness.compile.units import ANY, Typed
from harness.contracts.bound import BoundMeasure, Dim
from harness.contracts.records import Column
from harness.contracts.trees import Ref
from harness.core.registry import did_you_mean
from harness.spec import syntax
from harness.spec.formula import FormulaError
from harness.spec.read import shortened


class Broken(Exception):
    """The formula refers to something that is broken, which was reported where it stands."""


@dataclass(frozen=True)
class Fixed:
    """The levels of a dim that a selection leaves; ``single`` when there is one, which is no axis."""

    levels: tuple[str, ...]
    single: bool


@dataclass
class Names:
    """Everything that a formula can refer to."""

    measures: Mapping[str, BoundMeasure]
    estimands: Mapping[str, syntax.Arg]
    dims: Mapping[str, Dim]
    choices: Mapping[str, str]
    """Choice -> the dim that it picks a level of."""
    hypotheses: tuple[str, ...] = ()
    replaced: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    alpha: Fraction | None = None
    lacking: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    """Measure -> arm -> sweeps of the measure that the arm does not have."""
    rehearsal: bool = False
    broken: set[tuple[str, str]] = field(default_factory=set)
    unsupported: dict[str, None] = field(default_factory=dict)
    """What is understood and cannot be evaluated yet, gathered while binding."""

    def is_broken(self, section: str, name: str) -> bool:
        """Say whether a name refers to something that has been reported already."""
        return bool({(section, name), (section, "*")} & self.broken)


class References:
    """Resolves references to measures; one per prereg."""

    def __init__(self, names: Names) -> None:
        self.names = names

    def measured(
        self, node: syntax.Name, measure: BoundMeasure, keep: tuple[str, ...], fixed: Mapping[str, Fixed]
    ) -> Typed:
        """Bind a reference.

        Raises:
            FormulaError: an unknown column, level or set, or a dim that the formula leaves open.
        """
        column = self._column(node, measure)
        chosen = self.selected(node, measure.levels, f"measure '{measure.name}'")
        select: dict[str, tuple[str, ...]] = {}
        axes: list[str] = []
        for dim in measure.dims:
            select[dim], is_axis = self._levels_of(dim, measure, keep, chosen, fixed, node)
            if is_axis:
                axes.append(dim)
        axes += self._columns_kept(measure, keep)
        ordered = tuple(dim for dim in keep if dim in axes)
        tree = Ref(measure=measure.name, column=column.name, select=select, keep=ordered)
        low = -math.inf if column.low is None else column.low
        high = math.inf if column.high is None else column.high
        return Typed(tree, ANY if measure.family == "missing" else column.unit, ordered, low, high)

    def _levels_of(
        self, dim: str, measure: BoundMeasure, keep: tuple[str, ...], chosen: Mapping[str, Fixed],
        fixed: Mapping[str, Fixed], node: syntax.Name,
    ) -> tuple[tuple[str, ...], bool]:  # fmt: skip
        """Return the levels of one dim that take part, and whether it stays as an axis."""
        levels, known = measure.levels[dim], self.names.dims.get(dim)
        if dim in chosen:
            return chosen[dim].levels, dim in keep and not chosen[dim].single
        if dim in fixed:
            inside = tuple(level for level in fixed[dim].levels if level in levels or level in self.names.choices)
            if inside != fixed[dim].levels:
                outside = [level for level in fixed[dim].levels if level not in inside]
                raise FormulaError(f"measure '{measure.name}' does not hold {shortened(outside)} of {dim}",
                                   f"one of {shortened(levels)}", position=node.start)  # fmt: skip
            return inside, dim in keep and not fixed[dim].single
        if dim in keep:
            return levels, True
        if len(levels) == 1 or dim == "seed" or (known is not None and known.file is not None and not known.primary):
            return levels, False
        if known is not None and known.primary == "mean":
            return levels, False
        if known is not None and known.primary:
            return (known.primary,), False
        if dim != "arm" and self._does_not_apply(dim, measure, chosen, fixed):
            # Arms without this sweep are the same at each of its levels: one stands for all.
            return levels[:1], False
        remedy = (
            f"fix it, as in {node.name}[{'' if dim == 'arm' else dim + '='}{levels[0]}], or keep it with 'by {dim}'"
        )
        if dim != "arm":
            remedy += f", or give dims.{dim} a primary"
        found = f"'{node.name}' has {len(levels)} levels of {dim} and the formula does not say which"
        raise FormulaError(found, hint=f"what is set is never averaged silently: {remedy}", position=node.start)

    def _does_not_apply(
        self, dim: str, measure: BoundMeasure, chosen: Mapping[str, Fixed], fixed: Mapping[str, Fixed]
    ) -> bool:
        arms = chosen.get("arm") or fixed.get("arm")
        names = arms.levels if arms is not None else measure.levels.get("arm", ())
        lacking = self.names.lacking.get(measure.name, {})
        return bool(names) and all(dim in lacking.get(arm, ()) for arm in names)

    def _columns_kept(self, measure: BoundMeasure, keep: tuple[str, ...]) -> list[str]:
        """Kept columns of a bank (``by dataset``): understood, and not evaluated yet."""
        found = []
        for dim in measure.dims:
            columns = self.names.dims[dim].columns if dim in self.names.dims else {}
            found += [column for column in keep if column in columns and column not in measure.dims]
        for column in found:
            self.names.unsupported[f"grouping by the column '{column}'"] = None
        return found

    def _column(self, node: syntax.Name, measure: BoundMeasure) -> Column:
        if measure.family == "missing":
            return Column(name=node.part or "value")
        columns = {column.name: column for column in measure.columns if column.form != "text"}
        if not node.part:
            return next(iter(columns.values()))
        if node.part not in columns:
            raise FormulaError(f"measure '{measure.name}' has no column '{node.part}'", f"one of {shortened(columns)}",
                               did_you_mean(node.part, columns), position=node.start)  # fmt: skip
        return columns[node.part]

    # --- selections ---

    def selected(self, node: syntax.Name, levels: Mapping[str, tuple[str, ...]], what: str) -> dict[str, Fixed]:
        """Resolve the brackets of a name to levels by dim."""
        chosen: dict[str, Fixed] = {}
        for one in node.selectors:
            dim = self._dim_of(one, levels, what)
            if dim in chosen:
                raise FormulaError(f"{dim} is selected twice", "one level or set of it", position=one.start)
            chosen[dim] = self._select(one, dim, levels[dim], what)
        return chosen

    def _dim_of(self, one: syntax.Selector, levels: Mapping[str, tuple[str, ...]], what: str) -> str:
        if one.dim:
            if one.dim not in levels:
                raise FormulaError(f"{what} has no dim '{one.dim}'", f"one of {shortened(levels)}",
                                   did_you_mean(one.dim, levels), position=one.start)  # fmt: skip
            return one.dim
        found = [dim for dim in levels if self._find(one.level, dim, levels[dim]) is not None]
        if len(found) == 1:
            return found[0]
        if found:
            raise FormulaError(f"'{one.level}' is a level of {' and of '.join(found)}", f"{found[0]}={one.level}",
                               position=one.start)  # fmt: skip
        for dim in levels:
            known = self.names.dims.get(dim)
            if known is not None and (one.level in known.levels or one.level in known.sets):
                raise FormulaError(f"{what} does not hold '{one.level}'", f"levels of {dim}: {shortened(levels[dim])}",
                                   position=one.start)  # fmt: skip
        known_names = [name for dim in levels for name in (*levels[dim], *self._sets(dim))]
        raise FormulaError(f"{what} has no level or set '{one.level}'", f"one of {shortened(known_names)}",
                           did_you_mean(one.level, known_names), position=one.start)  # fmt: skip

    def _sets(self, dim: str) -> Mapping[str, tuple[str, ...]]:
        return self.names.dims[dim].sets if dim in self.names.dims else {}

    def _find(self, word: str, dim: str, levels: tuple[str, ...]) -> Fixed | None:
        """Find a word among a dim's sets, levels and choices; a set must lie within ``levels``."""
        members = self._sets(dim).get(word)
        if members is not None:
            return Fixed(members, single=len(members) == 1) if set(members) <= set(levels) else None
        level = place_of(word, levels, self.names.replaced.get(dim, ()))
        if level is not None:
            return Fixed((level,), single=True)
        if self.names.choices.get(word) == dim:
            return Fixed((word,), single=True)
        return Fixed(levels, single=False) if word == "all" and set(levels) == set(self._all(dim)) else None

    def _all(self, dim: str) -> tuple[str, ...]:
        return self.names.dims[dim].levels if dim in self.names.dims else ()

    def _select(self, one: syntax.Selector, dim: str, levels: tuple[str, ...], what: str) -> Fixed:
        found = self._find(one.level, dim, levels)
        if found is None:
            if self.names.is_broken("choose", one.level):
                raise Broken
            members = self._sets(dim).get(one.level, ())
            outside = [level for level in members if level not in levels]
            known = [*levels, *self._sets(dim), *(c for c, of in self.names.choices.items() if of == dim)]
            raise FormulaError(
                f"{what} does not hold {shortened(outside)} of '{one.level}'" if outside
                else f"{what} has no {dim} '{one.level}'", f"one of {shortened(known)}",
                did_you_mean(one.level, [name for name in known if name != one.level]), position=one.start,
            )  # fmt: skip
        return found
