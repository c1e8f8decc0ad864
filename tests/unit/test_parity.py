"""Whether an engine that says it serves an adapter does: a stand-in for vLLM that serves what it likes.

The stand-in is transformers itself, so what it serves is what it was told to, with rounding noise on top. The real
engine is compared in ``tests/engines``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import silent, write_model

from fixtures import parity
from fixtures.arms import PeftTrainer
from fixtures.device import Place
from fixtures.loading import forget, load
from fixtures.parity import FAINT, TOKENS, Spoken, require_parity
from fixtures.vllm_engine import Engine
from harness.contracts.records import LoraSpec, Message, ModelRef, TrainExample, TrainSpec
from harness.core.errors import JobError

Stack = tuple[str, ...]
PROMPTS = [tuple(range(3, 3 + size)) for size in (5, 11, 23)]
NOISE = {torch.float32: 1e-6, torch.bfloat16: 0.02}
"""Nats by which the stand-in's log-probabilities are off, as those of other kernels are."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelRef]:
    yield ModelRef(path=write_model(tmp_path_factory.mktemp("tiny")))
    forget()


@pytest.fixture(scope="module")
def adapter(base: ModelRef, tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("adapter") / "a"
    rows = [
        TrainExample(messages=(Message(role="user", content="Why? " * n),), answer="Because. " * n)
        for n in (1, 2, 3, 4)
    ]
    spec = TrainSpec(lora=LoraSpec(r=4, alpha=8, rslora=False), lr=1.2e-3, batch=4, steps=12)
    PeftTrainer("cpu").train_lora(base, rows, spec, seed=1, out=out, progress=silent)
    return str(out)


def scaled(folder: str, factor: float) -> str:
    """Write the adapter with its effect times a factor, once."""
    out = Path(folder).parent / f"times{factor}"
    if not out.exists():
        out.mkdir()
        (out / "adapter_config.json").write_bytes((Path(folder) / "adapter_config.json").read_bytes())
        tensors = load_file(Path(folder) / "adapter_model.safetensors")
        save_file(
            {name: factor * each if "lora_B" in name else each for name, each in tensors.items()},
            out / "adapter_model.safetensors",
        )
    return str(out)


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def engine(request: pytest.FixtureRequest, base: ModelRef) -> Engine:
    place = Place(torch.device("cpu"), request.param)
    most = load(base, place).longest
    return Engine(SimpleNamespace(), base, most, most, 32, place)


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Engine, Stack], Stack]], None]:
    """Have the stand-in serve what a function makes of what is asked for."""
    noise = torch.Generator().manual_seed(3)

    def given(engine: Engine, stack: Stack, prompts: Sequence[Any], rows: Sequence[tuple[int, ...]]) -> list[Any]:
        said = [Spoken(ids, ()) for ids in rows]
        flat = parity._given(engine, stack, prompts, said)
        off = NOISE[engine.place.dtype] * torch.randn(len(flat), generator=noise)
        return [each.tolist() for each in (flat + off).split([len(ids) for ids in rows])]

    def serve(served: Callable[[Engine, Stack], Stack]) -> None:
        def speak(engine: Engine, prompts: Sequence[Any], stack: Stack) -> list[Spoken]:
            real = served(engine, stack)
            with torch.inference_mode(), parity._speaking(engine, real) as model:
                rows = [parity._greedy(model, prompt, -1, engine.place.device) for prompt in prompts]
            logprobs = given(engine, real, prompts, rows)
            return [Spoken(ids, tuple(each)) for ids, each in zip(rows, logprobs, strict=True)]

        def reread(engine: Engine, prompts: Sequence[Any], said: Sequence[Spoken], stack: Stack) -> list[Any]:
            return given(engine, served(engine, stack), prompts, [each.ids for each in said])

        monkeypatch.setattr(parity, "speak", speak)
        monkeypatch.setattr(parity, "reread", reread)

    return serve


def model(base: ModelRef, *stack: str) -> ModelRef:
    return base.model_copy(update={"adapters": stack})


def test_an_honest_engine_passes(engine, base, adapter, serving):
    serving(lambda engine, stack: stack)
    for stack in [(adapter,), (), (scaled(adapter, 0.5),), (adapter, scaled(adapter, 0.25)), (scaled(adapter, 2.0),)]:
        require_parity(engine, model(base, *stack), PROMPTS)
        assert stack in engine.proven
    assert len(engine.proven) == 5


def test_rounding_does_not_refuse_a_faint_adapter(engine, base, adapter, serving):
    """Its effect on these tokens is of the size of the noise."""
    serving(lambda engine, stack: stack)
    require_parity(engine, model(base, scaled(adapter, 0.05)), PROMPTS)


@pytest.mark.parametrize(
    ("asked", "served", "says"),
    [
        (0.8, 0.0, "serves the base model instead of the adapter"),
        (0.9, 0.2, "serves the base model instead of the adapter"),
        (0.5, 0.9, "serves another adapter instead of the adapter"),
        (0.5, 1.2, "serves another adapter instead of the adapter"),
    ],
)
def test_what_is_not_the_adapter_is_refused(engine, base, adapter, serving, asked, served, says):
    """In float32 each token shows it; in bfloat16 tokens are too rough, and all of them together do."""
    instead = (scaled(adapter, served),) if served else ()
    serving(lambda engine, stack: instead if stack else ())
    rough = engine.place.dtype == torch.bfloat16
    with pytest.raises(JobError, match=says if rough else "vLLM and transformers differ with .*: vLLM says '"):
        require_parity(engine, model(base, scaled(adapter, asked)), PROMPTS)
    assert list(engine.proven) == [()]


def test_the_last_adapter_in_place_of_this_one_is_refused(engine, base, adapter, serving):
    serving(lambda engine, stack: stack)
    first, second = scaled(adapter, 0.7), scaled(adapter, 1.2)
    require_parity(engine, model(base, first), PROMPTS)
    serving(lambda engine, stack: (first,) if stack else ())
    rough = engine.place.dtype == torch.bfloat16
    with pytest.raises(JobError, match=f"serves the adapter {first} instead of" if rough else "differ with"):
        require_parity(engine, model(base, second), PROMPTS)


def test_the_adapter_in_place_of_the_base_is_refused(engine, base, adapter, serving):
    """Requests without an adapter get the last one's weights, once there is one: vLLM has done so."""
    loaded = []
    serving(
        lambda engine, stack: loaded[-1] if loaded and not stack else loaded.append(stack) or stack if stack else ()
    )
    with pytest.raises(JobError, match="serves the adapter instead of the base model beside it"):
        require_parity(engine, model(base, adapter), PROMPTS)
    assert list(engine.proven) == [()]


def test_an_adapter_without_any_effect_is_refused(engine, base, adapter, serving, monkeypatch):
    monkeypatch.setitem(NOISE, engine.place.dtype, 0.0)
    serving(lambda engine, stack: stack)
    with pytest.raises(JobError, match=r"show 0% of the difference .*; vLLM says '"):
        require_parity(engine, model(base, scaled(adapter, 0.0)), PROMPTS)


def test_small_differences_everywhere_are_refused(engine, base, serving, monkeypatch):
    """No token is far off, and all together are: another model with the same favourites."""
    monkeypatch.setitem(NOISE, engine.place.dtype, 1.15 * parity.APART[engine.place.dtype])
    serving(lambda engine, stack: stack)
    with pytest.raises(JobError, match="differ without an adapter: log-probabilities of 72 tokens differ by"):
        require_parity(engine, base, PROMPTS)


def test_a_probe_leaves_room_for_the_token_that_rereading_asks_for(engine, base, serving, monkeypatch):
    asked = []
    serving(lambda engine, stack: stack)
    usual = parity.speak
    monkeypatch.setattr(
        parity, "speak", lambda engine, prompts, stack: asked.extend(prompts) or usual(engine, prompts, stack)
    )
    engine.longest = len(PROMPTS[-1]) + TOKENS
    require_parity(engine, base, PROMPTS)
    assert PROMPTS[-1] not in asked
    assert PROMPTS[0] in asked


def test_the_way_between_two_models():
    start, end = torch.tensor([0.0, 0.0, 1.0]), torch.tensor([1.0, -1.0, 1.0])
    assert parity._way(start, start, end, 0.1) == 0
    assert parity._way(end, start, end, 0.1) == 1
    assert parity._way((start + end) / 2, start, end, 0.1) == pytest.approx(0.5)
    assert parity._way(start + torch.tensor([0.3, 0.3, 5.0]), start, end, 0.1) == pytest.approx(0)  # no direction
    assert parity._way(start, end, end + 0.9 * FAINT[torch.bfloat16], FAINT[torch.bfloat16]) is None
