"""Planning many preregistrations whose jobs are all stored: time by part, and how it grows. Prints a table.

OMP_NUM_THREADS=1 python tests/bench/bench_planning.py [COUNT ...] [--json]

Every second prereg judges a recorded table of its own, every other one trains arms; each file differs from the
others in what it asks, so nothing can be remembered from one to the next. All are planned in one process.
"""

from __future__ import annotations

import argparse
import gc
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "plugin"))


PARTS = ("imports", "reading and binding", "jobs and keys", "looking into the store")


def write(folder: Path, count: int) -> list[Path]:
    """Write preregs that differ in ids, thresholds, seeds and tables."""
    import toy_preregs

    block = re.search(r"```yaml\n(prereg: 1\n.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    paths = []
    for number in range(count):
        if number % 2:
            text = block[1].replace("id: my_first", f"id: arms_{number}").replace("seed: [42]", f"seed: [{number}]")
            text = text.replace("leak >= 10 pp", f"leak >= {1 + number % 89} pp")
            more = ("sources: leakage[source] by arm", "others: leakage[bystanders] by arm", "rate: leakage[coupled]")
            path = folder / f"arms_{number}.yaml"
        else:
            path = toy_preregs.write(folder, f"table_{number}", shift=number / 1000)
            text, more = (
                path.read_text(encoding="utf-8"),
                ("mean_a: table.a", "mean_b: table.b", "twice: 2 * table.b - table.a"),
            )
        text = text.replace("estimands:\n", "estimands:\n" + "".join(f"  {line}\n" for line in more), 1)
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths


def plan_all(paths: list[Path], root: Path, *, fill: bool) -> dict[str, Any]:
    """Plan every file and look for its artifacts; with ``fill``, put one there for each job first."""
    began = time.perf_counter()
    from harness.compile.bind import load_bound
    from harness.compose import declare_kinds
    from harness.core.store import Store
    from harness.plan.plan import make_plan

    declare_kinds()
    gc.disable()  # as the plugin does: what is planned lives as long as the session
    parts = dict.fromkeys(PARTS, 0.0) | {"imports": time.perf_counter() - began}
    store = Store(root)
    jobs = stored = 0
    for path in paths:
        lap = time.perf_counter()
        bound = load_bound(path)
        parts["reading and binding"] += (now := time.perf_counter()) - lap
        plan = make_plan(bound, device="cuda")
        parts["jobs and keys"] += (lap := time.perf_counter()) - now
        if fill:
            for key in plan.jobs:
                store.path(key).mkdir(parents=True, exist_ok=True)
                (store.path(key) / "manifest.json").touch()
        else:
            missing = plan.missing(store)
            assert not missing, "all are stored"
            stored += sum(map(store.has, plan.jobs))
            parts["looking into the store"] += time.perf_counter() - lap
        jobs += len(plan.jobs)
    assert fill or stored == jobs
    unit = 2**20 if sys.platform == "darwin" else 2**10
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    return {
        "preregs": len(paths), "jobs": jobs, "seconds": parts, "total": sum(parts.values()),
        "cpu": time.process_time(), "rss_mb": memory,
    }  # fmt: skip


def measured(count: int) -> dict[str, Any]:
    """Plan ``count`` preregs in a process of its own, after another one has filled the store."""
    with tempfile.TemporaryDirectory() as folder:
        for how in ("fill", "plan"):
            command = [sys.executable, __file__, str(count), "--child", how, "--folder", folder]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def main() -> None:
    """Measure each count and print a table, or JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("counts", nargs="*", type=int, default=[100, 1000])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", choices=("fill", "plan"))
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    if asked.child:
        folder, fill = asked.folder, asked.child == "fill"
        paths = write(folder, asked.counts[0]) if fill else sorted(folder.glob("*.yaml"))
        print(json.dumps(plan_all(paths, folder / "store", fill=fill)))
        return
    found = [measured(count) for count in asked.counts]
    if asked.json:
        print(json.dumps(found, indent=1))
        return
    parts = list(found[0]["seconds"])
    print("| preregs | jobs | " + " | ".join(parts) + " | total | CPU | peak memory |\n|" + "---|" * (len(parts) + 5))
    for each in found:
        times = " | ".join(f"{value:.2f} s" for value in (*each["seconds"].values(), each["total"], each["cpu"]))
        print(f"| {each['preregs']:,} | {each['jobs']:,} | {times} | {each['rss_mb']:.0f} MB |")


if __name__ == "__main__":
    main()
