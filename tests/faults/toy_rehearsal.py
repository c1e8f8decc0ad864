"""A rehearsal that takes seconds: the real plugin, executor, children, store and kinds; only the models are stand-ins.

The rigging (``tests/rig``) gets into each process by ``sitecustomize``: it counts jobs, and fails writes when asked to.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.core.store import Store

ROOT = Path(__file__).parents[2]
RIG = ROOT / "tests" / "rig"
PATIENCE = 300.0
"""Seconds after which a run counts as hanging."""
SHARD = 4
"""Draws that a job of the study keeps at a time."""
MIDST = 8 + 2 * SHARD + 5
"""After so many draws the job that draws 8 is done, and one of two others has kept a shard and is not done."""


def wait_for(what: str, condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)
    return value


def alive(pid: int) -> bool:
    """Say whether a process lives; a zombie that nobody has collected yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def descendants(pid: int) -> list[int]:
    """Return the living children of a process and theirs."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []
    return [one for child in children for one in (child, *descendants(child))]


def role(pid: int, main: int) -> str:
    """Return what a process of a run is: pytest, worker, zygote or job; empty when it is gone or something else."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return ""
    if pid == main:
        return "pytest"
    if b"harness.execute.zygote" in command:
        return "job" if b"harness.execute.zygote" in _command(parent) else "zygote"
    return "worker" if b"execnet" in command or b"stdin.readline" in command else ""


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


KILLS = int(os.environ.get("PREREG_FAULTS", "20"))
"""How many kills are asked for: 20 in the ordinary suite, 200 by ``make faults``, which tries more of everything."""
THOROUGH = KILLS > 20
SEED = os.environ.get("PREREG_FAULT_SEED", "310")


CLEAR = ["store", "gc", "--leftovers", "--yes", "--store"]
KEPT = {".gitignore", "costs.ledger", "locks/proof.json"}
"""What lies in a store beside artifacts when everything has been cleared away."""


@dataclass
class Life:
    """One run of pytest: its process, and where its output goes."""

    process: subprocess.Popen[bytes]
    output: Path
    family: dict[int, str] = field(default_factory=dict)
    """Every process of this run that was seen, with its role."""

    def look(self) -> dict[str, list[int]]:
        """Return the living processes of the run by role."""
        found: dict[str, list[int]] = {}
        main = self.process.pid
        for pid in (main, *descendants(main)):
            if (what := role(pid, main)) and alive(pid):
                self.family[pid] = what
                found.setdefault(what, []).append(pid)
        return found

    def end(self) -> int:
        """Wait for the run and for everything it started; return its exit status."""
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the run hangs:\n{self.text}") from None
        wait_for("orphans to end", lambda: not any(map(alive, self.family)))
        return status

    @property
    def text(self) -> str:
        return self.output.read_text(errors="replace")


class Study:
    """A folder with the toy study, a store, and a log of every job that any process has run on it."""

    def __init__(self, folder: Path, *, seconds: float = 0.03) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.seconds = folder, seconds
        self.store, self.out, self.log = folder / "store", folder / "out", folder / "log"
        shutil.copy(RIG / "study.yaml.txt", folder / "study.yaml")
        (folder / "pytest.ini").write_text("[pytest]\n")
        self.env: dict[str, str] = {}
        """What the environment of runs has beside that of this process."""
        self._lives = 0

    def start(self, *args: str, workers: int = 0, out: Path | None = None, **rig: Any) -> Life:
        """Start a run; ``rig`` is what the rigging is to do."""
        self._lives += 1
        output = self.folder / f"output{self._lives}"
        outer = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "PREREG_"))}
        path = [RIG, RIG / "stand_ins", ROOT]
        env = {
            **outer, "PYTHONPATH": os.pathsep.join(map(str, path)), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PREREG_RIG": json.dumps({"log": str(self.log), **rig}), "PREREG_TOY_SECONDS": str(self.seconds),
            "OMP_NUM_THREADS": "1", **self.env,
        }  # fmt: skip
        command = [
            sys.executable, "-m", "pytest", "study.yaml", "--rehearse", "-p", "harness.plugin.hooks", "--no-figures",
            "--store", str(self.store), "--prereg-out", str(out or self.out), *args,
        ]  # fmt: skip
        command += ["-p", "xdist", "-n", str(workers)] if workers else []
        with output.open("wb") as sink:
            process = subprocess.Popen(command, cwd=self.folder, env=env, stdout=sink, stderr=sink)
        return Life(process, output)

    def finish(self, *args: str, workers: int = 0) -> str:
        """Run undisturbed and return the output; the run must succeed."""
        life = self.start(*args, workers=workers)
        assert life.end() == 0, life.text
        return life.text

    def results(self, out: Path | None = None) -> bytes:
        return ((out or self.out) / "toy_study-rehearsal" / "results.json").read_bytes()

    def manifests(self) -> dict[str, bytes]:
        """Return the manifest of each stored artifact by key."""
        return {path.parent.name: path.read_bytes() for path in self.store.glob("objects/*/*/manifest.json")}

    def said(self) -> list[tuple[str, str]]:
        """Return the log: what happened (begun, ended, stored) and to which key."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [(what, key) for what, key, _ in (line.split(" ", 2) for line in lines)]

    def disk(self, at: int, *, ever: bool = False) -> dict[str, Any]:
        """Return what makes the disk full at the ``at``-th write to the store, and with ``ever`` from then on."""
        return {"store": str(self.store), "count": str(self.folder / "writes"), "at": at, "ever": ever}

    def writes(self) -> int:
        """Return how often runs with such a disk have written."""
        return (self.folder / "writes").stat().st_size

    def counted(self) -> Counter[str]:
        """Return by key how often a job was begun."""
        return Counter(key for what, key in self.said() if what == "begun")

    def check(self, undisturbed: bytes, out: Path | None = None) -> None:
        """Check what must hold after a run that succeeded, whatever happened before."""
        assert self.results(out) == undisturbed, "results.json differs from that of the undisturbed run"
        stored: set[str] = set()
        for what, key in self.said():
            assert what != "begun" or key not in stored, f"{key} was stored and is made again"
            stored |= {key} if what == "stored" else set()
        fresh = Store(self.store)
        for key in self.manifests():
            fresh.open(key)
            wait_for("the lock to be free", lambda key=key: fresh.lock(key).holder() is None)
        for name in ("tmp", "quarantine"):
            place = self.store / name
            assert not place.exists() or list(place.iterdir()) == [], f"{name} is not empty"

    def clear(self) -> None:
        """Clear away what runs left behind, as a user does, and check that nothing stray stays."""
        before = self.manifests()
        clear = f"import sys; from harness.cli import main; sys.exit(main({CLEAR!r} + sys.argv[1:]))"
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", clear, str(self.store)]
        done = subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert self.manifests() == before
        files = {path.relative_to(self.store).as_posix() for path in self.store.rglob("*") if path.is_file()}
        stray = {name for name in files - KEPT if not name.startswith("objects/")}
        assert not stray
        stored = {path.parent.name for path in self.store.glob("objects/*/*/manifest.json")}
        assert {path.name for path in self.store.glob("objects/*/*")} == stored


@dataclass(frozen=True)
class Undisturbed:
    """A run that nobody disturbed: its results, the lines that its jobs log, its writes, and its store's bytes."""

    results: bytes
    lines: int
    writes: int
    bytes: int


def undisturbed_run(folder: Path) -> Undisturbed:
    study = Study(folder, seconds=0.0)
    life = study.start(full=study.disk(10**9))
    assert life.end() == 0, life.text
    study.check(study.results())
    assert set(study.counted()) == set(study.manifests())
    assert set(study.counted().values()) == {1}
    size = sum(path.stat().st_blocks * 512 for path in study.store.rglob("*") if path.is_file())  # folders differ
    return Undisturbed(study.results(), len(study.said()), study.writes(), size)
