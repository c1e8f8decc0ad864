"""Packed rows: the gradient of padded ones, no row that sees another, and the choice between the two."""

from __future__ import annotations

import pytest
import torch
from tiny import partly_trained, silent, write_model

from fixtures import loop, packing
from fixtures.arms import PeftTrainer
from fixtures.judging import batch_loss, logits_at
from fixtures.loading import forget
from fixtures.packing import attending_by_row, packable, padding, places, restarting
from fixtures.training import Row, collate, held, micro_batches, scale_of
from harness.contracts.records import LoraSpec, Message, ModelRef, TrainExample, TrainSpec

CPU = torch.device("cpu")
LENGTHS = (17, 3, 29, 8)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    yield write_model(tmp_path_factory.mktemp("tiny"))
    forget()


@pytest.fixture
def model(path):
    return partly_trained(path)


def rows_of(lengths, seed=0):
    drawn = torch.Generator().manual_seed(seed)
    rows = []
    for length in lengths:
        row = Row(torch.randint(0, 250, (length,), generator=drawn).tolist())
        for spot in range(length):
            row.ask(spot, (7 * spot + length) % 250, 0.5 + spot % 3, unlikely=spot % 4 == 2)
        rows.append(row)
    return rows


def gradients(model, rows, packed):
    model.zero_grad()
    with attending_by_row(model):
        loss = batch_loss(model, collate(rows, CPU, packed=packed), scale_of(rows), 1 << 30)
    loss.backward()
    return float(loss.detach()), [weight.grad.clone() for weight in model.parameters() if weight.requires_grad]


def test_the_gradient_is_that_of_padded_rows(model):
    rows = rows_of(LENGTHS)
    (want, theirs), (found, ours) = gradients(model, rows, False), gradients(model, rows, True)
    assert found == pytest.approx(want, rel=1e-6)
    for mine, other in zip(ours, theirs, strict=True):
        assert other.abs().max() > 0
        assert (mine - other).abs().max() < 1e-5 * other.abs().max()


def losses_by_row(model, rows):
    """Each row's loss, from one packed pass."""
    batch = collate(rows, CPU, packed=True)
    with torch.no_grad(), attending_by_row(model), logits_at(model, batch.flat):
        logs = model(input_ids=batch.ids, use_cache=False, **batch.beside).logits.log_softmax(-1)
    each = -logs.gather(-1, batch.labels[:, None]).squeeze(-1)
    return [part.tolist() for part in each.split([len(row.spots) for row in rows])]


@pytest.mark.parametrize("changed", range(len(LENGTHS)))
def test_a_row_does_not_see_another(model, changed):
    """Other tokens in one row: the losses of all others keep every bit, its own change."""
    before = losses_by_row(model, rows_of(LENGTHS))
    rows = rows_of(LENGTHS)
    rows[changed].ids = [(token + 91) % 250 for token in rows[changed].ids]
    after = losses_by_row(model, rows)
    assert [mine == other for mine, other in zip(after, before, strict=True)] == [n != changed for n in range(4)]


def test_no_gradient_reaches_another_row(model):
    """The derivative of one row's hidden states in all embeddings is zero outside that row."""
    lengths = list(LENGTHS)
    inside = torch.randn(1, sum(lengths), model.config.hidden_size, requires_grad=True)
    with attending_by_row(model):
        states = model.model(
            inputs_embeds=inside, position_ids=restarting(lengths), packed_rows=places(lengths, CPU), use_cache=False
        ).last_hidden_state[0]
    for number, part in enumerate(states.split(lengths)):
        (gradient,) = torch.autograd.grad(part.sum(), inside, retain_graph=True)
        reached = [bool(each.abs().max() > 0) for each in gradient[0].split(lengths)]
        assert reached == [other == number for other in range(len(lengths))]


def test_what_is_packed_comes_back_where_it_was():
    at = places(LENGTHS, CPU)
    tokens = torch.randn(sum(LENGTHS), 5, requires_grad=True)
    spread = packing._Spread.apply(tokens, at)
    assert spread.shape == (4 * 29, 5)
    assert torch.equal(spread.view(4, 29, 5)[1, :3], tokens[17:20])
    back = packing._Gather.apply(spread, at)
    assert torch.equal(back, tokens)
    weights = torch.randn_like(back)
    back.backward(weights)
    assert torch.equal(tokens.grad, weights)


def test_positions_begin_again():
    assert restarting([3, 1, 2]).tolist() == [[0, 1, 2, 0, 0, 1]]
    assert padding([4, 4]) == 0
    assert padding([1, 3]) == pytest.approx(1 / 3)


def test_packed_rows_count_without_padding():
    rows = rows_of(LENGTHS)
    assert (held(rows), held(rows, packed=True)) == (4 * 29, 57)
    assert [len(part) for part in micro_batches(rows, 60)] == [2, 2]
    assert [len(part) for part in micro_batches(rows, 60, packed=True)] == [4]
    assert [len(part) for part in micro_batches(rows, 40, packed=True)] == [2, 2]


def test_models_that_cannot_be_packed_are_found_out(model, monkeypatch):
    assert packable(model)
    assert model.config._attn_implementation == "sdpa"  # as it was
    with monkeypatch.context() as patch:
        patch.setattr(model.config, "sliding_window", 16)
        assert not packable(model)
    with monkeypatch.context() as patch:
        patch.setattr(model.config, "_attn_implementation_internal", "eager")
        assert not packable(model)


def test_a_model_that_loses_the_rows_on_the_way_is_not_packed(model, monkeypatch):
    """It would mix rows and say nothing."""
    real = type(model.model.layers[0].self_attn).forward
    monkeypatch.setattr(
        type(model.model.layers[0].self_attn), "forward",
        lambda self, *args, packed_rows=None, **kwargs: real(self, *args, **kwargs),
    )  # fmt: skip
    assert not packable(model)


# --- in training ---

LORA = LoraSpec(r=4, alpha=8, rslora=False)
EXAMPLES = [
    TrainExample(
        messages=(Message(role="system", content="Be brief."), Message(role="user", content="Why? " * (1 + n % 7))),
        answer="Because. " * (1 + n % 5),
    )
    for n in range(12)
]


def train(path, out, **changes):
    spec = TrainSpec(**{"lora": LORA, "lr": 1e-2, "batch": 4, "steps": 6, **changes})
    return PeftTrainer("cpu").train_lora(ModelRef(path=path), EXAMPLES, spec, seed=2, out=out, progress=silent)


def test_training_packs_what_would_be_padded_and_says_so(path, tmp_path, monkeypatch):
    padded = train(path, tmp_path / "padded")
    assert padded.packed == 0  # rows of a batch are of like lengths
    monkeypatch.setitem(packing.ABOVE, "cpu", 0.0)
    packed = train(path, tmp_path / "packed")
    assert packed.packed == 6
    assert packed.tokens == padded.tokens
    assert packed.losses == pytest.approx(padded.losses, rel=1e-4)


def test_packed_training_repeats(path, tmp_path, monkeypatch):
    monkeypatch.setitem(packing.ABOVE, "cpu", 0.0)
    lora = LORA.model_copy(update={"dropout": 0.2})
    assert train(path, tmp_path / "a", lora=lora) == train(path, tmp_path / "b", lora=lora)
    weights = [(tmp_path / name / "adapter_model.safetensors").read_bytes() for name in "ab"]
    assert weights[0] == weights[1]


def test_packed_rows_are_split_where_memory_asks(path, tmp_path, monkeypatch):
    monkeypatch.setitem(packing.ABOVE, "cpu", 0.0)
    want = train(path, tmp_path / "whole")
    real, passes = loop.collate, []

    def small(part, device, packed=False):
        passes.append(held(part, packed=packed))
        if passes[-1] > 200:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(part, device, packed=packed)

    monkeypatch.setattr(loop, "collate", small)
    found = train(path, tmp_path / "small")
    assert found.halved
    assert found.losses == pytest.approx(want.losses, rel=1e-4)
