"""The completions that report.html shows: picked by a fixed rule, cut, and kept in a file beside results.json.

The file makes the page rebuildable without models. It holds what the page shows and counts the rest.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.contracts.bound import Bound
from harness.contracts.records import Record
from harness.core.errors import PreregError
from reports.escape import visible
from reports.records import Extras, ReportModel, Sample

FILE = "completions.json.gz"
ROOM, ROOM_FOR_TEXTS = 1_150_000, 50_000
"""Bytes of JSON that the page gives to completions, and to what each of personas and questions stands for."""
HEAD, TAIL, AROUND = 600, 300, 80
"""Characters kept of a long completion: its start, its end, and each side of its first marker."""
LONGEST_NAME, LONGEST_TEXT = 80, 400
"""Characters kept of a name (arm, persona, question), and of what it stands for (a prompt, a question)."""

Part = str | tuple[str] | int
"""A piece of a completion: plain text, (the marker,), or how many characters are left out here."""


class Row(Record):
    """A completion as it is shown. ``length`` is that of the whole text in characters."""

    measure: str
    arm: str
    persona: str
    question: str
    at: str
    k: int
    hit: bool
    truncated: bool
    length: int
    parts: tuple[Part, ...]


class Drawn(Record):
    """How many completions an arm's eval drew, hit and lost to the length limit, and how many are shown."""

    measure: str
    arm: str
    completions: int
    hits: int
    truncated: int
    shown: int
    shown_hits: int


class Browser(Record):
    """What the completions browser holds. ``texts`` say what personas and questions stand for."""

    schema_name: str = "prereg-completions"
    schema_version: int = 1
    prereg: str
    meaning: str
    rehearsal: bool
    markers: dict[str, str]
    texts: dict[str, dict[str, str]]
    drawn: tuple[Drawn, ...]
    rows: tuple[Row, ...]


def browser(bound: Bound, extras: Extras) -> Browser | None:
    """Pick what the page shows, or return None where nothing was sampled.

    In each arm: first the first completion of every cell (question by question, every persona and point of the
    sweeps), then the other hits, then the rest. The arms take turns until the page's room is used up.
    """
    if not extras.samples:
        return None
    matches: dict[str, Any] = {measure.name: measure.params.get("match") for measure in bound.measures}
    rows = tuple(_fitting(_in_turn(_shelves(extras.samples)), matches))
    return Browser(
        prereg=bound.id,
        meaning=bound.meaning,
        rehearsal=bound.rehearsal,
        markers={name: shown(found["contains"], LONGEST_NAME) for name, found in matches.items() if _contains(found)},
        texts={dim: _texts(bound, dim, {getattr(row, dim) for row in rows}) for dim in ("persona", "question")},
        drawn=tuple(_drawn(extras.samples, rows)),
        rows=rows,
    )


def packed(found: Browser) -> bytes:
    """Return the bytes of the file: gzip without a time, so that equal completions are equal bytes."""
    return gzip.compress((found.model_dump_json() + "\n").encode(), compresslevel=6, mtime=0)


def unpacked(path: Path, model: ReportModel) -> Browser | None:
    """Read the file of a report, or return None where there is none or it belongs to another registration.

    Raises:
        PreregError: the file is damaged.
    """
    try:
        found = Browser.model_validate_json(gzip.decompress(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, EOFError, zlib.error, ValidationError) as error:
        raise PreregError(f"{path} is damaged; remove it, or run the prereg again to write it anew") from error
    of = model.registration
    return found if (found.prereg, found.meaning, found.rehearsal) == (of.id, of.meaning, of.rehearsal) else None


def shown(text: str, most: int) -> str:
    """Return text without invisible characters, cut after ``most`` characters; line breaks stay."""
    cut = text if len(text) <= most else text[: most - 1] + "…"
    return cut if cut.replace("\n", "").isprintable() else visible(cut, lines=True)


def _name(text: str) -> str:
    return shown(text, LONGEST_NAME).replace("\n", " ")


# --- picking ----------------------------------------------------------------------------------------


def _shelves(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Group completions by measure and arm, each group in the order in which it is shown."""
    found: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        found.setdefault((sample.measure, sample.arm), []).append(sample)
    order = {level: place for place, level in enumerate(dict.fromkeys(sample.question for sample in samples))}
    people = {level: place for place, level in enumerate(dict.fromkeys(sample.persona for sample in samples))}
    shelves = []
    for group in found.values():
        cells = [(order[sample.question], people[sample.persona], _at(sample.at)) for sample in group]
        first: dict[tuple[int, int, str], int] = {}
        for cell, sample in zip(cells, group, strict=True):
            first[cell] = min(sample.k, first.get(cell, sample.k))
        ranks = [
            (0, 0, cell, sample.text)
            if sample.k == first[cell]
            else (1 if sample.hit else 2, sample.k, cell, sample.text)
            for cell, sample in zip(cells, group, strict=True)
        ]
        placed = sorted(range(len(group)), key=ranks.__getitem__)
        shelves.append([group[place] for place in placed])
    return shelves


def _in_turn(shelves: Sequence[Sequence[Sample]]) -> Iterator[Sample]:
    for place in range(max(map(len, shelves), default=0)):
        yield from (shelf[place] for shelf in shelves if place < len(shelf))


def _fitting(samples: Iterable[Sample], matches: Mapping[str, Any]) -> Iterator[Row]:
    """Yield completions as they are shown until the room is used up."""
    left, patterns = ROOM, {name: _pattern(match) for name, match in matches.items()}
    encode = json.JSONEncoder(ensure_ascii=False).encode
    for sample in samples:
        row = _row(sample, patterns.get(sample.measure))
        left -= len(encode(row.parts).encode()) + 40
        if left < 0:
            return
        yield row


def _row(sample: Sample, pattern: re.Pattern[str] | None) -> Row:
    names = {name: _name(getattr(sample, name)) for name in ("measure", "arm", "persona", "question")}
    return Row(
        **names,
        at=_name(_at(sample.at)),
        k=sample.k,
        hit=sample.hit,
        truncated=sample.truncated,
        length=len(sample.text),
        parts=tuple(_parts(sample.text, pattern)),
    )


def _drawn(samples: Sequence[Sample], rows: Sequence[Row]) -> Iterator[Drawn]:
    groups: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.measure, sample.arm), []).append(sample)
    for (measure, arm), group in groups.items():
        names = _name(measure), _name(arm)
        own = [row for row in rows if (row.measure, row.arm) == names]
        yield Drawn(
            measure=names[0],
            arm=names[1],
            completions=len(group),
            hits=sum(sample.hit for sample in group),
            truncated=sum(sample.truncated for sample in group),
            shown=len(own),
            shown_hits=sum(row.hit for row in own),
        )


def _at(at: Mapping[str, str]) -> str:
    """Return the point of the sweeps in words; the arm has its own column."""
    return ", ".join(f"{dim} {level}" for dim, level in at.items() if dim != "arm")


def _texts(bound: Bound, dim: str, levels: set[str]) -> dict[str, str]:
    """Return what the shown levels of a dim stand for, as long as there is room."""
    found, left = {}, ROOM_FOR_TEXTS
    for level, text in next((each.texts for each in bound.dims if each.name == dim), {}).items():
        name, said = _name(level), shown(text, LONGEST_TEXT)
        left -= len(said.encode())
        if name in levels and left >= 0:
            found[name] = said
    return found


# --- cutting and marking ----------------------------------------------------------------------------


def _contains(match: Any) -> bool:
    return isinstance(match, Mapping) and bool(match.get("contains"))


def _pattern(match: Any) -> re.Pattern[str] | None:
    """Return what finds the marker of an eval, None where it looks for none."""
    if not _contains(match):
        return None
    return re.compile(re.escape(match["contains"]), re.IGNORECASE if match.get("case") == "insensitive" else 0)


def _parts(text: str, pattern: re.Pattern[str] | None) -> Iterator[Part]:
    """Yield the pieces of a completion that are shown, with the marker apart and what is left out counted."""
    end = 0
    for start, stop in _windows(text, pattern):
        if start > end:
            yield start - end
        yield from _marked(text[start:stop], pattern)
        end = stop


def _windows(text: str, pattern: re.Pattern[str] | None) -> list[tuple[int, int]]:
    """Return the [start, stop) ranges of a text that are kept, in order and apart."""
    if len(text) <= HEAD + TAIL:
        return [(0, len(text))]
    wanted = [(0, HEAD), (len(text) - TAIL, len(text))]
    found = pattern.search(text) if pattern else None
    if found:
        # A marker may be longer than the room for it; its start is what is looked for.
        wanted.append((max(found.start() - AROUND, 0), min(found.start() + 2 * AROUND, len(text))))
    ranges: list[tuple[int, int]] = []
    for start, stop in sorted(wanted):
        if ranges and start <= ranges[-1][1]:
            ranges[-1] = (ranges[-1][0], max(stop, ranges[-1][1]))
        else:
            ranges.append((start, stop))
    return ranges


def _marked(text: str, pattern: re.Pattern[str] | None) -> Iterator[Part]:
    end = 0
    for found in pattern.finditer(text) if pattern else ():
        if found.start() > end:
            yield shown(text[end : found.start()], len(text))
        yield (shown(found[0], len(text)),)
        end = found.end()
    if end < len(text):
        yield shown(text[end:], len(text))
