"""``prereg simulate FILE`` on the command line."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

from harness.core.places import place

QUIET_FOR = 2.0
"""Seconds before progress is shown."""


def add(commands: Any) -> None:
    """Add the command to a parser's subcommands."""
    simulate = commands.add_parser("simulate", help="say how often the complete rule is right")
    simulate.add_argument("file", type=Path, metavar="FILE")
    simulate.add_argument("--experiments", type=int, default=2000, metavar="N", help="per point (default: 2000)")
    simulate.add_argument("--seed", type=int, default=0)
    simulate.add_argument(
        "--run-sd", action="append", default=[], metavar="[MEASURE=]SD",
        help="run-to-run SD on the measure's own scale, such as 5pp or geometry=0.02; it has no default",
    )  # fmt: skip
    simulate.add_argument("--components", type=Path, metavar="JSON", help="what else varies, and true levels")
    simulate.add_argument(
        "--pilot", metavar="FILE:MEASURE[…]", default="",
        help="fit the rates' variance components to a recorded measure, such as "
        "'preregs/issue_262.yaml:counts[C1, C2, bystanders]'",
    )  # fmt: skip
    simulate.add_argument("--effect", action="append", default=[], metavar="NAME=a..b[:POINTS]", help="vary one effect")
    simulate.add_argument("--data", type=Path, help="folder of recorded tables")
    simulate.add_argument("--store", type=place)
    simulate.add_argument("--out", type=Path, help="folder for the figure (default: beside the stored JSON)")
    simulate.add_argument("--no-figures", action="store_true")
    simulate.add_argument("--json", action="store_true", help="print JSON")
    simulate.set_defaults(run=_simulate)


def _simulate(options: argparse.Namespace) -> None:
    # One thread: the arrays are small, and BLAS threads that share two cores are slower than none.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    from harness.compile.bind import load_bound
    from harness.compose import declare_kinds
    from harness.core.ident import canonical
    from harness.core.places import open_store, require_folder
    from harness.decide.simulate import grid_of, simulate, store_simulation
    from harness.decide.simulation.components import load_components, parse_run_sd
    from harness.decide.simulation.figure import write_figures
    from harness.decide.simulation.pilot import fit_place, with_pilot
    from harness.decide.simulation.say import lines

    if options.out is not None:
        require_folder(options.out, "--out")
    declare_kinds()
    data = Path(options.data) if options.data else None
    bound = load_bound(options.file, data_root=data)
    components = load_components(options.components, parse_run_sd(options.run_sd))
    if options.pilot:
        components = with_pilot(components, fit_place(options.pilot, data))
    store = open_store(options.store)
    store.require_usable()  # before hours of simulating
    grids = [grid_of(text) for text in options.effect]
    found = simulate(
        bound, components, experiments=options.experiments, seed=options.seed, grids=grids, tell=_Progress()
    )
    path = store_simulation(found, store.root)
    written = [] if options.no_figures else write_figures(found, options.out or path.parent)
    if options.json:
        sys.stdout.write(canonical(found.model_dump(mode="json")).decode() + "\n")
        return
    for line in lines(found):
        print(line)
    for each in (path, *written):
        print(each)


class _Progress:
    """Shows what is being simulated and when it will be done, on a terminal's standard error."""

    def __init__(self) -> None:
        self.start = time.monotonic()
        self.shown = 0.0

    def __call__(self, what: str, done: float) -> None:
        now = time.monotonic()
        spent = now - self.start
        if spent < QUIET_FOR or (now - self.shown < 1.0 and done < 1):
            return
        self.shown = now
        left = spent * (1 - done) / max(done, 1e-9)
        end = "\r" if sys.stderr.isatty() and done < 1 else "\n"
        print(f"simulating {what}: {done:4.0%}, about {left:.0f} s left   ", end=end, file=sys.stderr, flush=True)
