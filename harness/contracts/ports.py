"""Ports: what kinds may ask of models. Implementations live in ``fixtures/`` and are chosen by the job."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from harness.contracts.records import (
    Completion,
    ModelRef,
    ReadRequest,
    SampleRequest,
    SamplingSpec,
    TrainExample,
    TrainLog,
    TrainSpec,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TokenPosition = Literal["last_content", "end", "last_prompt", "mean_prompt", "mean_response"]
"""Where a hidden state is read. ``last_content`` is the answer's last token before the end token, ``end``
the end token, ``last_prompt`` the prompt's last token (generation prompt included)."""


class Progress(Protocol):
    """Report progress: what is being done, how much of it is done (in [0, 1]), and any figures."""

    def __call__(self, what: str, done: float, **figures: float) -> None:
        """Tell that ``done`` of ``what`` is done."""
        ...


class Trainer(Protocol):
    """Trains and merges LoRA adapters."""

    version: int

    def train_lora(
        self,
        model: ModelRef,
        examples: Sequence[TrainExample],
        spec: TrainSpec,
        *,
        seed: int,
        out: Path,
        progress: Progress,
    ) -> TrainLog:
        """Train an adapter and write it (PEFT, safetensors) to ``out``."""
        ...

    def merge(self, model: ModelRef, *, alpha: float, out: Path) -> None:
        """Write ``model`` with its adapters folded in, scaled by ``alpha``, as a full model to ``out``."""
        ...


class Sampler(Protocol):
    """Draws completions."""

    version: int

    def sample(
        self,
        model: ModelRef,
        requests: Sequence[SampleRequest],
        spec: SamplingSpec,
        *,
        progress: Progress,
    ) -> list[list[Completion]]:
        """Return one list of completions per request, one completion per seed.

        A completion depends on its prompt and seed only, not on what else is in the batch.
        """
        ...


class HiddenReader(Protocol):
    """Reads hidden states."""

    version: int

    def read(
        self,
        model: ModelRef,
        requests: Sequence[ReadRequest],
        *,
        layers: Sequence[int],
        token: TokenPosition,
        progress: Progress,
    ) -> NDArray[np.float32]:
        """Return hidden states of shape [request, layer, hidden].

        ``layers`` index ``hidden_states``: 0 is the embedding and L is the output of block L (counted
        from 1), before the final norm except at the last index, as transformers returns them.
        """
        ...
