"""The seal of a prereg, ``FILE.seal.json``: what was registered, when, by whom, and every change since.

    {"seal": 1, "id": …, "entries": [seal, amendment, …], "head": <hash of the last entry>, "stamps": {hash: …}}

Each entry holds the meaning (``harness.compile.meaning``) and the YAML as it stood, digests of the files that it
names, the time, the commit and what had been measured. ``digests`` has the SHA-256 of each of these fields, and the
entry's ``hash`` is the digest of that table, so an edited field is found by name. ``previous`` is one of the fields:
entries form a chain. Time stamps lie beside the chain, because they are made of its hashes.

What this can prove: a file and a seal that do not belong together, and every partial edit of a seal. Whoever writes
a new seal from scratch, with a time of their choosing, has a seal that holds; only a record elsewhere says otherwise.
Two are looked at: the git history of the seal (``harness.spec.seal_git``) and a time stamp of somebody else
(``harness.spec.anchor``). Without either, the time of a seal is its author's word.

Everything here is standard library and JSON, so that ``prereg verify`` starts quickly.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from harness.core.errors import PreregError, Problem, Where
from harness.core.ident import digest

VERSION = 1
ABSENT = "(not there)"
"""Stands for what one side of a change does not have, and for the digest of a file that was not there."""
UNDECIDING = "rehearsal."
"""Keys that only a rehearsal reads: they are sealed with the rest, and nothing that was promised depends on them."""


@dataclass(frozen=True)
class SealedFile:
    """A file that the prereg names: ``key`` says where, ``file`` as written; ``sha256`` may be :data:`ABSENT`."""

    key: str
    file: str
    sha256: str


@dataclass(frozen=True)
class Measured:
    """A measurement that was stored at that moment.

    ``of`` says what was measured: an ``arm``; the ``base`` model before any training, and ``recorded`` data, both of
    which may be read before sealing.
    """

    name: str
    key: str
    when: str
    of: Literal["arm", "base", "recorded"] = "arm"


@dataclass(frozen=True)
class Change:
    """One difference in meaning: a dotted key, and what stood there before and after."""

    key: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.key}: {self.old} -> {self.new}"


@dataclass(frozen=True)
class Entry:
    """One entry of the chain. ``commit`` is empty outside a repository; ``when`` is UTC, to the second."""

    kind: Literal["seal", "amendment"]
    previous: str
    when: str
    author: str
    tool: str
    commit: str
    clean: bool
    name: str
    source: str
    source_sha256: str
    meaning: dict[str, Any]
    meaning_sha256: str
    files: tuple[SealedFile, ...]
    measured: tuple[Measured, ...]
    reported: bool
    """Whether results/<id> was there."""
    because: str = ""
    changes: tuple[Change, ...] = ()
    stamp: str = ""
    """The URL of the time-stamping authority that was asked, or empty."""
    digests: Mapping[str, str] = field(default_factory=dict)
    hash: str = ""

    def sealed(self) -> Entry:
        """Return the entry with its digests and hash filled in."""
        digests = {name: digest(value) for name, value in self.content().items()}
        return Entry(**{**self._fields(), "digests": digests, "hash": digest(digests)})

    def content(self) -> dict[str, Any]:
        """Return the fields that are digested, as JSON values."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return {name: value for name, value in plain.items() if name not in ("digests", "hash")}

    def edited(self) -> list[str]:
        """Return the fields that are not what their digests say; ``hash`` stands for the table of digests."""
        found = [name for name, value in self.content().items() if self.digests.get(name) != digest(value)]
        return found if found or digest(dict(self.digests)) == self.hash else ["hash"]

    def _fields(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(self)}


@dataclass(frozen=True)
class Stamp:
    """A time stamp of an entry's hash: the authority's reply (RFC 3161, DER, base64)."""

    url: str
    reply: str


@dataclass(frozen=True)
class Seal:
    """A chain as read from ``path``. Whether it holds is for :meth:`faults` to say."""

    path: Path
    id: str
    entries: tuple[Entry, ...]
    head: str
    stamps: Mapping[str, Stamp] = field(default_factory=dict)

    @property
    def first(self) -> Entry:
        """The seal itself."""
        return self.entries[0]

    @property
    def last(self) -> Entry:
        """What is registered now."""
        return self.entries[-1]

    def faults(self) -> Iterator[str]:
        """Say everything about the chain that does not hold, each naming what was changed."""
        for number, entry in enumerate(self.entries):
            yield from (_edited(number, entry, name) for name in entry.edited())
            yield from self._linked(number, entry)
            if entry.digests.get("meaning") != entry.meaning_sha256:
                yield f"{called(number, entry)}: the registered meaning is not the one with the registered digest"
            if entry.meaning.get("id") != self.id:
                yield f"{called(number, entry)} is of '{entry.meaning.get('id')}', and this is the seal of '{self.id}'"
        if self.head != self.last.hash:
            yield "the last entry is not the one that 'head' names: an entry at the end was removed, added or edited"
        for known in self.stamps.keys() - {entry.hash for entry in self.entries}:
            yield f"the time stamp from {self.stamps[known].url} is of an entry that is not here"

    def known_before(self, number: int) -> tuple[str, ...]:
        """Return what was known when an entry was written: measured arms, recorded data that were there, the report.

        What was known when an earlier entry was written stays known. The base model before any training is not among
        it: :meth:`read_before` has it.
        """
        measured, recorded, reported = self._seen(number)
        return tuple(dict.fromkeys([*measured, *recorded, *reported]))

    def read_before(self, number: int) -> tuple[str, ...]:
        """Return what was measured of the base model before any training when an entry was written."""
        found = [each.name for entry in self.entries[: number + 1] for each in entry.measured if each.of == "base"]
        return tuple(dict.fromkeys(found))

    def since(self, number: int) -> str:
        """Say in words whether an entry was written before or after there was something to know.

        Sealing on recorded data that are there is what a retrospective registration, or one with a published baseline,
        does; changing the rules when they were there is an amendment after measurements existed.
        """
        measured, recorded, reported = self._seen(number)
        after = dict.fromkeys([*measured, *(recorded if number else ()), *reported])
        if after:
            return f"after measurements existed ({', '.join(after)})"
        read = dict.fromkeys([*recorded, *self.read_before(number)])
        what = "any measurement" if number else "its first measurement"
        return f"before {what}" + (f" of a trained arm (known by then: {', '.join(read)})" if read else "")

    def collected_later(self) -> tuple[str, ...]:
        """Return the recorded measures whose tables were not there when this was sealed, nor their digest known."""
        there = set(_recorded_there(self.first))
        return tuple(name for name in _tables(self.first) if name not in there)

    def _seen(self, number: int) -> tuple[list[str], list[str], list[str]]:
        """Return what was measured on arms, what recorded data were there, and the report, as an entry was written."""
        by_then = self.entries[: number + 1]
        measured = [each.name for entry in by_then for each in entry.measured if each.of == "arm"]
        recorded = [each.name for entry in by_then for each in entry.measured if each.of == "recorded"]
        recorded += [name for entry in by_then for name in _recorded_there(entry)]
        return measured, recorded, ["the report"] if any(entry.reported for entry in by_then) else []

    def _linked(self, number: int, entry: Entry) -> Iterator[str]:
        expected = self.entries[number - 1].hash if number else ""
        if entry.kind != ("amendment" if number else "seal"):
            yield f"{called(number, entry)} stands where {'an amendment' if number else 'the seal'} belongs"
        if entry.previous != expected:
            yield (
                f"{called(number, entry)} does not follow {called(number - 1, self.entries[number - 1])}"
                if number
                else f"{called(number, entry)} follows an entry that is not here"
            ) + ": an entry was removed, put in or moved"
        if number and entry.when < self.entries[number - 1].when:
            yield f"{called(number, entry)} is earlier than the entry before it ({self.entries[number - 1].when})"


def _tables(entry: Entry) -> dict[str, SealedFile]:
    return {file.key.split(".")[1]: file for file in entry.files if file.key.startswith("measures.")}


def _recorded_there(entry: Entry) -> Iterator[str]:
    """Yield the recorded measures whose table was there when an entry was written, or its digest known."""
    known = {name: each.get("file") for name, each in (entry.meaning.get("measures") or {}).items()}
    yield from (name for name, file in _tables(entry).items() if file.sha256 != ABSENT or known.get(name))


def called(number: int, entry: Entry) -> str:
    """Name an entry for messages."""
    return f"the {entry.kind} of {entry.when}" if number == 0 else f"{entry.kind} {number} of {entry.when}"


_NAMES = {
    "when": "time", "tool": "tool version", "commit": "git commit", "clean": "note whether the tree was clean",
    "because": "reason", "source": "text of the registration", "source_sha256": "digest of the registration's text",
    "meaning": "registered meaning", "meaning_sha256": "digest of the meaning", "files": "list of files",
    "measured": "list of what had been measured", "reported": "note whether a report was there",
    "changes": "list of changes", "previous": "link to the entry before", "stamp": "address of the time stamp",
    "name": "file name", "hash": "hash",
}  # fmt: skip


def _edited(number: int, entry: Entry, name: str) -> str:
    value = getattr(entry, name)
    reads = f" (it reads '{value}')" if isinstance(value, (str, bool)) and len(str(value)) < 100 else ""
    return f"{called(number, entry)}: its {_NAMES.get(name, name)} was edited{reads}"


def seal_path(path: Path) -> Path:
    """Return where the seal of a prereg lies: ``x.yaml.seal.json`` beside ``x.yaml``."""
    return path.with_name(f"{path.name}.seal.json")


def read_seal(path: Path) -> Seal:
    """Read a seal file.

    Raises:
        PreregError: it cannot be read, or is not a seal.
    """
    where = Where(str(path))
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise PreregError(Problem(where, f"the seal cannot be read: {error.strerror}")) from error
    except ValueError as error:
        hint = "restore the file from version control; a damaged seal proves nothing"
        found = f"the seal is no JSON, it may have been cut short: {error}"
        raise PreregError(Problem(where, found, hint=hint)) from error
    try:
        if content["seal"] != VERSION:
            raise PreregError(Problem(where, f"a seal of version {content['seal']}", f"version {VERSION}"))
        entries = tuple(_entry(each) for each in content["entries"])
        stamps = {key: Stamp(**value) for key, value in content["stamps"].items()}
        seal = Seal(path, str(content["id"]), entries, str(content["head"]), stamps)
    except (KeyError, TypeError, AttributeError) as error:
        found = f"this is no seal: {error!r} in its JSON"
        raise PreregError(Problem(where, found, "a file that prereg wrote")) from error
    if not seal.entries:
        raise PreregError(Problem(where, "the seal has no entries", "the seal and its amendments"))
    return seal


def _entry(content: Mapping[str, Any]) -> Entry:
    made = {
        **content,
        "files": tuple(SealedFile(**each) for each in content["files"]),
        "measured": tuple(Measured(**each) for each in content["measured"]),
        "changes": tuple(Change(**each) for each in content["changes"]),
    }
    return Entry(**made)


def write_seal(seal: Seal) -> None:
    """Write a seal file whole or not at all, indented, so that its history in version control can be read."""
    from harness.core.durable import replace_file

    content = {
        "seal": VERSION, "id": seal.id, "entries": [asdict(entry) for entry in seal.entries], "head": seal.head,
        "stamps": {key: asdict(stamp) for key, stamp in seal.stamps.items()},
    }  # fmt: skip
    replace_file(seal.path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
