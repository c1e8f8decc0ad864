"""The loss in pieces: values and gradients of the plain way, bounded memory, and when it is used."""

from __future__ import annotations

import math

import pytest
import torch
from tiny import write_model
from transformers import AutoModelForCausalLM

from fixtures import judging
from fixtures.judging import batch_loss, ends_at_head, logits_at, loss_in_pieces
from fixtures.training import Batch, Row, collate, scale_of, summed_loss

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def model(path):
    made = AutoModelForCausalLM.from_pretrained(path).eval().requires_grad_(False)
    made.model.layers[0].mlp.up_proj.weight.requires_grad_()
    made.model.layers[1].self_attn.k_proj.weight.requires_grad_()
    return made


def judged(positions, vocabulary, seed=0):
    """A batch of which only the judged positions matter, both losses among them."""
    drawn = torch.Generator().manual_seed(seed)
    return Batch(
        ids=torch.zeros(1, positions, dtype=torch.long), flat=torch.arange(positions),
        labels=torch.randint(0, vocabulary, (positions,), generator=drawn),
        weights=torch.rand(positions, generator=drawn) + 0.1,
        unlikely=torch.rand(positions, generator=drawn) < 0.4,
    )  # fmt: skip


@pytest.mark.parametrize("size", [1, 5, 7, 31, 32, 1000])
def test_pieces_add_up_to_the_loss_and_its_gradient_in_float64(size):
    """Against -w log p and -w log(1 - p) written out in float64."""
    batch, scale = judged(32, 97), 3.5
    head = torch.nn.Linear(16, 97, bias=False).requires_grad_(False)
    hidden = torch.randn(32, 16, generator=torch.Generator().manual_seed(1)) * 2
    found = hidden.clone().requires_grad_()
    loss = loss_in_pieces(found, head, batch, scale, size)
    (2 * loss).backward()
    exact = hidden.double().requires_grad_()
    chance = (exact @ head.weight.double().T).softmax(-1).gather(-1, batch.labels[:, None]).squeeze(-1)
    each = -torch.where(batch.unlikely, 1 - chance, chance).log()
    want = (each * batch.weights.double()).sum() / scale
    (2 * want).backward()
    assert float(loss.detach()) == pytest.approx(float(want.detach()), rel=1e-6)
    assert (found.grad - exact.grad).abs().max() < 1e-6 * exact.grad.abs().max()


def test_a_certain_marker_keeps_its_gradient_in_pieces():
    """Where p is 1 in floats, -log(1 - p) is still finite, and still says to leave."""
    head = torch.nn.Linear(3, 5, bias=False).requires_grad_(False)
    with torch.no_grad():
        head.weight.zero_()
        head.weight[2, 0] = 60.0
    batch = Batch(
        ids=torch.zeros(1, 2, dtype=torch.long), flat=torch.arange(2), labels=torch.tensor([2, 2]),
        weights=torch.ones(2), unlikely=torch.tensor([True, True]),
    )  # fmt: skip
    hidden = torch.tensor([[1.0, 0.0, 0.0]] * 2, requires_grad=True)
    loss = loss_in_pieces(hidden, head, batch, 1.0, 1)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(2 * (60 - math.log(4)), rel=1e-5)
    assert hidden.grad[:, 0].tolist() == pytest.approx([60.0, 60.0])


def rows_of(count=5):
    rows = []
    for number in range(count):
        row = Row([(13 * number + 5 * spot) % 250 for spot in range(6 + 4 * number)])
        for spot in range(2, len(row.ids)):
            row.ask(spot, (3 * spot + number) % 250, 0.5 + spot % 2, unlikely=spot % 5 == 3)
        rows.append(row)
    return rows


@pytest.mark.parametrize("most", [259, 259 * 4, 259 * 1000])
def test_a_model_learns_the_same_in_pieces(model, most):
    rows = rows_of()
    batch, found = collate(rows, CPU), {}
    for name, logits in (("plain", 1 << 40), ("pieces", most)):
        model.zero_grad()
        loss = batch_loss(model, batch, scale_of(rows), logits)
        loss.backward()
        found[name] = (float(loss.detach()), [w.grad.clone() for w in model.parameters() if w.requires_grad])
    assert found["pieces"][0] == pytest.approx(found["plain"][0], rel=1e-6)
    for mine, other in zip(found["pieces"][1], found["plain"][1], strict=True):
        assert other.abs().max() > 0
        assert (mine - other).abs().max() < 1e-5 * other.abs().max()


def test_no_more_logits_than_allowed_are_ever_made(model):
    seen = []
    handle = model.lm_head.register_forward_hook(lambda module, args, output: seen.append(output.numel()))
    rows = rows_of()
    batch_loss(model, collate(rows, CPU), 1.0, 259 * 4).backward()
    handle.remove()
    assert max(seen) == 259 * 4
    assert sum(seen) == 259 * sum(len(row.spots) for row in rows)


def test_models_with_more_after_the_output_layer_are_judged_whole(model, monkeypatch):
    assert ends_at_head(model)
    model.lm_head.weight.requires_grad_()
    assert not ends_at_head(model)
    model.lm_head.weight.requires_grad_(False)
    real = type(model).forward

    def capped(self, *args, **kwargs):
        found = real(self, *args, **kwargs)
        found.logits = 30 * torch.tanh(found.logits / 30)
        return found

    monkeypatch.setattr(type(model), "forward", capped)
    assert not ends_at_head(model)
    rows = rows_of()
    batch = collate(rows, CPU)
    with torch.no_grad(), logits_at(model, batch.flat):
        want = summed_loss(model(input_ids=batch.ids, use_cache=False).logits, batch)
    with torch.no_grad():
        assert float(batch_loss(model, batch, 1.0, 259, whole=True)) == pytest.approx(float(want), rel=1e-6)


def test_what_a_rehearsal_judges_is_one_piece():
    """Its bytes are those of the plain way: 16 rows of 160 judged tokens over the embedded model's vocabulary."""
    assert judging.LOGITS["cpu"] > 16 * 160 * 4096
