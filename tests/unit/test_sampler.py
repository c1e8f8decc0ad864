"""The sampler: greedy equals generate, draws follow the distribution, and a completion knows nothing of its batch."""

import pytest
import torch
from pydantic import ValidationError
from tiny import silent, write_model

from fixtures.chat import end_id, prompt_ids
from fixtures.decoding import Choices, nucleus
from fixtures.device import pick
from fixtures.loading import forget, load
from fixtures.sampler import TransformersSampler
from harness.contracts.records import Message, ModelRef, SampleRequest, SamplingSpec
from harness.core.errors import JobError

QUESTIONS = ["Why?", "How?", "And what comes after that, do you think?", "Who?", "Is it so?", "Where to now?"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The weights are wide, so that the next token is far from uniform and texts end at different lengths."""
    yield ModelRef(path=write_model(tmp_path_factory.mktemp("tiny"), spread=0.4, longest=256))
    forget()


def requests(count, seed=0):
    return [
        SampleRequest(
            messages=(Message(role="system", content="Be brief."), Message(role="user", content=question)),
            seeds=tuple(seed + 100 * index + k for k in range(count)),
        )
        for index, question in enumerate(QUESTIONS)
    ]


def sample(tiny, asked, rows=None, **spec):
    spec = SamplingSpec(**{"max_new_tokens": 24, **spec})
    return TransformersSampler("cpu", rows=rows).sample(tiny, asked, spec, progress=silent)


def generated(loaded, request, **settings):
    ids = torch.tensor([prompt_ids(loaded.tokenizer, request.messages)])
    with torch.inference_mode():
        out = loaded.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=24, **settings)
    return out[0, ids.shape[1] :].tolist()


def test_greedy_equals_generate(tiny):
    loaded = load(tiny, pick("cpu"))
    end = end_id(loaded.tokenizer)
    for request, found in zip(requests(2), sample(tiny, requests(2), temperature=0), strict=True):
        want = generated(loaded, request, do_sample=False, eos_token_id=end)
        cut = end not in want
        words = want if cut else want[: want.index(end)]
        assert found[0] == found[1]
        assert found[0].text == loaded.tokenizer.decode(words, skip_special_tokens=True)
        assert (found[0].tokens, found[0].truncated) == (len(words), cut)


def test_a_completion_depends_on_prompt_and_seed_alone(tiny):
    whole = sample(tiny, requests(9))
    assert len({completion.text for row in whole for completion in row}) > 50
    assert {completion.truncated for row in whole for completion in row} == {True, False}
    assert sample(tiny, requests(9)) == whole
    for rows in (8, 11, 20):
        assert sample(tiny, requests(9), rows=rows) == whole
    assert sample(tiny, requests(9)[2:4]) == whole[2:4]
    for index, k in ((0, 4), (3, 0), (5, 8)):
        one = requests(9)[index]
        assert sample(tiny, [one.model_copy(update={"seeds": (one.seeds[k],)})]) == [[whole[index][k]]]
    turned = [request.model_copy(update={"seeds": request.seeds[::-1]}) for request in requests(9)[::-1]]
    assert [row[::-1] for row in sample(tiny, turned)[::-1]] == whole


def test_a_longer_limit_only_goes_on(tiny):
    short, long = sample(tiny, requests(6), max_new_tokens=5), sample(tiny, requests(6), max_new_tokens=40)
    for a, b in zip([c for row in short for c in row], [c for row in long for c in row], strict=True):
        assert b.text.startswith(a.text.rstrip("\ufffd"))
        assert a == b or (a.truncated and a.tokens == 5 <= b.tokens)


def test_draws_follow_the_model(tiny):
    """First tokens of many seeds against the softmax: a chi-square that one in ten thousand exceeds."""
    from scipy.stats import chi2

    loaded = load(tiny, pick("cpu"))
    request = requests(1)[0].model_copy(update={"seeds": tuple(range(4000))})
    ids = torch.tensor([prompt_ids(loaded.tokenizer, request.messages)])
    with torch.inference_mode():
        want = (loaded.model(ids).logits[0, -1].double() / 0.7).softmax(-1)
    choices = Choices(SamplingSpec(temperature=0.7, max_new_tokens=1), torch.device("cpu"))
    uniform = torch.stack([choices.numbers(seed, 1) for seed in request.seeds]).squeeze(1)
    with torch.inference_mode():
        logits = loaded.model(ids).logits[0, -1].expand(4000, -1)
    counts = torch.bincount(choices.pick(logits, uniform), minlength=len(want)).double()
    likely = want * 4000 >= 5
    parts = [(counts[likely], want[likely] * 4000), (counts[~likely].sum()[None], want[~likely].sum()[None] * 4000)]
    statistic = sum(float(((seen - mean) ** 2 / mean).sum()) for seen, mean in parts)
    assert statistic < chi2.ppf(0.9999, int(likely.sum()))
    firsts = [completion.text for completion in sample(tiny, [request], temperature=0.7, max_new_tokens=1)[0]]
    end = end_id(loaded.tokenizer)
    drawn = choices.pick(logits, uniform).tolist()
    assert firsts == [
        loaded.tokenizer.decode([] if token == end else [token], skip_special_tokens=True) for token in drawn
    ]


def test_nucleus_is_the_smallest_set_that_holds_top_p():
    kept = nucleus(torch.tensor([[0.1, 0.5, 0.05, 0.35], [0.25, 0.25, 0.25, 0.25]]), 0.8)
    assert torch.equal(kept, torch.tensor([[0, 0.5, 0, 0.35], [0.25] * 4]))
    tiny_p = nucleus(torch.tensor([[0.1, 0.5, 0.4]]), 1e-6)
    assert tiny_p.tolist() == [[0, 0.5, 0]]


def test_small_top_p_is_greedy(tiny):
    greedy = sample(tiny, requests(1), temperature=0)
    assert sample(tiny, requests(1), temperature=1.0, top_p=1e-6) == greedy


def test_a_full_context_truncates(tmp_path):
    ref = ModelRef(path=write_model(tmp_path / "m", longest=100, spread=0.4))
    found = sample(ref, requests(3), max_new_tokens=500)
    loaded = load(ref, pick("cpu"))
    for request, row in zip(requests(3), found, strict=True):
        room = 100 - len(prompt_ids(loaded.tokenizer, request.messages))
        assert all(completion.tokens <= room for completion in row)
        assert all(completion.truncated == (completion.tokens == room) for completion in row)
    with pytest.raises(JobError, match="leaves no room"):
        sample(ModelRef(path=write_model(tmp_path / "n", longest=20)), requests(1))


@pytest.mark.parametrize("spec", [{"max_new_tokens": 0}, {"temperature": -1.0}, {"top_p": 0.0}])
def test_settings_without_sense_are_refused(tiny, spec):
    """A registration's are refused where they stand; a record that nobody has validated, by whoever samples."""
    with pytest.raises(ValidationError):
        SamplingSpec(**{"max_new_tokens": 24, **spec})
    made = SamplingSpec.model_construct(**{"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 24, **spec})
    with pytest.raises(JobError, match="make no sense"):
        TransformersSampler("cpu").sample(tiny, requests(1), made, progress=silent)


def test_no_requests_no_completions(tiny):
    assert sample(tiny, []) == []
