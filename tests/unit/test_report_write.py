"""Writing a report: all files, atomically, and only when something changed."""

import json

import pytest
import report_cases
from report_cases import RUN

from harness.core.errors import PreregError
from reports import render, run_file
from reports.model import build
from reports.render import summary, write


def snapshot(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("report") / "deep" / "leakage_example"
    files = write(report_cases.supported().model, RUN, out)
    return out, files


def test_every_file_is_there_and_nothing_else(written):
    out, files = written
    assert {path.relative_to(out).as_posix() for path in files} == set(snapshot(out))
    names = set(snapshot(out))
    assert {"clean_result.md", "summary.md", "results.json", "run.json"} <= names
    assert {"figures/hero.png", "figures/hero.pdf", "figures/hero.meta.json"} <= names


def test_links_of_the_report_point_at_its_files(written):
    out, _ = written
    text = (out / "clean_result.md").read_text()
    assert "](figures/hero.png)" in text
    for line in text.split("\n"):
        if line.startswith("!["):
            assert (out / line.split("](")[1].rstrip(")")).is_file()


def test_figures_are_the_same_bytes_every_time(written, tmp_path):
    out, _ = written
    write(report_cases.supported().model, RUN.model_copy(update={"host": "elsewhere"}), tmp_path)
    ours, theirs = snapshot(out), snapshot(tmp_path)
    for name in ours:
        assert (ours[name] == theirs[name]) == (name not in ("run.json", "clean_result.md")), name


def test_an_unchanged_result_is_not_rendered_again(tmp_path, monkeypatch):
    model = report_cases.supported().model
    write(model, RUN, tmp_path, figures=False)
    before = snapshot(tmp_path)
    monkeypatch.setattr(render, "clean_result", lambda *a, **k: pytest.fail("rendered again"))
    files = write(model, RUN.model_copy(update={"started": "2027"}), tmp_path, figures=False)
    after = snapshot(tmp_path)
    assert {path.relative_to(tmp_path).as_posix() for path in files} == set(after)
    assert before["clean_result.md"] == after["clean_result.md"]
    assert json.loads(after["run.json"])["started"] == "2027"


@pytest.mark.parametrize("damage", ["other result", "other version", "file gone", "results gone", "run.json torn"])
def test_anything_else_is_rendered_again(tmp_path, monkeypatch, damage):
    case = report_cases.supported()
    write(case.model, RUN, tmp_path, figures=False)
    (tmp_path / "clean_result.md").write_text("old")
    model = case.model
    if damage == "other result":
        model = build(case.bound, case.decision.model_copy(update={"standing": "amended"}), case.estimates)
    elif damage == "other version":
        monkeypatch.setattr(run_file, "REPORT_VERSION", 999)
    elif damage == "file gone":
        (tmp_path / "clean_result.md").unlink()
    elif damage == "results gone":
        (tmp_path / "results.json").unlink()
    else:
        (tmp_path / "run.json").write_text("{")
    write(model, RUN, tmp_path, figures=False)
    assert (tmp_path / "clean_result.md").read_text().startswith("# EM finetuning raises")


def test_figures_asked_for_later_are_drawn_and_stale_ones_removed(tmp_path):
    case = report_cases.supported()
    write(case.model, RUN, tmp_path, figures=False)
    assert not (tmp_path / "figures").exists()
    write(case.model, RUN, tmp_path)
    assert (tmp_path / "figures" / "source_rate.png").is_file()
    (tmp_path / "figures" / "mine.png").write_bytes(b"a user's own")
    kept = {name: estimate for name, estimate in case.estimates.items() if name != "source_rate"}
    write(build(case.bound, case.decision, kept, case.extras), RUN, tmp_path)
    assert not (tmp_path / "figures" / "source_rate.png").exists()
    assert (tmp_path / "figures" / "mine.png").is_file()


def test_an_interrupted_report_is_completed_by_the_next_run(tmp_path, monkeypatch):
    model, real = report_cases.supported().model, render._replace

    def stop(path, data):
        if path.name == "results.json":
            raise KeyboardInterrupt
        real(path, data)

    monkeypatch.setattr(render, "_replace", stop)
    with pytest.raises(KeyboardInterrupt):
        write(model, RUN, tmp_path, figures=False)
    assert not (tmp_path / "results.json").exists()
    monkeypatch.setattr(render, "_replace", real)
    write(model, RUN, tmp_path, figures=False)
    assert {"clean_result.md", "summary.md", "report.html", "results.json", "run.json"} == set(snapshot(tmp_path))


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    target = tmp_path / "results.json"
    target.write_bytes(b"old")
    with pytest.raises(TypeError):
        render._replace(target, "not bytes")
    assert snapshot(tmp_path) == {"results.json": b"old"}


def test_a_number_that_is_not_in_the_model_is_an_error_and_loses_nothing(tmp_path, monkeypatch):
    model = report_cases.supported().model
    with monkeypatch.context() as patch:
        patch.setattr(render.sections, "human_summary", lambda model: "The rate was 12.34%.")
        for _ in range(2):
            with pytest.raises(PreregError, match=r"12\.34%"):
                write(model, RUN, tmp_path, figures=False)
    text = (tmp_path / "clean_result.md").read_text()
    assert "> **Unverified.** Not in results.json: 12.34% in" in text
    assert (tmp_path / "results.json").is_file()
    write(model, RUN, tmp_path, figures=False)
    assert "Unverified" not in (tmp_path / "clean_result.md").read_text()


def test_run_json_holds_what_is_not_in_results_json(written):
    out, _ = written
    run, results = json.loads((out / "run.json").read_text()), (out / "results.json").read_text()
    assert run["host"] == "testhost"
    assert run["report_version"] == run_file.REPORT_VERSION
    assert "testhost" not in results
    assert "2026-01-01" not in results


def test_the_summary_for_ci_has_verdict_confidence_and_table():
    text = summary(report_cases.not_supported().model)
    assert text.startswith("## Not shown that EM finetuning raises leakage to unseen personas: 37.0% in C2 ")
    assert "| H1 |" in text
    assert "**Confidence: LOW**" in text
    assert "7 of 250 completions" in text
