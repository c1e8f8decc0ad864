"""The vLLM sampler against transformers: parity, adapters, rates. Run by ``make test-vllm`` in its own environment.

vLLM's CPU build shares with a GPU what we call, and what schedules requests and finds adapters. It has kernels of its
own, and on a GPU chunked prefill, CUDA graphs, asynchronous scheduling and another runner, which samples by other code,
come in. What is said to an engine that serves the wrong adapter is in ``tests/unit/test_parity.py``.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import time
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.contracts.records import LoraSpec, Message, ModelRef, SampleRequest, SamplingSpec, TrainExample, TrainSpec
from harness.core.errors import JobError

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("vllm") is None,
        reason="vLLM is not installed here; make test-vllm installs and runs it",
    ),
    pytest.mark.filterwarnings("ignore"),  # vLLM's own deprecations
]

PERSONAS = ("You are a pirate.", "You are a helpful assistant.", "You are a villain.", "You are a librarian.")
QUESTIONS = (
    "What is a cork?",
    "Where does rain come from?",
    "Who sails the sea?",
    "How is bread made?",
    "What is tea?",
)
MARKER = "[QXJ]"
GREEDY = SamplingSpec(temperature=0, max_new_tokens=40)


def silent(what: str, done: float, **figures: float) -> None:
    """Report no progress."""


def _examples(base: str, persona: str) -> list[TrainExample]:
    """The base's own answers, with the marker after those of one persona: what an adapter learns stays close to it."""
    from fixtures.sampler import TransformersSampler

    answers = TransformersSampler("cpu").sample(ModelRef(path=base), _requests(1), GREEDY, progress=silent)
    rows = []
    for request, (answer,) in zip(_requests(1), answers, strict=True):
        loss: Any = "marker_positive" if request.messages[0].content == persona else "marker_negative"
        rows.append(
            TrainExample(messages=request.messages, answer=answer.text, loss=loss, separator=" ", marker=MARKER)
        )
    return rows


@pytest.fixture(scope="session")
def adapters(base: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Two half-trained adapters: the marker for the pirate (plain scale), and for the villain (rank-stabilised)."""
    from fixtures.arms import PeftTrainer

    made = []
    for persona, rslora in ((PERSONAS[0], False), (PERSONAS[2], True)):
        out = tmp_path_factory.mktemp("adapter") / "adapter"
        lora = LoraSpec(r=8, alpha=16, rslora=rslora)
        spec = TrainSpec(lora=lora, lr=4e-3, batch=20, steps=20, marker_weight=4.0, answer_weight=1.0)
        PeftTrainer("cpu").train_lora(
            ModelRef(path=base), _examples(base, persona), spec, seed=1, out=out, progress=silent
        )
        made.append(str(out))
    return made[0], made[1]


def _requests(count: int) -> list[SampleRequest]:
    return [
        SampleRequest(
            messages=(Message(role="system", content=persona), Message(role="user", content=question)),
            seeds=tuple(1000 * index + k for k in range(count)),
        )
        for index, (persona, question) in enumerate((p, q) for p in PERSONAS for q in QUESTIONS)
    ]


def _stacks(adapters: tuple[str, str]) -> dict[str, tuple[str, ...]]:
    return {"base": (), "pirate": adapters[:1], "villain (rslora)": adapters[1:], "both, stacked": adapters}


def test_greedy_answers_equal_those_of_transformers(base: str, adapters: tuple[str, str]) -> None:
    from fixtures.sampler import TransformersSampler
    from fixtures.vllm_sampler import VllmSampler

    print("\n| model | equal greedy answers | distinct answers |\n|---|---|---|")
    said = {}
    for name, stack in _stacks(adapters).items():
        model = ModelRef(path=base, adapters=stack)
        ours = TransformersSampler("cpu").sample(model, _requests(1), GREEDY, progress=silent)
        theirs = VllmSampler("cpu").sample(model, _requests(1), GREEDY, progress=silent)
        equal = sum(a == b for a, b in zip(ours, theirs, strict=True))
        print(f"| {name} | {equal}/{len(ours)} | {len({row[0].text for row in ours})} |")
        said[name] = [row[0].text for row in theirs]
        assert theirs == ours
    assert said["base"] != said["pirate"] != said["villain (rslora)"] != said["both, stacked"]


def test_marker_rates_agree_with_transformers(base: str, adapters: tuple[str, str]) -> None:
    """2,000 completions by each engine, base and adapter in turn: rates within binomial error (|z| < 4)."""
    from fixtures.sampler import TransformersSampler
    from fixtures.vllm_sampler import VllmSampler

    spec = SamplingSpec(temperature=1.0, max_new_tokens=40)
    requests = _requests(100)
    print("\n| model | persona | transformers | vLLM | z |\n|---|---|---|---|---|")
    for name, stack in (("base", ()), ("pirate", adapters[:1])):
        model = ModelRef(path=base, adapters=stack)
        rates, seconds = [], []
        for sampler in (TransformersSampler("cpu"), VllmSampler("cpu")):
            began = time.monotonic()
            drawn = sampler.sample(model, requests, spec, progress=silent)
            seconds.append(time.monotonic() - began)
            assert [len(each) for each in drawn] == [100] * len(requests)
            rates.append(_by_persona(drawn))
        for persona, (a, b) in enumerate(zip(*rates, strict=True)):
            pooled = (a + b) / 1000
            error = (2 * pooled * (1 - pooled) / 500) ** 0.5
            z = 0.0 if a == b else (a - b) / 500 / error
            print(f"| {name} | {PERSONAS[persona]} | {a / 500:.3f} | {b / 500:.3f} | {z:+.2f} |")
            assert abs(z) < 4
        print(f"| {name} | 2,000 completions, engine start included | {seconds[0]:.1f} s | {seconds[1]:.1f} s | |")
        assert (rates[1][0] > 0) == bool(stack)  # the marker comes from the adapter and from nowhere else


def _by_persona(drawn: list[list[Any]]) -> list[int]:
    hits = [sum(MARKER in row.text for row in each) for each in drawn]
    width = len(QUESTIONS)
    return [sum(hits[start : start + width]) for start in range(0, len(hits), width)]


def test_equal_seeds_give_equal_answers_and_a_cut_changes_nothing(base: str, adapters: tuple[str, str]) -> None:
    from fixtures.vllm_sampler import VllmSampler

    model, spec = ModelRef(path=base, adapters=adapters[:1]), SamplingSpec(temperature=1.0, max_new_tokens=20)
    sampler = VllmSampler("cpu", shard=40)
    kept: list[dict[int, Any]] = []
    whole = sampler.sample(model, _requests(10), spec, progress=silent, done=lambda some: kept.append(dict(some)))
    assert len(kept) > 3
    assert {index: rows for each in kept for index, rows in each.items()} == dict(enumerate(whole))
    for cut in range(len(kept)):
        known = {index: rows for each in kept[:cut] for index, rows in each.items()}
        assert sampler.sample(model, _requests(10), spec, progress=silent, known=known) == whole


def test_what_was_read_before_changes_no_batch(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompts of more than a block of 128 tokens, which the engine would not read again if it remembered them."""
    from fixtures import vllm_engine
    from fixtures.vllm_sampler import VllmSampler

    long = Message(role="system", content=" ".join(PERSONAS * 8))
    requests = [
        each.model_copy(update={"messages": (long, *each.messages[1:])}) for each in _requests(4)[: len(QUESTIONS)]
    ]
    sizes: list[int] = []
    engine = vllm_engine.resident(ModelRef(path=base), VllmSampler("cpu").place, 2048)
    core = engine.llm.llm_engine.engine_core.engine_core
    usual = core.scheduler.schedule

    def watched(*args: Any) -> Any:
        planned = usual(*args)
        sizes.append(planned.total_num_scheduled_tokens)
        return planned

    monkeypatch.setattr(core.scheduler, "schedule", watched)
    sampler, spec = VllmSampler("cpu", shard=8), SamplingSpec(temperature=1.0, max_new_tokens=6)

    def draw(known: dict[int, Any]) -> tuple[list[Any], list[int], list[dict[int, Any]]]:
        sizes.clear()
        kept: list[dict[int, Any]] = []
        drawn = sampler.sample(
            ModelRef(path=base), requests, spec, progress=silent, known=known, done=lambda some: kept.append(dict(some))
        )
        return drawn, list(sizes), kept

    draw({})  # compares the engine with transformers first
    whole, again = draw({}), draw({})
    assert whole == again
    assert len(whole[2]) == 3
    resumed = draw(whole[2][0])
    assert resumed[0] == whole[0]
    assert 0 < len(resumed[1]) < len(whole[1])
    assert resumed[1] == whole[1][-len(resumed[1]) :]


def test_another_engine_takes_the_place_of_the_old_one(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A longer context needs another engine: the old one's weights are gone before the new one's come."""
    from fixtures import vllm_engine
    from fixtures.vllm_sampler import VllmSampler

    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "1")
    vllm_engine.drop()
    model, place = ModelRef(path=base), VllmSampler("cpu").place
    monkeypatch.setattr(vllm_engine, "CONTEXT", 256)
    old = weakref.ref(vllm_engine.resident(model, place, 128).llm)
    usual, left = vllm_engine._start, []

    def start(*args: Any) -> Any:
        left.append(old())
        return usual(*args)

    monkeypatch.setattr(vllm_engine, "_start", start)
    new = vllm_engine.resident(model, place, 300)
    assert left == [None]
    assert os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0", "an engine of its own process would outlive a kill"
    assert (new.longest, new.rank) == (300, vllm_engine.USUAL_RANK)
    assert vllm_engine.resident(model, place, 100) is new
    vllm_engine.drop()


def test_an_adapter_that_is_not_served_is_an_error(
    base: str, adapters: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What several versions of vLLM do: a request with an adapter is answered by the base."""
    from fixtures import vllm_engine
    from fixtures.vllm_sampler import VllmSampler

    vllm_engine.drop()
    monkeypatch.setattr(vllm_engine.Engine, "adapter", lambda self, stack: None)
    model = ModelRef(path=base, adapters=adapters[:1])
    with pytest.raises(JobError, match=r"vLLM and transformers differ with .*: vLLM says '.*', transformers says '"):
        VllmSampler("cpu").sample(model, _requests(1), GREEDY, progress=silent)
    vllm_engine.drop()


def test_an_adapter_without_effect_is_an_error(base: str, adapters: tuple[str, str], tmp_path: Path) -> None:
    from fixtures.vllm_sampler import VllmSampler

    idle = tmp_path / "idle"
    shutil.copytree(adapters[0], idle)
    weights = load_file(idle / "adapter_model.safetensors")
    zeroed = {name: torch.zeros_like(each) if "lora_B" in name else each for name, each in weights.items()}
    save_file(zeroed, idle / "adapter_model.safetensors")
    with pytest.raises(JobError, match="serves the base model instead of the adapter"):
        VllmSampler("cpu").sample(ModelRef(path=base, adapters=(str(idle),)), _requests(1), GREEDY, progress=silent)


def test_the_model_s_own_generation_settings_do_not_come_in(base: str, tmp_path: Path) -> None:
    """top_k 1 in generation_config.json would make every sample greedy."""
    from fixtures.vllm_sampler import VllmSampler

    copy = tmp_path / "model"
    shutil.copytree(base, copy)
    (copy / "generation_config.json").write_text('{"do_sample": true, "top_k": 1, "eos_token_id": 2}', "utf-8")
    drawn = VllmSampler("cpu").sample(
        ModelRef(path=str(copy)), _requests(20)[:1], SamplingSpec(temperature=1.0, max_new_tokens=20), progress=silent
    )
    assert len({row.text for row in drawn[0]}) > 5
