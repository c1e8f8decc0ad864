"""Recordings on CUDA: what is replayed is what launching it would have done, and memory comes back.

These need a device: ``pytest tests/gpu``. Without one they are skipped and count for nothing; what is recorded runs on
a CPU in ``tests/unit/test_recording.py``, ``test_stepping.py`` and ``test_fusing.py``.
"""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from cuda_held import held
from test_fusing import TARGETS, adapted
from test_recording import EXAMPLES, SPEC
from test_sampler import requests
from tiny import silent, write_model

from fixtures import arms, fusing
from fixtures.arms import PeftTrainer
from fixtures.fusing import fused
from fixtures.loading import forget
from fixtures.recording import Graphs
from fixtures.sampler import TransformersSampler
from fixtures.stepping import attend_in_slots
from harness.contracts.records import ModelRef, SamplingSpec

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no working CUDA device"),
]


@pytest.fixture
def tiny(tmp_path):
    yield ModelRef(path=write_model(tmp_path / "tiny", spread=0.4, longest=256))
    forget()
    assert held() < 1 << 15


@pytest.fixture
def launched(monkeypatch):
    """A switch: from then on nothing is recorded, the same functions are called each time."""
    return lambda: monkeypatch.setattr(Graphs, "record", lambda self, work: work)


@pytest.fixture
def recordings(monkeypatch):
    """Counts what is recorded."""
    made = []
    usual = Graphs.record
    monkeypatch.setattr(Graphs, "record", lambda self, work: made.append(1) or usual(self, work))
    return made


def train(tiny, out, **options):
    log = PeftTrainer("cuda", **options).train_lora(tiny, EXAMPLES, SPEC, seed=2, out=out, progress=silent)
    return log, (out / "adapter_model.safetensors").read_bytes()


def test_replayed_gradients_are_those_of_launched_kernels(tiny, tmp_path, recordings, launched):
    """With dropout: the replays draw the numbers that the launched kernels draw."""
    found = train(tiny, tmp_path / "recorded")
    assert 1 <= len(recordings) < len(found[0].losses)
    launched()
    assert train(tiny, tmp_path / "launched") == found


def test_a_second_adapter_learns_beside_the_first(tiny, tmp_path, recordings, launched, monkeypatch):
    """Recorded or launched the same bytes, by fused or PEFT's own layers the same losses, and it does see the first."""
    train(tiny, tmp_path / "first")
    stacked = tiny.model_copy(update={"adapters": (str(tmp_path / "first"),)})
    found = train(stacked, tmp_path / "recorded")
    assert recordings
    launched()
    assert train(stacked, tmp_path / "launched") == found
    assert found[0].losses[0] < train(tiny, tmp_path / "alone")[0].losses[0]
    monkeypatch.setitem(arms.FUSED, "cuda", False)
    assert train(stacked, tmp_path / "usual")[0].losses[0] == pytest.approx(found[0].losses[0], rel=0.02)


def test_fused_adapters_learn_what_peft_learns(tiny, tmp_path, monkeypatch):
    spec = SPEC.model_copy(update={"lora": SPEC.lora.model_copy(update={"dropout": 0.0})})
    logs = []
    for name in ("fused", "usual"):
        monkeypatch.setitem(arms.FUSED, "cuda", name == "fused")
        trainer = PeftTrainer("cuda")
        logs.append(trainer.train_lora(tiny, EXAMPLES, spec, seed=2, out=tmp_path / name, progress=silent))
    assert logs[0].losses[0] == pytest.approx(logs[1].losses[0], rel=0.01)
    assert logs[0].losses == pytest.approx(logs[1].losses, rel=0.1)


def test_fused_modules_in_bfloat16(tiny):
    """As near to float32 as PEFT's and transformers' own are."""
    made = adapted(tiny.path).eval()
    ids = torch.arange(36).view(3, 12) * 5 % 250
    with torch.no_grad():
        exact = made(input_ids=ids).logits
        made, ids = made.to("cuda", torch.bfloat16), ids.to("cuda")
        usual = made(input_ids=ids).logits.float().cpu()
        with fused(made) as count:
            found = made(input_ids=ids).logits.float().cpu()
    assert count == 2 * len(TARGETS) + 5
    assert fusing._is_rms_norm(made.get_base_model().model.norm)
    assert (found - exact).norm() < 1.5 * (usual - exact).norm()


@pytest.mark.parametrize("spec", [{}, {"temperature": 0}, {"top_p": 0.8}], ids=str)
def test_replayed_steps_choose_the_tokens_of_launched_kernels(tiny, recordings, launched, spec):
    settings = SamplingSpec(max_new_tokens=24, **spec)
    found = TransformersSampler("cuda", rows=40).sample(tiny, requests(12), settings, progress=silent)
    assert len(recordings) >= 3
    launched()
    assert TransformersSampler("cuda", rows=40).sample(tiny, requests(12), settings, progress=silent) == found
    assert len({each.text for row in found for each in row}) > 5


def test_replayed_steps_agree_with_the_model_as_it_is(tiny):
    """Other kernels, so a tie of bfloat16 may fall the other way: nearly all texts are the same."""
    settings = SamplingSpec(max_new_tokens=16)
    rows = []
    for recorded in (True, False):
        sampler = TransformersSampler("cuda")
        sampler.recorded = recorded
        rows.append(
            [each.text for row in sampler.sample(tiny, requests(40), settings, progress=silent) for each in row]
        )
    same = sum(one == other for one, other in zip(*rows, strict=True))
    assert same > 0.8 * len(rows[0])


def test_attention_in_slots_is_that_under_a_mask():
    """Seven queries to a key head, 128 wide, as in the 7B; slots that hold 1, 77 and all of their 256 tokens."""
    drawn = torch.Generator("cuda").manual_seed(0)
    query, key, value = (
        torch.randn(shape, generator=drawn, device="cuda", dtype=torch.bfloat16)
        for shape in ((3, 28, 1, 128), (3, 256, 4, 128), (3, 256, 4, 128))
    )
    held = torch.tensor([1, 77, 256], dtype=torch.int32, device="cuda")
    slots = [key.transpose(1, 2), value.transpose(1, 2)]
    found, _ = attend_in_slots(torch.nn.Module(), query, *slots, None, held=held, scaling=0.1)
    want, _ = attend_in_slots(
        torch.nn.Module(), query.float(), *(each.float() for each in slots), None, held=held, scaling=0.1
    )
    assert found.shape == (3, 1, 28, 128)
    assert (found.float() - want).norm() < 0.01 * want.norm()


def test_recordings_give_their_memory_back(tiny, tmp_path):
    train(tiny, tmp_path / "once")
    resident = held()
    for turn in range(2):
        train(tiny, tmp_path / str(turn))
        TransformersSampler("cuda", rows=64).sample(
            tiny, requests(12), SamplingSpec(max_new_tokens=24), progress=silent
        )
        assert held() <= resident + (1 << 15)
