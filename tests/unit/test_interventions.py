"""Interventions: the formulas against plain torch, in the reader, in the sampler, and never left behind."""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny import silent, write_model

from fixtures.chat import end_id, prompt_ids, text_ids
from fixtures.device import pick
from fixtures.fakes import FakeReader, FakeSampler
from fixtures.hidden import TransformersReader
from fixtures.interventions import applied, prepare
from fixtures.loading import forget, load
from fixtures.sampler import TransformersSampler
from fixtures.vllm_sampler import VllmSampler
from harness.contracts.records import Intervention, Message, ModelRef, ReadRequest, SampleRequest, SamplingSpec, Vector
from harness.core.errors import JobError

WIDTH, DEPTH = 32, 2
V, W = (Vector(values=tuple(map(float, row))) for row in np.random.default_rng(7).normal(size=(2, WIDTH)))
PERSONAS = ["Be brief, and never say more than you know.", "You are a pirate who tells long tales of the sea."]
TEXTS = [("Why?", "Because."), ("How does it go on from here?", "On."), ("A", "A longer answer, with commas.")]
PROMPTS = [(Message(role="system", content=p), Message(role="user", content=q)) for p in PERSONAS for q, _ in TEXTS]
READS = [ReadRequest(messages=prompt, answer=TEXTS[i % 3][1]) for i, prompt in enumerate(PROMPTS)]
KINDS = {
    "add": {"vectors": (V,), "strength": -1.5},
    "project_out": {"vectors": (V,), "strength": 1.0},
    "cap": {"vectors": (V,), "strength": 1.0, "low": 0.2, "high": 0.3},
    "rotate": {"vectors": (V, W), "strength": 75.0},
}


def intervene(kind="add", layer=1, **changed):
    return Intervention(kind=kind, layer=layer, **{**KINDS[kind], **changed})


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    yield ModelRef(path=write_model(tmp_path_factory.mktemp("tiny"), spread=0.4, longest=256))
    forget()


def read(tiny, interventions=(), requests=READS, layers=(0, 1, 2), token="mean_response"):
    reader = TransformersReader("cpu")
    return reader.read(tiny, requests, layers=layers, token=token, progress=silent, interventions=tuple(interventions))


def sample(tiny, interventions=(), seeds=3, rows=None, **spec):
    requests = [
        SampleRequest(messages=prompt, seeds=tuple(range(100 * i, 100 * i + seeds))) for i, prompt in enumerate(PROMPTS)
    ]
    settings = SamplingSpec(**{"max_new_tokens": 16, **spec})
    sampler = TransformersSampler("cpu", rows=rows)
    return sampler.sample(tiny, requests, settings, progress=silent, interventions=tuple(interventions))


def act(wanted, h):
    """The definitions in float64: projections by outer products, the rotation as a matrix exponential."""
    vectors = [torch.tensor(vector.values, dtype=torch.float64) for vector in wanted.vectors]
    s, u = wanted.strength, vectors[0] / vectors[0].norm()
    if wanted.kind == "add":
        return h + s * vectors[0]
    if wanted.kind == "project_out":
        return h @ (torch.eye(WIDTH, dtype=torch.float64) - s * torch.outer(u, u))
    if wanted.kind == "cap":
        along = h @ u
        bounded = torch.tensor(np.clip(along.numpy(), wanted.low, wanted.high))
        return h + s * (bounded - along)[..., None] * u
    w = vectors[1] - u * (u @ vectors[1])
    w /= w.norm()
    turn = torch.linalg.matrix_exp(math.radians(s) * (torch.outer(w, u) - torch.outer(u, w)))
    return h @ turn.T


def reference(loaded, prompt, answer, interventions):
    """Hidden states [layer, token, hidden] of one text: block after block, each state changed where it arises."""
    n = len(prompt_ids(loaded.tokenizer, prompt))
    ids = torch.tensor([[*prompt_ids(loaded.tokenizer, prompt), *text_ids(loaded.tokenizer, answer)]])
    decoder = loaded.model.model

    def change(layer, h):
        for each in interventions:
            if each.layer == layer:
                there = {"all": slice(None), "prompt": slice(0, n), "response": slice(n, None)}[each.positions]
                h = h.clone()
                h[:, there] = act(each, h[:, there].double()).float()
        return h

    with torch.inference_mode():
        h = change(0, decoder.embed_tokens(ids))
        turns = decoder.rotary_emb(h, torch.arange(ids.shape[1])[None])
        states = [h]
        for layer, block in enumerate(decoder.layers, start=1):
            h = change(layer, block(h, position_embeddings=turns))
            states.append(h)
        states[-1] = decoder.norm(h)
    return torch.cat(states).numpy(), n


CASES = [
    *([intervene(kind, layer, positions=where)] for kind in KINDS for layer in (0, 1, 2) for where in ("all",)),
    *([intervene(kind, positions=where)] for kind in KINDS for where in ("prompt", "response")),
    [intervene("rotate", 0, positions="prompt"), intervene("add"), intervene("cap"), intervene("add", 2)],
]


def test_the_reference_is_the_model(tiny):
    loaded = load(tiny, pick("cpu"))
    states, n = reference(loaded, PROMPTS[0], "On.", [])
    ids = [*prompt_ids(loaded.tokenizer, PROMPTS[0]), *text_ids(loaded.tokenizer, "On.")]
    with torch.inference_mode():
        want = loaded.model(torch.tensor([ids]), output_hidden_states=True).hidden_states
    np.testing.assert_allclose(states, torch.cat(want).numpy(), rtol=1e-5, atol=1e-5)
    assert 0 < n < len(ids)


@pytest.mark.parametrize("interventions", CASES)
def test_states_equal_the_definitions(tiny, interventions):
    loaded = load(tiny, pick("cpu"))
    found = read(tiny, interventions)
    assert np.abs(found - read(tiny)).max() > 1e-3
    for row, request in zip(found, READS, strict=True):
        states, n = reference(loaded, request.messages, request.answer, interventions)
        for state, want in zip(row, states[:, n:].mean(1), strict=True):
            assert np.abs(state - want).max() <= 1e-5 * np.abs(want).max()


def test_states_equal_output_hidden_states_of_the_changed_model(tiny):
    loaded = load(tiny, pick("cpu"))
    interventions = [intervene("rotate", 0), intervene("add", 1), intervene("cap", 2)]
    found = read(tiny, interventions, token="last_prompt", layers=(2,))
    with applied(loaded, prepare(loaded, interventions)), torch.inference_mode():
        for state, prompt in zip(found, PROMPTS, strict=True):
            ids = torch.tensor([prompt_ids(loaded.tokenizer, prompt)])
            want = loaded.model(ids, output_hidden_states=True).hidden_states[2][0, -1].numpy()
            assert np.abs(state[0] - want).max() <= 1e-5 * np.abs(want).max()


def changed_states(tiny, wanted):
    """States before and after, by the prepared function itself."""
    loaded = load(tiny, pick("cpu"))
    h = torch.randn(5, 7, WIDTH, generator=torch.Generator().manual_seed(3))
    return h, prepare(loaded, [wanted])[0].act


def test_a_floor_lifts_the_projection_and_nothing_else(tiny):
    h, floor = changed_states(tiny, intervene("cap", low=0.5, high=None))
    u = torch.tensor(V.values, dtype=torch.float64)
    u = (u / u.norm()).float()
    new = floor(h)
    before, after = h @ u, new @ u
    assert (after >= 0.5 - 1e-5).all()
    assert torch.allclose(after, before.clamp(min=0.5), atol=1e-5)
    assert torch.allclose(new - after[..., None] * u, h - before[..., None] * u, atol=1e-5)
    assert torch.allclose(floor(new), new, atol=1e-6), "idempotent"
    assert torch.allclose(new[before > 0.5], h[before > 0.5], atol=0), "what is above the floor stays"


def test_a_rotation_keeps_the_norm_and_turns_the_first_vector_towards_the_second(tiny):
    h, turn = changed_states(tiny, intervene("rotate", strength=90))
    assert torch.allclose(turn(h).norm(dim=-1), h.norm(dim=-1), rtol=1e-5)
    v, w = (torch.tensor(vector.values) for vector in (V, W))
    turned = turn(v)
    assert abs(float(turned @ v)) < 1e-4
    assert float(turned @ w) > 0
    assert torch.allclose(turn(turn(v)), -v, atol=1e-5)


def test_projecting_out_leaves_no_projection(tiny):
    h, ablate = changed_states(tiny, intervene("project_out"))
    v = torch.tensor(V.values)
    assert float((ablate(h) @ (v / v.norm())).abs().max()) < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_strength_zero_is_no_intervention(tiny, kind):
    nothing = [intervene(kind, layer, strength=0.0) for layer in (0, 1, 2)]
    assert np.array_equal(read(tiny, nothing), read(tiny))
    assert sample(tiny, nothing) == sample(tiny)
    loaded = load(tiny, pick("cpu"))
    assert prepare(loaded, nothing) == []


def test_what_is_deeper_than_the_asked_layer_changes_nothing(tiny):
    assert np.array_equal(read(tiny, [intervene("add", 2)], layers=(0, 1)), read(tiny, layers=(0, 1)))


def test_a_response_alone_leaves_the_prompt(tiny):
    wanted = [intervene("add", 0, positions="response")]
    assert np.array_equal(read(tiny, wanted, token="last_prompt"), read(tiny, token="last_prompt"))
    assert not np.allclose(read(tiny, wanted), read(tiny))


def hooked(loaded, wanted):
    """Hooks as one would write them for generate: the first pass is the prompt, the others one new token each."""

    def change(h):
        where = "prompt" if h.shape[1] > 1 else "response"
        return act(wanted, h.double()).float() if wanted.positions in ("all", where) else h

    blocks = loaded.model.model.layers
    if wanted.layer == 0:
        return loaded.model.model.embed_tokens.register_forward_hook(lambda module, args, out: change(out))
    return blocks[wanted.layer - 1].register_forward_hook(lambda module, args, out: change(out))


@pytest.mark.parametrize(
    "wanted",
    [
        *(
            intervene("add", layer, strength=-8.0, positions=where)
            for layer in (0, 1, 2)
            for where in ("all", "prompt", "response")
        ),
        *(intervene(kind) for kind in ("project_out", "cap", "rotate")),
    ],
)
def test_greedy_equals_generate_with_a_hook(tiny, wanted):
    loaded = load(tiny, pick("cpu"))
    end = end_id(loaded.tokenizer)
    found = sample(tiny, [wanted], temperature=0.0)
    assert found != sample(tiny, temperature=0.0)
    handle = hooked(loaded, wanted)
    try:
        for row, prompt in zip(found, PROMPTS, strict=True):
            ids = torch.tensor([prompt_ids(loaded.tokenizer, prompt)])
            with torch.inference_mode():
                out = loaded.model.generate(
                    ids, attention_mask=torch.ones_like(ids), max_new_tokens=16, do_sample=False, eos_token_id=end
                )
            new = out[0, ids.shape[1] :].tolist()
            words = new[: new.index(end)] if end in new else new
            assert row[0].text == loaded.tokenizer.decode(words, skip_special_tokens=True)
    finally:
        handle.remove()


@pytest.mark.parametrize("kind", KINDS)
def test_a_completion_still_depends_on_prompt_and_seed_alone(tiny, kind):
    wanted = [intervene(kind, 0), intervene(kind, 1, positions="response")]
    whole = sample(tiny, wanted, seeds=9)
    assert len({completion.text for row in whole for completion in row}) > 40
    for rows in (8, 11, 20):
        assert sample(tiny, wanted, seeds=9, rows=rows) == whole


def hooks(loaded):
    return [
        hook
        for module in loaded.model.modules()
        for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
    ]


def test_no_hook_stays_behind(tiny, monkeypatch):
    loaded = load(tiny, pick("cpu"))
    before = len(hooks(loaded))
    wanted = [intervene("add", 0), intervene("rotate", 1), intervene("cap", 2)]
    read(tiny, wanted, layers=(1,))
    sample(tiny, wanted)
    assert len(hooks(loaded)) == before

    def broken(*args, **kwargs):
        assert len(hooks(loaded)) > before
        raise RuntimeError("broken on the way")

    for port in ("fixtures.sampler.prefill", "fixtures.hidden._forward"):
        monkeypatch.setattr(port, broken)
    with pytest.raises(RuntimeError, match="on the way"):
        sample(tiny, wanted)
    with pytest.raises(RuntimeError, match="on the way"):
        read(tiny, wanted)
    assert len(hooks(loaded)) == before


def test_vectors_from_a_file_are_the_same(tiny, tmp_path):
    path = str(tmp_path / "directions.safetensors")
    save_file({"v": torch.tensor(V.values, dtype=torch.float64)}, path)
    stored = intervene("add", vectors=(Vector(path=path, tensor="v"),))
    assert np.array_equal(read(tiny, [stored]), read(tiny, [intervene("add")]))


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (intervene("add", 3), r"intervention 1 \(add\): the model has hidden states 0 to 2; asked for 3"),
        (intervene("add", -1), "asked for -1"),
        (intervene("add", vectors=(V, W)), r"takes 1 vector\(s\); it has 2"),
        (intervene("rotate", vectors=(V,)), r"takes 2 vector\(s\); it has 1"),
        (intervene("rotate", vectors=(V, V)), "span no plane"),
        (intervene("add", vectors=(Vector(values=(1.0, 2.0)),)), r"shape \[2\]; the model's states have \[32\]"),
        (intervene("add", vectors=(Vector(values=(math.inf,) * WIDTH),)), "not finite"),
        (intervene("add", strength=math.nan), "its strength is nan"),
        (intervene("cap", vectors=(Vector(values=(0.0,) * WIDTH),)), "has no direction"),
        (intervene("cap", low=None, high=None), "needs a bound"),
        (intervene("add", low=1.0), "nothing else takes one"),
        (intervene("cap", low=1.0, high=0.0), "low is 1.0 and high is 0.0"),
        (intervene("add", vectors=(Vector(),)), "one of the two"),
        (intervene("add", vectors=(Vector(path="/nowhere/v.safetensors", tensor="v"),)), "'v' in v.safetensors cannot"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(tiny, wanted, message):
    with pytest.raises(JobError, match=message):
        read(tiny, [wanted])
    with pytest.raises(JobError, match=message):
        sample(tiny, [wanted])


def test_vllm_refuses(tiny):
    request = SampleRequest(messages=PROMPTS[0], seeds=(1,))
    with pytest.raises(JobError, match="cannot change hidden states; take the transformers engine"):
        VllmSampler("cpu").sample(
            tiny, [request], SamplingSpec(max_new_tokens=1), progress=silent, interventions=(intervene(),)
        )


def test_fakes_remember_and_records_go_through_json(tiny):
    sampler, reader, wanted = FakeSampler(), FakeReader(), (intervene("cap"), intervene("rotate"))
    sampler.sample(tiny, [], SamplingSpec(max_new_tokens=1), progress=silent, interventions=wanted)
    reader.read(tiny, READS, layers=[1], token="end", progress=silent, interventions=wanted)
    assert sampler.interventions == reader.interventions == [wanted]
    assert Intervention.model_validate_json(wanted[1].model_dump_json()) == wanted[1]
