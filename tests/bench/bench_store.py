"""How the store behaves with 10,000 and with 100,000 artifacts. Prints a Markdown table of both, and the growth.

OMP_NUM_THREADS=1 python tests/bench/bench_store.py [--sizes 10000,100000] [--folder DIR] [--json FILE]

The artifacts are small (one file of 400 bytes and a manifest) and valid: each stands on two earlier ones, as estimates
stand on tables. They are written without flushing, which is the only short cut. Commands are timed as processes, so
they include the start of Python; the page cache is warm.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from harness.contracts.records import Job
from harness.core.ident import key_digest
from harness.core.manifest import Manifest, StoredFile
from harness.core.store import Store

LOOKUPS = 5000
OPENED = 2000
KINDS = ("estimate", "eval/marker_rate", "probe/centroid_cosine", "stage/sft")
MADE = {
    "wall_s": 1.25, "cpu_s": 1.2, "max_rss_mb": 310.0, "host": "bench", "device": "cpu:0", "python": "3.11",
    "versions": {"torch": "2.8.0", "numpy": "2.0.0"}, "when": "2026-11-21T08:00:00Z",
}  # fmt: skip
TOY = """\
prereg: 1
id: toy
title: A toy
question: Is b above a?
hypotheses: {H1: {claim: b is above a, all: {big: shift >= 0.5}}}
triage:
  - H1: it is so -> go on
  - otherwise: not shown -> stop
estimands: {shift: table.b - table.a}
measures:
  table: {kind: recorded, file: toy.csv, columns: {item: dim, a: number, b: number}, resample: item}
dims: {item: {levels: [i1, i2, i3], primary: mean}}
"""


def fill(store: Store, count: int) -> list[str]:
    """Write ``count`` small artifacts and return their keys."""
    keys: list[str] = []
    content = b"x" * 400
    files = {"table.json": StoredFile(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))}
    for folder in range(256):
        (store.root / "objects" / f"{folder:02x}").mkdir(parents=True, exist_ok=True)
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        inputs = {"rate/0": keys[number // 2], "cos/0": keys[number // 3]} if number > 2 else {}
        params = {"number": number, "expression": {"op": "-", "args": [{"ref": "a"}, {"ref": "b"}]}, "lr": 1e-4}
        key = key_digest([kind, params, inputs])
        job = Job(key=key, label=f"{kind}[{number}]", kind=kind, version=1, params=params, inputs=inputs)
        manifest = Manifest(
            key=key, kind=kind, label=job.label, job=job.model_dump(mode="json"), files=files, made=MADE
        )
        place = store.path(key)
        place.mkdir()
        (place / "table.json").write_bytes(content)
        (place / "manifest.json").write_bytes(manifest.to_bytes())
        keys.append(key)
    return keys


def each(keys: list[str], what: Callable[[str], object]) -> tuple[float, float]:
    """Return the median and the 99th percentile of the seconds that something takes for a key."""
    taken = []
    for key in keys:
        begun = time.perf_counter()
        what(key)
        taken.append(time.perf_counter() - begun)
    taken.sort()
    return taken[len(taken) // 2], taken[len(taken) * 99 // 100]


def command(*arguments: str) -> dict[str, float]:
    """Run ``prereg store …``; return seconds to the first line and in all, CPU seconds and peak memory in MB."""
    code = "import sys; from harness.cli import main; sys.exit(main())"
    begun = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code, "store", *arguments], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    first = time.perf_counter() - begun
    while process.stdout.read(1 << 16):
        pass
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, arguments
    total = time.perf_counter() - begun
    return {
        "first": first, "total": total, "cpu": used.ru_utime + used.ru_stime, "memory": used.ru_maxrss / 1024,
    }  # fmt: skip


def measure(root: Path, count: int) -> dict[str, float]:
    """Measure a store of ``count`` artifacts."""
    store = Store(root / "store")
    begun = time.perf_counter()
    keys = fill(store, count)
    chance = random.Random(count)
    found: dict[str, float] = {"filling, s": time.perf_counter() - begun}
    some = [chance.choice(keys) for _ in range(LOOKUPS)]
    gone = [hashlib.sha256(key.encode()).hexdigest() for key in some]
    found["look-up (has), stored, ms"], found["… 99th percentile, ms"] = (1e3 * t for t in each(some, store.has))
    found["look-up (has), not stored, ms"] = 1e3 * each(gone, store.has)[0]
    opened = [t * 1e3 for t in each(chance.sample(keys, min(OPENED, count)), Store(root / "store").open)]
    found["open and verify, ms"], found["… its 99th percentile, ms"] = opened
    place = ("--store", str(store.root))
    listed = command("ls", *place)
    found |= {
        "`store ls`: first line, s": listed["first"], "`store ls`: all, s": listed["total"],
        "`store ls`: peak memory, MB": listed["memory"],
    }  # fmt: skip
    found["`store show PREFIX`, s"] = command("show", keys[count // 2][:12], *place)["total"]
    found["`store show LABEL` (looks through all), s"] = command("show", f"estimate[{count // 2}]", *place)["total"]
    checked = command("verify", *place)
    found |= {
        "`store verify`, s": checked["total"], "`store verify`: artifacts a second": count / checked["total"],
        "`store verify`: peak memory, MB": checked["memory"],
    }  # fmt: skip
    (root / "toy.yaml").write_text(TOY)
    (root / "toy.csv").write_text("item,a,b\ni1,1,2\ni2,1,2.1\ni3,1,1.9\n")
    cleared = command("gc", str(root / "toy.yaml"), *place)
    found |= {"`store gc` (dry run), s": cleared["total"], "`store gc`: peak memory, MB": cleared["memory"]}
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", default="10000,100000")
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    results: dict[int, dict[str, float]] = {}
    for size in sizes:
        folder = Path(tempfile.mkdtemp(prefix="bench-store-", dir=options.folder))
        try:
            results[size] = measure(folder, size)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    print("| what | " + " | ".join(f"{size:,}" for size in sizes) + " | growth |")
    print("|---|" + "---|" * (len(sizes) + 1))
    for name, first in results[sizes[0]].items():
        values = [results[size][name] for size in sizes]
        print(f"| {name} | " + " | ".join(f"{value:.3g}" for value in values) + f" | ×{values[-1] / first:.2g} |")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
