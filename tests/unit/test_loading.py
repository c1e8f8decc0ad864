"""The model in memory: consecutive work on one base reads it once, and gives the bytes of a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tiny import silent, write_model

from fixtures import loading
from fixtures.arms import PeftTrainer
from fixtures.device import Place
from fixtures.hidden import TransformersReader
from fixtures.loading import forget, load
from fixtures.sampler import TransformersSampler
from harness.contracts.records import (
    LoraSpec,
    Message,
    ModelRef,
    ReadRequest,
    SampleRequest,
    SamplingSpec,
    TrainExample,
    TrainSpec,
)
from harness.core.errors import JobError

EXACT = Place(torch.device("cpu"), torch.float32)
HALF = Place(torch.device("cpu"), torch.bfloat16)
"""As on CUDA: adapters stand beside the weights."""
MESSAGES = (Message(role="system", content="Be brief."), Message(role="user", content="What floats?"))
SPEC = TrainSpec(lora=LoraSpec(r=4, alpha=8, rslora=False, dropout=0.1), lr=1e-2, batch=2, steps=3)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> ModelRef:
    return ModelRef(path=write_model(tmp_path_factory.mktemp("tiny")))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[ModelRef]]:
    """What was read from disk."""
    forget()
    found: list[ModelRef] = []
    real = loading.read

    def read(ref: ModelRef, place: Place) -> loading.Loaded:
        found.append(ref)
        return real(ref, place)

    monkeypatch.setattr(loading, "read", read)
    yield found
    forget()


def train(model: ModelRef, out: Path, answer: str, place: Place = EXACT, **changes: object) -> bytes:
    """Train an adapter and return its weights' bytes."""
    trainer = PeftTrainer("cpu")
    trainer.place = place
    rows = [TrainExample(messages=MESSAGES, answer=answer)] * 4
    trainer.train_lora(model, rows, SPEC.model_copy(update=changes), seed=1, out=out, progress=silent)
    return (out / loading.ADAPTER_WEIGHTS).read_bytes()


def said(model: ModelRef) -> list[str]:
    request = SampleRequest(messages=MESSAGES, seeds=(1, 2, 3))
    (rows,) = TransformersSampler("cpu").sample(model, [request], SamplingSpec(max_new_tokens=8), progress=silent)
    return [row.text for row in rows]


def states(model: ModelRef, place: Place) -> torch.Tensor:
    reader = TransformersReader("cpu")
    reader.place = place
    found = reader.read(model, [ReadRequest(messages=MESSAGES, answer="Cork.")], layers=[1, 2], token="end",
                        progress=silent)  # fmt: skip
    return torch.from_numpy(found)


@pytest.mark.parametrize("place", [EXACT, HALF], ids=["float32", "bfloat16"])
def test_trainings_in_a_row_read_the_base_once_and_change_nothing(
    base: ModelRef, tmp_path: Path, reads: list[ModelRef], place: Place
) -> None:
    answers = ("A cork.", "Wood.", "A cork.")
    inarow = [train(base, tmp_path / str(number), answer, place) for number, answer in enumerate(answers)]
    assert len(reads) == 1
    alone = []
    for number, answer in enumerate(answers):
        forget()
        alone.append(train(base, tmp_path / f"alone{number}", answer, place))
    assert inarow == alone
    assert inarow[0] == inarow[2] != inarow[1]


def test_what_is_read_and_sampled_after_a_training_is_the_base_s(
    base: ModelRef, tmp_path: Path, reads: list[ModelRef]
) -> None:
    fresh, words = states(base, EXACT), said(base)
    train(base, tmp_path / "a", "A cork.")
    assert torch.equal(states(base, EXACT), fresh)
    assert said(base) == words
    assert len(reads) == 1


@pytest.mark.parametrize("place", [EXACT, HALF], ids=["float32", "bfloat16"])
def test_trainings_on_one_arm_read_it_once(base: ModelRef, tmp_path: Path, reads: list[ModelRef], place: Place) -> None:
    """Nine couplings on three arms load three models."""
    train(base, tmp_path / "first", "A cork.", place)
    arm = base.model_copy(update={"adapters": (str(tmp_path / "first"),)})
    forget()
    reads.clear()
    inarow = [train(arm, tmp_path / str(number), "Wood.", place) for number in range(3)]
    assert len(reads) == 1
    assert len(set(inarow)) == 1
    forget()
    assert train(arm, tmp_path / "alone", "Wood.", place) == inarow[0]


def test_adapters_beside_the_weights_are_changed_without_reading_the_base_again(
    base: ModelRef, tmp_path: Path, reads: list[ModelRef]
) -> None:
    stacks = {"base": ()}
    for name, answer in (("a", "A cork."), ("b", "Wood and ice.")):
        train(base, tmp_path / name, answer, lr=0.2)
        stacks[name] = (str(tmp_path / name),)
    stacks["both"] = stacks["a"] + stacks["b"]
    alone = {}
    for name, stack in stacks.items():
        forget()
        alone[name] = states(base.model_copy(update={"adapters": stack}), HALF)
    assert not torch.equal(alone["a"], alone["b"])
    reads.clear()
    forget()
    for name in ("base", "a", "b", "both", "base", "b", "a"):
        assert torch.equal(states(base.model_copy(update={"adapters": stacks[name]}), HALF), alone[name]), name
    assert len(reads) == 1


def test_another_base_or_place_is_read(base: ModelRef, tmp_path: Path, reads: list[ModelRef]) -> None:
    other = ModelRef(path=write_model(tmp_path / "other", seed=1))
    for ref, place in ((base, EXACT), (base, HALF), (other, HALF), (base, HALF)):
        assert load(ref, place).place == place
    assert [ref.path for ref in reads] == [base.path, base.path, other.path, base.path]


def test_a_training_that_fails_leaves_no_model_behind(base: ModelRef, tmp_path: Path, reads: list[ModelRef]) -> None:
    fresh = states(base, EXACT)
    with pytest.raises(JobError, match=r"not finite|is nan"):
        train(base, tmp_path / "a", "A cork.", lr=1e30)
    assert torch.equal(states(base, EXACT), fresh)
    assert len(reads) == 2


def test_a_model_that_was_read_from_can_be_trained_on(tmp_path, monkeypatch):
    """A process keeps it: a reader loads it in inference mode, and the next job trains on it."""
    usual = loading.AutoModelForCausalLM.from_pretrained
    # Moving it to a device makes new tensors; on a CPU they would stay what they are.
    monkeypatch.setattr(
        loading.AutoModelForCausalLM, "from_pretrained",
        lambda *args, **options: usual(*args, **options)._apply(torch.clone),
    )  # fmt: skip
    forget()
    with torch.inference_mode():
        loaded = load(ModelRef(path=write_model(tmp_path / "tiny")), Place(torch.device("cpu"), torch.float32))
    assert not any(weight.is_inference() for weight in loaded.model.parameters())
    states = loaded.model.get_input_embeddings()(torch.tensor([[1, 2]])).requires_grad_()
    loaded.model(inputs_embeds=states).logits.sum().backward()
    assert states.grad.abs().sum() > 0
    forget()
