"""Bound formulas: every name resolved to measures, levels and kept dims.

Whoever evaluates them needs no registration beside them. Built by ``harness.compile.bind``, evaluated by
``harness.decide``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

from harness.contracts.records import Record
from harness.core.ident import key_digest

Rel = Literal[">", ">=", "<", "<="]


class _ByNode:
    """Marks a union of records of which ``node`` says which one it is.

    pydantic's own discriminator does the same, with the schemas of all records inside the schema of each: building
    them took a tenth of the time of ``prereg check``. Here a record's schema ends where the next record begins.
    """

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        kinds: dict[Any, type[Record]] = {kind.model_fields["node"].default: kind for kind in get_args(source)}

        def read(value: object) -> Record:
            kind = kinds.get(value.get("node")) if isinstance(value, Mapping) else None
            if kind is not None:
                return kind.model_validate(value)
            if type(value) in kinds.values():
                return value  # type: ignore[return-value]
            raise ValueError(f"a mapping whose 'node' is one of {', '.join(kinds)}")

        return core_schema.no_info_plain_validator_function(read)

    def __get_pydantic_json_schema__(self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler) -> Any:
        return {"type": "object", "properties": {"node": {"type": "string"}}, "required": ["node"]}


class Num(Record):
    """A quantity, exact: ``value`` is a fraction such as ``3/20`` (15 pp)."""

    node: Literal["num"] = "num"
    value: str
    unit: str = "1"


class Ref(Record):
    """A measured column.

    ``select`` lists, for every dim of the table, the levels that take part; dims in
    ``keep`` stay as axes (in that order) and all others are averaged with equal weights.
    """

    node: Literal["ref"] = "ref"
    measure: str
    column: str
    select: dict[str, tuple[str, ...]]
    keep: tuple[str, ...] = ()


class Neg(Record):
    """Minus the operand."""

    node: Literal["neg"] = "neg"
    of: Value


class Op(Record):
    """Arithmetic on two tables; axes are matched by name and broadcast."""

    node: Literal["op"] = "op"
    op: Literal["+", "-", "*", "/"]
    left: Value
    right: Value


class Call(Record):
    """A function of one or more tables that reduces the axes ``over``; other axes stay.

    ``leave_one_out`` does not reduce: it evaluates its argument once per level of ``over[0]`` without that
    level and returns a table over it. ``successive`` returns differences of neighbours along ``over[0]``.
    """

    node: Literal["call"] = "call"
    fn: str
    args: tuple[Value, ...]
    over: tuple[str, ...] = ()


class PValue(Record):
    """The p-value of ``of REL threshold`` against its complement.

    ``null`` None uses the inference of the measures; ``shuffled`` permutes ``dim`` (within ``within``);
    ``random`` compares with random directions of ``dim``. ``abs(x) > 0`` is the two-sided test of x = 0.
    """

    node: Literal["p"] = "p"
    of: Value
    rel: Rel
    threshold: Value
    null: Literal["shuffled", "random"] | None = None
    dim: str = ""
    within: str = ""


Value = Annotated[Num | Ref | Neg | Op | Call | PValue, _ByNode()]


class Compare(Record):
    """``left REL right``; ``text`` and ``line`` quote the registration."""

    node: Literal["compare"] = "compare"
    left: Value
    rel: Rel
    right: Value
    text: str
    line: int


class Ci(Record):
    """The whole interval of ``of`` at ``level`` satisfies ``rel bound``, or lies within ``low .. high``."""

    node: Literal["ci"] = "ci"
    of: Value
    level: str
    rel: Rel | None = None
    bound: Value | None = None
    low: Value | None = None
    high: Value | None = None
    text: str
    line: int


class Not(Record):
    """Kleene negation."""

    node: Literal["not"] = "not"
    of: Criterion


class All(Record):
    """Kleene conjunction."""

    node: Literal["and"] = "and"
    of: tuple[Criterion, ...]


class Any_(Record):  # noqa: N801 (the plain word is typing's)
    """Kleene disjunction."""

    node: Literal["or"] = "or"
    of: tuple[Criterion, ...]


class Over(Record):
    """``all(...)`` or ``any(...)`` over the axes that the comparisons inside keep."""

    node: Literal["over"] = "over"
    how: Literal["all", "any"]
    of: Criterion


class AtLeast(Record):
    """At least ``count`` of the criteria hold."""

    node: Literal["at_least"] = "at_least"
    count: int
    of: tuple[Criterion, ...]


class Hyp(Record):
    """A hypothesis or one of its clauses."""

    node: Literal["hyp"] = "hyp"
    name: str
    clause: str = ""


class State(Record):
    """``supported`` or ``killed``: the prereg's outcome."""

    node: Literal["state"] = "state"
    state: Literal["supported", "killed"]


Criterion = Annotated[Compare | Ci | Not | All | Any_ | Over | AtLeast | Hyp | State, _ByNode()]


def expression_id(tree: Value) -> str:
    """Return the identity of a bound formula: equal trees are estimated once."""
    return key_digest(tree.model_dump(mode="json"))


class Expression(Record):
    """One thing to estimate: a value tree with its name, unit, axes, and what is wanted of it.

    ``levels`` are the confidence levels whose intervals some criterion reads (the default level is always
    tried for named estimands). ``name`` is the estimand's, or the formula's text for an inline one.
    ``thresholds`` are the numbers that a criterion compares a p-value with: a Monte Carlo p whose 99% interval
    holds one draws ten times more.
    """

    name: str
    text: str
    unit: str
    axes: tuple[str, ...] = ()
    tree: Value
    levels: tuple[str, ...] = ()
    thresholds: tuple[str, ...] = ()
    named: bool = True
