"""Load a preregistration's YAML: every scalar stays the text it is, and every key keeps its place in the file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from harness.core.errors import PreregError, Problem, Where

KeyPath = tuple[str | int, ...]
"""Where something stands in the document: keys, and positions in lists counted from 0."""

_LOADER: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PREREG = re.compile(rb"""^(?:\xef\xbb\xbf)?(?:\{[ ]*)?["']?prereg["']?[ \t]*:(?:\s|$)""", re.MULTILINE)
DEEPEST = 32
"""Lists and mappings within each other; no section comes near, and Python's stack does not hold a thousand."""
_FIRST = re.compile(rb"^(?!---)([ ]*)[^\s#]", re.MULTILINE)
"""The first line that says something, with its indentation: a whole file may be indented."""
_QUOTE_HINT = "inside { } a comma or bracket ends a value: put a formula that holds one in quotes or on its own line"


@dataclass(frozen=True, slots=True)
class Spot:
    """Lines and columns, counted from 1, of a key (or list item) and of its value's first and last character."""

    line: int
    column: int
    value_line: int
    value_column: int
    end_line: int
    end_column: int


@dataclass(frozen=True)
class Document:
    """A YAML file as text: ``tree`` holds dicts, lists and strings only, ``spots`` the place of each of them.

    ``rehearsed`` are the paths that its rehearsal put there, which stand under ``rehearsal:`` in the file.
    """

    file: str
    folder: Path
    text: str
    tree: dict[str, Any]
    spots: dict[KeyPath, Spot] = field(default_factory=dict)
    rehearsed: frozenset[KeyPath] = frozenset()

    def where(self, path: KeyPath, *, offset: int | None = None, value: bool = False) -> Where:
        """Return the place of a key; of its value with ``value``; of one character of its text with ``offset``.

        A path that the file does not hold (a default, a missing key) gives the nearest one above it.
        """
        known = path
        while known and known not in self.spots:
            known = known[:-1]
        spot = self.spots.get(known)
        key = dotted(("rehearsal", *path) if any(path[:length] in self.rehearsed for length in range(len(path) + 1))
                     else path)  # fmt: skip
        if spot is None:
            return Where(self.file, 1, 1, key)
        if offset is not None and known == path:
            line, column = self._character(spot, self.at(path), offset)
            return Where(self.file, line, column, key)
        if value:
            return Where(self.file, spot.value_line, spot.value_column, key)
        return Where(self.file, spot.line, spot.column, key)

    def line(self, path: KeyPath) -> int:
        """Return the line of a key, or of the nearest key above it."""
        return self.where(path).line

    def at(self, path: KeyPath) -> Any:
        """Return what stands at a path of the tree (a list item of triage is its single key)."""
        node: Any = self.tree
        for part in path:
            node = node[part]
        return node

    def _character(self, spot: Spot, text: Any, offset: int) -> tuple[int, int]:
        """Find a character of a scalar in the file by counting characters that are not blank."""
        if not isinstance(text, str):
            return spot.value_line, spot.value_column
        wanted = sum(1 for char in text[:offset] if not char.isspace())
        lines = self.text.splitlines()
        line, column = spot.value_line, spot.value_column
        first = lines[line - 1][column - 1 : column] if line <= len(lines) else ""
        if first in {'"', "'"}:
            column += 1
        elif first in {"|", ">"}:
            line, column = line + 1, 1
        while (line, column) < (spot.end_line, spot.end_column) and line <= len(lines):
            row = lines[line - 1]
            if column > len(row):
                line, column = line + 1, 1
                continue
            if not row[column - 1].isspace():
                if wanted == 0:
                    return line, column
                wanted -= 1
            column += 1
        return line, column


def dotted(path: KeyPath) -> str:
    """Write a path as people do: ``dims.persona.sets.source``, ``allow[0].finding``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else part)
    return text


def looks_like_prereg(path: Path) -> bool:
    """Say whether a YAML file has a top-level ``prereg:`` key, without parsing it; a whole file may be indented."""
    if path.suffix not in {".yaml", ".yml"}:
        return False
    try:
        content = path.read_bytes()
    except OSError:
        return False
    first = _FIRST.search(content)
    if first is None or not first[1]:
        return _PREREG.search(content) is not None
    return re.search(rb"""^ {%d}["']?prereg["']?[ \t]*:(?:\s|$)""" % len(first[1]), content, re.MULTILINE) is not None


def load_document(path: Path, *, shown: str = "") -> Document:
    """Read a YAML file into a :class:`Document`; ``shown`` is the path as messages should print it.

    Raises:
        PreregError: every fault of the YAML itself: syntax, duplicate keys, empty values, anchors, tags.
    """
    file = shown or str(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise PreregError(Problem(Where(file), f"the file is not UTF-8: {error.reason}")) from error
    except OSError as error:
        raise PreregError(Problem(Where(file), f"the file cannot be read: {error.strerror}")) from error
    return read_text(text, file=file, folder=path.parent)


def read_text(text: str, *, file: str, folder: Path) -> Document:
    """Read YAML text into a :class:`Document`.

    Raises:
        PreregError: every fault of the YAML itself.
    """
    composer = _Composer(file)
    try:
        events = yaml.parse(text, Loader=_LOADER)
        tree = composer.document(iter(events))
    except yaml.MarkedYAMLError as error:
        raise PreregError([*composer.problems, _syntax_problem(error, file)]) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise PreregError(Problem(Where(file, line), f"YAML cannot hold this character: {error.reason}")) from error
    if composer.problems:
        raise PreregError(composer.problems)
    if not isinstance(tree, dict):
        raise PreregError(Problem(Where(file, 1), "the file is not a mapping", "keys such as 'id: …' at the top"))
    return Document(file, folder, text, tree, composer.spots)


def _syntax_problem(error: yaml.MarkedYAMLError, file: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    where = Where(file, mark.line + 1, mark.column + 1) if mark else Where(file)
    found = f"the YAML cannot be read: {error.problem}"
    if error.context:
        found += f" ({error.context})"
    hint = ""
    if "flow mapping" in (error.context or "") or "flow sequence" in (error.context or ""):
        hint = _QUOTE_HINT
    elif "mapping values are not allowed" in (error.problem or ""):
        hint = "a colon followed by a space starts a value: put text that holds one in quotes"
    elif "cannot start any token" in (error.problem or ""):
        hint = "indent with spaces, and put a value that starts with a special character in quotes"
    return Problem(where, found, hint=hint)


class _Composer:
    """Builds the tree from parse events, so that no scalar is ever guessed at."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.spots: dict[KeyPath, Spot] = {}

    def document(self, events: Iterator[Any]) -> Any:
        tree: Any = None
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                if tree is not None:
                    self._fault(event, (), "a second YAML document", "one document per file")
                    return tree
                tree = self._node(next(events), events, ())
        return tree

    def _node(self, event: Any, events: Iterator[Any], path: KeyPath, key: Any = None, flow: bool = False) -> Any:
        if len(path) > DEEPEST:
            where = Where(self.file, event.start_mark.line + 1, event.start_mark.column + 1)
            found = f"lists or mappings within each other, more than {DEEPEST} deep"
            raise PreregError(Problem(where, found, "what the sections hold, which is flat"))
        if isinstance(event, yaml.AliasEvent):
            self._fault(event, path, f"an alias (*{event.anchor})", "the value itself", "write it out")
            self._mark(path, key or event, event, event)
            return ""
        if event.anchor is not None:
            self._fault(event, path, f"an anchor (&{event.anchor})", "a plain value", "say everything where it stands")
        if event.tag is not None and event.tag != "!":
            self._fault(event, path, f"a tag ({event.tag})", "a plain value", "values are typed by the schema")
        if isinstance(event, yaml.ScalarEvent):
            self._mark(path, key or event, event, event)
            if event.value == "" and not event.style:
                hint = _QUOTE_HINT if flow else ""
                self._fault(key or event, path, "an empty value", "a value after the colon" if key else "a value", hint)
            return str(event.value)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(event, events, path, key)
        return self._mapping(event, events, path, key)

    def _sequence(self, start: Any, events: Iterator[Any], path: KeyPath, key: Any) -> list[Any]:
        items: list[Any] = []
        for event in events:
            if isinstance(event, yaml.SequenceEndEvent):
                self._mark(path, key or start, start, event)
                break
            items.append(self._node(event, events, (*path, len(items)), flow=start.flow_style))
        return items

    def _mapping(self, start: Any, events: Iterator[Any], path: KeyPath, key: Any) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for event in events:
            if isinstance(event, yaml.MappingEndEvent):
                self._mark(path, key or start, start, event)
                break
            if not isinstance(event, yaml.ScalarEvent):
                self._fault(event, path, "a key that is not plain text", "a name")
                self._node(event, events, (*path, "?"))
                self._node(next(events), events, (*path, "?"))
                continue
            name = str(event.value)
            here = (*path, name)
            if event.anchor is not None or event.tag is not None:
                self._fault(event, here, "a key with an anchor or tag", "a plain name")
            if name == "<<" and not event.style:
                self._fault(event, here, "a merge key (<<)", "the keys themselves", "say everything where it stands")
            if name in mapping:
                first = self.spots[here].line
                self._fault(event, here, f"the key '{name}' stands twice", "one", f"it stands on line {first} already")
                here = (*path, f"{name} (again)")
            value = self._node(next(events), events, here, key=event, flow=start.flow_style)
            mapping.setdefault(name, value)
        return mapping

    def _mark(self, path: KeyPath, key: Any, value: Any, end: Any) -> None:
        if path in self.spots:
            return
        at, start, stop = key.start_mark, value.start_mark, end.end_mark
        self.spots[path] = Spot(
            at.line + 1, at.column + 1, start.line + 1, start.column + 1, stop.line + 1, stop.column + 1
        )

    def _fault(self, event: Any, path: KeyPath, found: str, expected: str = "", hint: str = "") -> None:
        mark = event.start_mark
        where = Where(self.file, mark.line + 1, mark.column + 1, dotted(path))
        self.problems.append(Problem(where, found, expected, hint))
