"""Reports on made-up numbers for real preregistrations: whatever comes out, the report keeps its rules."""

import random
from pathlib import Path

import pytest
from report_cases import RUN, Case, interval
from report_standings import taken_apart

from harness.compile.bind import load_bound
from harness.compose import declare_kinds
from harness.contracts.records import Cell, Estimate
from harness.contracts.trees import Call, Op, Ref, expression_id
from harness.decide.verdict import decide
from harness.plan.breakdowns import breakdowns
from reports import links
from reports.caveat_words import _SAY, caveat
from reports.model import Completions, Extras, results_json
from reports.numbers import check_prose
from reports.records import Caveat, Quantity
from reports.render import clean_result, summary

PREREGS = Path(__file__).parents[2] / "preregs"
KINDS = [
    ("issue_310.yaml", False),
    ("issue_310.yaml", True),
    ("issue_310_v2.yaml", False),
    ("issue_310_v2.yaml", True),
    ("coupling_predictors.yaml", False),
]


def axis_levels(expression, axis, bound):
    for ref in links.refs(expression.tree):
        if axis in ref.select:
            return ref.select[axis]
    return next(dim.levels for dim in bound.dims if dim.name == axis)


def made_up(bound, rng):
    """An estimate of every expression: often unknown, often at a round number, sometimes without intervals."""
    for expression in bound.expressions:
        spots = [{}]
        for axis in expression.axes:
            spots = [{**spot, axis: level} for spot in spots for level in axis_levels(expression, axis, bound)]
        cells = tuple(cell(expression, spot, rng) for spot in spots)
        yield Estimate(
            name=expression.name,
            formula=expression.text,
            unit=expression.unit,
            axes=expression.axes,
            cells=cells,
            counts={"persona": 7, "question": 20, "observations": 2800} if rng.random() < 0.9 else {},
            method="made up",
            note="for these seven personas" if rng.random() < 0.2 else "",
        )


def cell(expression, at, rng):
    if rng.random() < 0.04:
        return Cell(at=at, value=None, reason="planned and not measured")
    if expression.unit == "p":
        return Cell(at=at, value=rng.choice([rng.random(), 0.0009999, 1e-7, 0.05, 1.0]))
    differs = isinstance(expression.tree, Op | Call)
    low = -1.0 if differs and not isinstance(expression.tree, Ref) else 0.0
    value = rng.choice([rng.uniform(low, 1.0), 0.15, 0.0, round(rng.uniform(low, 1.0), 2)])
    width = rng.choice([0.001, 0.05, 0.5])
    return Cell(at=at, value=value, intervals=interval(value - width, value + width) if rng.random() < 0.9 else ())


def case_of(name, rehearsal, seed):
    declare_kinds()
    rng = random.Random(seed)
    bound = load_bound(PREREGS / name, rehearsal=rehearsal)
    estimates = {estimate.name: estimate for estimate in made_up(bound, rng)}
    by_id = {expression_id(e.tree): estimates[e.name] for e in bound.expressions}
    decision = decide(bound, by_id)
    standing = rng.choice(["confirmatory", "amended", "exploratory", decision.standing])
    counts = tuple(
        Completions(
            measure="leakage", arm=arm.name, completions=1200, hits=rng.randrange(1200), truncated=rng.randrange(3)
        )
        for arm in bound.arms
    )
    extras = Extras(completions=counts, breakdowns=tuple(apart(bound, rng)))
    return Case(bound, decision.model_copy(update={"standing": standing}), estimates, extras)


def apart(bound, rng):
    """The contrasts that the plan would take apart, with made-up rates and every reading of the length model."""
    for _, params, _ in breakdowns(bound, {measure.name: () for measure in bound.measures}):
        levels, questions = tuple(params["pool"]["persona"]), len(params["pool"]["question"])
        rates = {arm: tuple(rng.choice([0.0, 1.0, rng.random()]) for _ in levels) for arm in params["arms"]}
        if rng.random() < 0.3:
            rates[params["arms"][-1]] = tuple(rng.uniform(0.9, 1.0) for _ in levels)
        reading = rng.choice(["stays", "dissolves", "reverses", "unclear", "no lead"])
        pairs = [tuple(pair) for pair in params["pairs"]]
        yield taken_apart(rates, reading, places=rng.random() < 0.5, levels=levels, pairs=pairs, questions=questions)


@pytest.mark.parametrize(("name", "rehearsal"), KINDS)
@pytest.mark.parametrize("seed", range(12))
def test_any_result_can_be_told(name, rehearsal, seed):
    case = case_of(name, rehearsal, seed)
    model = case.model
    assert results_json(model)
    text = clean_result(model, RUN)
    assert check_prose(text, model) == []
    assert check_prose(summary(model), model) == []
    results = text.split("### Results")[1].split("### Next steps")[0]
    bullets = [line for line in results.split("**Main takeaways:**")[1].split("\n") if line.startswith("- ")]
    assert 2 <= len(bullets) <= 5
    assert "None" not in text.replace("None was found", "").replace("None is registered", "").replace("None: the", "")
    assert "nan" not in text.lower().split()
    if case.bound.rehearsal:
        assert text.startswith("# REHEARSAL")
        assert "is supported" not in results


def quantity(name, value, unit="count"):
    return Quantity(name=name, value=value, unit=unit)


WORDS = {
    "SWEEP": (
        Caveat(
            code="SWEEP",
            about="shift",
            numbers=(quantity("otherwise", 2), quantity("all", 3)),
            words={"of": "H1.more", "dim": "weight", "levels": "0.5, 2.0"},
        ),
        "2 of 3 levels of weight (`0.5`, `2.0`) would decide `H1.more` otherwise on `shift`.",
    ),
    "LEFT_OUT_RANGE": (
        Caveat(
            code="LEFT_OUT_RANGE",
            about="r",
            numbers=(quantity("low", -0.7, "1"), quantity("high", 0.2, "1")),
            words={"dim": "persona", "low": "a", "high": "b"},
        ),
        "Leaving out one persona at a time moves `r` between −0.700 (without a) and 0.200 (without b).",
    ),
    "TRUNCATED": (
        Caveat(
            code="TRUNCATED",
            about="C1",
            numbers=(quantity("truncated", 1), quantity("all", 1400)),
            words={"measure": "leakage", "policy": ""},
        ),
        "1 of 1,400 completions of C1 was cut off by the length limit.",
    ),
    "LEAVE_ONE_OUT": (
        Caveat(
            code="LEAVE_ONE_OUT",
            about="r",
            words={"dim": "persona", "worst": "a"},
            numbers=(
                quantity("lost", 0),
                quantity("all", 10),
                quantity("level", 0.05, "p"),
                quantity("worst", 0.01, "p"),
                quantity("whole", 0.001, "p"),
            ),
        ),
        "`r` keeps p < 0.05 in all 10 leave-one-outs.",
    ),
    "NOTE": (Caveat(code="NOTE", about="r", words={"note": "drawn again"}), "`r`: drawn again."),
    "MISSING": (Caveat(code="MISSING", words={"what": "probe x (line 3)"}), "Not there yet: probe x (line 3)."),
    "UNKNOWN": (Caveat(code="UNKNOWN", about="H1.a", words={"why": ""}), "`H1.a` could not be judged: no value."),
    "ACCEPTED": (
        Caveat(code="ACCEPTED", about="arms.C3", words={"finding": "UNREAD", "because": "filed so"}),
        "Accepted finding UNREAD at `arms.C3`: filed so.",
    ),
    "WIDE": (
        Caveat(
            code="WIDE",
            about="x",
            numbers=(quantity("low", 0.02, "pp"), quantity("high", 0.4, "pp"), quantity("threshold", 0.15, "pp")),
        ),
        "`x` is not settled: its interval, 2.0–40.0 pp, holds values on both sides of the registered 15 pp.",
    ),
    "SPECIFIC": (
        Caveat(
            code="SPECIFIC",
            about="C2 − C3",
            words={"arm": "C2", "against": "C1", "other": "C3", "state": "not supported"},
        ),
        "The difference between C2 and C1 is not shown to be specific to C2: the hypothesis that compares C2 with C3 "
        "is not supported.",
    ),
    "SATURATED": (
        Caveat(
            code="SATURATED",
            about="shift",
            numbers=(quantity("value", 0.997, "1"), quantity("left", 0.003, "1")),
            words={"side": "C1", "end": "top"},
        ),
        "C1 of `shift` stands at 0.997, the top of its scale: it can rise by 0.0030 at most.",
    ),
    "LENGTH": (
        Caveat(
            code="LENGTH",
            about="C3 − C2",
            numbers=(quantity("plain", 0.000194, "p"), quantity("controlled", 0.436, "p")),
            words={"leader": "C3", "other": "C2", "reading": "dissolves"},
        ),
        "Length (not registered: by rule): the lead of C3 over C2 dissolves when length is in the model: what is left "
        "cannot be told apart from zero (p = 0.436, without length p = 0.000194).",
    ),
    "LENGTH_UNKNOWN": (
        Caveat(code="LENGTH_UNKNOWN", about="leakage", words={"why": "all completions are equally long"}),
        "Whether completion length explains `leakage` is not known: all completions are equally long.",
    ),
    "RANK": (
        Caveat(
            code="RANK",
            about="r",
            words={"rank": "rho"},
            numbers=(
                quantity("value", -0.658, "1"),
                quantity("rank", -0.595, "1"),
                quantity("p", 0.0387, "p"),
                quantity("rank_p", None, "p"),
            ),
        ),
        "`r` is −0.658 (p = 0.0387); its rank version `rho` is −0.595.",
    ),
}


@pytest.mark.parametrize("code", WORDS)
def test_caveats_in_words(code):
    found, text = WORDS[code]
    assert str(caveat(found)) == text


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("RETROSPECTIVE", "the data existed before this was registered"),
        ("EXPLORATORY", "nothing was sealed before the measurement"),
        ("AMENDED", "the registration was changed after it was sealed"),
        ("ONE_SEED", "“for these trained models”"),
        ("RUNS_UNSEEN", "The recorded table has no seeds"),
        ("MODELS_UNSEEN", "nothing here speaks about other models"),
    ],
)
def test_caveats_without_numbers(code, says):
    assert says in caveat(Caveat(code=code))


def test_every_caveat_has_its_words_tested():
    plain = {"RETROSPECTIVE", "EXPLORATORY", "AMENDED", "ONE_SEED", "RUNS_UNSEEN", "MODELS_UNSEEN", "ONE_MODEL"}
    assert set(_SAY) == set(WORDS) | plain
    assert "One base model (Qwen)" in caveat(Caveat(code="ONE_MODEL", words={"model": "Qwen"}))
