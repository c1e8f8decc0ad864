"""Parse formulas and criteria (`language.md`) into trees with positions. There is no ``eval`` anywhere.

The grammar (``formula.lark``) reads values and criteria alike; the checks here tell them apart.
"""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from harness.spec.scalars import UNIT_WORDS
from harness.spec.syntax import (
    And,
    Arg,
    Binary,
    Call,
    Compare,
    Name,
    Negative,
    Node,
    Not,
    Null,
    Number,
    Or,
    Selector,
    Tree,
    Within,
)

if TYPE_CHECKING:
    from lark import Lark, Token

QUANTIFIERS = ("all", "any", "at_least")
_WORDS = {
    "NAME": "a name", "NUMBER": "a number", "REL": "a comparison (> >= < <=)", "LPAR": "'('", "RPAR": "')'",
    "RSQB": "']'", "COMMA": "','", "LEVEL": "a level", "STRING": "a level in quotes", "DOT": "'.'",
}  # fmt: skip


class FormulaError(Exception):
    """A formula that cannot be read: what was found, what was expected, a hint, and the position in its text."""

    def __init__(self, found: str, expected: str = "", hint: str = "", *, position: int = 0) -> None:
        super().__init__(found)
        self.found, self.expected, self.hint, self.position = found, expected, hint, position


def parse_estimand(text: str) -> Arg:
    """Parse ``value [by DIM {and DIM}]``.

    Raises:
        FormulaError: with the position of the fault.
    """
    tree = _parse(text)
    _check_value(tree.of)
    return tree


def parse_criterion(text: str) -> Tree:
    """Parse a criterion: comparisons, hypotheses and states under and, or, not, all, any and at_least.

    Raises:
        FormulaError: with the position of the fault.
    """
    tree = _parse(text)
    if tree.by:
        raise FormulaError("'by' at the end of a criterion", "a comparison", "name a table in estimands and reduce it "
                           "here with all(), any(), min() or max()", position=tree.of.end)  # fmt: skip
    _check_criterion(tree.of)
    return tree.of


@cache
def _parser() -> Lark:
    """Build the parser once per process, and lark's import with it."""
    from lark import Lark

    grammar = Path(__file__).with_name("formula.lark").read_text(encoding="utf-8")
    return Lark(grammar, start="formula", parser="lalr", lexer="contextual", propagate_positions=True,
                maybe_placeholders=False)  # fmt: skip


@cache
def _builder() -> Any:
    from lark import Transformer, v_args

    @v_args(meta=True)
    class Build(Transformer[Any, Any]):
        """Turns parsed rules into trees."""

        def formula(self, meta: Any, items: list[Any]) -> Any:
            return items[0]

        def arg(self, meta: Any, items: list[Any]) -> Arg:
            return Arg(items[0], items[1] if len(items) > 1 else (), **_span(meta))

        def by(self, meta: Any, items: list[Any]) -> tuple[str, ...]:
            return tuple(map(str, items))

        def part(self, meta: Any, items: list[Any]) -> str:
            return str(items[0])

        def number(self, meta: Any, items: list[Any]) -> Number:
            return Number(str(items[0]), str(items[1]) if len(items) > 1 else "", **_span(meta))

        def name(self, meta: Any, items: list[Any]) -> Name:
            selectors = items.pop() if isinstance(items[-1], list) else []
            return Name(str(items[0]), items[1] if len(items) > 1 else "", tuple(selectors), **_span(meta))

        def selectors(self, meta: Any, items: list[Any]) -> list[Any]:
            return items

        def selector(self, meta: Any, items: list[Any]) -> Selector:
            words = [str(item)[1:-1] if item.type == "STRING" else str(item) for item in items]
            return Selector(words[-1], words[0] if len(words) > 1 else "", **_span(meta))

        def call(self, meta: Any, items: list[Any]) -> Call:
            null = items.pop() if isinstance(items[-1], Null) else None
            return Call(str(items[0]), tuple(items[1:]), null, **_span(meta))

        def shuffled(self, meta: Any, items: list[Any]) -> Null:
            within = str(items[1]) if len(items) > 1 else ""
            return Null("shuffled", str(items[0]), within, **_span(meta))

        def random(self, meta: Any, items: list[Any]) -> Null:
            return Null("random", str(items[0]), "", **_span(meta))

        def group(self, meta: Any, items: list[Any]) -> Any:
            return dataclasses.replace(items[0], **_span(meta))

        def negative(self, meta: Any, items: list[Any]) -> Negative:
            if items[0] == "+":
                raise FormulaError("a '+' before a value", "a value", position=meta.start_pos)
            return Negative(items[1], **_span(meta))

        def binary(self, meta: Any, items: list[Any]) -> Binary:
            return Binary(str(items[1]), items[0], items[2], **_span(meta))

        def compare(self, meta: Any, items: list[Any]) -> Compare:
            return Compare(items[0], str(items[1]), items[2], **_span(meta))

        def within(self, meta: Any, items: list[Any]) -> Within:
            return Within(items[0], items[1], items[2], **_span(meta))

        def not_(self, meta: Any, items: list[Any]) -> Not:
            return Not(items[0], **_span(meta))

        def and_(self, meta: Any, items: list[Any]) -> And:
            return And(tuple(items), **_span(meta))

        def or_(self, meta: Any, items: list[Any]) -> Or:
            return Or(tuple(items), **_span(meta))

    return Build()


def _span(meta: Any) -> dict[str, int]:
    return {"start": meta.start_pos, "end": meta.end_pos}


@cache
def _errors() -> ModuleType:
    """Lark's exceptions as the parser raises them.

    Kept with the parser: a test runner that puts ``sys.modules`` back would have lark imported a second time,
    and its new classes do not match what the old parser raises.
    """
    import lark.exceptions

    return lark.exceptions


def _parse(text: str) -> Arg:
    known = _errors()
    try:
        tree: Any = _builder().transform(_parser().parse(text))
    except known.UnexpectedToken as error:
        raise _unexpected(error.token, error.accepts or error.expected, text) from error
    except known.UnexpectedCharacters as error:
        at = error.pos_in_stream or 0
        raise FormulaError(f"'{text[at]}' cannot stand here", hint=_hint(text, at), position=at) from error
    except known.VisitError as error:
        raise error.orig_exc from error
    return tree  # type: ignore[no-any-return]


def _unexpected(token: Token, expected: Any, text: str) -> FormulaError:
    words = sorted({_WORDS[name] for name in expected if name in _WORDS})
    if token.type == "$END":
        return FormulaError("the formula ends too early", " or ".join(words), position=len(text))
    start = token.start_pos or 0
    return FormulaError(f"'{token}' cannot stand here", " or ".join(words), _hint(text, start), position=start)


def _hint(text: str, position: int) -> str:
    if text[position] in "=!≥≤≠":
        return "comparisons are > >= < <="
    before = text[:position].rstrip()
    if before[-1:].isdigit() and (text[position].isalpha() or text[position] in "°€$‰"):
        return "units are " + " ".join(UNIT_WORDS)
    if text[position] in "&^":
        return "write 'and', 'or' and 'not' as words; there is no power"
    return ""


def _check_value(tree: Tree) -> None:
    match tree:
        case Number() | Name():
            return
        case Negative(of):
            _check_value(of)
        case Binary(_, left, right):
            _check_value(left)
            _check_value(right)
        case Call("p", args, _):
            if len(args) != 1 or not isinstance(args[0].of, Compare) or args[0].by:
                raise FormulaError("p() without a comparison", "p(value > value)", "as in p(x > 15 pp), the p-value "
                                   "against 'x is 15 pp or less'", position=tree.start)  # fmt: skip
            _check_value(args[0].of.left)
            _check_value(args[0].of.right)
        case Call("ci", _, _):
            raise FormulaError("ci() inside a value", hint="ci(value) stands alone on the left of a comparison: "
                               "ci(x) > 0", position=tree.start)  # fmt: skip
        case Call(fn, args, null) if fn not in QUANTIFIERS:
            if null:
                raise FormulaError(f"a null in {fn}()", hint="only p() takes one", position=null.start)
            for arg in args:
                _check_value(arg.of)
        case _:
            raise FormulaError("a criterion stands where a number is expected", "a value", position=tree.start)


def _check_criterion(tree: Tree) -> None:
    match tree:
        case And(of) | Or(of):
            for one in of:
                _check_criterion(one)
        case Not(of):
            _check_criterion(of)
        case Compare(Call("ci") as interval, _, right):
            _check_interval(interval)
            _check_value(right)
        case Compare(left, _, right):
            _check_value(left)
            _check_value(right)
        case Within(Call("ci") as interval, low, high):
            _check_interval(interval)
            _check_value(low)
            _check_value(high)
        case Within(of, _, _):
            raise FormulaError("'within' after a value", "ci(value) within low .. high", position=of.start)
        case Call("all" | "any" as fn, args, null):
            if len(args) != 1 or null or args[0].by:
                raise FormulaError(f"{fn}() with more than a criterion", f"{fn}(criterion)", position=tree.start)
            _check_criterion(args[0].of)
        case Call("at_least", args, null):
            _check_at_least(tree, args, null)
        case Name(_, _, selectors):
            if selectors:
                raise _number_for_criterion(tree)
        case _:
            raise _number_for_criterion(tree)


def _number_for_criterion(tree: Node) -> FormulaError:
    return FormulaError("a number stands where a comparison is expected", "value > value, or a hypothesis",
                        "compare it with something: x > 0", position=tree.start)  # fmt: skip


def _check_interval(call: Call) -> None:
    level = call.args[1].of if len(call.args) == 2 else Number("95", "%")
    if len(call.args) > 2 or call.null or call.args[0].by or not (isinstance(level, Number) and level.unit == "%"):
        raise FormulaError("ci() takes a value and perhaps a level", "ci(value) or ci(value, 90%)", position=call.start)
    _check_value(call.args[0].of)


def _check_at_least(tree: Node, args: tuple[Arg, ...], null: Null | None) -> None:
    count = args[0].of
    if null or not isinstance(count, Number) or not count.number.isdigit() or count.unit or len(args) < 2:
        raise FormulaError("at_least() without a count", "at_least(2, criterion, criterion, …)", position=tree.start)
    if not 1 <= int(count.number) <= len(args) - 1:
        raise FormulaError(f"at_least({count.number}, …) of {len(args) - 1} criteria", position=tree.start)
    for arg in args[1:]:
        if arg.by:
            raise FormulaError("'by' in a criterion", position=arg.start)
        _check_criterion(arg.of)
