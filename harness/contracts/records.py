"""The frozen records that pass between layers. They carry no behaviour and round-trip through JSON."""

# Annotations as they stand, not as text: pydantic would compile each of them again at every start.
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Record(BaseModel):
    """A frozen record that refuses unknown fields."""

    # Schemas are built on first use: collection needs a few of the records, importing all of them must cost nothing.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


# --- models, training and sampling -----------------------------------------------------------------


class Message(Record):
    """One chat turn. ``system`` is always written out, so that no template injects its own."""

    role: Literal["system", "user", "assistant"]
    content: str


class ModelRef(Record):
    """A model on disk: a Hugging Face directory and the LoRA adapters on top of it, in order."""

    path: str
    adapters: tuple[str, ...] = ()
    trust_remote_code: bool = False


ModuleName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$")]
"""A module of a model, or the end of its path: ``q_proj``, ``self_attn.q_proj``."""


class LoraSpec(Record):
    """A LoRA adapter. ``rslora`` scales by alpha/sqrt(r) instead of alpha/r and has no default.

    ``targets`` are names of modules, or ends of their paths, as PEFT takes them in a list.
    """

    r: int = Field(ge=1)
    alpha: float = Field(gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)
    rslora: bool
    targets: tuple[ModuleName, ...] = Field(
        ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"), min_length=1
    )


class TrainExample(Record):
    """One training row, and which of its tokens carry loss.

    loss:
        ``assistant``: cross-entropy on the answer's tokens and the end token, and on those of earlier
        assistant turns.
        ``marker_positive``: the sequence is answer + separator + marker + end; cross-entropy on the
        marker's tokens and the end token only (on answer and separator too with ``answer_weight``).
        ``marker_negative``: cross-entropy on the end token right after the answer; and, after the
        teacher-forced separator, unlikelihood -log(1 - p) on the marker's first token.
    """

    messages: tuple[Message, ...]
    answer: str
    loss: Literal["assistant", "marker_positive", "marker_negative"] = "assistant"
    separator: str = ""
    marker: str = ""


class TrainSpec(Record):
    """How a LoRA is trained. Exactly one of ``steps`` and ``epochs`` is given.

    In marker rows, ``marker_weight`` weighs the marker's tokens and the end token, ``answer_weight`` the
    tokens of the answer and, in positives, of the separator; ``unlikelihood_weight`` is in units of the end
    token of the same negative. A batch's weighted sum is divided by the weights of all tokens asked for.
    """

    lora: LoraSpec
    lr: float
    batch: int = 16
    steps: int | None = None
    epochs: int | None = None
    warmup: float = 0.03
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    marker_weight: float = 1.0
    answer_weight: float = 0.0
    unlikelihood_weight: float = 0.0
    max_tokens: int = 2048


class TrainLog(Record):
    """What training did: loss per optimiser step and the checks before and after.

    ``logit_change`` is the largest absolute change of a held-out prompt's next-token logits that the
    adapter causes (0 means that it does nothing). ``cut`` counts rows that were longer than ``max_tokens``
    and lost their tail. Marker log-probabilities are natural logs, the mean
    over rows of log p(first marker token | answer, separator); None where there is no marker. ``halved`` lists
    (step, tokens): where memory ran out and how many tokens, padding included, one forward pass held from then on,
    which changes the order in which gradients were summed (and with dropout, the numbers of its masks), nothing else.
    From step ``recomputed`` on (0: never) activations were computed again in the backward pass, for want of memory;
    ``packed`` counts steps whose rows were packed into one sequence instead of padded.
    """

    losses: tuple[float, ...]
    learning_rates: tuple[float, ...]
    tokens: int
    logit_change: float
    marker_logprob_before: dict[str, float] | None = None
    marker_logprob_after: dict[str, float] | None = None
    cut: int = 0
    halved: tuple[tuple[int, int], ...] = ()
    recomputed: int = 0
    packed: int = 0


class SamplingSpec(Record):
    """Sampling settings. Temperature 0 is greedy."""

    temperature: float = Field(1.0, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)
    max_new_tokens: int = Field(ge=1)


class SampleRequest(Record):
    """One prompt and one seed per wanted completion."""

    messages: tuple[Message, ...]
    seeds: tuple[int, ...]


class Completion(Record):
    """One sampled answer.

    ``tokens`` counts new tokens without the end token; ``truncated`` means that
    the length limit ended it.
    """

    text: str
    tokens: int
    truncated: bool


class ReadRequest(Record):
    """One text whose hidden states are read. ``answer`` None reads the prompt alone."""

    messages: tuple[Message, ...]
    answer: str | None = None


class Vector(Record):
    """A vector of the model's hidden size: ``values`` written out, or ``tensor`` of the safetensors file ``path``."""

    values: tuple[float, ...] = ()
    path: str = ""
    tensor: str = ""


class Intervention(Record):
    """A change of hidden states while a model runs; ``fixtures.interventions`` has the formulas and their sources.

    ``layer`` indexes ``hidden_states`` as ``HiddenReader`` does: 0 is the embedding, L the output of block L
    counted from 1 (at the last index before the final norm). ``rotate`` takes two vectors, the others one.
    ``strength`` is a factor, for ``rotate`` an angle in degrees; 0 changes nothing. ``low`` and ``high`` bound
    the projection on the unit vector and belong to ``cap``. ``positions``: tokens of the ``prompt`` (generation
    prompt included), of the ``response`` (what follows it), or ``all``.
    """

    kind: Literal["add", "project_out", "cap", "rotate"]
    layer: int
    vectors: tuple[Vector, ...]
    strength: float
    low: float | None = None
    high: float | None = None
    positions: Literal["all", "prompt", "response"] = "all"


# --- measurements ----------------------------------------------------------------------------------


class Column(Record):
    """One measured quantity of a table.

    form:
        ``number``: a float column ``name``.
        ``ratio``: integer columns ``name.k`` and ``name.n``; the value is the exact fraction k/n.
        ``gram``: float columns ``name.dot``, ``name.own`` and ``name.ref`` over pairs of levels of
        ``pair`` (and ``pair + "_b"``): products of a row's and the reference's hidden states, the
        row's with themselves, and the reference's with themselves. The value is a cosine (see
        ``harness.stats.gram``), recomputed under any weights on ``pair``.
        ``text``: a string column; it decides nothing.
    unit: one of ``UNITS``; range: the attainable interval, None where unbounded.
    """

    name: str
    unit: str = "1"
    low: float | None = None
    high: float | None = None
    form: Literal["number", "ratio", "gram", "text"] = "number"
    pair: str = "question"
    cross_only: bool = False


UNITS = ("1", "proportion", "points", "deg", "bits", "nats", "tokens", "p", "count")
"""Units of quantities. ``%`` and ``pp`` are ways to write a proportion (15 pp = 0.15)."""


# --- jobs ------------------------------------------------------------------------------------------


class FileRef(Record):
    """A file that a job reads, by content: its path decides nothing, its digest does."""

    path: str
    sha256: str


class Job(Record):
    """One unit of work: everything that decides the artifact's bytes, and its key.

    ``key`` digests kind, version, params, inputs (role -> key), file digests, seed and engine, never
    ``label``, ``lane`` or ``cost``. ``lane`` says which process runs it: ``light`` (no torch), ``model``
    (torch on the device). ``cost`` is minutes, declared or recorded.
    """

    key: str
    label: str
    kind: str
    version: int
    params: dict[str, Any]
    inputs: dict[str, str] = {}
    files: dict[str, FileRef] = {}
    seed: int = 0
    engine: dict[str, str] = {}
    lane: Literal["light", "model"] = "light"
    device: Literal["cpu", "cuda"] = "cpu"
    cost: float = 0.0


class Inference(Record):
    """To what a number generalises, and how its uncertainty is computed (`language.md`, Meaning).

    ``over`` are the dims that are drawn again; ``cells`` draws their combinations as units; ``paired``
    draws what both sides of a contrast share together. ``method`` None picks the standard one: t for
    one dim (jackknife), two-way t for two, bootstrap for cells.
    """

    over: tuple[str, ...] = ()
    cells: bool = False
    paired: bool = True
    method: Literal["t", "two_way_t", "bootstrap", "sign_flip", "correlation_t"] | None = None
    draws: int = 10_000
    level: str = "19/20"
    seed: int = 0


# --- results ---------------------------------------------------------------------------------------


class Interval(Record):
    """A confidence interval at ``level`` (an exact fraction such as ``19/20``)."""

    level: str
    low: float
    high: float


class Cell(Record):
    """One value of an estimate. ``at`` names its place on the kept dims (empty for a single value).

    ``exact`` is the value as a fraction ``num/den`` where it is known exactly. ``value`` None means
    unknown, and ``reason`` says why.
    """

    at: dict[str, str] = {}
    value: float | None
    exact: str | None = None
    intervals: tuple[Interval, ...] = ()
    se: float | None = None
    df: float | None = None
    reason: str = ""


class Estimate(Record):
    """A formula's value or table of values over the measurements.

    ``axes`` are the kept dims in order; ``cells`` has one entry per combination. ``counts`` says how
    much data stands behind it (e.g. ``{"persona": 7, "question": 20, "observations": 2800}``).
    ``method`` names the inference in words for tables; ``note`` holds anything a reader must know.
    ``draws`` is the Monte Carlo size, 0 where nothing was drawn.
    """

    name: str
    formula: str
    unit: str
    axes: tuple[str, ...] = ()
    cells: tuple[Cell, ...]
    counts: dict[str, int] = {}
    method: str = ""
    draws: int = 0
    note: str = ""


Truth = Literal["true", "false", "unknown"]
VerdictWord = Literal["supported", "not supported", "killed", "inconclusive"]
ConfidenceWord = Literal["HIGH", "MODERATE", "LOW"]
Standing = Literal["confirmatory", "amended", "exploratory", "retrospective"]


class Fact(Record):
    """One comparison as it was judged: the text, both sides, and what it would have taken.

    ``estimate`` is the name of the estimate on the left; ``shortfall`` is in the estimate's unit, how far
    the value is from holding (0 when it holds, None when unknown).
    """

    text: str
    line: int
    truth: Truth
    kind: Literal["compare", "ci", "within"] = "compare"
    estimate: str = ""
    at: dict[str, str] = {}
    value: float | None = None
    interval: Interval | None = None
    rel: str = ""
    threshold: float | None = None
    upper: float | None = None
    unit: str = "1"
    shortfall: float | None = None
    why: str = ""


class Finding(Record):
    """A judged tree: a clause, gate, kill or triage row. ``facts`` are its comparisons in reading order."""

    name: str
    text: str
    line: int
    truth: Truth
    facts: tuple[Fact, ...] = ()
    why: str = ""


class HypothesisResult(Record):
    """A hypothesis, its clauses and its verdict."""

    name: str
    claim: str
    role: Literal["primary", "secondary"]
    line: int
    truth: Truth
    verdict: VerdictWord
    why: str
    clauses: tuple[Finding, ...]
    expect: dict[str, str] = {}


class TriageResult(Record):
    """The triage row that holds: what the outcome means and what to do next."""

    row: int
    text: str
    reads: str
    next: str
    line: int


class Confidence(Record):
    """Confidence as claimed by the prereg and as capped by rule, each cap with its reason."""

    claimed: ConfidenceWord | None
    final: ConfidenceWord | None
    caps: tuple[tuple[ConfidenceWord, str], ...] = ()


class CheckFinding(Record):
    """What the checker found in a registration, before anything runs.

    ``code`` is stable, ``at`` a dotted key;
    ``allowed`` is the registered reason for accepting it (empty: not accepted).
    """

    code: str
    severity: Literal["error", "warning", "note"]
    at: str
    line: int
    reason: str
    fix: str
    allowed: str = ""


class Deviation(Record):
    """One difference between what was registered first and what was run. Generated, never typed.

    ``because`` is the reason of the amendment that records it; empty: there is none on record. ``known`` lists what
    had been measured when it was amended.
    """

    key: str
    registered: str
    done: str
    because: str = ""
    when: str = ""
    known: tuple[str, ...] = ()


class StandingReport(Record):
    """What a registration is worth as evidence, with everything that speaks for and against it.

    ``reasons`` are sentences, ``caps`` what it does to confidence, ``sealed`` the seal's time (UTC) and ``head`` the
    hash of its last entry (both empty without a seal). ``collected`` says that recorded data came after the seal.
    """

    standing: Standing
    reasons: tuple[str, ...]
    deviations: tuple[Deviation, ...] = ()
    caps: tuple[tuple[ConfidenceWord, str], ...] = ()
    sealed: str = ""
    head: str = ""
    collected: bool = False


class Decision(Record):
    """Everything that was decided for one prereg.

    ``verdict`` is that of the primary hypotheses together:
    supported when all are, killed when any is, else not supported when any is, else inconclusive.
    """

    prereg: str
    rehearsal: bool
    standing: Standing
    gates: tuple[Finding, ...]
    kills: tuple[Finding, ...]
    hypotheses: tuple[HypothesisResult, ...]
    triage: TriageResult | None
    verdict: VerdictWord
    why: str
    confidence: Confidence
    basis: StandingReport | None = None
    """Why it stands as it does; None in the stored decision, which does not depend on the seal."""
