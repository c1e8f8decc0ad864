"""Results that carry the data of every kind of figure, built from the report's small registrations."""

from __future__ import annotations

import random

from report_cases import (
    QUESTIONS,
    UNSEEN,
    Case,
    ci,
    clause,
    compare,
    decided,
    interval,
    leakage_bound,
    leakage_estimates,
    leakage_extras,
    minus,
    num,
)

from harness.contracts.bound import BoundMeasure, Dim, Hypothesis
from harness.contracts.records import Cell, Column, Estimate, Inference
from harness.contracts.trees import All, Expression, Over, Ref
from reports.figure_records import Operating, Shares

LAYERS = ("2", "6", "10", "26")


def look(arm: str | tuple[str, ...], *keep: str) -> Ref:
    """Cosines of an arm's bystanders with the source."""
    arms = (arm,) if isinstance(arm, str) else arm
    select = {"arm": arms, "seed": ("42",), "layer": LAYERS, "persona": UNSEEN, "question": QUESTIONS}
    return Ref(measure="geometry", column="cosine", select=select, keep=keep)


CLOSER = minus(look("C2"), look("C1"))
CLOSER_BY_LAYER = minus(look("C2", "layer"), look("C1", "layer"))
TABLES = {
    "closer_by_layer": (CLOSER_BY_LAYER, ("layer",)),
    "cosine_level": (look(("C1", "C2"), "arm", "layer"), ("arm", "layer")),
    "similarity": (look(("C1", "C2"), "arm", "persona"), ("arm", "persona")),
}


def two_probes(**changes: object) -> Case:
    """Leakage and geometry decide together; a kill bounds every layer and the leakage."""
    base = leakage_bound()
    behavioural = base.hypotheses[0].clauses[0]
    shift = base.expressions[0].tree
    geometric = All(
        of=(
            compare(CLOSER, ">=", num("1/20", "1"), "closer >= 0.05", 13),
            ci(CLOSER, ">", num("0", "1"), "ci(closer) > 0", 13),
        )
    )
    hypothesis = Hypothesis(
        name="H1",
        claim="EM finetuning flattens persona space",
        line=10,
        clauses=(behavioural, clause("geometric", geometric, "closer >= 0.05 and ci(closer) > 0", 13)),
    )
    kill = All(
        of=(
            Over(how="all", of=ci(CLOSER_BY_LAYER, "<", num("1/100", "1"), "ci(closer_by_layer) < 0.01", 18)),
            ci(shift, "<", num("1/20"), "ci(leakage_shift) < 5 pp", 18),
        )
    )
    geometry = BoundMeasure(
        name="geometry",
        kind="cross_question_cosine",
        family="probe",
        params={},
        dims=("arm", "seed", "layer", "persona", "question"),
        levels={"arm": ("C1", "C2"), "seed": ("42",), "layer": LAYERS, "persona": UNSEEN, "question": QUESTIONS},
        columns=(Column(name="cosine", low=-1, high=1, form="gram"),),
        inference=Inference(over=("question",)),
    )
    expressions = [Expression(name="closer", text="geometry[C2] - geometry[C1]", unit="1", tree=CLOSER)]
    expressions += [
        Expression(name=name, text=name, unit="1", axes=axes, tree=tree) for name, (tree, axes) in TABLES.items()
    ]
    bound = base.model_copy(
        update={
            "id": "two_probes",
            "hypotheses": (hypothesis,),
            "kills": (
                clause("no_flattening", kill, "all(ci(closer_by_layer) < 0.01) and ci(leakage_shift) < 5 pp", 18),
            ),
            "expressions": (*base.expressions, *expressions),
            "measures": (*base.measures, geometry),
            "dims": (*base.dims, Dim(name="layer", levels=LAYERS, primary="mean")),
            **changes,
        }
    )
    extras = leakage_extras().model_copy(update={"operating": operating()})
    return decided(bound, [*leakage_estimates(), *cosines()], extras, standing="confirmatory")


def cosines(shift: float = 0.08) -> list[Estimate]:
    """Cosines that C2 raises by ``shift`` in every layer."""
    counts = {"layer": len(LAYERS), "persona": 4, "question": 5, "observations": 160}
    draw = random.Random(7)

    def cell(value: float, **at: str) -> Cell:
        return Cell(at=at, value=value, intervals=interval(value - 0.03, value + 0.02), se=0.011, df=4.0)

    def table(name: str, cells: list[Cell], *axes: str) -> Estimate:
        return Estimate(name=name, formula=name, unit="1", axes=axes, cells=tuple(cells), counts=counts)

    level = {layer: 0.6 + 0.01 * float(layer) for layer in LAYERS}
    both = [("C1", 0.0), ("C2", shift)]
    return [
        table("closer", [cell(shift)]),
        table("closer_by_layer", [cell(shift, layer=layer) for layer in LAYERS], "layer"),
        table(
            "cosine_level",
            [cell(level[layer] + up, arm=arm, layer=layer) for arm, up in both for layer in LAYERS],
            "arm",
            "layer",
        ),
        table(
            "similarity",
            [cell(0.5 + draw.random() / 3 + up, arm=arm, persona=who) for arm, up in both for who in UNSEEN],
            "arm",
            "persona",
        ),
    ]


def operating() -> Operating:
    """What a simulation might have stored."""

    def shares(name: str, supported: float, at: float | None = None) -> Shares:
        verdicts = {"supported": supported, "not supported": 1 - supported, "killed": 0.0, "inconclusive": 0.0}
        return Shares(name=name, at=at, n=2000, verdicts=verdicts, errors=dict.fromkeys(verdicts, 0.01))

    return Operating(
        n=2000,
        seed=0,
        run_sd={"leakage": 0.05},
        points=(shares("null", 0.01), shares("threshold", 0.2), shares("expect", 0.9)),
        curves={"leakage_shift": tuple(shares("leakage_shift", i / 4, i * 0.1) for i in range(5))},
    )
