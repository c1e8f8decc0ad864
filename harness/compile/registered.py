"""What a file registers, as a seal holds it: its bound form beside its meaning as a document."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.compile.bind import bind
from harness.compile.meaning import meaning_document
from harness.contracts.bound import Bound
from harness.spec.load import Document, load_document
from harness.spec.read import read_prereg


@dataclass(frozen=True)
class Registered:
    """A document, what it binds to, and its meaning. ``meaning`` digests to ``bound.meaning``."""

    document: Document
    bound: Bound
    meaning: dict[str, Any]


def registered(path: Path, *, data_root: Path | None = None, shown: str = "") -> Registered:
    """Load and bind a file and write down what it means.

    Raises:
        PreregError: everything that is wrong with the file, each at its line.
    """
    return registered_document(load_document(path, shown=shown), data_root)


def registered_document(document: Document, data_root: Path | None) -> Registered:
    """Bind a document and write down what it means; raises as :func:`registered`."""
    bound = bind(document, data_root=data_root)
    prereg, _ = read_prereg(document)
    return Registered(document, bound, meaning_document(bound, prereg, document.folder))
