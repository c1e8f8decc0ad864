"""Every refusal takes one path: one message, exit code 4, with and without workers."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest
import toy_preregs

ROOT = Path(__file__).parents[2]
OWN = "def test_own():\n    assert True\n"
BAD = "prereg: 1\nid: bad\ntitle: Bad\nquestion: Why\nhypothesis: {}\n"


def refused(result: pytest.RunResult, *texts: str) -> str:
    """Check that a run refused with one message, and return it."""
    assert result.ret == 4, (result.outlines, result.errlines)
    said = "\n".join(result.errlines)
    assert said.count("ERROR: ") == 1, said
    for text in texts:
        assert text in said
    assert "Traceback" not in said
    return said


@pytest.fixture
def broken(shared):
    """A folder with two broken preregs, a sound one and a test of the user's own."""
    run = shared
    (run.folder / "bad.yaml").write_text(BAD)
    (run.folder / "worse.yaml").write_text("prereg: 1\nid: [\n")
    (run.folder / "test_own.py").write_text(OWN)
    toy_preregs.write(run.folder, "supported")
    return run


def test_broken_files_are_refused_all_at_once(broken) -> None:
    said = refused(broken(), "things stop the preregistrations", "bad.yaml:5", "worse.yaml:")
    assert "unknown key 'hypothesis'" in said


def test_an_item_of_a_broken_file_names_the_fault_and_not_the_item(broken) -> None:
    assert "not found" not in refused(broken("bad.yaml::verdict"), "unknown key 'hypothesis'")


def test_an_unknown_item_names_the_nearest(broken) -> None:
    said = refused(
        broken("supported.yaml::H1[bigg]"), "supported.yaml::H1[bigg]", "the items are check, measure[table]"
    )
    assert "Did you mean 'H1[big]'?" in said


def test_own_tests_are_left_alone(broken) -> None:
    assert broken("test_own.py").ret == 0
    assert broken("-k", "test_own").ret == 0
    assert broken("test_own.py", "supported.yaml", "--deselect", "supported.yaml").ret == 0
    refused(broken("test_own.py", "bad.yaml"))
    missing = broken("test_own.py::test_nothing")
    assert missing.ret == 4
    assert "the items are" not in "\n".join(missing.errlines)


DAMAGED = {
    "missing": ("prereg: 1\n", "", "damaged.yaml:1: 'prereg' is missing"),
    "without its colon": ("prereg: 1\n", "prereg 1\n", "damaged.yaml:2: the YAML cannot be read"),
    "capital": ("prereg: 1\n", "Prereg: 1\n", "unknown key 'Prereg'"),
}


@pytest.mark.parametrize("how", DAMAGED)
@pytest.mark.parametrize("args", [(), ("-n2",)])
def test_a_named_file_whose_first_key_is_damaged_says_so(shared, how: str, args: tuple[str, ...]) -> None:
    old, new, says = DAMAGED[how]
    text = toy_preregs.write(shared.folder, "supported").read_text()
    assert old in text
    (shared.folder / "damaged.yaml").write_text(text.replace(old, new))
    said = refused((shared.process if args else shared)(*args, "damaged.yaml"), says)
    assert "not found" not in said
    assert "damaged.yaml" in refused(shared("damaged.yaml::verdict"), says)


def test_an_empty_file_that_was_named_is_refused_and_a_foreign_one_that_was_not_is_left_alone(shared) -> None:
    (shared.folder / "empty.yaml").write_text("")
    (shared.folder / "foreign.yaml").write_text("a: 1\n")
    refused(shared("empty.yaml"), "empty.yaml:1: the file is not a mapping")
    assert shared("--collect-only").ret in (0, 5)


def test_a_file_that_is_indented_as_a_whole_is_one(shared) -> None:
    path = toy_preregs.write(shared.folder, "supported")
    path.write_text("".join(f"  {line}" for line in path.read_text().splitlines(keepends=True)))
    result = shared("--collect-only", "-q", "supported.yaml")
    assert result.ret == 0
    assert "supported.yaml::verdict" in "\n".join(result.outlines)


@pytest.mark.parametrize("option", ["--store", "--prereg-out", "--prereg-data"])
def test_a_file_where_a_folder_is_meant_is_refused(shared, option: str) -> None:
    toy_preregs.write(shared.folder, "supported")
    (shared.folder / "a_file").write_text("")
    refused(shared(option, "a_file", "supported.yaml"), f"{option}: ", "is a file and no folder; expected a folder")
    refused(shared(option, "a_file/x", "supported.yaml"), "cannot be a folder: ", "a_file is a file")


def test_two_files_with_one_id(shared) -> None:
    toy_preregs.write(shared.folder, "supported")
    (shared.folder / "copy.yaml").write_text((shared.folder / "supported.yaml").read_text())
    refused(shared(), "the id 'supported' is also that of copy.yaml", "supported.yaml:id")
    assert shared("copy.yaml").ret == 0


def test_an_absent_table_says_where_to_put_it(shared) -> None:
    path = toy_preregs.write(shared.folder, "supported")
    path.write_text(path.read_text().replace("supported.csv", "data:elsewhere.csv"))
    refused(shared(), "elsewhere.csv' is absent", "--prereg-data", "PREREG_DATA")
    (shared.folder / "data").mkdir()
    shutil.move(shared.folder / "supported.csv", shared.folder / "data" / "elsewhere.csv")
    assert shared("--prereg-data=data").ret == 0


@pytest.mark.parametrize("args", [(), ("-n0",), ("-n2",), ("--collect-only",)])
def test_a_faulty_table_is_refused_once(run, args: tuple[str, ...]) -> None:
    toy_preregs.write(run.folder, "supported")
    table = run.folder / "supported.csv"
    table.write_text(table.read_text().replace("i1,1.000", "i1,nan").replace("i6,2.000", "i6,"))
    said = refused(run.process("supported.yaml", *args), "supported.csv:2:a: found 'nan'; expected a finite number")
    assert said.count("supported.csv:") == 2
    assert "supported.csv:7:a: the cell is empty; expected a number" in said
    assert not (run.folder / ".prereg").exists()


@pytest.mark.parametrize("args", [(), ("-n0",), ("-n2",)])
def test_reports_that_cannot_be_written_are_refused_once(run, args: tuple[str, ...]) -> None:
    toy_preregs.write(run.folder, "supported")
    (run.folder / "out").mkdir()
    (run.folder / "out" / "supported").write_text("in the way")
    said = refused(run.process("supported.yaml", "--prereg-out=out", *args), "Give another folder with --prereg-out")
    assert said.count(f"{run.folder}/out/supported: no report can be written there: ") == 1
    assert run.process("supported.yaml", "--prereg-out=out", "--collect-only").ret == 0


def test_a_full_disk_is_refused_once(run, monkeypatch) -> None:
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    toy_preregs.write(run.folder, "supported")
    monkeypatch.setattr("harness.core.store.require_writable", full)
    refused(run("supported.yaml"), "no space left on the disk of", "Free some space")


def test_a_foreign_package_of_our_name_is_named(run, monkeypatch) -> None:
    toy_preregs.write(run.folder, "supported")
    foreign = run.folder / "vendored" / "reports"
    foreign.mkdir(parents=True)
    (foreign / "__init__.py").write_text("")
    result = run.process("supported.yaml", PYTHONPATH=f"{foreign.parent}:{ROOT}")
    refused(result, f"the package 'reports' is found at {foreign}", str(ROOT / "reports"))
    (foreign / "__init__.py").unlink()
    assert run.process("--collect-only", "supported.yaml", PYTHONPATH=f"{foreign.parent}:{ROOT}").ret == 0


@pytest.fixture
def training(run):
    """A prereg that trains, as it is in the repository."""
    folder = run.folder / "preregs"
    shutil.copytree(ROOT / "preregs" / "banks", folder / "banks")
    shutil.copy(ROOT / "preregs" / "issue_310.yaml", folder)
    return run


def test_nothing_trains_unless_asked_to(training) -> None:
    said = refused(training("preregs"), "nothing trains unless asked to")
    assert "pytest preregs/issue_310.yaml --rehearse" in said
    assert "pytest preregs/issue_310.yaml -m gpu" in said
    assert not (training.folder / ".prereg").exists()
    assert training("preregs", "-m", "not gpu").ret == 5


def test_a_preview_needs_no_device_and_has_a_price_tag(training) -> None:
    result = training("preregs", "--collect-only", "-q")
    assert result.ret == 0
    assert "preregs/issue_310.yaml::verdict" in result.outlines
    said = (
        "issue_310: * jobs to run (* with models), 0 stored; likely * GPU-minutes, * on disk; declared, not measured*"
    )
    result.stdout.fnmatch_lines(["*what would run*", f"{said}; budget 420 GPU-minutes"])
    rehearsal = training("preregs", "--collect-only", "-q", "--rehearse")
    rehearsal.stdout.fnmatch_lines(
        ["issue_310: * jobs to run *; likely * CPU-minutes, * on disk; declared, not measured"]
    )
    assert not (training.folder / ".prereg").exists()


def test_gpu_without_a_device_is_refused_and_never_green(training, monkeypatch) -> None:
    monkeypatch.setattr("harness.plugin.registrations.cuda_fault", lambda: "there is no NVIDIA driver here")
    refused(training("preregs", "-m", "gpu"), "-m gpu asks for a CUDA device", "--rehearse")
    (training.folder / "test_own.py").write_text("import pytest\n\n@pytest.mark.gpu\ndef test_own():\n    pass\n")
    assert training("test_own.py", "-m", "gpu").ret == 0


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("bad.yaml",), "unknown key 'hypothesis'"),
        (("supported.yaml::nope",), "the items are check"),
        (("preregs", "-m", "gpu"), "-m gpu asks for a CUDA device"),
    ],
)
def test_workers_refuse_as_one(broken, training, args: tuple[str, ...], text: str) -> None:
    result = broken.process("-n2", *args, CUDA_VISIBLE_DEVICES="")
    if "gpu" in args and "asks for a CUDA device" not in "\n".join(result.errlines):
        pytest.fail("this machine has a CUDA device: run the GPU tests instead")
    refused(result, text)
    assert not any("FAILED" in line or "Traceback" in line for line in result.outlines)
