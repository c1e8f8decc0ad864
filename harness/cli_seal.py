"""``prereg seal``, ``prereg amend`` and ``prereg verify`` on the command line.

Exit codes are an interface: 0 done or it holds, 1 it was changed or tampered with, 2 unusable input.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.errors import PreregError
from harness.core.places import place

if TYPE_CHECKING:
    from harness.plan.register import Place
    from harness.plan.verify import Verified
    from harness.spec.seal import Seal

CHANGED, USAGE_ERROR = 1, 2


def add(commands: Any) -> None:
    """Add the three commands to a parser's subcommands."""
    seal = commands.add_parser("seal", help="write down what is registered, before anything is measured")
    _writing(seal)
    seal.set_defaults(run=_seal)
    amend = commands.add_parser("amend", help="write down what was changed since the seal, and why")
    _writing(amend)
    amend.add_argument("--because", required=True, metavar="WHY", help="the reason, for every reader of the report")
    amend.set_defaults(run=_amend)
    verify = commands.add_parser("verify", help="check preregs against their seals: 0 holds, 1 changed, 2 unusable")
    verify.add_argument("files", type=Path, nargs="+", metavar="FILE")
    verify.add_argument("--tsa-cert", type=Path, metavar="PEM", help="certificates of the time-stamping authority")
    verify.add_argument("--data", type=Path, help="folder of recorded tables")
    verify.add_argument("--full", action="store_true", help="compare the meaning even when every byte is as sealed")
    verify.add_argument("--json", action="store_true", help="print JSON")
    verify.set_defaults(run=_verify)


def _writing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--tsa", default="", metavar="URL", help="have a time-stamping authority (RFC 3161) stamp it")
    parser.add_argument("--data", type=Path, help="folder of recorded tables")
    parser.add_argument("--store", type=place)
    parser.add_argument("--results", type=Path, help="folder of reports")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _place(options: argparse.Namespace) -> Place:
    """Return where things lie: what a run of the prereg left anywhere that pytest may have put it counts, too."""
    from harness.compose import declare_kinds
    from harness.core.places import is_url, open_store
    from harness.core.settings import OUT, STORE, find
    from harness.plan.register import Place

    declare_kinds()
    home = find([options.file])
    near = (home.root, home.here, options.file.absolute().parent)
    stores = [open_store(options.store)]
    for other in (*home.places(STORE), *(folder / ".prereg" for folder in near)):
        store = open_store(other)
        if store.where not in {each.where for each in stores} and (is_url(other) or (store.root / "objects").is_dir()):
            stores.append(store)
    for store in stores:
        store.connect()  # what was measured elsewhere before it was registered counts, too
    reports = dict.fromkeys([options.results, *map(Path, home.places(OUT)), *(folder / "results" for folder in near)])
    return Place(stores[0], options.results, options.data, tuple(stores[1:]), tuple(reports))


def _seal(options: argparse.Namespace) -> None:
    place = _place(options)
    from harness.plan.register import seal_file

    _told(seal_file(options.file, place, tsa=options.tsa), options.json)


def _amend(options: argparse.Namespace) -> None:
    place = _place(options)
    from harness.plan.register import amend_file

    _told(amend_file(options.file, options.because, place, tsa=options.tsa), options.json)


def _told(seal: Seal, as_json: bool) -> None:
    entry, number = seal.last, len(seal.entries) - 1
    known = seal.known_before(number)
    if as_json:
        print(json.dumps({
            "file": str(seal.path), "id": seal.id, "kind": entry.kind, "when": entry.when, "hash": entry.hash,
            "meaning": entry.meaning_sha256, "changes": [vars(change) for change in entry.changes],
            "measured": [vars(each) for each in entry.measured], "known": list(known), "stamped": bool(entry.stamp),
        }))  # fmt: skip
        return
    print(f"{seal.id}: {'amended' if number else 'sealed'} at {entry.when} in {seal.path}")
    print(f"  meaning {entry.meaning_sha256}")
    for change in entry.changes:
        print(f"  {change}")
    for file in entry.files:
        print(f"  {file.key}: {file.file} {file.sha256[:12]}")
    for each in entry.measured:
        print(f"  stored already: {each.name} ({each.of}, of {each.when})")
    if known:
        print(f"  {'amended' if number else 'sealed'} after measurements existed: {', '.join(known)}")
    if not entry.clean:
        print("  not committed as it is: commit the prereg, its files and the seal, so that others can see the order")
    if entry.stamp:
        print(f"  time stamp from {entry.stamp}")


def _verify(options: argparse.Namespace) -> int:
    from harness.plan.verify import verify_file

    data, worst, told = Path(options.data) if options.data else None, 0, []
    for path in options.files:
        try:
            found = verify_file(path, data=data, certificate=options.tsa_cert, full=options.full, declare=_declare)
        except PreregError as error:
            worst = USAGE_ERROR
            problems = [str(each) for each in error.problems]
            told.append({"file": str(path), "holds": None, "faults": problems, "notes": []})
            if not options.json:
                print(error, file=sys.stderr)
            continue
        worst = worst or (0 if found.holds else CHANGED)
        told.append(_plain(found))
        if not options.json:
            _print(found)
    if options.json:
        print(json.dumps(told))
    return worst


def _declare() -> None:
    from harness.compose import declare_kinds

    declare_kinds()


def _plain(found: Verified) -> dict[str, Any]:
    content = {"file": str(found.path), "holds": found.holds, "faults": list(found.faults), "notes": list(found.notes)}
    if found.seal:
        content |= {"id": found.seal.id, "sealed": found.seal.first.when, "amendments": len(found.seal.entries) - 1}
        content |= {"meaning": found.seal.last.meaning_sha256, "head": found.seal.head}
    return content


def _print(found: Verified) -> None:
    if found.holds and found.seal:
        amended = len(found.seal.entries) - 1
        more = f", {amended} amendment{'s' if amended > 1 else ''}" if amended else ""
        print(f"{found.path}: holds (sealed {found.seal.first.when}{more})")
    else:
        print(f"{found.path}: DOES NOT HOLD")
    for fault in found.faults:
        print(f"  {fault}")
    for note in found.notes:
        print(f"  note: {note}")
