"""What can never run is refused before anything runs, by dry runs and by seals; listing a folder asks no solver."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import toy_preregs

from harness.cli import main
from harness.compile.bind import load_bound
from harness.compose import declare_kinds

REPO = Path(__file__).parents[2]


def contradictory(shared):
    path = toy_preregs.write(shared.folder, "supported")
    path.write_text(path.read_text().replace("ci(shift) < 0.1", "ci(shift) < 3"))
    return path


def test_a_contradiction_refuses_the_run(shared) -> None:
    contradictory(shared)
    result = shared("supported.yaml")
    assert result.ret == 4
    said = "\n".join(result.errlines)
    assert "CONTRADICTION: kill 'none' can hold while H1, which it kills, is supported" in said
    assert "supported.yaml:18" in said or "kill.none" in said


def test_an_accepted_one_runs(shared) -> None:
    path = contradictory(shared)
    path.write_text(path.read_text() + "allow:\n  - {finding: CONTRADICTION, at: kill.none, because: a test of it}\n")
    result = shared("supported.yaml::check")
    assert result.ret == 0, result.errlines


def test_listing_a_folder_asks_no_solver(shared, monkeypatch) -> None:
    """What an editor does all the time; a dry run of a file is another thing."""
    contradictory(shared)
    monkeypatch.setitem(__import__("sys").modules, "z3", None)
    assert shared("--collect-only", "-q").ret == 0


@pytest.mark.parametrize("what", ["supported.yaml", "supported.yaml::H1", "x/../supported.yaml"])
def test_a_dry_run_says_what_the_run_would_say(shared, what: str) -> None:
    contradictory(shared)
    (shared.folder / "x").mkdir()
    dry, real = shared("--collect-only", "-q", what), shared(what)
    assert dry.ret == real.ret == 4
    assert refusals(dry) == refusals(real) != []


def refusals(result: pytest.RunResult) -> list[str]:
    """What is refused, without the example of it: the solver may find another one in the second run of a process."""
    return [line.partition(": for instance")[0] for line in result.errlines if "CONTRADICTION" in line]


@pytest.fixture
def weak(run, monkeypatch):
    """A registration that is not retrospective, and whose stored simulation says that it is wrong too often."""
    for name in ("PREREG_STORE", "PREREG_DATA", "PREREG_ENGINE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("banks", "tables"):
        shutil.copytree(REPO / "preregs" / name, run.folder / name)
    file = run.folder / "weak.yaml"
    file.write_text((REPO / "preregs" / "issue_310_v2.yaml").read_text().replace("PENDING", "0" * 40))
    declare_kinds()
    path = run.folder / ".prereg" / "simulations" / f"{load_bound(file).meaning}.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"points": {"null": {"supported": 0.255}}}))
    monkeypatch.chdir(run.folder)
    return run


SAID = "POWER: P(supported) is 25.5% when there is no effect, above 5%"


@pytest.mark.parametrize("what", [(), ("weak.yaml",)])
def test_a_dry_run_reads_the_simulation(weak, what: tuple[str, ...]) -> None:
    result = weak("--collect-only", "-q", *what)
    assert result.ret == 4
    assert SAID in result.stderr.str()


def test_what_can_never_run_is_not_sealed(weak, capsys) -> None:
    assert main(["seal", "weak.yaml"]) == 2
    said = capsys.readouterr().err
    assert SAID in said
    assert len(said.splitlines()) == 1
    assert not (weak.folder / "weak.yaml.seal.json").exists()


def test_an_amendment_that_can_never_run_is_refused(shared, monkeypatch, capsys) -> None:
    path = toy_preregs.write(shared.folder, "supported")
    monkeypatch.chdir(shared.folder)
    assert main(["seal", "supported.yaml"]) == 0
    sealed = (shared.folder / "supported.yaml.seal.json").read_bytes()
    path.write_text(path.read_text().replace("ci(shift) < 0.1", "ci(shift) < 3"))
    assert main(["amend", "supported.yaml", "--because", "more"]) == 2
    assert "supported.yaml:18:kill.none: CONTRADICTION: " in capsys.readouterr().err
    assert (shared.folder / "supported.yaml.seal.json").read_bytes() == sealed


def test_a_plan_says_that_it_cannot_run(weak, capsys) -> None:
    assert main(["plan", "weak.yaml"]) == 0
    said = capsys.readouterr().out
    assert "\nit cannot run:\nweak.yaml:" in said
    assert SAID in said
    assert main(["plan", "weak.yaml", "--json"]) == 0
    (error,) = json.loads(capsys.readouterr().out)["errors"]
    assert (error["code"], error["severity"]) == ("POWER", "error")


def test_a_plan_that_can_run_says_nothing_of_it(shared, monkeypatch, capsys) -> None:
    toy_preregs.write(shared.folder, "supported")
    monkeypatch.chdir(shared.folder)
    assert main(["plan", "supported.yaml"]) == 0
    assert "cannot run" not in capsys.readouterr().out
