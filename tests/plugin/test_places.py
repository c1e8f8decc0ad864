"""Where a run puts what it makes, and that ``prereg`` looks there: one rule, which no option's value moves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import toy_preregs

from harness.cli import main

REPO = Path(__file__).parents[2]
NAME = "supported"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("PREREG_STORE", "PREREG_DATA", "PREREG_ENGINE", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "project"
    (folder / "preregs").mkdir(parents=True)
    toy_preregs.write(folder / "preregs", NAME)
    monkeypatch.chdir(folder)
    return folder


def judged(*args: str, **env: str) -> Path:
    """Run pytest as a user does, without a root of the test's choosing; return the folder of the report."""
    settings = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(REPO), **env}
    command = [sys.executable, "-m", "pytest", "-p", "harness.plugin.hooks", "--no-figures", "-q", *args]
    done = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("  report: ")]
    return Path(line.removeprefix("  report: ")).parent


def entry(file: str) -> dict:
    return json.loads(Path(f"{file}.seal.json").read_bytes())["entries"][-1]


def planned(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    capsys.readouterr()
    assert main(["plan", *args]) == 0
    return capsys.readouterr().out.splitlines()[-1]


def test_the_places_of_the_ini_file_are_those_of_prereg(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = f"preregs/{NAME}.yaml"
    Path("pytest.ini").write_text("[pytest]\nprereg_store = st\nprereg_out = res\n")
    assert judged(file) == project / "res" / NAME
    said = planned(capsys, file)
    assert " 0 of " in said
    assert said.endswith(f" jobs to run in {project / 'st'}")
    assert main(["store", "ls"]) == 0
    assert str(project / "st") in capsys.readouterr().out
    assert main(["store", "export", file, "--out", "x.zip"]) == 0
    assert main(["seal", file]) == 0
    assert [each["name"] for each in entry(file)["measured"]] == ["table"]
    assert entry(file)["reported"] is True


def test_below_the_root_it_is_the_same_store(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("pyproject.toml").write_text("[tool.pytest.ini_options]\naddopts = '-ra'\n")
    monkeypatch.chdir("preregs")
    assert judged(f"{NAME}.yaml") == project / "results" / NAME
    assert planned(capsys, f"{NAME}.yaml").endswith(f" 0 of 6 jobs to run in {project / '.prereg'}")
    assert main(["seal", f"{NAME}.yaml"]) == 0
    assert entry(f"{NAME}.yaml")["measured"]
    assert not Path(".prereg").exists()


@pytest.mark.parametrize("left", ["st", ".prereg", "preregs/.prereg"])
def test_sealing_finds_what_a_run_left_elsewhere(project: Path, left: str) -> None:
    """A store that is given at sealing is another one than that of the run: what the run left counts all the same."""
    file = f"preregs/{NAME}.yaml"
    Path("pytest.ini").write_text("[pytest]\nprereg_store = st\n")
    judged(file, "--store", left, "--prereg-out", "preregs/results")
    assert main(["seal", file, "--store", "empty", "--results", "none"]) == 0
    assert [each["name"] for each in entry(file)["measured"]] == ["table"]
    assert entry(file)["reported"] is True


def test_no_value_of_an_option_moves_the_report(project: Path, tmp_path: Path) -> None:
    """Pytest takes a value that exists for an argument when it looks for its root, so the second run had another."""
    for _ in range(2):
        assert judged(f"preregs/{NAME}.yaml", "--store", "../st") == project / "results" / NAME
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "pytest.ini").write_text("[pytest]\nprereg_out = theirs\n")
    assert judged("--store", "../elsewhere", f"preregs/{NAME}.yaml") == project / "results" / NAME
    (tmp_path / "pytest.ini").write_text("[pytest]\nprereg_out = above\n")
    Path("pytest.ini").write_text("[pytest]\nprereg_out = ours\n")
    for _ in range(2):
        assert judged(f"preregs/{NAME}.yaml", "--store", "../st2") == project / "ours" / NAME


def test_what_is_asked_for_counts_first(project: Path, tmp_path: Path) -> None:
    file = f"preregs/{NAME}.yaml"
    Path("pytest.ini").write_text("[pytest]\nprereg_store = st\nprereg_out = res\n")
    assert judged(file, "-o", "prereg_out=over") == project / "over" / NAME
    Path("other.ini").write_text("[pytest]\nprereg_out = other\n")
    assert judged(file, "-c", "other.ini", "--store", "st") == project / "other" / NAME
    Path("pytest.ini").write_text("[pytest]\nprereg_store = st\n")
    assert judged(file, f"--rootdir={tmp_path}") == tmp_path / "results" / NAME


def test_workers_of_xdist_agree(project: Path) -> None:
    for _ in range(2):
        out = judged("-p", "xdist", "-n", "2", f"preregs/{NAME}.yaml", "--store", "../st")
        assert out == project / "results" / NAME
    assert not list(project.rglob(".prereg"))


def test_workers_put_things_where_their_controller_does(project: Path) -> None:
    """Nobody names the preregs: pytest finds them by ``testpaths``, in a folder with an ini file of its own."""
    Path("pytest.ini").write_text("[pytest]\ntestpaths = preregs\nprereg_store = st\n")
    Path("preregs/pytest.ini").write_text("[pytest]\nprereg_store = other\n")
    assert judged("-p", "xdist", "-n", "2") == project / "results" / NAME
    assert (project / "st" / "objects").is_dir()
    assert not (project / "preregs" / "other").exists()


def test_the_engine_of_the_ini_file_is_that_of_a_plan(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(REPO / "preregs" / "issue_310_v2.yaml")
    copied = project / "preregs" / "study.yaml"
    copied.write_text(Path(file).read_text().replace("banks/", f"{REPO}/preregs/banks/"))
    Path("pytest.ini").write_text("[pytest]\nprereg_engine = vllm\n")
    assert main(["plan", str(copied)]) == 0
    assert "vllm" in capsys.readouterr().out
    Path("pytest.ini").write_text("[pytest]\nprereg_engine = transformers\n")
    assert main(["plan", str(copied)]) == 0
    assert "vllm" not in capsys.readouterr().out
    Path("pytest.ini").write_text("[pytest]\nprereg_engine = none\n")
    assert main(["plan", str(copied)]) == 2
    assert "prereg_engine: 'none' is no engine" in capsys.readouterr().err
