"""What a repository claimed and what became of it: registrations, results, claims, and how labels held up.

Rehearsals prove nothing and are counted nowhere; they only show that a registration was rehearsed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.core.errors import PreregError
from harness.spec.load import load_document, looks_like_prereg
from harness.spec.seal import Seal, read_seal, seal_path
from reports.family import resolve
from reports.reading import RESULTS, Found, read_result
from reports.records import SCHEMA_NAME

SKIPPED = frozenset({"node_modules", "__pycache__", "build", "dist", "site", "tests"})
"""Folders that are not searched below the ones that are asked for; those that begin with a dot are not either."""
LABELS = ("HIGH", "MODERATE", "LOW")


@dataclass(frozen=True)
class Claim:
    """One hypothesis. ``state`` is its latest verdict, or ``registered`` where there is none."""

    prereg: str
    name: str
    text: str
    role: str
    state: str
    standing: str = ""


@dataclass
class Card:
    """One registration with what is known of it. ``results`` are real ones, the latest last."""

    id: str
    title: str = ""
    parents: tuple[str, ...] = ()
    file: Path | None = None
    hypotheses: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    departs_from: tuple[str, ...] = ()
    sealed: str = ""
    amendments: int = 0
    problem: str = ""
    results: list[Found] = field(default_factory=list)
    rehearsals: list[Found] = field(default_factory=list)
    superseded_by: str = ""

    @property
    def latest(self) -> Found | None:
        """The latest real result."""
        return self.results[-1] if self.results else None

    @property
    def status(self) -> str:
        """Where the registration stands, in a word or two."""
        if self.problem and not self.results:
            return "unreadable"
        if self.results:
            return "result"
        if self.sealed:
            return "sealed"
        return "rehearsed" if self.rehearsals else "registered"

    @property
    def claims(self) -> list[Claim]:
        """Every hypothesis with its latest verdict: as it was judged, and what is registered beside that."""
        found = self.latest
        judged = {result.name: result for result in found.model.decision.hypotheses} if found else {}
        standing = found.model.decision.standing if found else ""
        claims = [
            Claim(self.id, name, result.claim, result.role, result.verdict, standing) for name, result in judged.items()
        ]
        claims += [
            Claim(self.id, name, text.get("claim", ""), text.get("role", "primary"), "registered")
            for name, text in self.hypotheses.items()
            if name not in judged
        ]
        return claims


@dataclass(frozen=True)
class Replication:
    """A result and a later one of the same claims. ``agrees`` says that both came to the same verdict."""

    original: str
    replication: str
    label: str
    first: str
    second: str

    @property
    def agrees(self) -> bool:
        """Whether both came to the same verdict."""
        return self.first == self.second


@dataclass(frozen=True)
class Ledger:
    """Everything that the index says. ``problems`` are files that could not be read."""

    cards: tuple[Card, ...]
    replications: tuple[Replication, ...]
    problems: tuple[str, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many claims were registered, and what became of them; an exploratory one is judged and so counted."""
        claims = [claim for card in self.cards for claim in card.claims]
        states = ("supported", "not supported", "killed", "inconclusive")
        standings = ("confirmatory", "amended", "exploratory", "retrospective")
        return {
            "claims registered": len(claims),
            "not judged yet": sum(claim.state == "registered" for claim in claims),
            **{state: sum(claim.state == state for claim in claims) for state in states},
            **{standing: sum(claim.standing == standing for claim in claims) for standing in standings},
        }

    @property
    def calibration(self) -> list[tuple[str, int, int]]:
        """Confidence label, how many of its results were replicated, and how many of those held."""
        found = []
        for label in LABELS:
            own = [each for each in self.replications if each.label == label]
            if own:
                found.append((label, len(own), sum(each.agrees for each in own)))
        return found

    @property
    def roots(self) -> list[str]:
        """Where family trees begin: parents from outside, then registrations without any."""
        ids = [card.id for card in self.cards]
        outside = dict.fromkeys(parent for card in self.cards for parent in self.parents(card) if parent not in ids)
        return [*outside, *(card.id for card in self.cards if not self.parents(card))]

    def parents(self, card: Card) -> list[str]:
        """Return a registration's parents by id where they are registered here, by name elsewhere."""
        ids = [other.id for other in self.cards]
        return [name for name in dict.fromkeys(resolve(parent, ids) for parent in card.parents) if name != card.id]

    def children(self, name: str) -> list[Card]:
        """Return the registrations that name this one first among the parents that are registered here.

        A registration stands in the tree once: under its first registered parent, else under its first parent.
        """
        ids = {card.id for card in self.cards}
        found = []
        for card in self.cards:
            parents = self.parents(card)
            home = next((parent for parent in parents if parent in ids), parents[0] if parents else "")
            if home == name:
                found.append(card)
        return found


def read_ledger(folders: Sequence[Path]) -> Ledger:
    """Read every registration and result below some folders."""
    cards: dict[str, Card] = {}
    problems: list[str] = []
    files = sorted(set(_files(folders)))
    for path in files:
        if path.name != RESULTS and looks_like_prereg(path):
            card = _registration(path)
            other = cards.get(card.id)
            if other is not None:
                problems.append(f"{path}: its id '{card.id}' is also that of {other.file}; the first one is shown")
                continue
            cards[card.id] = card
            if card.problem:
                problems.append(card.problem)
    for path in files:
        if path.name == RESULTS:
            try:
                _result(path, cards)
            except PreregError as error:
                problems += [str(problem) for problem in error.problems]
    for card in cards.values():
        card.results.sort(key=lambda found: (found.run.finished, str(found.path)))
    ordered = tuple(sorted(cards.values(), key=lambda card: card.id))
    _supersede(ordered)
    return Ledger(ordered, tuple(_replications(ordered)), tuple(problems))


def _files(folders: Iterable[Path]) -> Iterator[Path]:
    for top in folders:
        for folder, below, names in os.walk(top):
            below[:] = sorted(name for name in below if name not in SKIPPED and not name.startswith("."))
            yield from (Path(folder) / n for n in names if n == RESULTS or n.endswith((".yaml", ".yml")))


def _registration(path: Path) -> Card:
    """Read what the index says of a registration; it need not bind, so that drafts show as well."""
    try:
        tree = load_document(path).tree
    except PreregError as error:
        return Card(id=path.stem, file=path, problem=str(error.problems[0]))
    card = Card(
        id=str(tree.get("id", path.stem)),
        title=str(tree.get("title", "")),
        parents=tuple(str(parent) for parent in _list(tree.get("parents"))),
        file=path,
        hypotheses={name: _texts(given) for name, given in _mapping(tree.get("hypotheses")).items()},
        departs_from=tuple(str(_mapping(note).get("from", "")) for note in _list(tree.get("differs"))),
    )
    if seal_path(path).is_file():
        try:
            seal: Seal = read_seal(seal_path(path))
            card.sealed, card.amendments = seal.entries[0].when, len(seal.entries) - 1
        except PreregError as error:
            card.problem = str(error.problems[0])
    return card


def _result(path: Path, cards: dict[str, Card]) -> None:
    """Add a result to its registration's card; one whose registration is gone gets a card of its own."""
    if f'"{SCHEMA_NAME}"'.encode() not in path.read_bytes():
        return  # some other program's results.json
    found = read_result(path)
    registration = found.model.registration
    departs = tuple(note.source for note in found.model.differs)
    card = cards.setdefault(
        registration.id,
        Card(id=registration.id, title=registration.title, parents=registration.parents, departs_from=departs),
    )
    (card.rehearsals if registration.rehearsal else card.results).append(found)


def _supersede(cards: Sequence[Card]) -> None:
    """A registration that lists its departures from a parent takes that parent's place."""
    ids = [card.id for card in cards]
    for card in cards:
        for name in dict.fromkeys(resolve(source, ids) for source in card.departs_from if source):
            parents = [resolve(parent, ids) for parent in card.parents]
            other = next((each for each in cards if each.id == name and name != card.id and name in parents), None)
            if other is not None and not other.superseded_by:
                other.superseded_by = card.id


def _replications(cards: Sequence[Card]) -> Iterator[Replication]:
    """Yield later results of the same registration on other data, and children that repeat a claim word by word."""
    ids = [card.id for card in cards]
    for card in cards:
        for first, second in zip(card.results, card.results[1:], strict=False):
            if not _same_data(first, second):
                yield _pair(card.id, f"{card.id} ({second.date or 'again'})", first, second)
    for card in cards:
        for parent in (other for other in cards if other.id in [resolve(name, ids) for name in card.parents]):
            if parent is not card and parent.latest and card.latest and _repeats(parent, card):
                yield _pair(parent.id, card.id, parent.latest, card.latest)


def _same_data(first: Found, second: Found) -> bool:
    keys = [{item.key for item in each.model.artifacts if item.kind != "verdict"} for each in (first, second)]
    return bool(keys[0] & keys[1]) or first.model.estimates == second.model.estimates


def _repeats(parent: Card, card: Card) -> bool:
    claims = [{_words(claim.text) for claim in each.claims if claim.role == "primary"} for each in (parent, card)]
    return bool(claims[0] & claims[1])


def _pair(original: str, replication: str, first: Found, second: Found) -> Replication:
    one, two = first.model.decision, second.model.decision
    return Replication(original, replication, one.confidence.final or "LOW", one.verdict, two.verdict)


def _words(text: str) -> str:
    return " ".join(text.lower().split())


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [] if value is None else [value]


def _mapping(value: Any) -> Mapping[str, Any]:
    return {str(name): each for name, each in value.items()} if isinstance(value, Mapping) else {}


def _texts(value: Any) -> Mapping[str, str]:
    return {name: str(each) for name, each in _mapping(value).items() if isinstance(each, str)}
