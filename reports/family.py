"""Which registration descends from which: ``parents`` name issues by number or registrations by their id."""

from __future__ import annotations

import re
from collections.abc import Iterable


def is_called(id: str, name: str) -> bool:
    """Whether a parent's name means this registration: its id, or the number that its id ends in.

    ``310`` is ``issue_310``; ``issue_310_v2`` is called by its full id only.
    """
    return name == id or (re.fullmatch(rf"[A-Za-z_-]*?{re.escape(name)}", id) is not None and name.isdigit())


def resolve(name: str, ids: Iterable[str]) -> str:
    """Return the id that a parent's name means, or the name itself where no registration is called so."""
    found = sorted(id for id in ids if is_called(id, name))
    return name if name in found else found[0] if found else name
