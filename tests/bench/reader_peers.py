"""What users would read hidden states with instead: each peer as a function of no arguments, made once.

Each reads the states of some layers at one position of each text from batches of tokens, and returns float32
[text, layer, hidden], or None where it reads none.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


@dataclass(frozen=True)
class Batch:
    """Texts by index, their tokens [text, token] padded on the right, and the position read in each."""

    rows: tuple[int, ...]
    ids: torch.Tensor
    last: torch.Tensor


Read = Callable[[], NDArray[np.float32] | None]


class _Into:
    """Collects states at the asked positions."""

    def __init__(self, texts: int, layers: Sequence[int], width: int) -> None:
        self.states = np.empty((texts, len(layers), width), dtype=np.float32)
        self.layers = layers

    def put(self, batch: Batch, hidden: Any) -> None:
        """Take in one batch; ``hidden(layer)`` gives its states [text, token, hidden]."""
        for column, layer in enumerate(self.layers):
            here = hidden(layer)[torch.arange(len(batch.rows)), batch.last]
            self.states[list(batch.rows), column] = here.float().cpu().numpy()


def plain(model: Any, tokenizer: Any, batches: Sequence[Batch], layers: Sequence[int], texts: int) -> Read:
    """The model as it comes, asked for all hidden states; its head runs too."""

    def read() -> NDArray[np.float32]:
        into = _Into(texts, layers, model.config.hidden_size)
        for batch in batches:
            into.put(batch, model(batch.ids, output_hidden_states=True, use_cache=False).hidden_states.__getitem__)
        return into.states

    return read


def headless(model: Any, tokenizer: Any, batches: Sequence[Batch], layers: Sequence[int], texts: int) -> Read:
    """The base model asked for all hidden states: for who knows that the head is not needed."""
    return plain(model.model, tokenizer, batches, layers, texts)


def alone(model: Any, tokenizer: Any, batches: Sequence[Batch], layers: Sequence[int], texts: int) -> Read:
    """The base model asked for nothing: what one forward pass costs."""

    def read() -> None:
        for batch in batches:
            model.model(batch.ids, use_cache=False)

    return read


def lens(model: Any, tokenizer: Any, batches: Sequence[Batch], layers: Sequence[int], texts: int) -> Read:
    """TransformerLens 4: a bridge around a copy of the model, only the asked layers cached, stopped at the deepest.

    It runs attention in its own eager way, so that its patterns can be hooked.
    """
    from transformer_lens.model_bridge import TransformerBridge

    with tempfile.TemporaryDirectory() as folder:
        model.config.save_pretrained(folder)
        twin = copy.deepcopy(model)
        twin.config._attn_implementation = "eager"
        bridge = TransformerBridge.boot_transformers(
            folder, hf_model=twin, tokenizer=tokenizer, device=str(model.device), dtype=model.dtype
        )
    names = {layer: f"blocks.{layer - 1}.hook_resid_post" for layer in layers}

    def read() -> NDArray[np.float32]:
        into = _Into(texts, layers, model.config.hidden_size)
        for batch in batches:
            _, cache = bridge.run_with_cache(
                batch.ids, names_filter=list(names.values()), stop_at_layer=max(layers), return_type=None
            )
            into.put(batch, lambda layer, cache=cache: cache[names[layer]])
        return into.states

    return read


def traced(model: Any, tokenizer: Any, batches: Sequence[Batch], layers: Sequence[int], texts: int) -> Read:
    """nnsight: a trace that saves the asked layers' outputs and stops behind the deepest."""
    from nnsight import LanguageModel

    wrapped = LanguageModel(model, tokenizer=tokenizer)

    def read() -> NDArray[np.float32]:
        into = _Into(texts, layers, model.config.hidden_size)
        for batch in batches:
            states: dict[int, Any] = {}
            with wrapped.trace(batch.ids, use_cache=False) as tracer:
                for layer in sorted(layers):
                    states[layer] = wrapped.model.layers[layer - 1].output.save()
                tracer.stop()
            into.put(batch, states.__getitem__)
        return into.states

    return read


PEERS = {
    "AutoModelForCausalLM(output_hidden_states=True)": plain,
    "base model (output_hidden_states=True)": headless,
    "base model alone": alone,
    "TransformerLens": lens,
    "nnsight": traced,
}
