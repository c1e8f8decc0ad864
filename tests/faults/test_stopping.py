"""Ctrl-C and SIGTERM: children save, nobody is left, the message says how to go on, and the next run does."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from toy_rehearsal import MIDST, RIG, ROOT, SHARD, Life, Study, descendants, wait_for

from harness.core.store import Store

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's"),
    pytest.mark.timeout(600),
]
SLOW = 0.05
"""Completions of a cell in the toy study; a cell is a shard of the scripted sampler."""
GO_ON = re.compile(r"to go on, run the same command again: (\d+) of (\d+) jobs are stored")
CONTINUES = re.compile(r"(sampling|training) of (\S.*) continues at (\d+)%")


class SlowStudy(Study):
    """The toy study with draws and steps that take their time; each leaves a line in ``lines``."""

    @property
    def lines(self) -> list[str]:
        path = self.folder / "lines"
        return path.read_text().splitlines() if path.exists() else []

    def slowly(self, workers: int = 0, seconds: float = SLOW) -> Life:
        self._lives += 1
        output = self.folder / f"output{self._lives}"
        outer = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "PREREG_"))}
        path = [RIG, RIG / "slow", RIG / "stand_ins", ROOT]
        env = {
            **outer, "PYTHONPATH": os.pathsep.join(map(str, path)), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PREREG_RIG": json.dumps({"log": str(self.log)}), "PREREG_TOY_SECONDS": "0", "OMP_NUM_THREADS": "1",
            "PREREG_SLOW_SECONDS": str(seconds), "PREREG_SLOW_LINES": str(self.folder / "lines"),
        }  # fmt: skip
        command = [
            sys.executable, "-m", "pytest", "study.yaml", "--rehearse", "-p", "harness.plugin.hooks", "--no-figures",
            "--store", str(self.store), "--prereg-out", str(self.out), "-v",
        ]  # fmt: skip
        command += ["-p", "xdist", "-n", str(workers)] if workers else []
        with output.open("wb") as sink:
            process = subprocess.Popen(
                command, cwd=self.folder, env=env, stdout=sink, stderr=sink, start_new_session=True
            )
        return Life(process, output)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    study = SlowStudy(tmp_path_factory.mktemp("undisturbed"))
    assert study.slowly(seconds=0).end() == 0
    assert max(Counter(study.lines).values()) == 1
    return study.results()


def to_pytest(life: Life, number: int) -> None:
    os.kill(life.process.pid, number)


def to_group(life: Life, number: int) -> None:
    """As a terminal does: pytest and its workers, not the processes that start jobs."""
    os.killpg(life.process.pid, number)


def to_everybody(life: Life, number: int) -> None:
    """As some schedulers do."""
    for pid in (*descendants(life.process.pid), life.process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


@pytest.mark.parametrize(
    ("number", "workers", "send", "what"),
    [
        (signal.SIGINT, 0, to_pytest, "drawn"),
        (signal.SIGINT, 2, to_group, "step"),
        (signal.SIGTERM, 0, to_everybody, "step"),
        (signal.SIGTERM, 2, to_pytest, "drawn"),
    ],
)
def test_stopped_in_the_middle_and_continued(
    number: signal.Signals,
    workers: int,
    send: Callable[[Life, int], None],
    what: str,
    tmp_path: Path,
    undisturbed: bytes,
) -> None:
    study = SlowStudy(tmp_path)
    life = study.slowly(workers)
    ended = life.process.poll
    wait_for(what, lambda: sum(line.startswith(what) for line in study.lines) >= MIDST or ended() is not None)
    assert ended() is None, life.text
    life.look()
    send(life, number)
    assert life.end() == 2, life.text

    said = GO_ON.search(life.text)
    assert said, life.text
    assert int(said[1]) == len(study.manifests()) < int(said[2])
    kept = CONTINUES.findall(life.text)
    assert kept, life.text
    # At 100% every shard is stored and the artifact is not yet.
    assert all(0 < int(share) <= 100 for *_, share in kept), life.text
    unfinished = [each for each in (study.store / "partial").iterdir() if not Store(study.store).has(each.name)]
    assert len(unfinished) == len(kept)
    assert "failed:" not in life.text
    assert "ERROR" not in life.text

    again = study.slowly(workers, seconds=0)
    assert again.end() == 0, again.text
    study.check(undisturbed)
    again_done = done_twice(study)
    assert not any(line.startswith("step") for line in again_done), "no step that was kept is done again"
    assert len(again_done) <= 2 * SHARD, "at most what each of two children had not finished of its shard"


def done_twice(study: SlowStudy) -> set[str]:
    counts = Counter(study.lines)
    assert max(counts.values()) <= 2
    return {line for line, count in counts.items() if count == 2}


def test_killed_in_the_middle_of_sampling_costs_one_shard(tmp_path: Path, undisturbed: bytes) -> None:
    study = SlowStudy(tmp_path)
    life = study.slowly()
    wait_for("draws", lambda: sum(line.startswith("drawn") for line in study.lines) >= 3 * SHARD + 1)
    life.look()
    to_everybody(life, signal.SIGKILL)
    assert life.end() == -signal.SIGKILL
    assert list(study.store.glob("partial/*/completions-*"))
    again = study.slowly(seconds=0)
    assert again.end() == 0, again.text
    study.check(undisturbed)
    assert len([line for line in done_twice(study) if line.startswith("drawn")]) <= 2 * SHARD
