"""A folder with toy preregs and a store of its own, judged once and then cached for every test of the module."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import preregs
import pytest

# In-process runs put sys.modules back as it was; what a run imports itself would be imported anew by the next one,
# and C extensions do not survive that.
import harness.check.run
import harness.compile.bind
import harness.compose
import harness.decide.court
import harness.execute.executor
import harness.plan.plan
import harness.plan.preflight
import harness.plugin.conclusions
import harness.plugin.reporting
import reports.model
import reports.render  # noqa: F401

ROOT = Path(__file__).parents[2]
NEIGHBOURS = ("randomly", "timeout", "xdist", "xdist.looponfail")


class Runner:
    """Runs pytest in a folder: in this process, or as a process of its own for what needs one."""

    def __init__(self, pytester: pytest.Pytester, folder: Path) -> None:
        self.pytester = pytester
        self.folder = folder

    def __call__(self, *args: str) -> pytest.RunResult:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            quiet = [part for name in NEIGHBOURS[:2] for part in ("-p", f"no:{name}")]
            ours = ("-p", "harness.plugin.hooks", f"--rootdir={self.folder}", "--no-figures")
            return self.pytester.runpytest_inprocess(*ours, *quiet, *args)

    def process(self, *args: str, **env: str) -> pytest.RunResult:
        command = [sys.executable, "-m", "pytest", "-p", "harness.plugin.hooks", f"--rootdir={self.folder}", *args]
        settings = {**os.environ, "PYTHONPATH": str(ROOT), "PY_COLORS": "0", **env}
        done = subprocess.run(command, cwd=self.folder, env=settings, capture_output=True, text=True, check=False)
        return pytest.RunResult(done.returncode, done.stdout.splitlines(), done.stderr.splitlines(), 0.0)


@pytest.fixture
def run(pytester: pytest.Pytester) -> Runner:
    """Runs in an empty folder."""
    pytester.makeini("[pytest]\n")
    return Runner(pytester, pytester.path)


@pytest.fixture(scope="session")
def _judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("judged")
    (folder / "pytest.ini").write_text("[pytest]\n")
    for name in preregs.SHIFTS:
        preregs.write(folder, name)
    yield folder


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
