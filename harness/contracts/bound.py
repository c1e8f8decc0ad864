"""A bound prereg: what was registered, with every name resolved.

Built by ``harness.compile.bind``; the graph, the decision and the report read nothing else.
"""

# Annotations as they stand, not as text: pydantic would compile each of them again at every start.
from typing import Any, Literal

from harness.contracts.records import Column, FileRef, Inference, Record
from harness.contracts.trees import Criterion, Expression, Value


class Dim(Record):
    """A dim and its levels in order.

    ``texts`` holds what a level stands for (a persona's system prompt, a
    question's text); ``primary`` is a level, ``mean``, a choice's name, or empty when a formula must say.
    """

    name: str
    levels: tuple[str, ...]
    sets: dict[str, tuple[str, ...]] = {}
    primary: str = ""
    unit: str = "1"
    texts: dict[str, str] = {}
    columns: dict[str, dict[str, str]] = {}
    file: FileRef | None = None
    line: int = 0


class StageUse(Record):
    """One stage of an arm.

    The recipe's name, its kind, its parameters (``$dim`` values still in place) and the levels fixed in
    brackets, as in ``sft(em)`` -> ``{"corpus": "em"}``.
    """

    recipe: str
    kind: str
    params: dict[str, Any]
    fixed: dict[str, str] = {}
    sweeps: tuple[str, ...] = ()
    line: int = 0


class Arm(Record):
    """An arm with every stage from the base model on (``from:`` already unrolled)."""

    name: str
    label: str
    model: str
    stages: tuple[StageUse, ...]
    line: int = 0


Engine = Literal["auto", "transformers", "vllm"]
"""What samples from a model; ``auto`` is settled when the jobs are planned (``harness.plan.engine``)."""


class ModelSource(Record):
    """A base model: from the hub at a revision, from a folder, or the embedded one (rehearsals only).

    ``engine`` other than ``auto`` is registered: the run may not choose another.
    """

    name: str
    hf: str = ""
    path: str = ""
    revision: str = ""
    embedded: bool = False
    trust_remote_code: bool = False
    engine: Engine = "auto"
    line: int = 0


class DataSource(Record):
    """Finetuning rows: from a file with a digest, from the hub, or generated (rehearsals only).

    ``register_name`` names the generator; ``rows`` is first and last row, counted from 1, or None for all.
    """

    name: str
    path: str = ""
    hf: str = ""
    revision: str = ""
    register_name: str = ""
    format: Literal["messages", "prompt_completion"] = "messages"
    rows: tuple[int, int] | None = None
    md5: str = ""
    sha256: str = ""
    line: int = 0


class BoundMeasure(Record):
    """A measure: what is run, on which arms, and the shape of its table.

    ``dims`` are all dims of the table in order (arm, sweeps, seed, then the kind's own), without those that
    do not apply; ``levels`` the planned levels of each. ``stage`` is how many stages of each arm are applied
    before measuring; arms that lack the stage named by ``at`` are absent. ``kind`` is looked up in evals,
    probes, or is ``recorded``.
    """

    name: str
    kind: str
    family: Literal["eval", "probe", "recorded", "missing"]
    params: dict[str, Any]
    dims: tuple[str, ...]
    levels: dict[str, tuple[str, ...]]
    columns: tuple[Column, ...]
    sweeps: tuple[str, ...] = ()
    stage: dict[str, int] = {}
    inference: Inference | None = None
    reproduces: str = ""
    truncated: dict[str, str] = {}
    unscorable: dict[str, str] = {}
    file: FileRef | None = None
    line: int = 0


class Clause(Record):
    """A named criterion with its text as registered and its line."""

    name: str
    criterion: Criterion
    text: str
    line: int
    targets: tuple[str, ...] = ()
    """Gates: what they guard (hypotheses or estimands; empty means everything). Kills: hypotheses killed."""


class Hypothesis(Record):
    """A registered hypothesis: the conjunction of its clauses."""

    name: str
    claim: str
    role: Literal["primary", "secondary"] = "primary"
    clauses: tuple[Clause, ...]
    after: Criterion | None = None
    correct: str = ""
    expect: dict[str, str] = {}
    expect_values: dict[str, str] = {}
    """``expect`` as written, and as exact fractions in the estimand's unit."""
    line: int = 0


class TriageRow(Record):
    """What an outcome means and leads to; ``criterion`` None is ``otherwise``."""

    criterion: Criterion | None
    text: str
    reads: str
    next: str
    line: int


class ConfidenceClaim(Record):
    """The confidence that the prereg claims when ``criterion`` holds; None is ``otherwise``."""

    word: Literal["HIGH", "MODERATE", "LOW"]
    criterion: Criterion | None
    text: str
    line: int


class Choice(Record):
    """A level picked by a rule on its own rows."""

    name: str
    of: str
    maximise: Value | None = None
    minimise: Value | None = None
    among: Criterion | None = None
    ties: Literal["smallest", "largest"] = "smallest"
    line: int = 0


class Note(Record):
    """An entry of ``differs`` (``source`` says from what) or ``allow`` (``source`` is the finding's code)."""

    source: str
    at: str
    because: str
    line: int


class Bound(Record):
    """The whole registration, bound.

    ``file`` is the YAML's path as the user gave it (for messages only),
    ``meaning`` the digest of what was registered (comments, order and formatting do not matter).
    ``missing`` names kinds and sections that are not implemented yet, each with its line.
    """

    id: str
    title: str
    question: str
    parents: tuple[str, ...]
    file: str
    meaning: str
    rehearsal: bool = False
    overridden: tuple[str, ...] = ()
    """Dotted keys that the rehearsal replaced: they were not exercised."""
    retrospective: bool = False
    """True when every deciding number comes from recorded data."""
    budget_gpu_hours: float | None = None
    hypotheses: tuple[Hypothesis, ...]
    gates: tuple[Clause, ...] = ()
    kills: tuple[Clause, ...] = ()
    triage: tuple[TriageRow, ...] = ()
    confidence: tuple[ConfidenceClaim, ...] = ()
    choices: tuple[Choice, ...] = ()
    expressions: tuple[Expression, ...]
    """Everything to estimate: named estimands first, in order, then inline formulas of criteria. An
    expression is identified by the digest of its tree."""
    measures: tuple[BoundMeasure, ...]
    arms: tuple[Arm, ...] = ()
    dims: tuple[Dim, ...] = ()
    models: tuple[ModelSource, ...] = ()
    data: tuple[DataSource, ...] = ()
    judges: dict[str, dict[str, Any]] = {}
    differs: tuple[Note, ...] = ()
    allow: tuple[Note, ...] = ()
    missing: tuple[str, ...] = ()
