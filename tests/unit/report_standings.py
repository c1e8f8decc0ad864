"""Further registrations for the report's tests: every verdict on every standing, three arms, two primaries."""

from __future__ import annotations

from collections.abc import Callable

import report_cases
from report_cases import CASES, UNSEEN, Case, clause, compare, decided, leakage_bound, leakage_estimates, minus, num

from harness.contracts.analyses import (
    ArmCounts,
    ArmLength,
    Breakdown,
    Direction,
    Effect,
    LengthContrast,
    LengthControl,
    MarkerPlace,
    Part,
    Reading,
)
from harness.contracts.bound import Arm, Hypothesis
from harness.contracts.records import Cell, Deviation, Estimate, Standing, StandingReport
from harness.contracts.trees import Expression, PValue
from harness.decide.standing import apply
from reports.model import Completions

# --- standings --------------------------------------------------------------------------------------

BASES: dict[Standing, StandingReport] = {
    "confirmatory": StandingReport(
        standing="confirmatory",
        reasons=("Sealed at 2026-01-01T08:00:00Z, before its first measurement.",),
        sealed="2026-01-01T08:00:00Z",
        head="ab" * 32,
    ),
    "amended": StandingReport(
        standing="amended",
        reasons=(
            "Sealed at 2026-01-01T08:00:00Z, before its first measurement.",
            "Amended at 2026-01-01T09:00:00Z after measurements existed (leakage-C1): 20 epochs did not converge.",
        ),
        deviations=(
            Deviation(
                key="recipes.couple.epochs",
                registered="20",
                done="5",
                because="20 epochs did not converge",
                when="2026-01-01T09:00:00Z",
                known=("leakage-C1",),
            ),
        ),
        caps=(("LOW", "amended after measurements existed: recipes.couple.epochs"),),
        sealed="2026-01-01T08:00:00Z",
        head="cd" * 32,
    ),
    "exploratory": StandingReport(
        standing="exploratory",
        reasons=("It was never sealed.",),
        caps=(("LOW", "exploratory: it was never sealed"),),
    ),
    "retrospective": StandingReport(
        standing="retrospective",
        reasons=("It was never sealed.", "The data were there before any seal."),
        caps=(("LOW", "retrospective: the data existed before the registration"),),
    ),
}


def on(case: Case, standing: Standing) -> Case:
    """The same case with the standing that a seal gives it."""
    return Case(case.bound, apply(case.decision, BASES[standing]), case.estimates, case.extras)


def rehearsed(case: Case) -> Case:
    bound = case.bound.model_copy(update={"rehearsal": True, "overridden": ("data.em",)})
    return decided(bound, list(case.estimates.values()), case.extras)


VERDICTS: dict[str, Callable[[], Case]] = {
    "supported": report_cases.supported,
    "not supported": report_cases.not_supported,
    "killed": report_cases.killed,
    "inconclusive": report_cases.gate_failed,
}


def matrix() -> dict[str, Case]:
    """Every verdict on every standing, and as a rehearsal."""
    found = {}
    for verdict, build in VERDICTS.items():
        case = build()
        assert case.decision.verdict == verdict
        found |= {f"{verdict}, {standing}": on(case, standing) for standing in BASES}
        found[f"{verdict}, rehearsal"] = rehearsed(case)
    return found


# --- three arms: what the control arm and length say ---------------------------------------------------

RATES = {"C1": (0.04, 0.16, 0.3, 0.5), "C2": (0.44, 0.6, 0.56, 0.6)}
TOKENS = {"C1": (180.0, 360.0), "C2": (25.0, 36.0), "C3": (830.0, 1370.0)}


def taken_apart(
    rates: dict[str, tuple[float, ...]],
    reading: Reading = "stays",
    *,
    places: bool = True,
    levels: tuple[str, ...] = UNSEEN,
    pairs: list[tuple[str, str]] | None = None,
    questions: int = 5,
) -> Breakdown:
    """The breakdown of 50 completions for each persona, C2 against every other arm unless ``pairs`` says otherwise."""
    arms = tuple(_arm(arm, own, levels) for arm, own in rates.items())
    pairs = [("C2", other) for other in rates if other != "C2"] if pairs is None else pairs
    return Breakdown(
        measure="leakage",
        column="rate",
        unit="persona",
        pool={"persona": levels, "question": tuple(f"q{i}" for i in range(questions)), "seed": ("42",)},
        pool_name="bystanders",
        dims={"persona": len(levels), "question": questions},
        per_cell=(50 // questions, 50 // questions),
        noun="completion",
        trained=1,
        arms=arms,
        directions=tuple(_direction(left, right, rates, levels) for left, right in pairs),
        length=_length(rates, pairs, reading),
        places=tuple(_place(arm) for arm in arms if arm.hits) if places else (),
        places_reason="" if places else "no completions are stored",
    )


def _arm(arm: str, rates: tuple[float, ...], levels: tuple[str, ...]) -> ArmCounts:
    parts = tuple(Part(level=p, hits=round(50 * r), n=50, rate=r) for p, r in zip(levels, rates, strict=True))
    low, high = min(parts, key=lambda part: part.rate), max(parts, key=lambda part: part.rate)
    return ArmCounts(
        arm=arm,
        hits=sum(part.hits for part in parts),
        n=50 * len(levels),
        rate=round(sum(rates) / len(levels), 12),
        parts=parts,
        lowest=low,
        highest=high,
        everywhere_lowest=low,
        everywhere_highest=high,
    )


def _place(arm: ArmCounts) -> MarkerPlace:
    """An arm full of markers repeats them; the others mostly end in one."""
    if arm.rate > 0.8:
        return MarkerPlace(arm=arm.arm, hits=arm.hits, position=0.12, ending=0.08, times=6.2)
    return MarkerPlace(arm=arm.arm, hits=arm.hits, position=0.9, ending=0.75, times=1.5)


def _direction(left: str, right: str, rates: dict[str, tuple[float, ...]], levels: tuple[str, ...]) -> Direction:
    moves = {p: round(a - b, 12) for p, a, b in zip(levels, rates[left], rates[right], strict=True)}
    lowest, highest = min(moves, key=moves.__getitem__), max(moves, key=moves.__getitem__)
    return Direction(
        left=left,
        right=right,
        rose=sum(v > 0 for v in moves.values()),
        fell=sum(v < 0 for v in moves.values()),
        same=sum(v == 0 for v in moves.values()),
        lowest=moves[lowest],
        lowest_at=lowest,
        highest=moves[highest],
        highest_at=highest,
        fallers=tuple(p for p, v in moves.items() if v < 0),
        risers=tuple(p for p, v in moves.items() if v > 0),
    )


CONTROLLED = {
    "stays": Effect(value=1.2, low=0.5, high=1.9, p=0.00234),
    "dissolves": Effect(value=-4.7, low=-18.3, high=9.0, p=0.436),
    "reverses": Effect(value=-2.1, low=-3.0, high=-1.2, p=0.0021),
    "unclear": Effect(value=5.7, low=-1.9, high=13.4, p=0.115),
    "no lead": Effect(value=0.1, low=-1.0, high=1.2, p=0.85),
}


def _length(rates: dict[str, tuple[float, ...]], pairs: list[tuple[str, str]], reading: Reading) -> LengthControl:
    plain = Effect(value=1.3, low=0.4, high=2.2, p=0.4 if reading == "no lead" else 0.0123)
    contrasts = []
    for left, right in pairs:
        leader, other = (left, right) if sum(rates[left]) >= sum(rates[right]) else (right, left)
        contrasts.append(
            LengthContrast(
                leader=leader,
                other=other,
                lead=round((sum(rates[leader]) - sum(rates[other])) / len(rates[leader]), 12),
                plain=plain,
                controlled=CONTROLLED[reading],
                reading=reading,
                overlap=False,
            )
        )
    return LengthControl(
        rows="completion",
        covariate="log tokens of each completion",
        cluster="persona",
        clusters=4,
        arms=tuple(
            ArmLength(
                arm=arm,
                tokens=sum(TOKENS.get(arm, (40.0, 70.0))) / 2,
                lowest=TOKENS.get(arm, (40.0, 70.0))[0],
                lowest_at=UNSEEN[0],
                highest=TOKENS.get(arm, (40.0, 70.0))[1],
                highest_at=UNSEEN[1],
                everywhere=sum(TOKENS.get(arm, (40.0, 70.0))) / 2,
            )
            for arm in rates
        ),
        units=5,
        slope=Effect(value=2.0, low=-1.5, high=5.6, p=0.205),
        contrasts=tuple(contrasts),
        method="binomial logit",
    )


AGAINST = minus(report_cases.leak("C2"), report_cases.leak("C3"))
P_AGAINST = PValue(of=AGAINST, rel=">", threshold=num("0"))


def three_arms(control: tuple[float, ...], p: float, reading: Reading, *, clause_on_control: bool = True) -> Case:
    """C2 against C1, with the control arm C3 at the rates given; ``p`` tests C2 > C3 in its own hypothesis."""
    base = leakage_bound()
    stages = base.arms[1].stages
    specific = Hypothesis(
        name="H2",
        claim="EM finetuning raises leakage more than benign finetuning does",
        role="secondary",
        line=30,
        clauses=(
            clause(
                "more",
                compare(P_AGAINST, "<", num("1/20", "p"), "p(specific > 0) < 0.05", 31),
                "p(specific > 0) < 0.05",
                31,
            ),
        ),
    )
    measure = base.measures[0].model_copy(update={"levels": {**base.measures[0].levels, "arm": ("C1", "C2", "C3")}})
    bound = base.model_copy(
        update={
            "hypotheses": (*base.hypotheses, specific) if clause_on_control else base.hypotheses,
            "arms": (*base.arms, Arm(name="C3", label="benign-first", model="base", stages=stages)),
            "measures": (measure,),
            "expressions": (
                *base.expressions,
                Expression(name="specific", text="leakage[C2] - leakage[C3]", unit="proportion", tree=AGAINST),
                Expression(name="p(specific > 0)", text="p(specific > 0)", unit="p", tree=P_AGAINST, named=False),
            ),
        }
    )
    rates = {**RATES, "C3": control}
    counts = {"persona": 4, "question": 5, "observations": 400}
    estimates = [
        *leakage_estimates(),
        Estimate(
            name="specific",
            formula="leakage[C2] - leakage[C3]",
            unit="proportion",
            cells=(Cell(value=0.55 - sum(control) / 4),),
            counts=counts,
        ),
        Estimate(name="p(specific > 0)", formula="p(specific > 0)", unit="p", cells=(Cell(value=p),), counts=counts),
    ]
    extras = report_cases.leakage_extras()
    third = tuple(sample.model_copy(update={"arm": "C3"}) for sample in extras.samples if sample.arm == "C2")
    counted = Completions(measure="leakage", arm="C3", completions=250, hits=round(50 * sum(control)) + 45, truncated=0)
    extras = extras.model_copy(
        update={
            "breakdowns": (taken_apart(rates, reading),),
            "samples": (*extras.samples, *third),
            "completions": (*extras.completions, counted),
        }
    )
    return on(decided(bound, estimates, extras), "confirmatory")


def specific_effect() -> Case:
    return three_arms((0.06, 0.2, 0.3, 0.44), 0.0021, "stays")


def control_leads() -> Case:
    return three_arms((0.92, 0.96, 0.98, 1.0), 1.0, "dissolves")


def control_unread() -> Case:
    return three_arms((0.2, 0.2, 0.3, 0.3), 1.0, "unclear", clause_on_control=False)


def two_primaries() -> Case:
    """Two primary hypotheses, one supported and one not."""
    bound = leakage_bound()
    second = Hypothesis(
        name="H2",
        claim="Half of all answers leak",
        line=40,
        clauses=(
            clause(
                "half",
                compare(report_cases.SHIFT, ">=", num("1/2"), "leakage_shift >= 50 pp", 41),
                "leakage_shift >= 50 pp",
                41,
            ),
        ),
    )
    bound = bound.model_copy(update={"hypotheses": (*bound.hypotheses, second)})
    return on(decided(bound, leakage_estimates(), report_cases.leakage_extras()), "confirmatory")


def not_measured() -> Case:
    """The deciding number is unknown though every gate held."""
    estimates = leakage_estimates()
    unknown = (Cell(value=None, reason="more completions were cut off than registered"),)
    by_arm = tuple(cell.model_copy(update={"at": {"arm": arm}}) for arm in ("C1", "C2") for cell in unknown)
    estimates[0] = estimates[0].model_copy(update={"cells": unknown})
    estimates[1] = estimates[1].model_copy(update={"cells": by_arm})
    estimates[3] = estimates[3].model_copy(update={"cells": unknown})
    return on(decided(leakage_bound(), estimates, report_cases.leakage_extras()), "confirmatory")


ALL: dict[str, Callable[[], Case]] = {
    **CASES,
    "amended_with_a_deviation": lambda: on(report_cases.supported(), "amended"),
    "specific_effect": specific_effect,
    "control_leads": control_leads,
    "control_unread": control_unread,
    "two_primaries": two_primaries,
    "inconclusive_unmeasured": not_measured,
    "retrospective_supported": lambda: on(report_cases.supported(), "retrospective"),
}
"""Every case that has a golden report of its own."""
