"""Folders for the length of a process: the living keep theirs, the dead ones' are cleared away by the next."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from harness.core.scratch import make_scratch, prefix_of

MAKER = """
import sys, time
from harness.core.scratch import make_scratch
ours = make_scratch("test")
print(ours.folder, flush=True)
time.sleep(60)
"""


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_lives_as_long_as_its_process(place: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(place)}
    with subprocess.Popen([sys.executable, "-c", MAKER], env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        theirs = Path(process.stdout.readline().strip())
        (theirs / "2").mkdir()
        os.utime(theirs / "lock", (0, 0))
        ours = make_scratch("test")
        assert theirs.is_dir(), "its process lives"
        process.send_signal(signal.SIGKILL)
        process.wait()
    os.utime(ours.folder / "lock", (0, 0))
    other = make_scratch("test")
    assert not theirs.exists(), "its process was killed"
    assert ours.folder.is_dir(), "this process holds it"
    other.remove()
    ours.remove()
    assert list(place.iterdir()) == []


def test_a_folder_that_was_just_made_may_not_be_locked_yet(place: Path) -> None:
    young, foreign = place / f"{prefix_of('test')}young", place / f"{prefix_of('another')}old"
    for folder in (young, foreign):
        folder.mkdir()
        (folder / "lock").touch()
    os.utime(foreign / "lock", (0, 0))
    make_scratch("test").remove()
    assert young.is_dir()
    assert foreign.is_dir(), "made for something else"
