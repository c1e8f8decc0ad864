"""Memory on CUDA: given back between stages and by children however they end; halved work when it runs out.

These need a device: ``pytest tests/gpu``. Without one they are skipped and count for nothing.
"""

import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
from bench_gpu_310 import main
from cuda_held import held
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
from harness.core.errors import JobError

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no working CUDA device"),
]
MESSAGES = (Message(role="system", content="Be brief."), Message(role="user", content="What floats?"))
REPO = Path(__file__).parents[2]
LONG = (MESSAGES[0], Message(role="user", content="Why? " * 80))
NOTHING = 1 << 15
"""Bytes: less than the weights of the tiny model (54 KB)."""


@pytest.fixture
def tiny(tmp_path):
    yield ModelRef(path=write_model(tmp_path / "tiny"))
    forget()
    assert held() < NOTHING


@contextmanager
def room(share, peak):
    """Let this process have only a share of what it took at its peak."""
    forget()
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(share * peak / torch.cuda.get_device_properties(0).total_memory)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_every_port_gives_its_memory_back(tiny, tmp_path):
    """The model stays for the next job on it; all else is gone at once, and the model with ``forget``."""
    rows = [TrainExample(messages=MESSAGES, answer="A cork.")] * 4
    spec = TrainSpec(lora=LoraSpec(r=4, alpha=8, rslora=True), lr=1e-2, batch=4, steps=4)
    for _ in range(2):
        TransformersReader("cuda").read(
            tiny, [ReadRequest(messages=MESSAGES, answer="A cork.")], layers=[1], token="end", progress=silent
        )
        resident = held()
        requests = [SampleRequest(messages=MESSAGES, seeds=tuple(range(64)))]
        TransformersSampler("cuda").sample(tiny, requests, SamplingSpec(max_new_tokens=32), progress=silent)
        assert held() <= resident + NOTHING
        PeftTrainer("cuda").train_lora(tiny, rows, spec, seed=1, out=tmp_path / "a", progress=silent)
        assert held() <= resident + NOTHING
        adapted = tiny.model_copy(update={"adapters": (str(tmp_path / "a"),)})
        PeftTrainer("cuda").merge(adapted, alpha=1.0, out=tmp_path / "merged")
        assert held() < NOTHING


def test_a_second_model_takes_the_place_of_the_first(tiny, tmp_path):
    other = ModelRef(path=write_model(tmp_path / "other", seed=1))
    request = [ReadRequest(messages=MESSAGES, answer="A cork.")]
    taken = []
    for ref in (tiny, other, tiny):
        TransformersReader("cuda").read(ref, request, layers=[1], token="end", progress=silent)
        taken.append(held())
    assert max(taken) <= min(taken) + NOTHING


def test_reading_goes_on_with_half_when_memory_runs_out(tiny, caplog):
    # They share no beginning that is worth computing once: the batches are as large as they look.
    asked = [Message(role="user", content=f"{number}: " + "Why? " * 80) for number in range(1500)]
    requests = [ReadRequest(messages=(MESSAGES[0], message), answer="A cork.") for message in asked]

    def read():
        reader = TransformersReader("cuda")
        reader.batch_tokens = 1 << 20
        return reader, reader.read(tiny, requests, layers=[0, 1, 2], token="last_content", progress=silent)

    torch.cuda.reset_peak_memory_stats()
    _, whole = read()
    with room(0.7, torch.cuda.max_memory_allocated()):
        reader, small = read()
    assert reader.batch_tokens < 1 << 20
    assert "out of memory while reading hidden states" in caplog.records[0].getMessage()
    assert np.abs(small - whole).max() < 0.05 * np.abs(whole).max()


def test_sampling_goes_on_with_half_when_memory_runs_out(tiny, caplog):
    requests = [SampleRequest(messages=LONG, seeds=tuple(range(4096)))]

    def draw():
        sampler = TransformersSampler("cuda", rows=4096)
        return sampler, sampler.sample(tiny, requests, SamplingSpec(max_new_tokens=8), progress=silent)

    torch.cuda.reset_peak_memory_stats()
    _, whole = draw()
    with room(0.7, torch.cuda.max_memory_allocated()):
        sampler, small = draw()
    assert sampler.rows < 4096
    assert "out of memory while sampling" in caplog.records[0].getMessage()
    assert len(small[0]) == 4096
    # The seeds choose the same tokens; the last bits, and so a few rows, may depend on how many run together.
    same = sum(ours.text == theirs.text for ours, theirs in zip(small[0], whole[0], strict=True))
    assert same > 0.9 * 4096


def test_what_does_not_fit_at_all_is_said_in_words(tiny):
    """One text that needs more than there is: no halving helps, and the error names what to lower."""
    requests = [SampleRequest(messages=LONG, seeds=tuple(range(8)))]
    with room(1e-9, 1), pytest.raises(JobError, match=r"out of memory while .*; lower"):
        TransformersSampler("cuda").sample(tiny, requests, SamplingSpec(max_new_tokens=8), progress=silent)


@pytest.mark.parametrize(
    ("end", "code"),
    [("pass", 0), ("os._exit(3)", 3), ("os.kill(os.getpid(), 9)", -9)],
    ids=["finished", "failed", "killed"],
)
def test_a_child_that_trained_leaves_nothing(tiny, tmp_path, end, code):
    """It runs to its end, gives up at the third step or is killed there, and the device has its memory again."""
    script = f"""
import os, pathlib, torch
from fixtures.arms import PeftTrainer
from harness.contracts.records import LoraSpec, Message, ModelRef, TrainExample, TrainSpec
import fixtures.loop
fixtures.loop.REPORT_EVERY_S = -1.0
ballast = torch.zeros(1 << 30, dtype=torch.uint8, device="cuda")
def progress(what, done, **figures):
    if figures.get("step") == 3:
        print("three steps", flush=True)
        {end}
messages = (Message(role="system", content="S"), Message(role="user", content="U"))
PeftTrainer("cuda").train_lora(
    ModelRef(path={tiny.path!r}), [TrainExample(messages=messages, answer="A cork.")] * 4,
    TrainSpec(lora=LoraSpec(r=4, alpha=8, rslora=True), lr=1e-2, batch=4, steps=6), seed=1,
    out=pathlib.Path({str(tmp_path / "a")!r}), progress=progress,
)
"""
    torch.zeros(1, device="cuda")  # this process's own context is there before
    free = torch.cuda.mem_get_info()[0]
    ended = subprocess.run([sys.executable, "-c", script], cwd=REPO, capture_output=True, text=True, check=False)
    assert ended.stdout == "three steps\n", ended.stderr
    assert ended.returncode == code
    for _ in range(50):  # the driver takes a moment after a kill
        if torch.cuda.mem_get_info()[0] > free - (1 << 28):
            break
        time.sleep(0.1)
    assert torch.cuda.mem_get_info()[0] > free - (1 << 28)


def test_the_bench_runs_in_small_and_leaves_nothing(capsys):
    main(["--tiny"])
    assert "GPU-minutes" in capsys.readouterr().out
    assert held() < NOTHING
