"""The reader against transformers' own hidden states."""

import numpy as np
import pytest
import torch
from tiny import silent, write_model

from fixtures import hidden
from fixtures.chat import end_id, prompt_ids
from fixtures.device import pick
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
    assert ran == [0]
    assert not loaded.model.model.layers[1]._forward_pre_hooks


def test_batches_by_length_change_no_order(tiny, monkeypatch):
    whole = read(tiny, REQUESTS, [1, 2], "mean_response")
    monkeypatch.setitem(hidden.BATCH_TOKENS, "cpu", 1)
    np.testing.assert_allclose(read(tiny, REQUESTS, [1, 2], "mean_response"), whole, rtol=1e-4, atol=1e-6)


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
