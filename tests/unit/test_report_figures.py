"""Figures: what is drawn, with bars, thresholds, sizes and stamps."""

import hashlib
import json
import os
import subprocess
import sys
import threading
import time

import figure_cases
import pytest
import report_cases
from report_cases import CASES

from harness.contracts.records import Cell
from reports import canvas, fonts
from reports.drawings import forest, training
from reports.figure_data import operating, over_questions, stored_operating
from reports.figures import draw, planned


def seen(model):
    """Draw a model's figures, files left out; return them and the matplotlib figures behind them by name."""
    saved = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(canvas, "_save", lambda figure, kind: saved.append(figure) or b"")
        figures = draw(model, processes=1)
    return figures, dict(zip((figure.name for figure in figures), saved[::3], strict=True))


@pytest.fixture(scope="module")
def drawn():
    """Return a function that draws a case's figures once for all tests."""
    known = {}

    def run(name):
        if name not in known:
            known[name] = seen(CASES[name]().model)
        return known[name]

    return run


@pytest.fixture(scope="module")
def probes():
    return figure_cases.two_probes().model


@pytest.fixture(scope="module")
def kept(probes):
    """The figures of a result that carries the data of every kind."""
    return seen(probes)


@pytest.fixture(scope="module")
def files(probes):
    """The same with their files."""
    return draw(probes, processes=1)


def texts(figure):
    return [text.get_text() for ax in figure.axes for text in ax.texts]


def test_every_kind_of_figure_is_drawn_where_the_result_carries_its_data(probes):
    assert [drawing.name for drawing in planned(probes)] == [
        "hero",
        "verdict_map",
        "bystander_rate",
        "source_rate",
        "rates_by_persona_leakage",
        "closer_by_layer",
        "cosine_level",
        "similarity",
        "leakage_against_similarity",
        "training",
        "operating_characteristics",
    ]


def test_planning_figures_loads_no_matplotlib():
    code = (
        "import sys; sys.path.insert(0, 'tests/unit'); import figure_cases; from reports.figures import planned; "
        "print(len(planned(figure_cases.two_probes().model)), 'matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "11 False"


def test_the_hero_draws_every_deciding_estimate_with_its_interval(drawn):
    figures, kept = drawn("two_analyses")
    assert figures[0].name == "hero"
    ax = kept["hero"].axes[0]
    labels = [text.get_text() for text in ax.texts]
    assert "shift_base:  C2 − C1" in labels
    assert "n = 2,800 (7 personas × 20 questions)" in labels
    assert any("(published)" in label for label in labels)
    bars = [line for line in ax.collections if line.get_paths()]
    spans = sorted(tuple(round(float(x), 2) for x in bar.get_segments()[0][:, 0]) for bar in bars)
    assert spans == [(5.74, 54.69), (23.43, 37.0)]
    assert "percentage points (→ larger)" in ax.get_xlabel()


def test_the_hero_draws_thresholds_and_kill_lines_and_says_what_they_are(drawn):
    _, kept = drawn("supported")
    ax = kept["hero"].axes[0]
    lines = {(line.get_label(), round(float(line.get_xdata()[0]), 3)) for line in ax.lines}
    assert {("threshold", 15.0), ("kill line", 5.0)} <= lines
    assert {"≥ 15 pp", "< 5 pp"} <= set(texts(kept["hero"]))
    legend = [text.get_text() for text in kept["hero"].legends[0].get_texts()]
    assert set(legend) == {"threshold", "kill line"}


def test_tables_by_arm_have_one_colour_and_marker_per_arm_and_bars(drawn):
    _, kept = drawn("supported")
    ax = kept["bystander_rate"].axes[0]
    assert {label.get_text() for label in ax.get_yticklabels()} == {"C1 base-first", "C2 EM-first"}
    points = [line for line in ax.lines if line.get_marker() in canvas.MARKERS]
    assert [point.get_color() for point in points] == list(canvas.PALETTE[:2])
    assert [point.get_marker() for point in points] == list(canvas.MARKERS[:2])
    assert len(ax.collections) >= 2
    assert "bystander_rate (%)" in ax.get_xlabel()
    assert ax.get_title(loc="left").startswith("n = 400")


def test_an_arm_looks_the_same_in_every_figure(kept):
    kept = kept[1]
    colours = {
        handle.get_label(): handle[0].get_color()
        for name in ("cosine_level", "rates_by_persona_leakage", "leakage_against_similarity")
        for handle in kept[name].axes[0].containers
    }
    assert colours == {"C1 base-first": canvas.PALETTE[0], "C2 EM-first": canvas.PALETTE[1]}


def test_a_table_along_layers_is_a_line_per_arm_with_bars(kept):
    kept = kept[1]
    ax = kept["cosine_level"].axes[0]
    assert [label.get_text() for label in ax.get_xticklabels()] == list(figure_cases.LAYERS)
    assert len(ax.containers) == 2
    assert len(ax.collections) == 2
    assert ax.get_ylabel().endswith("↑ larger")
    shift = kept["closer_by_layer"].axes[0]
    labels = [line.get_label() for line in shift.lines]
    assert "kill line (< 0.01)" in labels


def test_rates_by_persona_are_counted_over_completions_with_intervals_over_questions(kept, probes):
    rate = next(rate for rate in probes.figures.rates if rate.arm == "C1" and rate.persona == "assistant")
    assert (rate.hits, rate.completions, rate.questions) == (2, 5, 5)
    kept = kept[1]
    ax = kept["rates_by_persona_leakage"].axes[0]
    assert ax.get_title(loc="left") == "n = 5 completions per persona and arm (5 questions); bars 95%"
    assert len(ax.collections) == 2
    assert "%" in ax.get_xlabel()


def test_intervals_over_questions():
    from scipy.stats import sem, t

    rates = [0.0, 0.5, 1.0, 0.5]
    low, high = t.interval(0.95, 3, loc=0.5, scale=sem(rates))
    assert over_questions(rates, 20, 40) == (max(float(low), 0.0), min(float(high), 1.0))
    from statsmodels.stats.proportion import proportion_confint

    assert over_questions([0.0] * 4, 0, 40) == pytest.approx(proportion_confint(0, 40, method="wilson"))
    assert over_questions([1.0], 10, 10) == pytest.approx(proportion_confint(10, 10, method="wilson"))


def test_similarities_are_a_heat_map_with_values_and_half_widths(kept):
    kept = kept[1]
    said = texts(kept["similarity"])
    assert len(said) == 8
    assert all("±" in each for each in said)
    assert [label.get_text() for label in kept["similarity"].axes[0].get_yticklabels()] == list(report_cases.UNSEEN)


def test_leakage_against_similarity_names_its_points_and_states_no_correlation(kept):
    figures, kept = kept
    assert texts(kept["leakage_against_similarity"]).count("assistant") == 2
    figure = next(figure for figure in figures if figure.name == "leakage_against_similarity")
    assert "No correlation was registered" in figure.caption


def test_a_correlation_is_drawn_with_every_point_named(drawn):
    _, kept = drawn("retrospective_correlation")
    ax = kept["rate_by_persona_against_cos_by_persona"].axes[0]
    assert "librarian" in [text.get_text() for text in ax.texts]
    assert ax.get_title(loc="left") == "n = 10 personas"
    assert "%" in ax.get_ylabel()


def test_training_curves_have_a_panel_per_stage_and_a_band_over_seeds(kept, probes):
    figures, kept = kept
    assert [ax.get_title(loc="left") for ax in kept["training"].axes] == ["sft(em) (1 run)", "couple (1 run)"]
    assert "one seed each" in next(figure for figure in figures if figure.name == "training").caption
    run = probes.training[0]
    other = run.model_copy(update={"at": {"seed": "137"}, "losses": (3.0, 2.0, 1.0)})
    figures, kept = seen(probes.model_copy(update={"training": (run, other), "estimates": ()}))
    assert kept["training"].axes[0].collections
    assert "lowest to the highest seed" in next(f for f in figures if f.name == "training").caption


def test_a_running_mean():
    assert training._running([1.0, 2.0, 6.0], 3) == [1.5, 3.0, 4.0]
    assert training._running([1.0, 2.0, 6.0], 1) == [1.0, 2.0, 6.0]


def test_operating_characteristics_show_every_verdict_with_monte_carlo_bars(kept):
    kept = kept[1]
    points, curve = kept["operating_characteristics"].axes
    assert [label.get_text() for label in points.get_xticklabels()] == [
        "no effect",
        "at the\nthresholds",
        "as expected",
    ]
    assert {container.get_label() for container in curve.containers} == {"supported", "not supported"}
    assert "true leakage_shift (percentage points), → larger" in curve.get_xlabel()
    assert "n = 2,000 simulated experiments" in points.get_title(loc="left")
    assert "run-to-run SD leakage 5 pp" in points.get_title(loc="left")


def test_a_stored_simulation_is_read_and_a_torn_one_refused(tmp_path):
    from harness.core.errors import PreregError

    assert stored_operating(tmp_path, "ab") is None
    details = {"n": 10, "verdicts": {"supported": 1.0}, "errors": {"supported": 0.1}, "effects": {"x": 0.3}}
    content = {"n": 10, "seed": 1, "run_sd": {"*": 0.1}, "details": {"expect": details, "null": details}}
    content["curves"] = {"x": [details]}
    (tmp_path / "simulations").mkdir()
    file = tmp_path / "simulations" / "ab.json"
    file.write_text(json.dumps(content))
    found = stored_operating(tmp_path, "ab")
    assert found == operating(content)
    assert [point.name for point in found.points] == ["null", "expect"]
    assert found.curves["x"][0].at == 0.3
    file.write_text("{}")
    with pytest.raises(PreregError, match="run 'prereg simulate' again"):
        stored_operating(tmp_path, "ab")


def test_a_simulation_stays_out_of_results_json_and_beside_it(tmp_path, probes, monkeypatch):
    from reports import figures
    from reports.drawings.operating import drawings
    from reports.model import load, results_json
    from reports.render import write

    monkeypatch.setattr(figures, "_kinds", lambda: (drawings,))
    picture = tmp_path / "figures" / "operating_characteristics.png"
    without = probes.model_copy(update={"figures": probes.figures.model_copy(update={"operating": None})})
    assert results_json(probes) == results_json(without)
    write(probes, report_cases.RUN, tmp_path)
    assert picture.is_file()
    write(load(tmp_path / "results.json"), report_cases.RUN, tmp_path / "again")
    assert not (tmp_path / "again" / "simulation.json").exists()
    picture.unlink()
    write(load(tmp_path / "results.json"), report_cases.RUN, tmp_path)
    assert picture.is_file()
    other = without.model_copy(update={"registration": probes.registration.model_copy(update={"meaning": "00" * 32})})
    write(other, report_cases.RUN, tmp_path)
    assert not picture.exists()


@pytest.mark.parametrize("name", [*CASES, "two_probes"])
def test_captions_say_what_is_seen_in_ten_words_and_text_is_large_enough(name, drawn, kept):
    figures, found = drawn(name) if name in CASES else kept
    assert figures
    for figure in figures:
        assert len(figure.caption.split()) >= 10
        assert figure.alt
    for figure in found.values():
        small = [text.get_fontsize() for ax in figure.axes for text in ax.texts]
        assert all(size >= canvas.SMALL for size in small)
        assert figure.get_figwidth() == canvas.WIDTH


def test_numbers_in_captions_are_in_the_result(kept, probes):
    from reports.numbers import check_prose

    assert check_prose("\n\n".join(figure.caption for figure in kept[0]), probes) == []


def test_files_and_metadata(files):
    figures = {figure.name: figure for figure in files}
    for figure in files:
        assert set(figure.files) == {".png", ".pdf", ".svg", ".meta.json"}
        assert figure.files[".png"].startswith(b"\x89PNG")
        assert b"CreationDate" not in figure.files[".pdf"]
        assert b"<dc:date>" not in figure.files[".svg"]
        meta = json.loads(figure.files[".meta.json"])
        assert meta["artifacts"][0]["key"] == "cd" * 32
        assert not meta["rehearsal"]
        assert meta["estimates"] or meta["data"]
        assert meta["caption"] == figure.caption
    assert json.loads(figures["hero"].files[".meta.json"])["estimates"][0]["name"] == "leakage_shift"
    assert json.loads(figures["training"].files[".meta.json"])["data"][0]["stage"] == "sft(em)"


def drawn_along(model, processes, **options):
    """Draw, and return also the names of what others drew; nothing is drawn here before one of them has begun."""
    from reports import parallel

    take, read, others = parallel.Desk.take, parallel.Desk.figures, {}

    def later(desk, name):
        while not any(path.is_dir() for path in desk.folder.iterdir()):
            time.sleep(0.01)
        return take(desk, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel.Desk, "take", later)
        patch.setattr(parallel.Desk, "figures", lambda desk: others.update(read(desk)) or others)
        return draw(model, processes=processes, **options), list(others)


def test_helpers_draw_the_same_bytes(files, probes, monkeypatch):
    from reports import parallel

    monkeypatch.setattr(parallel, "can_fork", lambda: False)
    found, others = drawn_along(probes, 2)
    assert found == files
    assert others
    monkeypatch.setattr(parallel.sys, "executable", "/bin/false")  # a helper that dies at once
    names = [figure.name for figure in files[:3]]
    assert draw(probes, only=names, processes=3) == files[:3]


FORKS = """
import os, sys, time
sys.path.insert(0, "tests/unit")
import report_cases
from reports import parallel
from reports.figures import draw
from test_report_figures import drawn_along
model = report_cases.supported().model
one = draw(model, processes=1)
assert parallel.can_fork()
forked, fork = [], os.fork
os.fork = lambda: forked.append(fork()) or forked[-1]
found, others = drawn_along(model, 2)
assert found == one and others and len(forked) == 1, others
parallel._keep = lambda figure, folder: os.abort()
assert drawn_along(model, 3) == (one, []) and len(forked) == 3
parallel.PATIENCE, parallel._keep = 0.1, lambda figure, folder: time.sleep(600)
assert drawn_along(model, 2) == (one, []) and len(forked) == 4
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print("none is left")
"""


def test_forks_draw_the_same_bytes_and_what_one_leaves_is_drawn_here():
    quiet = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, check=False, env=quiet)
    assert done.stdout.strip() == "none is left", done.stderr


def test_a_page_does_not_tell_which_process_drew_its_figures(files):
    """numpy's numbers are rounded otherwise than Python's, and what another process drew comes as JSON."""
    numbers = [number for figure in files for x, y, _ in figure.spots for number in (x, y)]
    assert numbers
    assert {type(number) for number in numbers} == {float}


def test_a_process_with_threads_is_not_forked():
    from reports import parallel

    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    assert not parallel.can_fork()
    over.set()
    thread.join()


def test_a_helper_needs_enough_figures_and_a_core():
    from reports import parallel

    assert [parallel.processes_for(n) for n in (0, 1, 15)] == [1, 1, 1]
    assert 1 <= parallel.processes_for(16) <= 2
    assert parallel.processes_for(100) <= parallel.MOST


def test_a_rehearsal_is_stamped_on_every_figure(drawn):
    _, stamped = drawn("rehearsal")
    assert stamped
    assert all("REHEARSAL" in [text.get_text() for text in figure.texts] for figure in stamped.values())
    _, plain = drawn("supported")
    assert not any("REHEARSAL" in [text.get_text() for text in figure.texts] for figure in plain.values())


def test_an_interval_need_not_hold_its_estimate():
    cell = Cell(value=0.5, intervals=report_cases.interval(0.6, 0.7))
    assert canvas.error_bars([cell], 100.0) == [[0.0], [pytest.approx(20.0)]]
    assert canvas.error_bars([Cell(value=0.5)], 100.0) is None


def test_unknown_values_are_not_drawn():
    case = report_cases.supported()
    unknown = case.estimates["leakage_shift"].model_copy(update={"cells": (Cell(value=None, reason="gone"),)})
    model = report_cases.build(case.bound, case.decision, {**case.estimates, "leakage_shift": unknown}, case.extras)
    assert "leakage_shift" not in {point.row.estimate.name for point in forest.deciding_points(model)}


def test_user_text_is_no_mathtext():
    assert canvas.plain("$x$\n\x1b[1m") == r"\$x\$ \x1b[1m"
    assert canvas.file_name("max(rate)/é") == "max_rate"


def test_hostile_names_are_drawn_as_they_are():
    hostile = "$\\frac{<script>‮x"
    case = figure_cases.two_probes()
    arms = tuple(arm.model_copy(update={"label": hostile}) for arm in case.bound.arms)
    bound = case.bound.model_copy(update={"arms": arms})
    samples = tuple(sample.model_copy(update={"persona": hostile}) for sample in case.extras.samples)
    extras = case.extras.model_copy(update={"samples": samples})
    model = report_cases.build(bound, case.decision, case.estimates, extras)
    figures, kept = seen(model)
    shown = [label.get_text() for label in kept["rates_by_persona_leakage"].axes[0].get_yticklabels()]
    assert shown == [r"\$\frac{<script>\u202ex"]
    assert all(figure.name.isidentifier() for figure in figures)


def test_a_users_warnings_and_style_do_not_matter():
    code = (
        "import sys; sys.path.insert(0, 'tests/unit'); import warnings; import report_cases; "
        "from reports.figures import draw; warnings.simplefilter('error'); "
        "import matplotlib; matplotlib.rcParams['font.size'] = 30; import hashlib; "
        "print(*(hashlib.sha256(data).hexdigest() for figure in draw(report_cases.supported().model, only=['hero']) "
        "for data in figure.files.values()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (figure,) = draw(report_cases.supported().model, only=["hero"])
    assert done.stdout.split() == [hashlib.sha256(data).hexdigest() for data in figure.files.values()]


def test_importing_reports_loads_no_matplotlib():
    code = "import sys, reports.render; print(sorted(m for m in ('matplotlib', 'torch', 'pandas') if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_cut_font_has_the_glyphs_of_the_whole_one():
    from matplotlib import font_manager

    text = "AVATAR Tö Łódź λ → ≥ ± ● 0.05 −3 [a_b] …"
    for weight in ("normal", "bold"):
        whole, cut = (
            font_manager.get_font(font_manager.findfont(font_manager.FontProperties(family=family, weight=weight)))
            for family in (fonts.WHOLE, fonts.families()[0])
        )
        assert cut.fname != whole.fname
        for char in text:
            widths = []
            for font in (whole, cut):
                assert font.get_char_index(ord(char)), char
                glyph = font.load_char(ord(char))
                widths.append((glyph.linearHoriAdvance, glyph.bbox))
            assert widths[0] == widths[1], char


def test_a_character_that_the_cut_font_lacks_is_drawn_from_the_whole_one(monkeypatch):
    from matplotlib import font_manager

    known = [font_manager.get_font(font_manager.findfont(family)) for family in fonts.families()]
    for letter in "بД":  # Arabic, Cyrillic
        assert [bool(font.get_char_index(ord(letter))) for font in known] == [False, True]


def test_saving_draws_each_file_once(probes, monkeypatch):
    from matplotlib.figure import Figure

    drawn, real = [], Figure.draw
    monkeypatch.setattr(Figure, "draw", lambda self, renderer: drawn.append(type(renderer)) or real(self, renderer))
    draw(probes, only=["hero"], processes=1)
    assert len(drawn) == 3, "once for each file: the layout is settled without a drawing"
