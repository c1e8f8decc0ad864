"""A rehearsal is killed in the middle of training: the job, a worker, or pytest itself. The next run goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rehearsing import Run

from harness.execute.progress import Running, read_running

pytestmark = pytest.mark.timeout(1500)
PATIENCE = 300.0
"""Seconds to wait for something that a loaded machine does late."""


def until(what: str, look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited in vain for {what}")


def training(store: Path) -> Running | None:
    """The coupling job, once it is in the middle of its steps."""
    found = [run for folder in store.glob("progress/*") for run in read_running(folder)]
    return next((run for run in found if ".couple" in run.label and run.done > 0.1), None)


def manifests(store: Path) -> dict[str, Any]:
    paths = store.glob("objects/*/*/manifest.json")
    return {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def workers_of(pid: int) -> list[int]:
    """The xdist workers below a pytest process: Python children that read their program from the controller."""
    children = [
        child
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text(encoding="utf-8").split()
    ]
    return [int(child) for child in children if b"stdin.readline" in Path(f"/proc/{child}/cmdline").read_bytes()]


@pytest.mark.parametrize("victim", ["job", "worker", "pytest"])
def test_killed_in_the_middle_of_training(
    victim: str, store_with_model: Callable[[str], Path], own_prereg: Path, tmp_path: Path, run: Run
) -> None:
    store = store_with_model("store")
    arguments = [own_prereg, "--rehearse", "--store", store, "--prereg-out", tmp_path / "out", "--no-figures"]
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "PREREG_"))}
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *map(str, arguments), "-n", "2"],
        cwd=own_prereg.parent, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        job = until("the training to start", lambda: training(store) or process.poll() is not None)
        assert isinstance(job, Running), process.communicate()[0]
        stored = manifests(store)
        pids = {"job": [job.pid], "worker": workers_of(process.pid), "pytest": [process.pid]}
        os.kill(pids[victim][0], signal.SIGKILL)
        output, _ = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    if victim == "job":
        assert process.returncode == 1, output
        assert "SIGKILL" in output, "the run says what happened, as an error"
    until("the training to end with what owned it", lambda: not alive(job.pid) or job.key in manifests(store))

    again = run(*arguments, cwd=own_prereg.parent)
    assert again.returncode == 0, again.stdout + again.stderr
    after = manifests(store)
    assert job.key in after
    for key, manifest in stored.items():
        assert after[key]["made"] == manifest["made"], f"{manifest['label']} was stored and has been made again"
    assert not list((store / "tmp").iterdir()), "no half-written artifact is left"
