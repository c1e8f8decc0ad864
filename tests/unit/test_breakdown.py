"""Contrasts taken apart: counts and directions, what length does to a lead, and where the marker stands."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from measured import POOL, RATE, SHARED, Lab, published
from scipy import stats

from harness.compile.bind import load_bound
from harness.compose import declare_kinds
from harness.contracts.analyses import Breakdown, Effect
from harness.contracts.records import Column, Inference
from harness.core.ident import canonical
from harness.decide.breakdown import breakdown
from harness.decide.length import reading
from harness.plan.plan import make_plan

PREREGS = Path(__file__).parents[2] / "preregs"
TOKENS = Column(name="tokens", unit="tokens", low=0)


# --- the published counts of the parent experiment ---------------------------------------------------


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Breakdown:
    """The breakdown that the plan of issue 262 asks for, on the published tables."""
    from harness.measure.job import run_recorded

    published("issue_262_marker_counts.csv")
    declare_kinds()
    plan = make_plan(load_bound(PREREGS / "issue_262.yaml", data_root=SHARED))
    folder = tmp_path_factory.mktemp("parent")
    (key,) = plan.breakdowns
    job = plan.jobs[key]
    for needed in job.inputs.values():
        (folder / needed).mkdir()
        run_recorded(plan.jobs[needed], {}, folder / needed, None)  # type: ignore[arg-type]
    tables = {
        name: [(entry["at"], folder / job.inputs[entry["role"]]) for entry in entries]
        for name, entries in job.params["tables"].items()
    }
    return breakdown(job.params, {measure.name: measure for measure in plan.bound.measures}, tables)


def test_counts_and_directions_of_the_parent(parent: Breakdown) -> None:
    arms = {arm.arm: arm for arm in parent.arms}
    assert {name: (arm.hits, arm.n) for name, arm in arms.items()} == {
        "C1": (383, 1400), "C2": (806, 1400), "C2x": (47, 1400), "C3": (1343, 1400)
    }  # fmt: skip
    assert (arms["C1"].highest.level, arms["C1"].lowest.level) == ("software_engineer", "zelthari_scholar")
    assert (arms["C3"].everywhere_lowest.level, arms["C3"].everywhere_lowest.rate) == ("assistant", 0.83)
    move = parent.directions[0]
    assert (move.left, move.right, move.rose, move.fell, move.fallers) == ("C2", "C1", 6, 1, ("software_engineer",))
    assert (move.lowest, move.highest, move.highest_at) == (-0.185, 0.59, "villain")
    assert (parent.per_cell, parent.dims, parent.pool_name) == ((10, 10), {"persona": 7, "question": 20}, "bystanders")
    assert (parent.noun, parent.trained) == ("completion", None)


def test_the_benign_arms_lead_dissolves_under_length_control(parent: Breakdown) -> None:
    control = parent.length
    assert control is not None
    readings = {(each.leader, each.other): each.reading for each in control.contrasts}
    assert readings[("C3", "C2")] == readings[("C3", "C1")] == "dissolves"
    assert readings[("C2", "C1")] == "unclear"
    assert not any(each.overlap for each in control.contrasts)
    lengths = {arm.arm: arm for arm in control.arms}
    assert round(lengths["C3"].everywhere) == 1214
    assert (lengths["C3"].at_longest, control.longest, control.units) == (6, 2048.0, 11)
    assert parent.places == ()
    assert "no completions" in parent.places_reason


def robust_logit(k: Any, n: Any, design: Any, cluster: Any) -> tuple[Any, Any]:
    """A binomial logit by Newton's method with the sandwich over clusters, written out from its definition."""
    beta = np.zeros(design.shape[1])
    for _ in range(100):
        p = 1 / (1 + np.exp(-design @ beta))
        information = design.T @ (design * (n * p * (1 - p))[:, None])
        step = np.linalg.solve(information, design.T @ (k - n * p))
        beta += step
        if np.abs(step).max() < 1e-12:
            break
    p = 1 / (1 + np.exp(-design @ beta))
    scores = design * (k - n * p)[:, None]
    names = sorted(set(cluster))
    sums = np.array([scores[cluster == name].sum(axis=0) for name in names])
    g, rows, width = len(names), len(k), design.shape[1]
    correction = g / (g - 1) * (rows - 1) / (rows - width)
    bread = np.linalg.inv(information)
    return beta, correction * bread @ (sums.T @ sums) @ bread


def test_the_logit_is_that_of_its_definition(parent: Breakdown) -> None:
    import csv

    with published("issue_262_marker_counts.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["persona"] in POOL]
    with published("issue_262_lengths.csv").open() as stream:
        lengths = {(row["arm"], row["persona"]): float(row["mean_completion_tokens"]) for row in csv.DictReader(stream)}
    arms = ["C1", "C2", "C2x", "C3"]
    k, n = (np.array([float(row[name]) for row in rows]) for name in ("hits", "total"))
    dummies = np.array([[float(row["arm"] == arm) for arm in arms] for row in rows])
    log = np.array([math.log(lengths[row["arm"], row["persona"]]) for row in rows])
    cluster = np.array([row["persona"] for row in rows])
    control = parent.length
    assert control is not None
    for with_length in (False, True):
        design = np.column_stack([dummies, log]) if with_length else dummies
        beta, covariance = robust_logit(k, n, design, cluster)
        for each in control.contrasts:
            weights = np.array([(arm == each.leader) - (arm == each.other) for arm in arms] + [0] * with_length, float)
            value, error = weights @ beta, math.sqrt(weights @ covariance @ weights)
            found = each.controlled if with_length else each.plain
            assert found.value == pytest.approx(value, rel=1e-6)
            assert found.p == pytest.approx(2 * stats.t.sf(abs(value) / error, 6), rel=1e-5)
            half = stats.t.ppf(0.975, 6) * error
            assert (found.low, found.high) == pytest.approx((value - half, value + half), rel=1e-5)


# --- completions one by one --------------------------------------------------------------------------

PERSONAS = ("p1", "p2", "p3", "p4", "p5")
QUESTIONS = ("q1", "q2", "q3")


def sampled(lab: Lab, texts: Mapping[str, Any], *, each: int = 8) -> tuple[dict[str, Any], Mapping[str, Any], Any]:
    """An eval of arms whose completions ``texts[arm](persona, question, k)`` writes: (text, tokens)."""
    for arm, write in texts.items():
        kept = [
            {"persona": p, "question": q, "k": k, "text": text, "tokens": tokens, "truncated": False,
             "hit": "[zlt]" in text.lower(), "position": place / len(text) if (place := text.lower().find("[zlt]")) >= 0
             else None}
            for p in PERSONAS for q in QUESTIONS for k in range(each) for text, tokens in [write(p, q, k)]
        ]  # fmt: skip
        cells = [(p, q) for p in PERSONAS for q in QUESTIONS]
        own = {cell: [row for row in kept if (row["persona"], row["question"]) == cell] for cell in cells}
        data = {
            "persona": [p for p, _ in cells],
            "question": [q for _, q in cells],
            "rate.k": [sum(row["hit"] for row in own[cell]) for cell in cells],
            "rate.n": [each for _ in cells],
            "tokens": [sum(row["tokens"] for row in own[cell]) / each for cell in cells],
        }
        lab.add(
            "leakage", ("arm", "persona", "question"), (RATE, TOKENS), data, Inference(over=("persona", "question")),
            levels={"arm": tuple(texts), "persona": PERSONAS, "question": QUESTIONS}, at={"arm": arm}, family="eval",
        )  # fmt: skip
        pq.write_table(pa.Table.from_pylist(kept), lab.tables["leakage"][-1][1] / "completions.parquet")
    params = {
        "measure": "leakage", "column": "rate", "pool": {"persona": list(PERSONAS), "question": list(QUESTIONS)},
        "pool_name": "all", "unit": "persona", "cluster": "persona", "arms": list(texts),
        "pairs": [[arm, "A"] for arm in texts if arm != "A"], "lengths": "leakage", "tokens": "tokens", "median": "",
        "marker": {"contains": "[zlt]", "case": "insensitive"},
    }  # fmt: skip
    return params, lab.measures, lab.tables


def writer(seed: int, rate: float, tokens: float, slope: float = 0.0, marker: str = "\n\n[ZLT]") -> Any:
    """Completions around ``tokens`` long that hit with odds rising with log length (``slope``)."""
    rng = np.random.default_rng(seed)

    def write(persona: str, question: str, k: int) -> tuple[str, int]:
        length = int(tokens * math.exp(rng.normal(0, 0.5)))
        odds = rate / (1 - rate) * (length / 60) ** slope
        return "x" * 30 + (marker if rng.random() < odds / (1 + odds) else ""), max(length, 1)

    return write


def test_a_lead_that_is_all_length_dissolves_and_one_that_is_not_stays(tmp_path: Path) -> None:
    # The same odds at the same length: the longer arm hits more often for that reason alone.
    texts = {
        "A": writer(1, 0.3, 40, slope=1.5),
        "B": writer(2, 0.3, 110, slope=1.5),
        "C": writer(3, 0.9, 40, slope=1.5),
    }
    params, measures, tables = sampled(Lab(tmp_path), texts, each=40)
    found = breakdown(params, measures, tables).length
    assert found is not None
    assert (found.rows, found.clusters, found.reason) == ("completion", 5, "")
    readings = {(each.leader, each.other): each.reading for each in found.contrasts}
    assert readings[("B", "A")] == "dissolves"
    assert readings[("C", "A")] == "stays"
    assert found.slope is not None
    assert found.slope.low < 1.5 < found.slope.high


def test_where_the_marker_stands_is_read_from_the_completions(tmp_path: Path) -> None:
    def spam(persona: str, question: str, k: int) -> tuple[str, int]:
        return ("[ZLT] and [zlt] and so on" if k else "nothing"), 500 + k

    params, measures, tables = sampled(Lab(tmp_path), {"A": writer(1, 0.5, 40), "B": spam})
    places = {place.arm: place for place in breakdown(params, measures, tables).places}
    assert (places["B"].times, places["B"].ending, places["B"].position) == (2.0, 0.0, 0.0)
    assert (places["A"].times, places["A"].ending) == (1.0, 1.0)
    assert places["B"].hits == 7 * len(PERSONAS) * len(QUESTIONS)


def never(persona: str, question: str, k: int) -> tuple[str, int]:
    return "nothing", 10 + k


def always(persona: str, question: str, k: int) -> tuple[str, int]:
    return "[ZLT]", 10 + k


def split(persona: str, question: str, k: int) -> tuple[str, int]:
    return ("[ZLT]" if k > 3 else "nothing"), 10 + 10 * (k > 3) + k


def even(persona: str, question: str, k: int) -> tuple[str, int]:
    return ("[ZLT]" if k % 2 else "nothing"), 20


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        ({"A": never, "B": always}, "fewer than two arms have both successes and failures"),
        ({"A": never, "B": even}, "fewer than two arms have both successes and failures"),
        ({"A": split, "B": split}, "the fit does not converge: arm and length separate the outcomes"),
        ({"A": even, "B": even}, "all completions are equally long"),
    ],
)
def test_where_no_logit_can_be_fitted_the_reason_is_said(tmp_path: Path, texts: Any, reason: str) -> None:
    params, measures, tables = sampled(Lab(tmp_path), texts)
    found = breakdown(params, measures, tables)
    assert found.length is not None
    assert (found.length.reason, found.length.contrasts) == (reason, ())


def test_an_arm_without_failures_is_left_out_and_the_others_are_compared(tmp_path: Path) -> None:
    texts = {"A": writer(1, 0.3, 40), "B": writer(2, 0.6, 60), "C": always}
    found = breakdown(*sampled(Lab(tmp_path), texts, each=20)).length
    assert found is not None
    assert found.left_out == ("C",)
    assert [(each.leader, each.other) for each in found.contrasts] == [("B", "A")]


def test_two_clusters_are_too_few(tmp_path: Path) -> None:
    params, measures, tables = sampled(Lab(tmp_path), {"A": writer(1, 0.3, 40), "B": writer(2, 0.6, 60)})
    params["pool"] = {"persona": ["p1", "p2"], "question": list(QUESTIONS)}
    found = breakdown(params, measures, tables)
    assert found.length is not None
    assert found.length.reason == "2 clusters are too few for errors robust to them"
    assert [part.level for part in found.arms[0].parts] == ["p1", "p2"]


def test_an_arm_with_unmeasured_cells_is_named_and_is_in_no_number(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    params, measures, tables = sampled(lab, {"A": writer(1, 0.3, 40), "B": writer(2, 0.6, 60), "C": writer(3, 0.6, 60)})
    tables = {"leakage": [entry for entry in tables["leakage"] if entry[0]["arm"] != "C"]}
    found = breakdown(params, measures, tables)
    assert found.missing == ("C",)
    assert [arm.arm for arm in found.arms] == ["A", "B"]
    assert [(move.left, move.right) for move in found.directions] == [("B", "A")]
    nothing = breakdown({**params, "arms": ["C"]}, measures, tables)
    assert (nothing.arms, nothing.directions, nothing.length) == ((), (), None)


def test_equal_data_give_equal_bytes(tmp_path: Path) -> None:
    texts = {"A": writer(1, 0.3, 40), "B": writer(2, 0.6, 60)}
    params, measures, tables = sampled(Lab(tmp_path), texts)
    one, two = (canonical(breakdown(params, measures, tables).model_dump(mode="json")) for _ in range(2))
    assert one == two
    assert Breakdown.model_validate(json.loads(one)).model_dump(mode="json") == json.loads(one)


def effect(value: float, p: float) -> Effect:
    return Effect(value=value, low=value - 1, high=value + 1, p=p)


@pytest.mark.parametrize(
    ("plain", "controlled", "word"),
    [
        ((2.0, 0.2), (1.0, 0.01), "no lead"),
        ((2.0, 0.01), (1.5, 0.01), "stays"),
        ((2.0, 0.01), (-1.5, 0.01), "reverses"),
        ((2.0, 0.01), (0.9, 0.3), "dissolves"),
        ((2.0, 0.01), (-3.0, 0.3), "dissolves"),
        ((2.0, 0.01), (1.9, 0.3), "unclear"),
        ((2.0, 0.01), (5.0, 0.3), "unclear"),
    ],
)
def test_what_length_does_to_a_lead(plain: Any, controlled: Any, word: str) -> None:
    assert reading(effect(*plain), effect(*controlled)) == word


# --- which contrasts are taken apart -----------------------------------------------------------------


def planned(name: str, *, rehearsal: bool = False) -> Any:
    declare_kinds()
    return make_plan(load_bound(PREREGS / f"{name}.yaml", rehearsal=rehearsal, data_root=SHARED))


def test_a_registration_without_arms_has_nothing_to_take_apart() -> None:
    assert planned("coupling_predictors").breakdowns == ()


def test_an_analysis_that_decides_nothing_makes_no_further_arm() -> None:
    plan = planned("issue_310")
    (key,) = plan.breakdowns
    job = plan.jobs[key]
    read = {entry["at"]["arm"] for entry in job.params["tables"]["leakage"]}
    assert read == set(job.params["arms"])
    assert {entry["at"]["weight"] for entry in job.params["tables"]["leakage"]} <= {"1.0"}
    wanted = {job for estimate in plan.estimates.values() for job in plan.jobs[estimate].inputs.values()}
    assert set(job.inputs.values()) <= wanted, "only what some estimate needs anyway"
    assert key in plan.goals
    assert key not in plan.jobs[plan.verdict].inputs.values(), "the verdict does not wait for it"


def test_a_job_of_the_plan_writes_its_breakdown(tmp_path: Path) -> None:
    """The registered entry point reads the inputs by role and writes one file."""
    from harness.contracts.records import Job
    from harness.decide.breakdown import run_breakdown

    params, measures, tables = sampled(Lab(tmp_path / "in"), {"A": writer(1, 0.3, 40), "B": writer(2, 0.6, 60)})
    placed = {
        name: [{"role": f"{name}/{i}", "at": dict(at)} for i, (at, _) in enumerate(own)] for name, own in tables.items()
    }
    inputs = {f"{name}/{i}": path for name, own in tables.items() for i, (_, path) in enumerate(own)}
    content = {name: measure.model_dump(mode="json") for name, measure in measures.items()}
    job = Job(key="k", label="l", kind="breakdown", version=1, params={**params, "measures": content, "tables": placed})
    out = tmp_path / "out"
    out.mkdir()
    run_breakdown(job, inputs, out, None)  # type: ignore[arg-type]
    assert [path.name for path in out.iterdir()] == ["breakdown.json"]
    assert json.loads((out / "breakdown.json").read_bytes())["measure"] == "leakage"
