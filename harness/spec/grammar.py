"""Lark and the formula grammar: says what is wrong with a formula, and works out the tables for the parser.

``python -m harness.spec.grammar`` writes the tables again after ``formula.lark`` has changed; a test compares them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from harness.spec.lalr import TABLES

if TYPE_CHECKING:
    from lark import Lark, Token

Fault = Callable[["Token | None", set[str], int], Exception]
"""Makes the error to raise of the unexpected token (None: a character), what was expected, and the position."""


@cache
def _lark() -> tuple[Lark, ModuleType]:
    """Return the parser, and lark's exceptions as this parser raises them.

    They are kept together: a test runner that puts ``sys.modules`` back would have lark imported a second time, and
    its new classes do not match what the old parser raises.
    """
    import lark.exceptions

    grammar = Path(__file__).with_name("formula.lark").read_text(encoding="utf-8")
    parser = lark.Lark(grammar, start="formula", parser="lalr", lexer="contextual", propagate_positions=True,
                       maybe_placeholders=False)  # fmt: skip
    return parser, lark.exceptions


def parse(text: str, make: Callable[[str, int, int, list[Any]], Any], fault: Fault) -> Any:
    """Parse a text as :func:`harness.spec.lalr.parse` does, and say what is wrong when it is not of the grammar."""
    parser, known = _lark()

    def made(node: Any) -> Any:
        if not hasattr(node, "children"):
            return node
        return make(node.data, node.meta.start_pos, node.meta.end_pos, [made(child) for child in node.children])

    try:
        return made(parser.parse(text))
    except known.UnexpectedToken as error:
        expected = error.accepts or error.expected
        raise fault(error.token, set(expected), error.token.start_pos or 0) from error
    except known.UnexpectedCharacters as error:
        raise fault(None, set(), error.pos_in_stream or 0) from error


def tables() -> str:
    """Return the tables of the grammar as JSON, states numbered in the order in which a parse can reach them.

    Raises:
        AttributeError: when lark has changed inside; the tables that lie there are good until the grammar changes.
    """
    lark = _lark()[0]
    table, lexers = lark.parser.parser._parse_table, lark.parser.lexer.lexers
    numbers = _numbered(table)
    rules = sorted({arg for state in numbers for action, arg in table.states[state].values() if action.name != "Shift"},
                   key=lambda rule: (str(rule.origin.name), [(s.name, s.is_term) for s in rule.expansion]))  # fmt: skip
    places = {rule: -1 - index for index, rule in enumerate(rules)}
    known = sorted({_lexer(lexers[state]) for state in numbers})
    states = []
    for state in numbers:
        steps = sorted((name, numbers.get(arg, places.get(arg))) for name, (_, arg) in table.states[state].items())
        states.append([dict(steps), known.index(_lexer(lexers[state]))])
    return _written(
        {
            "terminals": {each.name: each.pattern.to_regexp() for each in sorted(lark.terminals, key=_name)},
            "ignored": sorted(lark.ignore_tokens),
            "rules": [_rule(rule) for rule in rules],
            "lexers": [json.loads(each) for each in known],
            "states": states,
            "end": numbers[table.end_states["formula"]],
        }
    )


def _name(terminal: Any) -> str:
    return str(terminal.name)


def _numbered(table: Any) -> dict[int, int]:
    """Number the states in the order in which they are reached; lark's own numbers may change with its version."""
    order = [table.start_states["formula"]]
    for state in order:
        steps = sorted((name, arg) for name, (action, arg) in table.states[state].items() if action.name == "Shift")
        order += [to for to in dict.fromkeys(to for _, to in steps) if to not in order]
    return {state: number for number, state in enumerate(order)}


def _lexer(lexer: Any) -> str:
    """Return the terminals that a lexer tries, and the words that take precedence over what a pattern matches."""
    names = [each.name for each in lexer.scanner.terminals]
    words = {
        name: {word.pattern.value: word.name for word in sorted(callback.scanner.terminals, key=_name)}
        for name, callback in sorted(lexer.callback.items())
    }
    return json.dumps([names, words])


def _rule(rule: Any) -> list[Any]:
    kept = [
        -1 - index if not symbol.is_term and symbol.name.startswith("_") else index
        for index, symbol in enumerate(rule.expansion)
        if not (symbol.is_term and symbol.filter_out)
    ]
    hands_on = rule.options.expand1 and not rule.alias and len(kept) == 1
    name = str(rule.alias or rule.origin.name)
    return [str(rule.origin.name), len(rule.expansion), kept, "" if hands_on else "_" if name[0] == "_" else name]


def _written(content: dict[str, Any]) -> str:
    """Write one entry a line, so that a change of the grammar shows as a change of lines."""
    parts = []
    for name, value in content.items():
        items = [json.dumps(each) for each in value] if isinstance(value, list) else None
        parts.append(f'"{name}": ' + (json.dumps(value) if items is None else "[\n" + ",\n".join(items) + "\n]"))
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    TABLES.write_text(tables(), encoding="utf-8")
