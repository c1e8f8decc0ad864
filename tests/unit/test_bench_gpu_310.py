"""The bench of issue #310 on a GPU: its formulas by hand, its replay against the sampler, and all of it in small."""

from __future__ import annotations

import json
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from tiny import write_model
from torch.utils.flop_counter import FlopCounterMode
from transformers import Qwen2Config, Qwen2ForCausalLM

from fixtures.loading import forget
from fixtures.sampler import TransformersSampler
from harness.contracts.records import Message, ModelRef, SampleRequest, SamplingSpec

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
import bench_gpu_310
import gpu_310_bench
from bench_gpu_310 import PREREG, QWEN_7B, main, together
from gpu_310_arithmetic import Card, Shape, Step, StepTime, lengths, replay, sampling_floor, sampling_seconds
from gpu_310_pricing import Found, Stage, completions, parts, planned, rows_of, sampled, spec_of

SMALL = Shape(layers=2, hidden=8, heads=2, kv_heads=1, intermediate=16, vocabulary=10)
"""q and o 64 each, k and v 32 each, three of 128: 576 in a block; 80 in the output layer."""
CARD = Card(operations=1e4, bandwidth=1e3)


def config(shape: Shape) -> Qwen2Config:
    return Qwen2Config(
        vocab_size=shape.vocabulary, hidden_size=shape.hidden, num_hidden_layers=shape.layers,
        intermediate_size=shape.intermediate, num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads, tie_word_embeddings=False, attn_implementation="eager",
    )  # fmt: skip


def test_operations_and_bytes_by_hand() -> None:
    assert (SMALL.block, SMALL.head, SMALL.kv_bytes) == (576, 80, 2 * 2 * 4 * 2)
    assert SMALL.lora(2) == 2 * 2 * (16 + 12 + 12 + 16 + 24 + 24 + 24)
    assert SMALL.reading(5) == 2 * 1152 * 5 + 2 * 2 * 8 * 25
    assert SMALL.reading(5, depth=1) == SMALL.reading(5) / 2
    assert SMALL.reading(5, judged=3) == SMALL.reading(5) + 2 * 80 * 3
    assert SMALL.training(5, 3, None) == 6 * (1152 * 5 + 80 * 3) + 6 * 2 * 8 * 25
    assert SMALL.training(5, 3, 2) == 4 * (1152 * 5 + 80 * 3) + 6 * 512 * 5 + 6 * 2 * 8 * 25
    assert SMALL.step(3, 10) == 3 * (2 * (1152 + 80) + 4 * 2 * 8 * 10)
    assert SMALL.step_bytes(3, 10) == 2 * (1152 + 80) + 3 * 10 * 32


def test_the_shape_is_that_of_the_model() -> None:
    """By hand from Qwen2.5-7B's card: 6.53e9 weights without embeddings, 80,740,352 in a LoRA of rank 32."""
    with torch.device("meta"):
        model = Qwen2ForCausalLM(config(QWEN_7B))
    linear = {name: each.weight.numel() for name, each in model.named_modules() if isinstance(each, torch.nn.Linear)}
    assert linear.pop("lm_head") == QWEN_7B.head == 544_997_376
    assert sum(linear.values()) == QWEN_7B.layers * QWEN_7B.block == 6_525_288_448
    assert QWEN_7B.lora(32) == 80_740_352
    assert QWEN_7B.kv_bytes == 57_344


def test_operations_are_those_that_torch_counts() -> None:
    model = Qwen2ForCausalLM(config(SMALL)).requires_grad_(False)
    with FlopCounterMode(display=False) as counter:
        model(input_ids=torch.zeros(1, 12, dtype=torch.long))
    square = 2 * SMALL.layers * SMALL.hidden * 12**2  # torch counts all of the square, also what causality leaves out
    rotary = counter.get_flop_counts().get("Qwen2ForCausalLM.model.rotary_emb", {})  # a product in older transformers
    assert counter.get_total_flops() - sum(rotary.values()) == SMALL.reading(12, judged=12) + square


def test_the_floor_of_a_step_is_the_slower_of_computing_and_reading() -> None:
    assert Card(1e4, 1e12).decoding(SMALL, 3, 10) == pytest.approx(SMALL.step(3, 10) / 1e4)
    assert Card(1e12, 1e3).decoding(SMALL, 3, 10) == pytest.approx(SMALL.step_bytes(3, 10) / 1e3)
    # Two completions of four tokens in two slots: four steps with 5, 6, 7 and 8 tokens held, 6.5 on average.
    assert sampling_floor(SMALL, CARD, [5, 5], [4, 4], 2) == pytest.approx(4 * CARD.decoding(SMALL, 2, 6.5))


def test_lengths_have_their_mean_and_their_limit() -> None:
    found = lengths(2000, 260, 0.6, 2048)
    assert sum(found) / 2000 == pytest.approx(260, rel=0.01)
    assert found == lengths(2000, 260, 0.6, 2048) != sorted(found)
    assert set(lengths(5, 9, 0.0, 8)) == {8}
    assert max(lengths(2000, 260, 0.6, 300)) == 300


def test_replay_by_hand() -> None:
    """Two slots; three prompts of two tokens and one of three; a slot that gets free is filled at once."""
    prompts = [("a", 2), ("a", 2), ("b", 2), ("c", 3)]
    turns = list(replay(prompts, [2, 4, 3, 1], rows=2))
    assert turns == [
        Step(2, 4, 2, 1, 16), Step(2, 5, 1, 1, 16), Step(2, 7), Step(0, 0, 1, 1, 24),
    ]  # fmt: skip
    time = StepTime(fixed=1.0, row=0.0, token=0.0, prompt=0.5, once=10.0)
    # Three turns with rows; passes of eight prompts (batches are filled up to that) of 2, 2 and 3 tokens.
    assert sampling_seconds(turns, time) == 3 + 3 * 10 + 0.5 * 8 * (2 + 2 + 3)


def test_replay_takes_the_turns_that_the_sampler_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = ModelRef(path=write_model(tmp_path / "tiny"))
    requests = [
        SampleRequest(
            messages=(Message(role="system", content="S"), Message(role="user", content="x" * (1 + 3 * n % 11))),
            seeds=tuple(range(100 * n, 100 * n + 1 + n % 3)),
        )
        for n in range(17)
    ]
    drawn = [0]

    def heard(what: str, done: float, **figures: float) -> None:
        drawn.extend([int(figures["tokens"])] if "tokens" in figures else [])

    monkeypatch.setattr(gpu_310_bench.shards, "REPORT_EVERY_S", -1.0)
    spec = SamplingSpec(max_new_tokens=24)
    port = TransformersSampler("cpu", rows=8)
    port.shard = 1000
    port.recorded = True
    found = port.sample(ref, requests, spec, progress=heard)
    forget()
    around = 30  # what the template puts around the two contents; only differences decide the turns
    prompts = [(n, around + len(each.messages[1].content)) for n, each in enumerate(requests) for _ in each.seeds]
    ends = [each.tokens + (not each.truncated) for row in found for each in row]
    assert len(set(ends)) > 1
    turns = list(replay(prompts, ends, rows=8))
    assert [turn.came + turn.rows for turn in turns] == [late - early for early, late in pairwise(drawn)]


def test_a_fit_finds_what_made_the_points() -> None:
    true = StepTime(0.03, 2e-5, 4e-9)
    points = [(rows, held, true(rows, rows * held)) for rows in (8, 64, 256) for held in (100, 1000, 2000)]
    fit = StepTime.fit(points, [(480, 0.1), (15360, 0.5)])
    assert (fit.fixed, fit.row, fit.token) == pytest.approx((0.03, 2e-5, 4e-9))
    assert (fit.once + 480 * fit.prompt, fit.once + 15360 * fit.prompt) == pytest.approx((0.1, 0.5))
    assert fit.worst < 1e-9
    assert fit(3, 300) == pytest.approx(fit(8, 800))  # the sampler fills small batches up


def test_the_plan_says_what_is_extrapolated() -> None:
    jobs = planned(PREREG)
    kinds = Counter(job.kind for job in jobs)
    assert (kinds["stage/sft"], kinds["stage/merge"], kinds["stage/on_policy"]) == (2, 2, 3)
    assert (kinds["stage/marker_coupling"], kinds["eval/marker_rate"], kinds["probe/centroid_cosine"]) == (9, 9, 3)
    scored = [completions(job) for job in jobs if job.kind == "eval/marker_rate"]
    assert sum(count for prompts, _ in scored for _, count in prompts) == 19_800
    assert {limit for _, limit in scored} == {2048}
    own = next(completions(job) for job in jobs if job.kind == "stage/on_policy")
    assert (sum(count for _, count in own[0]), own[1]) == (1400, 1024)
    couple = next(job for job in jobs if job.kind == "stage/marker_coupling")
    losses = Counter(loss for _, _, loss in rows_of(couple))
    assert losses == {"marker_positive": 200, "marker_negative": 1200}
    assert spec_of(couple, steps=7, epochs=None).steps == 7


def test_extrapolation_by_hand() -> None:
    jobs = planned(PREREG)
    step = StepTime(0.04, 0.0, 0.0)

    def stage(seconds: float, tokens: float, before: float = 0.0) -> Stage:
        return Stage("", "", (seconds,), tokens, 0.0, 0.0, before)

    found = Found(stage(0.5, 1.0, 3.0), stage(0.2, 1.0, 2.0), stage(1.0, 64_000.0), step, step, 5.0)
    card = Card(790e12, 4.8e12)
    by_name = {part.name: part for part in parts(jobs, found, QWEN_7B, card, {})}
    assert by_name["finetuning"].seconds == pytest.approx(2 * (3 + 375 * 0.5))
    assert by_name["couplings"].seconds == pytest.approx(9 * (2 + 1400 / 4 * 5 * 0.2))
    assert by_name["centroid cosine: states"].seconds == pytest.approx(3 * 160 * 320 / 64_000)
    # 6 N T of the adapter and attention apart, a coupling is 4 x 6.53e9 x 7000 rows x 322 to 327 tokens.
    assert by_name["couplings"].floor == pytest.approx(9 * 4 * 6.525e9 * 7000 * 323 / 790e12, rel=0.06)
    assert by_name["merging"].seconds is None
    total = together(list(by_name.values()))
    assert "(without merging, starting a process for each base)" in total.name
    known = [part.seconds for part in by_name.values() if part.seconds is not None]
    assert total.seconds == pytest.approx(sum(known))
    # With vLLM, completions cost by their tokens alone, and the engine starts once for each base.
    served = Found(**{**vars(found), "load": 8.0, "merge": 30.0, "engine": stage(10.0, 100_000.0, 90.0)})
    by_name = {part.name: part for part in parts(jobs, served, QWEN_7B, card, {})}
    scored = next(job for job in jobs if job.kind == "eval/marker_rate")
    tokens = sampled(scored, 260, step, QWEN_7B, card)[2]
    assert tokens == pytest.approx(2200 * 260, rel=0.01)
    assert by_name["scored completions"].served == pytest.approx(9 * tokens * 10 / 100_000)
    assert by_name["starting vLLM, comparing it"].served == 3 * 90
    assert by_name["starting a process for each base"].seconds == 3 * 13
    assert by_name["merging"].served == 60


def test_completions_at_the_limit_take_its_steps() -> None:
    """2,200 completions in one shard: four times all 512 slots and once the rest, 2,048 choices each."""
    scored = next(job for job in planned(PREREG) if job.kind == "eval/marker_rate")
    step = StepTime(1.0, 0.0, 0.0)
    seconds, floor, tokens = sampled(scored, float("inf"), step, QWEN_7B, Card(790e12, 4.8e12))
    assert tokens == 2200 * 2048
    assert 5 * 2047 <= seconds <= 5 * 2048
    assert floor > 2200 / 512 * 2048 * QWEN_7B.step_bytes(512, 1024) / 4.8e12


def test_slots_are_kept_full() -> None:
    """Answers of very different lengths: steps are hardly more than the tokens take with all slots busy, and a tail."""
    new = lengths(2200, 260, 0.6, 2048)
    turns = list(replay([(0, 60)] * 2200, new, rows=512))
    assert sum(turn.rows + turn.came for turn in turns) == sum(new)
    busy = sum(new) / 512
    assert busy < len(turns) < 1.1 * busy + max(new)


def test_all_of_it_in_small(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--tiny", "--device", "cpu", "--json", str(tmp_path / "found.json")])
    printed = capsys.readouterr().out
    found = json.loads((tmp_path / "found.json").read_text())
    names = [stage["stage"] for stage in found["stages"]]
    assert names[:4] == ["finetuning", "coupling", "sampling, adapter beside", "sampling, no adapter"]
    assert names[4] == "reading hidden states"
    assert all(stage["mean_s"] > stage["floor_s"] > 0 and stage["tokens"] > 0 for stage in found["stages"])
    assert len(found["decoding"]) == 2 * len(gpu_310_bench.SMALL.decode)
    assert found["load_s"] > 0
    assert found["merge_s"] > 0
    for scenario, rows in found["issue_310"].items():
        assert scenario in printed
        assert rows[-1]["name"] == "**together**"
        assert rows[-1]["seconds"] == pytest.approx(sum(row["seconds"] for row in rows[:-1]))


@pytest.mark.parametrize(
    ("given", "said"),
    [([], "no working CUDA device"), (["--tiny"], "--tiny --device cpu"), (["--device", "cpu"], "add --tiny")],
)
def test_without_a_device_it_says_so(
    given: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench_gpu_310.torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as ended:
        main(given)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
