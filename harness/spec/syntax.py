"""Formulas as written: trees with positions, before any name is resolved. ``render`` is the inverse of parsing."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction


@dataclass(frozen=True)
class Node:
    """A part of a formula; ``start`` and ``end`` are positions in its text, and do not count in comparisons."""

    start: int = field(default=0, compare=False, kw_only=True)
    end: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True)
class Number(Node):
    """A number as written and its unit word, if it has one."""

    number: str
    unit: str = ""


@dataclass(frozen=True)
class Selector(Node):
    """``LEVEL`` or ``DIM = LEVEL`` within brackets."""

    level: str
    dim: str = ""


@dataclass(frozen=True)
class Name(Node):
    """An estimand, a measure (with ``.column``), a hypothesis (with ``.clause``), ``alpha`` or a state."""

    name: str
    part: str = ""
    selectors: tuple[Selector, ...] = ()


@dataclass(frozen=True)
class Arg(Node):
    """A formula and the dims that it keeps."""

    of: Tree
    by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Null(Node):
    """How a p-value's null is drawn: ``shuffled DIM within DIM`` or ``random DIRECTION``."""

    how: str
    dim: str
    within: str = ""


@dataclass(frozen=True)
class Call(Node):
    """A function, a quantifier, ``ci`` or ``p``."""

    fn: str
    args: tuple[Arg, ...]
    null: Null | None = None


@dataclass(frozen=True)
class Negative(Node):
    """Minus."""

    of: Tree


@dataclass(frozen=True)
class Binary(Node):
    """``+ - * /``."""

    op: str
    left: Tree
    right: Tree


@dataclass(frozen=True)
class Compare(Node):
    """``left REL right``."""

    left: Tree
    rel: str
    right: Tree


@dataclass(frozen=True)
class Within(Node):
    """``of within low .. high``."""

    of: Tree
    low: Tree
    high: Tree


@dataclass(frozen=True)
class Not(Node):
    """Negation."""

    of: Tree


@dataclass(frozen=True)
class And(Node):
    """Conjunction."""

    of: tuple[Tree, ...]


@dataclass(frozen=True)
class Or(Node):
    """Disjunction."""

    of: tuple[Tree, ...]


Tree = Number | Name | Call | Negative | Binary | Compare | Within | Not | And | Or

_TIGHTNESS = {Or: 0, And: 1, Not: 2, Compare: 3, Within: 3, Negative: 6}


def _tightness(tree: Tree) -> int:
    if isinstance(tree, Binary):
        return 4 if tree.op in "+-" else 5
    return _TIGHTNESS.get(type(tree), 7)


def _inside(tree: Tree, least: int) -> str:
    text = render(tree)
    return text if _tightness(tree) >= least else f"({text})"


def render(tree: Tree | Arg) -> str:
    """Write a tree in the formula language; parsing the text gives the tree again."""
    match tree:
        case Arg(of, by):
            return render(of) + (" by " + " and ".join(by) if by else "")
        case Number(number, unit):
            return number + (unit if unit == "%" else f" {unit}" if unit else "")
        case Name(name, part, selectors):
            inside = ", ".join(_selector(one) for one in selectors)
            return name + (f".{part}" if part else "") + (f"[{inside}]" if inside else "")
        case Call(fn, args, null):
            tail = f" | {null.how} {null.dim}" + (f" within {null.within}" if null.within else "") if null else ""
            return f"{fn}({', '.join(render(arg) for arg in args)}{tail})"
        case Negative(of):
            return "-" + _inside(of, 6)
        case Binary(op, left, right):
            level = _tightness(tree)
            return f"{_inside(left, level)} {op} {_inside(right, level + 1)}"
        case Compare(left, rel, right):
            return f"{_inside(left, 4)} {rel} {_inside(right, 4)}"
        case Within(of, low, high):
            return f"{_inside(of, 4)} within {_inside(low, 4)} .. {_inside(high, 4)}"
        case Not(of):
            return "not " + _inside(of, 2)
        case And(of):
            return " and ".join(_inside(one, 2) for one in of)
        case Or(of):
            return " or ".join(_inside(one, 1) for one in of)


def _selector(one: Selector) -> str:
    return (f"{_word(one.dim)}=" if one.dim else "") + _word(one.level)


def _word(text: str) -> str:
    plain = text and not any(char.isspace() or char in "[],=\"'|" for char in text)
    return text if plain else f"'{text}'" if '"' in text else f'"{text}"'


def exact(tree: Number) -> Fraction:
    """Return the number's value without its unit."""
    return Fraction(tree.number)
