from __future__ import annotations

from typing import Any

import pytest
from making import bound, cell, ci, claim, clause, cmp, estimates, hypothesis, p_of, ref

from harness.contracts.bound import BoundMeasure, Dim, Note
from harness.contracts.records import Column, Confidence, Inference
from harness.contracts.trees import Call, Expression, State
from harness.decide.verdict import decide

CLAIMS = (claim("HIGH", State(state="killed")), claim("MODERATE", State(state="supported")), claim("LOW", None))
HIGH = (claim("HIGH", State(state="supported")), claim("LOW", None))
H1 = hypothesis("H1", clause("bounded", ci("x", ">")))
GOOD = estimates(("x", cell(0.3, (0.1, 0.5))))


def measure(name: str = "x", cells: bool = False, seeds: int = 3, models: int = 2, **more: Any) -> BoundMeasure:
    levels = {"seed": tuple(map(str, range(seeds))), "model": tuple("abc"[:models])}
    inference = Inference(over=("persona", "question"), cells=cells)
    return BoundMeasure(
        name=name, kind="recorded", family="recorded", params={}, dims=("seed", "model"), levels=levels,
        columns=(Column(name=name),), inference=inference, **more,
    )  # fmt: skip


def confidence(found: dict[str, Any] = GOOD, *, h: Any = H1, **more: Any) -> Confidence:
    return decide(bound(h, **{"measures": (measure(),), "confidence": HIGH, **more}), found).confidence


def reasons(result: Confidence) -> str:
    return " | ".join(f"{word}: {why}" for word, why in result.caps)


def test_claimed_and_kept_when_nothing_lowers_it() -> None:
    assert confidence() == Confidence(claimed="HIGH", final="HIGH", caps=())


@pytest.mark.parametrize(("low", "claimed"), [(0.1, "MODERATE"), (-0.1, "LOW")])
def test_the_row_that_holds_claims(low: float, claimed: str) -> None:
    assert confidence(estimates(("x", cell(0.3, (low, 0.5)))), confidence=CLAIMS).claimed == claimed


def test_killed_claims_its_own_row() -> None:
    kills = (clause("k", ci("x", "<")),)
    result = confidence(estimates(("x", cell(-0.3, (-0.5, -0.1)))), confidence=CLAIMS, kills=kills)
    assert (result.claimed, result.final, result.caps) == ("HIGH", "HIGH", ())


def test_retrospective_is_low() -> None:
    result = confidence(retrospective=True)
    assert (result.claimed, result.final) == ("HIGH", "LOW")
    assert "LOW: retrospective" in reasons(result)


def test_cells_that_decide_are_low() -> None:
    assert confidence(measures=(measure(cells=True),)).final == "LOW"
    assert confidence(measures=(measure(), measure("other", cells=True))).final == "HIGH"


@pytest.mark.parametrize(("seeds", "models", "says"), [(1, 2, "one seed"), (2, 2, "2 seeds"), (3, 1, "one model")])
def test_few_seeds_or_models_are_at_most_moderate(seeds: int, models: int, says: str) -> None:
    result = confidence(measures=(measure(seeds=seeds, models=models),))
    assert result.final == "MODERATE"
    assert says in reasons(result)


def test_a_point_estimate_alone_is_never_high() -> None:
    result = confidence(h=hypothesis("H1", clause("point", cmp("x", ">", "0"))))
    assert (result.final, "no interval or test" in reasons(result)) == ("MODERATE", True)


def test_leave_one_out_flips_are_counted() -> None:
    test = p_of("x")
    left_out = Call(fn="leave_one_out", args=(test,), over=("persona",))
    expression = Expression(name="p_left_out", text="", unit="p", axes=("persona",), tree=left_out)
    cells = [cell(p, persona=name) for p, name in ((0.01, "a"), (0.08, "b"), (0.2, "c"))]
    found = {**estimates((test, cell(0.03))), **estimates((left_out, cells))}
    h = hypothesis("H1", clause("related", cmp(test, "<", "1/20", text="p(x > 0) < 0.05")))
    result = confidence(found, h=h, expressions=(expression,))
    assert result.final == "LOW"
    assert "LOW: 2 of 3 leave-one-outs flip H1.related ('p(x > 0) < 0.05')" in reasons(result)


def test_levels_of_a_sweep_that_would_decide_otherwise_are_named() -> None:
    at_primary, table = ref("x", weight=("1.0",)), ref("x", "weight", weight=("0.5", "1.0", "2.0"))
    expression = Expression(name="by_weight", text="", unit="1", axes=("weight",), tree=table)
    h = hypothesis("H1", clause("big", cmp(at_primary, ">=", "1/10", text="x >= 0.1")))
    dims = (Dim(name="weight", levels=("0.5", "1.0", "2.0"), primary="1.0"),)
    more = {"h": h, "dims": dims, "expressions": (expression,), "measures": (measure(sweeps=("weight",)),)}

    def at(*values: float) -> dict[str, Any]:
        cells = [cell(v, weight=w) for v, w in zip(values, ("0.5", "1.0", "2.0"), strict=True)]
        return {**estimates((at_primary, cell(values[1]))), **estimates((table, cells))}

    assert "LOW" not in [word for word, _ in confidence(at(0.2, 0.3, 0.4), **more).caps]
    assert "LOW: H1.big ('x >= 0.1') would be decided otherwise at weight 0.5, 2.0" in reasons(
        confidence(at(0.0, 0.3, -1.0), **more)
    )


@pytest.mark.parametrize(
    ("code", "word"), [("CELLS", "LOW"), ("KILL-POINT", "LOW"), ("LEAK", "LOW"), ("UNREAD", "MODERATE")]
)
def test_accepted_findings_lower_it_with_their_reason(code: str, word: str) -> None:
    result = confidence(allow=(Note(source=code, at="arms.C3", because="filed so", line=1),))
    assert (result.final, result.caps) == (word, ((word, f"accepted finding {code} at arms.C3: filed so"),))


def test_what_the_prereg_departs_from_is_no_deviation() -> None:
    assert confidence(differs=(Note(source="310", at="gates", because="better", line=1),)).final == "HIGH"


def test_a_rehearsal_has_none() -> None:
    assert confidence(rehearsal=True) == Confidence(claimed="HIGH", final=None, caps=())


def test_no_claim_is_low() -> None:
    assert (confidence(confidence=()).claimed, confidence(confidence=()).final) == (None, "LOW")
