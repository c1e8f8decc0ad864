"""The sections of a preregistration as frozen models that forbid unknown keys (`language.md`, Sections).

Everything comes in as text and is typed here; formulas stay text until they are bound. Measures and recipes keep
what their kind takes in ``params``, to be typed by the kind itself.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, InstanceOf, model_validator

from harness.spec.scalars import (
    Float,
    Int,
    Name,
    Quantity,
    Rows,
    Slip,
    SomeTexts,
    Text,
    Texts,
    Unit,
    YesNo,
    parse_error_rate,
    parse_level,
    parse_level_range,
    parse_quantity,
    parse_share,
    parse_text,
)


class Section(BaseModel):
    """A mapping with known keys."""

    # Deferred: one schema is built for the whole registration instead of one for each of its sections as well.
    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, arbitrary_types_allowed=True, defer_build=True
    )


Share = Annotated[InstanceOf[Quantity], BeforeValidator(parse_share)]
ErrorRate = Annotated[InstanceOf[Quantity], BeforeValidator(parse_error_rate)]
IntervalLevel = Annotated[InstanceOf[Quantity], BeforeValidator(parse_level)]
LONGEST_ID = 100
"""Characters of an id, which names files and folders."""
Word = Literal["HIGH", "MODERATE", "LOW"]


class Hypothesis(Section):
    """A claim and the clauses that must all hold for it."""

    claim: Text
    all: dict[Name, Text] = Field(min_length=1)
    role: Literal["primary", "secondary"] = "primary"
    after: Text = ""
    correct: Text = ""
    expect: dict[Name, Text] = {}


def _plain_rule(value: object) -> object:
    return {"if": value} if isinstance(value, str) else value


class Gate(Section):
    """What must hold for the run to mean anything, and for whom (nobody named: for everything)."""

    criterion: Text = Field(alias="if")
    guards: SomeTexts = ()


class Kill(Section):
    """What ends the line of work, and of which hypotheses (none named: of all primary ones)."""

    criterion: Text = Field(alias="if")
    kills: SomeTexts = ()


class TriageRow(Section):
    """``criterion: reads -> next``."""

    criterion: Text
    reads: Text
    next: Text


def _triage_row(value: object) -> object:
    if isinstance(value, TriageRow):
        return value
    if not isinstance(value, dict) or len(value) != 1:
        raise ValueError("one row 'criterion: what it reads -> what to do next'")
    ((criterion, text),) = value.items()
    reads, arrow, following = text.partition("->") if isinstance(text, str) else ("", "", "")
    if not arrow or not reads.strip() or not following.strip():
        raise ValueError("'criterion: what it reads -> what to do next', with its '->'")
    return {"criterion": criterion, "reads": reads.strip(), "next": following.strip()}


class Looks(Section):
    """When interim results are looked at, and how the error is spent."""

    at: SomeTexts
    spend: Literal["pocock", "obrien_fleming"]
    alpha: ErrorRate
    stop: tuple[Literal["supported", "not supported", "killed", "inconclusive"], ...] = ()


class Choose(Section):
    """A rule that picks a level."""

    of: Text
    maximise: Text = ""
    minimise: Text = ""
    among: Text = ""
    ties: Literal["smallest", "largest"] = "smallest"

    @model_validator(mode="after")
    def _one_goal(self) -> Choose:
        if bool(self.maximise) == bool(self.minimise):
            raise ValueError("either maximise or minimise")
        return self


class Policy(Section):
    """What happens to truncated or unscorable answers, and how many may be so."""

    as_: Text = Field(alias="as")
    at_most: Share | None = None


class Measure(Section):
    """A probe, an eval or a recorded table; what else its kind takes is in ``params``."""

    kind: Text
    arm: SomeTexts = ()
    at: Text = "end"
    of: Text = ""
    judge: Text = ""
    resample: Text = ""
    method: Literal["t", "two_way_t", "bootstrap", "sign_flip"] | None = None
    arms: Literal["paired", "independent"] = "paired"
    reproduces: Text = ""
    unscorable: Policy | None = None
    truncated: Policy | None = None
    run_when: Text = ""
    file: Text = ""
    sha256: Text = ""
    columns: dict[str, Any] = {}
    params: dict[str, Any] = {}


class Arm(Section):
    """A chain of stages on a base model, or on another arm."""

    label: Text
    model: Text = ""
    from_: Text = Field("", alias="from")
    stages: Texts = ()


class Recipe(Section):
    """How a stage is done; what its kind takes is in ``params``."""

    kind: Text
    params: dict[str, Any] = {}


def _set(value: object) -> object:
    if isinstance(value, (list, tuple)):
        return tuple(parse_text(item) for item in value)
    return value


class Dim(Section):
    """A dim: its levels in order (or the file or set that has them), named sets, and the primary level."""

    levels: tuple[Any, ...] = ()
    file: Text = ""
    like: Text = ""
    sets: dict[Name, Annotated[tuple[str, ...] | str, BeforeValidator(_set)]] = {}
    primary: Text = ""
    unit: Unit = "1"
    columns: Texts = ()

    @model_validator(mode="after")
    def _one_source(self) -> Dim:
        if sum(map(bool, (self.levels, self.file, self.like))) != 1:
            raise ValueError("exactly one of levels, file and like")
        return self


def _plain_dim(value: object) -> object:
    if value == [] or (isinstance(value, dict) and value.get("levels") == []):
        raise Slip("at least one level")
    if isinstance(value, list):
        return {"levels": value}
    if isinstance(value, dict) and isinstance(value.get("levels"), str):
        low, high = parse_level_range(value["levels"])
        return {**value, "levels": [str(number) for number in range(low, high + 1)]}
    return value


class Model(Section):
    """A base model or a judge's, at a revision. ``engine`` is what samples from it; ``auto`` leaves it to the run."""

    hf: Text = ""
    path: Text = ""
    revision: Text = ""
    trust_remote_code: YesNo = False
    engine: Literal["auto", "transformers", "vllm"] = "auto"

    @model_validator(mode="after")
    def _one_source(self) -> Model:
        if bool(self.hf) == bool(self.path):
            raise ValueError("exactly one of hf and path")
        return self


class Data(Section):
    """Finetuning rows. ``register`` generates them, in rehearsals only."""

    path: Text = ""
    hf: Text = ""
    register_name: Text = Field("", alias="register")
    revision: Text = ""
    format: Literal["messages", "prompt_completion"] = "messages"
    rows: Rows | None = None
    md5: Text = ""
    sha256: Text = ""

    @model_validator(mode="after")
    def _one_source(self) -> Data:
        if sum(map(bool, (self.path, self.hf, self.register_name))) != 1:
            raise ValueError("exactly one of path, hf and register")
        return self


class Judge(Section):
    """Who judges answers, with which words, on which scale."""

    model: Text
    prompt: Text
    labels: Texts = ()
    scale: Text = ""
    temperature: Float = Field(0.0, ge=0)
    max_new_tokens: Int = Field(64, ge=1)


class Budget(Section):
    """What the run may cost."""

    gpu_hours: Float = Field(ge=0)


class InferenceDefaults(Section):
    """How uncertainty is computed where a measure does not say."""

    draws: Int = Field(10_000, ge=1)
    level: IntervalLevel = Quantity(parse_quantity("95%").value, "proportion", bare=False)
    seed: Int = Field(0, ge=0)


class Differs(Section):
    """A departure from another prereg."""

    from_: Text = Field(alias="from")
    at: Text
    because: Text


class Allow(Section):
    """A finding of the checker that is accepted."""

    finding: Text
    at: Text
    because: Text


class Prereg(Section):
    """A registered experiment: every section of the file but its rehearsal, which is an overlay on the others."""

    prereg: Literal["1"]
    id: Text = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=LONGEST_ID)
    title: Text
    question: Text
    parents: Texts = ()
    budget: Budget | None = None
    hypotheses: dict[Name, Hypothesis] = Field(min_length=1)
    gates: dict[Name, Annotated[Gate, BeforeValidator(_plain_rule)]] = {}
    kill: dict[Name, Annotated[Kill, BeforeValidator(_plain_rule)]] = {}
    triage: tuple[Annotated[TriageRow, BeforeValidator(_triage_row)], ...] = ()
    confidence: dict[Word, Text] = {}
    looks: Looks | None = None
    choose: dict[Name, Choose] = {}
    estimands: dict[Name, Text] = {}
    measures: dict[Name, Measure] = Field(min_length=1)
    arms: dict[Name, Arm] = {}
    recipes: dict[Name, Recipe] = {}
    dims: dict[Name, Annotated[Dim, BeforeValidator(_plain_dim)]] = {}
    models: dict[Name, Model] = {}
    judges: dict[Name, Judge] = {}
    data: dict[Name, Data] = {}
    inference: InferenceDefaults = InferenceDefaults()
    differs: tuple[Differs, ...] = ()
    allow: tuple[Allow, ...] = ()
    rehearsal: dict[str, Any] = {}


GENERIC_MEASURE_KEYS = tuple(name for name in Measure.model_fields if name != "params")
"""Keys of a measure that every kind understands; all others belong to its kind."""
