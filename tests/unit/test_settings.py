"""The root, the ini file and the places of a run: ``prereg`` finds what pytest finds, and nothing else moves it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import PreregError
from harness.core.settings import DATA, ENGINE, OUT, STORE, find

INIS = {
    "pytest.ini": "[pytest]\nprereg_store = st\n",
    ".pytest.ini": "[pytest]\nprereg_store = st\n",
    "pyproject.toml": "[tool.pytest.ini_options]\nprereg_store = 'st'\n",
    "tox.ini": "[tox]\n\n[pytest]\nprereg_store = st\n",
    "setup.cfg": "[metadata]\nname = x\n[tool:pytest]\nprereg_store = st\n",
}
NATIVE = {"pytest.toml": "[pytest]\nprereg_store = 'st'\n", "pyproject.toml": "[tool.pytest]\nprereg_store = 'st'\n"}
LAYOUTS = {
    **{name: {name: text} for name, text in INIS.items()},
    "nearest": {"pytest.ini": INIS["pytest.ini"], "a/tox.ini": "[pytest]\nprereg_store = other\n"},
    "first of a folder": {"pytest.ini": "", "tox.ini": INIS["tox.ini"]},
    "says nothing of pytest": {"pytest.ini": INIS["pytest.ini"], "a/setup.cfg": "[metadata]\n", "a/tox.ini": "[tox]\n"},
    "project without a table": {"pyproject.toml": "[project]\nname = 'pytest-x'\n", "a/b/README": ""},
    "deepest project": {"pyproject.toml": "[x]\n", "a/pyproject.toml": "[x]\n"},
    "table that says nothing to us": {"pyproject.toml": "[tool.pytest.ini_options]\naddopts = '-ra'\n"},
    "a mention alone": {"pytest.ini": "", "a/setup.cfg": "[x]\ny = pytest --store z\n", "a/tox.ini": "[x]\npytest=1\n"},
    "sections that say nothing to us": {"a/setup.cfg": "[tool:pytest]\naddopts = -ra\n", "tox.ini": "[pytest]\n"},
    "dotted table": {"pyproject.toml": "[tool]\npytest.ini_options = {addopts = '-ra'}\n"},
    "a comment and a percent sign": {"pytest.ini": "[pytest]\n# 50 %\nprereg_store = st%d # x\n"},
}


def write(folder: Path, files: dict[str, str]) -> Path:
    (folder / "a" / "b").mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    file = folder / "a" / "b" / "x.yaml"
    file.write_text("")
    return file


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PREREG_STORE", "PREREG_DATA", "PREREG_ENGINE", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_as_pytest(layout: str, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # read in this process, where they are at work already
    file = write(pytester.path, LAYOUTS[layout])
    config = pytester.parseconfig("-p", "harness.plugin.hooks", str(file))
    home = find([file], pytester.path)
    assert (home.root, home.ini) == (config.rootpath, config.inipath)
    assert home.said.get(STORE, "") == config.getini(STORE)
    assert find([], file.parent).root == config.rootpath


@pytest.mark.parametrize("name", NATIVE)
def test_native_toml_which_pytest_knows_since_9(name: str, tmp_path: Path) -> None:
    home = find([write(tmp_path, {name: NATIVE[name]})], tmp_path / "a")
    assert (home.root, home.ini, home.said[STORE]) == (tmp_path, tmp_path / name, "st")


def test_several_files_share_a_folder(tmp_path: Path) -> None:
    write(tmp_path, {"a/pytest.ini": "[pytest]\n"})
    (tmp_path / "y.yaml").write_text("")
    assert find(["a/b/x.yaml"], tmp_path).root == tmp_path / "a"
    assert find(["a/b/x.yaml", "y.yaml"], tmp_path).root == tmp_path / "a"  # as pytest: then above each of them
    (tmp_path / "tox.ini").write_text("[pytest]\n")
    assert find(["a/b/x.yaml", "y.yaml"], tmp_path).root == tmp_path


def test_without_an_ini_file_it_is_where_the_command_is_given(tmp_path: Path) -> None:
    file = write(tmp_path, {})
    home = find([file], tmp_path)
    assert (home.root, home.ini) == (tmp_path, None)
    assert (home.store, home.out) == (tmp_path / ".prereg", tmp_path / "results")
    assert find([tmp_path / ("x" * 300)], tmp_path).root == tmp_path
    (tmp_path / "a" / "setup.py").write_text("")
    assert find([file], tmp_path).root == tmp_path / "a"


def test_what_is_said_and_by_whom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "[pytest]\nprereg_store = st\nprereg_out = /abs\nprereg_data = s3://b/p\nprereg_engine = vllm\n"
    file = write(tmp_path, {"a/pytest.ini": text})
    here = tmp_path / "here"
    home = find([file], here)
    assert home.places(STORE) == [tmp_path / "a" / "st"]
    assert (home.places(OUT), home.places(DATA), home.setting(ENGINE)) == ([Path("/abs")], ["s3://b/p"], "vllm")
    monkeypatch.setenv("PREREG_STORE", "of/env")
    assert home.places(STORE) == [here / "of/env", tmp_path / "a" / "st"]
    monkeypatch.setenv("PYTEST_ADDOPTS", "-q --store='of add' --prereg-out o")
    assert home.places(STORE) == [here / "of add", here / "of/env", tmp_path / "a" / "st"]
    assert home.places(OUT) == [here / "o", Path("/abs")]


def test_added_options_of_the_ini_file_count(tmp_path: Path) -> None:
    file = write(tmp_path, {"pytest.ini": "[pytest]\naddopts = -ra\n  --store=added\n"})
    assert find([file], tmp_path).places(STORE) == [tmp_path / "added"]
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --store\n")
    with pytest.raises(PreregError, match="cannot be read: argument --store: expected one argument"):
        find([file], tmp_path).places(STORE)


def test_an_ini_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    file = write(tmp_path, {"pyproject.toml": "[tool.pytest.ini_options\nprereg_store = 1\n"})
    with pytest.raises(PreregError, match=r"pyproject.toml: pytest's ini file cannot be read: .*\. Pytest reads"):
        find([file], tmp_path)
