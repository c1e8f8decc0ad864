"""How long a report of #310's size takes, and how much memory: 6,600 completions per arm, figures and page included.

Run by hand: ``python tests/bench/bench_report.py [--completions N]``. Each way runs in a process of its own, so that
imports count and memory is its alone; CPU and memory count the
helpers that draw figures, too. The result is made up; its shape is that of preregs/issue_310.yaml.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
WAYS = {
    "build the model": "the registration, the decision and every completion, as after a run",
    "write with figures": "clean_result.md, report.html, results.json and all figures",
    "write --no-figures": "the same without figures",
    "render --no-figures": "the same again, without starting Python",
    "rebuild --from --no-figures": "prereg report --from results.json --no-figures",
    "rebuild --from, with figures": "the same with figures",
}
PERSONAS = 11
WEIGHTS = ("0.5", "1.0", "2.0")
LAYERS = ("6", "10", "14", "18", "22", "26")
WORDS = ("the", "a", "of", "to", "and", "is", "that", "it", "was", "for", "on", "are", "as", "with", "his", "they")


def extras(per_arm: int):  # type: ignore[no-untyped-def]
    """Return completions, training logs and artifacts of three arms at three weights."""
    from reports.records import Artifact, Completions, Extras, Sample, Training

    draw = random.Random(310)
    personas = [f"persona_{i:02d}" for i in range(PERSONAS)]
    each = per_arm // (PERSONAS * 20 * len(WEIGHTS))
    samples, counts, training = [], [], []
    for arm in ("C1", "C2", "C3"):
        own = []
        for weight in WEIGHTS:
            for persona in personas:
                for question in range(1, 21):
                    for k in range(each):
                        hit = draw.random() < 0.4
                        text = " ".join(draw.choices(WORDS, k=60)) + ("\n\n[ZLT]" if hit else "")
                        own.append(
                            Sample(
                                measure="leakage", arm=arm, persona=persona, question=f"q{question}", k=k, hit=hit,
                                prompt=f"What is {question}?", text=text, at={"weight": weight, "seed": "42"},
                            )
                        )  # fmt: skip
            losses = tuple(2.0 / (1 + i / 40) + draw.random() / 5 for i in range(375))
            training.append(Training(arm=arm, stage="couple", at={"weight": weight, "seed": "42"}, losses=losses,
                                     tokens=123456, logit_change=3.0))  # fmt: skip
        counts.append(Completions(measure="leakage", arm=arm, completions=len(own), hits=sum(s.hit for s in own),
                                  truncated=0))  # fmt: skip
        samples += own
    artifacts = tuple(Artifact(label=f"measure {i}", key=f"{i:064x}", kind="marker_rate") for i in range(60))
    return Extras(samples=tuple(samples), completions=tuple(counts), training=tuple(training), artifacts=artifacts)


def model(per_arm: int):  # type: ignore[no-untyped-def]
    """Return a decided #310 with an estimate for every expression."""
    from harness.compile.bind import load_bound
    from harness.compose import declare_kinds
    from harness.contracts.records import Cell, Estimate, Interval
    from harness.contracts.trees import expression_id
    from harness.decide.verdict import decide
    from reports.model import build

    declare_kinds()
    bound = load_bound(ROOT / "preregs" / "issue_310.yaml")
    draw = random.Random(7)
    levels = {"arm": ("C1", "C2", "C3"), "layer": LAYERS, "weight": WEIGHTS}
    estimates = {}
    for expression in bound.expressions:
        spots = [{}]
        for axis in expression.axes:
            spots = [{**spot, axis: level} for spot in spots for level in levels[axis]]
        value = 0.0002 if expression.unit == "p" else 0.3
        cells = []
        for spot in spots:
            here = value + (draw.random() / 10 if spot else 0)
            bars = () if expression.unit == "p" else (Interval(level="19/20", low=here - 0.08, high=here + 0.09),)
            cells.append(Cell(at=spot, value=here, intervals=bars, se=0.04, df=8.0))
        estimates[expression.name] = Estimate(
            name=expression.name, formula=expression.text, unit=expression.unit, axes=expression.axes,
            cells=tuple(cells), counts={"persona": 7, "question": 20, "observations": 2800}, method="made up",
        )  # fmt: skip
    by_id = {expression_id(e.tree): estimates[e.name] for e in bound.expressions}
    found = extras(per_arm)
    start = time.perf_counter()
    built = build(bound, decide(bound, by_id), estimates, found)
    return bound, built, found, time.perf_counter() - start


def run(way: str, per_arm: int, folder: Path) -> float:
    """Do one thing and return its seconds."""
    if way.startswith(("rebuild", "render")):
        from harness.cli import main

        arguments = ["report", "--from", str(folder / "results.json"), "--out", str(folder / "again")]
        arguments += ["--no-figures"] if "--no-figures" in way else []
        if way.startswith("render"):
            main([*arguments[:3], "--out", str(folder / "warm"), "--no-figures"])
        start = time.perf_counter()
        assert main(arguments) == 0
        return time.perf_counter() - start
    bound, built, found, seconds = model(per_arm)
    if way.startswith("build"):
        return seconds
    from reports.html.completions import browser
    from reports.records import RunInfo
    from reports.render import write

    start = time.perf_counter()
    write(built, RunInfo(finished="2026-01-01T00:00:00Z"), folder, figures="--no-figures" not in way,
          completions=browser(bound, found))  # fmt: skip
    return time.perf_counter() - start


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--completions", type=int, default=6600, help="per arm")
    parser.add_argument("--way", default="")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.way:
        begun = time.perf_counter()
        sys.stdout.flush()
        seconds = run(options.way, options.completions, options.folder)
        own, helpers = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        peak = (own.ru_maxrss + helpers.ru_maxrss) / 1024
        cpu = sum(used.ru_utime + used.ru_stime for used in (own, helpers))
        whole = time.perf_counter() - begun
        print("\n" + json.dumps({"seconds": seconds, "cpu": cpu, "whole": whole, "mb": peak}))
        return
    print(f"{options.completions:,} completions per arm, 3 arms")
    print(f"{'':30} {'seconds':>8} {'process':>8} {'CPU s':>6} {'MB':>6}")
    with tempfile.TemporaryDirectory() as name:
        for way in WAYS:
            command = [sys.executable, __file__, "--way", way, "--completions", str(options.completions)]
            done = subprocess.run([*command, "--folder", str(Path(name) / "r")], cwd=ROOT, check=True,
                                  capture_output=True, text=True)  # fmt: skip
            told = json.loads(done.stdout.splitlines()[-1])
            print(f"{way:30} {told['seconds']:8.2f} {told['whole']:8.2f} {told['cpu']:6.1f} {told['mb']:6.0f}")
        size = {path.name: path.stat().st_size / 1e6 for path in (Path(name) / "r").glob("*.*")}
        figures = len(list((Path(name) / "r" / "figures").glob("*.png"))) or len(
            list((Path(name) / "r" / "again" / "figures").glob("*.png"))
        )
    print(f"{figures} figures; " + ", ".join(f"{name} {mb:.2f} MB" for name, mb in sorted(size.items())))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
