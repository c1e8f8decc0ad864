"""``prereg store push`` and ``pull``, and the other commands where the store is a URL."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from flaky import planned, sound
from shelves import job, put, stocked

from harness.cli import main
from harness.core import places
from harness.core.browse import keys
from harness.core.places import cache_folder
from harness.core.remote import files as files_module
from harness.core.store import Store


@pytest.fixture(autouse=True)
def _caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(places.CACHE, str(tmp_path / "caches"))
    monkeypatch.delenv("PREREG_STORE", raising=False)
    monkeypatch.setattr(files_module, "PAUSE", 1e-4)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"flaky://{tmp_path}/bucket"


def run(*arguments: object) -> int:
    return main(["store", *map(str, arguments)])


def test_everything_goes_there_and_comes_back(tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    store, jobs = stocked(tmp_path / "s")
    assert run("push", "--all", url, "--store", tmp_path / "s") == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert {line[:7] for line in lines} == {"sent   "}
    assert {line.split()[1] for line in lines} <= {key[:12] for key in keys(store)}
    assert last.startswith("6 artifacts: 6 sent (93 B), 0 fetched (0 B), ")
    assert last.endswith(" 0 refused")
    assert run("push", "--all", url, "--store", tmp_path / "s") == 0
    assert capsys.readouterr().out == "6 artifacts: 0 sent (0 B), 0 fetched (0 B), 6 were there already, 0 refused\n"
    assert run("pull", "--all", url, "--store", tmp_path / "t") == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "6 artifacts: 0 sent (0 B), 6 fetched (93 B), 0 were there already, 0 refused"
    )
    there = Store(tmp_path / "t")
    for each in jobs.values():
        assert there.manifest(each.key) == store.manifest(each.key)
    assert run("pull", "--all", url, "--store", tmp_path / "t") == 0
    assert "6 were there already" in capsys.readouterr().out


def test_some_go_with_what_they_were_made_from(tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, jobs = stocked(tmp_path / "s")
    assert run("push", "stage[C1.sft]", url, "--store", tmp_path / "s") == 0
    assert capsys.readouterr().out.splitlines() == [
        f"sent     {jobs['sft'].key[:12]}       15 B  stage[C1.sft]",
        "1 artifacts: 2 sent (32 B), 0 fetched (0 B), 0 were there already, 0 refused",
    ]
    assert set(sound(tmp_path / "bucket")) == {jobs["base"].key, jobs["sft"].key}
    assert run("pull", jobs["base"].key[:10], url, "--store", tmp_path / "t") == 0
    assert list(keys(Store(tmp_path / "t"))) == [jobs["base"].key]
    assert run("pull", "stage[C1.sft]", url, "--store", tmp_path / "t") == 0
    assert set(keys(Store(tmp_path / "t"))) == {jobs["base"].key, jobs["sft"].key}


def test_a_push_that_was_interrupted_goes_on(tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    stocked(tmp_path / "s")
    with planned(lambda number, *_: "before" if number > 25 else ""):
        assert run("push", "--all", url, "--store", tmp_path / "s") == 2
    said = capsys.readouterr()
    assert f"{url}: cannot " in said.err
    before = len(sound(tmp_path / "bucket"))
    assert 0 < before < 6
    assert run("push", "--all", url, "--store", tmp_path / "s") == 0
    assert f"6 artifacts: {6 - before} sent" in capsys.readouterr().out
    assert len(sound(tmp_path / "bucket")) == 6


def test_other_bytes_are_refused_and_ones_own_stay(
    tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = job("a")
    for name in ("s", "t"):
        put(Store(tmp_path / name), made, name)
    assert run("push", "--all", url, "--store", tmp_path / "s") == 0
    capsys.readouterr()
    assert run("push", "--all", url, "--store", tmp_path / "t") == 1
    assert capsys.readouterr().out.splitlines() == [
        f"DIFFERS  {made.key[:12]}  a: it is there with other bytes",
        "1 artifacts: 0 sent (0 B), 0 fetched (0 B), 0 were there already, 1 refused",
    ]
    assert (Store(tmp_path / "t").open(made.key) / "sub" / "text.txt").read_text() == "t"


def test_damage_is_refused(tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    store, jobs = stocked(tmp_path / "s")
    (store.path(jobs["verdict"].key) / "facts.json").write_text("[]")
    assert run("push", "--all", url, "--store", tmp_path / "s") == 1
    said = capsys.readouterr().out
    assert f"REFUSED  {jobs['verdict'].key[:12]}  artifact {jobs['verdict'].key[:12]} is damaged: facts.json" in said
    assert len(sound(tmp_path / "bucket")) == 5
    (path,) = (tmp_path / "bucket").glob(f"files/*/{jobs['probe'].key}/*/facts.json")
    path.write_text("[]")
    assert run("verify", "--store", url) == 1
    said = capsys.readouterr().out
    assert f"DAMAGED  {jobs['probe'].key}: artifact {jobs['probe'].key[:12]} at {url} is damaged: facts.json" in said
    assert "5 artifacts checked" in said
    assert run("verify", "--store", url) == 0
    assert "4 artifacts checked, 67 B: every byte is as stored" in capsys.readouterr().out


def test_looking_around_at_a_url(tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    store, jobs = stocked(tmp_path / "s")
    run("push", "--all", url, "--store", tmp_path / "s")
    capsys.readouterr()
    assert run("ls", "--store", tmp_path / "s") == 0
    local = capsys.readouterr().out
    assert run("ls", "--store", url) == 0
    assert capsys.readouterr().out == local.replace(str(tmp_path / "s"), url)
    assert run("show", "stage[C1.sft]", "--store", url) == 0
    assert "state    elsewhere" in capsys.readouterr().out
    assert run("show", jobs["sft"].key, "--store", url, "--json") == 0
    assert capsys.readouterr().out == (store.path(jobs["sft"].key) / "manifest.json").read_text()
    assert run("why", "verdict", "--store", url) == 0
    assert "stage[C1.sft]" in capsys.readouterr().out
    assert run("diff", "measure[rate-C1]", "measure[cos-C1]", "--store", url) == 1
    assert list(keys(Store(cache_folder(url)))) == [], "manifests suffice"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["push", "URL", "--store", "s"], "neither keys nor --all: name the artifacts (see: prereg store ls)"),
        (["push", "--all", "x", "URL", "--store", "s"], "both keys and --all: name the artifacts"),
        (["push", "--all", "folder", "--store", "s"], "'folder' is no URL; expected protocol://bucket/prefix"),
        (["push", "--all", "URL", "--store", "nothing"], "there is no store at"),
        (["pull", "--all", "URL", "--store", "s"], "there is no store at flaky://"),
        (["ls", "--store", "URL"], "there is no store at flaky://"),
        (["ls", "--store", "s3://a:b@c"], "s3://…@c: the store's URL holds a password"),
        (["gc", "--store", "URL"], "gc clears folders, and flaky://"),
        (["import", "b.zip", "--store", "URL"], "there is no bundle 'b.zip'"),
        (["import", "s/x", "--store", "URL"], "a bundle is imported into a folder, and flaky://"),
    ],
)
def test_what_cannot_be_done_is_said(
    arguments: list[str], said: str, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    stocked(tmp_path / "s")
    (tmp_path / "s" / "x").touch()
    assert run(*(url if each == "URL" else each for each in arguments)) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "bucket").exists()


def test_the_leftovers_of_a_cache_can_be_pushed(tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    put(Store(cache_folder(url)), job("a"))
    assert run("push", "--all", url, "--store", url) == 0
    assert "1 artifacts: 1 sent" in capsys.readouterr().out
    assert json.loads((tmp_path / "bucket" / "prereg-store.json").read_bytes()) == {"format": 1}
