"""The plugin's parts that need no pytest session."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from making import bound, cell, clause, cmp, estimates, hypothesis

from harness.contracts.records import Decision
from harness.core.errors import Problem, Where
from harness.decide.court import Court
from harness.decide.verdict import decide
from harness.execute.executor import Event
from harness.execute.progress import Running
from harness.execute.tally import Left, Tally
from harness.plan.plan import Plan
from harness.plugin import blocks, cases, registrations, terminal
from harness.plugin.options import Options
from harness.plugin.prices import Planned

H1 = hypothesis("H1", clause("big", cmp("x", ">=", "1/2", text="x >= 0.5", line=3), line=3), line=2)
H2 = hypothesis("H2", clause("high", cmp("x", ">=", "9", text="x >= 9", line=5), line=5), role="secondary", line=4)
KILL = clause("none", cmp("x", "<", "0", text="x < 0", line=9), line=9)
GATE = clause("varies", cmp("y", ">", "0", text="y > 0", line=7), line=7)
TOY = bound(H1, H2, gates=(GATE,), kills=(KILL,), retrospective=True)
PLAN = Plan(
    bound=TOY, jobs={}, measurements={"m-C1": ("k1", "k2"), "m-C2": ("k3",)}, tables={},
    estimates={name: f"key of {name}" for name in estimates(("x", cell(1.0)), ("y", cell(1.0)))}, verdict="v",
)  # fmt: skip


def outcome(name: str, x: float, y: float = 1.0, lenient: bool = False) -> cases.Outcome:
    case = next(case for case in cases.cases(TOY, PLAN) if case.name == name)
    return cases.judge(case, Court(TOY, estimates(("x", cell(x)), ("y", cell(y)))), lenient=lenient)


def test_the_items_of_a_prereg() -> None:
    assert [(case.name, case.line) for case in cases.cases(TOY, PLAN)] == [
        ("check", 1), ("measure[m-C1]", 1), ("measure[m-C2]", 1), ("gate[varies]", 7), ("H1[big]", 3), ("H1", 2),
        ("H2[high]", 5), ("H2", 4), ("kill[none]", 9), ("verdict", 1),
    ]  # fmt: skip


def test_an_item_needs_what_it_reads_and_the_gates_before_it() -> None:
    wanted = {case.name: cases.keys(case, TOY, PLAN) for case in cases.cases(TOY, PLAN)}
    x, y = (PLAN.estimates[next(iter(estimates((name, cell(1.0)))))] for name in "xy")
    assert wanted["check"] == ()
    assert wanted["measure[m-C1]"] == ("k1", "k2")
    assert wanted["gate[varies]"] == (y,)
    assert set(wanted["H1[big]"]) == set(wanted["H1"]) == set(wanted["kill[none]"]) == {x, y}
    assert wanted["verdict"] == ("v",)


@pytest.mark.parametrize(
    ("name", "x", "y", "word", "soft"),
    [
        ("H1[big]", 1.0, 1.0, "PASSED", False),
        ("H1[big]", 0.1, 1.0, "FAILED", False),
        ("H1[big]", 1.0, 0.0, "INCONCLUSIVE", False),
        ("gate[varies]", 1.0, 0.0, "FAILED", False),
        ("H2[high]", 1.0, 1.0, "FAILED", True),
        ("H2", 1.0, 1.0, "FAILED", True),
        ("kill[none]", -1.0, 1.0, "KILLED", False),
        ("kill[none]", -1.0, 0.0, "PASSED", False),
        ("H1", -1.0, 1.0, "KILLED", False),
    ],
)
def test_outcomes(name: str, x: float, y: float, word: str, soft: bool) -> None:
    found = outcome(name, x, y)
    assert (found.word, found.soft) == (word, soft)
    assert outcome(name, x, y, lenient=True).soft


def test_a_block_says_formula_value_threshold_and_what_it_would_have_taken() -> None:
    assert outcome("H1[big]", 0.3).block.splitlines() == [
        "H1[big] does not hold  (made.yaml:3)",
        "  big",
        "  FAILS   x >= 0.5",
        "          value 0.300, threshold >= 0.5",
        "          0.300 is 0.200 below 0.5",
    ]


def test_the_end_of_a_prereg_in_lines() -> None:
    decision = decide(TOY, estimates(("x", cell(0.1)), ("y", cell(1.0))))
    assert blocks.headline(decision) == "made: NOT SUPPORTED (retrospective), confidence LOW"
    told = list(blocks.details(decision))
    assert told[:2] == [
        "H1 not supported: big: 0.100 is 0.400 below 0.5",
        "H2 (secondary) not supported: high: 0.100 is 8.900 below 9",
    ]
    assert "confidence LOW (claimed none):" in told
    rehearsed = Decision.model_validate({**decision.model_dump(), "rehearsal": True})
    assert blocks.headline(rehearsed) == "made: REHEARSAL (rule returned: not supported), confidence none"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.42, "0.4 s"), (59.0, "59.0 s"), (65, "1:05"), (3599.6, "1:00:00"), (7265, "2:01:05")]
)
def test_durations(seconds: float, text: str) -> None:
    assert terminal.clock(seconds) == text


def test_a_running_job_in_one_line() -> None:
    job = Running("k", "stage[C1.couple]", "training", 0.25, 30.0, 90.0, {"loss": 1.23456})
    assert terminal.said(job) == "stage[C1.couple] training 25%, loss 1.23 (30.0 s, 1:30 left)"
    figures = {"step": 43.0, "steps": 100.0, "loss": 0.5, "lr": 1e-4, "tokens": 9000.0, "tokens_per_s": 8123.4}
    on_gpu = replace(job, figures=figures, rss_mb=3174.4, gpu_mb=21811.2)
    assert terminal.said(on_gpu) == (
        "stage[C1.couple] training 25%, step 43, loss 0.5, 8,123 tokens/s (30.0 s, 1:30 left, 3.1 GiB + GPU 21.3 GiB)"
    )


def test_a_live_line_says_the_run_and_the_job_in_the_width_that_there_is() -> None:
    figures = {
        "completions": 718.0,
        "rows": 256.0,
        "tokens": 23091.0,
        "tokens_per_s": 1089.3,
        "completions_per_s": 33.9,
    }
    job = Running("k", "measure[leakage-C2][weight=0.3][seed=42]", "sampling", 0.34, 25, 51, figures, rss_mb=450.0)
    alone = "measure[leakage-C2][weight=0.3][seed=42] sampling 34%, 1,089 tokens/s, 51.0 s left, 0.4 GiB"
    assert terminal.live([job], Left(4, 22, 104.0, 0), 120) == f"4/22, 1:44 left | {alone}"
    narrow = terminal.live([job, job], Left(4, 22, 104.0, 0), 80)
    assert narrow == "4/22, 1:44 left | measure[lea… sampling 34%, 1,089 tokens/s, 51.0 s left, 0.4 GiB (+1)"
    assert terminal.live([job], None, 120) == f"4/22, 1:44 left | {alone}".partition(" | ")[2]


def test_the_whole_run_in_a_few_words() -> None:
    assert terminal.counted(Left(12, 57, 2460.0, 0)) == "12 of 57 jobs done, about 41:00 left"
    assert terminal.counted(Left(56, 57, None, 1)) == "56 of 57 jobs done and 1 of unknown length"
    assert terminal.counted(Left(57, 57, None, 0)) == "57 of 57 jobs done"


def test_statuses_are_of_the_call_alone() -> None:
    killed = SimpleNamespace(prereg={"word": "KILLED"}, when="call")
    assert terminal.status(killed) == ("killed", "K", ("KILLED", {"red": True}))
    assert terminal.status(SimpleNamespace(prereg={"word": "KILLED"}, when="teardown")) is None
    assert terminal.status(SimpleNamespace(prereg={"word": "FAILED"}, when="call")) is None
    assert terminal.status(SimpleNamespace(when="call")) is None


def test_one_message_for_all_problems() -> None:
    first, second = Problem(Where("a.yaml", 3, key="id"), "found x", "y"), Problem(Where(), "no room")
    assert registrations.message([first]) == "the preregistration cannot run:\na.yaml:3:id: found x; expected y"
    assert registrations.message([first, second, first]).splitlines() == [
        "2 things stop the preregistrations:", "a.yaml:3:id: found x; expected y", "no room",
    ]  # fmt: skip


def test_rehearsals_are_on_the_cpu_and_runs_on_cuda() -> None:
    def options(rehearse: bool, gpu: bool) -> Options:
        return Options(Path(), Path(), Path(), rehearse=rehearse, gpu=gpu)

    assert registrations.device(options(True, False)) == "cpu"
    assert registrations.device(options(True, True)) == "cuda"
    assert registrations.device(options(False, True)) == registrations.device(options(False, False)) == "cuda"


def test_a_file_that_the_harness_cannot_handle_is_a_problem_and_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("oh")

    monkeypatch.setattr(registrations, "_registered", fail)
    found = registrations.register(Path("x.yaml"), "x.yaml", Options(Path(), Path(), Path()))
    assert [case.name for case in found.cases] == ["check"]
    assert "the harness failed on this file: RuntimeError('oh')" in str(found.problems[0])
    assert "please report" in str(found.problems[0]).lower()


class Screen:
    """What a terminal reporter and its configuration are asked for, and what they were told."""

    def __init__(self, tty: bool, verbosity: int = 0) -> None:
        self.isatty = tty
        self.told: list[str] = []
        self.verbosity = verbosity
        self.pluginmanager = SimpleNamespace(getplugin={"terminalreporter": self}.get)

    def get_verbosity(self) -> int:
        return self.verbosity

    def get_terminal_writer(self) -> SimpleNamespace:
        return SimpleNamespace(fullwidth=40)

    def ensure_newline(self) -> None:
        self.told.append("\n")

    def rewrite(self, text: str) -> None:
        self.told.append("\r" + text)

    def write_line(self, text: str) -> None:
        self.told.append(text)


RUNNING = Running("k", "stage[C1.couple]", "training", 0.25, 30.0, 90.0, {"loss": 1.23456})


def happened(screen: Screen, *events: Event) -> list[str]:
    progress = terminal.Progress(screen)  # type: ignore[arg-type]
    for event in events:
        progress.happened(event)
    progress.clear()
    return screen.told


def test_a_terminal_has_one_live_line_and_loses_it_again() -> None:
    event = Event("progress", "k", running=RUNNING)
    told = happened(Screen(tty=True), event, event)
    line = "\rprereg: stage[C1.co… training 25%, loss"
    assert told == ["\n", line, line, "\r" + " " * 39, "\r"]


def test_without_a_terminal_there_is_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 5.0, 21.0, 22.0])
    monkeypatch.setattr(terminal.time, "monotonic", lambda: next(clock))
    told = happened(Screen(tty=False), *[Event("progress", "k", running=RUNNING)] * 4)
    assert told == ["\n", f"prereg: {terminal.said(RUNNING)}"]


def test_news_are_lines_and_quick_jobs_are_none() -> None:
    events = (
        Event("started", "k", "a"), Event("finished", "k", "a", seconds=0.3), Event("finished", "k", "b", seconds=65),
        Event("failed", "k", "c", "it broke"), Event("waiting", "k", "d", "held by 7"), Event("damaged", text="bad"),
    )  # fmt: skip
    told = [line for line in happened(Screen(tty=False), *events) if line != "\n"]
    assert told == [
        "prereg: b took 1:05",
        "prereg: c failed: it broke",
        "prereg: d waits: held by 7",
        "prereg: bad",
    ]
    assert happened(Screen(tty=False, verbosity=-1), *events) == []


def test_a_plan_is_a_line_when_it_is_worth_one() -> None:
    def told(seconds: dict[str, float | None]) -> list[str]:
        screen = Screen(tty=False)
        terminal.Progress(screen).planned(Planned(seconds, "likely 2 CPU-minutes", {}))  # type: ignore[arg-type]
        return [line for line in screen.told if line != "\n"]

    assert told({"a": 1.0, "b": 2.0}) == []
    assert told({"a": 100.0, "b": 20.0}) == ["prereg: 2 jobs to run; likely 2 CPU-minutes"]
    assert told({"a": None}) == ["prereg: 1 job to run; likely 2 CPU-minutes"]


def test_lines_say_how_far_the_run_is() -> None:
    screen = Screen(tty=False)
    progress = terminal.Progress(screen)  # type: ignore[arg-type]
    progress.tally = Tally({"a": 60.0, "b": 60.0}, {"a"}.__contains__)
    progress.happened(Event("finished", "a", "stage[C1]", seconds=65))
    assert screen.told[-1] == "prereg: stage[C1] took 1:05; 1 of 2 jobs done, about 1:00 left"
