"""Cite a result: CITATION.cff (Citation File Format 1.2.0) and BibTeX.

Authors are those who sealed or amended the registration; where nobody did, the entity 'unknown author' stands in, for
a citation must name somebody and nobody may be made up. The identifier is the registration's digest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.contracts.records import Decision
from reports.escape import visible
from reports.reading import Found
from reports.records import ReportModel

VERSION = "1.2.0"
UNKNOWN = "unknown author"
_TEX = {"\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_TEX |= {char: f"\\{char}" for char in "%&$#_"}


def cite(found: Found, authors: Sequence[str]) -> dict[str, bytes]:
    """Return the files: ``CITATION.cff`` and ``citation.bib``.

    Args:
        found: the result; a rehearsal is cited as one.
        authors: ``Name <address>`` of everybody who sealed; addresses are left out of the citation.
    """
    people = list(dict.fromkeys(_name(author) for author in authors)) or [UNKNOWN]
    return {"CITATION.cff": _yaml(cff(found, people)), "citation.bib": bibtex(found, people).encode()}


def cff(found: Found, people: Sequence[str]) -> dict[str, Any]:
    """Return the content of CITATION.cff."""
    model = found.model
    content: dict[str, Any] = {
        "cff-version": VERSION,
        "message": "If you use this result, please cite it with its registration.",
        "type": "dataset",
        "title": _title(model),
        "abstract": _abstract(model),
        "authors": [{"name": name} for name in people],
        "keywords": ["preregistration", model.decision.standing, model.decision.verdict],
        "identifiers": [
            {
                "type": "other",
                "value": f"prereg:{model.registration.id}:{model.registration.meaning}",
                "description": "Identifier and SHA-256 digest of what was registered",
            }
        ],
    }
    if re.fullmatch(r"\d{4}-\d\d-\d\d", found.date):
        content["date-released"] = found.date
    return content


def bibtex(found: Found, people: Sequence[str]) -> str:
    """Return a BibTeX entry; what TeX would read as a command is escaped."""
    model = found.model
    fields = {
        "author": " and ".join("{" + _tex(name) + "}" for name in people),
        "title": "{" + _tex(_title(model)) + "}",
        "year": found.date[:4],
        "month": found.date[5:7],
        "howpublished": _tex(f"Preregistered result ({model.decision.standing})"),
        "note": _tex(f"{_abstract(model)} Registration {model.registration.id}, SHA-256 {model.registration.meaning}"),
    }
    key = re.sub(r"[^A-Za-z0-9:_-]", "_", model.registration.id)
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@misc{{{key}_{model.registration.meaning[:8]},", *lines, "}", ""])


def _title(model: ReportModel) -> str:
    stamp = "REHEARSAL: " if model.registration.rehearsal else ""
    return stamp + visible(model.registration.title)


def _abstract(model: ReportModel) -> str:
    decision: Decision = model.decision
    if decision.rehearsal:
        return f"A rehearsal at toy scale, no evidence; the rule returned '{decision.verdict}'."
    return f"Verdict: {decision.verdict} ({decision.standing}), confidence {decision.confidence.final or 'none'}."


def _name(author: str) -> str:
    """Return a name without its address, on one line."""
    return visible(re.sub(r"\s*<[^>]*>\s*$", "", author)).strip() or UNKNOWN


def _tex(text: str) -> str:
    return "".join(_TEX.get(char, char) for char in visible(text))


def _yaml(content: Mapping[str, Any]) -> bytes:
    import yaml

    text: str = yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True, width=100)
    return text.encode()


def sealed_by(prereg: Path) -> list[str]:
    """Return the authors on a registration's seal, first come first; none where there is no seal.

    Raises:
        PreregError: the seal is there and cannot be read.
    """
    from harness.spec.seal import read_seal, seal_path

    if not seal_path(prereg).is_file():
        return []
    return [entry.author for entry in read_seal(seal_path(prereg)).entries if entry.author]
