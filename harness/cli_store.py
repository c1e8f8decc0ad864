"""``prereg store …`` on the command line: what is stored, where it came from, and what can go.

Exit codes are an interface: 0 done or equal, 1 something was damaged, differs or was in use, 2 unusable input.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import cli_bundle, cli_remote
from harness.core.errors import PreregError
from harness.core.places import is_url, place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.contracts.records import Job
    from harness.core.browse import Browser
    from harness.core.store import Store
    from harness.core.tidy import Rubbish

NOT_ALL = 1
_EVERY = 2.0
"""Seconds between two lines of progress on standard error."""
_KEY = "a key, its beginning, or a job's label"


def add(commands: Any) -> None:
    """Add ``store`` and its subcommands to a parser's subcommands."""
    store = commands.add_parser("store", help="what is stored, where it came from, and what can go")
    inner = store.add_subparsers(required=True, metavar="WHAT")
    listing = inner.add_parser("ls", help="list the artifacts, a line each")
    listing.add_argument("--kind", default="", help="only this kind, or this family of kinds (stage, eval, …)")
    listing.add_argument("--label", default="", metavar="TEXT", help="only labels with this text in them")
    listing.add_argument("--json", action="store_true", help="print JSON lines")
    _store(listing, _ls)
    show = inner.add_parser("show", help="print an artifact's manifest: files, parameters, how it was made")
    show.add_argument("key", metavar="KEY", help=_KEY)
    show.add_argument("--json", action="store_true", help="print the manifest as it is stored")
    _store(show, _show, plans=True)
    why = inner.add_parser("why", help="print what an artifact was made from, down to the first model and tables")
    why.add_argument("key", metavar="KEY", help=_KEY)
    _store(why, _why, plans=True)
    diff = inner.add_parser("diff", help="say why two artifacts are not the same (exit 1 when they are not)")
    diff.add_argument("key", metavar="KEY", help=_KEY)
    diff.add_argument("other", metavar="KEY", help="another one")
    _store(diff, _diff, plans=True)
    verify = inner.add_parser("verify", help="check every byte; what is damaged is named and put aside (exit 1)")
    _store(verify, _verify)
    gc = inner.add_parser(
        "gc", help="clear away what no sealed prereg needs (prints what would go; --yes deletes)",
        description="Keeps what the given preregs need, or all sealed ones in preregs/, rehearsed and for real, "
        "whatever engine made it. Without --yes nothing is deleted.",
    )  # fmt: skip
    gc.add_argument("files", type=Path, nargs="*", metavar="FILE", help="preregs to keep (default: preregs/*.yaml)")
    gc.add_argument("--leftovers", action="store_true", help="keep every artifact; only what runs left behind goes")
    gc.add_argument("--quarantine", action="store_true", help="what was damaged goes too")
    gc.add_argument("--yes", action="store_true", help="delete")
    gc.add_argument("--data", type=Path, help="folder of recorded tables")
    _store(gc, _gc)
    cli_bundle.add(inner, commands)
    cli_remote.add(inner)


def _store(parser: argparse.ArgumentParser, run: Any, *, plans: bool = False) -> None:
    parser.add_argument("--store", type=place)
    if plans:
        parser.add_argument(
            "--of", type=Path, metavar="FILE", help="the prereg whose labels and planned jobs are meant"
        )
        parser.add_argument("--rehearse", action="store_true", help="its rehearsal")
        parser.add_argument("--data", type=Path, help="folder of recorded tables")
    parser.set_defaults(run=run)


def _opened(options: argparse.Namespace) -> Store:
    from harness.core.places import open_store, open_url

    if is_url(options.store):
        remote = open_url(options.store)
        remote.connect(create=False)
        return remote
    store = open_store(options.store)
    if not (store.root / "objects").is_dir():
        raise PreregError(f"there is no store at {store.root}. Give it with --store FOLDER or PREREG_STORE")
    return store


def _ls(options: argparse.Namespace) -> None:
    from harness.core.browse import rows, sized
    from harness.core.remote.store import RemoteStore

    store = _opened(options)
    count = size = 0
    for row in cli_remote.rows(store) if isinstance(store, RemoteStore) else rows(store):
        if options.kind not in ("", row.kind, row.kind.partition("/")[0]) or options.label not in row.label:
            continue
        if options.json:
            print(json.dumps(vars(row), ensure_ascii=False), flush=count == 0)
        else:
            shown = "DAMAGED" if row.damaged else row.kind
            print(f"{row.key[:12]}  {shown:24}  {sized(row.bytes):>9}  {row.when:20}  {row.label}", flush=count == 0)
        count += 1
        size += row.bytes
    if not options.json:
        print(f"{count} artifacts, {sized(size)} in {store.where}")


def _browser(options: argparse.Namespace) -> Browser:
    from harness.core.browse import Browser
    from harness.core.remote.store import RemoteStore

    store = _opened(options)
    if isinstance(store, RemoteStore):
        cli_remote.learn(store)
    return Browser(store, _planned(options))


def _planned(options: argparse.Namespace) -> Mapping[str, Job]:
    if options.of is None:
        return {}
    from harness.compile.bind import load_bound
    from harness.compose import declare_kinds
    from harness.core.settings import ENGINE, find
    from harness.plan.engine import VARIABLE, choice_of
    from harness.plan.plan import make_plan

    declare_kinds()
    engine = choice_of(find([options.of]).setting(ENGINE), VARIABLE)
    data = Path(options.data) if options.data else None
    bound = load_bound(options.of, rehearsal=options.rehearse, data_root=data)
    return make_plan(bound, device="cpu" if options.rehearse else "cuda", engine=engine).jobs


def _show(options: argparse.Namespace) -> None:
    from harness.core.browse import known_path, sized, total
    from harness.core.manifest import MANIFEST

    browser = _browser(options)
    known = browser.find(options.key)
    if options.json:
        path = browser.store.path(known.key) / MANIFEST
        if known.state == "elsewhere":
            path = known_path(browser.store, known.key)
        elif known.state != "stored":
            raise PreregError(f"{known.label} ({known.key[:12]}) is {known.state}, so it has no manifest here")
        sys.stdout.write(path.read_text("utf-8"))
        return
    print(f"{known.label}\n  key      {known.key}\n  kind     {known.kind} v{known.job.get('version')}")
    print(f"  state    {known.state}" + (f" in {browser.store.path(known.key)}" if known.state == "stored" else ""))
    for name in ("seed", "lane", "device"):
        if known.job.get(name) not in (None, ""):
            print(f"  {name:8} {known.job[name]}")
    made = {name: value for name, value in known.made.items() if name != "inputs"}  # digests, for machines
    for title, content in (("engine", known.job.get("engine")), ("made", made), ("inputs", known.inputs)):
        for row, (name, value) in enumerate((content or {}).items()):
            print(f"  {title if row == 0 else '':8} {name}: {_plain(value)}")
    print(f"  params   {json.dumps(known.job.get('params'), ensure_ascii=False, indent=1, sort_keys=True)}")
    print(f"  files    {len(known.files)}, {total(known.files.values())}")
    for name, size in known.files.items():
        print(f"    {sized(size):>9}  {name}")


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(each)}" for name, each in value.items())
    return str(value)


def _why(options: argparse.Namespace) -> None:
    from harness.core.lineage import tree

    browser = _browser(options)
    for line in tree(browser, browser.find(options.key)):
        print(line)


def _diff(options: argparse.Namespace) -> int:
    from harness.core.lineage import differences

    browser = _browser(options)
    left, right = browser.find(options.key), browser.find(options.other)
    if left.key == right.key:
        print(f"the same artifact: {left.label} ({left.key[:12]})")
        return 0
    print(f"{left.label} ({left.key[:12]}) / {right.label} ({right.key[:12]}):")
    for line in differences(browser, left, right):
        print(f"  {line}")
    return NOT_ALL


def _verify(options: argparse.Namespace) -> int:
    from harness.core.browse import sized
    from harness.core.remote.store import RemoteStore
    from harness.core.tidy import check_all

    store = _opened(options)
    count = size = damaged = 0
    told = time.monotonic()
    for each in cli_remote.check_all(store) if isinstance(store, RemoteStore) else check_all(store):
        count += 1
        size += each.bytes
        if each.fault:
            damaged += 1
            print(f"DAMAGED  {each.label or each.name}: {each.fault}", flush=True)
        if time.monotonic() - told > _EVERY:
            told = time.monotonic()
            print(f"{count} checked, {sized(size)}", file=sys.stderr, flush=True)
    print(f"{count} artifacts checked, {sized(size)}: {f'{damaged} damaged' if damaged else 'every byte is as stored'}")
    if damaged:
        print("what was damaged lies in quarantine/ and is made again by the next run that needs it")
    return NOT_ALL if damaged else 0


def _gc(options: argparse.Namespace) -> int:
    from harness.core.tidy import at_work, remove, unneeded

    if is_url(options.store):
        raise PreregError(cli_remote.no_gc(options.store))
    store = _opened(options)
    needed = (lambda key: True) if options.leftovers else _needed(options, store)
    working = at_work(store)
    for key, holder in working:
        print(f"at work: {holder.label or key[:12]} ({holder})")
    if working and options.yes:
        raise PreregError("jobs are at work in this store, and what they read must stay. Run gc when they are done")
    found: list[Rubbish] = []
    for each in unneeded(store, needed, quarantine=options.quarantine):
        found.append(each)
        if each.what in ("artifact", "quarantine"):
            name = f"{each.key[:12]}  {each.label}" if each.key else each.path.name
            print(f"{'removing' if options.yes else 'would go'}  {name}", flush=len(found) == 1)
    in_use = [each for each in found if not remove(store, each)] if options.yes else []
    _say_gone([each for each in found if each not in in_use] if in_use else found, deleted=options.yes)
    for each in in_use:
        print(f"in use, and left: {each.path.relative_to(store.root)}")
    if found and not options.yes:
        print("nothing was deleted; delete with --yes")
    return NOT_ALL if in_use else 0


def _needed(options: argparse.Namespace, store: Store) -> Any:
    from harness.compose import declare_kinds
    from harness.core.settings import find
    from harness.plan.keep import Needed, sealed_in

    declare_kinds()
    home = find([])
    folder = home.root / "preregs"
    files = options.files or sealed_in(folder.relative_to(home.here) if folder.is_relative_to(home.here) else folder)
    if not files:
        raise PreregError(
            "there is no sealed prereg in preregs/, so nothing would be kept. Name the preregs to keep: "
            "prereg store gc FILE …, or clear only what runs left behind: prereg store gc --leftovers"
        )
    for file in files:
        if not file.is_file():
            raise PreregError(f"there is no file '{file}'")
        print(f"keeping what {file} needs")
    return Needed(store, files, Path(options.data) if options.data else None)


_NAMES = {
    "artifact": "artifacts", "manifest": "manifests of what lies elsewhere", "partial": "unfinished work",
    "draft": "half-written files", "lock": "locks that nobody holds", "log": "logs of runs",
    "failure": "failure notes of runs", "progress": "progress notes of runs", "quarantine": "damaged artifacts",
}  # fmt: skip


def _say_gone(found: list[Rubbish], *, deleted: bool) -> None:
    from harness.core.browse import sized
    from harness.core.tidy import summed

    for what, (count, size) in summed(found).items():
        print(f"  {count:7}  {sized(size):>9}  {_NAMES[what]}")
    size = sum(each.bytes for each in found)
    print(f"{'removed' if deleted else 'would remove'} {sized(size)}" if found else "nothing to clear away")
