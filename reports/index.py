"""A static site over all registrations and results of a repository: one page, the reports beside it, and a JSON."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from harness.core.durable import replace_file
from harness.core.numbers import count_noun
from reports.escape import visible
from reports.ledger import Card, Ledger, read_ledger
from reports.templating import TEMPLATES

COPIED = ("report.html", "clean_result.md", "results.json")
"""What of a report goes onto the site."""
LONGEST = 300
DEEPEST = 40
"""Generations of a family tree that are drawn; a tree this deep is a circle or a prank."""


def write_index(folders: Sequence[Path], out: Path) -> list[Path]:
    """Write ``index.html`` and ``index.json`` into ``out``, with a copy of the latest report of every registration.

    Returns:
        The paths of both.
    """
    ledger = read_ledger(folders)
    out.mkdir(parents=True, exist_ok=True)
    links = {card.id: _copied(card, out) for card in ledger.cards}
    page, data = out / "index.html", out / "index.json"
    replace_file(page, index_html(ledger, links).encode())
    replace_file(data, (json.dumps(as_json(ledger, links), indent=1, ensure_ascii=False) + "\n").encode())
    return [page, data]


def index_html(ledger: Ledger, links: dict[str, str] | None = None) -> str:
    """Return the page. Links are those of the reports by registration id; everything else is escaped."""
    context = {
        "style": Markup((TEMPLATES / "index.css").read_text(encoding="utf-8")),
        "cards": ledger.cards,
        "links": links or {},
        "counts": ledger.counts,
        "claims": [claim for card in ledger.cards for claim in card.claims],
        "calibration": ledger.calibration,
        "replications": ledger.replications,
        "problems": ledger.problems,
        "trees": [_branch(ledger, name, set(), 0) for name in _roots(ledger)],
    }
    return _environment().get_template("index.html.j2").render(context)


def as_json(ledger: Ledger, links: dict[str, str]) -> dict[str, Any]:
    """Return the same for machines."""
    return {
        "schema_name": "prereg-index",
        "schema_version": 1,
        "preregs": [
            {
                "id": card.id, "title": card.title, "parents": list(card.parents), "status": card.status,
                "sealed": card.sealed, "amendments": card.amendments, "superseded_by": card.superseded_by,
                **_decided(card), "report": links.get(card.id, ""),
                "claims": [asdict(claim) for claim in card.claims],
            }
            for card in ledger.cards
        ],
        "counts": ledger.counts,
        "replications": [{**asdict(each), "agrees": each.agrees} for each in ledger.replications],
        "calibration": [{"label": label, "replicated": n, "held": k} for label, n, k in ledger.calibration],
        "problems": list(ledger.problems),
    }  # fmt: skip


def _decided(card: Card) -> dict[str, str]:
    found = card.latest
    if found is None:
        return {"verdict": "", "standing": "", "confidence": "", "date": ""}
    decision = found.model.decision
    return {
        "verdict": decision.verdict,
        "standing": decision.standing,
        "confidence": decision.confidence.final or "",
        "date": found.date,
    }


def _copied(card: Card, out: Path) -> str:
    """Copy a registration's latest report onto the site and return the link to it; empty where there is none."""
    if card.latest is None:
        return ""
    folder = "".join(char if char.isascii() and (char.isalnum() or char in "-_") else "_" for char in card.id)[:80]
    there = [name for name in COPIED if (card.latest.folder / name).is_file()]
    (out / folder).mkdir(exist_ok=True)
    for name in there:
        if (card.latest.folder / name).resolve() != (out / folder / name).resolve():
            shutil.copyfile(card.latest.folder / name, out / folder / name)
    return f"{folder}/{there[0]}" if there else ""


# --- the family tree ------------------------------------------------------------------------------------


def _roots(ledger: Ledger) -> list[str]:
    """Begin with the roots; registrations in a circle of parents have none, so the first of them begins one."""
    found, reached = [], set[str]()
    for name in (*ledger.roots, *(card.id for card in ledger.cards)):
        if name not in reached and (name in {c.id for c in ledger.cards} or ledger.children(name)):
            found.append(name)
            reached |= {name, *_below(ledger, name, reached)}
    return found


def _below(ledger: Ledger, name: str, seen: set[str]) -> Iterator[str]:
    waiting, known = [name], set(seen) | {name}
    while waiting:
        for child in ledger.children(waiting.pop()):
            if child.id not in known:
                known.add(child.id)
                waiting.append(child.id)
                yield child.id


def _branch(ledger: Ledger, name: str, above: set[str], depth: int) -> dict[str, Any]:
    card = next((card for card in ledger.cards if card.id == name), None)
    children = [child.id for child in ledger.children(name) if child.id not in above | {name}]
    if depth >= DEEPEST:
        children = []
    others = [parent for parent in ledger.parents(card) if parent not in above] if card else []
    return {
        "name": name,
        "card": card,
        "also": others if above else [],
        "children": [_branch(ledger, child, above | {name}, depth + 1) for child in children],
    }


# --- the page -------------------------------------------------------------------------------------------


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, autoescape=True, finalize=_shown,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(noun=lambda count, noun: count_noun(count, noun), mood=_mood)
    return environment


def _shown(value: object) -> object:
    """Show user text as it is: escaped, cut, with what is invisible made visible."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    text = visible(value)
    return escape(text if len(text) <= LONGEST else f"{text[:LONGEST]}…")


def _mood(word: str) -> str:
    """Return the class of a verdict's chip."""
    return {"supported": "good", "not supported": "bad", "killed": "bad", "inconclusive": "open"}.get(word, "quiet")
