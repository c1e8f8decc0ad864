"""``prereg store export``, ``prereg store import`` and ``prereg replay`` on the command line.

Exit codes are an interface: 0 done or equal, 1 the replay gave something else, 2 unusable input.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.errors import PreregError
from harness.core.places import is_url, place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.bundle.again import Recomputed
    from harness.bundle.replay import Replayed
    from harness.core.store import Store
    from harness.execute.executor import Event

DIFFERS = 1
_MOST = 8


def add(inner: Any, commands: Any) -> None:
    """Add ``export`` and ``import`` to the subcommands of ``store``, and ``replay`` to a parser's subcommands."""
    export = inner.add_parser(
        "export", help="pack a decided prereg into one file for a reviewer",
        description="Packs the prereg with its seal, banks and tables, all measurements, estimates and the verdict, "
        "training logs and adapters, and the report. Base models stay out: their manifests are carried instead.",
    )  # fmt: skip
    export.add_argument("file", type=Path, metavar="FILE.yaml")
    export.add_argument("--rehearse", action="store_true", help="its rehearsal")
    export.add_argument("--out", type=Path, metavar="BUNDLE", help="the file to write (default: ID.prereg.zip)")
    export.add_argument("--results", type=Path, help="folder of reports")
    export.add_argument("--data", type=Path, help="folder of recorded tables")
    export.add_argument("--with-models", action="store_true", help="carry base models and merged models too")
    export.add_argument("--ro-crate", action="store_true", help="describe it as an RO-Crate too (needs rocrate)")
    export.add_argument("--with-data", action="store_true", help="carry finetuning data too")
    export.add_argument("--store", type=place)
    export.set_defaults(run=_export)
    adopt = inner.add_parser("import", help="check a bundle and put it into a store and a folder")
    adopt.add_argument("bundle", type=Path, metavar="BUNDLE")
    adopt.add_argument("--store", type=place)
    adopt.add_argument("--dir", type=Path, help="folder for the prereg, its files and its report (default: ID)")
    adopt.set_defaults(run=_import)
    replay = commands.add_parser(
        "replay", help="decide a bundle again from its measurements, without models, and compare",
        description="Computes everything that needs no model anew, compares it with the bundle byte for byte and "
        "writes the report again. Needs neither torch nor a GPU.",
    )  # fmt: skip
    replay.add_argument("bundle", type=Path, metavar="BUNDLE", help="a bundle, or the folder of an imported one")
    replay.add_argument("--store", type=place,
                        help="where an imported bundle's artifacts are; a bundle brings its own")  # fmt: skip
    replay.add_argument("--out", type=Path, default=Path("replayed"), help="folder of reports (default: replayed)")
    replay.add_argument("--recompute", metavar="ARM", default="",
                        help="instead: train, sample and read this arm again (needs torch), and compare")  # fmt: skip
    replay.set_defaults(run=_replay)


def _declare() -> None:
    # One thread, as in jobs: sums over several threads need not be the same to the last bit.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    from harness.compose import declare_kinds

    declare_kinds()


def _export(options: argparse.Namespace) -> None:
    _declare()
    from harness.bundle.export import Wanted, export
    from harness.core.browse import sized
    from harness.core.places import open_store

    wanted = Wanted(
        options.file, options.rehearse, options.results, Path(options.data) if options.data else None,
        models=options.with_models, data=options.with_data, crate=options.ro_crate,
    )  # fmt: skip
    marked = "-rehearsal" if options.rehearse else ""
    out = options.out or Path(f"{options.file.stem}{marked}.prereg.zip")
    store = open_store(options.store)
    store.connect()
    contents, size = export(wanted, store, out)
    print(f"{out}: {contents.name}, {len(contents.carried)} artifacts, {sized(size)}")
    for why in sorted(set(contents.left_out.values())):
        print(f"  left out: {why}")
    print(f"to replay it, without models: prereg replay {out}")


def _import(options: argparse.Namespace) -> None:
    from harness.bundle.adopt import adopt
    from harness.core.store import Store

    _require(options.bundle)
    if is_url(options.store):
        raise PreregError(
            f"a bundle is imported into a folder, and {options.store} is a URL. Give a folder with --store FOLDER, "
            f"and then share it: prereg store push --all {options.store} --store FOLDER"
        )
    store = Store(options.store)
    folder = options.dir or Path(_named(options.bundle))
    done = adopt(options.bundle, store, folder)
    print(f"{done.contents.name}: {done.new} artifacts are new in {store.root}, {done.there} were there")
    print(f"  its prereg: {folder / done.contents.prereg}")
    print(f"  its report: {folder / 'report' / 'clean_result.md'}")
    for why in sorted(set(done.contents.left_out.values())):
        print(f"  not in the bundle: {why}")
    print(f"to replay it, without models: prereg replay {folder} --store {options.store}")


def _named(bundle: Path) -> str:
    """The folder to import into, by default: the bundle's name without its endings."""
    return bundle.name.partition(".")[0] or "bundle"


def _require(bundle: Path) -> None:
    if not bundle.is_file():
        raise PreregError(f"there is no bundle '{bundle}'")


def _replay(options: argparse.Namespace) -> int:
    _declare()
    from harness.core.places import open_store
    from harness.core.store import Store

    if options.bundle.is_dir():
        store = open_store(options.store)
        store.connect()
        return _replayed(options, options.bundle, store)
    from harness.bundle.adopt import adopt

    _require(options.bundle)
    with tempfile.TemporaryDirectory() as temporary:
        store, folder = Store(Path(temporary) / "store"), Path(temporary) / "files"
        adopt(options.bundle, store, folder)
        return _replayed(options, folder, store)


def _replayed(options: argparse.Namespace, folder: Path, store: Store) -> int:
    if options.recompute:
        from harness.bundle.again import recompute

        again = recompute(folder, store, options.recompute, _tell)
        lines, holds = _again_lines(again), again.holds
    else:
        from harness.bundle.replay import replay

        done = replay(folder, store, options.out)
        lines, holds = _lines(done, options.out), done.holds
    for line in lines:
        print(line)
    return 0 if holds else DIFFERS


def _tell(event: Event) -> None:
    if event.what in ("started", "finished", "failed"):
        print(f"{event.what}: {event.label}", file=sys.stderr, flush=True)


def _again_lines(again: Recomputed) -> Iterator[str]:
    yield f"{again.contents.name}: arm {again.arm} computed again, {len(again.tables)} tables"
    if not again.same_engine:
        made = ", ".join(f"{name} {version}" for name, version in again.contents.libraries.items())
        yield f"  other versions are installed here than it was made with ({made}): numbers may differ a little"
    for table in again.tables:
        if table.equal:
            yield f"  {table.label}: equal byte for byte"
            continue
        largest = ", ".join(f"{column} by up to {apart:g}" for column, apart in table.largest.items())
        yield f"  {table.label}: OTHER THAN RECORDED ({largest or 'only what decides nothing'})"


def _lines(done: Replayed, out: Path) -> Iterator[str]:
    contents, decision = done.contents, done.decision
    said = f"REHEARSAL (rule returned: {decision.verdict})" if decision.rehearsal else decision.verdict.upper()
    yield f"{contents.name}: {said}"
    yield f"  taken as recorded: {done.copied} artifacts, every byte as it was stored"
    yield f"  computed again: {len(done.equal) + len(done.unequal)} artifacts, {_equal(len(done.unequal))}"
    yield from (f"    OTHER THAN RECORDED: {label}" for label in done.unequal[:_MOST])
    yield f"  the report again: {len(done.same) + len(done.other)} files, {_equal(len(done.other))}"
    yield from (f"    OTHER THAN RECORDED: {name}" for name in done.other[:_MOST])
    if done.redrawn:
        drew = contents.packages.get("matplotlib", "another version")
        yield f"  drawn by another matplotlib than {drew}, and not compared: {', '.join(done.redrawn)}"
    yield from (f"  DOES NOT HOLD: {fault}" for fault in done.faults)
    yield from (f"  {note}" for note in done.notes)
    yield f"  written: {out / contents.name}"


def _equal(unequal: int) -> str:
    return f"{unequal} not as recorded" if unequal else "all equal byte for byte"
