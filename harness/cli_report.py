"""``prereg report`` and ``prereg compare`` on the command line: write results up again, export, cite and compare them.

Nothing here needs a model, a store or a GPU: results.json and what lies beside it are enough. Exit codes: 0 done, 2
unusable input (a rehearsal is refused as evidence).
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from harness.core.durable import replace_file
from harness.core.errors import PreregError

SITE = Path("site")


def add(commands: Any) -> None:
    """Add the two commands to a parser's subcommands."""
    report = commands.add_parser(
        "report", help="write a report again, export or cite it, or index a repository",
        description="Rebuild everything from a results.json without models; with --export, --cite or --index do that "
        "instead. A folder stands for the results.json in it.",
    )  # fmt: skip
    report.add_argument("results", type=Path, nargs="*", metavar="RESULTS", help="a results.json or its folder")
    report.add_argument("--from", dest="source", type=Path, metavar="RESULTS", help="the same, as an option")
    report.add_argument("--out", type=Path, help="folder to write to (default: that of results.json; site for --index)")
    report.add_argument("--no-figures", action="store_true", help="write the report without figures")
    what = report.add_mutually_exclusive_group()
    what.add_argument("--export", choices=("csv", "parquet"), help="write estimates, cells and clauses as tables")
    what.add_argument("--cite", action="store_true", help="write CITATION.cff and citation.bib")
    what.add_argument("--index", action="store_true", help="write one page over all preregs and results below FOLDERs")
    report.add_argument("--prereg", type=Path, metavar="FILE", help="--cite: the prereg whose seal names the authors")
    report.set_defaults(run=_report)
    compare = commands.add_parser(
        "compare", help="lay two results side by side",
        description="Seed against seed, or a replication against its original: estimates, intervals and which "
        "decisions changed. Rehearsals are refused: they are no evidence.",
    )  # fmt: skip
    compare.add_argument("first", type=Path, metavar="A", help="a results.json or its folder")
    compare.add_argument("second", type=Path, metavar="B", help="another one")
    compare.add_argument("--json", action="store_true", help="print JSON instead of Markdown")
    compare.add_argument("--out", type=Path, metavar="FILE", help="write to a file instead of standard output")
    compare.set_defaults(run=_compare)


def _report(options: argparse.Namespace) -> None:
    if options.index:
        return _index(options)
    given = [*options.results, *([options.source] if options.source else [])]
    if len(given) != 1:
        raise PreregError(f"report needs one results.json (or its folder), and got {len(given)}")
    found = importlib.import_module("reports.reading").read_result(given[0])
    out = options.out or found.folder
    if options.export:
        return _tell(importlib.import_module("reports.exports").export(found.model, out, options.export))
    if options.cite:
        return _cite(found, options, out)
    if not (found.folder / "run.json").is_file():
        raise PreregError(f"there is no file '{found.folder / 'run.json'}'; a report says how its run went")
    render = importlib.import_module("reports.render")
    return _tell(
        render.write(
            found.model, found.run, out, figures=not options.no_figures, completions=lambda: _completions(found)
        )
    )


def _completions(found: Any) -> Any:
    """Return the completions that lie beside the results, so that a report elsewhere has them too."""
    files = importlib.import_module("reports.html.completions")
    return files.unpacked(found.folder / files.FILE, found.model)


def _cite(found: Any, options: argparse.Namespace, out: Path) -> None:
    cite = importlib.import_module("reports.cite")
    prereg = options.prereg or Path(found.run.paths.get("prereg", ""))
    if options.prereg and not options.prereg.is_file():
        raise PreregError(f"there is no file '{options.prereg}'")
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for name, data in cite.cite(found, cite.sealed_by(prereg) if prereg.name else []).items():
        replace_file(out / name, data)
        written.append(out / name)
    _tell(written)


def _index(options: argparse.Namespace) -> None:
    index = importlib.import_module("reports.index")
    folders = [*options.results, *([options.source] if options.source else [])] or _usual()
    for folder in folders:
        if not folder.is_dir():
            raise PreregError(f"there is no folder '{folder}'")
    _tell(index.write_index(folders, options.out or SITE))


def _usual() -> list[Path]:
    """Return where registrations and results lie as a rule, else this folder."""
    from harness.core.settings import OUT, find

    home = find([])
    out = Path(next(iter(home.places(OUT)), home.out))
    folders = [folder for folder in (home.root / "preregs", out) if folder.is_dir()]
    return [Path(os.path.relpath(folder)) for folder in folders] or [Path()]


def _compare(options: argparse.Namespace) -> None:
    read = importlib.import_module("reports.reading").read_result
    found = importlib.import_module("reports.compare").compare(read(options.first), read(options.second))
    if options.json:
        text = json.dumps(found.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    else:
        text = importlib.import_module("reports.compare_words").markdown(found)
    if options.out is None:
        sys.stdout.write(text)
        return
    options.out.parent.mkdir(parents=True, exist_ok=True)
    replace_file(options.out, text.encode())
    print(options.out)


def _tell(paths: Any) -> None:
    for path in paths:
        print(path)
