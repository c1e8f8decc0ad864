"""How long each command takes as a process of its own, interleaved, so that a busy machine slows all of them alike.

python tests/bench/bench_startup.py [--runs N] [--store DIR] [--json FILE] [--against REPOSITORY]

Prints a Markdown table of medians, of processor time as well (the better figure on a shared machine) and as shares of
a bare interpreter. ``--store`` names a store that holds the rehearsal of issue #310 and adds the cached rehearsal;
``--against`` another checkout, whose commands run in the same rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

REPO = Path(__file__).parents[2]
BARE = "python -c pass"
_PREREG = "import sys; from harness import cli; getattr(cli, 'program', lambda: sys.exit(cli.main()))()"
"""What the installed script does; older checkouts have no ``program``."""


@dataclass(frozen=True)
class Command:
    """A command, the checkout that it runs in, and the exit codes that it may have."""

    name: str
    args: tuple[str, ...]
    root: Path = REPO
    good: tuple[int, ...] = (0,)


@dataclass
class Times:
    """Wall and processor time of every run, in seconds."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def commands(root: Path, store: Path | None, scratch: Path, mark: str = "") -> Iterator[Command]:
    """Yield what is timed in one checkout."""
    yield Command(f"import harness{mark}", ("-c", "import harness"), root)
    for name in ("issue_310", "issue_310_v2"):
        args = ("-c", _PREREG, "check", f"preregs/{name}.yaml", "--store", str(scratch))
        yield Command(f"prereg check {name}{mark}", args, root)
    seal = "preregs/issue_310.yaml"
    # 2: it is not sealed, which takes the same work as far as the seal is looked for.
    yield Command(f"prereg verify issue_310{mark}", ("-c", _PREREG, "verify", seal), root, (0, 2))
    pytest = ("-m", "pytest", "-p", "no:cacheprovider", "-q")
    yield Command(f"pytest --collect-only preregs/{mark}", (*pytest, "--collect-only", "preregs/"), root)
    if store is not None:
        out = ("--rehearse", "--store", str(store), "--prereg-out", str(scratch / "results"))
        yield Command(f"the cached rehearsal{mark}", (*pytest, "preregs/issue_310.yaml", *out), root)


def timed(command: Command) -> tuple[float, float]:
    """Run a command once; return its wall and processor time in seconds.

    Raises:
        SystemExit: when it fails, since a failure takes another time.
    """
    env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    env |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(command.root)}
    start = time.perf_counter()
    child = os.fork()
    if child == 0:
        try:
            os.chdir(command.root)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)
            os.execve(sys.executable, [sys.executable, *command.args], env)
        finally:
            os._exit(127)
    _, status, used = os.wait4(child, 0)
    took = time.perf_counter() - start
    code = os.waitstatus_to_exitcode(status)
    if code not in command.good:
        raise SystemExit(f"'{command.name}' ended with exit code {code}: python {' '.join(command.args)}")
    return took, used.ru_utime + used.ru_stime


def measured(todo: list[Command], runs: int) -> dict[str, Times]:
    """Run every command ``runs`` times, in rounds; a first round, which warms caches and bytecode, does not count."""
    found = {command.name: Times() for command in todo}
    for round_ in range(runs + 1):
        for command in todo:
            wall, cpu = timed(command)
            if round_:
                found[command.name].wall.append(wall)
                found[command.name].cpu.append(cpu)
    return found


def table(found: Mapping[str, Times]) -> Iterator[str]:
    """Yield a Markdown table in ms."""
    bare = statistics.median(found[BARE].cpu)
    yield "| process | wall, median | least | processor, median | least | against bare Python |"
    yield "|---|---|---|---|---|---|"
    for name, times in found.items():
        cells = [f"{1000 * of(taken):.0f} ms" for taken in (times.wall, times.cpu) for of in (statistics.median, min)]
        yield f"| `{name}` | {' | '.join(cells)} | ×{statistics.median(times.cpu) / bare:.1f} |"


def main() -> None:
    """Time, print, and write JSON where it was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--store", type=Path, help="holds the rehearsal of preregs/issue_310.yaml; it is copied first")
    parser.add_argument("--against", type=Path, metavar="REPOSITORY", help="another checkout")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="prereg-startup-") as folder:
        scratch, store = Path(folder), None
        if options.store is not None:
            store = Path(shutil.copytree(options.store, scratch / "store", symlinks=True))
        todo = [Command(BARE, ("-c", "pass")), *commands(REPO, store, scratch)]
        if options.against is not None:
            other = options.against.resolve()
            todo += commands(other, None, scratch, f" ({other.name})")
        found = measured(todo, options.runs)
    print(f"{options.runs} rounds, Python {platform.python_version()}, {os.cpu_count()} processors\n")
    print("\n".join(table(found)))
    if options.json is not None:
        rows = [{"process": name, "wall_s": times.wall, "cpu_s": times.cpu} for name, times in found.items()]
        content = {"runs": options.runs, "python": platform.python_version(), "processes": rows}
        options.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
