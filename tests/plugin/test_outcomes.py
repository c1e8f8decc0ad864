"""How preregs come out: items in order, words, exit codes, blocks and reports."""

from __future__ import annotations

import errno
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import toy_preregs
from toy_preregs import NAMES

PASSED = dict.fromkeys(NAMES, "PASSED")


def test_items_come_in_order_with_node_ids_and_lines(judged) -> None:
    result = judged("--collect-only", "-q", "supported.yaml")
    assert result.ret == 0
    assert [line for line in result.outlines if "::" in line] == [f"supported.yaml::{name}" for name in NAMES]
    chosen = (*toy_preregs.QUIET, "-p", "harness.plugin.hooks")
    items, _ = judged.pytester.inline_genitems(judged.folder / "supported.yaml", *chosen)
    lines = (judged.folder / "supported.yaml").read_text().splitlines()
    located = {item.name: lines[item.location[1]] for item in items}
    assert located["H1[big]"].strip() == "big: shift >= 0.5"
    assert located["H1"].strip() == "H1:"
    assert located["gate[varies]"].strip().startswith("varies:")
    assert located["kill[none]"].strip().startswith("none:")
    assert located["measure[table]"].strip().startswith("table:")


@pytest.mark.parametrize(
    ("name", "code", "differ"),
    [
        ("supported", 0, {}),
        ("unsupported", 1, {"H1[big]": "FAILED", "H1": "FAILED", "verdict": "FAILED"}),
        (
            "killed",
            1,
            {"H1[big]": "FAILED", "H1[clear]": "FAILED", "H1": "KILLED", "kill[none]": "KILLED", "verdict": "KILLED"},
        ),
        (
            "inconclusive",
            1,
            {
                "gate[varies]": "FAILED", "H1[big]": "INCONCLUSIVE", "H1[clear]": "INCONCLUSIVE",
                "H1": "INCONCLUSIVE", "verdict": "INCONCLUSIVE",
            },
        ),
    ],
)  # fmt: skip
def test_words_and_exit_codes(judged, words, name: str, code: int, differ: dict[str, str]) -> None:
    result = judged("-v", f"{name}.yaml")
    secondary = {"H2[high]": "UNMET", "H2": "UNMET"}
    found = words(result)
    assert found == {**PASSED, **secondary, **differ}
    assert result.ret == code
    assert list(found) == list(NAMES)


def test_a_failed_item_is_one_readable_block(judged) -> None:
    result = judged("unsupported.yaml")
    result.stdout.fnmatch_lines([
        "H1?big? does not hold  (unsupported.yaml:9)",
        "  shift >= 0.5",
        "  FAILS   shift >= 0.5",
        "          value 0.300, 95% 0.231–0.369, threshold >= 0.5, n = 6 items",
        "          0.300 is 0.200 below 0.5",
        "          shift = table.b - table.a",
    ])  # fmt: skip
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*Unmet*")


def test_killed_inconclusive_and_unmet_have_blocks_although_pytest_forgets_them(judged) -> None:
    killed = judged("killed.yaml")
    killed.stdout.fnmatch_lines(["*killed, inconclusive and unmet*", "kill?none? holds: it ends the line of work*"])
    killed.stdout.fnmatch_lines(["*killed: KILLED (retrospective), confidence LOW*", "*H1 killed: kill 'none'*"])
    judged("inconclusive.yaml").stdout.fnmatch_lines([
        "*gate?varies? does not hold: it makes everything unknown*", "*H1?big? is unknown*",
        "*gate 'varies' does not hold*",
    ])  # fmt: skip
    quiet = judged("--tb=no", "killed.yaml")
    quiet.stdout.no_fnmatch_line("*killed, inconclusive and unmet*")
    assert quiet.ret == 1


def test_exit_on_errors_fails_only_for_errors(judged, words) -> None:
    for name in toy_preregs.SHIFTS:
        result = judged("-v", "--exit-on=errors", f"{name}.yaml")
        assert result.ret == 0
        assert set(words(result).values()) == {"PASSED", "UNMET"}


def test_junit_takes_the_raw_outcomes(judged) -> None:
    judged("--junitxml=out.xml", "unsupported.yaml")
    cases = {case.get("name"): case for case in ET.parse(judged.folder / "out.xml").iter("testcase")}
    failed = [name for name, case in cases.items() if case.find("failure") is not None]
    assert failed == ["H1[big]", "H1", "verdict"]
    assert [name for name, case in cases.items() if case.find("skipped") is not None] == ["H2[high]", "H2"]
    assert "0.300 is 0.200 below 0.5" in str(cases["H1[big]"].find("failure").text)


def test_the_report_is_written_and_named(judged) -> None:
    result = judged("supported.yaml")
    result.stdout.fnmatch_lines(["supported: SUPPORTED (retrospective), confidence LOW", "*report: *clean_result.md"])
    folder = judged.folder / "results" / "supported"
    assert json.loads((folder / "results.json").read_bytes())["decision"]["verdict"] == "supported"
    assert (folder / "clean_result.md").is_file()
    assert not (folder / "figures").exists()


def test_a_disk_that_fails_at_the_report_is_told_without_a_stack(judged, monkeypatch) -> None:
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", "clean_result.md")

    judged("supported.yaml")
    monkeypatch.setattr("reports.render.write", full)
    result = judged("supported.yaml", "--prereg-out=elsewhere")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["supported: ERROR: the report could not be*", "*No space left on device*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_report_that_cannot_be_written_is_told_and_fails_the_run(judged, monkeypatch) -> None:
    judged("supported.yaml")
    monkeypatch.setattr("reports.render.write", lambda *args, **options: 1 / 0)
    result = judged("supported.yaml", "--prereg-out=elsewhere")  # what lies there already is up to date
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*supported: SUPPORTED*", "supported: ERROR: the report could not be*", "*ZeroDiv*"])
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


def test_out_and_store_are_chosen_by_option_environment_and_ini(run, monkeypatch) -> None:
    toy_preregs.write(run.folder, "supported")
    (run.folder / "pytest.ini").write_text("[pytest]\nprereg_store = ini/store\nprereg_out = ini/out\n")
    args = ("supported.yaml",)
    assert run(*args).ret == 0
    assert (run.folder / "ini" / "store" / "objects").is_dir()
    assert (run.folder / "ini" / "out" / "supported" / "results.json").is_file()
    monkeypatch.setenv("PREREG_STORE", "env_store")
    assert run(*args).ret == 0
    assert (run.folder / "env_store" / "objects").is_dir()
    assert run(*args, "--store=ini/store", "--prereg-out=given").ret == 0
    assert (run.folder / "given" / "supported" / "results.json").is_file()
    assert not (run.folder / ".prereg").exists()


def test_what_is_stored_is_not_computed_again(judged) -> None:
    judged("supported.yaml")
    before = {path: path.stat().st_mtime_ns for path in _manifests(judged.folder)}
    assert judged("supported.yaml").ret == 0
    assert {path: path.stat().st_mtime_ns for path in _manifests(judged.folder)} == before


def test_a_crash_is_an_error_and_never_a_verdict(run, words) -> None:
    toy_preregs.write_spoilt(run.folder, "supported")
    result = run("-v", "supported.yaml")
    assert result.ret == 1
    assert set(words(result).values()) == {"PASSED", "ERROR"}
    assert words(result)["verdict"] == "ERROR"
    result.stdout.fnmatch_lines(
        ["job 'measure?table?' failed:*", "supported: no verdict yet*", "*failed: measure?table?:*"]
    )
    result.stdout.no_fnmatch_line("*Traceback (most recent*test_outcomes*")
    assert not (run.folder / "results").exists()


def test_a_partial_run_says_what_is_missing(run) -> None:
    toy_preregs.write(run.folder, "supported")
    result = run("supported.yaml::gate[varies]")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["supported: no verdict yet, so there is no report", "*missing: *verdict*"])


def test_a_rehearsal_is_stamped_and_fails_for_nothing_but_errors(judged, words) -> None:
    result = judged("-v", "--rehearse", "unsupported.yaml")
    assert result.ret == 0
    assert words(result)["verdict"] == "UNMET"
    result.stdout.fnmatch_lines(["*unsupported: REHEARSAL (rule returned: not supported), confidence none*"])
    text = (judged.folder / "results" / "unsupported-rehearsal" / "clean_result.md").read_text()
    assert "REHEARSAL" in text.splitlines()[0]


def _manifests(folder: Path) -> list[Path]:
    return sorted((folder / ".prereg" / "objects").glob("*/*/manifest.json"))
