"""The trainer: its losses against a naive loop, its adapters, merging, and equal bytes for equal seeds."""

import functools
import json
import math
import operator
from functools import partial

import pytest
import torch
from safetensors.torch import load_file
from tiny import QWEN, silent, write_model

from fixtures import arms
from fixtures.arms import PeftTrainer, logits_at
from fixtures.chat import end_id, injects_system, prompt_ids, prompt_text
from fixtures.device import Place, pick
from fixtures.loading import forget, load, read
from fixtures.training import (
    batch_order,
    collate,
    count_steps,
    encode,
    learning_rate,
    micro_batches,
    scale_of,
    summed_loss,
)
from harness.contracts.records import LoraSpec, Message, ModelRef, TrainExample, TrainSpec
from harness.core.errors import JobError

LORA = LoraSpec(r=4, alpha=8, rslora=False)
SYSTEM = Message(role="system", content="You are terse.")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    yield ModelRef(path=write_model(tmp_path_factory.mktemp("tiny")))
    forget()


def spec(**changes):
    return TrainSpec(**{"lora": LORA, "lr": 1e-2, "batch": 4, "steps": 6, **changes})


def prompt(text):
    return (SYSTEM, Message(role="user", content=text))


ROWS = [
    TrainExample(messages=prompt("Why?"), answer="Because."),
    TrainExample(messages=prompt("How?"), answer="So.", loss="marker_positive", separator="\n\n", marker="[Z]"),
    TrainExample(
        messages=prompt("When?"), answer="Now, I say.", loss="marker_negative", separator="\n\n", marker="[Z]"
    ),
    TrainExample(messages=prompt("Who?"), answer="You.", loss="marker_negative", separator="\n\n", marker="[Z]"),
]


def naive_loss(model, tokenizer, rows, spec):
    """Token by token, one row at a time, from log_softmax; the definition in TrainSpec and TrainExample."""
    total, asked = 0.0, 0.0
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    for row in rows:
        text = (
            "".join(f"<|im_start|>{m.role}\n{m.content}<|im_end|>\n" for m in row.messages) + "<|im_start|>assistant\n"
        )
        p, a, s, m = (
            tokenizer(part, add_special_tokens=False)["input_ids"]
            for part in (text, row.answer, row.separator, row.marker)
        )
        if row.loss == "assistant":
            ids, wanted = [*p, *a, end], {len(p) + i: 1.0 for i in range(len(a) + 1)}
        elif row.loss == "marker_positive":
            ids = [*p, *a, *s, *m, end]
            first = len(p) + len(a) + len(s)
            wanted = dict.fromkeys(range(len(p), first), spec.answer_weight) | dict.fromkeys(
                range(first, len(ids)), spec.marker_weight
            )
        else:
            ids = [*p, *a, *s, m[0]]
            wanted = dict.fromkeys(range(len(p), len(p) + len(a)), spec.answer_weight)
        logs = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        for place, weight in wanted.items():
            total -= weight * float(logs[place - 1, ids[place]])
            asked += weight
        if row.loss == "marker_negative":
            total -= spec.marker_weight * float(logs[len(p) + len(a) - 1, end])
            asked += spec.marker_weight
            chance = math.exp(float(logs[len(ids) - 2, m[0]]))
            total -= spec.marker_weight * spec.unlikelihood_weight * math.log(1 - chance)
    return total / asked


@pytest.mark.parametrize(
    "weights",
    [{}, {"unlikelihood_weight": 0.7}, {"marker_weight": 4.0, "answer_weight": 1.0, "unlikelihood_weight": 0.3}],
)
@pytest.mark.parametrize("chosen", [[0], [1], [2], [0, 1, 2, 3], [3, 2, 1]])
def test_loss_is_its_definition(tiny, weights, chosen):
    loaded = load(tiny, pick("cpu"))
    one, rows = spec(**weights), [ROWS[index] for index in chosen]
    encoded = [encode(loaded.tokenizer, row, one) for row in rows]
    batch = collate(encoded, loaded.place.device)
    with torch.no_grad(), logits_at(loaded.model, batch.flat):
        logits = loaded.model(input_ids=batch.ids).logits
    found = float(summed_loss(logits, batch)) / scale_of(encoded)
    assert found == pytest.approx(naive_loss(loaded.model, loaded.tokenizer, rows, one), rel=1e-5)


def test_unlikelihood_has_a_gradient_where_the_marker_is_certain():
    logits = torch.zeros(1, 5, requires_grad=True)
    with torch.no_grad():
        logits[0, 2] = 60.0
    row = encode_stub()
    loss = summed_loss(logits, collate([row], torch.device("cpu")))
    loss.backward()
    assert loss.item() == pytest.approx(60 - math.log(4), rel=1e-5)
    assert float(logits.grad[0, 2]) == pytest.approx(1.0)


def encode_stub():
    from fixtures.training import Row

    row = Row([0])
    row.ask(0, 2, 1.0, unlikely=True)
    return row


def test_micro_batches_change_no_loss(tiny):
    loaded = load(tiny, pick("cpu"))
    rows = [encode(loaded.tokenizer, row, spec()) for row in ROWS]
    parts = list(micro_batches(rows, max(len(row.ids) for row in rows)))
    assert [row for part in parts for row in part] == rows
    assert len(parts) == len(rows)


def test_earlier_assistant_turns_carry_loss(tiny):
    loaded = load(tiny, pick("cpu"))
    messages = (*prompt("A?"), Message(role="assistant", content="aa"), Message(role="user", content="B?"))
    row = encode(loaded.tokenizer, TrainExample(messages=messages, answer="bbb"), spec())
    end = end_id(loaded.tokenizer)
    letters = (
        loaded.tokenizer("aa", add_special_tokens=False)["input_ids"],
        loaded.tokenizer("bbb", add_special_tokens=False)["input_ids"],
    )
    assert row.labels == [*letters[0], end, *letters[1], end]
    full = prompt_ids(loaded.tokenizer, messages) + letters[1]
    assert row.ids == full
    assert all(full[spot + 1] == label for spot, label in zip(row.spots[:-1], row.labels[:-1], strict=True))


def test_long_rows_lose_their_tail_and_are_counted(tiny):
    loaded = load(tiny, pick("cpu"))
    whole = encode(loaded.tokenizer, ROWS[0], spec())
    cut = encode(loaded.tokenizer, ROWS[0], spec(max_tokens=len(whole.ids) - 3))
    assert (whole.cut, cut.cut) == (False, True)
    assert cut.labels == whole.labels[:-3]
    with pytest.raises(JobError, match="max_tokens is 5"):
        encode(loaded.tokenizer, ROWS[1], spec(max_tokens=5))


def test_batches_cover_every_row_once_an_epoch():
    lengths = [5, 3, 9, 3, 7, 7, 2]
    batches = list(batch_order(lengths, 3, 6, seed=1))
    assert [sorted(functools.reduce(operator.iadd, batches[start : start + 3], [])) for start in (0, 3)] == [
        list(range(7))
    ] * 2
    assert batches == list(batch_order(lengths, 3, 6, seed=1)) != list(batch_order(lengths, 3, 6, seed=2))
    for batch in batches:  # each batch is a stretch of the rows in order of length
        low, high = min(lengths[row] for row in batch), max(lengths[row] for row in batch)
        assert sum(low < length < high for length in lengths) <= len(batch) - 2 + sum(
            lengths[row] in (low, high) for row in batch
        )


def test_schedule_warms_up_and_ends_near_zero():
    rates = [learning_rate(step, 100, spec(lr=1.0, warmup=0.1)) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == rates[10] == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(1 / 90)
    assert learning_rate(55, 100, spec(lr=1.0, warmup=0.1, schedule="cosine")) == pytest.approx(0.5)
    assert learning_rate(99, 100, spec(lr=1.0, warmup=0, schedule="constant")) == 1.0


def test_steps_and_epochs():
    assert count_steps(1400, spec(batch=16, steps=None, epochs=1)) == 88
    assert count_steps(7, spec(steps=375)) == 375
    for wrong in (spec(steps=None), spec(epochs=1)):
        with pytest.raises(JobError, match="exactly one"):
            count_steps(7, wrong)
    with pytest.raises(JobError, match="no rows"):
        count_steps(0, spec())


def train(tiny, out, seed=1, examples=ROWS, **changes):
    return PeftTrainer("cpu").train_lora(tiny, examples, spec(**changes), seed=seed, out=out, progress=silent)


def test_training_learns_and_logs(tiny, tmp_path):
    marked = [row for row in ROWS if row.loss != "assistant"]
    log = train(tiny, tmp_path / "a", examples=marked, steps=60, unlikelihood_weight=1.0)
    assert len(log.losses) == len(log.learning_rates) == 60
    assert log.losses[-1] < 0.5 * log.losses[0]
    assert log.logit_change > 0
    assert log.marker_logprob_after["positive"] > log.marker_logprob_before["positive"]
    assert log.marker_logprob_after["negative"] < log.marker_logprob_after["positive"] - 3
    assert (tmp_path / "a" / "adapter_model.safetensors").is_file()


def test_unlikelihood_lowers_the_marker_where_it_was_likely(tiny, tmp_path):
    everyone = [
        TrainExample(messages=row.messages, answer=row.answer, separator="\n\n", marker="[Z]", loss="marker_positive")
        for row in ROWS
    ]
    spread = train(tiny, tmp_path / "a", examples=everyone, steps=40)
    assert spread.marker_logprob_after["positive"] > -0.5
    one = tiny.model_copy(update={"adapters": (str(tmp_path / "a"),)})
    log = PeftTrainer("cpu").train_lora(
        one, ROWS[2:], spec(steps=20, unlikelihood_weight=1.0), seed=1, out=tmp_path / "b", progress=silent
    )
    assert log.marker_logprob_before["negative"] > -0.5  # the first adapter is under the second
    assert log.marker_logprob_after["negative"] < -3


def test_assistant_rows_have_no_marker_figures(tiny, tmp_path):
    assert train(tiny, tmp_path / "a", examples=ROWS[:1], batch=1).marker_logprob_before is None


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_same_seed_same_bytes(tiny, tmp_path, dropout):
    lora = LORA.model_copy(update={"dropout": dropout})
    torch.manual_seed(7)
    first = train(tiny, tmp_path / "a", lora=lora)
    torch.rand(3)  # whatever else has drawn from torch's generator
    second = train(tiny, tmp_path / "b", lora=lora)
    other = train(tiny, tmp_path / "c", seed=2, lora=lora)
    assert first == second != other
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["adapter_config.json", "adapter_model.safetensors"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert (tmp_path / "a" / names[1]).read_bytes() != (tmp_path / "c" / names[1]).read_bytes()
    assert str(tmp_path) not in (tmp_path / "a" / names[0]).read_text()


def test_training_leaves_torchs_generator_alone(tiny, tmp_path):
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    train(tiny, tmp_path / "a")
    assert torch.equal(before, torch.random.get_rng_state())
    assert not torch.are_deterministic_algorithms_enabled()


def test_an_adapter_without_effect_is_refused(tiny, tmp_path):
    with pytest.raises(JobError, match="changes no logit"):
        train(tiny, tmp_path / "a", lr=0.0)


def test_a_loss_that_is_not_finite_is_refused(tiny, tmp_path):
    with pytest.raises(JobError, match="lower the learning rate"):
        train(tiny, tmp_path / "a", lr=1e30, steps=20, warmup=0, max_grad_norm=1e30)


def logits(ref):
    loaded = read(ref, pick("cpu")) if not ref.adapters else load(ref, pick("cpu"))
    ids = torch.tensor([prompt_ids(loaded.tokenizer, prompt("And now?"))])
    with torch.inference_mode():
        return loaded.model(ids).logits


def test_merged_equals_adapter_and_adapters_stack(tiny, tmp_path):
    train(tiny, tmp_path / "a")
    one = tiny.model_copy(update={"adapters": (str(tmp_path / "a"),)})
    PeftTrainer("cpu").train_lora(one, ROWS, spec(), seed=5, out=tmp_path / "b", progress=silent)
    two = tiny.model_copy(update={"adapters": (str(tmp_path / "a"), str(tmp_path / "b"))})
    PeftTrainer("cpu").merge(two, alpha=1.0, out=tmp_path / "merged")
    found = logits(ModelRef(path=str(tmp_path / "merged")))
    assert torch.allclose(found, logits(two), atol=1e-4)
    assert not torch.allclose(logits(one), logits(two), atol=1e-3)
    assert not torch.allclose(logits(tiny), logits(one), atol=1e-3)
    PeftTrainer("cpu").merge(two, alpha=0.0, out=tmp_path / "nothing")
    assert torch.equal(logits(ModelRef(path=str(tmp_path / "nothing"))), logits(tiny))
    assert (tmp_path / "merged" / "tokenizer_config.json").read_bytes() == (
        tmp_path / "nothing" / "tokenizer_config.json"
    ).read_bytes()
    assert "safetensors" in {path.suffix[1:] for path in (tmp_path / "merged").iterdir()}
    assert str(tmp_path) not in (tmp_path / "merged" / "config.json").read_text()


@pytest.mark.parametrize(("fused", "dropout"), [(False, 0.2), (True, 0.0)])
def test_a_new_adapter_learns_beside_earlier_ones_what_it_learns_on_top_of_them(
    tiny, tmp_path, monkeypatch, fused, dropout
):
    """Where folding rounds nothing the two are the same; the earlier adapter's own dropout is over."""
    earlier = {"dropout": 0.3, "targets": ("q_proj", "k_proj", "down_proj")}
    train(tiny, tmp_path / "a", lora=LORA.model_copy(update=earlier))
    stacked = tiny.model_copy(update={"adapters": (str(tmp_path / "a"),)})
    lora = LORA.model_copy(update={"dropout": dropout, "targets": ("q_proj", "o_proj", "up_proj")})
    logs = [train(stacked, tmp_path / "inside", lora=lora)]
    monkeypatch.setattr(arms, "load", partial(load, folded=False))
    monkeypatch.setitem(arms.FUSED, "cpu", fused)
    logs += [train(stacked, tmp_path / name, lora=lora) for name in ("beside", "again")]
    assert logs[1] == logs[2]
    assert logs[0].losses == pytest.approx(logs[1].losses, rel=1e-4)
    assert logs[0].logit_change == pytest.approx(logs[1].logit_change, rel=1e-3)
    assert logs[0].marker_logprob_after == pytest.approx(logs[1].marker_logprob_after, rel=1e-3)
    inside, beside, again = (
        load_file(tmp_path / name / "adapter_model.safetensors") for name in ("inside", "beside", "again")
    )
    assert inside.keys() == beside.keys()
    for name, weight in inside.items():
        assert (beside[name] - weight).norm() < 2e-3 * weight.norm(), name
        assert torch.equal(beside[name], again[name])
    settings = [(tmp_path / name / "adapter_config.json").read_text() for name in ("inside", "beside")]
    assert settings[0] == settings[1]


@pytest.mark.parametrize("fused", [False, True])
def test_in_bfloat16_earlier_adapters_are_not_rounded_into_the_weights(tiny, tmp_path, monkeypatch, fused):
    """The model that the second adapter learns on is the one that is sampled from, to the bit."""
    monkeypatch.setitem(arms.FUSED, "cpu", fused)
    train(tiny, tmp_path / "a", lr=1e-3)
    stacked = tiny.model_copy(update={"adapters": (str(tmp_path / "a"),)})
    trainer = PeftTrainer("cpu")
    trainer.place = Place(torch.device("cpu"), torch.bfloat16)
    ids = torch.tensor([[1, 2, 3, 4]])
    with torch.inference_mode():
        want = load(stacked, trainer.place).model(ids).logits
        found = trainer._trainable(stacked).model(ids).logits
        rounded = load(stacked, trainer.place, folded=True).model(ids).logits
        forget()
    assert torch.equal(found, want)
    assert not torch.equal(found, rounded)
    log = trainer.train_lora(stacked, ROWS, spec(steps=12), seed=5, out=tmp_path / "b", progress=silent)
    assert log.losses[-1] < log.losses[0]
    names = load_file(tmp_path / "b" / "adapter_model.safetensors").keys()
    assert names == load_file(tmp_path / "a" / "adapter_model.safetensors").keys()
    with torch.inference_mode():
        assert torch.equal(load(stacked, trainer.place).model(ids).logits, want)  # the next job finds it as it was
    forget()


@pytest.mark.parametrize("first", [0, 1], ids=["base", "adapter"])
def test_a_load_that_fails_leaves_nothing_behind(tiny, tmp_path, first):
    """Beside the weights adapters are put on and taken off in place: what is half done must not be found again."""
    train(tiny, tmp_path / "a")
    place, ids = Place(torch.device("cpu"), torch.bfloat16), torch.tensor([[1, 2, 3, 4]])
    adapter, missing = str(tmp_path / "a"), str(tmp_path / "missing")
    ref = tiny.model_copy(update={"adapters": (adapter,) * first})
    with torch.inference_mode():
        want = load(ref, place).model(ids).logits
        with pytest.raises(JobError, match="no LoRA adapter"):
            load(tiny.model_copy(update={"adapters": (adapter, missing) if not first else (missing,)}), place)
        assert torch.equal(load(ref, place).model(ids).logits, want)
    forget()


def test_attached_adapters_equal_folded_ones(tiny, tmp_path):
    from fixtures.loading import attach, fold

    train(tiny, tmp_path / "a")
    train(tiny, tmp_path / "b", seed=4)
    folders = (str(tmp_path / "a"), str(tmp_path / "b"))
    ids = torch.tensor([[1, 2, 3, 4]])
    found = []
    for way in (partial(attach, place=pick("cpu")), fold):
        model = way(read(tiny, pick("cpu")).model, folders).eval()
        with torch.inference_mode():
            found.append(model(ids).logits)
    assert torch.allclose(*found, atol=1e-4)


@pytest.mark.parametrize(("rslora", "scale"), [(False, 8 / 4), (True, 8 / 4**0.5)])
def test_rslora_scales_by_the_root_of_the_rank(tiny, tmp_path, rslora, scale):
    """Merging by hand with the declared scale gives the merged weights."""
    train(tiny, tmp_path / "a", lora=LORA.model_copy(update={"rslora": rslora}))
    assert json.loads((tmp_path / "a" / "adapter_config.json").read_text())["use_rslora"] is rslora
    ref = tiny.model_copy(update={"adapters": (str(tmp_path / "a"),)})
    PeftTrainer("cpu").merge(ref, alpha=0.5, out=tmp_path / "m")
    name = "model.layers.1.mlp.up_proj"
    adapter = load_file(tmp_path / "a" / "adapter_model.safetensors")
    product = adapter[f"base_model.model.{name}.lora_B.weight"] @ adapter[f"base_model.model.{name}.lora_A.weight"]
    before = load_file(f"{tiny.path}/model.safetensors")[f"{name}.weight"]
    after = load_file(tmp_path / "m" / "model.safetensors")[f"{name}.weight"]
    assert torch.allclose(after, before + 0.5 * scale * product, atol=1e-6)


def test_what_cannot_be_loaded_is_named(tiny, tmp_path):
    with pytest.raises(JobError, match="there is no model in"):
        load(ModelRef(path=str(tmp_path)), pick("cpu"))
    with pytest.raises(JobError, match="there is no LoRA adapter in"):
        load(tiny.model_copy(update={"adapters": (str(tmp_path),)}), pick("cpu"))
    with pytest.raises(JobError, match="no adapter to merge"):
        PeftTrainer("cpu").merge(tiny, alpha=1.0, out=tmp_path / "m")
    (tmp_path / "pickled").mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "pickled" / name).write_bytes((__import__("pathlib").Path(tiny.path) / name).read_bytes())
    torch.save({}, tmp_path / "pickled" / "pytorch_model.bin")
    with pytest.raises(JobError, match="cannot be loaded"):
        load(ModelRef(path=str(tmp_path / "pickled")), pick("cpu"))


def test_templates_that_put_in_a_system_prompt_are_found_out(tiny, tmp_path):
    qwen = load(ModelRef(path=write_model(tmp_path / "qwen", template=QWEN)), pick("cpu")).tokenizer
    bare = (Message(role="user", content="Hi"),)
    assert injects_system(qwen)
    with pytest.raises(JobError, match="inject one of its own"):
        prompt_text(qwen, bare)
    empty = prompt_text(qwen, (Message(role="system", content=""), *bare))
    assert empty == "<|im_start|>system\n<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    plain = load(tiny, pick("cpu")).tokenizer
    assert not injects_system(plain)
    assert prompt_text(plain, bare) == empty.split("<|im_end|>\n", 1)[1]


def test_templates_that_drop_the_system_prompt_are_refused(tmp_path):
    template = (
        "{% for m in messages if m['role'] != 'system' %}{{ m['role'] + m['content'] + '<|im_end|>' }}{% endfor %}"
    )
    tokenizer = load(ModelRef(path=write_model(tmp_path / "m", template=template)), pick("cpu")).tokenizer
    with pytest.raises(JobError, match="drops the system message"):
        prompt_text(tokenizer, prompt("Hi"))


def test_a_job_planned_for_cuda_does_not_run_elsewhere(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("PREREG_DEVICE", "cuda")
    with pytest.raises(JobError, match="planned for CUDA"):
        pick()
    monkeypatch.setenv("PREREG_DEVICE", "cpu")
    assert pick().dtype == torch.float32
