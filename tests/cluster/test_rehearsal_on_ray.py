"""The toy rehearsal on a cluster of two node processes: the plugin, the real kinds, and equal bytes in the end."""

from __future__ import annotations

import json
import os
import signal
import socket
import tempfile
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("ray")

from ray_cluster import LONG, Nodes
from toy_rehearsal import MIDST, SHARD, Life, Study, alive, descendants, wait_for

from harness.core.store import Store

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The results of a run on this machine."""
    study = Study(tmp_path_factory.mktemp("local"))
    study.finish()
    return study.results()


@pytest.fixture
def study(tmp_path: Path, nodes: Nodes) -> Study:
    return on(nodes, tmp_path / "study")


def on(nodes: Nodes, folder: Path) -> Study:
    """Return a study whose log is the one that jobs on the cluster write, empty."""
    study = Study(folder)
    nodes.log.unlink(missing_ok=True)
    study.log = nodes.log
    return study


def start(study: Study, nodes: Nodes, *args: str, workers: int = 0) -> Life:
    return study.start("-v", "--executor", "ray", "--ray-address", nodes.address, *args, workers=workers)


def end(life: Life, expect: int = 0) -> None:
    assert life.end() == expect, life.text


def check(study: Study, local: bytes) -> None:
    """Check that results are those of the local run, and that each job was computed and stored once."""
    study.check(local)
    counted = study.counted()
    assert set(counted) == set(study.manifests())
    assert set(counted.values()) == {1}


@pytest.mark.parametrize("workers", [0, 2])
def test_results_are_those_of_the_local_run(study: Study, nodes: Nodes, local: bytes, workers: int) -> None:
    life = start(study, nodes, "--log-json", "log.jsonl", "-W", "error", workers=workers)
    end(life)
    check(study, local)
    assert f"jobs run on Ray: the cluster at {nodes.address}, 2 nodes" in life.text
    made = [json.loads(manifest)["made"] for manifest in study.manifests().values()]
    assert {each["ray_node"] for each in made} == set(nodes.ids)
    assert {each["host"] for each in made} == {socket.gethostname()}
    assert all(each["command"].startswith("pytest study.yaml --rehearse") for each in made)
    told = [json.loads(line) for line in (study.folder / "log.jsonl").read_text().splitlines()]
    finished = Counter(line["key"] for line in told if line["event"] == "finished")
    assert set(finished) == set(study.manifests())
    wait_for("seats to end", lambda: not nodes.at_work(), LONG)

    before = study.manifests()
    again = study.start("-v", "--executor", "ray", "--ray-address", "127.0.0.1:1")
    end(again)
    assert study.manifests() == before
    assert "Ray" not in again.text, "what is stored needs no cluster"


def test_a_node_killed_in_the_middle_changes_nothing(tmp_path: Path, local: bytes) -> None:
    with Nodes(tmp_path, [{"num_cpus": 1}, {"num_cpus": 1}], PREREG_TOY_SECONDS="0.3") as nodes:
        study = on(nodes, tmp_path / "study")
        life = start(study, nodes)
        wait_for(
            "jobs on both nodes",
            lambda: {json.loads(each)["made"]["ray_node"] for each in study.manifests().values()} == set(nodes.ids),
            LONG,
        )
        stored = study.manifests()
        nodes.kill(1)
        end(life)
        study.check(local)
        after = study.manifests()
        assert {key: after[key] for key in stored} == stored, "what was stored is not made again"
        counted = study.counted()
        assert set(counted) == set(after)
        assert all(counted[key] == 1 for key in stored)
        assert sum(counted.values()) <= len(after) + 1, "only what ran on the dead node runs again"


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGINT, 0), (signal.SIGTERM, 2)])
def test_stopped_in_the_middle_and_continued(
    number: signal.Signals, workers: int, tmp_path: Path, local: bytes
) -> None:
    lines = tmp_path / "lines"
    slow = {"PREREG_TOY_SECONDS": "0", "PREREG_SLOW_SECONDS": "0.1", "PREREG_SLOW_LINES": str(lines)}
    with Nodes(tmp_path, [{"num_cpus": 1}, {"num_cpus": 1}], **slow) as nodes:
        study = on(nodes, tmp_path / "study")
        life = start(study, nodes, workers=workers)
        wait_for("draws", lambda: lines.exists() and lines.read_text().count("drawn") >= MIDST, LONG)
        os.kill(life.process.pid, number)
        end(life, expect=2)
        assert "to go on, run the same command again" in life.text
        assert "failed:" not in life.text
        wait_for("seats to end", lambda: not nodes.at_work(), LONG)
        kept = sum(not Store(study.store).has(each.name) for each in (study.store / "partial").iterdir())
        assert life.text.count(" continues at ") == kept > 0
        end(start(study, nodes, workers=workers))
        study.check(local)
        counts = Counter(lines.read_text().splitlines())
        assert max(counts.values()) <= 2
        twice = sum(count == 2 for count in counts.values())
        assert twice <= 2 * SHARD, "at most what two jobs had not finished of a shard"


def test_an_address_that_does_not_answer_is_one_error(study: Study) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        for workers in (0, 2):
            life = study.start("--executor", "ray", "--ray-address", address, workers=workers)
            end(life, expect=4)
            assert life.text.count(f"no Ray cluster answers at {address} (nothing in 10 s)") == 1
            assert "Check --ray-address and RAY_ADDRESS" in life.text
    assert not study.store.exists()


def test_without_an_address_a_cluster_is_started_and_ended(
    study: Study, local: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as short:  # Ray's sockets lie below, and names are bounded
        monkeypatch.setenv("RAY_TMPDIR", short)  # where no cluster is noted
        life = study.start("-v", "--executor", "ray")
        wait_for("jobs", lambda: study.manifests() or life.process.poll() is not None, LONG)
        started = descendants(life.process.pid)
        assert started
        end(life)
        wait_for("the cluster to end", lambda: not any(map(alive, started)), LONG)
        assert "jobs run on Ray: a cluster that was started here, 1 node," in life.text
        assert study.results() == local

        refused = Study(tmp_path / "refused").start("--executor", "ray", workers=2)
        end(refused, expect=4)
        assert refused.text.count("no Ray cluster runs on this machine") == 1
        assert "leave out -n: Ray runs jobs side by side without it" in refused.text
