"""What the tests of the Ray executor share: a cluster in a process of its own, and drivers in theirs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from toy_rehearsal import RIG, ROOT, descendants, wait_for

from harness.contracts.records import Job
from harness.core.store import Store

HERE = Path(__file__).parent
TOYS = ROOT / "tests" / "toys"
LONG = 180.0


class Nodes:
    """Nodes of a cluster; ``log`` is where the rigging in their jobs writes what happens."""

    def __init__(self, folder: Path, has: list[dict[str, Any]], **env: str) -> None:
        self.log = folder / "cluster.log"
        path = [RIG, *([RIG / "slow"] if "PREREG_SLOW_LINES" in env else []), RIG / "stand_ins", TOYS, ROOT]
        outer = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PREREG_"))}
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "ray_nodes.py"), json.dumps(has)],
            env={
                **outer, "PYTHONPATH": os.pathsep.join(map(str, path)), "OMP_NUM_THREADS": "1",
                "PREREG_RIG": json.dumps({"log": str(self.log)}), "PREREG_TOY_SECONDS": "0.03", **env,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )  # fmt: skip
        said = self._hear()
        self.address: str = said["address"]
        self.ids: list[str] = said["nodes"]

    def kill(self, number: int) -> None:
        """Kill a node with SIGKILL, as a machine that goes away."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"kill {number}\n")
        self._process.stdin.flush()
        assert self._hear() == {"killed": number}

    def at_work(self) -> list[int]:
        """Return the processes of seats and of everything that they started."""
        found = []
        for pid in descendants(self._process.pid):
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            if b"ray::Seat" in command or b"harness.execute" in command:
                found.append(pid)
        return found

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        while line := self._process.stdout.readline():
            if line.startswith("{"):
                said: dict[str, Any] = json.loads(line)
                return said
        raise AssertionError("the cluster does not start")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._process.communicate(timeout=60)  # closes its standard input, which ends it
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            raise


class Scene:
    """A store, toy jobs, and driver processes that obtain them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = Store(root / "store")
        self._drivers: list[subprocess.Popen[str]] = []

    def file(self, name: str) -> str:
        return str(self.root / name)

    def driver(
        self, *jobs: Job, ray: str | None, run: str = "run", entry: str = "toy_jobs:run", store: str = ""
    ) -> subprocess.Popen[str]:
        """Start a process that obtains all these jobs, on Ray or (None) here."""
        plan = self.root / f"plan{len(self._drivers)}.json"
        plan.write_text(json.dumps({job.key: job.model_dump(mode="json") for job in jobs}))
        spec = {
            "plan": str(plan), "store": store or str(self.store.root), "run": run, "keys": [job.key for job in jobs],
            "cores": 2, "ray": ray, "entry": entry,
        }  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, str(TOYS / "toy_jobs.py"), json.dumps(spec)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(TOYS)]), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._drivers.append(process)
        return process

    def finish(self, *jobs: Job, ray: str | None, expect: int = 0, **more: str) -> str:
        """Obtain all these jobs and return what the driver printed."""
        driver = self.driver(*jobs, ray=ray, **more)
        output, _ = driver.communicate(timeout=LONG)
        assert driver.returncode == expect, output
        return output

    def note(self, name: str) -> dict[str, Any]:
        """Wait for the note that a job writes when it has begun."""
        path = self.root / name
        wait_for(f"the note {name}", path.exists, LONG)
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def counted(self) -> Counter[str]:
        path = self.root / "count"
        return Counter(path.read_text().split() if path.exists() else [])

    def made(self, job: Job) -> dict[str, Any]:
        return dict(Store(self.store.root).manifest(job.key).made)

    def close(self) -> None:
        for driver in self._drivers:
            driver.kill()
            driver.communicate()
