"""A store on a URL, as pytest's user sees it: the same results, and no network before something runs."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest
import toy_preregs

MODULES = ("fsspec", "s3fs", "botocore", "aiobotocore", "aiohttp", "boto3")
LISTENS = """
import sys

def pytest_unconfigure():
    loaded = [name for name in {modules!r} if name in sys.modules]
    sys.stderr.write(f"loaded: {{loaded}}\\n")
"""


@pytest.fixture
def listening(run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Runs that tell at their end which clients of a network they have imported."""
    monkeypatch.setenv("PREREG_CACHE", str(tmp_path / "caches"))
    monkeypatch.delenv("PREREG_STORE", raising=False)
    (run.folder / "conftest.py").write_text(LISTENS.format(modules=MODULES))
    return run


def results(folder: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in sorted(folder.rglob("results.json"))}


@pytest.mark.parametrize("how", ["option", "environment", "ini"])
def test_collecting_imports_no_client_and_touches_no_network(how: str, listening) -> None:
    toy_preregs.write(listening.folder, "supported")
    url = "s3://no-such-bucket/prefix"
    if how == "ini":
        (listening.folder / "tox.ini").write_text(f"[pytest]\nprereg_store = {url}\n")
    args = ["--store", url] if how == "option" else []
    env = {"PREREG_STORE": url} if how == "environment" else {}
    # Whatever spoke to a network would have to go by here.
    env |= {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    result = listening.process("--collect-only", "supported.yaml", *args, **env)
    assert result.ret == 0
    assert "loaded: []" in result.errlines
    result.stdout.fnmatch_lines(["*what would run*"])
    assert not (listening.folder / ".prereg").exists()


@pytest.mark.parametrize("workers", ["", "-n0", "-n2"])
def test_results_are_those_of_a_folder(workers: str, listening, tmp_path: Path) -> None:
    args = [workers] if workers else []
    for name in ("supported", "unsupported"):
        toy_preregs.write(listening.folder, name)
    folder = listening.process("supported.yaml", "unsupported.yaml", "--prereg-out", "here", *args)
    assert "loaded: []" in folder.errlines, "a folder needs no client"
    url = f"file://{tmp_path}/shared"
    remote = listening.process("supported.yaml", "unsupported.yaml", "--prereg-out", "there", "--store", url, *args)
    assert folder.ret == remote.ret == 1
    assert folder.parseoutcomes() == remote.parseoutcomes()
    assert results(listening.folder / "here") == results(listening.folder / "there")
    assert len(results(listening.folder / "there")) == 2
    other = listening.process(
        "supported.yaml", "unsupported.yaml", "--prereg-out", "elsewhere", "--store", url, *args,
        PREREG_CACHE=str(tmp_path / "other"),
    )  # fmt: skip
    assert results(listening.folder / "elsewhere") == results(listening.folder / "here")
    assert other.ret == 1
    run = (listening.folder / "elsewhere" / "supported" / "run.json").read_text()
    assert f'"store": "{url}"' in run
    assert '"jobs_this_run": 0' in run


@pytest.mark.parametrize("workers", ["", "-n2"])
@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://key:hidden@bucket/x", "s3://…@bucket/x: the store's URL holds a password"),
        ("s3://bucket/x?a=hidden", "s3://bucket/x: the store's URL goes on with '[?]' or '#'"),
    ],
)
def test_a_url_with_a_password_is_refused_and_not_repeated(workers: str, url: str, said: str, listening) -> None:
    toy_preregs.write(listening.folder, "supported")
    result = listening.process("supported.yaml", *([workers] if workers else []), PREREG_STORE=url)
    assert result.ret == 4
    result.stderr.fnmatch_lines([f"*{said.replace('…', '*')}*"])
    assert "hidden" not in result.stdout.str() + result.stderr.str()


@pytest.mark.parametrize("workers", ["", "-n0", "-n2"])
@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("memory://x", "memory://x: memory:// cannot write a file only if there is none yet"),
        ("ftp://x/y", "ftp://x/y: ftp:// cannot write a file only if there is none yet"),
        ("ssh://host/x", "ssh://host/x: "),
        ("nothing://host/x", "nothing://host/x: Protocol not known: nothing"),
        ("gs://bucket/x", "gs://bucket/x: nothing is installed for gs:// (there is no 'gcsfs'). Install it:"),
        ("file:///proc/x", "file:///proc/x: the folder cannot be made"),
        ("/proc/x", "the store /proc/x cannot be written"),
        ("in/the/way/x", "in/the/way/x cannot be a folder"),
    ],
)  # fmt: skip
def test_a_store_that_cannot_be_used_is_refused_once(workers: str, url: str, said: str, listening) -> None:
    if url.startswith("gs:") and importlib.util.find_spec("gcsfs"):
        pytest.fail("gcsfs is installed here: give this test a protocol whose client is not")
    toy_preregs.write(listening.folder, "supported")
    (listening.folder / "in" / "the").mkdir(parents=True)
    (listening.folder / "in" / "the" / "way").write_text("")
    result = listening.process("supported.yaml", "--store", url, *([workers] if workers else []))
    told = "\n".join(result.errlines)
    assert result.ret == 4, told
    assert told.count(said) == 1, told
    assert told.count("ERROR: ") == 1
    assert "error" not in "\n".join(result.outlines)
    assert not list(listening.folder.rglob("results*"))


@pytest.mark.parametrize(
    "args", [("--collect-only",), ("-m", "not gpu", "own_test.py"), ("--deselect", "supported.yaml")]
)
def test_what_stores_nothing_makes_no_store(args: tuple[str, ...], listening) -> None:
    toy_preregs.write(listening.folder, "supported")
    (listening.folder / "own_test.py").write_text("def test_own():\n    pass\n")
    for store in ("made", "/proc/x"):
        assert listening.process(*args, "--store", store).ret in (0, 5)
    assert not (listening.folder / "made").exists()


def test_what_is_stored_is_read_from_a_store_that_cannot_be_written(listening, monkeypatch) -> None:
    toy_preregs.write(listening.folder, "supported")
    store = listening.folder / "store"
    assert listening.process("supported.yaml", "--store", str(store)).ret == 0
    shutil.rmtree(store / "locks")
    (store / "locks").write_text("in the way of prepare()")
    assert listening.process("supported.yaml", "--store", str(store)).ret == 0
    (listening.folder / "supported.csv").write_text(
        (listening.folder / "supported.csv").read_text().replace("i1,1.000", "i1,1.001")
    )
    assert listening.process("supported.yaml", "--store", str(store)).ret == 4
