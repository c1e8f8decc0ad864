"""The reader against transformers' own hidden states."""

from itertools import product, takewhile

import numpy as np
import pytest
import torch
from tiny import silent, write_model
from transformers import Qwen2Config, Qwen2ForCausalLM

from fixtures import hidden, prefixes
from fixtures.chat import end_id, prompt_ids
from fixtures.device import Place, pick
from fixtures.hidden import TransformersReader
from fixtures.loading import forget, load
from harness.contracts.records import Message, ModelRef, ReadRequest
from harness.core.errors import JobError

TEXTS = [("Why?", "Because."), ("How does it go on from here?", "On."), ("A", "A longer answer, with commas.")]
REQUESTS = [
    ReadRequest(messages=(Message(role="system", content="Be brief."), Message(role="user", content=q)), answer=a)
    for q, a in TEXTS
]
POSITIONS = ("last_content", "end", "last_prompt", "mean_prompt", "mean_response")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    yield ModelRef(path=write_model(tmp_path_factory.mktemp("tiny"), longest=128))
    forget()


def expected(loaded, request, layer, token):
    """One text at a time, everything computed, then the position picked."""
    p = prompt_ids(loaded.tokenizer, request.messages)
    a = loaded.tokenizer(request.answer, add_special_tokens=False)["input_ids"]
    with torch.inference_mode():
        states = loaded.model(
            torch.tensor([[*p, *a, end_id(loaded.tokenizer)]]), output_hidden_states=True
        ).hidden_states
    state = states[layer][0].double().numpy()
    n, m = len(p), len(a)
    return {
        "last_content": state[n + m - 1],
        "end": state[n + m],
        "last_prompt": state[n - 1],
        "mean_prompt": state[:n].mean(0),
        "mean_response": state[n : n + m].mean(0),
    }[token]


def read(tiny, requests, layers, token):
    return TransformersReader("cpu").read(tiny, requests, layers=layers, token=token, progress=silent)


@pytest.mark.parametrize("token", POSITIONS)
def test_states_equal_output_hidden_states(tiny, token):
    loaded = load(tiny, pick("cpu"))
    found = read(tiny, REQUESTS, [2, 0, 1], token)
    assert found.shape == (3, 3, 32)
    assert found.dtype == np.float32
    for row, request in zip(found, REQUESTS, strict=True):
        for state, layer in zip(row, [2, 0, 1], strict=True):
            want = expected(loaded, request, layer, token)
            assert np.abs(state - want).max() <= 1e-5 * np.abs(want).max()


@pytest.mark.parametrize("layers", [[0], [1], [2]])
def test_any_depth_alone(tiny, layers):
    whole = read(tiny, REQUESTS, [0, 1, 2], "end")
    np.testing.assert_allclose(read(tiny, REQUESTS, layers, "end")[:, 0], whole[:, layers[0]], rtol=1e-5)


def test_blocks_after_the_deepest_layer_do_not_run(tiny):
    loaded = load(tiny, pick("cpu"))
    ran = []
    handles = [
        block.register_forward_hook(lambda *_, i=i: ran.append(i)) for i, block in enumerate(loaded.model.model.layers)
    ]
    try:
        read(tiny, REQUESTS, [1], "end")
    finally:
        for handle in handles:
            handle.remove()
    assert ran == [0, 0], "once for the beginning that the texts share, and once for what follows it"
    assert not loaded.model.model.layers[1]._forward_pre_hooks


def test_batches_by_length_change_no_order(tiny, monkeypatch):
    whole = read(tiny, REQUESTS, [1, 2], "mean_response")
    monkeypatch.setitem(hidden.BATCH_TOKENS, "cpu", 1)
    np.testing.assert_allclose(read(tiny, REQUESTS, [1, 2], "mean_response"), whole, rtol=1e-4, atol=1e-6)


def out_of_memory_over(most, real=hidden._forward):
    def forward(loaded, spans, *rest, **more):
        if len(spans) * max(len(span.ids) for span in spans) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return real(loaded, spans, *rest, **more)

    return forward


@pytest.mark.parametrize(("most", "least"), [(150, 1000), (130, 16)])
def test_without_memory_texts_are_read_in_smaller_batches(tiny, monkeypatch, caplog, most, least):
    """Without a shared beginning, and behind one."""
    whole = read(tiny, REQUESTS, [1, 2], "end")
    monkeypatch.setattr(prefixes, "LEAST", least)
    monkeypatch.setattr(hidden, "_forward", out_of_memory_over(most))
    found = read(tiny, REQUESTS, [1, 2], "end")
    np.testing.assert_allclose(found, whole, rtol=1e-4, atol=1e-6)
    assert caplog.records[0].getMessage().startswith("out of memory while reading hidden states with ")


def test_a_text_that_does_not_fit_says_what_to_lower(tiny, monkeypatch):
    monkeypatch.setattr(hidden, "_forward", out_of_memory_over(1))
    with pytest.raises(JobError, match=r"even of one text of \d+ tokens; lower sampling.max_new_tokens"):
        read(tiny, REQUESTS, [1], "end")


@pytest.mark.parametrize(
    ("request_", "layers", "token", "message"),
    [
        (REQUESTS[0], [3], "end", "hidden states 0 to 2"),
        (REQUESTS[0], [], "end", "asked for none"),
        (REQUESTS[0].model_copy(update={"answer": None}), [1], "end", "needs an answer"),
        (REQUESTS[0].model_copy(update={"answer": ""}), [1], "last_content", "is empty"),
        (
            REQUESTS[0].model_copy(update={"messages": (Message(role="user", content="x" * 200),)}),
            [1],
            "end",
            "not fit",
        ),
    ],
)
def test_positions_that_do_not_exist_are_errors(tiny, request_, layers, token, message):
    with pytest.raises(JobError, match=message):
        read(tiny, [request_], layers, token)


def test_the_end_token_exists_after_an_empty_answer(tiny):
    assert read(tiny, [REQUESTS[0].model_copy(update={"answer": ""})], [1], "end").shape == (1, 1, 32)


def test_prompt_positions_need_no_answer(tiny):
    bare = [request.model_copy(update={"answer": None}) for request in REQUESTS]
    np.testing.assert_allclose(read(tiny, bare, [1], "last_prompt"), read(tiny, REQUESTS, [1], "last_prompt"))


def test_answers_are_cut_where_the_context_is_full(tiny):
    loaded = load(tiny, pick("cpu"))
    room = 128 - len(prompt_ids(loaded.tokenizer, REQUESTS[0].messages)) - 1
    long, cut = (REQUESTS[0].model_copy(update={"answer": "x" * count}) for count in (300, room))
    for token in ("last_content", "end", "mean_response"):
        assert np.array_equal(read(tiny, [long], [2], token), read(tiny, [cut], [2], token))


PERSONAS = ["Be brief, and never say more than you know.", "You are a pirate who tells long tales of the sea."]
CROWD = [
    ReadRequest(
        messages=(Message(role="system", content=persona), Message(role="user", content=question)), answer=answer
    )
    for persona in PERSONAS
    for question, answer in TEXTS
    for answer in (answer, f"{answer} And more.")
]


@pytest.mark.parametrize("token", POSITIONS)
def test_shared_beginnings_give_the_same_states(tiny, monkeypatch, token):
    """Groups of several lengths, several texts each, in one wave and in many, and some text that is asked twice."""
    loaded = load(tiny, pick("cpu"))
    asked = [*CROWD, CROWD[3]]
    want = np.stack([[expected(loaded, request, layer, token) for layer in (0, 1, 2)] for request in asked])
    for tokens in (4096, 200):
        monkeypatch.setitem(hidden.BATCH_TOKENS, "cpu", tokens)
        found = read(tiny, asked, [0, 1, 2], token)
        assert np.abs(found - want).max(-1).max() <= 1e-5 * np.abs(want).max()
        assert np.array_equal(found, read(tiny, asked, [0, 1, 2], token)), "equal calls, equal bits"
        assert np.array_equal(found[3], found[-1])


def test_a_shared_beginning_is_computed_once(tiny, monkeypatch):
    monkeypatch.setitem(hidden.BATCH_TOKENS, "cpu", 4096)
    loaded = load(tiny, pick("cpu"))
    computed = []
    handle = loaded.model.model.layers[0].register_forward_hook(lambda _, args, out: computed.append(out.shape[:2]))
    try:
        read(tiny, CROWD, [1], "end")
    finally:
        handle.remove()
    spans = [hidden._span(loaded, request, "end") for request in CROWD]
    whole = sum(len(span.ids) for span in spans)
    assert len(computed) == 2
    assert sum(rows * tokens for rows, tokens in computed) < 0.7 * whole


def test_a_text_that_is_asked_twice_is_read_once(tiny):
    loaded = load(tiny, pick("cpu"))
    rows = []
    handle = loaded.model.model.layers[0].register_forward_hook(lambda _, args, out: rows.append(len(out)))
    try:
        found = read(tiny, [REQUESTS[0]] * 5, [1], "last_prompt")
    finally:
        handle.remove()
    assert rows == [1]
    assert (found == found[0]).all()


def test_models_with_other_caches_share_nothing(tiny, monkeypatch):
    want = read(tiny, CROWD, [1, 2], "end")
    monkeypatch.setattr(hidden, "allowed", lambda model: False)
    monkeypatch.setattr(hidden, "_wave", None)
    np.testing.assert_allclose(read(tiny, CROWD, [1, 2], "end"), want, rtol=1e-4, atol=1e-5)


def test_sliding_windows_are_no_full_attention(tiny):
    loaded = load(tiny, pick("cpu"))
    assert prefixes.allowed(loaded.base)
    sliding = Qwen2Config(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=259, use_sliding_window=True, sliding_window=8, max_window_layers=1,
    )  # fmt: skip
    assert not prefixes.allowed(Qwen2ForCausalLM(sliding))


def test_means_of_bfloat16_states_are_taken_in_float32(tiny):
    """Against float64 means of the same states: their rounding is that of float32 and not of bfloat16 (4e-3)."""
    reader = TransformersReader("cpu")
    reader.place = Place(torch.device("cpu"), torch.bfloat16)
    request = REQUESTS[2]
    found = reader.read(tiny, [request], layers=[1, 2], token="mean_prompt", progress=silent)
    loaded = load(tiny, reader.place)
    ids = torch.tensor([prompt_ids(loaded.tokenizer, request.messages)])
    with torch.inference_mode():
        states = loaded.model(ids, output_hidden_states=True, use_cache=False).hidden_states
    want = np.stack([states[layer][0].double().mean(0).numpy() for layer in (1, 2)])
    assert states[1].dtype == torch.bfloat16
    assert np.abs(found[0] - want).max() <= 1e-6 * np.abs(want).max()


def brute(texts, shareable):
    """The most tokens that any grouping leaves out, tried one by one."""
    if len(texts) < 2:
        return 0
    heads = [text[:most] for text, most in zip(texts, shareable, strict=True)]
    best = 0
    for others in product((True, False), repeat=len(texts) - 1):
        inside = [0, *(index for index, there in enumerate(others, start=1) if there)]
        left = [index for index in range(len(texts)) if index not in inside]
        columns = zip(*(heads[index] for index in inside), strict=False)
        shared = len(list(takewhile(lambda column: len(set(column)) == 1, columns)))
        saved = (len(inside) - 1) * shared if shared >= prefixes.LEAST else 0
        best = max(best, saved + brute([texts[i] for i in left], [shareable[i] for i in left]))
    return best


def test_groups_leave_out_as_many_tokens_as_any_grouping(monkeypatch):
    monkeypatch.setattr(prefixes, "LEAST", 2)
    monkeypatch.setattr(prefixes, "PAYS", 1.0)
    rng = np.random.default_rng(4)
    for _ in range(60):
        texts = list({tuple(map(int, rng.integers(0, 2, rng.integers(3, 9)))) for _ in range(6)})
        shareable = [int(rng.integers(0, len(text))) for text in texts]
        found = prefixes.groups(texts, shareable)
        rows = [row for group in found for row in group.rows]
        assert len(rows) == len(set(rows))
        for group in found:
            assert len({texts[row][: group.length] for row in group.rows}) == 1
            assert all(group.length <= shareable[row] for row in group.rows)
        assert sum((len(group.rows) - 1) * group.length for group in found) == brute(texts, shareable)


def test_thousands_of_nested_texts_need_no_deep_recursion():
    texts = [tuple(range(size)) for size in range(20, 3020)]
    assert prefixes.groups(texts, [len(text) - 1 for text in texts])
