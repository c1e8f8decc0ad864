"""``--log-json``: one JSON object per line, written by the process that reports, for all workers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import toy_preregs

JOB_EVENTS = {"started", "progress", "finished", "waiting", "waited"}


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


@pytest.mark.parametrize("workers", [(), ("-n0",), ("-n2",)], ids=["plain", "n0", "n2"])
def test_what_happens_is_told_once_in_order(run, workers: tuple[str, ...]) -> None:
    toy_preregs.write(run.folder, "supported")
    log = run.folder / "logs" / "run.jsonl"
    result = run.process("supported.yaml", "--log-json", "logs/run.jsonl", *workers)
    assert result.ret == 0, (result.outlines, result.errlines)
    told = read(log)
    assert [each["event"] for each in (told[0], told[-1])] == ["run_started", "run_finished"]
    assert told[0]["command"].startswith("pytest ")
    assert "--log-json logs/run.jsonl" in told[0]["command"]
    assert told[-1]["exit_status"] == 0
    assert len({each["run"] for each in told}) == 1
    times = [each["time"] for each in told if each["event"] in ("started", "finished")]
    assert workers == ("-n2",) or times == sorted(times)
    (plan,) = [each for each in told if each["event"] == "plan"]
    made = {each["key"]: each for each in told if each["event"] == "finished"}
    assert plan["jobs"] == len(made) == sum(each["event"] == "finished" for each in told), "each job once"
    assert plan["price"]["cpu_s"]["declared"] == plan["jobs"]
    assert {each["label"] for each in made.values()} >= {"measure[table]", "estimate[shift]", "verdict"}
    assert all(each["seconds"] > 0 for each in made.values())
    assert max(each["left"]["done"] for each in made.values()) == plan["jobs"]
    assert made.keys() <= {each["key"] for each in told if each["event"] == "started"}
    assert {each["event"] for each in told[1:-1]} <= {*JOB_EVENTS, "plan", "note"}
    assert ({each["worker"] for each in made.values() if "worker" in each} <= {"gw0", "gw1"}) if workers else True
    assert all(("worker" in each) == (workers == ("-n2",)) for each in made.values())
    assert not list((run.folder / ".prereg" / "progress").iterdir()), "nothing of the run is left there"


def test_a_failure_is_told_with_its_reason(run) -> None:
    toy_preregs.write_spoilt(run.folder, "supported")
    result = run("supported.yaml", "--log-json", "run.jsonl")
    assert result.ret == 1
    (failed,) = [each for each in read(run.folder / "run.jsonl") if each["event"] == "failed"]
    assert failed["label"] == "measure[table]"
    assert "nan" in failed["text"].lower()
    assert read(run.folder / "run.jsonl")[-1]["exit_status"] == 1


def test_runs_are_appended_and_a_preview_is_no_run(run) -> None:
    toy_preregs.write(run.folder, "supported")
    log = run.folder / "run.jsonl"
    assert run("--collect-only", "--log-json", "run.jsonl").ret == 0
    assert not log.exists()
    assert run("--log-json", "run.jsonl").ret == 0
    first = log.read_bytes()
    log.write_bytes(first[:-9])  # as a killed run leaves it
    assert run("--log-json", "run.jsonl").ret == 0
    again = log.read_bytes()
    assert again.startswith(first[:-9] + b"\n")
    second = [json.loads(line) for line in again[len(first) - 8 :].splitlines()]
    assert [each["event"] for each in second] == ["run_started", "run_finished"], "all is stored"


def test_a_log_that_cannot_be_written_is_refused(run) -> None:
    toy_preregs.write(run.folder, "supported")
    (run.folder / "taken").mkdir()
    result = run("--log-json", "taken")
    assert result.ret == 4
    assert "--log-json" in "\n".join(result.errlines)
    assert "cannot be written: Is a directory" in "\n".join(result.errlines)
    assert not (run.folder / ".prereg").exists()


def test_a_disk_that_fills_up_costs_the_log_and_not_the_run(run) -> None:
    toy_preregs.write(run.folder, "supported")
    result = run("--log-json", "/dev/full")
    assert result.ret == 0
    assert "prereg: --log-json cannot be written any more: No space left on device" in "\n".join(result.outlines)
