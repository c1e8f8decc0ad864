"""What a store's folder holds of runs and not of artifacts: failures, logs, progress, and the wish that a run end."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.core.durable import replace_file


@dataclass(frozen=True)
class Failure:
    """Why a job failed in a run."""

    label: str
    text: str


class Runs:
    """Runs by their ids, under one folder that all their processes see. Making the object touches nothing."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def fail(self, run: str, key: str, text: str, label: str = "") -> None:
        """Mark a job as failed for the rest of this run, for every process of the run."""
        folder = self.root / "failures" / run
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(folder / f"{key}.json", json.dumps(asdict(Failure(label, text))).encode(), sync=False)

    def failed(self, run: str) -> set[str]:
        """Return the keys of all jobs that failed in a run."""
        return {path.stem for path in (self.root / "failures" / run).glob("*.json")}

    def failure(self, run: str, key: str) -> Failure | None:
        """Return why a job failed in this run, or None."""
        try:
            return Failure(**json.loads((self.root / "failures" / run / f"{key}.json").read_bytes()))
        except FileNotFoundError:
            return None

    def log(self, run: str, key: str) -> Path:
        """Return the file that collects what a job prints in this run."""
        return self.root / "logs" / run / f"{key}.log"

    def progress(self, run: str) -> Path:
        """Return the folder in which this run's jobs say how far they are."""
        return self.root / "progress" / run

    def stop(self, run: str) -> None:
        """Ask every process of a run to end its jobs: they save and leave."""
        if (self.root / "progress").is_dir():  # else nothing has begun
            with contextlib.suppress(OSError):  # on a full disk, each process is left to its own signal
                self.progress(run).mkdir(exist_ok=True)
                (self.progress(run) / "stop").touch()

    def stopped(self, run: str) -> bool:
        """Say whether the run was asked to end."""
        return (self.progress(run) / "stop").exists()
