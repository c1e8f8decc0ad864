"""Figures: what is drawn, with bars, thresholds, sizes and stamps."""

import json
import subprocess
import sys

import pytest
import report_cases
from report_cases import CASES

from harness.contracts.records import Cell
from reports import canvas, plots
from reports.figures import draw


@pytest.fixture
def drawn(monkeypatch):
    """Draw a model's figures and keep the matplotlib figures behind them."""
    kept = {}

    def keep(model, figure, name, alt, caption, estimates):
        kept[name] = figure
        return canvas.Figure(name, {}, alt, caption)

    monkeypatch.setattr(plots, "finish", keep)

    def run(case):
        figures = draw(case.model)
        return figures, kept

    return run


def test_the_hero_draws_every_deciding_estimate_with_its_interval(drawn):
    figures, kept = drawn(report_cases.two_analyses())
    assert figures[0].name == "hero"
    ax = kept["hero"].axes[0]
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert any("shift_base\nC2 − C1\nn = 2,800" in label for label in labels)
    assert any("(published)" in label for label in labels)
    bars = [line for line in ax.collections if line.get_paths()]
    spans = sorted(tuple(round(float(x), 2) for x in bar.get_segments()[0][:, 0]) for bar in bars)
    assert spans == [(5.74, 54.69), (23.43, 37.0)]
    assert "percentage points (→ larger)" in ax.get_xlabel()


def test_the_hero_draws_thresholds_and_kill_lines(drawn):
    _, kept = drawn(report_cases.supported())
    ax = kept["hero"].axes[0]
    lines = {(line.get_label(), round(float(line.get_xdata()[0]), 3)) for line in ax.lines}
    assert {("threshold", 15.0), ("kill line", 5.0)} <= lines
    legend = [text.get_text() for text in kept["hero"].legends[0].get_texts()]
    assert set(legend) == {"threshold", "kill line"}


def test_tables_by_arm_have_one_colour_and_marker_per_arm_and_bars(drawn):
    _, kept = drawn(report_cases.supported())
    ax = kept["bystander_rate"].axes[0]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["C1 base-first", "C2 EM-first"]
    assert len(ax.collections) >= 2
    assert "bystander_rate (%)" in ax.get_xlabel()
    assert "n = 400" in ax.get_xlabel()


def test_a_correlation_is_drawn_with_every_point_named(drawn):
    _, kept = drawn(report_cases.correlation())
    ax = kept["rate_by_persona_against_cos_by_persona"].axes[0]
    assert "librarian" in [text.get_text() for text in ax.texts]
    assert ax.get_title() == "n = 10 personas"
    assert "%" in ax.get_ylabel()


@pytest.mark.parametrize("name", CASES)
def test_captions_say_what_is_seen_in_ten_words(name, drawn):
    figures, _ = drawn(CASES[name]())
    assert figures
    for figure in figures:
        assert len(figure.caption.split()) >= 10
        assert figure.alt


def test_files_and_metadata(monkeypatch):
    figure = draw(report_cases.rehearsal().model)[0]
    assert set(figure.files) == {".png", ".pdf", ".meta.json"}
    assert figure.files[".png"].startswith(b"\x89PNG")
    assert b"CreationDate" not in figure.files[".pdf"]
    meta = json.loads(figure.files[".meta.json"])
    assert meta["rehearsal"]
    assert meta["estimates"][0]["name"] == "leakage_shift"
    assert meta["artifacts"][0]["key"] == "cd" * 32
    assert figure.caption.startswith("REHEARSAL")


def test_a_rehearsal_is_stamped_on_the_figure(monkeypatch):
    stamped = []
    monkeypatch.setattr(canvas, "_save", lambda figure, kind: stamped.append(figure) or b"")
    draw(report_cases.rehearsal().model)
    assert stamped
    assert all("REHEARSAL" in [text.get_text() for text in figure.texts] for figure in stamped)
    stamped.clear()
    draw(report_cases.supported().model)
    assert not any("REHEARSAL" in [text.get_text() for text in figure.texts] for figure in stamped)


def test_an_interval_need_not_hold_its_estimate():
    cell = Cell(value=0.5, intervals=report_cases.interval(0.6, 0.7))
    assert canvas.error_bars([cell], 100.0) == [[0.0], [pytest.approx(20.0)]]
    assert canvas.error_bars([Cell(value=0.5)], 100.0) is None


def test_unknown_values_are_not_drawn(drawn):
    case = report_cases.supported()
    unknown = case.estimates["leakage_shift"].model_copy(update={"cells": (Cell(value=None, reason="gone"),)})
    model = report_cases.build(case.bound, case.decision, {**case.estimates, "leakage_shift": unknown}, case.extras)
    assert "leakage_shift" not in {point.row.estimate.name for point in plots.deciding_points(model)}


def test_user_text_is_no_mathtext():
    assert canvas.plain("$x$\n\x1b[1m") == r"\$x\$ \x1b[1m"
    assert canvas.file_name("max(rate)/é") == "max_rate"


def test_a_users_warnings_and_style_do_not_matter():
    code = (
        "import sys; sys.path.insert(0, 'tests/unit'); import warnings; import report_cases; "
        "from reports.figures import draw; warnings.simplefilter('error'); "
        "import matplotlib; matplotlib.rcParams['font.size'] = 30; "
        "import hashlib; print(hashlib.sha256(draw(report_cases.supported().model)[0].files['.png']).hexdigest())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    import hashlib

    ours = hashlib.sha256(draw(report_cases.supported().model)[0].files[".png"]).hexdigest()
    assert done.stdout.strip() == ours


def test_importing_reports_loads_no_matplotlib():
    code = "import sys, reports.render; print(sorted(m for m in ('matplotlib', 'torch', 'pandas') if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
