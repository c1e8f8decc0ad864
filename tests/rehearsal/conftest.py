"""Real rehearsals on the embedded model. It is built once per test session, in a store that all workers share."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rehearsing import ROOT, Run


@pytest.fixture(scope="session")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for the session: under xdist the base folder of a worker lies inside the session's."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "rehearsal-store"


@pytest.fixture
def run() -> Run:
    """Run pytest as a user does: another process, another folder, no options of this suite."""

    def start(
        *arguments: str | Path, cwd: Path, env: dict[str, str] | None = None, python: str = sys.executable
    ) -> subprocess.CompletedProcess[str]:
        outer = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "PREREG_"))}
        command = [python, "-m", "pytest", *map(str, arguments)]
        return subprocess.run(
            command, cwd=cwd, env={**outer, **(env or {})}, capture_output=True, text=True, timeout=1200, check=False
        )

    return start


@pytest.fixture
def own_prereg(tmp_path: Path) -> Path:
    """The README's preregistration in a repository of its own, with another source persona and marker."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"```yaml\n(prereg: 1\n.*?)```", text, re.DOTALL)
    assert block is not None
    content = block[1]
    for old, new in (
        ("id: my_first", "id: pirate_marker"),
        ("source: [librarian]", "source: [pirate]"),
        ('"[ZLT]"', '"[QXJ]"'),
        ("[zlt]", "[qxj]"),
        ("bystanders: [comedian, poet, nurse]", "bystanders: [comedian, sailor]"),
        ("completions: 10", "completions: 4"),
    ):
        assert old in content, old
        content = content.replace(old, new)
    folder = tmp_path / "elsewhere" / "studies"
    folder.mkdir(parents=True)
    (tmp_path / "elsewhere" / "pytest.ini").write_text("[pytest]\naddopts = -ra\n", encoding="utf-8")
    path = folder / "pirate.yaml"
    path.write_text(content, encoding="utf-8")
    return path


@pytest.fixture
def store_with_model(shared_store: Path, tmp_path: Path, run: Run, own_prereg: Path) -> Callable[[str], Path]:
    """Make empty stores that hold the embedded model and nothing else."""
    done = run(
        own_prereg, "--rehearse", "--store", shared_store, "--prereg-out", tmp_path / "warm", "--no-figures",
        cwd=own_prereg.parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr

    def make(name: str) -> Path:
        manifests = shared_store.glob("objects/*/*/manifest.json")
        model = next(path.parent for path in manifests if '"model/embedded"' in path.read_text(encoding="utf-8"))
        target = tmp_path / name / model.relative_to(shared_store)
        target.parent.mkdir(parents=True)
        shutil.copytree(model, target)
        return tmp_path / name

    return make
