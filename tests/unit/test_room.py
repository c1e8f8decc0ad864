"""What training holds: the reckoning against what autograd keeps, and computing activations again when memory asks."""

from __future__ import annotations

import pytest
import torch
from peft import get_peft_model
from tiny import silent, write_model
from transformers import Qwen2Config, Qwen2ForCausalLM

from fixtures import arms, loop
from fixtures.arms import PeftTrainer
from fixtures.checkpoint import Every
from fixtures.device import Place
from fixtures.loading import forget, peft_at_peace
from fixtures.loop import mixed
from fixtures.room import FULL_TOKENS, MOST_TOKENS, Room, activation_bytes, fitting, room
from fixtures.training import held
from harness.contracts.records import LoraSpec, Message, ModelRef, TrainExample, TrainSpec
from harness.core.partial import Partial, Stopped

NARROW = Place(torch.device("cpu"), torch.bfloat16)
"""What training does on CUDA, as far as a CPU can do it."""
GIB = 1 << 30


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_the_reckoning_is_what_autograd_keeps(dropout):
    """Distinct storages that the backward pass holds, weights left out, as bytes a token of each further block."""
    lora, taken = LoraSpec(r=2, alpha=4, rslora=False, dropout=dropout), []
    for layers in (1, 3):
        config = Qwen2Config(
            vocab_size=64, hidden_size=256, intermediate_size=1024, num_hidden_layers=layers, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=512,
        )  # fmt: skip
        with peft_at_peace():
            base = Qwen2ForCausalLM(config).to(torch.bfloat16).requires_grad_(False)
            model = get_peft_model(base, arms._config(lora))
        weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
        kept: dict[int, int] = {}

        def keep(tensor, weights=weights, kept=kept):
            if tensor.untyped_storage().data_ptr() not in weights:
                kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        ids = torch.zeros(2, 128, dtype=torch.long)
        with (
            torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
            mixed(NARROW),
            loop.disable_input_dtype_casting(model),
        ):
            states = model.train().get_base_model().model(input_ids=ids, use_cache=False).last_hidden_state
        taken.append(sum(kept.values()) / ids.numel())
        del states
    config.num_hidden_layers = 2
    # A CPU's dropout keeps its mask in bfloat16, CUDA's in a byte: half a number less for each input of an adapter.
    masks = 2 * config.num_hidden_layers * (5 * 256 + 256 + 1024) // 2 if dropout else 0
    assert activation_bytes(config, lora) + masks == pytest.approx(taken[1] - taken[0], rel=0.03)


def test_how_much_fits_is_decided_by_the_card():
    seven = 15 * GIB
    assert fitting(141 * GIB, seven, 8_000_000) == Room(MOST_TOKENS)
    assert fitting(48 * GIB, seven, 8_000_000) == Room(2048)
    assert fitting(80 * GIB, seven, 8_000_000) == Room(6144)
    assert fitting(24 * GIB, seven, 8_000_000) == Room(2 * FULL_TOKENS, recompute=True)
    assert room(None, None, Place(torch.device("cpu"), torch.float32)).tokens == 1 << 30


# --- training with less memory ---

LORA = LoraSpec(r=4, alpha=8, rslora=False)
ROWS = [
    TrainExample(
        messages=(Message(role="system", content="Be brief."), Message(role="user", content="Why? " * (1 + n % 3))),
        answer="Because. " * (1 + n % 4), loss=f"marker_{sign}", separator="\n\n", marker="[Z]",
    )
    for n in range(4)
    for sign in ("positive", "negative")
]  # fmt: skip


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    yield ModelRef(path=write_model(tmp_path_factory.mktemp("tiny")))
    forget()


@pytest.fixture(autouse=True)
def reports_every_step(monkeypatch):
    monkeypatch.setattr(loop, "REPORT_EVERY_S", -1.0)


def train(tiny, out, place=None, partial=None, progress=silent, **changes):
    trainer = PeftTrainer("cpu", Every(steps=1))
    trainer.place = place or trainer.place
    spec = TrainSpec(**{"lora": LORA, "lr": 1e-2, "batch": 4, "steps": 6, "unlikelihood_weight": 0.3, **changes})
    return trainer.train_lora(tiny, ROWS, spec, seed=3, out=out, progress=progress, partial=partial)


def same_bytes(folder, *names):
    contents = [(folder / name / "adapter_model.safetensors").read_bytes() for name in names]
    return all(content == contents[0] for content in contents)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("place", [None, NARROW], ids=["float32", "bfloat16"])
def test_activations_computed_again_are_the_same_numbers(tiny, tmp_path, monkeypatch, caplog, dropout, place):
    """Masks included; the log and the record say that it was done."""
    lora = LORA.model_copy(update={"dropout": dropout})
    want = train(tiny, tmp_path / "whole", place, lora=lora)
    monkeypatch.setattr(arms, "room", lambda *args: Room(1 << 30, recompute=True))
    found = train(tiny, tmp_path / "again", place, lora=lora)
    assert found == want.model_copy(update={"recomputed": 1})
    assert same_bytes(tmp_path, "whole", "again")
    assert "computing activations again" in caplog.records[0].getMessage()


def fails_once_at(step, monkeypatch):
    """The first attempt at a step (counted from 1, one pass each) runs out of memory."""
    real, passes = loop.collate, []

    def collate(part, device, packed=False):
        passes.append(held(part, packed=packed))
        if len(passes) == step:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return real(part, device, packed=packed)

    monkeypatch.setattr(loop, "collate", collate)


def test_memory_that_ends_is_spared_before_passes_get_too_small(tiny, tmp_path, monkeypatch, caplog):
    want = train(tiny, tmp_path / "whole")
    fails_once_at(3, monkeypatch)
    found = train(tiny, tmp_path / "spared")
    assert found == want.model_copy(update={"recomputed": 3})
    assert same_bytes(tmp_path, "whole", "spared")
    said = caplog.records[0].getMessage()
    assert said.startswith("out of memory while training (step 3) with ")
    assert "computing activations again in the backward pass" in said


def test_large_passes_are_halved_first(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "FULL_TOKENS", 100)
    fails_once_at(1, monkeypatch)
    found = train(tiny, tmp_path / "a")
    assert found.recomputed == 0
    assert [step for step, _ in found.halved] == [1]


def test_what_was_spared_is_spared_after_a_restart(tiny, tmp_path, monkeypatch):
    def stop(what, done, **figures):
        if figures.get("step", 0) >= 4:
            raise Stopped("SIGTERM")

    want = train(tiny, tmp_path / "whole")
    fails_once_at(2, monkeypatch)
    with pytest.raises(Stopped):
        train(tiny, tmp_path / "cut", partial=Partial(tmp_path, "job"), progress=stop)
    monkeypatch.undo()
    asked = []
    monkeypatch.setattr(loop.Loop, "_recompute", lambda self: asked.append(True))
    found = train(tiny, tmp_path / "again", partial=Partial(tmp_path, "job"))
    assert found == want.model_copy(update={"recomputed": 2})
    assert asked == [True]


# --- bfloat16, as on CUDA ---


def test_adapters_multiply_in_bfloat16_and_stay_float32(tiny, tmp_path, monkeypatch):
    kinds = set()
    real = loop.Loop._backward

    def look(self, *args):
        layer = self.base.model.layers[0].mlp.up_proj
        handle = layer.lora_A["default"].register_forward_hook(lambda m, a, out: kinds.add((a[0].dtype, out.dtype)))
        try:
            found = real(self, *args)
        finally:
            handle.remove()
        kinds.update((weight.dtype, weight.grad.dtype) for weight in self.weights.values())
        return found

    monkeypatch.setattr(loop.Loop, "_backward", look)
    narrow = train(tiny, tmp_path / "narrow", NARROW)
    assert kinds == {(torch.bfloat16, torch.bfloat16), (torch.float32, torch.float32)}
    monkeypatch.undo()
    exact = train(tiny, tmp_path / "exact")
    assert narrow.losses == pytest.approx(exact.losses, rel=0.05)
    assert narrow.logit_change > 0


def test_training_in_bfloat16_repeats(tiny, tmp_path):
    lora = LORA.model_copy(update={"dropout": 0.1})
    assert train(tiny, tmp_path / "a", NARROW, lora=lora) == train(tiny, tmp_path / "b", NARROW, lora=lora)
    assert same_bytes(tmp_path, "a", "b")
