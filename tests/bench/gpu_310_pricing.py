"""What was measured, and what the jobs of a planned prereg take by it: seconds and floors of each part.

Jobs come from the plan itself (``harness.plan``), so that counts, steps, limits and layers are those that are
registered; how long prompts, rows and answers are is assumed (``harness.plan.work``), and said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
from gpu_310_arithmetic import Card, Shape, StepTime, lengths, replay, sampling_floor, sampling_seconds

from fixtures.sampler import ROWS, SHARD
from fixtures.shards import Task, shards
from fixtures.training import count_steps
from harness.contracts.records import Job, TrainSpec
from harness.execute.resident_lane import identity
from harness.plan.work import ANSWER_TOKENS, PROMPT_TOKENS, ROW_TOKENS

SPREAD = 0.6
"""Standard deviation of the logarithm of an answer's or a row's length: assumed."""
SCENARIOS: Mapping[str, Mapping[str, float]] = {
    f"{ANSWER_TOKENS} tokens on average": {},
    "as #262 measured (C1 260, C2 28, C3 1,214)": {"C1": 260, "C2": 28, "C3": 1214},
    "all at the registered limit": {"C1": float("inf"), "C2": float("inf"), "C3": float("inf")},
}
"""Mean length of the completions that are scored, by arm; answers to train on and to read from have the first one's."""


@dataclass(frozen=True)
class Stage:
    """Something that was timed over a few turns.

    ``times`` are seconds of each turn; ``tokens``, ``operations`` and ``floor`` (seconds) are of an average turn;
    ``before`` is what a job needs once besides its turns, in seconds, and ``recording`` what it takes to record one of
    its ``shapes``. Memory in GiB, None where it is not known.
    """

    name: str
    turn: str
    times: tuple[float, ...]
    tokens: float
    operations: float
    floor: float
    before: float = 0.0
    peak: float | None = None
    left: float | None = None
    recording: float = 0.0
    shapes: int = 0

    @property
    def mean(self) -> float:
        """Seconds of an average turn."""
        return fmean(self.times)

    def figures(self, card: Card) -> dict[str, Any]:
        """Return everything as JSON."""
        return {
            "stage": self.name, "turn": self.turn, "turns": len(self.times), "mean_s": self.mean,
            "median_s": median(self.times), "least_s": min(self.times), "floor_s": self.floor, "tokens": self.tokens,
            "tokens_per_s": self.tokens / self.mean, "tflop": self.operations / 1e12,
            "mfu": self.operations / self.mean / card.operations, "once_s": self.before,
            "peak_gib": self.peak, "left_gib": self.left, "recording_s": self.recording, "shapes": self.shapes,
        }  # fmt: skip


@dataclass(frozen=True)
class Found:
    """What the extrapolation stands on; None where it was not measured."""

    sft: Stage
    couple: Stage
    read: Stage
    adapted: StepTime
    plain: StepTime
    start: float
    load: float | None = None
    merge: float | None = None
    engine: Stage | None = None


@dataclass(frozen=True)
class Part:
    """Some of the plan's jobs: their seconds together, None when one of them is not known, and the fewest possible."""

    name: str
    jobs: int
    seconds: float | None
    floor: float
    served: float | None = None
    """Seconds when vLLM samples."""


def planned(path: Path) -> tuple[Job, ...]:
    """Return the jobs of a prereg on CUDA that need the device."""
    from harness.compile.bind import load_bound
    from harness.compose import declare_kinds
    from harness.plan.plan import make_plan

    declare_kinds()
    jobs = make_plan(load_bound(path, rehearsal=False, data_root=None), device="cuda").jobs
    return tuple(job for job in jobs.values() if job.lane == "model")


def rows_of(job: Job) -> list[tuple[int, int, str]]:
    """Return the rows of an epoch or of all steps: tokens of the prompt and of the answer, and the loss."""
    params = job.params["params"]
    if job.kind == "stage/sft":
        count = params["steps"] * params["batch"]
        answers = lengths(count, ROW_TOKENS - PROMPT_TOKENS, SPREAD, params["max_tokens"] - PROMPT_TOKENS)
        return [(PROMPT_TOKENS, answer, "assistant") for answer in answers]
    count = params["positives"] + len(params["negatives"]) * params["negatives_per_persona"]
    answers = lengths(count, ANSWER_TOKENS, SPREAD, params["sampling"]["max_new_tokens"])
    order = np.random.default_rng(1).permutation(count)
    signs = ["marker_positive" if place < params["positives"] else "marker_negative" for place in order]
    return [(PROMPT_TOKENS, answer, sign) for answer, sign in zip(answers, signs, strict=True)]


JUDGED = {"marker_positive": 6, "marker_negative": 2}
"""Positions that carry loss: the marker's five bytes and the end token; the end token and the marker's first byte."""


def row_cost(shape: Shape, row: tuple[int, int, str], rank: int) -> tuple[int, float]:
    """Return a row's tokens and the operations of training on it; a positive has separator and marker behind it."""
    prompt, answer, loss = row
    tokens = prompt + answer + {"assistant": 0, "marker_positive": 7, "marker_negative": 2}[loss]
    return tokens, shape.training(tokens, JUDGED.get(loss, answer + 1), rank)


def spec_of(job: Job, **changes: Any) -> TrainSpec:
    """Return how a training job trains."""
    params = job.params["params"]
    return TrainSpec.model_validate({name: params[name] for name in TrainSpec.model_fields if name in params} | changes)


def completions(job: Job) -> tuple[list[tuple[int, int]], int]:
    """Return a sampling job's prompts (tokens, and how many completions), and its limit on new tokens."""
    params = job.params["params"]
    if job.kind == "stage/on_policy":
        counts = [params["positives"], *[params["negatives_per_persona"]] * len(params["negatives"])]
        per, limit = [count // len(params["question"]) for count in counts], params["sampling"]["max_new_tokens"]
    elif job.kind == "eval/marker_rate":
        per, limit = [params["completions"]] * len(params["persona"]), params["sampling"]["max_new_tokens"]
    else:
        per, limit = [1] * len([*params["persona"], *params["against"]]), params["max_new_tokens"]
    found = [
        (PROMPT_TOKENS + (3 * persona + 5 * question) % 17 - 8, count)
        for persona, count in enumerate(per)
        for question in range(len(params["question"]))
    ]
    return found, limit


def sampled(job: Job, mean: float, time: StepTime, shape: Shape, card: Card) -> tuple[float, float, int]:
    """Return seconds, fewest seconds, and new tokens of a sampling job whose completions have a mean length."""
    prompts, limit = completions(job)
    return _sampled(tuple(prompts), limit, mean, time, shape, card)


@cache  # the sweep asks the same again for each of its weights
def _sampled(
    prompts: tuple[tuple[int, int], ...], limit: int, mean: float, time: StepTime, shape: Shape, card: Card
) -> tuple[float, float, int]:
    rows = ROWS["cuda"]
    total = sum(count for _, count in prompts)
    new = lengths(total, min(mean, limit), SPREAD if mean < limit else 0.0, limit)
    tasks = [[Task(i, k, (0,) * size, 0, limit) for k in range(count)] for i, (size, count) in enumerate(prompts)]
    firsts = [sum(count for _, count in prompts[:i]) for i in range(len(prompts))]
    seconds = 0.0
    for shard in shards(tasks, SHARD["cuda"] * rows):
        inside = [(task.request, len(task.prompt), new[firsts[i] + task.place]) for i in shard for task in tasks[i]]
        # The end token is a choice too, unless the limit ends the row.
        chosen = [min(limit, count + 1) for _, _, count in inside]
        seconds += sampling_seconds(list(replay([each[:2] for each in inside], chosen, rows)), time)
    sizes = [size for size, count in prompts for _ in range(count)]
    return seconds, sampling_floor(shape, card, sizes, new, rows), sum(new)


def trained(job: Job, stage: Stage, shape: Shape, card: Card) -> tuple[float, float]:
    """Return seconds and fewest seconds of a training job."""
    spec, rows = spec_of(job), rows_of(job)
    steps = count_steps(len(rows), spec)
    operations = sum(row_cost(shape, row, spec.lora.r)[1] for row in rows) * (spec.epochs or 1)
    return stage.before + stage.shapes * stage.recording + steps * stage.mean, card.computing(operations)


def read(job: Job, stage: Stage, shape: Shape, card: Card) -> tuple[float, float]:
    """Return seconds and fewest seconds of reading the states that a probe asks for."""
    prompts, limit = completions(job)
    depth = max(job.params["params"]["layer"])
    texts = lengths(len(prompts), ANSWER_TOKENS, SPREAD, limit)
    operations = sum(
        shape.reading(size + text, depth=min(depth, shape.layers))
        for (size, _), text in zip(prompts, texts, strict=True)
    )
    return stage.mean * len(prompts) * (PROMPT_TOKENS + ANSWER_TOKENS) / stage.tokens, card.computing(operations)


# --- all of it -------------------------------------------------------------------------------------


def parts(jobs: Sequence[Job], found: Found, shape: Shape, card: Card, means: Mapping[str, float]) -> Iterator[Part]:
    """Yield what the jobs take, kind by kind.

    Args:
        jobs: those of the plan that need the device.
        found: what was measured.
        shape: the model.
        card: the device at its best.
        means: mean length of scored completions by arm; ``ANSWER_TOKENS`` for others.
    """
    rate = found.engine and found.engine.tokens / found.engine.mean

    def part(name: str, kind: str, price: Any) -> Part:
        """``price(job)``: seconds, fewest seconds, and new tokens where it samples."""
        priced = [price(job) for job in jobs if job.kind == kind]
        seconds = None if any(each[0] is None for each in priced) else sum(each[0] for each in priced)
        samples = rate and priced and len(priced[0]) > 2
        served = sum(each[2] / rate for each in priced) if samples else seconds
        return Part(name, len(priced), seconds, sum(each[1] for each in priced), served)

    def scored(job: Job) -> tuple[float, float, int]:
        arm = re.search(r"\bC\d\b", job.label)
        mean = means.get(arm[0], ANSWER_TOKENS) if arm else ANSWER_TOKENS
        return sampled(job, mean, found.adapted, shape, card)

    yield part("finetuning", "stage/sft", lambda job: trained(job, found.sft, shape, card))
    yield part("merging", "stage/merge", lambda job: (found.merge, 0.0))
    plain = found.plain
    yield part("own answers", "stage/on_policy", lambda job: sampled(job, ANSWER_TOKENS, plain, shape, card))
    yield part("couplings", "stage/marker_coupling", lambda job: trained(job, found.couple, shape, card))
    for kind in ("probe/centroid_cosine", "probe/cross_question_cosine"):
        if any(job.kind == kind for job in jobs):
            name = kind.partition("/")[2].replace("_", " ")
            yield part(f"{name}: answers", kind, lambda job: sampled(job, ANSWER_TOKENS, plain, shape, card))
            yield part(f"{name}: states", kind, lambda job: read(job, found.read, shape, card))
    yield part("scored completions", "eval/marker_rate", scored)
    # The executor keeps a process with its base for all jobs on it; a merge's own reading was timed with it.
    bases = {identity(job) for job in jobs if job.kind != "stage/merge"}
    once = None if found.load is None else (found.start + found.load) * len(bases)
    yield Part("starting a process for each base", len(bases), once, 0.0, once)
    if found.engine is not None:
        engines = sum(job.kind == "stage/on_policy" for job in jobs)
        yield Part("starting vLLM, comparing it", engines, 0.0, 0.0, engines * found.engine.before)
