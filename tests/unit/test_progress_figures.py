"""What is told of jobs at work: rates, memory, how far the run is; and the log of it for machines."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.execute import child, machine, progress, tally
from harness.execute.executor import Event
from harness.execute.progress import FileProgress, Running, read_running
from harness.execute.tally import Left, Tally
from harness.plugin import jsonlog, relay
from harness.plugin.prices import Planned

CARD = SimpleNamespace(
    is_initialized=lambda: True, get_device_name=lambda: "a card", memory_reserved=lambda: 3 * 2**20,
    max_memory_reserved=lambda: 5 * 2**20,
)  # fmt: skip


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    for module in (progress, tally):
        monkeypatch.setattr(module, "time", found)
    return found


# --- a job -------------------------------------------------------------------------------------------


def test_what_is_counted_has_a_rate(tmp_path: Path, clock: Clock) -> None:
    tell = FileProgress(tmp_path, "key", "label", "cpu:0")
    tell("training", 0.1, tokens=1000, loss=2.0)
    clock.now += 4
    tell("training", 0.2, tokens=9000, loss=1.0)
    (job,) = read_running(tmp_path)
    assert job.figures == {"tokens": 9000.0, "loss": 1.0, "tokens_per_s": 2000.0}
    assert (job.elapsed, job.eta) == (4.0, 16.0)
    clock.now += 4
    tell("sampling", 0.5, completions=10)
    (job,) = read_running(tmp_path)
    assert job.figures == {"completions": 10.0}, "another phase begins with figures of its own"
    clock.now += 2
    tell("sampling", 0.6, completions=15)
    assert read_running(tmp_path)[0].figures["completions_per_s"] == 2.5


def test_a_count_that_begins_again_has_no_negative_rate(tmp_path: Path, clock: Clock) -> None:
    tell = FileProgress(tmp_path, "key", "label", "cpu:0")
    for tokens in (1000, 100):
        tell("training", 0.1, tokens=tokens)
        clock.now += 4
    tell("training", 0.1, tokens=500)
    assert read_running(tmp_path)[0].figures["tokens_per_s"] == 100.0


def test_memory_is_that_of_the_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=CARD))
    FileProgress(tmp_path, "key", "label", "cuda:0")
    (job,) = read_running(tmp_path)
    assert job.gpu_mb == 3.0
    assert job.rss_mb > 1.0


# --- the manifest ------------------------------------------------------------------------------------


def test_an_artifact_says_what_it_was_made_on_and_by_which_command(monkeypatch: pytest.MonkeyPatch) -> None:
    noted = {"command": "pytest x.yaml -n 2", "over_budget": {"x": "because"}}
    monkeypatch.setenv(machine.NOTED, json.dumps(noted))
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=CARD, __version__="2.0"))
    made = child.describe_process()
    assert made["command"] == "pytest x.yaml -n 2"
    assert made["over_budget"] == {"x": "because"}
    assert (made["gpu"], made["max_gpu_mb"]) == ("a card", 5.0)
    assert made["versions"]["torch"] == "2.0"
    assert made["max_rss_mb"] > 1
    assert {"cpu_s", "host", "pid", "python", "when"} <= made.keys()


@pytest.mark.parametrize("torch", [None, SimpleNamespace(), SimpleNamespace(cuda=SimpleNamespace(is_initialized=bool))])
def test_a_process_without_a_gpu_names_none_and_asks_for_none(monkeypatch: pytest.MonkeyPatch, torch: Any) -> None:
    monkeypatch.delenv(machine.NOTED, raising=False)
    monkeypatch.setitem(sys.modules, "torch", torch)
    made = child.describe_process()
    assert not {"gpu", "max_gpu_mb", "command", "over_budget"} & made.keys()
    assert (machine.gpu_mb(), machine.peak_gpu_mb(), machine.gpu_name()) == (0.0, 0.0, "")


def test_a_note_that_is_no_note_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("{", "[1]"):
        monkeypatch.setenv(machine.NOTED, text)
        assert machine.noted() == {}


# --- the run -----------------------------------------------------------------------------------------


def test_a_tally_counts_what_is_stored_and_estimates_the_rest(clock: Clock) -> None:
    stored: set[str] = set()
    found = Tally({"a": 100.0, "b": 60.0, "c": None}, stored.__contains__)
    assert found.look() == Left(0, 3, 160.0, 1)
    clock.now += 2
    two = [Running("a", "", "", 0.5, 1.0, None), Running("x", "", "", 0.5, 1.0, None)]
    assert found.look(two) == Left(0, 3, (50 + 60) * 2 / 50, 1), "half of the first took 2 s"
    stored |= {"a", "c"}
    clock.now += 2
    assert found.look() == Left(2, 3, 60 * 4 / 100, 0)
    stored.add("b")
    assert found.look() == Left(2, 3, 60 * 4 / 100, 0), "the store is looked at once a second"
    found.stored("b")
    assert found.look() == Left(3, 3, None, 0)


def test_prices_are_believed_until_the_run_has_a_speed(clock: Clock) -> None:
    found = Tally({str(number): 10.0 for number in range(100)}, {"0"}.__contains__)
    clock.now += 50
    two = [Running(str(number), "", "", 0.0, 1.0, None) for number in (1, 2)]
    assert found.look(two).eta == 990 / 2


# --- the log -----------------------------------------------------------------------------------------

RUNNING = Running("k", "job", "training", 0.25, 30.0, 90.0, {"loss": float("nan")}, 7, "here", "cpu:0", 10.0)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_a_line_of_the_log_says_everything(tmp_path: Path) -> None:
    log = jsonlog.JsonLog(tmp_path / "new" / "log.jsonl", "run-1")
    events = [Event("progress", "k", "job", "training", 30.0, RUNNING), Event("finished", "k", "job", "", 1.23456)]
    events += [Event("finished", "k", "job", "made by another process"), Event("note", text="remark")]
    for event in events:
        log.write(jsonlog.name_of(event), "2026-01-01T00:00:00.000Z", **jsonlog.fields(event))
    log.close()
    base = {"time": "2026-01-01T00:00:00.000Z", "run": "run-1"}
    assert lines(tmp_path / "new" / "log.jsonl") == [
        {**base, "event": "progress", "key": "k", "label": "job", "text": "training", "what": "training", "done": 0.25,
         "elapsed_s": 30.0, "eta_s": 90.0, "figures": {"loss": None}, "pid": 7, "host": "here", "device": "cpu:0",
         "rss_mb": 10.0, "gpu_mb": 0.0},
        {**base, "event": "finished", "key": "k", "label": "job", "seconds": 1.235},
        {**base, "event": "waited", "key": "k", "label": "job", "text": "made by another process", "seconds": 0.0},
        {**base, "event": "note", "text": "remark"},
    ]  # fmt: skip


def test_a_run_that_was_killed_spoils_its_last_line_alone(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"event": "run_started"}\n{"event": "progr')
    log = jsonlog.JsonLog(path, "run-2")
    log.write("run_started")
    log.close()
    first, torn, last = path.read_bytes().splitlines()
    assert json.loads(first) == {"event": "run_started"}
    assert torn == b'{"event": "progr'
    assert json.loads(last)["run"] == "run-2"


# --- from workers ------------------------------------------------------------------------------------


def test_news_of_workers_arrive_once_and_whole(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    receiver = relay.Receiver(folder)
    assert list(receiver.news()) == []
    one, two = relay.Sender(lambda: folder, "gw0"), relay.Sender(lambda: folder, "gw1")
    plan = Planned({"k": 1.0, "l": None}, "a tag", {"gpu_s": {"likely": 1.0}})
    event = Event("progress", "k", "job", "training", 30.0, Running("k", "job", "training", 0.25, 30.0, None))
    one.planned(plan)
    two.happened(event)
    one.happened(Event("failed", "k", "job", "it broke"))
    heard = [(worker, news) for _, worker, news in receiver.news()]
    assert heard == [("gw0", plan), ("gw0", Event("failed", "k", "job", "it broke")), ("gw1", event)]
    assert list(receiver.news()) == []
    receiver.close()
    assert not folder.exists()


def test_a_line_that_is_still_being_written_waits(tmp_path: Path) -> None:
    sender = relay.Sender(lambda: tmp_path, "gw0")
    sender.happened(Event("note", text="one"))
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    receiver = relay.Receiver(tmp_path)
    path.write_bytes(whole + whole[:20])
    assert [news.text for _, _, news in receiver.news() if isinstance(news, Event)] == ["one"]
    assert list(receiver.news()) == []
    path.write_bytes(whole + whole + b"{torn\n" + whole)
    assert [news.text for _, _, news in receiver.news() if isinstance(news, Event)] == ["one", "one"]


def test_a_worker_that_cannot_write_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    relay.Sender(lambda: tmp_path / "file" / "run", "gw0").happened(Event("note", text="one"))
    assert (tmp_path / "file").read_text() == ""
