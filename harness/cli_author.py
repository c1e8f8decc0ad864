"""``prereg new``, ``prereg schema`` and ``prereg explain`` on the command line: writing a prereg, and reading it."""

from __future__ import annotations

import argparse
import gc
import importlib
import json
from pathlib import Path
from typing import Any

FROM = ("two-probe", "sweep", "correlation", "recorded")
_FROM = """\
two-probe    two arms, a probe of hidden states and a marker's rate (the default)
sweep        one setting of a recipe takes several values
correlation  a recorded table with a predictor and an outcome
recorded     recorded counts of two arms: k hits of n answers
"""


def add(commands: Any) -> None:
    """Add the three commands to a parser's subcommands."""
    new = commands.add_parser(
        "new", help="write a commented prereg to start from", epilog=_FROM,
        description="Write NAME.yaml, commented; it checks without errors and, where it trains, rehearses as it is. "
        "With it come the table that it reads, if any, and a JSON Schema for editors. Nothing is overwritten.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    new.add_argument("name", metavar="NAME", help="the prereg's id, such as marker_leakage")
    new.add_argument("--from", dest="kind", choices=FROM, default=FROM[0], help="what to start from (see below)")
    new.add_argument("--dir", type=Path, default=Path(), help="folder to write to (default: this one)")
    new.set_defaults(run=_new)
    schema = commands.add_parser(
        "schema", help="write the JSON Schema of preregs, for editors",
        description="Write the JSON Schema (draft 2020-12) of preregs with every kind that is known here: completion, "
        "hover text and unknown keys in editors. Point to it from the first line of a prereg: "
        "'# yaml-language-server: $schema=./prereg.schema.json'.",
    )  # fmt: skip
    schema.add_argument("--results", action="store_true", help="that of results.json instead, for programs")
    schema.add_argument("--out", type=Path, metavar="FILE", help="where to write it (default: standard output)")
    schema.set_defaults(run=_schema)
    explain = commands.add_parser(
        "explain", help="say a prereg in plain English, on one page",
        description="Say what is asked, trained and measured, what would make it supported, not supported, killed or "
        "inconclusive, what follows from each, and to what the numbers generalise.",
    )  # fmt: skip
    explain.add_argument("file", type=Path, metavar="FILE")
    explain.add_argument("--rehearse", action="store_true", help="explain the rehearsal")
    explain.add_argument("--data", type=Path, metavar="DIR", help="folder of recorded tables")
    explain.set_defaults(run=_explain_quickly)


def _new(options: argparse.Namespace) -> None:
    from harness.compose import declare_kinds
    from harness.scaffold.write import write
    from harness.spec.json_schema import prereg_schema

    declare_kinds()
    written = write(options.name, options.kind, options.dir, prereg_schema())
    for path in written:
        print(f"written: {path}")
    file = written[0]
    trains = options.kind in ("two-probe", "sweep")
    print("\nChange what is marked '# change', then:")
    steps = [
        (f"prereg explain {file}", "read it in plain English"),
        (f"prereg check {file}", "find what cannot answer the question"),
        *([(f"pytest {file} --rehearse", "run all of it at toy scale on this CPU")] if trains else []),
        (f"prereg seal {file}", "write down what is registered, before anything is measured"),
        (f"pytest {file}{' -m gpu' if trains else ''}", "run it"),
    ]
    width = max(len(command) for command, _ in steps)
    for command, why in steps:
        print(f"  {command.ljust(width)}  # {why}")


def _schema(options: argparse.Namespace) -> None:
    from harness.compose import declare_kinds
    from harness.core.errors import PreregError, Problem, Where
    from harness.spec.json_schema import prereg_schema

    declare_kinds()
    made = importlib.import_module("reports.results_schema").results_schema if options.results else prereg_schema
    text = json.dumps(made(), indent=1, ensure_ascii=False)
    if options.out is None:
        print(text)
        return
    try:
        options.out.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise PreregError(Problem(Where(str(options.out)), f"cannot be written: {error.strerror}")) from error
    print(options.out)


def _explain(options: argparse.Namespace) -> None:
    from harness.compile.bind import load_bound
    from harness.compose import declare_kinds
    from harness.explain.page import explain

    declare_kinds()
    data = Path(options.data) if options.data else None
    print(explain(load_bound(options.file, rehearsal=options.rehearse, data_root=data)), end="")


def _explain_quickly(options: argparse.Namespace) -> None:
    collecting = gc.isenabled()
    gc.disable()  # Nothing here lives long, and collecting costs a tenth of the time.
    try:
        _explain(options)
    finally:
        if collecting:
            gc.enable()
