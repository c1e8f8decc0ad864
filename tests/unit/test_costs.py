"""The ledger of costs: learnt where artifacts are stored, cheap to read, and worth nothing more than its lines."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.contracts.records import Job
from harness.core import costs
from harness.core.costs import LEDGER, Cost
from harness.core.store import Store
from harness.plan import learn
from harness.plan.learn import known, mend, note


def cost(key: str, seconds: float = 1.0) -> Cost:
    return Cost(
        key=key, kind="estimate", device="cpu", engine="", base="", gpu="", unit="jobs", amount=1.0, seconds=seconds,
        size_unit="artifacts", size=1.0, stored=10,
    )  # fmt: skip


def job(key: str, kind: str = "estimate", **more: Any) -> Job:
    return Job(**{"key": key * 64, "label": key, "kind": kind, "version": 1, "params": {}, **more})


def stored(store: Store, one: Job, **made: Any) -> Job:
    made = {"wall_s": 9.0, "cpu_s": 2.0, **made}
    store.put(one, lambda folder: (folder / "facts.json").write_text("0123456789"), made)
    note(store, one, made)
    return one


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert costs.read(tmp_path) is None
    written = [cost("a"), cost("b", 2.5)]
    for each in written:
        costs.append(tmp_path, each)
    assert costs.read(tmp_path) == costs.Ledger(tuple(written))


def test_an_artifact_that_was_made_again_counts_once_and_last(tmp_path: Path) -> None:
    for each in (cost("a", 1), cost("b"), cost("a", 3)):
        costs.append(tmp_path, each)
    assert costs.read(tmp_path) == costs.Ledger((cost("b"), cost("a", 3)))


def test_a_torn_line_costs_itself_alone(tmp_path: Path) -> None:
    costs.append(tmp_path, cost("a"))
    costs.append(tmp_path, cost("b"))
    path = tmp_path / LEDGER
    path.write_bytes(path.read_bytes()[:-20])
    assert costs.read(tmp_path) == costs.Ledger((cost("a"),), damaged=True)
    costs.append(tmp_path, cost("c"))
    assert costs.read(tmp_path) == costs.Ledger((cost("a"), cost("c")), damaged=True)


def test_any_flipped_byte_is_seen(tmp_path: Path) -> None:
    for each in (cost("a"), cost("b")):
        costs.append(tmp_path, each)
    path, sound = tmp_path / LEDGER, costs.read(tmp_path)
    raw = path.read_bytes()
    for place in range(len(raw)):
        path.write_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
        found = costs.read(tmp_path)
        assert found is not None
        assert found.damaged, place
        assert set(found.costs) < set(sound.costs if sound else ())


def test_only_the_end_of_a_long_ledger_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "TAIL", 1000)
    monkeypatch.setattr(costs, "LONGEST", 3000)
    for number in range(20):
        costs.append(tmp_path, cost(str(number)))
    found = costs.read(tmp_path)
    assert found is not None
    assert not found.damaged
    assert [each.key for each in found.costs] == ["15", "16", "17", "18", "19"]
    assert costs.too_long(tmp_path)


def test_what_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    costs.append(tmp_path / "absent", cost("a"))
    costs.write(tmp_path / "absent", [cost("a")])
    assert list(tmp_path.iterdir()) == []


def test_a_job_is_noted_with_its_time_on_its_device(tmp_path: Path) -> None:
    store = Store(tmp_path)
    stored(store, job("a"))
    on_gpu = {"model": {"hf": "some/model-7B", "path": ""}}
    merge = job("b", "stage/merge", lane="model", device="cuda", engine={"engine": "transformers"}, params=on_gpu)
    stored(store, merge, gpu="a card")
    light, heavy = known(store).costs
    assert (light.seconds, light.unit, light.base, light.stored > 10) == (2.0, "jobs", "", True)
    assert (heavy.seconds, heavy.unit, heavy.base) == (9.0, "merges", "some/model-7B")
    assert (heavy.device, heavy.engine, heavy.gpu) == ("cuda", "transformers", "a card")


def test_the_base_of_a_job_is_read_off_what_it_stands_on(tmp_path: Path) -> None:
    store = Store(tmp_path)
    stored(store, job("a", "model/embedded", lane="model"))
    stored(store, job("b", "stage/merge", lane="model", inputs={"base": "a" * 64}))
    assert [each.base for each in known(store).costs] == ["embedded", "embedded"]


def test_a_resumed_job_teaches_nothing_about_time(tmp_path: Path) -> None:
    store = Store(tmp_path)
    stored(store, job("a"), resumed=True)
    assert costs.read(tmp_path) is None
    assert known(store).costs == ()


def test_noting_never_raises(tmp_path: Path) -> None:
    store = Store(tmp_path)
    note(store, job("a"), {})
    note(store, job("b", "stage/sft", lane="model"), {"wall_s": 1.0})
    note(store, job("c", "eval/marker_rate", lane="model"), {"wall_s": 1.0})
    assert costs.read(tmp_path) is None


@pytest.mark.parametrize("damage", ["absent", "torn", "flipped", "of another version"])
def test_a_ledger_that_is_gone_is_made_anew_from_the_manifests(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path)
    for name in "abc":
        stored(store, job(name))
    path, sound = tmp_path / LEDGER, known(store)
    raw = path.read_bytes()
    if damage == "absent":
        path.unlink()
    else:
        other = raw + b'0123456789abcdef {"key": 1}\n'
        path.write_bytes({"torn": raw[:-9], "flipped": raw.replace(b"cpu", b"gpu", 1)}.get(damage, other))
    left = path.read_bytes() if path.exists() else None
    found = known(store)
    assert {(each.key, each.seconds, each.kind) for each in found.costs} == {
        (each.key, each.seconds, each.kind) for each in sound.costs
    }
    assert (path.read_bytes() if path.exists() else None) == left, "asking for prices writes nothing"
    mend(store)
    again = costs.read(tmp_path)
    assert again is not None
    assert not again.damaged
    assert {each.key for each in again.costs} == {each.key for each in sound.costs}


def test_a_sound_ledger_opens_no_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    stored(store, job("a"))
    monkeypatch.setattr(learn, "_artifacts", lambda objects: pytest.fail("looked at artifacts"))
    shutil.rmtree(tmp_path / "objects")
    assert [each.key for each in known(store).costs] == ["a" * 64]


def test_without_a_ledger_only_the_newest_manifests_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    for name in "abc":
        stored(store, job(name))
    (tmp_path / LEDGER).unlink()
    monkeypatch.setattr(learn, "NEWEST", 2)
    assert len(known(store).costs) == 2


def test_a_damaged_manifest_is_left_out(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name in "ab":
        stored(store, job(name))
    (tmp_path / LEDGER).unlink()
    path = store.path("a" * 64) / "manifest.json"
    path.write_text(json.dumps({"job": 1}))
    assert [each.key for each in known(store).costs] == ["b" * 64]
    assert known(Store(tmp_path / "nowhere")).costs == ()


def test_a_ledger_is_written_even_when_nothing_can_be_learnt(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    mend(store)
    assert not store.root.exists(), "there is no store yet"
    store.root.mkdir()
    mend(store)
    assert costs.read(store.root) == costs.Ledger(), "so that the next run need not look again"
