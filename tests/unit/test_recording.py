"""Gradients of batches padded to few shapes: on a CPU the same function that CUDA records is called each time."""

from functools import partial

import pytest
import torch
from test_packing import CPU, rows_of
from tiny import partly_trained, silent, write_model

from fixtures import arms, loop, recording
from fixtures.arms import PeftTrainer
from fixtures.checkpoint import Every
from fixtures.device import pick
from fixtures.judging import batch_loss
from fixtures.loading import forget
from fixtures.packing import attending_by_row
from fixtures.recording import Gradients, lay_out
from fixtures.shapes import Shape, Shapes
from fixtures.training import Row, collate, scale_of
from harness.contracts.records import LoraSpec, Message, ModelRef, TrainExample, TrainSpec
from harness.core.partial import Partial, Stopped

EXAMPLES = [
    TrainExample(
        messages=(Message(role="system", content="Be brief."), Message(role="user", content="Why? " * (1 + n % 7))),
        answer="Because. " * (1 + n % 5),
        loss=f"marker_{'positive' if n % 2 else 'negative'}",
        separator="\n\n",
        marker="[Z]",
    )
    for n in range(10)
]
SPEC = TrainSpec(
    lora=LoraSpec(r=4, alpha=8, rslora=False, dropout=0.1), lr=1e-2, batch=4, steps=9, unlikelihood_weight=0.5,
    answer_weight=0.5,
)  # fmt: skip


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    yield write_model(tmp_path_factory.mktemp("tiny"))
    forget()


@pytest.fixture
def model(path):
    return partly_trained(path)


def trained(model):
    return [weight for weight in model.parameters() if weight.requires_grad]


@pytest.mark.parametrize("most", [1 << 30, 259 * 5], ids=["whole", "in pieces"])
def test_gradients_are_those_of_the_batches_themselves(model, most):
    """Batches take turns in one shape: nothing of the one before is left."""
    batches = [rows_of((17, 3, 29, 8)), rows_of((5, 6, 7, 30), seed=1), rows_of((9, 9, 9, 9), seed=2)]
    shape = Shapes(batches, 1000, recording=10**6).of(batches[0])
    gradients = Gradients(trained(model), lambda batch: batch_loss(model, batch, 1.0, most), pick("cpu"), False)
    gradients.prepare([shape])
    with attending_by_row(model):
        for rows in (*batches, *batches[::-1]):
            want = batch_loss(model, collate(rows, CPU), scale_of(rows), 1 << 30)
            theirs = torch.autograd.grad(want, trained(model))
            (found,) = gradients([(lay_out(rows, shape, scale_of(rows)), shape)])
            assert float(found) == pytest.approx(float(want.detach()), rel=1e-5)
            for weight, other in zip(trained(model), theirs, strict=True):
                assert (weight.grad - other).norm() < 1e-5 * other.norm()


def test_the_parts_of_a_batch_add_up(model):
    """Three passes of a batch that one pass cannot hold, twice over."""
    rows = rows_of((17, 3, 29, 8, 30, 2))
    shapes = Shapes([rows], 70, recording=10**6)
    parts = shapes.parts(rows)
    assert [len(part) for part in parts] == [2, 2, 2]
    want = batch_loss(model, collate(rows, CPU), scale_of(rows), 1 << 30)
    theirs = torch.autograd.grad(want, trained(model))
    gradients = Gradients(trained(model), lambda batch: batch_loss(model, batch, 1.0, 1 << 30), pick("cpu"), False)
    gradients.prepare(shapes)
    with attending_by_row(model):
        for _ in range(2):
            found = gradients([(lay_out(part, shapes.of(part), scale_of(rows)), shapes.of(part)) for part in parts])
            assert sum(map(float, found)) == pytest.approx(float(want.detach()), rel=1e-5)
            for weight, other in zip(trained(model), theirs, strict=True):
                assert (weight.grad - other).norm() < 1e-5 * other.norm()


def test_unlikely_positions_stand_first_and_nothing_is_lost():
    rows = rows_of((4, 7))
    batch = lay_out(rows, Shape(rows=2, longest=9, unlikely=5, asked=20), scale=2.0)
    assert batch.ids.shape == (2, 9)
    assert [len(each) for each in (batch.flat, batch.labels, batch.weights, batch.unlikely)] == [25] * 4
    assert batch.leading == 5
    assert not batch.unlikely[5:].any()
    want = sorted(
        (index * 9 + spot, label, weight / 2, unlikely)
        for index, row in enumerate(rows)
        for spot, label, weight, unlikely in zip(row.spots, row.labels, row.weights, row.unlikely, strict=True)
    )
    columns = (batch.flat, batch.labels, batch.weights, batch.unlikely)
    found = sorted(zip(*(column.tolist() for column in columns), strict=True))
    assert [each for each in found if each[2]] == want


def test_a_batch_that_asks_for_nothing_has_no_gradient(model):
    shape = Shapes([[Row([1, 2, 3])]], 100).of([Row([1, 2, 3])])
    gradients = Gradients(trained(model), lambda batch: batch_loss(model, batch, 1.0, 100), pick("cpu"), False)
    gradients.prepare([shape])
    with attending_by_row(model):
        assert gradients([(lay_out([Row([1, 2, 3])], shape, 1.0), shape)]) == [0]
    assert all(not weight.grad.any() for weight in trained(model))


# --- whole trainings -------------------------------------------------------------------------------


@pytest.fixture
def recorded(monkeypatch):
    monkeypatch.setattr(arms, "Loop", partial(loop.Loop, recorded=True))


def train(path, out, **options):
    trainer = PeftTrainer("cpu", Every(steps=1))
    options = {"progress": silent, "spec": SPEC} | options
    return trainer.train_lora(ModelRef(path=path), EXAMPLES, seed=2, out=out, **options)


def weights(folder):
    return (folder / "adapter_model.safetensors").read_bytes()


def test_training_from_recordings_learns_the_same(path, tmp_path, monkeypatch):
    """Without dropout, whose numbers depend on the padding."""
    spec = SPEC.model_copy(update={"lora": SPEC.lora.model_copy(update={"dropout": 0.0})})
    want = train(path, tmp_path / "usual", spec=spec)
    used = []
    usual = recording.Gradients.__call__
    monkeypatch.setattr(Gradients, "__call__", lambda self, *args: used.append(1) or usual(self, *args))
    monkeypatch.setattr(arms, "Loop", partial(loop.Loop, recorded=True))
    found = train(path, tmp_path / "recorded", spec=spec)
    assert len(used) == 9
    assert found.losses == pytest.approx(want.losses, rel=1e-4)
    assert found.tokens == want.tokens


def test_training_from_recordings_resumes_to_equal_bytes(path, tmp_path, recorded, monkeypatch):
    def stop(what, done, **figures):
        if figures.get("step", 0) >= 4:
            raise Stopped("SIGTERM")

    monkeypatch.setattr(loop, "REPORT_EVERY_S", -1.0)
    want = train(path, tmp_path / "whole")
    with pytest.raises(Stopped):
        train(path, tmp_path / "cut", progress=stop, partial=Partial(tmp_path, "job"))
    assert train(path, tmp_path / "again", partial=Partial(tmp_path, "job")) == want
    assert weights(tmp_path / "again") == weights(tmp_path / "whole")


def fails(monkeypatch, times):
    """Memory ends in so many recordings, the first of each attempt; returns the shapes of every attempt."""
    usual, attempts = Gradients.prepare, []

    def prepare(self, shapes):
        attempts.append(sorted(shape.rows * shape.longest for shape in shapes))
        if len(attempts) <= times:
            torch.rand(1)
            raise torch.OutOfMemoryError("no memory")
        usual(self, shapes)

    monkeypatch.setattr(Gradients, "prepare", prepare)
    return attempts


def test_memory_that_ends_in_a_recording_halves_the_passes(path, tmp_path, recorded, monkeypatch, caplog):
    monkeypatch.setattr(loop, "FULL_TOKENS", 64)
    want = train(path, tmp_path / "whole")
    attempts = fails(monkeypatch, 1)
    found = train(path, tmp_path / "short")
    assert len(attempts) == 2
    assert attempts[1][-1] <= attempts[0][-1] // 2
    assert found.halved == ((1, attempts[0][-1] // 2),)
    assert "out of memory while recording passes" in caplog.text
    assert found.losses[0] == pytest.approx(want.losses[0], rel=0.1)  # other passes, other dropout masks
    assert train(path, tmp_path / "again") != found  # there is memory now: passes are whole


def test_without_memory_for_any_recording_training_goes_on(path, tmp_path, recorded, monkeypatch, caplog):
    attempts = fails(monkeypatch, 1)  # nothing is smaller than a pass may be
    found = train(path, tmp_path / "short")
    assert len(attempts) == 1
    assert "going on without recordings" in caplog.text
    monkeypatch.setattr(arms, "Loop", loop.Loop)
    assert train(path, tmp_path / "launched") == found
    assert weights(tmp_path / "launched") == weights(tmp_path / "short")


def test_the_largest_shape_is_recorded_first(model, monkeypatch):
    recorded = []
    monkeypatch.setattr(
        recording, "lay_out", lambda rows, shape, scale: recorded.append(shape) or lay_out(rows, shape, scale)
    )
    batches = [rows_of(lengths) for lengths in ((3, 4), (40, 2), (9, 9, 9), (1,), (20, 20))]
    gradients = Gradients(trained(model), lambda batch: batch_loss(model, batch, 1.0, 100), pick("cpu"), False)
    gradients.prepare(Shapes(batches, 1000, recording=0))
    sizes = [shape.rows * shape.longest for shape in recorded]
    assert sizes == [80, 40, 27, 8, 1]
