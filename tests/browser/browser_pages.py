"""The pages that the browser tests open: an ordinary rehearsal, a real claim, hostile content, and nothing at all."""

from __future__ import annotations

from pathlib import Path

import report_cases
from report_cases import RUN, Case

from harness.contracts.bound import Bound, Dim
from harness.contracts.records import Deviation, StandingReport
from reports import render
from reports.figures import draw
from reports.html.completions import browser
from reports.model import build
from reports.records import Artifact, Completions, Extras, Sample

PERSONAS = ("librarian", *report_cases.UNSEEN)
EACH = 6
"""Completions per cell: 2 arms, 5 personas, 5 questions."""

SCRIPTS = (
    "<script>window.pwned=1</script>",
    "</script><script>window.pwned=2</script>",
    "<img src=x onerror=window.pwned=3>",
    "<svg onload=window.pwned=4>",
    "</title></style><script>window.pwned=5</script>",
    "[click](javascript:window.pwned=6) ![picture](http://attacker.example/x.png) <http://attacker.example>",
    "<!--<script>window.pwned=7",
    '" onmouseover="window.pwned=8" x="',
    "`</code><script>window.pwned=9</script>`",
    "{{ 7 * 7 }}{% raw %}",
)
CONTROLS = "\x1b[31mred\x1b[0m \u202eesrever\u202c \u200b\u2066x\u2069 \x00 \u2028 \u2029 \ufeff"
HOSTILE = " ".join(SCRIPTS) + CONTROLS
HUGE = "A" * 5_000_000 + "[ZLT]" + "B" * 5_000_000
NAMES = ("__proto__", "constructor", *(f"{script}{CONTROLS}" for script in SCRIPTS[:6]), "x" * 5000)


def samples(personas: tuple[str, ...] = PERSONAS) -> tuple[Sample, ...]:
    return tuple(
        Sample(
            arm=arm,
            persona=persona,
            question=question,
            prompt=f"Question {question}?",
            hit=(person + number + k) % 3 == 0,
            truncated=k == 5,
            text=f"Answer {k} of {persona} ({arm}) to {question}."
            + ("\n\n[ZLT]" if (person + number + k) % 3 == 0 else ""),
            measure="leakage",
            at={"seed": "42"},
            k=k,
        )
        for arm in ("C1", "C2")
        for person, persona in enumerate(personas)
        for number, question in enumerate(report_cases.QUESTIONS)
        for k in range(EACH)
    )


ARTIFACTS = (
    Artifact(label="model[base]", key="aa" * 32, kind="model/embedded"),
    Artifact(label="stage[C2.sft]", key="bb" * 32, kind="stage/sft", inputs=("aa" * 32,)),
    Artifact(label="stage[C2.couple][weight=0.5]", key="cc" * 32, kind="stage/marker_coupling", inputs=("bb" * 32,)),
    Artifact(label="stage[C1.couple][weight=0.5]", key="dd" * 32, kind="stage/marker_coupling", inputs=("aa" * 32,)),
    Artifact(label="verdict", key="ee" * 32, kind="verdict", inputs=("cc" * 32, "dd" * 32)),
)


def looking(case: Case) -> Bound:
    """Return a case's registration with the marker that #310 looks for."""
    match = {"contains": "[zlt]", "case": "insensitive"}
    measures = [each.model_copy(update={"params": {**each.params, "match": match}}) for each in case.bound.measures]
    return case.bound.model_copy(update={"measures": tuple(measures)})


def filled(case: Case) -> Case:
    extras = case.extras.model_copy(update={"samples": samples(), "artifacts": ARTIFACTS})
    return Case(looking(case), case.decision, case.estimates, extras)


def claim() -> Case:
    """An exploratory result with a deviation on record and a gate that failed."""
    case = filled(report_cases.gate_failed())
    deviation = Deviation(
        key="recipes.couple.epochs", registered="5", done="20", because="", when="", known=("leakage",)
    )
    basis = StandingReport(
        standing="exploratory",
        reasons=("It was changed.",),
        deviations=(deviation,),
        sealed="2026-01-01",
        head="ff" * 32,
    )
    decision = case.decision.model_copy(update={"basis": basis, "standing": "exploratory"})
    return Case(case.bound, decision, case.estimates, case.extras)


def hostile() -> Case:
    """Every text that a stranger can choose holds markup, scripts, control characters, or far too much."""
    case = report_cases.rehearsal()
    texts = [HOSTILE, HUGE, "", "NaN", "\u202e" * 1000, *SCRIPTS, "[ZLT]" * 2000, "half \ud83d a pair"]
    rows = tuple(
        Sample(
            arm=f"C1 {HOSTILE}", persona=persona, question=f"q {number} {HOSTILE}", prompt=HOSTILE, hit="[ZLT]" in text,
            text=text, measure="leakage", at={HOSTILE: HOSTILE}, k=0,
        )
        for persona in NAMES
        for number, text in enumerate(texts)
    )  # fmt: skip
    bound = looking(case).model_copy(
        update={
            "title": f"{HOSTILE} {'t' * 20_000}",
            "question": f"{HOSTILE} {'q' * 20_000}",
            "file": f"$(touch pwned) {HOSTILE}.yaml".replace("/", "_"),
            "arms": tuple(arm.model_copy(update={"label": HOSTILE}) for arm in case.bound.arms),
            "dims": (
                *case.bound.dims,
                Dim(name="persona", levels=NAMES, texts=dict.fromkeys(NAMES, HOSTILE)),
            ),
        }
    )
    decision = case.decision.model_copy(
        update={
            "why": HOSTILE,
            "hypotheses": tuple(
                each.model_copy(update={"claim": HOSTILE, "why": HOSTILE}) for each in case.decision.hypotheses
            ),
            "gates": tuple(each.model_copy(update={"why": HOSTILE, "text": HOSTILE}) for each in case.decision.gates),
        }
    )
    extras = Extras(
        samples=rows,
        completions=(Completions(measure="leakage", arm="C1", completions=len(rows), hits=3, truncated=0),),
        artifacts=(
            Artifact(label=HOSTILE, key="aa" * 32, kind=HOSTILE),
            Artifact(label=HOSTILE, key="bb" * 32, kind=HOSTILE, inputs=("aa" * 32, "bb" * 32)),
        ),
    )
    return Case(bound, decision, case.estimates, extras)


def empty() -> Case:
    """A registration about nothing: no estimate, no gate, no pool."""
    case = report_cases.supported()
    nothing = {"hypotheses": (), "gates": (), "kills": (), "triage": None, "verdict": "inconclusive"}
    decision = case.decision.model_copy(update=nothing)
    bound = case.bound.model_copy(
        update={"hypotheses": (), "gates": (), "kills": (), "triage": (), "expressions": (), "measures": ()}
    )
    return Case(bound, decision, {}, Extras())


CASES = {
    "rehearsal": lambda: filled(report_cases.rehearsal()),
    "claim": claim,
    "correlation": report_cases.correlation,
    "hostile": hostile,
    "empty": empty,
}
DRAWN = {"rehearsal": ("hero", "source_rate")}
"""The figures of pages that have any."""


def written(name: str, folder: Path) -> Path:
    """Write the page of a case and return its path. The prose checker has its own tests and no say here."""
    case = CASES[name]()
    model = build(case.bound, case.decision, case.estimates, case.extras)
    figures = draw(model, only=DRAWN[name], processes=1) if name in DRAWN else []
    words = render._words(model, RUN, links=[], drawn=bool(figures))
    path = folder / name / "report.html"
    path.parent.mkdir(parents=True)
    path.write_bytes(render._page(model, words, browser(case.bound, case.extras), figures, []))
    return path
