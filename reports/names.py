"""User text in a passage that is checked: every text that may be quoted becomes one sign, its own.

Names are any words: ``treated``, ``1``, ``higher``, ``of 8 personas``. Cut out of a sentence they take the sentence's
sense along, and left in it they read like its own words and numbers. So reports are checked while user text still is
between marks (``reports.escape.marking``), and a sign stands for exactly the text between two marks. In text without
marks, and in captions, which are marked as a whole, texts that may be quoted are looked for, the longest first.
"""

from __future__ import annotations

import re
from functools import cached_property

from reports.escape import AT, CLOSE, OPEN, md, unmarked
from reports.quotes import names, quotable
from reports.records import ReportModel

_MARKED = re.compile(f"{OPEN}([^{OPEN}{CLOSE}]*){CLOSE}")
_FIRST = 0xF0000
"""Of two planes for private use, whose characters no user text can hold (``reports.escape.visible``)."""


class Names:
    """The texts of a model that a report may repeat, each with its sign."""

    def __init__(self, model: ReportModel) -> None:
        self._model = model
        self._texts = {_shown(text) for text in (*quotable(model), *names(model))}
        self._signs: dict[str, str] = {}

    def pattern(self, text: str) -> str:
        """Return a pattern of a name: its sign, or its letters where no sign was put for them."""
        shown = _shown(text)
        return f"(?:{self._sign(shown)}|{re.escape(shown)})"

    def readings(self, passage: str) -> tuple[str, ...]:
        """Put signs for what may be quoted between marks; what may not is to be checked like any sentence.

        Such a sentence is read as it stands, and with the names in it looked for.
        """
        kept = _MARKED.sub(lambda match: self._sign(match[1]) if match[1] in self._texts else match[0], passage)
        plain = (unmarked(kept), _MARKED.sub(lambda match: self.found(match[1]), kept))
        return tuple(dict.fromkeys(plain))

    def found(self, text: str) -> str:
        """Put signs for texts that may be quoted, wherever they stand; bare numbers are never among them."""
        return self._anywhere.sub(lambda match: self._sign(match[0]), text) if self._anywhere else text

    def _sign(self, shown: str) -> str:
        return self._signs.setdefault(shown, chr(_FIRST + len(self._signs)))

    @cached_property
    def _anywhere(self) -> re.Pattern[str] | None:
        texts = {text for text in map(_shown, quotable(self._model)) if re.search(r"[^\W\d_]{2}", text)}
        if not texts:
            return None
        ordered = sorted(texts, key=lambda text: (-len(text), text))
        return re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, ordered)) + r")(?!\w)")


def _shown(text: str) -> str:
    return str(md(text)).replace(AT, "@")
