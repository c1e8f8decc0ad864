"""A folder with toy preregs and a store of its own, judged once and then cached for every test of the module."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import toy_preregs

# In-process runs put sys.modules back as it was: what a run imports itself would be imported anew by the next one,
# and C extensions (yaml's, numpy's) do not survive that, in these tests or in later ones of this process.
for _name in (
    "lark", "numpy", "pyarrow.parquet", "matplotlib.figure",
    "harness.check.run", "harness.compile.bind", "harness.compose", "harness.decide.court", "harness.execute.executor",
    "harness.plan.plan", "harness.plan.preflight", "harness.plugin.conclusions", "harness.plugin.reporting",
    "reports.model", "reports.render",
):  # fmt: skip
    importlib.import_module(_name)

ROOT = Path(__file__).parents[2]


def ours(folder: Path) -> tuple[str, ...]:
    return ("-p", "harness.plugin.hooks", f"--rootdir={folder}", "--no-figures")


class Runner:
    """Runs pytest in a folder: in this process, or as a process of its own for what needs one."""

    def __init__(self, pytester: pytest.Pytester, folder: Path) -> None:
        self.pytester = pytester
        self.folder = folder

    def __call__(self, *args: str) -> pytest.RunResult:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            return self.pytester.runpytest_inprocess(*ours(self.folder), *toy_preregs.QUIET, *args)

    def process(self, *args: str, **env: str) -> pytest.RunResult:
        args = ("-p", "xdist", *args) if any(arg.startswith("-n") for arg in args) else args
        command = [sys.executable, "-m", "pytest", *ours(self.folder), *args]
        # Only the plugins that a test names: hypothesis alone costs every process most of a second.
        autoload = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT), "PY_COLORS": "0"}
        settings = {**os.environ, **autoload, **env}
        done = subprocess.run(command, cwd=self.folder, env=settings, capture_output=True, text=True, check=False)
        return pytest.RunResult(done.returncode, done.stdout.splitlines(), done.stderr.splitlines(), 0.0)


@pytest.fixture
def run(pytester: pytest.Pytester) -> Runner:
    """Runs in an empty folder with a store of its own."""
    pytester.makeini("[pytest]\n")
    return Runner(pytester, pytester.path)


@pytest.fixture
def shared(run: Runner, _judged: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """Runs in an empty folder with the store of the toys: what they are there for is not the computing."""
    monkeypatch.setenv("PREREG_STORE", str(_judged / ".prereg"))
    return run


@pytest.fixture(scope="session")
def _judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("judged")
    (folder / "pytest.ini").write_text("[pytest]\n")
    for name in toy_preregs.SHIFTS:
        toy_preregs.write(folder, name)
    return folder


@pytest.fixture
def judged(_judged: Path, pytester: pytest.Pytester) -> Runner:
    """Runs in a folder with one toy prereg for each verdict, whose store outlives the test."""
    return Runner(pytester, _judged)


@pytest.fixture
def words() -> Callable[[pytest.RunResult], dict[str, str]]:
    """Return the word that ``-v`` prints for each item, by name."""

    def read(result: pytest.RunResult) -> dict[str, str]:
        found = {}
        for line in result.outlines:
            name, _, rest = line.partition(" ")
            if "::" in name and rest.split():
                found[name.partition("::")[2]] = rest.split()[0]
        return found

    return read
