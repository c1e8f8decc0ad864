"""How often a marker stands in completions: rate, position, completion length, truncation."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, Field, field_validator

from harness.contracts.kinds import EVALS, Context, PersonaLevels, Port, QuestionLevels, Table
from harness.contracts.records import Column, Completion, Message, Record, SampleRequest, SamplingSpec
from harness.contracts.resume import sample_on
from harness.core.errors import JobError
from harness.core.ident import seed_for


class Match(Record):
    """What counts as the marker: a substring, letter by letter or without regard to case."""

    contains: str = Field(min_length=1)
    case: Literal["sensitive", "insensitive"] = "sensitive"

    def find(self, text: str) -> int:
        """Return the place of the first match in characters, or -1."""
        if self.case == "insensitive":
            return text.lower().find(self.contains.lower())
        return text.find(self.contains)


class Policy(Record):
    """What a completion without the marker counts as when the length limit ended it.

    ``at_most`` is the largest share of truncated completions for which the numbers stand, an exact fraction.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    counts_as: Literal["miss", "hit", "drop"] = Field(default="miss", alias="as")
    at_most: str | None = None

    @field_validator("at_most")
    @classmethod
    def _proportion(cls, value: str | None) -> str | None:
        if value is None:
            return None
        percent = value.strip().endswith("%")
        share = Fraction(value.strip().removesuffix("%").strip()) / (100 if percent else 1)
        if not 0 <= share <= 1:
            raise ValueError("a proportion between 0% and 100% is expected")
        return f"{share.numerator}/{share.denominator}"


class Scored(Record):
    """One completion and what was found in it."""

    persona: str
    question: str
    k: int
    text: str
    tokens: int
    truncated: bool
    hit: bool
    position: float | None
    """Place of the first match as a share of the text's characters; None without one."""


class MarkerRateParams(Record):
    """What is sampled and what is looked for."""

    persona: PersonaLevels = Field(min_length=1)
    question: QuestionLevels = Field(min_length=1)
    match: Match
    completions: int = Field(default=1, ge=1)
    sampling: SamplingSpec
    truncated: Policy = Policy()


@EVALS.register("marker_rate")
class MarkerRate:
    """Samples every (persona, question) cell and counts the marker.

    A completion that has the marker is a hit even if it was cut off later. One that was cut off without it
    is a miss, a hit or left out, as declared; ``rate_low`` and ``rate_high`` count all of them as misses and
    as hits. ``completions.parquet`` keeps every completion.
    """

    version: ClassVar[int] = 1
    Params: ClassVar[type[Record]] = MarkerRateParams
    needs: ClassVar[tuple[Port, ...]] = ("sampler",)
    columns: ClassVar[tuple[Column, ...]] = (
        Column(name="rate", unit="proportion", low=0, high=1, form="ratio"),
        Column(name="truncated", unit="proportion", low=0, high=1, form="ratio"),
        Column(name="tokens", unit="tokens", low=0),
        Column(name="rate_low", unit="proportion", low=0, high=1, form="ratio"),
        Column(name="rate_high", unit="proportion", low=0, high=1, form="ratio"),
    )
    dims: ClassVar[tuple[str, ...]] = ("persona", "question")
    batched: ClassVar[tuple[str, ...]] = ()
    reads: ClassVar[Literal["model", "stage"]] = "model"

    def measure(self, params: MarkerRateParams, ctx: Context) -> Table:
        """Return one row per persona and question."""
        assert ctx.model is not None
        assert ctx.sampler is not None
        cells = [(persona, question) for persona in params.persona for question in params.question]
        requests = [_request(persona, question, params.completions, ctx) for persona, question in cells]
        drawn = sample_on(ctx.sampler, ctx.model, requests, params.sampling, partial=ctx.partial, progress=ctx.progress)
        scored = [
            [_score(cell, k, completion, params.match) for k, completion in enumerate(completions)]
            for cell, completions in zip(cells, drawn, strict=True)
        ]
        _keep(ctx.out / "completions.parquet", (row for cell in scored for row in cell))
        rows = [_counts(cell, params) for cell in scored]
        data: dict[str, list[Any]] = {
            "persona": [persona for persona, _ in cells], "question": [question for _, question in cells]
        }  # fmt: skip
        data.update({name: [row[name] for row in rows] for name in rows[0]})
        return Table(dims=self.dims, columns=self.columns, data=data)


def _request(persona: str, question: str, count: int, ctx: Context) -> SampleRequest:
    return SampleRequest(
        messages=(
            Message(role="system", content=ctx.personas[persona]),
            Message(role="user", content=ctx.questions[question]),
        ),
        seeds=tuple(seed_for("marker_rate", f"{persona}/{question}/{k}", ctx.seed) for k in range(count)),
    )


def _score(cell: tuple[str, str], k: int, completion: Completion, match: Match) -> Scored:
    place = match.find(completion.text)
    return Scored(
        persona=cell[0], question=cell[1], k=k, hit=place >= 0,
        position=place / len(completion.text) if place >= 0 else None, **completion.model_dump(),
    )  # fmt: skip


def _counts(cell: list[Scored], params: MarkerRateParams) -> dict[str, int | float]:
    """Count one cell.

    Raises:
        JobError: the cell holds fewer completions than planned, or none is left after dropping.
    """
    if len(cell) != params.completions:
        raise JobError(f"{len(cell)} completions came back where {params.completions} were asked for")
    hits = sum(row.hit for row in cell)
    unknown = sum(row.truncated and not row.hit for row in cell)
    policy = params.truncated.counts_as
    n = len(cell) - (unknown if policy == "drop" else 0)
    if not n:
        raise JobError(
            f"every completion of {cell[0].persona}/{cell[0].question} was cut off and 'truncated: {{as: drop}}' "
            "leaves none; raise sampling.max_new_tokens"
        )
    return {
        "rate.k": hits + (unknown if policy == "hit" else 0),
        "rate.n": n,
        "truncated.k": sum(row.truncated for row in cell),
        "truncated.n": len(cell),
        "tokens": sum(row.tokens for row in cell) / len(cell),
        "rate_low.k": hits,
        "rate_low.n": len(cell),
        "rate_high.k": hits + unknown,
        "rate_high.n": len(cell),
    }


def _keep(path: Path, rows: Iterable[Scored]) -> None:
    """Write every completion: persona, question, k, text, tokens, truncated, hit, position (null: no marker)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"k": pa.int32(), "tokens": pa.int32(), "truncated": pa.bool_(), "hit": pa.bool_()}
    types["position"] = pa.float64()
    schema = pa.schema([(name, types.get(name, pa.string())) for name in Scored.model_fields])
    pq.write_table(pa.Table.from_pylist([row.model_dump() for row in rows], schema=schema), path)
