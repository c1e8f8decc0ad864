"""``prereg check`` as a command: exit codes, formats, and what it does not import."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import main

REPO = Path(__file__).parents[2]
V1, V2 = (str(REPO / "preregs" / f"{name}.yaml") for name in ("issue_310", "issue_310_v2"))


def test_clean_found_and_unusable(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["check", V2]) == 0
    assert main(["check", V1]) == 0
    assert main(["check", "--no-allow", V1]) == 1
    broken = tmp_path / "broken.yaml"
    broken.write_text("prereg: 1\nid: b\n")
    capsys.readouterr()
    assert main(["check", str(broken), V1]) == 2
    said = capsys.readouterr()
    assert "broken.yaml" in said.err
    assert "issue_310.yaml: 6 warnings, 2 notes, 6 accepted" in said.out, said.out


def test_text_has_place_reason_and_fix(capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", V1])
    said = capsys.readouterr().out
    assert f"{V1}:17: accepted KILL-POINT at kill.no_flattening" in said
    assert "  accepted because filed so" in said
    main(["check", "--no-allow", V1])
    said = capsys.readouterr().out
    assert f"{V1}:17: error KILL-POINT at kill.no_flattening" in said
    assert "  fix: compare the whole interval: ci(...) < bound" in said


def test_json_has_every_field_and_the_problems(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    absent = str(tmp_path / "absent.yaml")
    assert main(["check", "--format", "json", V2, absent]) == 2
    first, second = json.loads(capsys.readouterr().out)
    assert {found["code"] for found in first["findings"]} == {"PIN", "SEED", "POWER"}
    assert set(first["findings"][0]) == {"code", "severity", "at", "line", "reason", "fix", "allowed"}
    assert (first["problems"], second["findings"]) == ([], None)
    assert "absent.yaml" in second["problems"][0]


def test_annotations_for_github(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--format", "github", "--no-allow", V1]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert all(
        re.match(r"::(error|warning|notice) file=[^,]+,line=\d+,title=[A-Z-]+ at [^:]+::", line) for line in lines
    )
    assert sum(line.startswith("::error") for line in lines) == 6
    assert any("%0Afix%3A" in line or "%0Afix: " in line for line in lines)


def test_explaining_a_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--explain", "cells"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("CELLS (error): ")
    assert "rejects a true null in 56%" in said
    assert "allow: [{finding: CELLS" in said
    assert main(["check", "--explain", "CELS"]) == 2
    assert "there is no code 'CELS'" in capsys.readouterr().err
    assert main(["check"]) == 2


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys; from harness.cli import main; assert main(['check', sys.argv[1]]) == 0; "
        "heavy = {'numpy', 'scipy', 'pandas', 'torch', 'pyarrow', 'pytest', 'matplotlib'} & set(sys.modules); "
        "assert not heavy, heavy; assert 'z3' in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code, V2], cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
