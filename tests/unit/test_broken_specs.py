"""Broken registrations: every message, with its line, as people read it. Regenerate with ``PREREG_REGEN=1``."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from harness.compile.bind import load_bound
from harness.compose import declare_kinds
from harness.core.errors import PreregError

BROKEN = Path(__file__).parent.parent / "golden" / "broken"
FILES = sorted(BROKEN.glob("*.yaml"))


def messages(file: Path) -> str:
    """Bind a file that must not bind, and return what a user would read."""
    declare_kinds()
    with pytest.raises(PreregError) as caught:
        load_bound(file, shown=file.name)
    root = str(BROKEN.parent.parent.parent)
    return "\n".join(str(problem) for problem in caught.value.problems).replace(root, "REPO") + "\n"


def test_there_are_enough():
    assert len(FILES) >= 24


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_broken(file: Path):
    found = messages(file)
    golden = file.with_suffix(".txt")
    if os.environ.get("PREREG_REGEN"):
        golden.write_text(found, encoding="utf-8")
    assert found == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_message_names_a_line_and_says_something(file: Path):
    for line in file.with_suffix(".txt").read_text(encoding="utf-8").splitlines():
        assert re.match(r"[\w./]+:\d+(:\S.*?)?: \S", line), line
