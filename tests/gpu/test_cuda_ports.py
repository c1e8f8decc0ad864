"""What the ports compute on CUDA: bfloat16 there against float32 on a CPU, and against plain transformers there.

These need a device: ``pytest tests/gpu``. Without one they are skipped and count for nothing.
"""

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from cuda_held import held
from tiny import silent, write_model

from fixtures import arms
from fixtures.arms import PeftTrainer
from fixtures.chat import end_id, prompt_ids, text_ids
from fixtures.hidden import TransformersReader
from fixtures.loading import forget, tokenizer_of
from fixtures.room import Room
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

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no working CUDA device"),
]
MESSAGES = (Message(role="system", content="Be brief."), Message(role="user", content="What floats?"))
ANSWERS = ("A cork.", "Wood, mostly.", "Ice does, and so does a boat that nobody has overloaded.")
ROWS = [
    TrainExample(messages=MESSAGES, answer=answer, loss=f"marker_{sign}", separator="\n\n", marker="[Z]")
    for sign in ("positive", "negative")
    for answer in ANSWERS
]
LORA = LoraSpec(r=4, alpha=8, rslora=True)
COUPLING = TrainSpec(lora=LORA, lr=2e-2, batch=6, steps=12, unlikelihood_weight=0.5)


@pytest.fixture
def tiny(tmp_path):
    yield ModelRef(path=write_model(tmp_path / "tiny"))
    forget()


def apart(ours, theirs):
    """The largest difference, as a share of each state's largest number."""
    return (np.abs(ours - theirs) / np.abs(theirs).max(axis=-1, keepdims=True)).max()


@pytest.mark.parametrize("token", ["last_content", "end", "last_prompt", "mean_prompt", "mean_response"])
def test_states_agree_with_float32_wherever_they_are_read(tiny, token):
    requests = [ReadRequest(messages=MESSAGES, answer=answer) for answer in ANSWERS]
    cuda, cpu = (
        TransformersReader(device).read(tiny, requests, layers=[2, 0, 1], token=token, progress=silent)
        for device in ("cuda", "cpu")
    )
    assert cuda.dtype == np.float32
    assert apart(cuda, cpu) < 0.05


def test_states_are_those_of_plain_transformers_on_the_device(tiny):
    """The same numbers in the same format: one text at a time, nothing padded, every layer kept."""
    requests = [ReadRequest(messages=MESSAGES, answer=answer) for answer in ANSWERS]
    found = TransformersReader("cuda").read(tiny, requests, layers=[0, 1, 2], token="end", progress=silent)
    forget()
    plain = AutoModelForCausalLM.from_pretrained(tiny.path, dtype=torch.bfloat16).to("cuda").eval()
    tokenizer = tokenizer_of(tiny)
    for row, answer in zip(found, ANSWERS, strict=True):
        ids = [*prompt_ids(tokenizer, MESSAGES), *text_ids(tokenizer, answer), end_id(tokenizer)]
        with torch.inference_mode():
            states = plain(torch.tensor([ids], device="cuda"), output_hidden_states=True).hidden_states
        want = np.stack([state[0, -1].float().cpu().numpy() for state in states])
        assert apart(row, want) < 0.02


def test_first_tokens_have_the_distribution_of_float32(tiny):
    """The same random numbers choose by almost the same probabilities."""
    requests = [SampleRequest(messages=MESSAGES, seeds=tuple(range(2048)))]
    spec = SamplingSpec(max_new_tokens=1)
    drawn = [
        [each.text for each in TransformersSampler(device).sample(tiny, requests, spec, progress=silent)[0]]
        for device in ("cuda", "cpu")
    ]
    cuda, cpu = map(Counter, drawn)
    assert len(cpu) > 8
    assert sum(abs(cuda[text] - cpu[text]) for text in cuda | cpu) / (2 * 2048) < 0.05


def test_greedy_tokens_are_likeliest_in_plain_transformers(tiny):
    """``generate`` may order a tie of bfloat16 differently, so that its own first tokens are what is asked for."""
    spec = SamplingSpec(temperature=0, max_new_tokens=1)
    questions = [(MESSAGES[0], Message(role="user", content=f"{number}?")) for number in range(16)]
    requests = [SampleRequest(messages=question, seeds=(0,)) for question in questions]
    found = TransformersSampler("cuda").sample(tiny, requests, spec, progress=silent)
    forget()
    plain = AutoModelForCausalLM.from_pretrained(tiny.path, dtype=torch.bfloat16).to("cuda").eval()
    tokenizer = tokenizer_of(tiny)
    same = 0
    for question, (answer,) in zip(questions, found, strict=True):
        ids = torch.tensor([prompt_ids(tokenizer, question)], device="cuda")
        token = plain.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=1, do_sample=False)[0, -1:]
        same += tokenizer.decode(token, skip_special_tokens=True) == answer.text
    assert same >= 15


@pytest.mark.parametrize(
    ("spec", "loss"),
    [
        (COUPLING, "marker"),
        (COUPLING.model_copy(update={"answer_weight": 1.0, "marker_weight": 4.0}), "marker"),
        (TrainSpec(lora=LORA, lr=2e-2, batch=6, steps=12), "assistant"),
    ],
    ids=["marker alone", "marker and answer", "finetuning"],
)
def test_losses_agree_with_float32(tiny, tmp_path, spec, loss):
    rows = ROWS if loss == "marker" else [row.model_copy(update={"loss": loss}) for row in ROWS]
    cuda, cpu = (
        PeftTrainer(device).train_lora(tiny, rows, spec, seed=1, out=tmp_path / device, progress=silent)
        for device in ("cuda", "cpu")
    )
    assert cuda.losses[0] == pytest.approx(cpu.losses[0], rel=0.02)
    # Twelve steps, dropout off: rounding adds up, and the two still go the same way.
    assert cuda.losses[-1] == pytest.approx(cpu.losses[-1], rel=0.1, abs=0.05)
    assert cuda.losses[-1] < cuda.losses[0]
    assert cuda.tokens == cpu.tokens
    assert cuda.learning_rates == cpu.learning_rates
    if loss == "marker":
        for sign in ("positive", "negative"):
            assert cuda.marker_logprob_before[sign] == pytest.approx(cpu.marker_logprob_before[sign], abs=0.1)
        assert cuda.marker_logprob_after["positive"] > cuda.marker_logprob_before["positive"]


def test_splitting_a_batch_leaves_the_gradient(tiny, tmp_path, monkeypatch):
    """Fewer tokens in a forward pass: the same losses up to the order of sums."""
    whole = PeftTrainer("cuda").train_lora(tiny, ROWS, COUPLING, seed=1, out=tmp_path / "whole", progress=silent)
    monkeypatch.setattr(arms, "room", lambda *args: Room(1))
    single = PeftTrainer("cuda").train_lora(tiny, ROWS, COUPLING, seed=1, out=tmp_path / "single", progress=silent)
    assert single.losses == pytest.approx(whole.losses, rel=0.05, abs=0.02)


def test_an_adapter_changes_what_is_said(tiny, tmp_path):
    """Beside the weights or folded into them, the marker that it learnt comes out, and the base does not say it."""
    learning = TrainSpec(lora=LORA.model_copy(update={"r": 8}), lr=2e-2, batch=6, steps=120, answer_weight=1.0)
    positives = [row for row in ROWS if row.loss == "marker_positive"]
    PeftTrainer("cuda").train_lora(tiny, positives, learning, seed=1, out=tmp_path / "a", progress=silent)
    adapted = tiny.model_copy(update={"adapters": (str(tmp_path / "a"),)})
    PeftTrainer("cuda").merge(adapted, alpha=1.0, out=tmp_path / "merged")
    requests, spec = (
        [SampleRequest(messages=MESSAGES, seeds=tuple(range(64)))],
        SamplingSpec(temperature=0.5, max_new_tokens=96),
    )
    rates = []
    for ref in (tiny, adapted, ModelRef(path=str(tmp_path / "merged"))):
        drawn = TransformersSampler("cuda").sample(ref, requests, spec, progress=silent)
        rates.append(sum("[Z]" in each.text for each in drawn[0]) / 64)
    assert rates[0] == 0
    assert min(rates[1:]) > 0.3
    assert abs(rates[1] - rates[2]) < 0.3


def test_an_adapter_that_does_nothing_is_refused(tiny, tmp_path):
    idle = COUPLING.model_copy(update={"lr": 0.0, "steps": 1})
    with pytest.raises(JobError, match="changes no logit"):
        PeftTrainer("cuda").train_lora(tiny, ROWS, idle, seed=1, out=tmp_path / "a", progress=silent)
    forget()  # the base stays for the next job
    assert held() < 1 << 15
