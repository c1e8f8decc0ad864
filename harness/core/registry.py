"""Registries of kinds: refuse duplicates, import lazily, suggest names, then freeze."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from harness.core.errors import PreregError, Problem, Where

T = TypeVar("T")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``did you mean 'x'?`` for the closest known name, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else ""


class Registry(Generic[T]):
    """Kinds by name. A name is either an object or the module that registers it when imported.

    Collection must cost no imports, so the composition root declares ``name -> module`` and the
    module is imported when the kind is first asked for.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self._kinds: dict[str, T] = {}
        self._modules: dict[str, str] = {}
        self._frozen = False

    def declare(self, name: str, module: str) -> None:
        """Say which module registers ``name``; importing it waits until :meth:`get`."""
        self._refuse_if_frozen(name)
        if self._modules.get(name, module) != module:
            raise PreregError(f"{self.what} '{name}' is declared by {self._modules[name]} and by {module}")
        self._modules[name] = module

    def register(self, name: str) -> Callable[[T], T]:
        """Class decorator that files a kind under ``name``."""

        def keep(kind: T) -> T:
            if name in self._kinds:
                raise PreregError(f"{self.what} '{name}' is registered twice")
            if name not in self._modules:
                self._refuse_if_frozen(name)
            self._kinds[name] = kind
            return kind

        return keep

    def get(self, name: str, where: Where | None = None) -> T:
        """Return the kind called ``name``.

        Raises:
            PreregError: unknown name, with the closest known one.
        """
        if name not in self._kinds and name in self._modules:
            importlib.import_module(self._modules[name])
        if name not in self._kinds:
            known = ", ".join(self.names()) or "none"
            hint = did_you_mean(name, self.names())
            raise PreregError(Problem(where or Where(), f"there is no {self.what} '{name}'", f"one of: {known}", hint))
        return self._kinds[name]

    def names(self) -> tuple[str, ...]:
        """Return every known name, sorted, without importing anything."""
        return tuple(sorted({*self._kinds, *self._modules}))

    def freeze(self) -> None:
        """Refuse new names from now on (declared ones may still be imported)."""
        self._frozen = True

    def _refuse_if_frozen(self, name: str) -> None:
        if self._frozen:
            raise PreregError(f"{self.what} '{name}' came after the registry was frozen; register it at plugin load")
