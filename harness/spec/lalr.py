"""Parse formulas with tables that lark has worked out beforehand (``harness.spec.grammar``).

Importing lark and building its parser costs every process 50 to 60 ms, of which reading a prereg's formulas needs
none: the grammar does not change between runs. This is the usual loop of an LALR(1) parser with a contextual lexer
and nothing else. It reads what is right; what it cannot read is read again by lark, which says what is wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

TABLES = Path(__file__).with_name("formula.tables.json")


class Unreadable(Exception):
    """A text that the grammar does not know. It says no more: lark does."""


class Word(str):
    """A terminal's text; ``type`` is the terminal's name."""

    __slots__ = ("type",)
    type: str


class Rule(NamedTuple):
    """A rule of the grammar, of ``size`` symbols.

    ``keep`` lists the symbols that count, those of helper rules (which stand for a list) as negative numbers - 1.
    ``make`` names what is made of them: "" hands a single one on, ``_`` leaves the list to the rule above.
    """

    origin: str
    size: int
    keep: tuple[int, ...]
    make: str


@dataclass(frozen=True)
class Tables:
    """What lark worked out.

    states: by terminal or rule, the next state; below zero, minus 1 minus the rule that ends here.
    lexers: by state, the terminals that may follow in the order in which they are tried.
    words: by state, the texts that are a terminal of their own where a longer pattern matches (``or`` is no name).
    """

    terminals: Mapping[str, re.Pattern[str]]
    ignored: frozenset[str]
    rules: tuple[Rule, ...]
    states: tuple[Mapping[str, int], ...]
    lexers: tuple[tuple[str, ...], ...]
    words: tuple[Mapping[str, Mapping[str, str]], ...]
    end: int


@cache
def tables() -> Tables:
    """Read the tables, once per process."""
    raw = json.loads(TABLES.read_bytes())
    lexers = [(tuple(names), words) for names, words in raw["lexers"]]
    return Tables(
        terminals={name: re.compile(pattern) for name, pattern in raw["terminals"].items()},
        ignored=frozenset(raw["ignored"]),
        rules=tuple(Rule(origin, size, tuple(keep), make) for origin, size, keep, make in raw["rules"]),
        states=tuple(state for state, _ in raw["states"]),
        lexers=tuple(lexers[lexer][0] for _, lexer in raw["states"]),
        words=tuple(lexers[lexer][1] for _, lexer in raw["states"]),
        end=raw["end"],
    )


def parse(text: str, make: Callable[[str, int, int, list[Any]], Any]) -> Any:
    """Parse a text; ``make`` is given a rule's name, start and end in the text, and what it was made of.

    Raises:
        Unreadable: when it is not of the grammar.
    """
    known = tables()
    states, values, spans = [0], list[Any](), list[tuple[int, int]]()
    position = 0
    while True:
        word, position = _next(known, states[-1], text, position)
        while True:
            step = known.states[states[-1]].get(word.type if word is not None else "$END")
            if step is None:
                raise Unreadable
            if step >= 0:
                break
            rule = known.rules[-1 - step]
            _reduce(rule, states, values, spans, make)
            states.append(known.states[states[-1]][rule.origin])
            if word is None and states[-1] == known.end:
                return values[-1]
        if word is None:
            raise Unreadable
        states.append(step)
        values.append(word)
        spans.append((position - len(word), position))


def _reduce(rule: Rule, states: list[int], values: list[Any], spans: list[tuple[int, int]], make: Any) -> None:
    """Replace the symbols of a rule on the stacks by what it makes of them."""
    parts, places = values[-rule.size :], spans[-rule.size :]
    del states[-rule.size :], values[-rule.size :], spans[-rule.size :]
    start, end = places[0][0], places[-1][1]
    items: list[Any] = []
    for index in rule.keep:
        if index < 0:
            items += parts[-1 - index]
        else:
            items.append(parts[index])
    made = items if rule.make == "_" else make(rule.make, start, end, items) if rule.make else items[0]
    values.append(made)
    spans.append((start, end))


def _next(known: Tables, state: int, text: str, position: int) -> tuple[Word | None, int]:
    """Return the next word that may stand here and where it ends; None at the end of the text."""
    while position < len(text):
        for name in known.lexers[state]:
            match = known.terminals[name].match(text, position)
            if match is not None:
                break
        else:
            raise Unreadable
        position = match.end()
        if name not in known.ignored:
            word = Word(match[0])
            word.type = known.words[state].get(name, {}).get(word, name)
            return word, position
    return None, position
