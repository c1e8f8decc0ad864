"""The arithmetic beside ``bench_gpu_310``: floating-point operations, bytes, the decode loop replayed, jobs priced.

Operations of matrix products only, a multiplication and an addition counted as two. With N the weights that one token
is multiplied with in all blocks, V h the output layer (only at judged positions), and q the width of all query heads:

- reading or prefill of a text of T tokens: 2 N T, and 2 q T² in each block (causal attention, half of the square);
- full training: 6 N T + 6 q T² a block (forward, gradient of the activations, gradient of the weights);
- LoRA training: 4 N T + 6 n T + 6 q T² a block, n being the adapter's weights; frozen weights need no gradient;
- one step of decoding: for each row 2 (N + V h), and 4 q t a block with t tokens held;
- bytes of that step: the weights once, and for each row the keys and values of all t tokens.

What is computed twice or on padding is not counted: utilisation (MFU) is of useful work alone.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from fixtures.flowing import JOIN, PREFILL_TOKENS
from fixtures.stepping import FEWEST_ROWS

BYTES = 2
"""Of one number in bfloat16."""


@dataclass(frozen=True)
class Shape:
    """A decoder of the Qwen2 family: the sizes that decide what it costs."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    intermediate: int
    vocabulary: int

    @property
    def head_dim(self) -> int:
        """Numbers in one attention head."""
        return self.hidden // self.heads

    @property
    def linears(self) -> dict[str, tuple[int, int]]:
        """The matrices of one block: inputs and outputs of each."""
        kv = self.kv_heads * self.head_dim
        up = (self.hidden, self.intermediate)
        return {
            "q_proj": (self.hidden, self.hidden), "k_proj": (self.hidden, kv), "v_proj": (self.hidden, kv),
            "o_proj": (self.hidden, self.hidden), "gate_proj": up, "up_proj": up, "down_proj": up[::-1],
        }  # fmt: skip

    @property
    def block(self) -> int:
        """Weights of one block that a token is multiplied with."""
        return sum(wide * high for wide, high in self.linears.values())

    @property
    def head(self) -> int:
        """Weights of the output layer."""
        return self.vocabulary * self.hidden

    @property
    def kv_bytes(self) -> int:
        """Bytes of one token's keys and values in all blocks."""
        return 2 * self.layers * self.kv_heads * self.head_dim * BYTES

    def lora(self, rank: int) -> int:
        """Weights of an adapter on every matrix of every block."""
        return self.layers * sum(rank * (wide + high) for wide, high in self.linears.values())

    def reading(self, tokens: int, judged: int = 0, depth: int | None = None) -> float:
        """Operations of one text's forward pass through ``depth`` blocks (default: all)."""
        depth = self.layers if depth is None else depth
        return 2 * depth * (self.block * tokens + self.hidden * tokens**2) + 2 * self.head * judged

    def training(self, tokens: int, judged: int, rank: int | None) -> float:
        """Operations of one row's forward and backward pass; ``rank`` None trains all weights."""
        attention = 6 * self.layers * self.hidden * tokens**2
        if rank is None:
            return 6 * (self.layers * self.block * tokens + self.head * judged) + attention
        return 4 * (self.layers * self.block * tokens + self.head * judged) + 6 * self.lora(rank) * tokens + attention

    def step(self, rows: int, held: int) -> float:
        """Operations of one step of decoding with ``held`` tokens in each row's cache."""
        return rows * (2 * (self.layers * self.block + self.head) + 4 * self.layers * self.hidden * held)

    def step_bytes(self, rows: int, held: int) -> float:
        """Bytes that one step of decoding reads at least."""
        return BYTES * (self.layers * self.block + self.head) + rows * held * self.kv_bytes


@dataclass(frozen=True)
class Card:
    """What a device can do at best: operations and bytes in a second."""

    operations: float
    bandwidth: float

    def computing(self, operations: float) -> float:
        """Return the fewest seconds for so many operations."""
        return operations / self.operations

    def decoding(self, shape: Shape, rows: float, held: float) -> float:
        """Return the fewest seconds for one step: computing and reading at the same time."""
        computing = self.computing(shape.step(1, 0) * rows + (shape.step(1, 1) - shape.step(1, 0)) * rows * held)
        return max(computing, (shape.step_bytes(0, 0) + rows * held * shape.kv_bytes) / self.bandwidth)


# --- lengths ---------------------------------------------------------------------------------------


def lengths(count: int, mean: float, spread: float, most: int, seed: int = 0) -> list[int]:
    """Return log-normal token counts with a mean, cut at ``most``: quantiles in an order drawn from ``seed``."""
    normal = NormalDist(math.log(mean) - spread**2 / 2, spread) if spread else None
    drawn = [math.exp(normal.inv_cdf((i + 0.5) / count)) if normal else mean for i in range(count)]
    order = np.random.default_rng(seed).permutation(count)
    return [max(1, min(most, round(drawn[index]))) for index in order]


# --- the decode loop, replayed ---------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One turn of the decode loop: the rows that ran, the tokens they held before it together, and what came before.

    ``came`` are rows that joined in ``passes``, which read ``fresh`` tokens of prompts, filled up to ``FEWEST_ROWS``.
    """

    rows: int
    held: int
    came: int = 0
    passes: int = 0
    fresh: int = 0


def replay(prompts: Sequence[tuple[Any, int]], choices: Sequence[int], rows: int) -> Iterator[Step]:
    """Yield the turns that ``fixtures.flowing`` takes for one shard.

    Args:
        prompts: each completion's prompt (anything that tells prompts apart) and its length in tokens.
        choices: each completion's number of choices, that of the end token included.
        rows: slots.
    """
    waiting = deque(sorted(range(len(prompts)), key=lambda index: (prompts[index][1], index)))
    running: list[tuple[int, int]] = []  # tokens that each row holds, and how many it still chooses
    while waiting or running:
        came = passes = fresh = 0
        while waiting and (not running or rows - len(running) >= min(len(waiting), max(1, rows // JOIN))):
            length, read = prompts[waiting[0]][1], set()
            while waiting and prompts[waiting[0]][1] == length and len(running) < rows:
                prompt = prompts[waiting[0]][0]
                if read and prompt not in read and (len(read) + 1) * length > PREFILL_TOKENS:
                    break
                read.add(prompt)
                running.append((length, choices[waiting.popleft()] - 1))
                came += 1
            passes += 1
            fresh += max(len(read), FEWEST_ROWS) * length
            running = [row for row in running if row[1]]
        yield Step(len(running), sum(held for held, _ in running), came, passes, fresh)
        running = [(held + 1, left - 1) for held, left in running if left > 1]


@dataclass(frozen=True)
class StepTime:
    """Seconds of a turn: ``fixed`` + ``row`` a row + ``token`` for every token held by all rows together.

    Prompts are read in ``once`` a pass + ``prompt`` a token. ``worst`` is the fit's largest relative error at the
    places that were measured.
    """

    fixed: float
    row: float
    token: float
    prompt: float = 0.0
    once: float = 0.0
    worst: float = 0.0

    def __call__(self, rows: int, held: int) -> float:
        filled_up = max(rows, FEWEST_ROWS)
        return self.fixed + self.row * filled_up + self.token * held * filled_up / max(rows, 1)

    @classmethod
    def fit(cls, points: Sequence[tuple[int, int, float]], passes: Sequence[tuple[int, float]] = ()) -> StepTime:
        """Fit (rows, tokens each of them holds, seconds), and passes of (prompt tokens, seconds).

        No coefficient is negative, and of a step's times the relative errors are least squared.
        """
        from scipy.optimize import nnls

        rows, held, seconds = (np.array(column, dtype=float) for column in zip(*points, strict=True))
        design = np.stack([np.ones_like(rows), rows, rows * held], axis=1)
        found, _ = nnls(design / seconds[:, None], np.ones_like(seconds))
        worst = float(np.abs(design @ found / seconds - 1).max())
        fixed, row, token = map(float, found)
        if not passes:
            return cls(fixed, row, token, worst=worst)
        sizes, taken = (np.array(column, dtype=float) for column in zip(*passes, strict=True))
        (once, prompt), _ = nnls(np.stack([np.ones_like(sizes), sizes], axis=1), taken)
        return cls(fixed, row, token, float(prompt), float(once), worst)


def sampling_seconds(turns: Sequence[Step], time: StepTime) -> float:
    """Return the time of replayed turns."""
    steps = sum(time(turn.rows, turn.held) for turn in turns if turn.rows)
    return steps + sum(time.once * turn.passes + time.prompt * turn.fresh for turn in turns)


def sampling_floor(shape: Shape, card: Card, prompts: Sequence[int], new: Sequence[int], rows: int) -> float:
    """Return the fewest seconds when all ``rows`` slots are busy until the end and prompts cost nothing."""
    tokens = sum(new)
    if not tokens:
        return 0.0
    held = sum(n * (p + (n - 1) / 2) for p, n in zip(prompts, new, strict=True)) / tokens
    return tokens / rows * card.decoding(shape, rows, held)
