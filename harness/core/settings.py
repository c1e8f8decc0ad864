"""Where the store and the reports of a run are, and what pytest's ini file says of it: one rule for both programs.

The ini file is the one that pytest takes for the preregs that are named, found as pytest finds it: at or above the
folder that they share (without any: the folder where the command is given), then above each of them. Its folder is the
root; without one, the folder where the command is given is. pytest counts the value of any option that happens to name
something that exists among its arguments, so its own root may be another one when a command is given again. Only
preregs count here.

Standard library only, and nothing is imported for a file that is not there: every command may ask.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.core.errors import PreregError, Problem, Where
from harness.core.places import exists

STORE, OUT, DATA, ENGINE = "prereg_store", "prereg_out", "prereg_data", "prereg_engine"
_OPTIONS = {STORE: "--store", OUT: "--prereg-out", DATA: "--prereg-data", ENGINE: "--engine"}
_VARIABLES = {STORE: "PREREG_STORE", DATA: "PREREG_DATA", ENGINE: "PREREG_ENGINE"}
_ADDED = "PYTEST_ADDOPTS"
_OURS = ("prereg_", "--prereg-", "--store", "--engine")
"""Words without one of which an ini file says nothing to us."""
_HEADERS = {
    "pyproject.toml": r"(?m)^\[tool\.pytest\.ini_options\]",
    "tox.ini": r"(?m)^\[pytest\]",
    "setup.cfg": r"(?m)^\[tool:pytest\]",
}
"""What makes a file of other programs one of pytest's, too."""

Said = Mapping[str, Any]


@dataclass(frozen=True)
class Home:
    """The root, pytest's ini file with what it says (None: there is none), and where the command was given."""

    root: Path
    here: Path
    ini: Path | None = None
    said: Said = field(default_factory=dict)

    @property
    def store(self) -> Path:
        """The store where nobody says another one."""
        return self.root / ".prereg"

    @property
    def out(self) -> Path:
        """The folder of reports where nobody says another one."""
        return self.root / "results"

    def setting(self, name: str) -> str:
        """Return what pytest takes for a setting, as it is written: added options, the environment, the ini file."""
        return next((text for text, _ in self._said(name)), "")

    def places(self, name: str) -> list[str | Path]:
        """Return every place that a setting names, folders and URLs; the first is the one that counts."""
        return [text if "://" in text else base / Path(text).expanduser() for text, base in self._said(name)]

    def _said(self, name: str) -> Iterator[tuple[str, Path]]:
        """Yield what is said of a setting, the first first, each with the folder that it is relative to."""
        ini = self.ini.parent if self.ini else self.root
        environment = os.environ.get(_VARIABLES.get(name, ""), "")
        for text, base in (
            (self._added().get(name), self.here), (environment, self.here), (self.said.get(name), ini)
        ):  # fmt: skip
            if text:
                yield str(text), base

    def _added(self) -> dict[str, str]:
        """Return the settings among the options that ``addopts`` and ``PYTEST_ADDOPTS`` give to every run."""
        written, more = self.said.get("addopts") or "", os.environ.get(_ADDED, "")
        if not (written or more):
            return {}
        import shlex

        parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
        for name, option in _OPTIONS.items():
            parser.add_argument(option, dest=name)
        try:
            words = list(map(str, written)) if isinstance(written, list) else shlex.split(str(written))
            found, _ = parser.parse_known_args(words + shlex.split(more))
        except (ValueError, argparse.ArgumentError) as error:
            what = f"the options that pytest is to add ('addopts', {_ADDED}) cannot be read: {error}"
            raise PreregError(Problem(Where(str(self.ini or "")), what)) from error
        return {name: value for name, value in vars(found).items() if value}


def find(named: Iterable[Path], here: Path | None = None) -> Home:
    """Return the home of the files and folders that a command names.

    Args:
        named: preregs, or folders of them; what does not exist is left out, as pytest does.
        here: the folder where the command is given (default: the current one).

    Raises:
        PreregError: the ini file cannot be read.
    """
    here = here or Path.cwd()
    places = [Path(os.path.normpath(here / each)) for each in named]
    folders = [each if each.is_dir() else each.parent for each in places if exists(each)] or [here]
    shared = Path(os.path.commonpath(folders))
    found = _located([shared])
    if found is None:
        setup = next((folder for folder in (shared, *shared.parents) if (folder / "setup.py").is_file()), None)
        if setup is not None:
            return Home(setup, here)
        found = _located(folders)
    return Home(found[0].parent, here, *found) if found else Home(here, here)


def _located(folders: Sequence[Path]) -> tuple[Path, Said] | None:
    """Return the first ini file at or above the folders with what it says, else the first ``pyproject.toml``."""
    project = None
    for base in (base for folder in folders for base in (folder, *folder.parents)):
        for name, read in _READERS.items():
            path = base / name
            if not path.is_file():
                continue
            if name == "pyproject.toml":
                project = project or path
            said = _read(path, read)
            if said is not None:
                return path, said
    return (project, {}) if project else None


def _read(path: Path, read: Callable[[str], Said | None]) -> Said | None:
    own = path.name.lstrip(".").startswith("pytest.")
    try:
        text = path.read_text(encoding="utf-8")
        if not any(word in text for word in _OURS):
            # Nothing of it is for us but that it is there: most projects' files need no parser, which takes longer.
            if own:
                return {}
            header = _HEADERS.get(path.name)
            if header and re.search(header, text):
                return {}
            if path.name != "pyproject.toml":
                return None
        return read(text) if "pytest" in text or own else None
    except (OSError, ValueError) as error:
        hint = "pytest reads it too: mend it, or give the command where it does not count"
        raise PreregError(Problem(Where(str(path)), f"pytest's ini file cannot be read: {error}", hint=hint)) from error


def _section(text: str, name: str) -> Said | None:
    """Return a section of an ini file. Keys keep their case, and ``%`` means nothing."""
    import configparser

    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    parser.optionxform = str  # type: ignore[method-assign, assignment]
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise ValueError(" ".join(str(error).split())) from error
    return dict(parser[name]) if name in parser else None


def _toml(text: str) -> dict[str, Any]:
    import tomllib

    return tomllib.loads(text)


def _project(text: str) -> Said | None:
    table: dict[str, Any] = _toml(text).get("tool", {}).get("pytest", {})
    native = {key: value for key, value in table.items() if key != "ini_options"}
    return native or table.get("ini_options")


_READERS: dict[str, Callable[[str], Said | None]] = {
    "pytest.toml": lambda text: _toml(text).get("pytest", {}),
    ".pytest.toml": lambda text: _toml(text).get("pytest", {}),
    "pytest.ini": lambda text: _section(text, "pytest") or {},
    ".pytest.ini": lambda text: _section(text, "pytest") or {},
    "pyproject.toml": _project,
    "tox.ini": lambda text: _section(text, "pytest"),
    "setup.cfg": lambda text: _section(text, "tool:pytest"),
}
"""pytest's ini files in the order in which they count, each with what reads it; None: it says nothing of pytest."""
