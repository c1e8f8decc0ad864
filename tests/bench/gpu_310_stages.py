"""The stages of ``bench_gpu_310``: each is timed over a few turns, through the project's own ports."""

from __future__ import annotations

import importlib.util
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from gpu_310_arithmetic import StepTime, lengths
from gpu_310_bench import GIB, Bench, Watch, never_ending, prompt, recordings, told_every_turn, words
from gpu_310_pricing import SPREAD, Found, Stage, row_cost, rows_of, spec_of
from tiny import write_tokenizer

from fixtures import loading, loop, sampler, shapes
from fixtures.arms import PeftTrainer
from fixtures.hidden import TransformersReader
from fixtures.room import room
from fixtures.sampler import TransformersSampler
from fixtures.shapes import Shapes
from fixtures.stepping import FEWEST_ROWS
from fixtures.training import Row, batch_order, count_steps
from harness.contracts.records import Job, ModelRef, ReadRequest, SampleRequest, SamplingSpec, TrainExample
from harness.plan.work import ANSWER_TOKENS, PROMPT_TOKENS

T = TypeVar("T")


def training(bench: Bench, name: str, job: Job, steps: int) -> Stage:
    """Time optimiser steps of a training job of the plan; the adapter stays in ``folder / name``."""
    spec = spec_of(job, steps=steps, epochs=None)
    every = rows_of(job)
    rows = every[:: max(1, len(every) // (steps * spec.batch))][: steps * spec.batch]
    examples = [
        TrainExample(
            messages=prompt(bench, tokens, number), answer=words(answer, number), loss=loss,
            **({} if loss == "assistant" else {"separator": "\n\n", "marker": "[ZLT]"}),
        )
        for number, (tokens, answer, loss) in enumerate(rows)
    ]  # fmt: skip
    ref, watch = bench.put(), Watch(bench.place)
    began = time.perf_counter()
    port = PeftTrainer(str(bench.place.device))
    most = room(loading._resident["model"].model, spec.lora, bench.place).tokens
    count = len(shapes_of(bench, job, most))
    with recordings(bench.place) as recorded, as_fine_as(len(every) * (spec_of(job).epochs or 1) / len(rows)):
        log = port.train_lora(ref, examples, spec, seed=0, out=bench.folder / name, progress=watch)
    if log.halved:
        bench.notes.append(f"{name}: memory ran out, (step, tokens at once from then on) {log.halved}")
    if log.recomputed:
        bench.notes.append(f"{name}: activations computed again in the backward pass from step {log.recomputed} on")
    if log.packed:
        bench.notes.append(f"{name}: rows packed in {log.packed} of {len(log.losses)} steps")
    whole, peak = time.perf_counter() - began, bench.peak()
    times, tokens = watch.turns("tokens", bench.sizes.warm - 1)
    costs = [row_cost(bench.shape, row, spec.lora.r) for row in rows]
    operations = statistics.fmean(tokens) * sum(cost for _, cost in costs) / sum(size for size, _ in costs)
    first = next(at for at, figures in watch.heard if "step" in figures)
    steps_s = watch.heard[-1][0] - first + statistics.fmean(times)
    return bench.add(
        Stage(name, f"step of {spec.batch} rows", times, statistics.fmean(tokens), operations,
              bench.card.computing(operations), max(0.0, whole - steps_s - sum(recorded)), peak, bench.clear(),
              statistics.fmean(recorded) if recorded else 0.0, count)
    )  # fmt: skip


def shapes_of(bench: Bench, job: Job, most: int) -> Shapes:
    """Return the shapes of a whole training."""
    spec = spec_of(job)
    sizes = [row_cost(bench.shape, row, spec.lora.r)[0] for row in rows_of(job)]
    order = batch_order(sizes, spec.batch, count_steps(len(sizes), spec), 0)
    return Shapes(([Row([0] * sizes[index]) for index in chosen] for chosen in order), most)


@contextmanager
def as_fine_as(times: float) -> Iterator[None]:
    """Let a training that is ``times`` shorter than the job's have about as many shapes as the job's."""
    usual = loop.Shapes
    loop.Shapes = partial(Shapes, recording=int(shapes.RECORDING / max(times, 1)))
    try:
        yield
    finally:
        loop.Shapes = usual


def decoding(bench: Bench, name: str, *adapters: str) -> StepTime:
    """Time the decode loop at several numbers of rows and of tokens held, and prefill; return the fit."""
    ref, sizes, stages = bench.put(*adapters), bench.sizes, []
    points: list[tuple[int, int, float]] = []
    for rows, held in sizes.decode:
        spec = SamplingSpec(max_new_tokens=sizes.decode_steps + 2)
        watch, port = Watch(bench.place), TransformersSampler(str(bench.place.device), rows=rows)
        request = SampleRequest(messages=prompt(bench, held, rows), seeds=tuple(range(rows)))
        with never_ending():
            port.sample(ref, [request], spec, progress=watch)
        if port.rows != rows:
            bench.notes.append(f"{name}: {rows} rows of {held} tokens do not fit the memory")
            continue
        times, tokens = watch.turns("tokens", 0)
        middle = held + sizes.decode_steps // 2
        points.append((rows, middle, statistics.fmean(times)))
        floor, turn = bench.card.decoding(bench.shape, rows, middle), f"step of {rows} rows, {middle} tokens held"
        work = bench.shape.step(rows, middle)
        stages.append(Stage(name, turn, times, statistics.fmean(tokens), work, floor, 0.0, bench.peak()))
        bench.decoding.append(stages[-1].figures(bench.card) | {"rows": rows, "held": middle})
    fit = StepTime.fit(points, prefill(bench, ref))
    most = max((stage.peak for stage in stages if stage.peak is not None), default=None)
    bench.add(replace(stages[0], peak=most, left=bench.clear()))
    return fit


def prefill(bench: Bench, ref: ModelRef) -> list[tuple[int, float]]:
    """Return tokens and seconds of two passes: of few and of many short prompts."""
    found = []
    for count in (FEWEST_ROWS, bench.sizes.prefills):
        requests = [SampleRequest(messages=prompt(bench, PROMPT_TOKENS, number), seeds=(0,)) for number in range(count)]
        port = TransformersSampler(str(bench.place.device))
        for _ in range(2):  # the first finds its kernels
            watch = Watch(bench.place)
            watch("begin", 0.0)
            port.sample(ref, requests, SamplingSpec(max_new_tokens=1), progress=watch)
        found.append((count * PROMPT_TOKENS, watch.heard[1][0] - watch.heard[0][0]))
    return found


def reading(bench: Bench, job: Job) -> Stage:
    """Time reading the texts of one arm at the registered layers."""
    texts = lengths(bench.sizes.texts, ANSWER_TOKENS, SPREAD, 1024)
    requests = [
        ReadRequest(messages=prompt(bench, PROMPT_TOKENS, number), answer=words(text, number))
        for number, text in enumerate(texts)
    ]
    layers = sorted({min(layer, bench.shape.layers - 1) for layer in job.params["params"]["layer"]})
    ref, port, times = bench.put(), TransformersReader(str(bench.place.device)), []
    for _ in range(4):
        began = time.perf_counter()
        port.read(ref, requests, layers=layers, token=job.params["params"]["token"], progress=Watch(bench.place))
        times.append(time.perf_counter() - began)
    operations = sum(bench.shape.reading(PROMPT_TOKENS + text, depth=layers[-1]) for text in texts)
    return bench.add(
        Stage("reading hidden states", f"{len(texts)} texts to layer {layers[-1]}", tuple(times[1:]),
              float(sum(texts) + PROMPT_TOKENS * len(texts)), operations, bench.card.computing(operations),
              0.0, bench.peak(), bench.clear())
    )  # fmt: skip


def disk(bench: Bench, adapter: str) -> tuple[float, float] | None:
    """Return seconds of loading the base and of merging an adapter; None when there is no room or no time."""
    weights = bench.shape.layers * bench.shape.block + 2 * bench.shape.head
    need, free = 2.2 * weights * bench.place.dtype.itemsize, shutil.disk_usage(bench.folder).free
    if free < need:
        bench.notes.append(f"loading and merging were not measured: {free / GIB:.0f} GiB free, {need / GIB:.0f} needed")
        return None
    if bench.late("loading and merging", 0.6):
        return None
    bench.put()
    loading._resident["model"].model.save_pretrained(bench.base.path)
    bench.clear()
    began = time.perf_counter()
    loading.load(bench.base, bench.place)
    if bench.place.device.type == "cuda":
        torch.cuda.synchronize()
    load = time.perf_counter() - began
    adapted = bench.base.model_copy(update={"adapters": (adapter,)})
    began = time.perf_counter()
    PeftTrainer(str(bench.place.device)).merge(adapted, alpha=1.0, out=bench.folder / "merged")
    merge = time.perf_counter() - began
    shutil.rmtree(bench.folder / "merged")
    bench.clear()
    return load, merge


def serving(bench: Bench, adapter: str) -> Stage | None:
    """Time completions from vLLM with an adapter, engine start and comparison left out; None where it is not there."""
    found = importlib.util.find_spec("vllm")
    if found is None or found.origin is None:  # a folder of that name is no package
        bench.notes.append("vLLM was not measured: it is not installed")
        return None
    if not (Path(bench.base.path) / "config.json").is_file():
        bench.notes.append("vLLM was not measured: it needs the model on disk")
        return None
    if bench.late("vLLM", 0.6):
        return None
    from fixtures.vllm_sampler import VllmSampler

    ref = bench.base.model_copy(update={"adapters": (adapter,)})
    port, spec, times = VllmSampler(str(bench.place.device)), SamplingSpec(max_new_tokens=ANSWER_TOKENS), []
    drawn = 0
    for again in range(2):
        requests = [
            SampleRequest(
                messages=prompt(bench, PROMPT_TOKENS, number), seeds=tuple(range(10 * again, 10 * again + 10))
            )
            for number in range(-(-bench.sizes.served // 10))
        ]
        began = time.perf_counter()
        rows = port.sample(ref, requests, spec, progress=Watch(bench.place))
        times.append(time.perf_counter() - began)
        drawn = sum(each.tokens for row in rows for each in row)
    held = PROMPT_TOKENS + ANSWER_TOKENS // 2
    busy = sampler.ROWS["cuda"]
    floor = drawn / busy * bench.card.decoding(bench.shape, busy, held)
    turn = f"{sum(len(r.seeds) for r in requests)} completions"
    operations = drawn * bench.shape.step(1, held)
    return bench.add(Stage("sampling, vLLM", turn, (times[1],), drawn, operations, floor, times[0] - times[1]))


def spared(bench: Bench, what: str, stage: Callable[[], T | None]) -> T | None:
    """Run a stage that other figures do not need; whatever goes wrong in it must not lose them."""
    try:
        return stage()
    except Exception as error:
        bench.notes.append(f"{what} was not measured: {type(error).__name__}: {error}")
        return None


def measure(bench: Bench, jobs: Sequence[Job], start: float) -> Found:
    """Run every stage."""
    write_tokenizer(bench.folder / "base")
    one = {job.kind: job for job in jobs}
    probe = next(job for job in jobs if job.kind.startswith("probe/"))
    with told_every_turn():
        sft = training(bench, "finetuning", one["stage/sft"], bench.sizes.sft_steps)
        couple = training(bench, "coupling", one["stage/marker_coupling"], bench.sizes.couple_steps)
        adapter = str(bench.folder / "finetuning")
        adapted = decoding(bench, "sampling, adapter beside", adapter)
        plain = decoding(bench, "sampling, no adapter")
        read = reading(bench, probe)
        load, merge = spared(bench, "loading and merging", lambda: disk(bench, adapter)) or (None, None)
        engine = spared(bench, "vLLM", lambda: serving(bench, adapter))
    return Found(sft, couple, read, adapted, plain, start, load, merge, engine)
