"""The command line: it looks at preregs and results; pytest runs them."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

from harness.core.errors import JobError, PreregError

USAGE_ERROR = 2
_MODULES = {
    "cli_plan": ("plan",),
    "cli_author": ("new", "schema", "explain"),
    "cli_check": ("check",),
    "cli_seal": ("seal", "amend", "verify"),
    "cli_simulate": ("simulate",),
    "cli_store": ("store", "replay"),
    "cli_report": ("report", "compare"),
    "cli_export": ("export",),
}
"""The commands of each module, in the order of the help. A command imports its own module and none of the others,
which every pipeline's ``check`` and ``verify`` would wait for; one that is not listed here imports them all."""
_AT_ONCE = ("check", "verify")
"""Commands that read and print and leave nothing to close: as programs they end without taking Python down piece by
piece, which the solver's objects make long."""


_PLACES = ("store", "results", "data")
"""Options for places: what is not given is what pytest would take (``harness.core.settings``)."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code, or 2 with every problem on standard error."""
    given = sys.argv[1:] if arguments is None else arguments
    if arguments is None:
        _without_plugins()
    options = _parser(given[0] if given else "").parse_args(given)
    try:
        if any(vars(options).get(name, "") is None for name in _PLACES):
            _settle(options)
        status = options.run(options) or 0
        sys.stdout.flush()
        return status
    except (PreregError, JobError) as error:
        print(error, file=sys.stderr)
        return USAGE_ERROR
    except BrokenPipeError:
        # Whoever read us (``| head``) has seen enough; what is still buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _settle(options: argparse.Namespace) -> None:
    """Fill in the places that a command was not told, as a run of the preregs that it names would take them."""
    from harness.core.settings import DATA, OUT, STORE, find

    said = vars(options)
    named = (*(said.get(name) for name in ("file", "osf", "of")), *said.get("files", ()))
    home = find(each for each in named if each is not None)
    for name, setting, default in (("store", STORE, home.store), ("results", OUT, home.out), ("data", DATA, None)):
        if said.get(name, "") is None:
            said[name] = next(iter(home.places(setting)), default)


def program() -> NoReturn:
    """Run the command line as a program and end the process with its exit code."""
    status = main()
    if sys.argv[1] in _AT_ONCE:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(BrokenPipeError):
                stream.flush()
        os._exit(status)
    sys.exit(status)


def _without_plugins() -> None:
    """Keep pydantic from looking through every installed package for plugins: this process is ours alone.

    Its setting for that (``PYDANTIC_DISABLE_PLUGINS``) skips the search and still imports what searches, with the
    standard library's e-mail package: 10 ms of every command. Where pydantic has moved that, nothing is lost.
    """
    loader = ModuleType("pydantic.plugin._loader")
    vars(loader)["get_plugins"] = lambda: ()
    sys.modules.setdefault(loader.__name__, loader)


def _parser(command: str) -> argparse.ArgumentParser:
    """Return the parser of a command, or that of all of them where no module lists it."""
    parser = argparse.ArgumentParser(prog="prereg", description="Look at preregistrations; pytest runs them.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    only = [module for module, names in _MODULES.items() if command in names]
    for module in only or _MODULES:
        importlib.import_module(f"harness.{module}").add(commands)
    return parser
