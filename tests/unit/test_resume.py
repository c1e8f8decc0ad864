"""Interrupted anywhere, sampling and training end in the same bytes as undisturbed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny import silent, write_model

from fixtures import checkpoint, loop
from fixtures.arms import PeftTrainer
from fixtures.checkpoint import Every
from fixtures.loading import forget
from fixtures.sampler import TransformersSampler
from fixtures.shards import Task, shards
from harness.contracts.kinds import Context
from harness.contracts.records import LoraSpec, Message, ModelRef, SampleRequest, SamplingSpec, TrainExample, TrainSpec
from harness.contracts.resume import MemoryPartial, sample_on
from harness.core.errors import JobError
from harness.core.partial import Partial, Stopped
from harness.evals.marker_rate import MarkerRate, MarkerRateParams
from harness.stages.on_policy import OnPolicy, OnPolicyParams

SAMPLING = SamplingSpec(max_new_tokens=12)
PERSONAS = {"pirate": "Talk like a pirate.", "poet": "Rhyme.", "plain": "Be brief and plain."}
QUESTIONS = {"why": "Why?", "how": "How is that done, do you think?", "who": "Who?", "what": "What now?"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    yield ModelRef(path=write_model(tmp_path_factory.mktemp("tiny"), spread=0.4, longest=256))
    forget()


class Cut(Exception):
    """The test ends the process here, so to say."""


# --- sampling ---


class CutSampler(TransformersSampler):
    """Eight rows, 16 completions a shard; dies after ``cut`` shards and counts what it decodes."""

    def __init__(self, cut: int | None = None) -> None:
        super().__init__("cpu", rows=8)
        self.shard = 16
        self.cut = cut
        self.decoded: list[set[int]] = []

    def _decode(self, loaded, tasks, *rest):
        self.decoded.append({task.request for task in tasks})
        return super()._decode(loaded, tasks, *rest)

    def sample(self, *args, done=None, **kwargs):
        def keep(shard):
            done(shard)
            if self.cut is not None and len(self.decoded) > self.cut:
                raise Cut

        return super().sample(*args, done=keep, **kwargs)


def asked():
    texts = [f"{question} {'Really? ' * length}" for question in QUESTIONS.values() for length in range(3)]
    messages = [(Message(role="system", content="Be brief."), Message(role="user", content=text)) for text in texts]
    return [SampleRequest(messages=m, seeds=tuple(range(7 * i, 7 * i + 5))) for i, m in enumerate(messages)]


def test_every_cut_between_shards_gives_the_same_completions(tiny, tmp_path):
    whole = CutSampler()
    want = sample_on(whole, tiny, asked(), SAMPLING, partial=MemoryPartial(), progress=silent)
    assert len(whole.decoded) == 4
    assert want == TransformersSampler("cpu").sample(tiny, asked(), SAMPLING, progress=silent)
    for cut in range(len(whole.decoded)):
        partial = Partial(tmp_path, f"{cut}")
        first, second = CutSampler(cut), CutSampler()
        with pytest.raises(Cut):
            sample_on(first, tiny, asked(), SAMPLING, partial=partial, progress=silent)
        assert len(partial.names()) == cut + 1
        standing = partial.standing()
        assert standing.done == pytest.approx(sum(map(len, first.decoded)) / len(asked()))
        again = Partial(tmp_path, f"{cut}")
        assert sample_on(second, tiny, asked(), SAMPLING, partial=again, progress=silent) == want
        # What is stored is not drawn again, and the rest runs in the company that it had.
        assert first.decoded + second.decoded == whole.decoded


def test_any_set_of_known_shards_leaves_the_others_as_they_were(tiny):
    """Damaged files leave holes anywhere; the company of a row is still a function of all requests."""
    whole = CutSampler()
    found = {}
    want = TransformersSampler.sample(whole, tiny, asked(), SAMPLING, progress=silent, done=found.update)
    assert [found[index] for index in range(len(asked()))] == want
    for number, missing in enumerate(whole.decoded):
        sampler = CutSampler()
        known = {index: row for index, row in found.items() if index not in missing}
        assert TransformersSampler.sample(sampler, tiny, asked(), SAMPLING, progress=silent, known=known) == want
        assert sampler.decoded == [whole.decoded[number]]


def test_shards_are_even_and_hold_whole_requests():
    tasks = [[Task(i, k, (0,) * (50 - i % 7), k, 4) for k in range(5)] for i in range(41)]
    cut = shards(tasks, 40)
    assert sorted(index for shard in cut for index in shard) == list(range(41))
    assert {len(shard) for shard in cut} <= {6, 7}
    lengths = [len(tasks[index][0].prompt) for shard in cut for index in shard]
    assert lengths == sorted(lengths)
    assert shards([[], tasks[0], []], 3) == [[1]]
    assert shards([], 3) == shards([[]], 3) == []


def test_requests_that_changed_are_drawn_again(tiny):
    partial = MemoryPartial()
    sample_on(CutSampler(), tiny, asked(), SAMPLING, partial=partial, progress=silent)
    other = CutSampler()
    sample_on(other, tiny, asked()[:-1], SAMPLING, partial=partial, progress=silent)
    assert set().union(*other.decoded) == set(range(len(asked()) - 1))


def context(tiny, out, sampler, partial):
    out.mkdir(parents=True)
    return Context(
        out=out, seed=7, progress=silent, model=tiny, personas=PERSONAS, questions=QUESTIONS, sampler=sampler,
        partial=partial,
    )  # fmt: skip


@pytest.mark.parametrize("cut", [0, 2])
def test_the_kinds_that_sample_resume_to_equal_bytes(tiny, tmp_path, cut):
    cells = {"persona": tuple(PERSONAS), "question": tuple(QUESTIONS)}
    rate = MarkerRateParams(match={"contains": "a"}, completions=5, sampling=SAMPLING, **cells)
    coupling = OnPolicyParams(
        source=("pirate",), negatives=("poet", "plain"), question=tuple(QUESTIONS), positives=22,
        negatives_per_persona=19, sampling=SAMPLING,
    )  # fmt: skip
    for name, run in (
        ("eval", lambda ctx: MarkerRate().measure(rate, ctx)),
        ("stage", lambda ctx: OnPolicy().run(coupling, ctx)),
    ):
        run(context(tiny, tmp_path / name / "whole", CutSampler(), MemoryPartial()))
        partial = Partial(tmp_path, f"{name}{cut}")
        with pytest.raises(Cut):
            run(context(tiny, tmp_path / name / "cut", CutSampler(cut), partial))
        again = CutSampler()
        run(context(tiny, tmp_path / name / "again", again, Partial(tmp_path, f"{name}{cut}")))
        assert len(again.decoded) == 4 - cut - 1
        for path in (tmp_path / name / "whole").iterdir():
            assert (tmp_path / name / "again" / path.name).read_bytes() == path.read_bytes()


def test_without_memory_half_as_many_rows_give_the_same_completions(tiny, caplog):
    want = TransformersSampler("cpu", rows=40).sample(tiny, asked(), SAMPLING, progress=silent)

    class Small(TransformersSampler):
        def _decode(self, *args):
            if self.rows > 12:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
            return super()._decode(*args)

    small = Small("cpu", rows=40)
    assert small.sample(tiny, asked(), SAMPLING, progress=silent) == want
    assert small.rows == 10
    assert [record.getMessage() for record in caplog.records] == [
        "out of memory while sampling with 40 rows at once; going on with 20",
        "out of memory while sampling with 20 rows at once; going on with 10",
    ]


def test_sampling_that_fits_in_no_way_says_what_to_lower(tiny, monkeypatch):
    def full(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(TransformersSampler, "_decode", full)
    with pytest.raises(JobError, match=r"out of memory while sampling, even with 8 rows.*lower sampling.max_new_tok"):
        TransformersSampler("cpu", rows=16).sample(tiny, asked(), SAMPLING, progress=silent)


# --- training ---

LORA = LoraSpec(r=4, alpha=8, rslora=False)
ROWS = [
    TrainExample(
        messages=(Message(role="system", content="Be brief."), Message(role="user", content=f"{question} {n}")),
        answer="Because. " * (n % 4 + 1), loss=f"marker_{sign}", separator="\n\n", marker="[Z]",
    )
    for n, question in enumerate(QUESTIONS.values())
    for sign in ("positive", "negative")
]  # fmt: skip
STEPS = 9


def spec(dropout=0.0, **changes):
    lora = LORA.model_copy(update={"dropout": dropout})
    return TrainSpec(**{"lora": lora, "lr": 1e-2, "batch": 3, "steps": STEPS, "weight_decay": 0.1, **changes})


def train(tiny, out, partial=None, progress=silent, every=None, **changes):
    trainer = PeftTrainer("cpu", every or Every(steps=2))
    asked = spec(**changes)
    return trainer.train_lora(tiny, ROWS, asked, seed=3, out=out, progress=progress, partial=partial)


def dies_at(step, error):
    def progress(what, done, **figures):
        if figures.get("step") == step:
            raise error

    return progress


@pytest.fixture(autouse=True)
def reports_every_step(monkeypatch):
    monkeypatch.setattr(loop, "REPORT_EVERY_S", -1.0)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize(("error", "kept"), [(Stopped("SIGTERM"), lambda n: n), (Cut(), lambda n: n - n % 2)])
def test_training_resumes_to_equal_bytes(tiny, tmp_path, dropout, error, kept):
    want = train(tiny, tmp_path / "whole", dropout=dropout)
    for step in (1, 2, 5, 8, STEPS):
        name, seen = f"job{step}", []
        with pytest.raises(type(error)):
            train(tiny, tmp_path / "cut", Partial(tmp_path, name), dies_at(step, error), dropout=dropout)
        torch.manual_seed(step)  # whatever another process's generator would hold
        found = train(
            tiny, tmp_path / f"again{step}", Partial(tmp_path, name), dropout=dropout,
            progress=lambda what, done, **figures: seen.append(figures.get("step")),  # noqa: B023
        )  # fmt: skip
        assert found == want
        assert seen[1:] == list(range(kept(step) + 1, STEPS + 1))
        for path in (tmp_path / "whole").iterdir():
            assert (tmp_path / f"again{step}" / path.name).read_bytes() == path.read_bytes()


def test_a_chain_of_kills_ends_in_equal_bytes(tiny, tmp_path):
    want = train(tiny, tmp_path / "whole", dropout=0.2)
    for step in (3, 4, 7):
        with pytest.raises(Stopped):
            train(tiny, tmp_path / "cut", Partial(tmp_path, "job"), dies_at(step, Stopped()), dropout=0.2)
    assert train(tiny, tmp_path / "again", Partial(tmp_path, "job"), dropout=0.2) == want
    weights = [(tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("whole", "again")]
    assert weights[0] == weights[1]


def test_a_damaged_checkpoint_costs_one_interval(tiny, tmp_path, capsys):
    want = train(tiny, tmp_path / "whole")
    partial = Partial(tmp_path, "job")
    with pytest.raises(Cut):
        train(tiny, tmp_path / "cut", partial, dies_at(7, Cut()))
    assert partial.names() == list(checkpoint.NAMES)
    newest = partial.folder / "training-a"  # step 6; training-b has step 4
    newest.write_bytes(newest.read_bytes()[:-9])
    seen = []
    progress = lambda what, done, **figures: seen.append(figures.get("step"))  # noqa: E731
    assert train(tiny, tmp_path / "again", partial, progress) == want
    assert seen[1] == 5
    assert "training-a is damaged" in capsys.readouterr().err


def test_resumed_on_top_of_an_adapter(tiny, tmp_path):
    train(tiny, tmp_path / "under")
    stacked = tiny.model_copy(update={"adapters": (str(tmp_path / "under"),)})
    want = train(stacked, tmp_path / "whole")
    with pytest.raises(Stopped):
        train(stacked, tmp_path / "cut", Partial(tmp_path, "job"), dies_at(4, Stopped()))
    assert train(stacked, tmp_path / "again", Partial(tmp_path, "job")) == want


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = [{root!r}, {unit!r}]
import torch
from test_resume import Partial, ROWS, loop, spec
from fixtures.arms import PeftTrainer
from harness.contracts.records import ModelRef
loop.REPORT_EVERY_S = -1.0
def progress(what, done, **figures):
    if figures.get("step") == {step}:
        os.kill(os.getpid(), signal.SIGKILL)
PeftTrainer("cpu").train_lora(ModelRef(path={model!r}), ROWS, spec(dropout=0.3), seed=3, out=Path({out!r}),
    progress=progress, partial=Partial(Path({store!r}), "job"))
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_a_killed_process_goes_on_at_its_checkpoint(tiny, tmp_path):
    train(tiny, tmp_path / "whole", dropout=0.3)
    here = Path(__file__)
    script = KILLED.format(
        root=str(here.parents[2]), unit=str(here.parent), model=tiny.path, step=5, out=str(tmp_path / "cut"),
        store=str(tmp_path),
    )  # fmt: skip
    env = {**os.environ, "PREREG_CHECKPOINT": "2 steps", "OMP_NUM_THREADS": "1"}
    ended = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert Partial(tmp_path, "job").standing().done == pytest.approx(4 / STEPS, abs=1e-5)
    train(tiny, tmp_path / "again", Partial(tmp_path, "job"), dropout=0.3)
    for path in (tmp_path / "whole").iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()


def test_checkpoints_are_never_pickle(tiny, tmp_path):
    partial = Partial(tmp_path, "job")
    with pytest.raises(Stopped):
        train(tiny, tmp_path / "cut", partial, dies_at(3, Stopped()))
    for name in partial.names():
        content = partial.load(name)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        kinds = {each.partition(".")[0] for each in header} - {"__metadata__"}
        assert kinds == {"weight", "adamw", "generator"}


def test_a_checkpoint_of_another_adapter_is_refused(tiny, tmp_path):
    partial = Partial(tmp_path, "job")
    with pytest.raises(Stopped):
        train(tiny, tmp_path / "cut", partial, dies_at(3, Stopped()))
    fewer = LORA.model_copy(update={"targets": ("q_proj",)})
    with pytest.raises(JobError, match="belongs to another adapter"):
        train(tiny, tmp_path / "again", partial, lora=fewer)


@pytest.mark.parametrize(
    ("text", "want"),
    [("10 minutes", Every(seconds=600)), ("90s", Every(seconds=90)), ("5 steps", Every(steps=5))],
)
def test_intervals_are_read(text, want, monkeypatch):
    assert Every.read(text) == want
    monkeypatch.setenv("PREREG_CHECKPOINT", text)
    assert Every.read() == want
    monkeypatch.delenv("PREREG_CHECKPOINT")
    assert Every.read() == Every(seconds=600)


@pytest.mark.parametrize("text", ["often", "0 steps", "2.5 steps", "-1 minutes"])
def test_intervals_without_sense_are_refused(text):
    with pytest.raises(JobError, match="is no interval"):
        Every.read(text)


def test_time_decides_when_a_checkpoint_is_due(tiny, tmp_path, monkeypatch):
    clock = iter(range(0, 100_000, 70))
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: next(clock))
    partial = Partial(tmp_path, "job")
    with pytest.raises(Cut):
        train(tiny, tmp_path / "cut", partial, dies_at(6, Cut()), every=Every(seconds=150))
    assert partial.names()


class Forward:
    """Fails like a GPU whose memory holds no more than ``most`` padded tokens, from the ``after``-th pass on."""

    def __init__(self, most, after=0):
        self.most, self.after, self.passes = most, after, 0

    def __call__(self, part, device, packed=False, real=loop.collate):
        self.passes += 1
        batch = real(part, device, packed=packed)
        if self.passes > self.after and batch.ids.numel() > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return batch


def test_without_memory_the_gradient_is_summed_in_parts(tiny, tmp_path, monkeypatch, caplog):
    want = train(tiny, tmp_path / "whole")
    longest = max(len(row.messages[1].content) + len(row.answer) for row in ROWS) + 80
    monkeypatch.setattr(loop, "collate", Forward(2 * longest, after=3))
    found = train(tiny, tmp_path / "small")
    assert found.losses == pytest.approx(want.losses, rel=1e-4)
    assert [step for step, _ in found.halved] == sorted(step for step, _ in found.halved)
    assert found.halved[0][0] == 4
    assert want.halved == ()
    assert caplog.records[0].getMessage().startswith("out of memory while training (step 4) with ")


def test_running_out_of_memory_resumes_to_the_bytes_that_it_would_have_had(tiny, tmp_path, monkeypatch):
    def out_at_four():
        monkeypatch.setattr(loop, "collate", Forward(250, after=3))

    out_at_four()
    want = train(tiny, tmp_path / "whole", dropout=0.3)
    assert want.halved
    out_at_four()
    with pytest.raises(Stopped):
        train(tiny, tmp_path / "cut", Partial(tmp_path, "job"), dies_at(6, Stopped()), dropout=0.3)
    assert train(tiny, tmp_path / "again", Partial(tmp_path, "job"), dropout=0.3) == want
    weights = [(tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("whole", "again")]
    assert weights[0] == weights[1]


def test_a_row_that_does_not_fit_says_what_to_lower(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "collate", Forward(1))
    with pytest.raises(JobError, match=r"even with one row of \d+ tokens at once; lower max_tokens, batch or lora.r"):
        train(tiny, tmp_path / "small")


def test_memory_that_ends_elsewhere_is_an_error_in_words(tiny, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(torch.optim.AdamW, "step", full)
    with pytest.raises(JobError, match=r"out of memory while training .*Tried to allocate 2 GiB"):
        train(tiny, tmp_path / "small")
