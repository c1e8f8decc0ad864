"""What the harness itself takes of a cold rehearsal, beside training, sampling and reading. Prints a table.

OMP_NUM_THREADS=1 python tests/bench/bench_overhead.py [PREREG] [--workers N] [--json]

The rigging (``tests/rig``) notes in each process when a port is at work: building the embedded model, training,
merging, sampling, reading. Two figures come of it: the wall time in which no port was at work in any process (what
the harness adds to the waiting), and the CPU time of all processes outside the ports (what it uses up). Importing
the libraries, once in each pytest process, is printed apart. A cold rehearsal takes minutes of two cores.
"""

from __future__ import annotations

import argparse
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
    """Return wall and CPU seconds in the ports and outside, and what those outside are made of."""
    ports, imports = of(spans, *PORTS), of(spans, "imports")
    at_work, loading = times(ports), times(imports)
    alone = length([*at_work, *loading]) - length(at_work)
    wall = whole["wall"] - length(at_work) - alone
    cpu = {name: sum(span["cpu"] for span in of(spans, name)) for name in {span["name"] for span in spans}}
    in_ports, importing = sum(cpu.get(name, 0.0) for name in PORTS), cpu.get("imports", 0.0)
    kinds: dict[str, float] = defaultdict(float)
    for span in of(spans, "run_job"):
        inside = [p["cpu"] for p in ports if p["pid"] == span["pid"] and span["began"] <= p["began"] <= span["ended"]]
        family = span["kind"].partition("/")[0]
        kinds[f"jobs: {family}, beside the port" if inside else f"jobs: {family}"] += span["cpu"] - sum(inside)
    parts = {
        "reading, binding, checking and planning": cpu.get("Session.register", 0.0) + cpu.get("Session.select", 0.0),
        "waiting for jobs (pytest process)": cpu.get("Executor.obtain", 0.0),
        "judging": cpu.get("Session.judge", 0.0),
        "report and figures": cpu.get("Session.conclude", 0.0),
        **dict(sorted(kinds.items())),
        "children: digests of inputs": cpu.get("Store.open", 0.0),
        "children: storing": cpu.get("Store.commit", 0.0),
        "children: locks, records, notes": cpu.get("serve", 0.0)
        - sum(cpu.get(name, 0.0) for name in ("run_job", "Store.commit", "Store.open")),
    }  # fmt: skip
    outside = whole["cpu"] - in_ports - importing
    parts["starting processes, forking, the rest of pytest"] = outside - sum(parts.values())
    return {
        "wall": {"whole": whole["wall"], "ports": length(at_work), "import": alone, "harness": wall},
        "cpu": {"whole": whole["cpu"], "ports": in_ports, "import": importing, "harness": outside},
        "share": {"wall": wall / whole["wall"], "cpu": outside / whole["cpu"]},
        "parts": parts,
        "load": os.getloadavg()[0],
    }


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
    print("| | whole | training, sampling, reading | importing libraries | the harness | share |")
    print("|---|---|---|---|---|---|")
    for what, name in (("wall", "wall time"), ("cpu", "CPU time")):
        seconds = [f"{found[what][part]:.1f} s" for part in ("whole", "ports", "import", "harness")]
        print(f"| {name} | {' | '.join(seconds)} | {found['share'][what]:.2%} |")
    print(f"\nload of the machine at the end: {found['load']:.1f}\n\n| CPU time of the harness | |\n|---|---|")
    for part, used in found["parts"].items():
        print(f"| {part} | {used:.2f} s |")


if __name__ == "__main__":
    main()
