"""The parts of report.html: text, line-scales, per-cell tables, the graph, the points of figures."""

import re
from itertools import pairwise

import pytest
import report_cases
from html_cases import artifact, page_of
from markupsafe import Markup
from report_cases import RUN

from harness.contracts.records import Cell, Estimate, Fact
from reports import render
from reports.html import graph, inline, page, scales
from reports.html.cells import tables
from reports.model import build
from reports.records import Extras, Mark

# --- text ---


def test_markdown_becomes_html_and_nothing_more():
    assert inline.html(Markup("**bold** `a<b` \\*x\\*")) == "<strong>bold</strong> <code>a&lt;b</code> *x*"
    hostile = Markup("<script>x</script> [a](javascript:b) ![c](d) <http://e.f> &lt;g&gt;")
    assert "<a" not in inline.html(hostile)
    assert "<img" not in inline.html(hostile)
    assert "<script" not in inline.html(hostile)
    assert inline.html("<b> **no** \u202e") == "&lt;b&gt; **no** \\u202e"
    assert inline.cell(Markup("`a\\|b`")) == "<code>a|b</code>"
    assert inline.plain(Markup("**bold** `a<b` &lt;")) == "bold a<b <"


def test_a_title_of_any_length_leaves_room_for_the_verdict():
    case = report_cases.supported()
    words = {**render._words(case.model, RUN, links=[], drawn=False), "title": Markup("t" * 100_000)}
    text = page.page(case.model, words).decode()
    assert len(text.split("<h1>")[1].split("</h1>")[0]) < page.LONGEST_TITLE + 50
    assert len(text.split("<title>")[1].split("</title>")[0]) < page.LONGEST_TITLE + 50


def test_text_of_any_length_is_cut():
    for text in ("x" * 1_000_000, Markup("x" * 1_000_000)):
        assert len(inline.html(text)) < inline.LONGEST + 100
        assert "more characters" in inline.html(text)


# --- line-scales ---


def fact(**changes):
    given = {"text": "x >= 15 pp", "line": 1, "truth": "true", "estimate": "x", "value": 0.3, "rel": ">="}
    return Fact(**{**given, "threshold": 0.15, **changes})


@pytest.mark.parametrize(
    ("values", "unit", "ends"),
    [
        ([0.302, 0.057, 0.547], "pp", (0.0, 0.6)),
        ([-0.0012, -0.021, 0.014, 0.05], "1", (-0.04, 0.06)),
        ([0.3, 1.2], "proportion", (0.0, 1.0)),
        ([0.0], "1", (-1.0, 1.0)),
        ([], "tokens", (-1.0, 1.0)),
        ([2021.5], "tokens", (0.0, 2500.0)),
        ([1e-9], "1", (0.0, 1e-9)),
    ],
)
def test_scales_end_on_round_numbers_and_hold_everything(values, unit, ends):
    axis = scales.axis_of(values, unit)
    assert (axis.low, axis.high) == pytest.approx(ends)
    if unit != "proportion":
        assert all(axis.low <= value <= axis.high for value in values)


def test_places_are_even_and_stay_inside():
    axis = scales.Axis(0.0, 1.0)
    assert [axis.place(value) for value in (0.0, 0.5, 1.0)] == [4.0, 50.0, 96.0]
    assert (axis.place(-5.0), axis.place(5.0)) == (0.5, 99.5)
    logs = scales.Axis(1e-5, 1.0, log=True)
    assert logs.place(0.0) == 4.0
    assert logs.place(0.1) - logs.place(0.01) == pytest.approx(logs.place(1.0) - logs.place(0.1), abs=0.02)


@pytest.mark.parametrize(
    ("rel", "kind", "extra", "holds"),
    [
        (">=", "compare", {}, (27.0, 73.0)),
        ("<", "compare", {}, (0.0, 27.0)),
        ("within", "within", {"upper": 0.3}, (27.0, 23.0)),
        ("", "compare", {}, None),
        (">=", "compare", {"threshold": None}, None),
    ],
)
def test_the_shaded_part_is_where_the_comparison_holds(rel, kind, extra, holds):
    changed = fact(**{"rel": rel, "kind": kind, **extra})
    assert scales._holds(changed, scales.Axis(0.0, 0.6)) == (pytest.approx(holds) if holds else None)


def test_a_kill_that_holds_is_bad_news():
    assert [scales.good("kill", truth) for truth in ("true", "false", "unknown")] == ["bad", "good", "open"]
    assert [scales.good("gate", truth) for truth in ("true", "false", "unknown")] == ["good", "bad", "open"]


def test_an_unknown_value_has_no_place():
    case = report_cases.supported()
    found = scales.line(fact(estimate="nothing", value=None, truth="unknown", why="no data"), "gate", "g", case.model)
    assert (found.x, found.bar, found.lines, found.value) == (None, None, (), "unknown")


def test_a_p_value_is_shown_beside_what_it_tests():
    model = report_cases.supported().model
    mark = next(mark for mark in model.marks if mark.tested)
    found = scales.tested(mark, model)
    assert (found.value, found.interval, found.wanted, found.truth) == (
        "30.0 pp", "21.0–39.0 pp (95%)", "tested against 0 pp", "",
    )  # fmt: skip
    gone = Mark(estimate="gone", of="x", kind="gate", rel=">", value=0.0, truth="true", tested=True)
    assert scales.tested(gone, model) is None


def test_ticks_do_not_run_into_each_other():
    axis = scales.Axis(0.0, 0.6)
    found = scales.ticks(axis, "pp", [0.05, 0.06])
    assert [tick.text for tick in found] == ["5 pp", "60 pp"]
    assert all(b.x - a.x >= 16 for a, b in pairwise(found))


# --- per-cell tables ---


def test_a_table_of_many_rows_is_cut_and_says_so():
    case = report_cases.supported()
    cells = tuple(Cell(at={"persona": f"p{n}"}, value=n / 5000) for n in range(5000))
    rate = case.estimates["bystander_rate"]
    big = Estimate(name=rate.name, formula="f", unit="proportion", axes=("persona",), cells=cells)
    text = page_of(report_cases.Case(case.bound, case.decision, {**case.estimates, "bystander_rate": big}, case.extras))
    assert "first 600 of 5,000 rows; results.json has all" in text
    assert len(re.findall(r"<td>p\d+</td>", text)) == 600


def test_all_tables_together_are_bounded():
    case = report_cases.supported()
    cells = tuple(Cell(at={"persona": f"p{n}"}, value=n / 5000) for n in range(500))
    rows = [
        case.model.row("bystander_rate").model_copy(
            update={"estimate": Estimate(name=name, formula="f", unit="proportion", axes=("persona",), cells=cells)}
        )
        for name in (f"table {n}" for n in range(9))
    ]
    found = tables(case.model.model_copy(update={"estimates": tuple(rows)}))
    assert [len(each.rows) for each in found] == [500, 400, 0, 0, 0, 0, 0, 0, 0]
    assert {each.total for each in found} == {500}


# --- provenance ---


def test_everything_stands_right_of_what_it_was_made_from():
    found = graph.graph([artifact("a"), artifact("b", "a"), artifact("c", "a", "b"), artifact("d", "c")])
    columns = {node.label: node.x for node in found.nodes}
    assert columns["a"] < columns["b"] < columns["c"] < columns["d"]
    assert {(start, end) for start, end, _ in found.curves} == {(0, 1), (0, 2), (1, 2), (2, 3)}


def test_boxes_do_not_overlap():
    found = graph.graph(
        [artifact("root"), *(artifact(f"n{n}", "root") for n in range(20)), artifact("end", "n3", "n9")]
    )
    spots = [(node.x, node.y) for node in found.nodes]
    assert len(set(spots)) == len(spots)
    assert max(node.x for node in found.nodes) + graph.WIDTH <= found.width


def test_a_long_list_of_artifacts_is_cut_and_says_so():
    case = report_cases.supported()
    artifacts = tuple(artifact(f"job {n}", *(f"job {m}" for m in range(n - 20, n))) for n in range(2000))
    text = page_of(report_cases.Case(case.bound, case.decision, case.estimates, Extras(artifacts=artifacts)))
    assert "first 500 of 2,000; results.json has all" in text
    assert "2,000 artifacts are too many to draw" in text
    assert "and 8 more" in text
    assert len(text) < 400_000


def test_a_loop_or_too_many_artifacts_are_no_trap():
    assert graph.graph([artifact("a", "b"), artifact("b", "a")]) is not None
    assert graph.graph([artifact("a", "missing")]).curves == ()
    assert graph.graph([artifact(f"n{n}", "n0") for n in range(graph.MOST + 1)]) is None
    assert graph.graph([artifact("alone")]) is None


def test_labels_are_broken_into_what_and_where():
    assert graph._lines("stage[C2.couple][weight=0.5][seed=42]", "ab" * 32) == (
        "stage[C2.couple]",
        "weight=0.5, seed=42",
    )
    assert graph._lines("verdict", "ab" * 32) == ("verdict", "ab" * 6)
    assert len(graph._lines("x" * 99, "y")[0]) == 25


# --- figures' points ---


def test_points_of_a_figure_have_their_names_and_numbers():
    from reports.canvas import canvas_of
    from reports.html.spots import spots

    canvas = canvas_of(2.0)
    ax = canvas.subplots()
    bars = ax.errorbar([30.0, 60.0], [0, 1], xerr=[[5.0, 5.0], [10.0, 10.0]], ls="", marker="o", label="C1")
    assert bars
    ax.set_yticks([0, 1], ["villain", "assistant"])
    ax.set_xlabel("rate (%), → more")
    canvas.draw_without_rendering()
    found = spots(canvas)
    assert [words for _, _, words in found] == [
        "C1, 30 (25 to 40) rate (%), villain",
        "C1, 60 (55 to 70) rate (%), assistant",
    ]
    (left, low, _), (right, high, _) = found
    assert 0 < left < right < 100
    assert 0 < high < low < 100


def test_a_rebuilt_model_makes_the_same_page():
    case = report_cases.supported()
    model = build(case.bound, case.decision, case.estimates, case.extras)
    words = render._words(model, RUN, links=[], drawn=False)
    assert page.page(model, words) == page.page(case.model, words)


def test_the_verdict_is_linked_to_what_lies_behind_its_estimates():
    from types import SimpleNamespace

    from harness.contracts.records import Job
    from harness.plan.plan import Plan
    from reports.extras import _artifacts

    def job(key, kind, **inputs):
        return Job(key=key, label=key, kind=kind, version=1, params={}, inputs=inputs)

    jobs = [
        job("model", "model/embedded"),
        job("table", "eval/marker_rate", model="model"),
        job("shift", "estimate", of="table"),
        job("p", "estimate", of="shift", table="table"),
        job("verdict", "verdict", shift="shift", p="p"),
    ]
    plan = Plan(
        bound=report_cases.supported().bound,
        jobs={each.key: each for each in jobs},
        measurements={},
        tables={},
        estimates={},
        verdict="verdict",
    )
    found = {each.key: each.inputs for each in _artifacts(plan, SimpleNamespace(has=lambda key: False))}
    assert found == {"model": (), "table": ("model",), "verdict": ("table",)}
