"""False positives of the methods that may decide, on nulls with the variance components of #262 (language.md)."""

from __future__ import annotations

import numpy as np
import pytest
from simulating import PREREGS, registered
from test_simulate import STILL, drawn

from harness.core.errors import PreregError
from harness.decide.simulation.draw import intercept, slope
from harness.decide.simulation.nulls import Setting, cells_independent, counts, crossed_bootstrap, two_way_p
from harness.decide.simulation.pilot import fit, fit_bound
from harness.decide.simulation.tables import blocks
from harness.stats import gram, jackknife, student

SETTINGS = {
    "personas differ": (Setting(), 0.039),
    "personas alike": (Setting(sds={**Setting().sds, "persona x arm": 0.0}), 0.0),
    "pure binomial": (Setting(sds={}), 0.0),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_two_way_t_keeps_its_level(name):
    setting, least = SETTINGS[name]
    k = counts(setting, 4000, seed=1)
    above, below = two_way_p(k, setting.trials)
    assert least <= np.mean(2 * np.minimum(above, below) < 0.05) <= 0.061
    assert np.mean(above < 0.001) <= 0.003
    assert np.mean(below < 0.001) <= 0.003


def test_what_must_not_decide_rejects_true_nulls():
    """Not asserted to be good: reported beside the others, with what language.md found."""
    k = counts(Setting(), 600, seed=2)
    assert np.mean(cells_independent(k, 10) < 0.05) > 0.4
    assert 0.06 < np.mean(crossed_bootstrap(k, 10, draws=1000, seed=3) < 0.05) < 0.16


def test_intercepts_give_the_level_on_average():
    level, sd = np.array([0.02, 0.25, 0.5, 0.9]), np.array([0.0, 2.7, 1.0, 3.5])
    a = intercept(level, sd)
    z = np.random.default_rng(0).standard_normal(400_000)
    p = 1 / (1 + np.exp(-(a + sd * z[:, None])))
    assert p.mean(axis=0) == pytest.approx(level, abs=0.002)
    assert slope(a, sd) == pytest.approx((p * (1 - p)).mean(axis=0), abs=0.001)
    assert np.isneginf(intercept(np.array(0.0), np.array(1.0)))


def test_a_pilot_finds_the_components_that_made_it():
    setting = Setting(personas=24, questions=10, trials=12)
    k = counts(setting, 1, seed=5)[:, :, :, 0]
    found = fit(k, np.full_like(k, 12), ("A", "B"))
    for name, sd in setting.sds.items():
        assert found.low[name] < sd < found.high[name], name
    assert 1.4 < found.sds["persona x arm"] < 2.9
    with pytest.raises(PreregError, match="at least two personas"):
        fit(k[:, :1], np.full_like(k[:, :1], 12), ("A", "B"))


def test_linearised_cosines_answer_as_the_full_ones():
    """Fifty experiments of noisy hidden states: t over influence values against the whole's jackknife."""
    rng = np.random.default_rng(8)
    personas, questions, hidden, agreeing, ratios = 8, 20, 48, 0, []
    for _ in range(50):
        base = rng.standard_normal(hidden)
        own = base + 0.5 * rng.standard_normal((personas, hidden))
        sides = []
        for pull in (0.0, 0.1):
            moved = own + pull * (base - own)
            topics = 0.6 * rng.standard_normal((questions, hidden))
            h = moved[:, None] + topics + 0.5 * rng.standard_normal((personas, questions, hidden))
            g = base + topics + 0.5 * rng.standard_normal((questions, hidden))
            blocks = (h @ g.T, h @ h.transpose(0, 2, 1), np.broadcast_to(g @ g.T, (personas, questions, questions)))
            sides.append(blocks)

        def shift(weights, sides=sides):
            first, second = (gram.cross_question(*blocks, weights).mean(axis=1) for blocks in sides)
            return second - first

        even = np.full((1, questions), 1 / questions)
        estimate = shift(even)
        left_out = shift((1 - np.eye(questions)) / (questions - 1))
        full = jackknife.pseudo_values(estimate, left_out[:, None])
        step = 1e-4 / questions
        nudge = step * (np.eye(questions) - 1 / questions)
        # Pairs of different questions only: one question's weight reaches n - 2 of the n - 1 others to first order.
        scale = (questions - 1) / (questions - 2)
        linear = estimate + scale * ((shift(even + nudge) - shift(even - nudge)) / (2 * step))[:, None]
        ends = []
        for values in (full, linear):
            se, df = jackknife.standard_error([values])
            low, high = student.interval(estimate, se, df, 0.95)
            ends.append((low.item() > 0, high.item() < 0.01))
            ratios.append(se.item())
        agreeing += ends[0] == ends[1]
    ratio = np.array(ratios[1::2]) / np.array(ratios[::2])
    assert agreeing == 50
    assert np.abs(ratio - 1).max() < 0.15


def test_gram_blocks_hold_the_values_they_were_made_from():
    """Leaving any question out leaves the mean of the others: the t over per-question values is the jackknife's."""
    batch = drawn(registered("issue_310_v2"), 2, STILL)
    c = batch.data["geometry.cosine"].values[0]
    made = blocks(c)
    weights = (1 - np.eye(20)) / 19
    found = gram.cross_question(made[".dot"], made[".own"], made[".ref"], weights)
    assert found[4] == pytest.approx(np.delete(c, 4, axis=-1).mean(axis=-1), abs=1e-12)


def test_the_recorded_pilot_is_named_when_it_is_not_there():
    bound = registered("coupling_predictors")
    with pytest.raises(PreregError, match="no recorded measure"):
        fit_bound(bound, "counts[C1]")
    with pytest.raises(PreregError, match="no rate by persona and question"):
        fit_bound(bound, "published")
    assert PREREGS.is_dir()
