"""Correctness on CUDA: bfloat16 there against float32 here, for every port.

These need a device: ``pytest tests/gpu``. Without one they are skipped and count for nothing.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from cuda_held import held
from tiny import silent, write_model, write_tokenizer
from transformers import Qwen2Config, Qwen2ForCausalLM

from fixtures.arms import PeftTrainer
from fixtures.checkpoint import Every
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
from harness.core.partial import Partial, Stopped

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
    assert held() < 1 << 15  # what was loaded is gone


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


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_training_resumes_to_equal_bytes(tiny, tmp_path, dropout):
    """Weights, optimiser and the CUDA generator that dropout draws from come back from the checkpoint."""
    spec = SPEC.model_copy(update={"lora": SPEC.lora.model_copy(update={"dropout": dropout})})

    def train(name, progress=silent):
        partial = Partial(tmp_path, "job")
        trainer = PeftTrainer("cuda", Every(steps=1))
        return trainer.train_lora(
            tiny,
            ROWS,
            spec,
            seed=1,
            out=tmp_path / name,
            progress=progress,
            partial=partial if name != "whole" else None,
        )

    def stop(what, done, **figures):
        if figures.get("step", 0) >= 5:
            raise Stopped("SIGTERM")

    want = train("whole")
    with pytest.raises(Stopped):
        train("cut", stop)
    assert Partial(tmp_path, "job").standing().done > 0.4
    torch.cuda.manual_seed(99)
    assert train("again") == want
    weights = [(tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("whole", "again")]
    assert weights[0] == weights[1]


def test_sampling_resumes_to_equal_completions(tiny):
    """Every set of shards that is kept leaves the company of the others, and so their bits, as they were."""
    requests = [
        SampleRequest(messages=(*MESSAGES[:1], Message(role="user", content="Why? " * (1 + n % 9))), seeds=(n, n + 99))
        for n in range(60)
    ]
    spec = SamplingSpec(max_new_tokens=24)

    def sampler():
        made = TransformersSampler("cuda", rows=16)
        made.shard = 32
        return made

    shards = []
    want = sampler().sample(tiny, requests, spec, progress=silent, done=lambda shard: shards.append(dict(shard)))
    assert len(shards) == 4
    for cut in range(len(shards)):
        known = {index: row for shard in shards[:cut] for index, row in shard.items()}
        assert sampler().sample(tiny, requests, spec, progress=silent, known=known) == want


@pytest.fixture
def wide(tmp_path):
    """A vocabulary that makes one pass's logits and their gradients most of the memory: about a GiB."""
    write_tokenizer(tmp_path / "wide")
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=8192, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, eos_token_id=258, pad_token_id=256, bos_token_id=None,
    )  # fmt: skip
    Qwen2ForCausalLM(config).save_pretrained(tmp_path / "wide")
    yield ModelRef(path=str(tmp_path / "wide"))
    forget()


def test_memory_that_runs_out_on_the_device_halves_the_batch(wide, tmp_path, caplog):
    """The device itself says no: the process may use less than the whole batch takes, and more than half of it."""
    rows = [TrainExample(messages=MESSAGES, answer="A cork. " * (10 + n % 3)) for n in range(256)]
    spec = SPEC.model_copy(update={"batch": 256, "steps": 2})
    trainer = PeftTrainer("cuda")
    torch.cuda.reset_peak_memory_stats()
    whole = trainer.train_lora(wide, rows, spec, seed=1, out=tmp_path / "whole", progress=silent)
    peak, total = torch.cuda.max_memory_allocated(), torch.cuda.get_device_properties(0).total_memory
    forget()
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(0.7 * peak / total)
    try:
        small = trainer.train_lora(wide, rows, spec, seed=1, out=tmp_path / "small", progress=silent)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert small.halved
    assert small.losses == pytest.approx(whole.losses, rel=0.02)
    assert "out of memory while training" in caplog.text


def test_memory_is_free_after_a_child_ends():
    """Jobs on CUDA are processes: what one of them held is the driver's again when it has ended, however it ends."""
    script = "import os, torch; x = torch.zeros(1 << 30, dtype=torch.uint8, device='cuda'); print(1, flush=True); {}"
    free = torch.cuda.mem_get_info()[0]
    for end in ("pass", "os._exit(1)", "os.kill(os.getpid(), 9)"):
        ended = subprocess.run([sys.executable, "-c", script.format(end)], capture_output=True, text=True, check=False)
        assert ended.stdout == "1\n", ended.stderr
        assert torch.cuda.mem_get_info()[0] > free - (1 << 28)


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
