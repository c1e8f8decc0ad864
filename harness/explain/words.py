"""How lists, sections and quantities are written on the page."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from fractions import Fraction

from harness.contracts.display import display_unit
from harness.contracts.trees import Num, Value
from harness.core.numbers import format_count, format_threshold
from harness.core.numbers import plural_of as regular_plural

WIDTH = 100
"""Columns of the page."""
_width: ContextVar[int] = ContextVar("width", default=WIDTH)
AVERAGED = " averaged over "
MOST = 8
"""Names that are listed; of more, the first and their number."""


_NAME = re.compile(r"[\w.-]+(:| \(|, secondary)|\w*_")
"""What begins with a name, which keeps its letters."""


def plural_of(noun: str) -> str:
    """Return the plural of a dim's name, which may be one already: ``epoch`` and ``epochs`` give ``epochs``."""
    if noun.endswith("s") and not noun.endswith(("ss", "sis", "us")):
        return noun
    return f"{noun}s" if noun.endswith("och") else regular_plural(noun)


def count_noun(count: int, noun: str) -> str:
    """Write a count with its noun: ``1 question``, ``20 questions``."""
    return f"{format_count(count)} {noun if count == 1 else plural_of(noun)}"


def listed(names: Iterable[str], word: str = "and") -> str:
    """Join names as people do: ``C1``, ``C1 and C2``, ``C1, C2 and C3``."""
    all_names = list(names)
    if len(all_names) < 2:
        return "".join(all_names)
    return f"{', '.join(all_names[:-1])} {word} {all_names[-1]}"


def some(names: Iterable[str], noun: str, first: int = 3) -> str:
    """List names, or count them with the first few when there are many: ``28 personas (nurse, chef, poet, …)``."""
    all_names = list(names)
    if len(all_names) <= MOST:
        return listed(all_names)
    return f"{count_noun(len(all_names), noun)} ({', '.join(all_names[:first])}, …)"


def each(dims: Iterable[str]) -> str:
    """Say that a table keeps dims: ``for each arm and layer``."""
    return f"for each {listed(map(singular, dims))}"


def singular(noun: str) -> str:
    """Return what one level of a dim is called: ``epochs`` gives ``epoch``."""
    return noun[:-1] if len(noun) > 3 and plural_of(noun) == noun else noun


def read_at(phrases: Iterable[str]) -> str:
    """Join what is said of a column's dims, and all that it is averaged over at the end, in one."""
    found = list(phrases)
    over = [phrase.removeprefix(AVERAGED) for phrase in found if phrase.startswith(AVERAGED)]
    fixed = "".join(phrase for phrase in found if not phrase.startswith(AVERAGED))
    return f"{fixed}{AVERAGED}{listed(over)}" if over else fixed


def number(quantity: Num, beside: Value | None = None) -> str:
    """Write a registered quantity in the unit of what it is compared with; 0 has none."""
    if Fraction(quantity.value) == 0:
        return "0"
    unit = quantity.unit if beside is None else display_unit(beside, quantity.unit)
    text = format_threshold(Fraction(quantity.value), unit)
    return text.removesuffix("s") if Fraction(quantity.value) == 1 else text


def lines(text: str, indent: int = 2, mark: str = "") -> list[str]:
    """Wrap a paragraph, or an item behind ``mark``, to the page."""
    start = " " * indent + mark
    return textwrap.wrap(
        " ".join(text.split()), _width.get(), initial_indent=start, subsequent_indent=" " * len(start),
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


@contextmanager
def unwrapped() -> Iterator[None]:
    """Write every paragraph and item as one line, however long: for what is set by somebody else."""
    before = _width.set(1_000_000)
    try:
        yield
    finally:
        _width.reset(before)


def sentence(text: str) -> str:
    """Begin with a capital, unless with a name, and end with a full stop."""
    text = text if _NAME.match(text) else text[:1].upper() + text[1:]
    return stopped(text)


def stopped(text: str) -> str:
    """End with a full stop."""
    return text if text.endswith((".", "?", "!")) else text + "."


__all__ = [
    "AVERAGED",
    "WIDTH",
    "count_noun",
    "each",
    "lines",
    "listed",
    "number",
    "plural_of",
    "read_at",
    "sentence",
    "singular",
    "some",
    "stopped",
    "unwrapped",
]
