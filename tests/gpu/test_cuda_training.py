"""Training on CUDA: packed rows, the loss in pieces, activations computed again, and what --fast trades.

These need a device: ``pytest tests/gpu``. Without one they are skipped and count for nothing; the same functions run
on a CPU in ``tests/unit/test_packing.py``, ``test_judging.py`` and ``test_room.py``.
"""

import sys
from functools import partial
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from cuda_held import held
from test_judging import judged
from tiny import silent, write_model
from transformers import Qwen2Config, Qwen2ForCausalLM

from fixtures import arms, packing
from fixtures.arms import PeftTrainer
from fixtures.judging import LOGITS, batch_loss, loss_in_pieces
from fixtures.loading import forget
from fixtures.loop import Loop
from fixtures.packing import attending_by_row, packable
from fixtures.room import Room
from fixtures.training import Row, collate, scale_of, summed_loss
from harness.contracts.records import LoraSpec, Message, ModelRef, TrainExample, TrainSpec

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no working CUDA device"),
]
CUDA = torch.device("cuda")
LENGTHS = (170, 30, 290, 80)
EXAMPLES = [
    TrainExample(
        messages=(Message(role="system", content="Be brief."), Message(role="user", content="Why? " * (1 + n % 7))),
        answer="Because. " * (1 + n % 5),
    )
    for n in range(12)
]


@pytest.fixture
def tiny(tmp_path):
    yield ModelRef(path=write_model(tmp_path / "tiny"))
    forget()
    assert held() < 1 << 15


@pytest.fixture
def model():
    """Heads of 64, as the flash kernels take them; bfloat16."""
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=512, hidden_size=256, intermediate_size=512, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=1024,
    )  # fmt: skip
    made = Qwen2ForCausalLM(config).to(CUDA, torch.bfloat16).eval().requires_grad_(False)
    for layer in made.model.layers:
        layer.self_attn.q_proj.weight.requires_grad_()
        layer.mlp.down_proj.weight.requires_grad_()
    return made


def rows_of(lengths):
    drawn = torch.Generator().manual_seed(0)
    rows = []
    for length in lengths:
        row = Row(torch.randint(0, 500, (length,), generator=drawn).tolist())
        for spot in range(length):
            row.ask(spot, (7 * spot + length) % 500, 1.0, unlikely=spot % 4 == 2)
        rows.append(row)
    return rows


def gradients(model, rows, packed):
    model.zero_grad()
    with attending_by_row(model):
        loss = batch_loss(model, collate(rows, CUDA, packed=packed), scale_of(rows), 1 << 30)
    loss.backward()
    return float(loss.detach()), [weight.grad.float() for weight in model.parameters() if weight.requires_grad]


def test_packed_rows_have_the_gradient_of_padded_ones(model):
    assert packable(model)
    rows = rows_of(LENGTHS)
    (want, theirs), (found, ours) = gradients(model, rows, False), gradients(model, rows, True)
    assert found == pytest.approx(want, rel=1e-3)
    for mine, other in zip(ours, theirs, strict=True):
        assert (mine - other).norm() < 0.02 * other.norm()


def test_packed_rows_do_not_see_each_other(model):
    def states(first):
        batch = collate([first, *rows_of(LENGTHS)[1:]], CUDA, packed=True)
        with torch.no_grad(), attending_by_row(model):
            return model.model(input_ids=batch.ids, use_cache=False, **batch.beside).last_hidden_state[0, LENGTHS[0] :]

    before, other = rows_of(LENGTHS)[0], rows_of(LENGTHS)[0]
    other.ids = [(token + 91) % 500 for token in other.ids]
    assert torch.equal(states(before), states(other))


def test_a_wide_vocabulary_is_judged_in_pieces_in_bounded_memory():
    """Values and gradients of the plain way, and no more beside them than a piece takes."""
    positions, width, vocabulary = 2048, 512, 152064
    head = torch.nn.Linear(width, vocabulary, bias=False, device=CUDA, dtype=torch.bfloat16).requires_grad_(False)
    batch = judged(positions, vocabulary)
    for name in ("flat", "labels", "weights", "unlikely"):
        object.__setattr__(batch, name, getattr(batch, name).to(CUDA))
    hidden = torch.randn(positions, width, device=CUDA, dtype=torch.bfloat16)
    found, peaks = {}, {}
    for name in ("pieces", "plain"):
        states = hidden.clone().requires_grad_()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        if name == "plain":
            loss = summed_loss(head(states), batch) / positions
        else:
            loss = loss_in_pieces(states, head, batch, float(positions), LOGITS["cuda"] // vocabulary)
        loss.backward()
        peaks[name] = torch.cuda.max_memory_allocated() - before
        found[name] = (float(loss.detach()), states.grad.float())
    assert found["pieces"][0] == pytest.approx(found["plain"][0], rel=1e-4)
    assert (found["pieces"][1] - found["plain"][1]).norm() < 0.01 * found["plain"][1].norm()
    assert peaks["pieces"] < 0.7 * peaks["plain"]


def train(tiny, out, fast=False, **changes):
    lora = LoraSpec(r=4, alpha=8, rslora=False, dropout=0.1)
    spec = TrainSpec(**{"lora": lora, "lr": 1e-2, "batch": 4, "steps": 6, **changes})
    return PeftTrainer("cuda", fast=fast).train_lora(tiny, EXAMPLES, spec, seed=2, out=out, progress=silent)


@pytest.fixture
def launched(monkeypatch):
    """Nothing is recorded."""
    monkeypatch.setattr(arms, "Loop", partial(Loop, recorded=False))


def same_bytes(folder, *names):
    contents = [(folder / name / "adapter_model.safetensors").read_bytes() for name in names]
    return all(content == contents[0] for content in contents)


def test_packed_training_repeats(tiny, tmp_path, launched, monkeypatch):
    monkeypatch.setitem(packing.ABOVE, "cuda", 0.0)
    first = train(tiny, tmp_path / "a")
    assert first.packed == 6
    assert train(tiny, tmp_path / "b") == first
    assert same_bytes(tmp_path, "a", "b")


def test_activations_computed_again_are_the_same_numbers(tiny, tmp_path, launched, monkeypatch):
    want = train(tiny, tmp_path / "whole")
    monkeypatch.setattr(arms, "room", lambda *args: Room(8192, recompute=True))
    found = train(tiny, tmp_path / "again")
    assert found == want.model_copy(update={"recomputed": 1})
    assert same_bytes(tmp_path, "whole", "again")


def test_computing_again_leaves_less_in_memory(model):
    """With activations kept, blocks leave theirs; computed again, only what goes into each block."""
    rows, peaks = rows_of((1000, 990, 980, 970)), []
    model.train()
    for again in (False, True):
        if again:
            enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
            enable({"use_reentrant": False})
        gradients(model, rows, False)
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        gradients(model, rows, False)
        peaks.append(torch.cuda.max_memory_allocated() - before)
    assert peaks[1] < peaks[0]


def test_fast_training_learns_the_same(tiny, tmp_path):
    want, found = train(tiny, tmp_path / "usual"), train(tiny, tmp_path / "fast", fast=True)
    assert found.losses == pytest.approx(want.losses, rel=0.05)
    assert not torch.backends.cuda.matmul.allow_tf32
