"""What work costs where nothing was recorded: rough constants, declared and not measured, with wide ranges.

**A 7.6B model on one H100 or H200.** Likely figures of transformers are from one H200 (docs/performance.md, "On a
GPU"): a coupling's steps take 72 us a trained token and finetuning's up to 92, padding included: 80 us. The high end is
an engine that launches every kernel (283 us) with a margin, for cards whose memory holds no recordings; the low end is
60% of 790 TFLOP/s. On record before are 338-699 s for 375 steps of 16 rows of about 300 tokens, 188-388 us a token.
Reading took 32 us a token. Sampling 2,200 completions of 260 tokens with an adapter beside takes 39 s by the measured
steps, 69 us a token, of which the tail of long answers is a good part; with all slots busy it is 38-45 us, and where
answers have 2,048 tokens and 260 are assumed, 520 us for each assumed one. A probe's few answers are mostly tail.
vLLM was not measured on CUDA: at 256 rows it takes 10 ms or so for a step (three times what reading the weights alone
takes): 40 us a token, and 0.1 ms with prefill and the tail; the low end is 30,000 tokens a second, the high one long
answers and few rows.

**The embedded model on one core.** CPU seconds of rehearsals on shared x86-64 cores (docs/performance.md).
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """A rough figure: ``likely``, inside of ``low`` to ``high``."""

    low: float
    likely: float
    high: float

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.likely + other.likely, self.high + other.high)

    def times(self, factor: float) -> Range:
        """Return the range of ``factor`` times the figure."""
        return Range(self.low * factor, self.likely * factor, self.high * factor)


NOTHING = Range(0.0, 0.0, 0.0)
SIZE = 7.6
"""Billions of parameters of the model that the figures for GPUs are about; others cost in proportion."""
EMBEDDED = "embedded"

GPU_SECONDS = {
    "transformers": {
        "trained tokens": Range(6e-5, 8e-5, 4e-4),
        "sampled tokens": Range(4e-5, 8e-5, 1e-3),
        "answered and read tokens": Range(6e-5, 2e-4, 1.5e-3),
        "read tokens": Range(2e-5, 4e-5, 5e-4),
        "merges": Range(10, 25, 240),
    },
    "vllm": {
        "sampled tokens": Range(3e-5, 1e-4, 1e-3),
        "answered and read tokens": Range(6e-5, 2e-4, 1.5e-3),
    },
}
"""Seconds for a unit of work by engine, 7.6B."""
GPU_START = {"transformers": Range(5, 15, 120), "vllm": Range(30, 90, 300)}
"""Seconds for every GPU job, by engine. A process (17 s) and its base (3 s from warm files, 8-100 s from cold ones)
serve all jobs on that base; a training records its passes (6-9 s) and is looked at before and after; vLLM captures
graphs and measures its memory before it begins."""

EMBEDDED_SECONDS = {
    "builds": Range(60, 120, 400),
    "trained tokens": Range(2e-5, 6e-5, 2.5e-4),
    "sampled tokens": Range(2e-5, 7e-5, 3e-4),
    "answered and read tokens": Range(2e-5, 6e-5, 3e-4),
    "read tokens": Range(1e-5, 3e-5, 2e-4),
    "merges": Range(0.05, 0.2, 2),
}
"""CPU seconds for a unit of work with the embedded model."""

LIGHT_SECONDS = {
    "recorded": Range(0.05, 0.2, 2),
    "probe/training_log": Range(0.05, 0.2, 2),
    "estimate": Range(0.02, 0.1, 2),
    "breakdown": Range(0.02, 0.2, 5),
    "verdict": Range(0.02, 0.1, 1),
    "replay": Range(0.5, 5, 60),
    "null": Range(0.2, 1, 10),
}
"""CPU seconds of jobs without a model, by kind."""

ADAPTER = 28 * (2 * (3584 + 3584) + 2 * (3584 + 512) + 3 * (3584 + 18944))
"""Parameters of one LoRA rank on all seven projections of a Qwen2.5-7B: 28 layers, (inputs + outputs) of each."""
STORED = {
    "models": Range(2e9 * SIZE, 2e9 * SIZE, 4e9 * SIZE),
    "ranks": Range(2.0 * ADAPTER, 4.0 * ADAPTER, 4.0 * ADAPTER),
}
"""Bytes of weights at 7.6B: two a parameter in bf16 and four in float32. Adapters are usually kept in float32."""
EMBEDDED_STORED = {"models": Range(3.6e6, 3.7e6, 3.9e6), "ranks": Range(2e4, 4e4, 5e4)}
TEXT_STORED = {
    "eval/marker_rate": Range(0.3, 1.5, 6),
    "stage/on_policy": Range(2, 5, 8),
    "probe/centroid_cosine": Range(10, 25, 80),
    "probe/cross_question_cosine": Range(10, 25, 80),
}
"""Bytes for a sampled token (text, compressed in tables) and for a row of products, by kind."""
SMALL = Range(500, 3_000, 50_000)
"""Bytes of an artifact without weights or texts."""


def seconds(kind: str, unit: str, amount: float, *, device: str, engine: str, base: str) -> Range | None:
    """Return the declared seconds of a job, or None where none are declared for its kind, engine, base and device."""
    if kind in LIGHT_SECONDS:
        return LIGHT_SECONDS[kind].times(amount)
    if device == "cpu" and base == EMBEDDED and unit in EMBEDDED_SECONDS:
        return EMBEDDED_SECONDS[unit].times(amount)
    size = billions(base)
    each = GPU_SECONDS.get(engine, {}).get(unit)
    if device != "cuda" or size is None or each is None:
        return None
    return (each.times(amount) + GPU_START[engine]).times(size / SIZE)


def stored(kind: str, unit: str, size: float, *, base: str) -> Range | None:
    """Return the declared bytes of an artifact, or None where none are declared."""
    if kind in TEXT_STORED:
        return TEXT_STORED[kind].times(size) + SMALL
    if kind in LIGHT_SECONDS:
        return SMALL
    if base == EMBEDDED:
        return EMBEDDED_STORED[unit].times(size) if unit in EMBEDDED_STORED else None
    parameters = billions(base)
    if parameters is None or unit not in STORED:
        return None
    # A rank is as long as the layers are wide: width goes with the square root of a layer's parameters.
    grows = parameters / SIZE if unit == "models" else (parameters / SIZE) ** (2 / 3)
    return STORED[unit].times(size * grows)


def billions(base: str) -> float | None:
    """Return the size of a model as its name says it, in billions of parameters: ``Qwen2.5-7B-Instruct`` has 7.6."""
    found = re.findall(r"(?i)(?<![\d.])(\d+(?:\.\d+)?)b(?![a-z])", base)
    if not found:
        return None
    size = float(found[-1])
    return SIZE if size == 7 else size
