"""Fused adapters and norms: values and gradients of PEFT's and transformers' own."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny import silent, write_model
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import AutoModelForCausalLM

from fixtures import arms, fusing
from fixtures.arms import PeftTrainer
from fixtures.fusing import fused
from fixtures.loading import forget, peft_at_peace
from harness.contracts.records import LoraSpec, Message, ModelRef, TrainExample, TrainSpec

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
IDS = torch.arange(36).view(3, 12) * 5 % 250


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    yield write_model(tmp_path_factory.mktemp("tiny"))
    forget()


def adapted(path, dropout=0.0, **options):
    model = AutoModelForCausalLM.from_pretrained(path).requires_grad_(False)
    settings = LoraConfig(r=4, lora_alpha=12, lora_dropout=dropout, target_modules=TARGETS, use_rslora=True, **options)
    with peft_at_peace():
        made = get_peft_model(model, settings)
    torch.manual_seed(1)
    for name, weight in made.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    return made


def gradients(model):
    model.zero_grad()
    logits = model(input_ids=IDS, use_cache=False).logits
    logits.square().mean().backward()
    return logits.detach(), {
        name: weight.grad.clone() for name, weight in model.named_parameters() if weight.requires_grad
    }


def test_values_and_gradients_are_those_of_peft(path):
    model = adapted(path).train()
    want, theirs = gradients(model)
    with fused(model) as count:
        assert count == 2 * len(TARGETS) + 5  # two blocks, two norms in each, one at the end
        found, ours = gradients(model)
    assert (found - want).abs().max() < 1e-5 * want.abs().max()
    assert len(ours) == 4 * len(TARGETS)
    for name, other in theirs.items():
        assert (ours[name] - other).norm() < 2e-5 * other.norm(), name
    again, _ = gradients(model)
    assert torch.equal(again, want)  # nothing is left behind


def test_dropout_masks_are_those_that_were_drawn(path, monkeypatch):
    """PEFT's own dropout is handed the masks that the fused way drew, and the gradients are the same."""
    model = adapted(path, dropout=0.4).train()
    masks = []

    def drawn(x, p, train):
        kept = torch.rand(x.shape) > p
        masks.append(kept)
        return x * kept / (1 - p), kept

    monkeypatch.setattr(torch, "native_dropout", drawn)
    with fused(model):
        found, ours = gradients(model)
    turn = iter(masks)
    monkeypatch.setattr(
        torch.nn.Dropout, "forward", lambda self, x: x * next(turn).view(x.shape) / (1 - self.p) if self.p else x
    )
    want, theirs = gradients(model)
    assert next(turn, None) is None
    assert len(masks) == 2 * len(TARGETS)
    assert (found - want).abs().max() < 1e-5 * want.abs().max()
    for name, other in theirs.items():
        assert (ours[name] - other).norm() < 2e-5 * other.norm(), name


def test_dropout_is_off_outside_training(path):
    model = adapted(path, dropout=0.4).eval()
    with torch.no_grad():
        want = model(input_ids=IDS).logits
        with fused(model):
            found = model(input_ids=IDS).logits
    assert (found - want).abs().max() < 1e-5 * want.abs().max()


def test_stacked_adapters_add_up_when_nothing_is_learnt(path):
    model = adapted(path)
    with peft_at_peace():
        model.add_adapter("other", LoraConfig(r=2, lora_alpha=2, target_modules=["q_proj", "down_proj"]))
    for name, weight in model.named_parameters():
        if "lora_B.other" in name:
            torch.nn.init.normal_(weight, std=0.3)
    with torch.no_grad():
        alone = model(input_ids=IDS).logits
        model.base_model.set_adapter(["default", "other"])
        want = model(input_ids=IDS).logits
        with fused(model):
            found = model(input_ids=IDS).logits
    assert (want - alone).abs().max() > 0.1
    assert (found - want).abs().max() < 1e-5 * want.abs().max()


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_autocast_decides_the_number_format_whatever_comes_in(dropout):
    """A layer norm hands on float32 under autocast; PEFT's own layer multiplies that in bfloat16 too."""
    torch.manual_seed(2)
    layer = torch.nn.Linear(8, 6).to(torch.bfloat16).requires_grad_(False)
    x = torch.randn(3, 5, 8, requires_grad=True)
    first, second = (torch.randn(shape, requires_grad=True) for shape in ((2, 8), (6, 2)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.manual_seed(3)
        found = fusing._Adapt.apply(x, layer, first, second, 0.5, dropout)
        ours = torch.autograd.grad(found.float().square().mean(), (x, first, second))
        torch.manual_seed(3)
        kept = x.to(torch.bfloat16)
        if dropout:
            kept = torch.native_dropout(kept.reshape(-1, 8), dropout, True)[0].view(x.shape)
        want = layer(x) + 0.5 * torch.nn.functional.linear(torch.nn.functional.linear(kept, first), second)
        theirs = torch.autograd.grad(want.float().square().mean(), (x, first, second))
    assert found.dtype == want.dtype == torch.bfloat16
    assert (found - want).abs().max() <= 0.02 * want.abs().max()
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.dtype == other.dtype == torch.float32
        assert (mine - other).norm() < 0.02 * other.norm()


@pytest.fixture
def autocast_on_cuda():
    """What ``torch.autocast("cuda")`` switches on, which without a device it only warns of."""
    before = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
    torch.set_autocast_enabled("cuda", True)
    torch.set_autocast_dtype("cuda", torch.bfloat16)
    yield
    torch.set_autocast_enabled("cuda", before[0])
    torch.set_autocast_dtype("cuda", before[1])


def test_on_cuda_a_norm_keeps_the_number_format(path, autocast_on_cuda):
    """Newer torch has CUDA's autocast turn it into float32. Tensors without memory find that out without a device."""
    model = adapted(path).to(torch.bfloat16)
    norm = model.get_base_model().model.layers[0].input_layernorm
    with fused(model), FakeTensorMode(allow_non_fake_inputs=True):
        states, weight = (
            torch.empty(*shape, norm.weight.numel(), dtype=torch.bfloat16, device="cuda") for shape in ((2, 4), ())
        )
        found = torch.func.functional_call(norm, {"weight": weight}, states)
        assert torch.is_autocast_enabled("cuda")
    assert (found.dtype, found.device.type) == (torch.bfloat16, "cuda")


def test_what_is_not_plain_lora_is_left_alone(path):
    with fused(adapted(path, use_dora=True)) as count:
        assert count == 5
    model = adapted(path)
    with fused(model, wanted=False) as count:
        assert count == 0
    with model.disable_adapter(), fused(model) as count:
        assert count == 5


def test_another_norm_is_left_alone(path):
    model = AutoModelForCausalLM.from_pretrained(path)
    usual = type(model.model.norm).forward
    model.model.norm.forward = lambda x: 1.01 * usual(model.model.norm, x)
    assert not fusing._is_rms_norm(model.model.norm)
    assert fusing._is_rms_norm(model.model.layers[0].input_layernorm)


def test_training_with_it_learns_the_same(path, tmp_path, monkeypatch):
    rows = [
        TrainExample(messages=(Message(role="user", content="Why? " * n),), answer="Because. " * (1 + n % 3))
        for n in range(1, 9)
    ]
    spec = TrainSpec(lora=LoraSpec(r=4, alpha=8, rslora=False), lr=1e-2, batch=4, steps=8)
    logs = []
    for wanted in (False, True):
        monkeypatch.setattr(arms, "FUSED", {"cpu": wanted})
        logs.append(
            PeftTrainer("cpu").train_lora(
                ModelRef(path=path), rows, spec, seed=2, out=tmp_path / str(wanted), progress=silent
            )
        )
    assert logs[1].losses == pytest.approx(logs[0].losses, rel=1e-4)
    assert logs[1].losses[-1] < logs[1].losses[0]
    assert logs[1].logit_change == pytest.approx(logs[0].logit_change, rel=1e-3)
