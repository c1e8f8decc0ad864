"""One byte of a store is flipped, in each file in turn: found, named, made again, and never part of a result.

What runs is a whole rehearsal (the toy study, with every kind of job) as a user starts it. Files that decide nothing
(logs, notes beside locks, the cost ledger) are flipped like the others: results stay what they are. The ordinary suite
flips a few of the files, ``make faults`` (PREREG_FAULTS above 20) each of them.
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest
from toy_rehearsal import Study

from harness.cli import main
from harness.core import tidy
from harness.core.partial import Partial
from harness.core.store import DamagedError, Store

EVERY = int(os.environ.get("PREREG_FAULTS", "20")) > 20
SEED = os.environ.get("PREREG_FAULT_SEED", "310")
SOME = ("decision.json", "estimate.json", "completions.parquet", "log.json", "manifest.json")
"""Files of artifacts that the ordinary suite flips under a whole run: one of each name, and one note of each kind."""
SHOWN = "estimate[rates]"
"""Nothing is decided on it: only the report and the verdict's block show it."""
UNFINISHED = "ab" * 32


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The toy study after two runs: everything is stored, and the notes of runs are there."""
    study = Study(tmp_path_factory.mktemp("flip"), seconds=0.0)
    study.finish()
    study.finish()
    return study


def files(study: Study) -> list[str]:
    return sorted(path.relative_to(study.store).as_posix() for path in study.store.rglob("*") if path.is_file())


def flip(path: Path, chance: random.Random) -> None:
    """Flip one bit of one byte; an empty file gets a byte."""
    data = bytearray(path.read_bytes() or b"\0")
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def copied(study: Study, folder: Path) -> Study:
    """A study of its own that begins with a copy of the finished one's store."""
    other = Study(folder, seconds=0.0)
    shutil.copytree(study.store, other.store)
    return other


def chosen(study: Study) -> list[list[str]]:
    """The files under which whole runs are made: each alone, or a few, and one note of each kind together."""
    names = files(study)
    if EVERY:
        return [[name] for name in names]
    chance = random.Random(SEED)
    ends = {name: chance.choice([each for each in names if each.endswith(f"/{name}")]) for name in SOME}
    tops = sorted({each.partition("/")[0] for each in names if not each.startswith("objects/")})
    notes = [chance.choice([each for each in names if each.partition("/")[0] == top]) for top in tops]
    shown = next(key for key in study.manifests() if Store(study.store).peek(key).label == SHOWN)
    return [*([name] for name in ends.values()), [f"objects/{shown[:2]}/{shown}/estimate.json"], notes]


def test_the_study_has_every_kind_of_file(done: Study) -> None:
    kinds = {Store(done.store).peek(key).kind for key in done.manifests()}
    assert {
        "model/embedded", "stage/sft", "stage/merge", "stage/on_policy", "stage/marker_coupling", "eval/marker_rate",
        "probe/centroid_cosine", "probe/training_log", "estimate", "verdict", "replay", "null",
    } <= kinds  # fmt: skip
    assert {name.partition("/")[0] for name in files(done)} >= {"objects", "locks", "logs", "leases"}


def test_each_byte_flip_of_an_artifact_is_found_and_named(done: Study, tmp_path: Path) -> None:
    study, chance = copied(done, tmp_path), random.Random(SEED)
    artifacts = [name for name in files(study) if name.startswith("objects/")]
    assert len(artifacts) > 60
    for name in artifacts:
        path, key = study.store / name, Path(name).parts[2]
        before, whole = path.read_bytes(), tmp_path / "whole"
        shutil.copytree(study.store / Path(*Path(name).parts[:3]), whole)
        flip(path, chance)
        with pytest.raises(DamagedError, match=Path(name).name.replace(".", r"\.")) as caught:
            Store(study.store).open(key)
        assert caught.value.key == key
        assert not Store(study.store).has(key), "what is damaged is out of the way at once"
        assert key in Store(study.store).quarantined()
        whole.rename(study.store / Path(*Path(name).parts[:3]))
        assert path.read_bytes() == before


def test_the_next_runs_give_the_same_results_and_heal(done: Study, tmp_path: Path) -> None:
    study, chance, expected = copied(done, tmp_path), random.Random(SEED), done.results()
    whole = stored(study)
    for names in chosen(study):
        name = ", ".join(names)
        for path in map(study.store.joinpath, names):
            if path.exists():  # or it was a note of a run that was cleared away meanwhile
                flip(path, chance)
        study.finish()
        assert study.results() == expected, f"a flipped byte in {name} has changed the results"
        if main(["store", "verify", "--store", str(study.store)]):
            study.finish()  # nothing had read it so far; now it is out of the way, and is made again
            assert study.results() == expected, f"results differ after {name} was put aside"
        assert main(["store", "verify", "--store", str(study.store)]) == 0, name
        assert stored(study) == whole, f"{name}: something was not made again as it was"
        shutil.rmtree(study.store / "quarantine", ignore_errors=True)


def stored(study: Study) -> dict[str, dict[str, str]]:
    """Return the digest of each file of each artifact."""
    store = Store(study.store)
    return {
        key: {name: file.sha256 for name, file in store.peek(key).files.items()} for key in sorted(study.manifests())
    }


def test_each_byte_of_unfinished_work_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path)
    partial = Partial(tmp_path, UNFINISHED)
    partial.save("shard-0", b"tokens", what="sampling", done=0.5)
    path = tmp_path / "partial" / UNFINISHED / "shard-0"
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert Partial(tmp_path, UNFINISHED).load("shard-0") is None
        assert not path.exists()
    path.write_bytes(whole[:-1] + b"!")
    faults = [each.fault for each in tidy.check_all(store)]
    shown = f"partial/{UNFINISHED}/shard-0"
    assert faults == [f"{shown} is not what was saved; it was removed and is computed again"]
    assert not path.exists()


def test_notes_beside_locks_are_never_believed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.prepare()
    proof = tmp_path / "locks" / "proof.json"
    whole = proof.read_bytes()
    for at in range(len(whole)):
        proof.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        Store(tmp_path).prepare()
        assert proof.read_bytes() == whole, "locks are proved anew, and the proof is written again"
    note = tmp_path / "locks" / f"{UNFINISHED}.json"
    note.write_text('{"pid": 1, "host": "elsewhere", "since": "2026", "label": "a lie"}')
    assert store.lock(UNFINISHED).holder() is None
    assert store.lock(UNFINISHED).acquire()
