"""What a run does to share its artifacts beyond the store's own folder: for a store that is a folder, nothing.

An executor asks before it starts a job, tells when one has ended, and hears what others did. The store on a URL
has its own exchange (``harness.core.remote.exchange``) with the same methods.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from harness.core.locks import Holder


class Wants(Protocol):
    """A job that is about to start: what it makes, and what it reads."""

    @property
    def key(self) -> str:
        """The key of what it makes."""
        ...

    @property
    def label(self) -> str:
        """What people call it."""
        ...

    @property
    def inputs(self) -> dict[str, str]:
        """Keys of what it reads, by role."""
        ...


@dataclass(frozen=True)
class News:
    """Something that an exchange found out: ``changed`` artifacts are not what they were, or not there any more."""

    what: Literal["changed", "note"]
    key: str = ""
    text: str = ""


class Exchange:
    """Shares nothing: every job may start at once, and what is stored here is stored."""

    def admit(self, job: Wants) -> bool | Holder:
        """Say whether a job may start now: True, False while that is being found out, or who else is making it."""
        return True

    def ended(self, key: str, *, stored: bool) -> None:
        """Take note that an admitted job has ended."""

    def settled(self, keys: Iterable[str]) -> bool:
        """Say whether all these artifacts lie here and are what everybody else has; see to it otherwise."""
        return True

    def news(self) -> list[News]:
        """Return what was found out since the last call."""
        return []

    @property
    def busy(self) -> bool:
        """Whether something is still under way."""
        return False

    def close(self, grace: float) -> None:
        """Let go of everything, after ``grace`` seconds at most. What is not shared by then stays here."""
