"""One run of ``bench_gpu_310``: the model in memory, the clock, and texts of a given length."""

from __future__ import annotations

import gc
import itertools
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from gpu_310_arithmetic import Card, Shape
from gpu_310_pricing import Stage
from transformers import AutoModelForCausalLM, PreTrainedTokenizerBase, Qwen2Config

from fixtures import flowing, hidden, loading, loop, recording, sampler, shards
from fixtures.chat import prompt_ids
from fixtures.device import Place
from harness.contracts.records import Message, ModelRef

GIB = 1 << 30


@dataclass(frozen=True)
class Sizes:
    """How much is timed: turns after ``warm`` ones that do not count, and (rows, tokens held) of decoding."""

    sft_steps: int = 24
    couple_steps: int = 96
    warm: int = 2
    decode: tuple[tuple[int, int], ...] = (
        (512, 128), (512, 1088), (256, 128), (256, 2048), (64, 1088), (8, 128),
    )  # fmt: skip
    decode_steps: int = 64
    """So many that room for keys and values grows once where it grows, every 64 tokens."""
    prefills: int = 256
    texts: int = 160
    served: int = 512


SMALL = Sizes(
    sft_steps=3, couple_steps=4, warm=1, decode=((12, 64), (12, 128), (8, 64)), decode_steps=6, prefills=16, texts=8,
    served=16,
)  # fmt: skip


class Watch:
    """A progress report that notes when each came, in seconds, once the device has done what it was given."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.heard: list[tuple[float, Mapping[str, float]]] = []

    def __call__(self, what: str, done: float, **figures: float) -> None:
        if self.place.device.type == "cuda":
            torch.cuda.synchronize()
        self.heard.append((time.perf_counter(), figures))

    def turns(self, figure: str, warm: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return seconds between reports that have a figure, and by how much it grew, after the ``warm`` first."""
        seen = [(at, figures[figure]) for at, figures in self.heard if figure in figures and len(figures) > 1][warm:]
        pairs = [(late, early) for early, late in itertools.pairwise(seen) if late[1] > early[1]]
        return tuple(late[0] - early[0] for late, early in pairs), tuple(late[1] - early[1] for late, early in pairs)


@contextmanager
def told_every_turn() -> Iterator[None]:
    """Let the ports report every turn and not twice a second."""
    modules = (loop, shards, hidden)
    usual = [module.REPORT_EVERY_S for module in modules]
    for module in modules:
        module.REPORT_EVERY_S = -1.0
    try:
        yield
    finally:
        for module, seconds in zip(modules, usual, strict=True):
            module.REPORT_EVERY_S = seconds


@contextmanager
def recordings(place: Place) -> Iterator[list[float]]:
    """Note how long each recording took, in seconds."""
    found: list[float] = []
    usual = recording.Graphs.record

    def timed(self: recording.Graphs, work: Any) -> Any:
        began = time.perf_counter()
        made = usual(self, work)
        if place.device.type == "cuda":
            torch.cuda.synchronize()
        found.append(time.perf_counter() - began)
        return made

    recording.Graphs.record = timed
    try:
        yield found
    finally:
        recording.Graphs.record = usual


@contextmanager
def never_ending() -> Iterator[None]:
    """Let no text end before its limit: with random weights any token may be the likeliest, the end token too."""
    usual = flowing.end_id
    sampler.end_id = flowing.end_id = lambda tokenizer: -1
    try:
        yield
    finally:
        sampler.end_id = flowing.end_id = usual


@dataclass
class Bench:
    """One run: the model's place in memory, and what was found."""

    place: Place
    shape: Shape
    card: Card
    sizes: Sizes
    folder: Path
    began: float
    minutes: float
    stages: list[Stage] = field(default_factory=list)
    decoding: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def base(self) -> ModelRef:
        """The bare model."""
        return ModelRef(path=str(self.folder / "base"))

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """Its tokenizer of bytes."""
        found: PreTrainedTokenizerBase = loading.tokenizer_of(self.base)
        return found

    def config(self) -> Qwen2Config:
        """Return the model's settings."""
        return Qwen2Config(
            vocab_size=self.shape.vocabulary, hidden_size=self.shape.hidden, num_hidden_layers=self.shape.layers,
            intermediate_size=self.shape.intermediate, num_attention_heads=self.shape.heads,
            num_key_value_heads=self.shape.kv_heads, max_position_embeddings=32768, tie_word_embeddings=False,
            eos_token_id=258, pad_token_id=256, bos_token_id=None,
        )  # fmt: skip

    def put(self, *adapters: str) -> ModelRef:
        """Make the model on its device where the ports look for the one they loaded last, and return its name.

        A model of this size is made in a second and read from disk in ten; and the trainer leaves its adapter inside.
        """
        self.clear()
        ref = self.base.model_copy(update={"adapters": adapters})
        devices = [self.place.device] if self.place.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), torch.device(self.place.device):
            torch.manual_seed(0)
            model: Any = AutoModelForCausalLM.from_config(self.config(), dtype=self.place.dtype)
        if adapters:
            model = loading.fold(model, adapters) if self.place.exact else loading.attach(model, adapters, self.place)
        model.eval().requires_grad_(False)
        folded = bool(adapters) and self.place.exact
        loading._resident["model"] = loading.Loaded(ref, self.place, model, self.tokenizer, folded)
        self.peak()
        return ref

    def clear(self) -> float | None:
        """Give the memory back; return the GiB that are still in use, None on a CPU."""
        loading.forget()
        gc.collect()
        if self.place.device.type != "cuda":
            return None
        torch.cuda.empty_cache()
        return torch.cuda.memory_allocated() / GIB

    def peak(self) -> float | None:
        """Return the most memory in use since this was last asked or the model was made, in GiB."""
        if self.place.device.type != "cuda":
            return None
        torch.cuda.synchronize()
        most = torch.cuda.max_memory_allocated() / GIB
        torch.cuda.reset_peak_memory_stats()
        return most

    def add(self, stage: Stage) -> Stage:
        """Keep a stage and say on stderr how far things are."""
        self.stages.append(stage)
        print(f"{time.perf_counter() - self.began:5.0f} s  {stage.name}: {1000 * stage.mean:.1f} ms", file=sys.stderr)
        return stage

    def late(self, what: str, share: float) -> bool:
        """Whether more than a share of the time has passed; then ``what`` is left out, and said to be."""
        passed = (time.perf_counter() - self.began) / 60
        if passed < share * self.minutes:
            return False
        self.notes.append(f"{what} was not measured: {passed:.1f} of {self.minutes:g} minutes had passed")
        return True


# --- texts -----------------------------------------------------------------------------------------


def words(count: int, number: int) -> str:
    """Return ``count`` ASCII letters, one token each, that begin with ``number`` written in letters."""
    return "".join(chr(97 + (number // 26 ** min(place, 4) + place) % 26) for place in range(count))


def prompt(bench: Bench, tokens: int, number: int) -> tuple[Message, ...]:
    """Return messages that make a prompt of so many tokens."""
    made = (Message(role="system", content="S"), Message(role="user", content="U"))
    around = len(prompt_ids(bench.tokenizer, made)) - 1
    return (made[0], Message(role="user", content=words(tokens - around, number)))
