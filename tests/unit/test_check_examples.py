"""All nine complete examples are checked, and every finding is justified in a golden file.

A golden file is what ``prereg check --no-allow`` prints, with a line ``# …`` under each finding that says why it is
right. ``PREREG_REGOLD=1`` writes the files anew and keeps the justifications; new findings get an empty one.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import example_preregs
import pytest

from harness.check.present import text
from harness.check.run import check, refused
from harness.compile.bind import load_bound
from harness.compose import declare_kinds

GOLDEN = Path(__file__).parents[1] / "golden" / "check"
HEAD = re.compile(r"^\S+\.yaml:\d+: (\w+) ([A-Z-]+) at (\S+)$")


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return example_preregs.write(tmp_path_factory.mktemp("examples"))


def printed(examples: Path, name: str) -> list[str]:
    declare_kinds()
    bound = load_bound(examples / f"{name}.yaml", shown=f"{name}.yaml")
    lines = text(f"{name}.yaml", check(bound, deep=True, allow=False))
    # Which of many witnesses the solver finds is its own affair (other versions find others).
    return [re.sub(r"for instance with .*", "for instance with …", line) for line in lines]


def justified(lines: list[str], old: list[str]) -> list[str]:
    """Put the justifications of an earlier file under the findings of a new one."""
    reasons, here = {}, ""
    for line in old:
        if match := HEAD.match(line):
            here = " ".join(match.groups())
        elif line.startswith("# "):
            reasons[here] = line
    result = []
    for line in lines:
        if match := HEAD.match(line):
            here = " ".join(match.groups())
        result.append(line)
        if line.startswith("  fix: "):
            result.append(reasons.get(here, "# "))
    return result


@pytest.mark.parametrize("name", example_preregs.NAMES)
def test_findings_are_as_reviewed(examples: Path, name: str) -> None:
    path = GOLDEN / f"{name}.txt"
    lines = printed(examples, name)
    if os.environ.get("PREREG_REGOLD"):
        old = path.read_text("utf-8").splitlines() if path.is_file() else []
        path.write_text("\n".join(justified(lines, old)) + "\n", "utf-8")
    golden = path.read_text("utf-8").splitlines()
    assert [line for line in golden if not line.startswith("#")] == lines
    reasons = [line for line in golden if line.startswith("#")]
    assert len(reasons) == sum(bool(HEAD.match(line)) for line in lines)
    assert all(len(reason) > 20 for reason in reasons), "every finding needs its justification"


def test_no_example_is_refused_for_what_it_accepts(examples: Path) -> None:
    declare_kinds()
    for name in ("issue_310", "issue_310_v2"):
        bound = load_bound(examples / f"{name}.yaml", rehearsal=True)
        assert refused(check(bound, deep=True)) == ()
