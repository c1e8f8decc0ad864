"""The toy study by the scripts of ``prereg plan --slurm`` on a fake cluster: the same results as a local run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from toy_rehearsal import RIG, ROOT, Study, Undisturbed

sys.path.insert(0, str(ROOT / "tests" / "toys"))
sys.path.insert(0, str(ROOT / "tests" / "plugin"))
import toy_preregs
from fake_slurm import Cluster, Ended

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="Slurm's scripts are bash"),
    pytest.mark.timeout(600),
]


class OnSlurm(Study):
    """The toy study with a fake cluster."""

    def __init__(self, folder: Path, *, slow: bool = False, seed: int = 0) -> None:
        super().__init__(folder, seconds=0.0)
        self.cluster = Cluster(folder / "cluster", seed)
        self.scripts = folder / "scripts"
        outer = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "PREREG_"))}
        path = [RIG, *([RIG / "slow"] if slow else []), RIG / "stand_ins", ROOT]
        self.env = {
            **outer, "PATH": f"{self.cluster.bin}{os.pathsep}{outer['PATH']}",
            "PYTHONPATH": os.pathsep.join(map(str, path)), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PREREG_RIG": json.dumps({"log": str(self.log)}), "PREREG_TOY_SECONDS": "0", "OMP_NUM_THREADS": "1",
            "PYTEST_ADDOPTS": f"-p harness.plugin.hooks --no-figures --prereg-out {self.out}",
            "PREREG_SLOW_SECONDS": "0.02", "PREREG_SLOW_LINES": str(folder / "lines"),
        }  # fmt: skip

    def plan(self, *args: str, file: str = "study.yaml", rehearse: bool = True) -> str:
        code = "import sys; from harness.cli import main; sys.exit(main(sys.argv[1:]))"
        mode = ["--rehearse"] if rehearse else []
        command = [sys.executable, "-c", code, "plan", file, *mode, "--store", str(self.store), *args]
        done = subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def submit(self, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.scripts / "submit.sh")], env={**self.env, **more}, capture_output=True, text=True, check=False
        )

    def run(self) -> dict[str, Ended]:
        done = self.submit()
        assert done.returncode == 0, done.stderr
        return self.cluster.run(self.env)


def test_the_scripts_give_the_results_of_a_local_run_and_may_be_submitted_again(
    undisturbed: Undisturbed, tmp_path: Path
) -> None:
    study = OnSlurm(tmp_path / "study")
    said = study.plan("--slurm", str(study.scripts), "--slurm-throttle", "2", "--slurm-limit", "2")
    requests = (study.scripts / "requests.jsonl").read_text().splitlines()
    assert f"{len(requests)} jobs in" in said
    ended = study.run()
    assert succeeded(ended)
    study.check(undisturbed.results)
    assert set(study.counted()) == set(study.manifests())
    assert set(study.counted().values()) == {1}, "each job ran once"
    made = [json.loads(text)["made"] for text in study.manifests().values()]
    in_tasks = [each for each in made if each["run"].startswith("slurm-")]
    assert len(in_tasks) == len(requests)
    assert all(each["command"].startswith("prereg plan study.yaml --slurm") for each in in_tasks)
    assert sum(len(each.statuses) for name, each in ended.items() if name != "report.sh") == len(requests)
    study.clear()
    counted = study.counted()
    shutil.rmtree(study.out)
    (study.cluster.folder / "queue.jsonl").unlink()
    assert succeeded(study.run())
    assert study.counted() == counted, "nothing was made again"
    study.check(undisturbed.results)
    assert "0 jobs in 0 arrays" in study.plan("--slurm", str(tmp_path / "again"))


def succeeded(ended: dict[str, Ended]) -> bool:
    """Say whether all jobs ended well; the output of those that did not is shown."""
    for name, each in ended.items():
        if each.state != "COMPLETED":
            print(f"{name}: {each.state} {each.statuses}\n{each.output}")
    return {each.state for each in ended.values()} == {"COMPLETED"}


def test_a_preempted_task_goes_back_to_the_queue_and_on_where_it_stopped(
    undisturbed: Undisturbed, tmp_path: Path
) -> None:
    study = OnSlurm(tmp_path / "study", slow=True)
    study.plan("--slurm", str(study.scripts))
    lines = study.folder / "lines"
    preempted: list[str] = []

    def steps() -> list[str]:
        return [line for line in lines.read_text().splitlines() if line.startswith("step ")] if lines.exists() else []

    def when(name: str) -> bool:
        """Preempt the first training as soon as it is started, the second one in its middle."""
        if not preempted and "marker_coupling" in name:
            preempted.append(name)
            return True
        made = steps()
        if len(preempted) == 1 and len({line.split()[1] for line in made}) == 2 and int(made[-1].split()[2]) >= 10:
            preempted.append(made[-1].split()[1])
            return True
        return False

    study.cluster.preempt = when
    ended = study.run()
    assert len(preempted) == 2
    assert succeeded(ended)
    made = [line for line in steps() if line.startswith(f"step {preempted[1]}")]
    assert made == [f"step {preempted[1]} {number}" for number in range(1, 41)], "no step was made twice"
    assert "asked to end; what can be kept is kept" in "".join(each.output for each in ended.values())
    assert study.counted()[preempted[1]] == 2, "it was begun, stopped, and begun again"
    study.check(undisturbed.results)


def test_a_failed_task_says_why_and_what_waits_for_it_is_cancelled(tmp_path: Path) -> None:
    study = OnSlurm(tmp_path / "study")
    study.plan("--slurm", str(study.scripts))
    study.env["PREREG_RIG"] = json.dumps({"full": study.disk(15, ever=True)})
    ended = study.run()
    failed = {name: each for name, each in ended.items() if each.state == "FAILED"}
    assert failed
    assert all("no space left on the disk" in each.output for each in failed.values())
    assert ended["report.sh"].state == "CANCELLED"
    assert not study.out.exists()


def test_a_submission_that_is_refused_stops_and_says_what_was_submitted(tmp_path: Path) -> None:
    study = OnSlurm(tmp_path / "study")
    study.plan("--slurm", str(study.scripts), "--slurm-options=--partition=cpu --mem=4G")
    third = sorted(path.name for path in study.scripts.glob("0*.sh"))[2]
    done = study.submit(FAKE_SBATCH_REFUSES=third)
    assert done.returncode == 1
    assert f"submit.sh: sbatch refused {third}" in done.stderr
    assert "to take them back: scancel 100 101" in done.stderr
    queued = study.cluster.queued()
    assert [job["id"] for job in queued] == [100, 101]
    assert all({"--partition=cpu", "--mem=4G"} <= set(job["options"]) for job in queued)  # type: ignore[call-overload]


def test_recorded_preregs_need_the_last_step_only(tmp_path: Path) -> None:
    study = OnSlurm(tmp_path / "study")
    for name in toy_preregs.SHIFTS:
        toy_preregs.write(study.folder, name)
        study.scripts = study.folder / f"scripts-{name}"
        said = study.plan("--slurm", str(study.scripts), file=f"{name}.yaml", rehearse=False)
        assert f"{name}: 0 jobs in 0 arrays" in said
        assert study.submit().returncode == 0
    assert succeeded(study.cluster.run(study.env))
    here = tmp_path / "local"
    local = ["--store", str(tmp_path / "other"), "--prereg-out", str(here), "--exit-on=errors"]
    files = [f"{name}.yaml" for name in toy_preregs.SHIFTS]
    command = [sys.executable, "-m", "pytest", *files, *local]
    done = subprocess.run(command, cwd=study.folder, env=study.env, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout
    for name in toy_preregs.SHIFTS:
        assert (study.out / name / "results.json").read_bytes() == (here / name / "results.json").read_bytes()
