"""Two processes that train one model: they meet, see each other's numbers, and neither outlives the other."""

import os
import signal
import time
from pathlib import Path

import pytest
import torch

from fixtures.embedded import pair
from fixtures.embedded.build import Recipe, build
from harness.core.errors import JobError
from harness.core.ident import file_digest


def test_each_side_sees_what_the_other_did_before_they_met():
    numbers = pair.shared(2, 3)
    seen = []

    def turn(side, step, meet):
        numbers[side, 0] = 10 * step + side + 1
        meet()
        numbers[side, 1] += numbers[1 - side, 0]
        numbers[side, 2] = os.getpid()

    pair.run(turn, 3, lambda step: seen.append(numbers[:, 0].tolist()))
    assert seen == [[1, 2], [11, 12], [21, 22]]
    assert numbers[:, 1].tolist() == [2 + 12 + 22, 1 + 11 + 21]
    assert numbers[0, 2] == os.getpid() != numbers[1, 2]


def test_weights_become_views_of_shared_memory():
    weights = [torch.nn.Parameter(torch.arange(6.0).view(2, 3)), torch.nn.Parameter(torch.ones(2))]
    flat = pair.share(weights)
    assert flat.tolist() == [0, 1, 2, 3, 4, 5, 1, 1]

    def turn(side, step, meet):
        if side == 1:
            weights[0].data[1, 2] = 9

    pair.run(turn, 1, lambda step: None)
    assert weights[0][1, 2] == flat[5] == 9


def test_the_second_process_ends_with_an_error_of_the_first():
    process = pair.shared(1, dtype=torch.int64)

    def turn(side, step, meet):
        if side == 1:
            process[0] = os.getpid()
        meet()
        if side == 0 and step == 2:
            raise ValueError("stopped")

    with pytest.raises(ValueError, match="stopped"):
        pair.run(turn, 5, lambda step: None)
    with pytest.raises(ProcessLookupError):
        os.kill(int(process[0]), 0)  # it was waited for


@pytest.mark.parametrize("end", [lambda: os.kill(os.getpid(), signal.SIGKILL), lambda: 1 / 0], ids=["killed", "failed"])
def test_the_first_process_does_not_wait_for_a_dead_one(end):
    def turn(side, step, meet):
        if side == 1 and step == 1:
            end()
        meet()

    with pytest.raises(JobError, match="the second process"):
        pair.run(turn, 3, lambda step: None)


def test_the_second_process_ends_when_the_first_is_killed():
    """And it holds no file of the first open: a lock would live on."""
    read, write = os.pipe()
    first = os.fork()
    if not first:
        second = pair.shared(1, dtype=torch.int64)

        def turn(side, step, meet):
            if side == 1:
                second[0] = os.getpid()
            meet()
            if side == 0:
                os.write(write, int(second[0]).to_bytes(8, "little"))
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            pair.run(turn, 3, lambda step: None)
        finally:
            os._exit(1)
    os.close(write)
    second = int.from_bytes(os.read(read, 8), "little")
    assert os.read(read, 1) == b""  # nobody holds the other end any more
    os.close(read)
    os.waitpid(first, 0)
    until = time.monotonic() + 20
    while _runs(second) and time.monotonic() < until:
        time.sleep(0.01)
    assert not _runs(second)


def _runs(process):
    """Whether it is there and no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs a system that binds processes to cores")
def test_one_core_gives_the_bytes_of_two(tmp_path):
    recipe = Recipe(dialogues=70, batch=16, vocabulary=600)
    cores = os.sched_getaffinity(0)
    digests = []
    try:
        for some in (cores, {min(cores)}):
            os.sched_setaffinity(0, some)
            build(tmp_path / str(len(digests)), seed=1, progress=lambda what, share: None, recipe=recipe)
            digests.append(file_digest(tmp_path / str(len(digests)) / "model.safetensors"))
    finally:
        os.sched_setaffinity(0, cores)
    assert digests[0] == digests[1]


def test_a_batch_of_one_row_is_trained_on(tmp_path):
    figures = build(
        tmp_path, seed=1, progress=lambda what, share: None, recipe=Recipe(dialogues=33, batch=16, vocabulary=600)
    )
    assert 0 < figures["answer_loss"] < 10
