"""Jobs for tests of the executor: each says what to do in its params. Run as a script, it is an owner to kill."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.contracts.records import Job
from harness.core.ident import digest

ENTRY = "toy_jobs:run"
IN_MEMORY: dict[str, str] = {}
"""The model that this process has loaded: ``loads`` counts in a file how often that was needed."""


def toy(label: str, needs: Mapping[str, Job] | None = None, lane: str = "light", **params: Any) -> Job:
    """Return a job; ``params`` are the steps that :func:`run` takes, in its order."""
    inputs = {role: job.key for role, job in (needs or {}).items()}
    key = digest([label, inputs, params])
    return Job(key=key, label=label, kind="toy", version=1, params=params, inputs=inputs, lane=lane)


def plan(*jobs: Job) -> dict[str, Job]:
    return {job.key: job for job in jobs}


def run(job: Job, inputs: Mapping[str, Path], out: Path, progress: Any) -> None:
    steps = job.params
    note = {"pid": os.getpid(), "ppid": os.getppid(), "label": job.label, "draft": str(out)}
    if "count" in steps:
        append(steps["count"], job.label)
    if "helper" in steps:
        note["helper"] = os.fork() or beat(steps["helper"])
    if "note" in steps:
        Path(steps["note"]).with_suffix(".new").write_text(json.dumps(note))
        Path(steps["note"]).with_suffix(".new").replace(steps["note"])
    if "loads" in steps and IN_MEMORY.get("model") != steps["model"]:
        IN_MEMORY["model"] = steps["model"]
        append(steps["loads"], f"{os.getpid()} {steps['model']}")
    if "progress" in steps:
        progress("counting", steps["progress"], loss=0.5)
    if "until" in steps:
        (out / "half").write_text("half done")
        while not Path(steps["until"]).exists():
            time.sleep(0.01)
    if "sleep" in steps:
        time.sleep(steps["sleep"])
    if "fail" in steps:
        print("about to fail")
        raise ValueError(steps["fail"])
    if "error" in steps:
        raise OSError(steps["error"], os.strerror(steps["error"]))
    if "exit" in steps:
        os._exit(steps["exit"])
    if "kill" in steps:
        os.kill(ancestor(steps["kill"]), signal.SIGKILL)
        time.sleep(60)
    facts: dict[str, Any] = {"label": job.label, "inputs": {}}
    for role, folder in inputs.items():
        facts["inputs"][role] = json.loads((folder / "facts.json").read_text())["label"]
    if "env" in steps:
        facts["env"] = {name: os.environ.get(name) for name in steps["env"]}
        os.environ.update(dict.fromkeys(steps["env"], "changed by a job"))
    if "work" in steps:  # seconds of CPU time, and MiB of memory
        held, began = bytearray(steps["work"][1] << 20), time.process_time()
        while time.process_time() - began < steps["work"][0]:
            held[0] = 1
    if "say" in steps:
        print(steps["say"], flush=True)
    if "modules" in steps:
        facts["modules"] = {name: name in sys.modules for name in steps["modules"]}
    if "train" in steps:
        import torch

        weight = torch.ones(64, 64, requires_grad=True)
        (weight @ weight).sum().backward()
        facts["threads"] = torch.get_num_threads()
    if "parent" in steps:
        facts["parent"] = os.getppid()
    (out / "sub").mkdir()
    (out / "sub" / "text.txt").write_text(job.label * 10)
    (out / "facts.json").write_text(json.dumps(facts))


def ancestor(generations: int) -> int:
    """Return the process that many generations above: 0 is this one, 1 its parent."""
    pid = os.getpid()
    for _ in range(generations):
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return pid


def append(path: str, line: str) -> None:
    """Append one line; short appends of several processes do not mix."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, f"{line}\n".encode())
    os.close(fd)


def beat(path: str) -> int:
    """Be a helper process that a job left behind: alive until killed."""
    while True:
        append(path, "beat")
        time.sleep(0.02)


def main() -> None:
    """Obtain ``keys`` of a plan written as JSON; print what happens."""
    from harness.core.places import open_store
    from harness.execute.children import Options
    from harness.execute.executor import Executor

    spec = json.loads(sys.argv[1])
    jobs = {key: Job.model_validate(job) for key, job in json.loads(Path(spec["plan"]).read_text()).items()}
    options = Options(
        entry=spec.get("entry", ENTRY), cores=spec["cores"], gpus=(), preload={"light": ()},
        fork=spec.get("fork", True), ray=spec.get("ray"),
    )  # fmt: skip
    tell = lambda event: print(event.what, event.label, event.text, flush=True)  # noqa: E731
    with Executor(jobs, open_store(spec["store"]), spec["run"], options, on_event=tell) as executor:
        executor.obtain(spec["keys"])


if __name__ == "__main__":
    main()
