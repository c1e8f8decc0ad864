"""Ports: what kinds may ask of models. Implementations live in ``fixtures/`` and are chosen by the job."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from harness.contracts.records import (
    Completion,
    Intervention,
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

    from harness.contracts.resume import Partial

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
        partial: Partial | None = None,
    ) -> TrainLog:
        """Train an adapter and write it (PEFT, safetensors) to ``out``.

        Checkpoints go to ``partial``; with one there, training goes on from it to the same bytes.
        """
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
        known: Mapping[int, list[Completion]] | None = None,
        done: Callable[[Mapping[int, list[Completion]]], None] | None = None,
        interventions: Sequence[Intervention] = (),
    ) -> list[list[Completion]]:
        """Return one list of completions per request, one completion per seed.

        A completion depends on its prompt and seed only, as far as the device's arithmetic allows; where the
        last bits depend on the company that a row runs in, that company is a function of all ``requests``, and
        ``known`` changes nothing about it.

        Args:
            model: the model.
            requests: everything that is wanted, known or not.
            spec: sampling settings.
            progress: how far it is, what is known included.
            known: completions by request index that an earlier call handed to ``done``; not drawn again.
            done: is handed finished requests by index, shard by shard.
            interventions: changes of the model's hidden states, whatever the model and its adapters.

        Raises:
            JobError: among others, where the engine cannot do the interventions.
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
        interventions: Sequence[Intervention] = (),
    ) -> NDArray[np.float32]:
        """Return hidden states of shape [request, layer, hidden], as ``interventions`` leave them.

        ``layers`` index ``hidden_states``: 0 is the embedding and L is the output of block L (counted
        from 1), before the final norm except at the last index, as transformers returns them.
        """
        ...
