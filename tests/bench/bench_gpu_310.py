"""What issue #310 takes on one GPU: each stage timed over a few turns through the project's ports, then extrapolated.

python tests/bench/bench_gpu_310.py [--json FILE] [--minutes 8] [--peak 790] [--bandwidth 4.8]
python tests/bench/bench_gpu_310.py --tiny --device cpu

The model has the shape of Qwen2.5-7B and random weights, made on the device; the tokenizer is one of bytes, made here.
So nothing is downloaded, and no number depends on what the model says. ``--tiny`` runs the same code on two small
layers: its figures mean nothing, but it shows that the code runs. Utilisation (MFU) is useful work against ``--peak``
TFLOP/s, floors are the same work at ``--peak`` and ``--bandwidth`` TB/s; formulas in ``gpu_310_arithmetic``.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import peft
import torch
import transformers
from gpu_310_arithmetic import BYTES, Card, Shape
from gpu_310_bench import GIB, SMALL, Bench, Sizes
from gpu_310_pricing import SCENARIOS, SPREAD, Found, Part, Stage, parts, planned
from gpu_310_stages import measure
from transformers.utils import logging as transformers_logging

from fixtures.device import pick
from harness.contracts.records import Job
from harness.plan.work import ANSWER_TOKENS, PROMPT_TOKENS, ROW_TOKENS

PREREG = Path(__file__).resolve().parents[2] / "preregs" / "issue_310.yaml"
QWEN_7B = Shape(layers=28, hidden=3584, heads=28, kv_heads=4, intermediate=18944, vocabulary=152064)
TINY = Shape(layers=2, hidden=128, heads=4, kv_heads=2, intermediate=192, vocabulary=259)


def stage_lines(bench: Bench) -> Iterator[str]:
    """Yield the table of stages."""
    heads = [
        "stage",
        "turn",
        "turns",
        "mean",
        "least",
        "floor",
        "tokens/s",
        "TFLOP",
        "MFU",
        "once",
        "shapes",
        "peak GiB",
        "left GiB",
    ]
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for stage in bench.stages:
        seen = stage.figures(bench.card)
        yield (
            f"| {stage.name} | {stage.turn} | {seen['turns']} | {_ms(seen['mean_s'])} | {_ms(seen['least_s'])} "
            f"| {_ms(seen['floor_s'])} | {seen['tokens_per_s']:,.0f} | {seen['tflop']:.3g} | {seen['mfu']:.1%} "
            f"| {stage.before:.1f} s | {_shapes(stage)} | {_gib(stage.peak)} | {_gib(stage.left)} |"
        )


def decoding_lines(bench: Bench) -> Iterator[str]:
    """Yield the table of decode steps."""
    yield "| decoding | rows | tokens held | mean | floor | tokens/s | of the floor | peak GiB |"
    yield "|---|---|---|---|---|---|---|---|"
    for seen in bench.decoding:
        yield (
            f"| {seen['stage']} | {seen['rows']} | {seen['held']} | {_ms(seen['mean_s'])} | {_ms(seen['floor_s'])} "
            f"| {seen['tokens_per_s']:,.0f} | ×{seen['mean_s'] / seen['floor_s']:.1f} | {_gib(seen['peak_gib'])} |"
        )


def total_lines(found: Sequence[Part]) -> Iterator[str]:
    """Yield the table of GPU-minutes, with a column for vLLM where it was measured."""
    served = any(part.served != part.seconds for part in found)
    yield "| part | jobs | GPU-minutes | floor |" + (" with vLLM |" if served else "")
    yield "|---|---|---|---|" + ("---|" if served else "")
    for part in [*found, together(found)]:
        last = f" {_minutes(part.served)} |" if served else ""
        yield f"| {part.name} | {part.jobs or ''} | {_minutes(part.seconds)} | {part.floor / 60:.1f} |{last}"


def together(found: Sequence[Part]) -> Part:
    """Add up parts; what is not known is named and not counted."""
    unknown = [part.name for part in found if part.seconds is None]
    name = "**together**" + (f" (without {', '.join(unknown)})" if unknown else "")
    return Part(
        name, 0, sum(part.seconds or 0.0 for part in found), sum(part.floor for part in found),
        sum(part.served or 0.0 for part in found),
    )  # fmt: skip


def _shapes(stage: Stage) -> str:
    return f"{stage.shapes} × {_ms(stage.recording)}" if stage.shapes and stage.recording else ""


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _gib(size: float | None) -> str:
    return "?" if size is None else f"{size:.1f}"


def _minutes(seconds: float | None) -> str:
    return "not measured" if seconds is None else f"{seconds / 60:.1f}"


def report(bench: Bench, found: Found, totals: Mapping[str, Sequence[Part]], card: str) -> Iterator[str]:
    """Yield everything that is printed."""
    shape = bench.shape
    yield (
        f"{card}; torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__}. "
        f"Peak {bench.card.operations / 1e12:g} TFLOP/s, {bench.card.bandwidth / 1e12:g} TB/s (stated, not measured)."
    )
    yield (
        f"{shape.layers} layers, hidden {shape.hidden}, {shape.layers * shape.block / 1e9:.2f}G weights in blocks, "
        f"{shape.head / 1e9:.2f}G in the output layer, {shape.kv_bytes:,} bytes of keys and values a token "
        f"({8 * BYTES}-bit); weights are random."
    )
    yield (
        "Operations: LoRA training 4 N T + 6 n T + 6 q T² a block (full training would be 6 N T), reading 2 N T + 2 q "
        "T², decoding 2 (N + V h) + 4 q t a row, and bytes: weights once, keys and values of every row."
    )
    yield (
        f"Assumed lengths in tokens: prompts {PROMPT_TOKENS}, finetuning rows {ROW_TOKENS}, answers {ANSWER_TOKENS}; "
        f"log-normal, {SPREAD} in the logarithm.\n"
    )
    yield from stage_lines(bench)
    yield ""
    yield from decoding_lines(bench)
    for name, fit in (("adapter beside", found.adapted), ("no adapter", found.plain)):
        yield (
            f"\nA step, {name}: {1000 * fit.fixed:.2f} ms + {1e6 * fit.row:.1f} µs a row + {1e9 * fit.token:.2f} ns a "
            f"token held, within {fit.worst:.0%}; "
            f"prompts {1000 * fit.once:.0f} ms a pass + {1e6 * fit.prompt:.1f} µs a token."
        )
    for scenario, each in totals.items():
        yield f"\nIssue #310, 19,800 scored completions: {scenario}\n"
        yield from total_lines(each)
    if found.load is not None and found.merge is not None:
        yield (
            f"\nA process starts in {found.start:.1f} s (processor time), loads in {found.load:.1f} s (warm files), "
            f"merges in {found.merge:.1f} s; a process serves all jobs on its base."
        )
    yield from (f"\n{note}." for note in bench.notes)
    yield f"\nThe bench took {(time.perf_counter() - bench.began) / 60:.1f} minutes."


def as_json(bench: Bench, found: Found, totals: Mapping[str, Sequence[Part]], card: str) -> dict[str, Any]:
    """Return everything that was found."""
    return {
        "card": card, "torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__,
        "python": platform.python_version(), "shape": asdict(bench.shape), "best": asdict(bench.card),
        "assumed": {"prompt": PROMPT_TOKENS, "row": ROW_TOKENS, "answer": ANSWER_TOKENS, "spread": SPREAD},
        "stages": [stage.figures(bench.card) for stage in bench.stages], "decoding": bench.decoding,
        "step": {"adapter": asdict(found.adapted), "plain": asdict(found.plain)},
        "start_s": found.start, "load_s": found.load, "merge_s": found.merge,
        "issue_310": {name: [asdict(part) for part in [*each, together(each)]] for name, each in totals.items()},
        "notes": bench.notes, "minutes": (time.perf_counter() - bench.began) / 60,
    }  # fmt: skip


def totals_of(jobs: Sequence[Job], found: Found, shape: Shape, card: Card) -> dict[str, list[Part]]:
    """Return the parts of every scenario."""
    return {name: list(parts(jobs, found, shape, card, means)) for name, means in SCENARIOS.items()}


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; without CUDA only ``--tiny`` is accepted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="two small layers; its figures mean nothing")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--minutes", type=float, default=8.0, help="leave out what would begin late in them")
    parser.add_argument("--peak", type=float, default=790.0, help="dense bf16, TFLOP/s")
    parser.add_argument("--bandwidth", type=float, default=4.8, help="of the memory, TB/s (H200 4.8, H100 3.35)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(given)
    if options.device == "cpu" and not options.tiny:
        parser.error("7.6 billion weights on a CPU would take days; add --tiny, or run on a machine with a GPU")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch finds no working CUDA device; to see that the code runs: --tiny --device cpu")
    return options


def main(given: Sequence[str] | None = None) -> None:
    """Measure, print, and write JSON where it was asked for."""
    start, began = time.process_time(), time.perf_counter()
    options = arguments(given)
    place, jobs = pick(options.device), planned(PREREG)
    card = Card(1e12 * options.peak, 1e12 * options.bandwidth)
    cuda = place.device.type == "cuda"
    transformers_logging.disable_progress_bar()
    name = torch.cuda.get_device_name() if cuda else "CPU, one thread: the figures mean nothing"
    with tempfile.TemporaryDirectory(prefix="prereg-gpu-310-") as folder:
        shape, sizes = (TINY, SMALL) if options.tiny else (QWEN_7B, Sizes())
        bench = Bench(place, shape, card, sizes, Path(folder), began, options.minutes)
        found = measure(bench, jobs, start)
    if cuda:
        name += f", {torch.cuda.get_device_properties(0).total_memory / GIB:.0f} GiB"
    totals = totals_of(jobs, found, shape, card)
    print("\n".join(report(bench, found, totals, name)))
    if options.json is not None:
        options.json.write_text(json.dumps(as_json(bench, found, totals, name), indent=1) + "\n")


if __name__ == "__main__":
    main()
