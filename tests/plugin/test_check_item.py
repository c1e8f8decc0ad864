"""A rule that contradicts itself is refused before anything runs; collecting it asks no solver."""

from __future__ import annotations

import toy_preregs


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


def test_collecting_asks_no_solver(shared, monkeypatch) -> None:
    contradictory(shared)
    monkeypatch.setitem(__import__("sys").modules, "z3", None)
    assert shared("--collect-only", "-q", "supported.yaml").ret == 0
