"""The simulation decides as a run would, agrees with closed forms, and says what it assumed."""

from __future__ import annotations

import itertools
import json
import re

import numpy as np
import pytest
from scipy import stats
from simulating import PREREGS, registered, two_arms

from harness.core.errors import PreregError
from harness.decide.compare import fact
from harness.decide.estimate import estimate, estimate_in
from harness.decide.simulate import Grid, grid_of, simulate, simulation_path, store_simulation
from harness.decide.simulation.batch import Batch
from harness.decide.simulation.comparing import places
from harness.decide.simulation.components import Components, load_components, parse_run_sd
from harness.decide.simulation.draw import Drawer
from harness.decide.simulation.judging import Judging, Tally
from harness.decide.simulation.planting import Planter
from harness.decide.simulation.points import expected, thresholds
from harness.decide.simulation.scene import Scene
from harness.decide.simulation.tables import one_world, write_one
from harness.decide.simulation.trials import trials_of
from harness.decide.tables import load_world
from harness.decide.verdict import decide

RULED = {}
STILL = Components(run_sd={"": 0.0})


def drawn(bound, size, components=STILL, at=thresholds, seed=3):
    scene = Scene(bound)
    planted = Planter(scene, components).plant(at(scene))
    drawer = Drawer(scene.readings, components, trials_of(scene.readings)[0], bound.id)
    return Batch(scene, drawer.draw(planted.levels, size, seed, 0), size)


def rulings_of(batch):
    if id(batch) not in RULED:
        RULED[id(batch)] = batch, Judging(batch.scene).judge(batch, Tally())
    return RULED[id(batch)][1]


def check_against_run(batch, index, folder=None):
    """Every fact, finding and verdict of one experiment, from its full tables: on disk, or as a run holds them."""
    scene = batch.scene
    keys = set(scene.keys.values())
    wanted = {key: expression for key, expression in scene.expressions.items() if key in keys}
    if folder is None:
        world = one_world(scene.readings, batch.data, index)
        estimates = {key: estimate_in(expression, world) for key, expression in wanted.items()}
    else:
        tables = write_one(scene.readings, batch.data, index, folder)
        estimates = {key: estimate(expression, *tables) for key, expression in wanted.items()}
    words = {1: "true", 0: "unknown", -1: "false"}
    compared = 0
    for leaf in scene.leaves:
        facts = batch.facts(leaf)
        for place, truth in zip(places(facts.axes), facts.truths[index], strict=True):
            assert fact(leaf, estimates, place).truth == words[int(truth)], (leaf.text, place)
            compared += 1
    decision, ruling = decide(scene.bound, estimates), rulings_of(batch)[index]
    assert decision.verdict == ruling.verdict
    assert (decision.triage.row if decision.triage else -1) == ruling.row
    for what, findings in (("gate", decision.gates), ("kill", decision.kills)):
        assert {f"{what}.{f.name}": f.truth for f in findings}.items() <= ruling.truths.items()
    for hypothesis in decision.hypotheses:
        assert ruling.verdicts[hypothesis.name] == hypothesis.verdict
        assert ruling.truths[hypothesis.name] == hypothesis.truth
        for clause in hypothesis.clauses:
            assert ruling.truths[f"{hypothesis.name}.{clause.name}"] == clause.truth
    return compared


def test_fifty_experiments_decided_at_once_are_decided_as_in_a_run(tmp_path):
    components = Components(run_sd={"leakage": 0.03, "geometry": 0.01, "training": 0.3})
    batch = drawn(registered("issue_310_v2"), 50, components)
    assert sum(check_against_run(batch, i) for i in range(50)) == 50 * 17
    assert check_against_run(batch, 7, tmp_path) == 17
    assert not batch.slow


def test_cells_and_bootstrapped_cosines_of_the_filed_prereg(tmp_path):
    """Cells have no draws here and 10,000 in a run: a p or an end near its threshold may fall on either side."""
    batch = drawn(registered("issue_310"), 6, at=expected)
    assert not batch.slow
    leaf = next(leaf for leaf in batch.scene.leaves if leaf.text.startswith("ci(geometric_shift)"))
    world = load_world(*write_one(batch.scene.readings, batch.data, 2, tmp_path))
    found = estimate_in(batch.scene.expressions[batch.scene.keys[id(leaf.of)]], world).cells[0]
    low, high = batch._ends(leaf)
    assert (found.intervals[0].low, found.intervals[0].high) == pytest.approx((low.data[2], high.data[2]), abs=1e-12)


@pytest.mark.parametrize("resample", ["question\n    method: sign_flip", "persona and question\n    method: bootstrap"])
def test_what_draws_is_estimated_one_by_one_and_named(tmp_path, resample):
    bound = two_arms(tmp_path, personas=3, questions=7, resample=resample, rest="inference: {draws: 500}")
    batch = drawn(bound, 4, at=expected)
    assert [check_against_run(batch, i) for i in range(4)] == [1] * 4
    assert list(batch.slow) == ["p(shift > 0) < 0.05"]


def test_exact_ties_are_met(tmp_path):
    """In floats, B - A at exactly 15 pp fails '>= 15 pp' for many baselines; here it never does."""
    bound = two_arms(tmp_path, kind="counts", clauses="more: shift >= 15 pp", expect="expect: {shift: 15 pp}")
    batch = drawn(bound, 1)
    (name,) = batch.data
    for base in range(1, 8):
        values = np.full(batch.data[name].values.shape, base)
        values[0, 1] = base + np.resize([1, 2], 20).reshape(4, 5)
        changed = Batch(batch.scene, {name: type(batch.data[name])(values, batch.data[name].trials)}, 1)
        assert changed.facts(batch.scene.leaves[0]).truths.item() == 1


def test_power_agrees_with_the_closed_form(tmp_path):
    """A paired t over 24 questions: P(p < .05) is a noncentral t's tail."""
    bound = two_arms(tmp_path, personas=1, questions=24, resample="question")
    components = Components(run_sd={"": 0.0}, columns={"m": {"question": 3.0, "question x arm": 1.5, "cell": 0.8}})
    n = 20_000
    found = simulate(bound, components, experiments=n)
    sd = np.sqrt(2 * (1.5**2 + 0.8**2))
    truth = stats.nct.sf(stats.t.ppf(0.95, 23), 23, np.sqrt(24) / sd)
    assert 0.5 < truth < 0.9
    assert abs(found.points["expect"]["supported"] - truth) < 3 * np.sqrt(truth * (1 - truth) / n)
    assert abs(found.points["null"]["supported"] - 0.05) < 3 * np.sqrt(0.05 * 0.95 / n)


def test_run_to_run_variance_makes_one_seed_tests_wrong(tmp_path):
    """With run SD s per arm the one-seed t over questions has its null widened by 2 s^2 that it cannot see."""
    bound = two_arms(tmp_path, personas=1, questions=20, resample="question", clauses="more: p(abs(shift) > 0) < 0.05")
    columns = {"m": {"question": 0.0, "question x arm": 1.0, "cell": 0.0}}
    calm = simulate(bound, Components(run_sd={"": 0.0}, columns=columns), experiments=4000)
    shaken = simulate(bound, Components(run_sd={"": 0.5}, columns=columns), experiments=4000)
    assert calm.points["null"]["supported"] == pytest.approx(0.05, abs=0.0104)
    t = stats.t.ppf(0.975, 19)
    wide = np.sqrt((2 / 20 + 2 * 0.25) / (2 / 20))
    assert shaken.points["null"]["supported"] == pytest.approx(2 * stats.t.sf(t / wide, 19), abs=0.03)


def test_levels_are_means_over_the_population(tmp_path):
    bound = two_arms(tmp_path, personas=60, questions=10, kind="counts", expect="expect: {shift: 30 pp}")
    batch = drawn(bound, 250, Components(run_sd={"m": 0.05}), at=expected)
    (values,) = (each.values / 10 for each in batch.data.values())
    assert values[:, 0].mean() == pytest.approx(0.25, abs=0.012)
    assert values[:, 1].mean() == pytest.approx(0.55, abs=0.012)
    own = values.mean(axis=(2, 3)).var(axis=0)
    quiet = drawn(bound, 250, at=expected)
    without = (next(iter(quiet.data.values())).values / 10).mean(axis=(2, 3)).var(axis=0)
    assert np.sqrt(own - without) == pytest.approx([0.05, 0.05], abs=0.012)


def test_probes_are_correlated_as_stated():
    bound, names = registered("issue_310_v2"), ("geometry.cosine", "leakage.rate")
    for rho in (0.8, -0.8):
        data = drawn(bound, 250, Components(run_sd={"": 0.1}, probe_correlation=rho)).data
        geometry, leakage = (data[name].values[:, 1].reshape(250, -1).mean(axis=1) for name in names)
        assert np.sign(rho) * stats.pearsonr(geometry, leakage)[0] > 0.3


def test_untrained_arms_do_not_vary_between_runs():
    data = drawn(registered("issue_310_v2"), 200, Components(run_sd={"": 0.0, "geometry": 0.5})).data
    spread = data["geometry.cosine"].values.mean(axis=(2, 3, 4, 5)).std(axis=0)
    assert spread[0] < 0.05 < 0.4 < spread[1]


def test_run_sd_has_no_default():
    with pytest.raises(PreregError, match=r"run-to-run SD of leakage, geometry, training .* no default") as refused:
        simulate(registered("issue_310_v2"), Components(), experiments=10)
    assert "--run-sd" in str(refused.value)
    with pytest.raises(PreregError, match="SD of training"):
        simulate(registered("issue_310_v2"), Components(run_sd=parse_run_sd(["leakage=5pp", "geometry=0.01"])))
    with pytest.raises(PreregError, match=r"'leekage' is no measure\. Did you mean"):
        simulate(registered("issue_310_v2"), Components(run_sd={"": 0.0, "leekage": 0.1}), experiments=10)


def test_what_can_be_stated_is_read(tmp_path):
    assert parse_run_sd(["5pp", "geometry=1/50"]) == {"": 0.05, "geometry": 0.02}
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"run_sd": {"leakage": "5 pp"}, "rates": {"cell": 0}, "levels": {"leakage[C1]": "30%"}}))
    read = load_components(path, {"leakage": 0.1})
    assert (read.run_sd, read.rates["cell"], read.rates["persona"], read.levels) == (
        {"leakage": 0.1}, 0, 1.4, {"leakage[C1]": 0.3}
    )  # fmt: skip
    path.write_text('{"rate": {}}')
    with pytest.raises(PreregError, match="rate"):
        load_components(path, {})
    with pytest.raises(PreregError, match="found '5px'"):
        parse_run_sd(["5px"])
    assert grid_of("leakage_shift=0..40pp:5") == Grid("leakage_shift", (0.0, 0.1, 0.2, 0.30000000000000004, 0.4))


def test_points_curves_and_the_stored_file(tmp_path):
    bound = registered("issue_310_v2")
    grids = [Grid("leakage_shift", (0.0, 0.2, 0.4))]
    found = simulate(bound, STILL, experiments=250, grids=grids)
    assert list(found.points) == ["null", "threshold", "expect"]
    assert all(sum(shares.values()) == pytest.approx(1) for shares in found.points.values())
    assert found.details["threshold"].effects["leakage_shift"] == pytest.approx(0.15, abs=1e-5)
    truths = {"leakage_shift": 0.3, "leakage_over_benign": 0.3, "geometric_shift": 0.1, "geometric_over_benign": 0.1}
    assert found.details["expect"].effects == pytest.approx(truths, abs=1e-3)
    supported = [each.verdicts["supported"] for each in found.curves["leakage_shift"]]
    assert supported[0] < supported[1] < supported[2]
    again = simulate(bound, STILL, experiments=250, grids=grids)
    assert again == found
    path = store_simulation(found, tmp_path)
    assert path == simulation_path(tmp_path, bound.meaning)
    stored = json.loads(path.read_bytes())
    assert {"points", "n", "seed", "components", "run_sd", "meaning"} <= stored.keys()
    assert stored["points"]["expect"]["supported"] == found.points["expect"]["supported"]


def test_a_clause_that_changes_nothing_says_so(tmp_path):
    clauses = "more: p(shift > 0) < 0.05 and shift > 0\n      inert: shift > -100 points"
    found = simulate(two_arms(tmp_path, clauses=clauses), STILL, experiments=500)
    changed = {each.name: each.changed for each in found.dropped}
    assert changed["H1.inert"] == 0
    assert changed["H1.more"] > 0
    assert changed["H1.more.1"] > 0
    assert changed["H1.more.2"] == 0


def test_gates_kills_and_corrections_decide(tmp_path):
    rest = """gates: {alive: min(level) >= 45%}
kill: {dead: ci(shift) < 0.5 points}
triage:
  - H1: yes -> go on
  - otherwise: no -> stop"""
    clauses = "{both: p(shift > 0) < 0.05 and p(abs(shift) > 0) < 0.05}\n    correct: holm over both"
    bound = two_arms(tmp_path, clauses=clauses.replace("{", "").replace("}", ""), rest=rest)
    components = Components(run_sd={"": 0.0}, columns={"m.other": dict.fromkeys(("persona", "persona x arm"), 0.2)})
    found = simulate(bound, components, experiments=600)
    assert found.points["null"]["killed"] > 0.5
    assert found.points["expect"]["supported"] > 0.5
    assert found.details["expect"].triage["H1"] == found.points["expect"]["supported"]
    batch = drawn(bound, 12, components, at=expected)
    tally = Tally()
    rulings = Judging(batch.scene).judge(batch, tally)
    for index in range(12):
        Judging(batch.scene).audit(batch, rulings, index)
    failing = components.model_copy(update={"levels": {"m.other": 0.2}})
    assert simulate(bound, failing, experiments=200).points["expect"]["inconclusive"] == 1


def test_levels_that_name_nothing_are_refused():
    bound = registered("issue_310_v2")
    wrong = {"leakage[C4]": "names nothing", "leekage": "no column", "leakage[villain]": "names nothing"}
    for text, why in wrong.items():
        with pytest.raises(PreregError, match=why):
            simulate(bound, Components(run_sd={"": 0}, levels={text: 0.5}), experiments=10)


def test_every_chunk_has_its_own_stream():
    bound = registered("issue_310_v2")
    scene = Scene(bound)
    levels = Planter(scene, STILL).plant({}).levels
    drawer = Drawer(scene.readings, STILL, trials_of(scene.readings)[0], bound.id)
    batches = [drawer.draw(levels, 2, seed, chunk)["leakage.rate"].values for seed in (0, 1) for chunk in (0, 1)]
    assert all((a != b).any() for a, b in itertools.combinations(batches, 2))


def test_a_formula_that_is_undefined_where_all_is_equal_stops_no_other(tmp_path):
    clauses = "more: shift >= 2 points\n      rank: pearson(m[A] by question, m[B] by question) > 0.3"
    found = simulate(two_arms(tmp_path, clauses=clauses, questions=6), STILL, experiments=50)
    assert found.details["threshold"].effects["shift"] == pytest.approx(2, abs=1e-5)
    assert any("could not be planted" in note for note in found.notes)


def test_gates_on_both_sides_leave_room(tmp_path):
    rest = "gates: {up: min(level) >= 40%, down: max(level) <= 60%}"
    components = Components(
        run_sd={"": 0.0}, columns={"m.other": dict.fromkeys(("persona", "persona x arm", "cell"), 0.0)}
    )
    found = simulate(two_arms(tmp_path, rest=rest), components, experiments=50)
    assert {value for name, value in found.levels["null"].items() if name.startswith("m.other")} == {0.5}


def command(*arguments):
    from harness.cli import main

    return main(["simulate", *map(str, arguments)])


def test_the_command_prints_stores_and_draws(tmp_path, capsys):
    file, store = PREREGS / "issue_310_v2.yaml", tmp_path / "store"
    assert command(file, "--store", store, "--no-figures") == 2
    assert "it has no default" in capsys.readouterr().err
    asked = (file, "--store", store, "--experiments", 120, "--run-sd", "leakage=2pp", "--run-sd", 0)
    assert command(*asked, "--effect", "leakage_shift=0..40pp:3", "--out", tmp_path / "figures") == 0
    out = capsys.readouterr().out
    assert "P(verdict)" in out
    assert re.search(r"^supported +\d+\.\d% ± \d\.\d +\d", out, re.MULTILINE)
    assert "gate.em_took: changed 0 of 360   last_loss[C2] <= 1.5   (decided nothing here)" in out
    assert "run-to-run SD (stated): leakage 0.02, every measure 0" in out
    assert "true levels at expect: " in out
    assert sorted(path.suffix for path in (tmp_path / "figures").iterdir()) == [".pdf", ".png"]
    path = simulation_path(store, registered("issue_310_v2").meaning)
    first = path.read_bytes()
    assert str(path) in out
    assert command(*asked, "--no-figures", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["points"] == json.loads(first)["points"]
    assert printed["points"].keys() == {"null", "threshold", "expect"}
    assert command(*asked, "--effect", "leakage=0..1") == 2
    assert "'leakage' is no estimand with one value" in capsys.readouterr().err


def test_a_store_that_cannot_be_used_is_told_before_anything_is_simulated(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("harness.decide.simulate.simulate", lambda *_, **__: pytest.fail("it was simulated"))
    (tmp_path / "file").write_text("")
    for store in (tmp_path / "file" / "x", "ftp://x/y"):
        assert command(PREREGS / "issue_310.yaml", "--run-sd", "5pp", "--store", store) == 2
        assert str(store) in capsys.readouterr().err
