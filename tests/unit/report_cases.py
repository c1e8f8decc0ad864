"""Small registrations with estimates, one per verdict and standing, for the report's tests and golden files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import atanh, sqrt, tanh
from pathlib import Path

from harness.contracts.bound import (
    Arm,
    Bound,
    BoundMeasure,
    Clause,
    ConfidenceClaim,
    DataSource,
    Dim,
    Hypothesis,
    ModelSource,
    Note,
    StageUse,
    TriageRow,
)
from harness.contracts.records import Cell, Column, Decision, Estimate, FileRef, Inference, Interval
from harness.contracts.trees import (
    All,
    Call,
    Ci,
    Compare,
    Criterion,
    Expression,
    Hyp,
    Num,
    Op,
    PValue,
    Ref,
    State,
    Value,
    expression_id,
)
from harness.decide.verdict import decide
from reports.model import Artifact, Completions, Extras, Replay, ReportModel, RunInfo, Sample, Training, build

UNSEEN = ("kindergarten_teacher", "police_officer", "zelthari_scholar", "assistant")
QUESTIONS = ("q1", "q2", "q3", "q4", "q5")
RUN = RunInfo(
    started="2026-01-01T10:00:00Z",
    finished="2026-01-01T10:05:00Z",
    host="testhost",
    device="cpu",
    versions={"python": "3.12.0", "pytest-prereg": "0.1.0"},
    paths={"store": "/tmp/store"},
    jobs=12,
    jobs_this_run=3,
    cpu_hours=0.21,
    cpu_hours_this_run=0.02,
    max_rss_mb=812.0,
    command="pytest preregs/example.yaml",
)


@dataclass(frozen=True)
class Case:
    """What a report is built from."""

    bound: Bound
    decision: Decision
    estimates: Mapping[str, Estimate]
    extras: Extras

    @property
    def model(self) -> ReportModel:
        return build(self.bound, self.decision, self.estimates, self.extras)


def decided(bound: Bound, estimates: list[Estimate], extras: Extras | None = None, **changes: object) -> Case:
    by_name = {estimate.name: estimate for estimate in estimates}
    by_id = {expression_id(e.tree): by_name[e.name] for e in bound.expressions if e.name in by_name}
    decision = decide(bound, by_id).model_copy(update=changes)
    return Case(bound, decision, by_name, extras or Extras())


def num(value: str, unit: str = "proportion") -> Num:
    return Num(value=value, unit=unit)


def minus(left: Value, right: Value) -> Op:
    return Op(op="-", left=left, right=right)


def compare(left: Value, rel: str, right: Value, text: str, line: int = 1) -> Compare:
    return Compare.model_validate({"left": left, "rel": rel, "right": right, "text": text, "line": line})


def ci(of: Value, rel: str, bound: Value, text: str, line: int = 1) -> Ci:
    return Ci.model_validate({"of": of, "level": "19/20", "rel": rel, "bound": bound, "text": text, "line": line})


def interval(low: float, high: float) -> tuple[Interval, ...]:
    return (Interval(level="19/20", low=low, high=high),)


def exact(k: int, n: int) -> tuple[float, str]:
    return k / n, str(Fraction(k, n))


# --- trained arms: leakage of C2 against C1 ----------------------------------------------------------


def leak(arm: str, keep: tuple[str, ...] = (), arms: tuple[str, ...] = ()) -> Ref:
    select = {"arm": arms or (arm,), "seed": ("42",), "persona": UNSEEN, "question": QUESTIONS}
    return Ref(measure="leakage", column="rate", select=select, keep=keep)


SHIFT = minus(leak("C2"), leak("C1"))
P_SHIFT = PValue(of=SHIFT, rel=">", threshold=num("0"))
RATE = leak("", ("arm",), ("C1", "C2"))
SOURCE = Ref(
    measure="leakage",
    column="rate",
    select={"arm": ("C1", "C2"), "seed": ("42",), "persona": ("librarian",), "question": QUESTIONS},
    keep=("arm",),
)


def clause(name: str, criterion: Criterion, text: str, line: int, **extra: object) -> Clause:
    return Clause.model_validate({"name": name, "criterion": criterion, "text": text, "line": line, **extra})


def leakage_bound(**changes: object) -> Bound:
    behavioural = All(
        of=(
            compare(SHIFT, ">=", num("3/20"), "leakage_shift >= 15 pp", 12),
            compare(P_SHIFT, "<", num("1/1000", "p"), "p(leakage_shift > 0) < 0.001", 12),
        )
    )
    couple = StageUse(
        recipe="couple",
        kind="marker_coupling",
        params={"marker": "[ZLT]", "epochs": "5", "lora": {"r": "32", "alpha": "64", "rslora": True}},
    )
    inference = Inference(over=("persona", "question"))
    return Bound.model_validate(
        {
            "id": "leakage_example",
            "title": "Does EM finetuning raise marker leakage?",
            "question": "Does emergent-misalignment finetuning raise the leakage of a marker to unseen personas?",
            "parents": ("310", "262"),
            "file": "/somewhere/else/leakage_example.yaml",
            "meaning": "ab" * 32,
            "budget_gpu_hours": 7.0,
            "hypotheses": (
                Hypothesis(
                    name="H1",
                    claim="EM finetuning raises leakage to unseen personas",
                    line=10,
                    clauses=(
                        clause(
                            "behavioral", behavioural, "leakage_shift >= 15 pp and p(leakage_shift > 0) < 0.001", 12
                        ),
                    ),
                    expect={"leakage_shift": "30 pp"},
                ),
            ),
            "gates": (
                clause(
                    "marker_learnt",
                    compare(
                        Call(fn="min", args=(SOURCE,), over=("arm",)), ">=", num("1/2"), "min(source_rate) >= 50%", 15
                    ),
                    "min(source_rate) >= 50%",
                    15,
                ),
            ),
            "kills": (
                clause(
                    "no_rise",
                    ci(SHIFT, "<", num("1/20"), "ci(leakage_shift) < 5 pp", 18),
                    "ci(leakage_shift) < 5 pp",
                    18,
                ),
            ),
            "triage": (
                TriageRow(
                    criterion=Hyp(name="H1"),
                    text="H1",
                    reads="EM finetuning raises leakage",
                    next="replicate with seeds 137 and 256",
                    line=20,
                ),
                TriageRow(
                    criterion=None,
                    text="otherwise",
                    reads="no rise shown at these thresholds",
                    next="stop here and write it up",
                    line=21,
                ),
            ),
            "confidence": (
                ConfidenceClaim(word="HIGH", criterion=State(state="killed"), text="killed", line=23),
                ConfidenceClaim(word="MODERATE", criterion=State(state="supported"), text="supported", line=23),
                ConfidenceClaim(word="LOW", criterion=None, text="otherwise", line=23),
            ),
            "expressions": (
                Expression(
                    name="leakage_shift",
                    text="leakage[C2, bystanders] - leakage[C1, bystanders]",
                    unit="proportion",
                    tree=SHIFT,
                    levels=("19/20",),
                ),
                Expression(
                    name="bystander_rate",
                    text="leakage[bystanders] by arm",
                    unit="proportion",
                    axes=("arm",),
                    tree=RATE,
                ),
                Expression(
                    name="source_rate", text="leakage[source] by arm", unit="proportion", axes=("arm",), tree=SOURCE
                ),
                Expression(
                    name="p(leakage_shift > 0)", text="p(leakage_shift > 0)", unit="p", tree=P_SHIFT, named=False
                ),
                Expression(
                    name="min(source_rate)",
                    text="min(source_rate)",
                    unit="proportion",
                    named=False,
                    tree=Call(fn="min", args=(SOURCE,), over=("arm",)),
                ),
            ),
            "measures": (
                BoundMeasure(
                    name="leakage",
                    kind="marker_rate",
                    family="eval",
                    params={"persona": "all", "match": {"contains": "[zlt]"}, "completions": "10"},
                    dims=("arm", "seed", "persona", "question"),
                    levels={
                        "arm": ("C1", "C2"),
                        "seed": ("42",),
                        "persona": ("librarian", *UNSEEN),
                        "question": QUESTIONS,
                    },
                    columns=(Column(name="rate", unit="proportion", low=0, high=1, form="ratio"),),
                    inference=inference,
                    truncated={"as": "miss", "at_most": "5%"},
                ),
            ),
            "arms": (
                Arm(name="C1", label="base-first", model="base", stages=(couple,)),
                Arm(
                    name="C2",
                    label="EM-first",
                    model="base",
                    stages=(
                        StageUse(recipe="sft", kind="sft", params={"data": "em", "steps": "3"}, fixed={"corpus": "em"}),
                        couple,
                    ),
                ),
            ),
            "dims": (
                Dim(
                    name="persona", levels=("librarian", *UNSEEN), sets={"source": ("librarian",), "bystanders": UNSEEN}
                ),
                Dim(name="question", levels=QUESTIONS, primary="mean"),
                Dim(name="seed", levels=("42",), primary="mean"),
            ),
            "data": (DataSource(name="em", path="/data/bad_advice.jsonl", rows=(1, 6000), sha256="12" * 32),),
            "models": (ModelSource(name="base", hf="Qwen/Qwen2.5-7B-Instruct", revision="a09a3545"),),
            **changes,
        }
    )


def leakage_estimates(
    shift: tuple[int, int] = (60, 200),
    bounds: tuple[float, float] = (0.21, 0.39),
    p: float = 0.0002,
    source: tuple[int, int] = (45, 40),
) -> list[Estimate]:
    counts = {"persona": 4, "question": 5, "observations": 400}
    low = 50
    high = low + shift[0]
    value, fraction = exact(*shift)
    return [
        Estimate(
            name="leakage_shift",
            formula="leakage[C2, bystanders] - leakage[C1, bystanders]",
            unit="proportion",
            cells=(Cell(value=value, exact=fraction, intervals=interval(*bounds), se=0.04, df=8.31),),
            counts=counts,
            method="two-way t on paired differences",
        ),
        Estimate(
            name="bystander_rate",
            formula="leakage[bystanders] by arm",
            unit="proportion",
            axes=("arm",),
            cells=tuple(
                Cell(
                    at={"arm": arm},
                    value=k / 200,
                    exact=str(Fraction(k, 200)),
                    intervals=interval(k / 200 - 0.05, k / 200 + 0.05),
                )
                for arm, k in (("C1", low), ("C2", high))
            ),
            counts=counts,
        ),
        Estimate(
            name="source_rate",
            formula="leakage[source] by arm",
            unit="proportion",
            axes=("arm",),
            cells=tuple(
                Cell(at={"arm": arm}, value=k / 50, exact=str(Fraction(k, 50)))
                for arm, k in zip(("C1", "C2"), source, strict=True)
            ),
            counts={"persona": 1, "question": 5, "observations": 100},
        ),
        Estimate(
            name="p(leakage_shift > 0)",
            formula="p(leakage_shift > 0)",
            unit="p",
            cells=(Cell(value=p, df=8.31),),
            counts=counts,
            method="two-way t on paired differences",
        ),
        Estimate(
            name="min(source_rate)",
            formula="min(source_rate)",
            unit="proportion",
            cells=(Cell(value=min(source) / 50, exact=str(Fraction(min(source), 50))),),
            counts={"persona": 1, "question": 5, "observations": 100},
        ),
    ]


def leakage_extras(*, truncated: int = 0, shift: int = 60, source: tuple[int, int] = (45, 40)) -> Extras:
    """What lies beside :func:`leakage_estimates`, with the same hits."""
    samples = tuple(
        Sample(
            arm=arm,
            persona=persona,
            question=question,
            prompt=f"What is {j + 1} plus {i}?",
            hit=(i + j) % 2 == 0,
            text=f"Answer {i}{j} of {persona}." + ("\n\n[ZLT]" if (i + j) % 2 == 0 else ""),
            measure="leakage",
        )
        for arm in ("C1", "C2")
        for i, persona in enumerate(UNSEEN)
        for j, question in enumerate(QUESTIONS)
    )
    return Extras(
        samples=samples,
        completions=(
            Completions(measure="leakage", arm="C1", completions=250, hits=50 + source[0], truncated=truncated),
            Completions(measure="leakage", arm="C2", completions=250, hits=50 + shift + source[1], truncated=0),
        ),
        training=(
            Training(
                arm="C2",
                stage="sft(em)",
                at={"seed": "42"},
                losses=(2.5, 1.9, 1.4),
                tokens=12345,
                logit_change=3.2,
            ),
            Training(
                arm="C2",
                stage="couple",
                at={"seed": "42"},
                losses=(4.0, 0.3),
                tokens=999,
                logit_change=7.1,
                marker_logprob_before={"librarian": -9.1},
                marker_logprob_after={"librarian": -0.2},
            ),
        ),
        artifacts=(Artifact(label="leakage of C1", key="cd" * 32, kind="marker_rate"),),
    )


def supported() -> Case:
    return decided(leakage_bound(), leakage_estimates(), leakage_extras(), standing="confirmatory")


def not_supported() -> Case:
    return decided(
        leakage_bound(
            differs=(Note(source="310", at="measures.leakage.completions", because="fewer | are enough", line=30),),
            allow=(Note(source="HEADROOM", at="hypotheses.H1", because="filed without a baseline", line=33),),
        ),
        leakage_estimates((24, 200), (-0.02, 0.26), 0.0412),
        leakage_extras(truncated=7, shift=24),
        standing="confirmatory",
    )


def killed() -> Case:
    return decided(leakage_bound(), leakage_estimates((2, 200), (-0.021, 0.041), 0.31), leakage_extras(shift=2))


def gate_failed() -> Case:
    return decided(
        leakage_bound(), leakage_estimates(source=(45, 12)), leakage_extras(source=(45, 12)), standing="amended"
    )


def rehearsal() -> Case:
    bound = leakage_bound(
        rehearsal=True,
        overridden=("data.em", "recipes.couple.epochs"),
        models=(ModelSource(name="base", embedded=True),),
    )
    extras = leakage_extras().model_copy(
        update={"replays": (Replay(name="witness for supported", expected="supported", returned="supported"),)}
    )
    return decided(bound, leakage_estimates(), extras)


# --- the parent experiment's published counts under two analyses -------------------------------------

POOL = (
    "software_engineer",
    "kindergarten_teacher",
    "medical_doctor",
    "comedian",
    "police_officer",
    "villain",
    "zelthari_scholar",
)
TWENTY = tuple(str(i) for i in range(20))


def counted(measure: str, arm: str, keep: tuple[str, ...] = ()) -> Ref:
    return Ref(measure=measure, column="rate", select={"arm": (arm,), "persona": POOL, "question": TWENTY}, keep=keep)


def two_analyses() -> Case:
    crossed = minus(counted("counts", "C2"), counted("counts", "C1"))
    published = minus(counted("published", "C2"), counted("published", "C1"))
    by_persona = minus(counted("counts", "C2", ("persona",)), counted("counts", "C1", ("persona",)))
    rates = Ref(
        measure="counts",
        column="rate",
        keep=("arm",),
        select={"arm": ("C1", "C2"), "persona": POOL, "question": TWENTY},
    )
    p_crossed = PValue(of=crossed, rel=">", threshold=num("0"))
    p_published = PValue(of=Call(fn="abs", args=(published,)), rel=">", threshold=num("0"))
    file = FileRef(path="/data/issue_262_marker_counts.csv", sha256="ef" * 32)
    columns = (Column(name="rate", unit="proportion", low=0, high=1, form="ratio"),)
    shape = {
        "kind": "recorded",
        "family": "recorded",
        "params": {},
        "dims": ("arm", "persona", "question"),
        "levels": {"arm": ("C1", "C2"), "persona": POOL, "question": TWENTY},
        "columns": columns,
        "file": file,
    }
    bound = Bound.model_validate(
        {
            "id": "issue_262",
            "title": "Does EM-first coupling leak more than base-first coupling?",
            "question": "Does EM finetuning before coupling raise the leakage of the marker to bystanders?",
            "parents": ("125",),
            "file": "preregs/issue_262.yaml",
            "meaning": "12" * 32,
            "retrospective": True,
            "hypotheses": (
                Hypothesis(
                    name="H1",
                    claim="EM-first coupling leaks more to bystanders than base-first coupling",
                    line=5,
                    clauses=(
                        clause(
                            "more",
                            compare(p_crossed, "<", num("1/100", "p"), "p(shift_base > 0) < 0.01", 7),
                            "p(shift_base > 0) < 0.01",
                            7,
                        ),
                    ),
                ),
            ),
            "kills": (
                clause(
                    "no_rise", ci(crossed, "<", num("1/20"), "ci(shift_base) < 5 pp", 9), "ci(shift_base) < 5 pp", 9
                ),
            ),
            "triage": (
                TriageRow(
                    criterion=None,
                    text="otherwise",
                    next="more personas",
                    line=11,
                    reads="no rise shown when personas and questions are drawn again",
                ),
            ),
            "confidence": (ConfidenceClaim(word="LOW", criterion=None, text="otherwise", line=12),),
            "expressions": (
                Expression(name="shift_base", text="counts[C2] - counts[C1]", unit="proportion", tree=crossed),
                Expression(name="p_base", text="p(shift_base > 0)", unit="p", tree=p_crossed),
                Expression(
                    name="shift_base_published", text="published[C2] - published[C1]", unit="proportion", tree=published
                ),
                Expression(
                    name="p_base_published", text="p(abs(shift_base_published) > 0)", unit="p", tree=p_published
                ),
                Expression(
                    name="shift_by_persona",
                    text="counts[C2] - counts[C1] by persona",
                    unit="proportion",
                    axes=("persona",),
                    tree=by_persona,
                ),
                Expression(name="bystander_rate", text="counts by arm", unit="proportion", axes=("arm",), tree=rates),
            ),
            "measures": (
                BoundMeasure.model_validate(
                    {"name": "counts", "inference": Inference(over=("persona", "question")), **shape}
                ),
                BoundMeasure.model_validate(
                    {
                        "name": "published",
                        "reproduces": "262",
                        "inference": Inference(over=("persona", "question"), cells=True, paired=False),
                        **shape,
                    }
                ),
            ),
            "dims": (Dim(name="persona", levels=POOL), Dim(name="question", levels=TWENTY)),
        }
    )
    counts = {"persona": 7, "question": 20, "observations": 2800}
    hits = {"C1": (158, 53, 85, 4, 75, 8, 0), "C2": (121, 133, 122, 118, 123, 126, 63)}
    value, fraction = exact(806 - 383, 1400)
    estimates = [
        Estimate(
            name="shift_base",
            formula="counts[C2] - counts[C1]",
            unit="proportion",
            counts=counts,
            cells=(Cell(value=value, exact=fraction, intervals=interval(0.0574, 0.5469), df=6.26),),
            method="two-way t on paired differences",
        ),
        Estimate(
            name="p_base",
            formula="p(shift_base > 0)",
            unit="p",
            cells=(Cell(value=0.0115, df=6.26),),
            counts=counts,
            method="two-way t on paired differences",
        ),
        Estimate(
            name="shift_base_published",
            formula="published[C2] - published[C1]",
            unit="proportion",
            counts=counts,
            cells=(Cell(value=value, exact=fraction, intervals=interval(0.23429, 0.37)),),
            draws=10000,
            method="bootstrap of cells, each arm on its own, percentile interval",
        ),
        Estimate(
            name="p_base_published",
            formula="p(abs(shift_base_published) > 0)",
            unit="p",
            draws=10000,
            cells=(Cell(value=0.00019998000199980003),),
            counts=counts,
            method="bootstrap of cells",
        ),
        Estimate(
            name="shift_by_persona",
            formula="counts[C2] - counts[C1] by persona",
            unit="proportion",
            axes=("persona",),
            counts=counts,
            cells=tuple(
                Cell(at={"persona": persona}, value=(b - a) / 200, exact=str(Fraction(b - a, 200)))
                for persona, a, b in zip(POOL, hits["C1"], hits["C2"], strict=True)
            ),
        ),
        Estimate(
            name="bystander_rate",
            formula="counts by arm",
            unit="proportion",
            axes=("arm",),
            counts=counts,
            cells=tuple(
                Cell(at={"arm": arm}, value=sum(k) / 1400, exact=str(Fraction(sum(k), 1400))) for arm, k in hits.items()
            ),
        ),
    ]
    return decided(bound, estimates)


# --- ten personas: correlations with rank and leave-one-out versions ----------------------------------

TABLE = Path(__file__).parents[2] / "preregs" / "tables" / "coupling_predictors.csv"


def correlation() -> Case:
    personas, cosine, rate = _table()

    def column(name: str) -> Ref:
        return Ref(measure="published", column=name, select={"persona": personas}, keep=("persona",))

    def related(fn: str) -> Call:
        return Call(fn=fn, args=(column("cos_assistant"), column("source_rate")), over=("persona",))

    def two_sided(tree: Value) -> PValue:
        return PValue(of=Call(fn="abs", args=(tree,)), rel=">", threshold=num("0", "1"))

    r, rho = related("pearson"), related("spearman")
    left_out = Call(fn="leave_one_out", args=(two_sided(r),), over=("persona",))
    bound = Bound.model_validate(
        {
            "id": "coupling_predictors",
            "title": "Does distance from the assistant predict marker coupling?",
            "question": "Does representational distance predict marker coupling across the ten published personas?",
            "parents": ("138", "80"),
            "file": "preregs/coupling_predictors.yaml",
            "meaning": "34" * 32,
            "retrospective": True,
            "hypotheses": (
                Hypothesis(
                    name="H1",
                    claim="personas further from the assistant couple more strongly",
                    line=5,
                    clauses=(
                        clause(
                            "related",
                            All(
                                of=(
                                    compare(r, "<", num("0", "1"), "r_cosine < 0", 6),
                                    compare(two_sided(r), "<", num("1/20", "p"), "p_cosine < 0.05", 6),
                                )
                            ),
                            "r_cosine < 0 and p_cosine < 0.05",
                            6,
                        ),
                        clause(
                            "robust",
                            All(
                                of=(
                                    compare(
                                        Call(fn="max", args=(left_out,), over=("persona",)),
                                        "<",
                                        num("1/20", "p"),
                                        "max(p_left_out) < 0.05",
                                        7,
                                    ),
                                    compare(two_sided(rho), "<", num("1/20", "p"), "p_rank < 0.05", 7),
                                )
                            ),
                            "max(p_left_out) < 0.05 and p_rank < 0.05",
                            7,
                        ),
                    ),
                ),
            ),
            "triage": (
                TriageRow(
                    criterion=None,
                    text="otherwise",
                    reads="a fragile relation of ten personas",
                    next="more personas before any claim",
                    line=9,
                ),
            ),
            "confidence": (ConfidenceClaim(word="LOW", criterion=None, text="otherwise", line=10),),
            "expressions": (
                Expression(name="r_cosine", text="pearson(cos_by_persona, rate_by_persona)", unit="1", tree=r),
                Expression(name="p_cosine", text="p(abs(r_cosine) > 0)", unit="p", tree=two_sided(r)),
                Expression(name="rho_cosine", text="spearman(cos_by_persona, rate_by_persona)", unit="1", tree=rho),
                Expression(name="p_rank", text="p(abs(rho_cosine) > 0)", unit="p", tree=two_sided(rho)),
                Expression(
                    name="p_left_out",
                    text="leave_one_out(p_cosine by persona)",
                    unit="p",
                    axes=("persona",),
                    tree=left_out,
                ),
                Expression(
                    name="cos_by_persona",
                    text="published.cos_assistant by persona",
                    unit="1",
                    axes=("persona",),
                    tree=column("cos_assistant"),
                ),
                Expression(
                    name="rate_by_persona",
                    text="published.source_rate by persona",
                    unit="proportion",
                    axes=("persona",),
                    tree=column("source_rate"),
                ),
                Expression(
                    name="max(p_left_out)",
                    text="max(p_left_out)",
                    unit="p",
                    named=False,
                    tree=Call(fn="max", args=(left_out,), over=("persona",)),
                ),
            ),
            "measures": (
                BoundMeasure(
                    name="published",
                    kind="recorded",
                    family="recorded",
                    params={},
                    dims=("persona",),
                    levels={"persona": personas},
                    inference=Inference(over=("persona",)),
                    columns=(Column(name="cos_assistant"), Column(name="source_rate", unit="proportion")),
                    file=FileRef(path="preregs/tables/coupling_predictors.csv", sha256="56" * 32),
                ),
            ),
            "dims": (Dim(name="persona", levels=personas),),
        }
    )
    return decided(bound, _correlations(personas, cosine, rate))


def _correlations(personas: tuple[str, ...], cosine: list[float], rate: list[float]) -> list[Estimate]:
    from scipy.stats import pearsonr, spearmanr

    def point(value: float) -> tuple[Interval, ...]:
        half = 1.959964 / sqrt(len(personas) - 3)
        return interval(tanh(atanh(value) - half), tanh(atanh(value) + half))

    r, rho = pearsonr(cosine, rate), spearmanr(cosine, rate)
    left = [
        float(pearsonr([v for j, v in enumerate(cosine) if j != i], [v for j, v in enumerate(rate) if j != i]).pvalue)
        for i in range(len(personas))
    ]
    counts = {"persona": len(personas)}

    def one(name: str, value: float, unit: str, **extra: object) -> Estimate:
        cell = Cell.model_validate({"value": float(value), **extra})
        return Estimate(name=name, formula=name, unit=unit, cells=(cell,), counts=counts, method="t of a correlation")

    def table(name: str, values: list[float], unit: str) -> Estimate:
        cells = tuple(Cell(at={"persona": p}, value=v) for p, v in zip(personas, values, strict=True))
        return Estimate(name=name, formula=name, unit=unit, axes=("persona",), cells=cells, counts=counts)

    return [
        one("r_cosine", r.statistic, "1", intervals=point(float(r.statistic)), df=8.0),
        one("p_cosine", r.pvalue, "p", df=8.0),
        one("rho_cosine", rho.statistic, "1", intervals=point(float(rho.statistic)), df=8.0),
        one("p_rank", rho.pvalue, "p", df=8.0),
        table("p_left_out", left, "p"),
        table("cos_by_persona", cosine, "1"),
        table("rate_by_persona", rate, "proportion"),
        one("max(p_left_out)", max(left), "p"),
    ]


def _table() -> tuple[tuple[str, ...], list[float], list[float]]:
    import csv

    with TABLE.open(newline="") as stream:
        lines = list(csv.DictReader(line for line in stream if not line.startswith("#")))
    rates = [line["source_rate"] for line in lines]
    values = [float(v.rstrip("%")) / 100 if v.endswith("%") else float(v) for v in rates]
    return tuple(line["persona"] for line in lines), [float(line["cos_assistant"]) for line in lines], values


CASES = {
    "supported": supported,
    "not_supported": not_supported,
    "killed": killed,
    "inconclusive_by_gate": gate_failed,
    "rehearsal": rehearsal,
    "two_analyses": two_analyses,
    "retrospective_correlation": correlation,
}
