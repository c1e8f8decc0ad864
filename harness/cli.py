"""The command line: ``prereg plan FILE`` and ``prereg report results.json``. It looks at preregs; pytest runs them."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from harness import cli_author, cli_check, cli_seal, cli_simulate
from harness.core.errors import PreregError

USAGE_ERROR = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code, or 2 with every problem on standard error."""
    options = _parser().parse_args(arguments)
    try:
        status = options.run(options) or 0
        sys.stdout.flush()
        return status
    except PreregError as error:
        print(error, file=sys.stderr)
        return USAGE_ERROR
    except BrokenPipeError:
        # Whoever read us (``| head``) has seen enough; what is still buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="prereg", description="Look at preregistrations; pytest runs them.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    plan = commands.add_parser("plan", help="list a prereg's jobs, and which of them are stored")
    plan.add_argument("file", type=Path)
    plan.add_argument("--rehearse", action="store_true", help="plan the rehearsal")
    plan.add_argument("--data", type=Path, default=os.environ.get("PREREG_DATA"), help="folder of recorded tables")
    plan.add_argument("--store", type=Path, default=os.environ.get("PREREG_STORE", ".prereg"))
    plan.set_defaults(run=_plan)
    report = commands.add_parser("report", help="write a report again from its results.json")
    report.add_argument("results", type=Path, help="a results.json, with its run.json beside it")
    report.add_argument("--out", type=Path, help="folder to write to (default: that of results.json)")
    report.add_argument("--no-figures", action="store_true")
    report.set_defaults(run=_report)
    cli_author.add(commands)
    cli_check.add(commands)
    cli_seal.add(commands)
    cli_simulate.add(commands)
    return parser


def _plan(options: argparse.Namespace) -> None:
    from harness.compile.bind import load_bound
    from harness.compose import declare_kinds
    from harness.core.store import Store
    from harness.plan.plan import make_plan

    declare_kinds()
    data = Path(options.data) if options.data else None
    bound = load_bound(options.file, rehearsal=options.rehearse, data_root=data)
    plan = make_plan(bound, device="cpu" if options.rehearse else "cuda")
    store = Store(options.store)
    missing = {job.key for job in plan.missing(store)}
    for job in plan.jobs.values():
        state = "to run" if job.key in missing else "stored" if store.has(job.key) else "not needed"
        print(f"{state:10}  {job.lane:5}  {job.key[:12]}  {job.label}")
    print(f"{bound.id}: {len(missing)} of {len(plan.jobs)} jobs to run in {store.root}")
    for name in bound.missing:
        print(name)


def _report(options: argparse.Namespace) -> None:
    model, render = importlib.import_module("reports.model"), importlib.import_module("reports.render")
    records = importlib.import_module("reports.records")
    beside = options.results.with_name("run.json")
    for path in (options.results, beside):
        if not path.is_file():
            raise PreregError(f"there is no file '{path}'")
    noted = json.loads(beside.read_bytes())
    run = records.RunInfo(**{name: noted[name] for name in records.RunInfo.model_fields if name in noted})
    out = options.out or options.results.parent
    for path in render.write(model.load(options.results), run, out, figures=not options.no_figures):
        print(path)
