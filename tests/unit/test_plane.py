"""The verdict map: regions are the court's rulings on moved estimates, and the observed point is among them."""

import figure_cases
import pytest
import report_cases
from figure_cases import CLOSER, LAYERS, look

from harness.contracts.records import Cell, Estimate
from harness.contracts.trees import Call, Num, Op, PValue, expression_id
from harness.decide import plane as planes
from harness.decide.moving import Moves, Unmovable, slope
from harness.decide.plane import verdict_plane
from harness.decide.verdict import decide
from reports.figures import draw

C2 = look("C2")


@pytest.fixture(scope="module")
def case():
    return figure_cases.two_probes()


@pytest.fixture(scope="module")
def plane(case):
    return verdict_plane(case.bound, case.estimates)


def at(plane, x, y):
    """The letters of the point nearest to (x, y)."""
    i = round((x - plane.x.low) / (plane.x.high - plane.x.low) * (len(plane.verdicts[0]) - 1))
    j = round((y - plane.y.low) / (plane.y.high - plane.y.low) * (len(plane.verdicts) - 1))
    return plane.verdicts[j][i], plane.rows[j][i]


def test_the_plane_is_spanned_by_the_two_probes(plane):
    assert (plane.x.estimate, plane.y.estimate) == ("leakage_shift", "closer")
    assert (plane.x.display, plane.y.display) == ("pp", "1")
    assert (plane.x.moves, plane.y.moves) == ("leakage of C2", "geometry of C2")
    assert plane.triage == ("H1", "otherwise")


def test_the_regions_are_those_of_the_registered_criteria(plane):
    assert at(plane, 0.30, 0.08) == ("s", "0")
    assert at(plane, 0.30, 0.02) == ("n", "1")  # below the geometric threshold
    assert at(plane, 0.11, 0.08) == ("n", "1")  # below the behavioural one
    assert at(plane, -0.08, -0.02) == ("k", "1")  # both intervals lie below the kill's bounds
    assert at(plane, 0.02, -0.02) == ("n", "1")  # leakage's interval reaches above 5 pp


def test_every_point_is_what_decide_returns_on_moved_estimates(case, plane):
    """One point judged the long way: by ``decide``, on estimates that were moved by hand."""
    by_name = dict(case.estimates)
    x, y = -0.08, -0.02
    for name, to, observed in (("leakage_shift", x, 0.3), ("closer", y, 0.08), ("closer_by_layer", y, 0.08)):
        cells = tuple(
            cell.model_copy(
                update={
                    "value": to,
                    "exact": None,
                    "intervals": report_cases.interval(
                        cell.intervals[0].low + to - observed, cell.intervals[0].high + to - observed
                    ),
                }
            )
            for cell in by_name[name].cells
        )
        by_name[name] = by_name[name].model_copy(update={"cells": cells})
    p = by_name["p(leakage_shift > 0)"]
    by_name["p(leakage_shift > 0)"] = p.model_copy(update={"cells": (Cell(value=0.96),)})
    decision = decide(case.bound, {expression_id(e.tree): by_name[e.name] for e in case.bound.expressions})
    assert decision.verdict == "killed"
    assert at(plane, x, y) == ("k", str(decision.triage.row))


def test_the_observed_point_keeps_its_verdict(case, plane):
    assert case.decision.verdict == "supported"
    assert at(plane, 0.30, 0.08)[0] == "s"


def test_judging_each_pattern_once_gives_the_same_map(case, plane, monkeypatch):
    hypothesis = case.bound.hypotheses[0].model_copy(update={"correct": "holm over behavioral"})
    corrected = case.bound.model_copy(update={"hypotheses": (hypothesis,)})
    slow = verdict_plane(corrected, case.estimates, 13)  # one test, so the correction changes nothing
    assert slow.verdicts == verdict_plane(case.bound, case.estimates, 13).verdicts


def test_contradicting_criteria_are_shown_as_such(case):
    kill = report_cases.clause(
        "upside_down", report_cases.compare(CLOSER, ">", Num(value="1/10"), "closer > 0.1", 18), "closer > 0.1", 18
    )
    bound = case.bound.model_copy(update={"kills": (kill,)})
    found = verdict_plane(bound, case.estimates)
    assert at(found, 0.45, 0.12) == ("x", "-")


def test_a_closed_gate_fills_the_map_and_none_is_drawn(case):
    shut = {
        **case.estimates,
        "min(source_rate)": case.estimates["min(source_rate)"].model_copy(update={"cells": (Cell(value=0.1),)}),
    }
    assert verdict_plane(case.bound, shut) is None


@pytest.mark.parametrize("name", ["correlation", "two_analyses", "supported"])
def test_no_map_without_two_numbers_that_move_apart(name):
    found = report_cases.CASES[name]() if name in report_cases.CASES else getattr(report_cases, name)()
    assert verdict_plane(found.bound, found.estimates) is None


def test_no_map_when_the_observed_precision_does_not_give_back_the_verdict(case):
    p = case.estimates["p(leakage_shift > 0)"].model_copy(update={"cells": (Cell(value=0.9),)})
    assert verdict_plane(case.bound, {**case.estimates, p.name: p}) is None


def test_unknown_numbers_span_nothing(case):
    gone = case.estimates["closer"].model_copy(update={"cells": (Cell(value=None, reason="gone"),)})
    assert verdict_plane(case.bound, {**case.estimates, "closer": gone}) is None
    assert verdict_plane(case.bound, {k: v for k, v in case.estimates.items() if k != "min(source_rate)"}) is None


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        (CLOSER, 1.0),
        (Op(op="-", left=look("C1"), right=C2), -1.0),
        (Op(op="*", left=Num(value="2"), right=C2), 2.0),
        (Op(op="/", left=C2, right=Num(value="4")), 0.25),
        (look(("C1", "C2")), 0.5),
        (Call(fn="max", args=(look("C2", "layer"),), over=("layer",)), 1.0),
        (Call(fn="mean", args=(look(("C1", "C2"), "arm"),), over=("arm",)), 0.5),
        (C2.model_copy(update={"measure": "other"}), 0.0),
    ],
)
def test_how_far_formulas_follow(tree, expected):
    assert slope(tree, C2, {}) == expected


@pytest.mark.parametrize(
    "tree",
    [
        Op(op="*", left=C2, right=look("C1")),
        Op(op="/", left=look("C1"), right=C2),
        Call(fn="max", args=(look(("C1", "C2"), "arm"),), over=("arm",)),
        Call(fn="pearson", args=(look("C2", "persona"), look("C1", "persona")), over=("persona",)),
        PValue(of=C2, rel=">", threshold=Num(value="0")),
    ],
)
def test_what_does_not_follow_is_refused(tree):
    with pytest.raises(Unmovable):
        slope(tree, C2, {})


def test_a_p_value_follows_its_estimate_as_students_t(case):
    from scipy.stats import t

    shift = case.bound.expressions[0]
    p = next(e for e in case.bound.expressions if e.unit == "p")
    by_id = {expression_id(e.tree): case.estimates[e.name] for e in case.bound.expressions}
    moves = Moves((shift, p), by_id, (shift.tree.left, look("C2")))
    moved = moves.at(-0.2, 0.0)
    assert moved[expression_id(shift.tree)].cells[0].value == pytest.approx(0.1)
    assert moved[expression_id(p.tree)].cells[0].value == pytest.approx(t.sf(0.1 / 0.04, 8.31))
    assert moves.at(0.0, 0.5)[expression_id(p.tree)].cells[0].value == pytest.approx(t.sf(0.3 / 0.04, 8.31))


def test_an_interval_stands_in_for_a_missing_standard_error():
    from scipy.stats import norm

    tree = PValue(of=Call(fn="abs", args=(CLOSER,)), rel=">", threshold=Num(value="0"))
    cell = Cell(value=0.2, intervals=report_cases.interval(0.1, 0.3))
    estimates = {
        expression_id(CLOSER): Estimate(name="closer", formula="", unit="1", cells=(cell,)),
        expression_id(tree): Estimate(name="p", formula="", unit="p", cells=(Cell(value=0.0),)),
    }
    expression = report_cases.Expression(name="p", text="p", unit="p", tree=tree)
    moved = Moves((expression,), estimates, (C2, look("C1"))).at(-0.1, 0.0)[expression_id(tree)]
    assert moved.cells[0].value == pytest.approx(2 * norm.sf(0.1 / (0.1 / norm.ppf(0.975))))


def test_the_map_shows_the_result_and_names_its_regions(case, monkeypatch):
    from reports import canvas

    saved = []
    monkeypatch.setattr(canvas, "_save", lambda figure, kind: saved.append(figure) or b"")
    figures = draw(case.model, processes=1)
    assert [figure.name for figure in figures][1] == "verdict_map"
    ax = saved[3].axes[0]
    said = {text.get_text() for text in ax.texts}
    assert {"supported\nrow 1", "not supported\nrow 2"} <= said
    point = next(line for line in ax.lines if line.get_marker() == "o")
    assert (point.get_xdata()[0], point.get_ydata()[0]) == (30.0, 0.08)
    assert "1: H1" in saved[3]._supxlabel.get_text()
    assert "n = 400" in ax.get_title(loc="left")


def test_the_map_is_drawn_again_from_results_json_alone(case, tmp_path):
    from reports.model import load, results_json

    (tmp_path / "results.json").write_bytes(results_json(case.model))
    again = load(tmp_path / "results.json")
    assert again.figures.plane == case.model.figures.plane
    assert draw(again, only=["verdict_map"]) == draw(case.model, only=["verdict_map"])


def test_the_map_has_as_many_points_as_it_says(plane):
    assert len(plane.verdicts) == len(plane.rows) == planes.STEPS
    assert {len(line) for line in (*plane.verdicts, *plane.rows)} == {planes.STEPS}
    assert len(LAYERS) == 4
