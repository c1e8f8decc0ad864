"""pytest's own ways to select and stop, and the plugins that people have installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import toy_preregs
from toy_preregs import NAMES

ROOT = Path(__file__).parents[2]


def test_last_failed_and_failed_first(judged, words) -> None:
    judged("-p", "cacheprovider", "unsupported.yaml")
    again = judged("-v", "--lf", "unsupported.yaml")
    assert words(again) == {"H1[big]": "FAILED", "H1": "FAILED", "verdict": "FAILED"}
    first = judged("-v", "--ff", "unsupported.yaml")
    assert list(words(first))[:3] == ["H1[big]", "H1", "verdict"]
    assert len(words(first)) == len(NAMES)


def test_stops_at_the_first_failure_and_still_reports(judged, words) -> None:
    judged("unsupported.yaml")
    result = judged("-v", "-x", "unsupported.yaml")
    assert list(words(result)) == [*NAMES[: NAMES.index("H1[big]") + 1]]
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*unsupported: NOT SUPPORTED*", "*report:*"])


def test_selected_by_keyword_or_node_id(judged, words) -> None:
    assert list(words(judged("-v", "-k", "gate or kill", "supported.yaml"))) == ["gate[varies]", "kill[none]"]
    result = judged("-v", "supported.yaml::verdict")
    assert words(result) == {"verdict": "PASSED"}
    assert list(words(judged("-v", "supported.yaml::H1[clear]"))) == ["H1[clear]"]


def test_randomly_timeout_and_warnings_as_errors(shared, words) -> None:
    toy_preregs.write(shared.folder, "supported")
    result = shared.process(
        "-v",
        "-W",
        "error",
        "-p",
        "randomly",
        "-p",
        "timeout",
        "--timeout=0.01",
        "supported.yaml",
        "-p",
        "no:cacheprovider",
    )
    assert result.ret == 0, (result.outlines, result.errlines)
    assert list(words(result)) == list(NAMES)


def test_an_entry_point_and_a_conftest_are_one_registration(run) -> None:
    toy_preregs.write(run.folder, "supported")
    (run.folder / "conftest.py").write_text('pytest_plugins = ["harness.plugin.hooks"]\n')
    assert run("--collect-only", "supported.yaml").ret == 0


@pytest.mark.parametrize("mode", ["loadscope", "worksteal"])
def test_any_distribution(judged, words, mode: str) -> None:
    judged("supported.yaml", "unsupported.yaml")
    result = judged.process("-v", "-n2", f"--dist={mode}", "supported.yaml", "unsupported.yaml")
    assert result.ret == 1
    said = "\n".join(result.outlines)
    assert said.count("  report: ") == 2


def test_workers_share_one_run_and_the_controller_reports(run) -> None:
    toy_preregs.write(run.folder, "killed")
    result = run.process("-n2", "-p", "randomly", "killed.yaml")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*killed: KILLED (retrospective)*", "*report: *"])
    assert len(list((run.folder / ".prereg" / "logs").iterdir())) == 1
    folder = run.folder / "results" / "killed"
    assert json.loads((folder / "results.json").read_bytes())["decision"]["verdict"] == "killed"


def test_workers_stop_at_the_first_failure(judged) -> None:
    judged("unsupported.yaml")
    result = judged.process("-n2", "-x", "unsupported.yaml")
    assert result.ret in (1, 2)
    result.stdout.fnmatch_lines(["*unsupported: NOT SUPPORTED*", "*report:*"])


def test_loading_costs_pytest_and_the_standard_library_only() -> None:
    code = (
        "import sys, pytest; before = set(sys.modules); import harness.plugin.hooks; "
        "print(sorted({name.partition('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['harness']"


def test_collection_imports_no_numerics_and_writes_nothing(run) -> None:
    toy_preregs.write(run.folder, "supported")
    before = sorted(run.folder.rglob("*"))
    (run.folder / "conftest.py").write_text(
        "import sys\ndef pytest_unconfigure():\n"
        "    print('heavy', [m for m in ('torch', 'numpy', 'scipy', 'pandas', 'pyarrow') if m in sys.modules])\n"
    )
    result = run.process("--collect-only", "-q", "-p", "no:cacheprovider", "supported.yaml",
                         PYTHONDONTWRITEBYTECODE="1")  # fmt: skip
    assert result.ret == 0
    assert "heavy []" in result.outlines
    assert sorted(path for path in run.folder.rglob("*") if path.name != "conftest.py") == before
