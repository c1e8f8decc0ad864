"""What the harness itself takes of a cold rehearsal, beside training, sampling and reading. Prints a table.

OMP_NUM_THREADS=1 python tests/bench/bench_overhead.py [PREREG] [--workers N] [--json]

The rigging (``tests/rig``) notes in each process when a port is at work (building the embedded model, training,
merging, sampling, reading), what importing a library takes, and what the process used in all. Two figures come of it:

- wall time: in how much of the run no port was at work in any process, and no library was being imported: what the
  harness adds to the waiting;
- CPU time: what all processes together used outside of ports and of libraries' imports: what the harness uses up. It
  holds on a busy machine, too, where both sides grow alike.

Libraries are those that a pytest process imports, itself or in the two processes from which it forks jobs; they are
printed apart. Our own modules are there as bytecode, as ``pip install`` leaves them, also where Python is told to write
none (``PYTHONDONTWRITEBYTECODE``): each process would compile them anew. A cold rehearsal takes minutes of two cores.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PORTS = {
    "build", "PeftTrainer.train_lora", "PeftTrainer.merge", "TransformersSampler.sample", "TransformersReader.read",
}  # fmt: skip
GOAL = 0.02
"""The harness's share of a cold rehearsal must stay below."""
Spans = list[dict[str, Any]]
Interval = tuple[float, float]


def rehearse(prereg: Path, folder: Path, workers: int) -> tuple[Spans, dict[str, float]]:
    """Rehearse into an empty store; return the spans, and wall and CPU seconds of all processes together."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    rig = {"spans": str(folder / "spans")}
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "PREREG_"))}
    env |= {"PYTHONPATH": f"{ROOT / 'tests' / 'rig'}{os.pathsep}{ROOT}", "PREREG_RIG": json.dumps(rig)}
    # Without conftest and entry points, which have pytest import the plugin by a way of its own, past the rigging.
    command = [
        sys.executable, "-m", "pytest", str(prereg), "--rehearse", "-p", "harness.plugin.hooks", "--noconftest",
        "-c", str(folder / "pytest.ini"), "--store", str(folder / "store"), "--prereg-out", str(folder / "out"),
        *(("-p", "xdist", "-n", str(workers)) if workers else ()),
    ]  # fmt: skip
    for package in ("harness", "fixtures", "reports", "tests/rig"):
        compileall.compile_dir(ROOT / package, quiet=1)
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.time()
    done = subprocess.run(
        command, env=env | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}, capture_output=True, text=True, check=False
    )
    ended, after = time.time(), resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stdout + done.stderr
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    spans = [json.loads(line) for line in (folder / "spans").read_text().splitlines()]
    return spans, {"began": began, "ended": ended, "wall": ended - began, "cpu": cpu}


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """Return the intervals merged, in order."""
    merged: list[Interval] = []
    for began, ended in sorted(intervals):
        if merged and began <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(ended, merged[-1][1]))
        else:
            merged.append((began, ended))
    return merged


def length(intervals: Iterable[Interval]) -> float:
    return sum(ended - began for began, ended in union(intervals))


def of(spans: Spans, *names: str) -> Spans:
    return [span for span in spans if span["name"] in names]


def times(spans: Spans) -> list[Interval]:
    return [(span["began"], span["ended"]) for span in spans]


def measured(spans: Spans, whole: dict[str, float]) -> dict[str, Any]:
    """Return wall and CPU seconds in the ports, in libraries' imports and outside, and what those outside are made of.

    Libraries are those that a pytest process imports, itself or in the processes from which it forks jobs; what jobs
    and helpers import counts as the harness's.
    """
    roles = {span["pid"]: span["kind"] for span in of(spans, "process")}
    ports = of(spans, *PORTS)
    imports = [span for span in of(spans, "import") if roles.get(span["pid"]) in ("pytest", "zygote")]
    at_work, loading = times(ports), times(imports)
    alone = length([*at_work, *loading]) - length(at_work)
    wall = whole["wall"] - length(at_work) - alone
    in_ports, importing = seconds(ports), seconds(imports)
    outside = whole["cpu"] - in_ports - importing
    parts = made_up(spans, roles)
    parts["processes that did not say what they used"] = outside - sum(parts.values())
    return {
        "wall": {"whole": whole["wall"], "ports": length(at_work), "import": alone, "harness": wall},
        "cpu": {"whole": whole["cpu"], "ports": in_ports, "import": importing, "harness": outside},
        "share": {"wall": wall / whole["wall"], "cpu": outside / whole["cpu"]},
        "ports": {name: seconds(of(spans, name)) for name in sorted(PORTS)},
        "imports": by_library(imports, roles),
        "parts": parts,
        "load": os.getloadavg()[0],
    }


def seconds(spans: Spans) -> float:
    """Return the CPU seconds of spans."""
    return float(sum(span["cpu"] for span in spans))


def made_up(spans: Spans, roles: dict[int, str]) -> dict[str, float]:
    """Return the CPU seconds outside of the ports and of libraries' imports, by what they were used for."""
    processes = {role: [pid for pid, what in roles.items() if what == role] for role in set(roles.values())}
    used = {role: seconds([s for s in of(spans, "process") if s["kind"] == role]) for role in processes}
    loaded = {role: seconds([s for s in of(spans, "import") if roles.get(s["pid"]) == role]) for role in processes}
    named = {
        "reading, binding, checking and planning": ("Session.register", "Session.select"),
        "waiting for jobs": ("Executor.obtain",),
        "judging": ("Session.judge",),
        "report and figures": ("Session.conclude",),
    }
    parts = {}
    for what, names in named.items():
        own = of(spans, *names)
        parts[f"pytest: {what}"] = seconds(own) - sum(
            each["cpu"] for each in of(spans, "import") if any(within(each, span) for span in own)
        )
    parts["pytest: everything else"] = used["pytest"] - loaded["pytest"] - sum(parts.values())
    parts["helpers that draw figures"] = used.get("figures", 0.0)
    parts["processes that fork jobs, beside libraries"] = used.get("zygote", 0.0) - loaded.get("zygote", 0.0)
    inside = {name: seconds(of(spans, name)) for name in ("serve", "run_job", "Store.commit")}
    opened = seconds([span for span in of(spans, "Store.open") if roles.get(span["pid"]) == "child"])
    kinds: dict[str, float] = defaultdict(float)
    for span in of(spans, "run_job"):
        own = seconds([port for port in of(spans, *PORTS) if within(port, span) and port["kind"] != "helper"])
        family = span["kind"].partition("/")[0]
        kinds[f"jobs: {family}, beside the port" if own else f"jobs: {family}"] += span["cpu"] - own
    parts |= dict(sorted(kinds.items()))
    parts["jobs: digests of inputs"] = opened
    parts["jobs: storing"] = inside["Store.commit"]
    parts["jobs: locks, records, notes"] = inside["serve"] - inside["run_job"] - inside["Store.commit"] - opened
    serving = {span["pid"] for span in of(spans, "serve")}  # others are processes that a port starts
    children = seconds([s for s in of(spans, "process") if s["kind"] == "child" and s["pid"] in serving])
    parts["jobs: their processes' beginning and end"] = children - inside["serve"]
    return parts


def within(span: dict[str, Any], outer: dict[str, Any]) -> bool:
    """Say whether a span lies in another of the same process."""
    return bool(span["pid"] == outer["pid"] and outer["began"] <= span["began"] and span["ended"] <= outer["ended"])


def by_library(imports: Spans, roles: dict[int, str]) -> dict[str, float]:
    """Return the CPU seconds of imports by process and by the library that was asked for, the dearest first."""
    found: dict[str, float] = defaultdict(float)
    for span in imports:
        found[f"{roles[span['pid']]}: {span['kind']}"] += span["cpu"]
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("prereg", nargs="?", type=Path, default=ROOT / "preregs" / "issue_310.yaml")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measured(*rehearse(asked.prereg.resolve(), Path(folder), asked.workers))
    if asked.json:
        print(json.dumps(found, indent=1))
        return
    print("| | whole | training, sampling, reading | importing libraries | the harness | share | under 2%? |")
    print("|---|---|---|---|---|---|---|")
    for what, name in (("wall", "wall time"), ("cpu", "CPU time")):
        cells = [f"{found[what][part]:.1f} s" for part in ("whole", "ports", "import", "harness")]
        share = found["share"][what]
        print(f"| {name} | {' | '.join(cells)} | {share:.2%} | {'yes' if share < GOAL else 'no'} |")
    print(f"\nload of the machine at the end: {found['load']:.1f}")
    for title, name in (
        ("the harness", "parts"), ("ports", "ports"), ("importing libraries (0.1 s and more)", "imports"),
    ):  # fmt: skip
        print(f"\n| CPU time: {title} | |\n|---|---|")
        for part, used in found[name].items():
            if name != "imports" or used >= 0.1:
                print(f"| {part} | {used:.2f} s |")


if __name__ == "__main__":
    main()
