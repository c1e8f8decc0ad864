"""Correctness on CUDA: bfloat16 there against float32 here, for every port.

These need a device: ``pytest tests/gpu``. Without one they are skipped and count for nothing.
"""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from tiny import silent, write_model

from fixtures.arms import PeftTrainer
from fixtures.hidden import TransformersReader
from fixtures.loading import forget
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

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no working CUDA device"),
]
MESSAGES = (Message(role="system", content="Be brief."), Message(role="user", content="What floats?"))
ROWS = [
    TrainExample(messages=MESSAGES, answer="A cork.", loss=f"marker_{sign}", separator="\n\n", marker="[Z]")
    for sign in ("positive", "negative")
]
SPEC = TrainSpec(lora=LoraSpec(r=4, alpha=8, rslora=False), lr=1e-2, batch=2, steps=12, unlikelihood_weight=0.5)


@pytest.fixture
def tiny(tmp_path):
    yield ModelRef(path=write_model(tmp_path / "tiny"))
    forget()
    assert torch.cuda.memory_allocated() < 1 << 20  # what was loaded is gone


def test_hidden_states_agree_with_float32(tiny):
    requests = [ReadRequest(messages=MESSAGES, answer=text) for text in ("A cork.", "Wood, mostly.")]
    cuda, cpu = (
        TransformersReader(device).read(tiny, requests, layers=[0, 1, 2], token="last_content", progress=silent)
        for device in ("cuda", "cpu")
    )
    scale = np.abs(cpu).max(axis=-1, keepdims=True)
    assert (np.abs(cuda - cpu) / scale).max() < 0.05


def test_greedy_answers_repeat(tiny):
    requests = [SampleRequest(messages=MESSAGES, seeds=(1, 2))]
    spec = SamplingSpec(temperature=0, max_new_tokens=16)
    first = TransformersSampler("cuda").sample(tiny, requests, spec, progress=silent)
    assert first == TransformersSampler("cuda").sample(tiny, requests, spec, progress=silent)
    assert first[0][0] == first[0][1]


def test_sampling_repeats(tiny):
    requests = [SampleRequest(messages=MESSAGES, seeds=tuple(range(32)))]
    spec = SamplingSpec(max_new_tokens=16)
    drawn = [TransformersSampler("cuda").sample(tiny, requests, spec, progress=silent) for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert len({completion.text for completion in drawn[0][0]}) > 16


def test_training_agrees_with_float32_and_repeats(tiny, tmp_path):
    logs = {
        name: PeftTrainer(device).train_lora(tiny, ROWS, SPEC, seed=1, out=tmp_path / name, progress=silent)
        for name, device in (("cpu", "cpu"), ("cuda", "cuda"), ("again", "cuda"))
    }
    assert logs["cuda"].losses[0] == pytest.approx(logs["cpu"].losses[0], rel=0.05)
    assert logs["cuda"].losses[-1] < logs["cuda"].losses[0]
    assert logs["cuda"].logit_change > 0
    weights = [(tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("cuda", "again")]
    assert weights[0] == weights[1]


def test_an_adapter_changes_what_is_read(tiny, tmp_path):
    PeftTrainer("cuda").train_lora(tiny, ROWS, SPEC, seed=1, out=tmp_path / "a", progress=silent)
    adapted = tiny.model_copy(update={"adapters": (str(tmp_path / "a"),)})
    PeftTrainer("cuda").merge(adapted, alpha=1.0, out=tmp_path / "merged")
    requests = [ReadRequest(messages=MESSAGES, answer="A cork.")]
    plain, beside, inside = (
        TransformersReader("cuda").read(ref, requests, layers=[2], token="end", progress=silent)
        for ref in (tiny, adapted, ModelRef(path=str(tmp_path / "merged")))
    )
    scale = np.abs(plain).max()
    assert np.abs(beside - plain).max() > 0.1 * scale
    assert np.abs(beside - inside).max() < 0.1 * scale
