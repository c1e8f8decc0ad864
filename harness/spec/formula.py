"""Parse formulas and criteria (`language.md`) into trees with positions. There is no ``eval`` anywhere.

The grammar (``formula.lark``) reads values and criteria alike; the checks here tell them apart. Formulas that are
right are read with tables (``harness.spec.lalr``), the others once more by lark itself, for its account of the fault.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from harness.spec import lalr
from harness.spec.scalars import LARGEST_EXPONENT, UNIT_WORDS, is_computable
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
    from lark import Token

DEEPEST = 100
"""Parts of a formula within each other."""
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


def _parse(text: str) -> Arg:
    try:
        tree: Any = lalr.parse(text, _made)
    except (lalr.Unreadable, FormulaError):
        # Rare, and then lark is worth its import: it knows what was expected.
        from harness.spec import grammar

        tree = grammar.parse(text, _made, partial(_fault, text))
    _check_depth(tree)
    return tree  # type: ignore[no-any-return]


def _check_depth(tree: Node) -> None:
    """Refuse what is nested so deep that walking through it would exhaust the stack; sums nest with every term."""
    level, depth = [tree], 0
    while level:
        if depth > DEEPEST:
            raise FormulaError(f"a formula of more than {DEEPEST} parts within each other", "a shorter one",
                               "give parts of it names in estimands", position=level[0].start)  # fmt: skip
        level, depth = [part for node in level for part in _parts(node)], depth + 1


def _parts(node: Node) -> Iterator[Node]:
    for name in node.__dataclass_fields__:
        value = getattr(node, name)
        yield from (part for part in (value if isinstance(value, tuple) else (value,)) if isinstance(part, Node))


def _made(rule: str, start: int, end: int, items: list[Any]) -> Any:
    """Return the part of the tree that a rule of the grammar stands for."""
    span = {"start": start, "end": end}
    match rule:
        case "formula":
            return items[0]
        case "arg":
            return Arg(items[0], items[1] if len(items) > 1 else (), **span)
        case "by":
            return tuple(map(str, items))
        case "part":
            return str(items[0])
        case "number":
            if not is_computable(str(items[0])):
                raise FormulaError("a number that is too large, too small or too long",
                                   f"one within ±1e{LARGEST_EXPONENT}", position=start)  # fmt: skip
            return Number(str(items[0]), str(items[1]) if len(items) > 1 else "", **span)
        case "name":
            selectors = items.pop() if isinstance(items[-1], list) else []
            return Name(str(items[0]), items[1] if len(items) > 1 else "", tuple(selectors), **span)
        case "selectors":
            return items
        case "selector":
            words = [str(item)[1:-1] if item.type == "STRING" else str(item) for item in items]
            return Selector(words[-1], words[0] if len(words) > 1 else "", **span)
        case "call":
            null = items.pop() if isinstance(items[-1], Null) else None
            return Call(str(items[0]), tuple(items[1:]), null, **span)
        case "shuffled" | "random":
            return Null(rule, str(items[0]), str(items[1]) if len(items) > 1 else "", **span)
        case "group":
            return dataclasses.replace(items[0], **span)
        case "negative":
            if items[0] == "+":
                raise FormulaError("a '+' before a value", "a value", position=start)
            return Negative(items[1], **span)
        case "binary":
            return Binary(str(items[1]), items[0], items[2], **span)
        case "compare":
            return Compare(items[0], str(items[1]), items[2], **span)
        case "within":
            return Within(items[0], items[1], items[2], **span)
        case "not_":
            return Not(items[0], **span)
        case "and_":
            return And(tuple(items), **span)
        case "or_":
            return Or(tuple(items), **span)
    raise AssertionError(f"the grammar has a rule '{rule}' that nothing is made of")


def _fault(text: str, token: Token | None, expected: set[str], start: int) -> FormulaError:
    """Return the error of what lark did not expect: a token, or (None) a character."""
    words = " or ".join(sorted({_WORDS[name] for name in expected if name in _WORDS}))
    if token is None:
        return FormulaError(f"'{text[start]}' cannot stand here", hint=_hint(text, start), position=start)
    if token.type == "$END":
        return FormulaError("the formula ends too early", words, position=len(text))
    return FormulaError(f"'{token}' cannot stand here", words, _hint(text, start), position=start)


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
