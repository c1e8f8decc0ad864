"""Recorded steps, called where CUDA would replay them: the completions of a model that is launched for every token."""

import pytest
import torch
from test_sampler import QUESTIONS, requests
from tiny import silent, write_model
from transformers import Qwen2Config, Qwen2ForCausalLM

from fixtures import sampler as sampling
from fixtures.device import pick
from fixtures.loading import forget, load
from fixtures.sampler import TransformersSampler
from fixtures.stepping import BESIDE, FEWEST_ROWS, Recorded, filled, fitting, rows_that_fit, slot_bytes
from harness.contracts.records import Intervention, ModelRef, SamplingSpec, Vector


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    yield ModelRef(path=write_model(tmp_path_factory.mktemp("tiny"), spread=0.4, longest=256))
    forget()


@pytest.fixture
def made(monkeypatch):
    """The recorders that were made, each with the numbers of rows that it was recorded for."""
    found = []

    class Watched(Recorded):
        def __init__(self, *args):
            super().__init__(*args)
            found.append(self)

    monkeypatch.setattr(sampling, "Recorded", Watched)
    return found


def sample(tiny, asked, recorded, rows=None, shard=None, interventions=(), **spec):
    made = TransformersSampler("cpu", rows=rows)
    made.recorded = recorded
    made.shard = shard or made.shard
    spec = SamplingSpec(**{"max_new_tokens": 24, **spec})
    return made.sample(tiny, asked, spec, progress=silent, interventions=interventions)


@pytest.mark.parametrize("spec", [{}, {"temperature": 0}, {"top_p": 0.8, "max_new_tokens": 40}], ids=str)
@pytest.mark.parametrize("rows", [8, 40, 256])
def test_completions_are_those_of_a_launched_model(tiny, made, spec, rows):
    """Rows of six lengths join and leave; slots are filled anew; shards follow each other."""
    want = sample(tiny, requests(12), False, rows=rows, **spec)
    assert made == []
    assert sample(tiny, requests(12), True, rows=rows, shard=30, **spec) == want
    (steps,) = made
    assert set(steps._again) <= {8, 16, 32, 40, 64, 72}
    assert len({each.text for row in want for each in row}) > 3


def test_a_slot_has_room_for_the_longest_row(tiny, made):
    want = sample(tiny, requests(2), False, max_new_tokens=1000)
    assert sample(tiny, requests(2), True, max_new_tokens=1000) == want
    assert made[0].room == 256
    assert max(each.tokens for row in want for each in row) > 128


def test_interventions_are_launched(tiny, made):
    change = Intervention(kind="add", layer=1, vectors=(Vector(values=(3.0,) * 32),), strength=5.0)
    found = sample(tiny, requests(3), True, interventions=[change])
    assert made == []
    assert found != sample(tiny, requests(3), True)
    made.clear()
    sample(tiny, requests(3), True, interventions=[change.model_copy(update={"strength": 0.0})])
    assert made, "strength 0 takes the way of no intervention, to the same bytes"


def test_the_model_is_left_as_it_was(tiny):
    sample(tiny, requests(1), True)
    assert load(tiny, pick("cpu")).base.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("rows", [8, 20, 100, 256])
def test_few_numbers_of_rows_are_recorded(rows):
    found = {filled(count, rows) for count in range(1, rows + 1)}
    assert all(count <= filled(count, rows) <= rows for count in range(1, rows + 1))
    assert min(found) == FEWEST_ROWS
    assert len(found) <= 3 + -(-rows // 32)


def test_slots_fit_the_card():
    """7B: 57,344 bytes a token; 2,108 tokens take 17 blocks of 128."""
    config = Qwen2Config(
        hidden_size=3584, num_hidden_layers=28, num_attention_heads=28, num_key_value_heads=4, vocab_size=8
    )
    each = slot_bytes(config, 2108)
    assert each == 57_344 * 17 * 128
    for memory, rows in ((140 << 30, 512), (80 << 30, 256), (24 << 30, 8)):
        assert fitting(0.85 * memory - (15 << 30) - BESIDE, each, 512) == rows
    assert fitting(1.0, each, 512) == FEWEST_ROWS
    assert (
        rows_that_fit(Qwen2ForCausalLM(Qwen2Config(num_hidden_layers=1, vocab_size=8)), 512, 10**9) == 512
    )  # on a CPU


def test_rows_that_memory_halves_are_recorded_anew(tiny, made, monkeypatch):
    want = sample(tiny, requests(9), False, rows=16)
    usual = Recorded.step
    calls = []

    def fails_once(self, *args):
        calls.append(1)
        if len(calls) == 5:
            raise torch.OutOfMemoryError("no memory")
        return usual(self, *args)

    monkeypatch.setattr(Recorded, "step", fails_once)
    assert sample(tiny, requests(9), True, rows=16) == want
    assert [steps.rows for steps in made] == [16, 8]
    assert len(QUESTIONS) == len(want)
