"""``prereg check`` on the command line.

Exit codes are an interface: 0 nothing at error level that is not accepted, 1 findings at error level, 2 unusable input.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.errors import PreregError
from harness.core.places import is_url, open_store, place, require_folder

if TYPE_CHECKING:
    from harness.contracts.bound import Bound
    from harness.contracts.records import CheckFinding

FOUND, USAGE_ERROR = 1, 2


def add(commands: Any) -> None:
    """Add the command to a parser's subcommands."""
    check = commands.add_parser("check", help="find faults of the design (exit 0 clean, 1 errors found, 2 unusable)")
    check.add_argument("files", type=Path, nargs="*", metavar="FILE")
    check.add_argument("--explain", metavar="CODE", help="say what a code means, and stop")
    check.add_argument("--no-allow", action="store_true", help="show everything, whatever the prereg accepts")
    check.add_argument("--format", choices=("text", "json", "github"), default="text")
    check.add_argument("--confirm", action="store_true", help="decide on made-up tables for every outcome (slow)")
    check.add_argument("--data", type=Path, help="folder of recorded tables")
    check.add_argument("--store", type=place)
    check.set_defaults(run=_check)


def _check(options: argparse.Namespace) -> int:
    if options.explain:
        return _explain(options.explain)
    if not options.files:
        raise PreregError("check needs a FILE, or --explain CODE")
    collecting = gc.isenabled()
    gc.disable()  # Nothing here lives long, and collecting costs a tenth of the time.
    try:
        return _all(options)
    finally:
        gc.freeze()  # The process is about to end, and the solver left thousands of small objects to look through.
        if collecting:
            gc.enable()


def _all(options: argparse.Namespace) -> int:
    from harness.check import present

    require_folder(options.store, "--store")
    results: list[tuple[str, Sequence[CheckFinding] | None, Sequence[str]]] = []
    worst = 0
    for path in options.files:
        try:
            bound, found = _found(path, options)
        except PreregError as error:
            worst = USAGE_ERROR
            results.append((str(path), None, [str(each) for each in error.problems]))
            if options.format != "json":
                print(error, file=sys.stderr)
            continue
        results.append((str(path), found, ()))
        if any(each.severity == "error" and not each.allowed for each in found):
            worst = worst or FOUND
        if options.format != "json":
            lines = present.github(str(path), found) if options.format == "github" else present.text(str(path), found)
            print("\n".join([*bound.missing, *lines]))
        if options.confirm and options.format == "text":
            _confirm(bound)
    if options.format == "json":
        print(present.as_json(results))
    return worst


def _found(path: Path, options: argparse.Namespace) -> tuple[Bound, tuple[CheckFinding, ...]]:
    from harness.check.run import check
    from harness.compile.bind import load_bound
    from harness.compose import declare_kinds

    declare_kinds()
    bound = load_bound(path, data_root=Path(options.data) if options.data else None)
    store = open_store(options.store).root if is_url(options.store) else options.store
    return bound, check(bound, deep=True, store=store, allow=not options.no_allow)


def _confirm(bound: Bound) -> None:
    from harness.decide.confirm import confirm

    for each in confirm(bound):
        print(f"  {each}")


def _explain(code: str) -> int:
    from harness.check.codes import SAYS, explain
    from harness.core.registry import did_you_mean

    if code.upper() not in SAYS:
        hint = did_you_mean(code.upper(), list(SAYS))
        raise PreregError(f"there is no code '{code}'; the codes are {', '.join(SAYS)}. {hint}".strip())
    print(explain(code.upper()))
    return 0
