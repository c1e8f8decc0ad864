"""User text in Markdown: nothing that a name, a title or a completion holds may become markup.

The templates escape every value unless it is already Markdown (``markupsafe.Markup``), so a forgotten filter
shows backslashes and never a link, an image or a tag.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from markupsafe import Markup

_SPECIAL = re.compile(r"[\\`*\[\]|~$]|<(?=[A-Za-z/!?])|&(?=[#\w])|_(?![^\W_])|(?<![^\W_])_")
_LEADING = re.compile(r"^(\s*)([-=]+(?=\s*$)|[-+](?=\s)|#{1,6}(?=\s|$)|>|\d+[.)](?=\s|$))")
_LINKS = re.compile(r"(?i)(?<=https)(:)(?=//)|(?<=http)(:)(?=//)|(?<=www)(\.)")
AT = "`@`"
"""An at sign before a word: GitHub makes addresses and mentions of entities too, and of code never."""
_ENTITIES = {"<": "&lt;", "&": "&amp;"}
OPEN, CLOSE = "\ufdd0", "\ufdd1"
"""Around user text while it is marked: noncharacters, which Unicode keeps for such use. User text loses its own."""
_MARKS = str.maketrans(dict.fromkeys((OPEN, CLOSE), ""))
_marking: ContextVar[bool] = ContextVar("marking", default=False)


def visible(text: str, *, lines: bool = False) -> str:
    r"""Replace control, bidirectional and other invisible characters by their escapes (``\x1b``).

    Args:
        text: Any text.
        lines: Keep line breaks and tabs; otherwise they become spaces.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not lines:
        text = re.sub(r"\s+", " ", text)
    return "".join(_shown(char, lines) for char in text)


def _shown(char: str, lines: bool) -> str:
    if lines and char in "\n\t":
        return char
    if char in (OPEN, CLOSE):
        return ""
    if char == " " or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp"):
        return char
    return f"\\x{ord(char):02x}" if ord(char) < 256 else f"\\u{ord(char):04x}"


@contextmanager
def marking() -> Iterator[None]:
    """Let :func:`md` put user text between marks, so that the prose checker knows a name from the words around it."""
    before = _marking.set(True)
    try:
        yield
    finally:
        _marking.reset(before)


def unmarked(text: str) -> str:
    """Return text without the marks around user text; what was Markdown stays Markdown."""
    plain = text.translate(_MARKS)
    return Markup(plain) if isinstance(text, Markup) else plain


def md(text: object) -> Markup:
    """Return user text as inline Markdown that shows exactly that text, on one line."""
    if isinstance(text, Markup):
        return text
    shown = visible(str(text)).strip()
    shown = _SPECIAL.sub(lambda match: _ENTITIES.get(match[0], "\\" + match[0]), shown)
    shown = _LINKS.sub(lambda match: f"&#{ord(match[0])};", shown)
    shown = re.sub(r"@(?=\w)", AT, shown)
    shown = _LEADING.sub(_unlead, shown)
    return Markup(f"{OPEN}{shown}{CLOSE}" if shown and _marking.get() else shown)


def _unlead(match: re.Match[str]) -> str:
    lead = match[2]
    return f"{match[1]}{lead[:-1]}\\{lead[-1]}"


def code(text: object, *, table: bool = False) -> Markup:
    """Return text as an inline code span, with a delimiter longer than any run of backticks inside.

    In a table (``table``) pipes are escaped, as GFM asks even inside code.
    """
    shown = visible(str(text)).strip()
    ticks = "`" * (_longest_run(shown, "`") + 1)
    pad = " " if shown.startswith("`") or shown.endswith("`") or not shown else ""
    if table:
        shown = shown.replace("|", "\\|")
    return Markup(f"{ticks}{pad}{shown}{pad}{ticks}")


def fence(text: object, language: str = "text") -> Markup:
    """Return text as a fenced block whose fence is longer than any run of backticks inside."""
    shown = visible(str(text), lines=True)
    ticks = "`" * max(3, _longest_run(shown, "`") + 1)
    return Markup(f"{ticks}{language}\n{shown}\n{ticks}")


def _longest_run(text: str, char: str) -> int:
    return max((len(run) for run in re.findall(re.escape(char) + "+", text)), default=0)


def join(parts: list[Markup], joiner: str = " ") -> Markup:
    """Join pieces of Markdown."""
    return Markup(joiner.join(parts))
