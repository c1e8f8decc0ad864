"""What a rule reads: the criteria, their formulas, and the columns and levels that have to be simulated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from harness.contracts.bound import Bound, BoundMeasure
from harness.contracts.records import Column
from harness.contracts.trees import Call, Ci, Compare, Criterion, Expression, Ref, Value, expression_id
from harness.contracts.walks import leaves, nodes, refs, values
from harness.core.errors import PreregError, Problem, Where
from harness.decide.policy import CUT
from harness.decide.sides import constant

TRENDS = ("pearson", "spearman", "tau", "slope", "aoc", "successive", "entropy")
"""Functions that compare the levels of a kept dim with each other: each level is a knob of its own."""


@dataclass(frozen=True)
class Reading:
    """One column that the rule reads: its dims in order, the levels that are read, and who reads it."""

    measure: BoundMeasure
    column: Column
    dims: tuple[str, ...]
    levels: Mapping[str, tuple[str, ...]]
    refs: tuple[Ref, ...]

    @property
    def name(self) -> str:
        """``measure.column``."""
        return f"{self.measure.name}.{self.column.name}"

    @property
    def shape(self) -> tuple[int, ...]:
        """How many levels each dim has."""
        return tuple(len(self.levels[dim]) for dim in self.dims)

    def selected(self, ref: Ref, dim: str) -> tuple[str, ...]:
        """Return the levels of a dim that a reference takes."""
        return ref.select.get(dim) or self.measure.levels[dim]

    @property
    def runs(self) -> tuple[str, ...]:
        """Dims that tell trained runs apart: arm, sweeps and seed."""
        return tuple(dim for dim in self.dims if dim in ("arm", "seed") or dim in self.measure.sweeps)

    @property
    def drawn(self) -> tuple[str, ...]:
        """Dims whose levels are a sample from more: those drawn again, and personas and questions in any case."""
        over = self.measure.inference.over if self.measure.inference else ()
        names = dict.fromkeys((*over, "persona", "question"))
        return tuple(dim for dim in self.dims if dim in names and dim not in self.runs)

    def fixed(self, dim: str, level: str) -> bool:
        """Whether a level of a drawn dim stands alone wherever it is read: a fixed point and no draw."""
        chosen = [self.selected(ref, dim) for ref in self.refs]
        return not any(level in levels and len(levels) > 1 for levels in chosen)


@dataclass(frozen=True)
class Scene:
    """A registration seen by a simulation."""

    bound: Bound

    @cached_property
    def criteria(self) -> tuple[Criterion, ...]:
        """Everything that the verdict and the triage rest on."""
        return tuple(_criteria(self.bound))

    @cached_property
    def leaves(self) -> tuple[Compare | Ci, ...]:
        """Every comparison, in the order of the rule; equal ones in two places stand twice."""
        return tuple({id(leaf): leaf for criterion in self.criteria for leaf in leaves(criterion)}.values())

    @cached_property
    def named(self) -> dict[str, Expression]:
        """Named estimands."""
        return {expression.name: expression for expression in self.bound.expressions if expression.named}

    @cached_property
    def expressions(self) -> dict[str, Expression]:
        """Expressions by id, as the run estimates them."""
        return {expression_id(expression.tree): expression for expression in self.bound.expressions}

    @cached_property
    def keys(self) -> dict[int, str]:
        """Expression id by the identity of each formula in a comparison (digests cost; this asks once)."""
        trees = [tree for leaf in self.leaves for tree in values(leaf) if constant(tree) is None]
        return {id(tree): expression_id(tree) for tree in trees}

    @cached_property
    def readings(self) -> dict[str, Reading]:
        """Every column that decides, by ``measure.column``.

        Raises:
            PreregError: the rule reads measures of kinds that do not exist yet.
        """
        trees: list[Value] = [tree for leaf in self.leaves for tree in values(leaf)]
        wanted = [name for hypothesis in self.bound.hypotheses for name in hypothesis.expect_values]
        trees += [self.named[name].tree for name in wanted if name in self.named]
        found: dict[str, dict[str, Ref]] = {}
        measures = {measure.name: measure for measure in self.bound.measures}
        for ref in (ref for tree in trees for ref in refs(tree)):
            found.setdefault(f"{ref.measure}.{ref.column}", {})[ref.model_dump_json()] = ref
            if limit_of(measures[ref.measure], ref) is not None:
                cut = Ref(measure=ref.measure, column=CUT, select=ref.select)
                found.setdefault(f"{ref.measure}.{CUT}", {})[cut.model_dump_json()] = cut
        whole = any(isinstance(node, Call) and node.fn == "levels" for tree in trees for node in nodes(tree))
        together: dict[str, list[Ref]] = {}
        for name, own in found.items():
            together.setdefault(name.partition(".")[0], []).extend(own.values())
        readings, problems = {}, []
        for name, own in found.items():
            measure = measures[name.partition(".")[0]]
            column = next((each for each in measure.columns if each.name == name.partition(".")[2]), None)
            if column is None or column.form == "text":
                where = Where(self.bound.file, measure.line, key=f"measures.{measure.name}")
                found_kind = f"nothing can be simulated for {name}: kind '{measure.kind}' is not there"
                problems.append(Problem(where, found_kind))
                continue
            readings[name] = _reading(measure, column, tuple(own.values()), together[measure.name], whole)
        if problems:
            raise PreregError(problems)
        return readings


def _reading(measure: BoundMeasure, column: Column, own: tuple[Ref, ...], together: list[Ref], whole: bool) -> Reading:
    """Levels are those that any column of the measure is read at, so that its columns share their shape."""
    dims = tuple(dim for dim in measure.dims if dim != f"{column.pair}_b" or column.form != "gram")
    levels = {}
    for dim in dims:
        chosen = {level for ref in together for level in ref.select.get(dim) or measure.levels[dim]}
        levels[dim] = tuple(level for level in measure.levels[dim] if whole or level in chosen)
    return Reading(measure, column, dims, levels, own)


def limit_of(measure: BoundMeasure, ref: Ref) -> Fraction | None:
    """Return the share of truncated completions above which a reference's value is unknown; None where none is set."""
    limit = measure.truncated.get("at_most")
    has = any(column.name == CUT for column in measure.columns)
    return Fraction(limit) if has and limit not in (None, "none") and ref.column != CUT else None


def _criteria(bound: Bound) -> Iterator[Criterion]:
    yield from (gate.criterion for gate in bound.gates)
    yield from (kill.criterion for kill in bound.kills)
    for hypothesis in bound.hypotheses:
        yield from (clause.criterion for clause in hypothesis.clauses)
        if hypothesis.after is not None:
            yield hypothesis.after
    yield from (row.criterion for row in bound.triage if row.criterion is not None)


def correlated_dims(reading: Reading, trees: tuple[Value, ...]) -> frozenset[str]:
    """Return the dims of a reading along which some formula compares levels with each other."""
    found = set()
    for tree in trees:
        for node in nodes(tree):
            if isinstance(node, Call) and node.fn in TRENDS:
                inner = [each for arg in node.args for each in refs(arg)]
                found |= {dim for ref in inner if f"{ref.measure}.{ref.column}" == reading.name for dim in node.over}
    return frozenset(found)
