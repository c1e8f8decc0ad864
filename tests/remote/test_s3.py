"""A store on S3: the same results as a folder gives, whatever the network does, and whoever else writes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("s3fs", reason="the tests against S3 need s3fs and moto; `make test-remote` fails without them")
pytest.importorskip("moto", reason="the tests against S3 need s3fs and moto; `make test-remote` fails without them")

from bucket import Bucket
from flaky import sound
from toy_rehearsal import Life, Study

from harness.core.places import cache_folder


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    made = Bucket()
    yield made
    made.close()


class Host(Study):
    """A machine of its own, as far as the store is concerned: its cache is nobody else's."""

    def __init__(self, folder: Path, bucket: Bucket, url: str, **kwargs: Any) -> None:
        super().__init__(folder, **kwargs)
        self.url = url
        self.env = {**bucket.env, "PREREG_CACHE": str(folder / "cache")}
        self.store = folder / "cache" / cache_folder(url).name

    def start(self, *args: str, **kwargs: Any) -> Life:
        return super().start("--store", self.url, *args, **kwargs)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The study on a folder, as everything here must come out."""
    study = Study(tmp_path_factory.mktemp("local"), seconds=0.0)
    study.finish()
    return study


def consistent(bucket: Bucket, url: str, folder: Path, local: Study) -> None:
    """Check that each artifact is there once, whole, and with the bytes that a run on a folder makes."""
    found = sound(bucket.copy_to(url, folder))
    assert set(found) == set(local.manifests())
    for key, files in found.items():
        for name, content in files.items():
            assert (local.store / "objects" / key[:2] / key / name).read_bytes() == content
    names = bucket.contents(url)
    assert not [name for name in names if name.startswith(("claims/", "owners/", "quarantine/"))]


def test_a_run_on_s3_gives_what_a_run_on_a_folder_gives(local: Study, bucket: Bucket, tmp_path: Path) -> None:
    url = bucket.begin()
    first = Host(tmp_path / "first", bucket, url, seconds=0.0)
    said = first.finish()
    first.check(local.results())
    assert set(first.counted().values()) == {1}
    assert set(first.counted()) == set(local.manifests())
    consistent(bucket, url, tmp_path / "copy", local)
    bucket.asked.clear()
    second = Host(tmp_path / "second", bucket, url, seconds=0.0)
    said += second.finish()
    assert second.results() == local.results()
    assert second.counted() == {}, "nothing is computed where all is stored"
    assert {method for method, path in bucket.asked} <= {"GET", "HEAD"}, "and nothing is written"
    for secret in ("SECRET-testing", "AWS_SECRET"):
        assert secret not in said
        for path in (p for p in tmp_path.rglob("*") if p.is_file()):
            assert secret.encode() not in path.read_bytes(), path


def every(count: int, *kinds: str) -> Any:
    return lambda number, method, path: kinds[(number // count) % len(kinds)] if number % count == count - 1 else ""


@pytest.mark.parametrize("kinds", [("500", "503"), ("drop", "lost"), ("hang", "cut")], ids="-".join)
def test_what_goes_wrong_now_and_then_changes_nothing(
    kinds: tuple[str, ...], local: Study, bucket: Bucket, tmp_path: Path
) -> None:
    url = bucket.begin(every(11, *kinds))
    first = Host(tmp_path / "first", bucket, url, seconds=0.0)
    first.finish()
    first.check(local.results())
    second = Host(tmp_path / "second", bucket, url, seconds=0.0)
    second.finish()
    assert second.results() == local.results()
    assert second.counted() == {}
    bucket.heal()
    consistent(bucket, url, tmp_path / "copy", local)


@pytest.mark.parametrize(("kind", "at"), [("500", 3), ("drop", 50), ("hang", 110)])
def test_when_it_stays_away_the_run_says_so_and_the_next_one_goes_on(
    kind: str, at: int, local: Study, bucket: Bucket, tmp_path: Path
) -> None:
    url = bucket.begin(lambda number, method, path: kind if number >= at else "")
    host = Host(tmp_path / "host", bucket, url, seconds=0.0)
    life = host.start()
    assert life.end() == 1, life.text
    assert f"{url}: cannot " in life.text
    assert "(tried 5 times in " in life.text
    assert "finished jobs are kept in the local cache and shared then (or now: prereg store push)" in life.text
    assert "Traceback" not in life.text
    bucket.heal()
    sound(bucket.copy_to(url, tmp_path / "half"))
    made = {key for what, key in host.said() if what == "stored"}
    host.finish()
    host.check(local.results())
    assert all(count == 1 for key, count in host.counted().items() if key in made), "finished work is not done again"
    assert set(sound(bucket.copy_to(url, tmp_path / "whole"))) == set(local.manifests())


def test_two_machines_share_the_work(local: Study, bucket: Bucket, tmp_path: Path) -> None:
    url = bucket.begin()
    hosts = [Host(tmp_path / name, bucket, url, seconds=0.2) for name in ("one", "other")]
    lives = [host.start() for host in hosts]
    for life in lives:
        assert life.end() == 0, life.text
    for host in hosts:
        assert host.results() == local.results()
    counted = hosts[0].counted() + hosts[1].counted()
    assert set(counted) == set(local.manifests())
    assert set(counted.values()) == {1}, "no job was computed twice"
    assert all(host.counted() for host in hosts), "and both had their share"
    consistent(bucket, url, tmp_path / "copy", local)


def test_two_machines_with_workers_on_a_bad_network(local: Study, bucket: Bucket, tmp_path: Path) -> None:
    url = bucket.begin(every(13, "500", "drop", "lost", "cut"))
    hosts = [Host(tmp_path / name, bucket, url, seconds=0.05) for name in ("one", "other")]
    lives = [host.start(workers=2) for host in hosts]
    for life in lives:
        assert life.end() == 0, life.text
    bucket.heal()
    for host in hosts:
        assert host.results() == local.results()
    assert set(sound(bucket.copy_to(url, tmp_path / "copy"))) == set(local.manifests())


def test_what_is_damaged_in_the_bucket_is_made_again(local: Study, bucket: Bucket, tmp_path: Path) -> None:
    url = bucket.begin()
    Host(tmp_path / "first", bucket, url, seconds=0.0).finish()
    name = bucket.spoil(url, "/decision.json", b"{}")
    second = Host(tmp_path / "second", bucket, url, seconds=0.0)
    said = second.finish()
    assert f"at {url} is damaged: decision.json has 2 bytes instead of" in said
    assert second.results() == local.results()
    assert list(second.counted().values()) == [1]
    assert name in bucket.contents(url)
    assert [each for each in bucket.contents(url) if each.startswith("quarantine/")]
