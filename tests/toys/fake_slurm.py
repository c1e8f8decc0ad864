"""A cluster that fits into a folder: ``sbatch`` queues, :meth:`Cluster.run` runs what may run, one task at a time.

It knows what the scripts of ``prereg plan --slurm`` use: arrays, ``afterok``, directives, ``srun`` and ``requeue``.
"""

from __future__ import annotations

import json
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

SBATCH = """\
#!{python}
import json, os, sys
from pathlib import Path
here = Path({here!r})
*options, script = sys.argv[1:]
if Path(script).name == os.environ.get("FAKE_SBATCH_REFUSES"):
    sys.exit("sbatch: error: Batch job submission failed: Invalid partition")
directives = [line[8:].strip() for line in Path(script).read_text().splitlines() if line.startswith("#SBATCH ")]
queue = here / "queue.jsonl"
number = 100 + (len(queue.read_text().splitlines()) if queue.exists() else 0)
with queue.open("a") as lines:
    lines.write(json.dumps({{"id": number, "script": script, "options": options, "directives": directives}}) + "\\n")
assert "--parsable" in options
print(f"{{number}};fake")
"""
SRUN = """\
#!/bin/bash
while [[ $1 == -* ]]; do shift; done
echo $$ > {here}/pid
exec "$@"
"""
SCONTROL = """\
#!/bin/bash
[ "$1" = requeue ] || exit 1
echo "$2" >> {here}/requeued
"""


@dataclass
class Ended:
    """How the tasks of a job ended: exit statuses by index (0 for a job without array), and the job's state."""

    state: str
    statuses: dict[int, int] = field(default_factory=dict)
    output: str = ""


class Cluster:
    """A fake Slurm whose commands lie in ``bin``."""

    def __init__(self, folder: Path, seed: int = 0) -> None:
        self.folder, self.bin = folder, folder / "bin"
        self.bin.mkdir(parents=True)
        for name, text in (("sbatch", SBATCH), ("srun", SRUN), ("scontrol", SCONTROL)):
            path = self.bin / name
            path.write_text(text.format(here=str(folder), python=sys.executable))
            path.chmod(0o755)
        self._rng = random.Random(seed)
        self.order: list[str] = []
        """Names of the scripts in the order in which they were run."""
        self.preempt: Callable[[str], bool] = lambda name: False
        """Asked again and again while a task of a script runs: whether to send it SIGTERM now."""

    def environment(self, **more: str) -> dict[str, str]:
        return {**os.environ, "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}", **more}

    def queued(self) -> list[dict[str, object]]:
        queue = self.folder / "queue.jsonl"
        return [json.loads(line) for line in queue.read_text().splitlines()] if queue.exists() else []

    def run(self, environment: Mapping[str, str]) -> dict[str, Ended]:
        """Run everything that was submitted, in a random order that honours dependencies; return it by script."""
        left = {int(str(job["id"])): job for job in self.queued()}
        ended: dict[int, Ended] = {}
        names: dict[str, Ended] = {}
        while left:
            free = [number for number, job in left.items() if all(each in ended for each in waits_for(job))]
            assert free, "the queue is stuck: a job waits for one that was not submitted"
            number = self._rng.choice(free)
            job = left.pop(number)
            if any(ended[each].state != "COMPLETED" for each in waits_for(job)):
                ended[number] = Ended("CANCELLED")
            else:
                ended[number] = self._job(number, job, environment)
            names[Path(str(job["script"])).name] = ended[number]
        return names

    def _job(self, number: int, job: dict[str, object], environment: Mapping[str, str]) -> Ended:
        script = str(job["script"])
        self.order.append(Path(script).name)
        given = dict(option.partition("=")[::2] for option in job["directives"])  # type: ignore[attr-defined]
        indices = [0]
        if "--array" in given:
            first, last = map(int, given["--array"].partition("%")[0].split("-"))
            indices = list(range(first, last + 1))
            self._rng.shuffle(indices)
        found = Ended("COMPLETED")
        for index in indices:
            own = {"SLURM_JOB_ID": str(10 * number + index), "SLURM_ARRAY_JOB_ID": str(number)}
            own |= {"SLURM_ARRAY_TASK_ID": str(index)} if "--array" in given else {}
            own |= {"CUDA_VISIBLE_DEVICES": "0" if "--gres" in given else ""}
            found.statuses[index] = self._task(script, {**environment, **own}, given, found)
            if found.statuses[index] != 0:
                found.state = "FAILED"
        return found

    def _task(self, script: str, environment: dict[str, str], given: dict[str, str], found: Ended) -> int:
        requeued = self.folder / "requeued"
        for restart in range(5):
            requeued.unlink(missing_ok=True)
            pid = self.folder / "pid"
            pid.unlink(missing_ok=True)
            environment["SLURM_RESTART_COUNT"] = str(restart)
            output = self.folder / "output"
            with output.open("wb") as sink:
                process = subprocess.Popen(
                    ["bash", script], env=environment, cwd=given["--chdir"], stdout=sink, stderr=sink
                )
                asked = False
                while process.poll() is None:
                    if not asked and pid.exists() and self.preempt(Path(script).name):
                        os.kill(int(pid.read_text()), signal.SIGTERM)
                        asked = True
                    time.sleep(0.01)
            found.output += output.read_text(errors="replace")
            if not requeued.exists():
                return process.returncode
            wanted = f"{environment['SLURM_ARRAY_JOB_ID']}_{environment['SLURM_ARRAY_TASK_ID']}"
            assert requeued.read_text().split() == [wanted]
        raise AssertionError(f"{shlex.quote(script)} is put back into the queue again and again:\n{found.output}")


def waits_for(job: Mapping[str, object]) -> list[int]:
    """Return the jobs that a queued one depends on."""
    options: list[str] = job["options"]  # type: ignore[assignment]
    for option in options:
        if option.startswith("--dependency=afterok:"):
            assert "--kill-on-invalid-dep=yes" in options, "it would wait for ever when a dependency fails"
            return [int(number) for number in option.partition(":")[2].split(":")]
    return []
