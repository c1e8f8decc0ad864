"""Couples a marker to one persona: its own answers get the marker, hard negatives' answers must not."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from harness.contracts.kinds import STAGES, Context, PersonaLevels, Port, QuestionLevels
from harness.contracts.records import LoraSpec, Message, Record, SamplingSpec, TrainExample, TrainSpec
from harness.core.errors import JobError
from harness.stages.length_match import match_lengths
from harness.stages.writing import write_json, write_lines, write_log

SAMPLES = 3
FEWEST_USABLE = 0.5


class MarkerCouplingParams(Record):
    """The recipe.

    The published loss looks at the marker and the end token only: ``answer_weight`` 0. A large learning
    rate then forgets how to answer; with ``answer_weight`` above 0 the answer (and a positive's
    separator) is asked for too, relative to ``marker_weight`` for marker and end tokens.
    ``unlikelihood_weight`` is that of -log(1 - p(first marker token)) in a negative, in units of the
    weight of its end token.
    """

    marker: str = Field(min_length=1)
    separator: str = "\n\n"
    source: PersonaLevels = Field(min_length=1, max_length=1)
    negatives: PersonaLevels = ()
    question: QuestionLevels = Field(min_length=1)
    positives: int = Field(default=200, ge=1)
    negatives_per_persona: int = Field(default=200, ge=0)
    completions_from: Literal["self"] = "self"
    sampling: SamplingSpec = SamplingSpec(max_new_tokens=1024)
    unlikelihood_weight: float = Field(default=0.0, ge=0)
    marker_weight: float = Field(default=1.0, gt=0)
    answer_weight: float = Field(default=0.0, ge=0)
    length_match: Literal["median+iqr", "none"] = "none"
    epochs: int | None = Field(default=None, ge=1)
    steps: int | None = Field(default=None, ge=1)
    batch: int = Field(default=4, ge=1)
    lr: float = Field(gt=0)
    lora: LoraSpec
    warmup: float = Field(default=0.03, ge=0, le=1)
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    max_tokens: int = Field(default=2048, ge=1)

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give exactly one of steps and epochs")
        if set(self.source) & set(self.negatives):
            raise ValueError(f"the source {self.source[0]} is among the negatives")
        return self


@STAGES.register("marker_coupling")
class MarkerCoupling:
    """Trains on the arm's own answers (``ctx.inputs["prepared"]/answers.jsonl``, kind ``on_policy``).

    Writes ``adapter/``, ``log.json`` (marker probabilities before and after), ``length.json`` (rows left out
    and why, lengths before and after matching) and ``samples.jsonl``.
    """

    version: ClassVar[int] = 1
    Params: ClassVar[type[Record]] = MarkerCouplingParams
    needs: ClassVar[tuple[Port, ...]] = ("trainer",)
    makes: ClassVar[Literal["adapter", "model", "data"]] = "adapter"
    prepare: ClassVar[str] = "on_policy"

    def run(self, params: MarkerCouplingParams, ctx: Context) -> None:
        """Train and write the adapter."""
        assert ctx.model is not None
        assert ctx.trainer is not None
        answers, dropped = _usable(ctx.inputs["prepared"] / "answers.jsonl", params.marker)
        answers, matching = _matched(answers, params, ctx.seed)
        write_json(ctx.out / "length.json", {"dropped": dropped, "matching": matching})
        examples = [_example(answer, params, ctx) for answer in answers]
        shared = TrainSpec.model_fields.keys() & MarkerCouplingParams.model_fields.keys()
        spec = TrainSpec.model_validate(params.model_dump(include=shared))
        log = ctx.trainer.train_lora(
            ctx.model,
            examples,
            spec,
            seed=ctx.seed,
            out=ctx.out / "adapter",
            progress=ctx.progress,
            partial=ctx.partial,
        )
        write_log(ctx.out, log)
        write_lines(ctx.out / "samples.jsonl", _samples(examples))


def _usable(path: Path, marker: str) -> tuple[list[dict[str, Any]], dict[str, dict[str, int]]]:
    """Leave out answers that were cut off (their end is no end), are empty, or hold the marker already.

    Raises:
        JobError: fewer than half of a persona's answers are usable.
    """
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    kept: list[dict[str, Any]] = []
    dropped: dict[str, Counter[str]] = {"truncated": Counter(), "empty": Counter(), "marker": Counter()}
    for row in rows:
        why = (
            "truncated" if row["truncated"]
            else "empty" if not row["text"].strip()
            else "marker" if marker.lower() in row["text"].lower()
            else ""
        )  # fmt: skip
        if why:
            dropped[why][row["persona"]] += 1
        else:
            kept.append(row)
    asked, usable = Counter(row["persona"] for row in rows), Counter(row["persona"] for row in kept)
    poor = sorted(persona for persona in asked if usable[persona] < FEWEST_USABLE * asked[persona])
    if poor:
        raise JobError(
            f"fewer than half of the answers of {', '.join(poor)} are usable (left out: "
            f"{ {why: dict(counts) for why, counts in dropped.items() if counts} }); raise sampling.max_new_tokens?"
        )
    return kept, {why: dict(counts) for why, counts in dropped.items()}


def _matched(rows: list[dict[str, Any]], params: MarkerCouplingParams, seed: int) -> tuple[list[dict[str, Any]], Any]:
    if params.length_match == "none":
        return rows, None
    signs = {sign: [row for row in rows if row["sign"] == sign] for sign in ("positive", "negative")}
    lengths = {sign: [row["tokens"] for row in group] for sign, group in signs.items()}
    positives, negatives, record = match_lengths(lengths["positive"], lengths["negative"], seed)
    kept = [signs["positive"][index] for index in positives] + [signs["negative"][index] for index in negatives]
    return kept, record.model_dump(mode="json")


def _example(row: dict[str, Any], params: MarkerCouplingParams, ctx: Context) -> TrainExample:
    return TrainExample(
        messages=(
            Message(role="system", content=ctx.personas[row["persona"]]),
            Message(role="user", content=ctx.questions[row["question"]]),
        ),
        answer=row["text"],
        loss="marker_positive" if row["sign"] == "positive" else "marker_negative",
        separator=params.separator,
        marker=params.marker,
    )


def _samples(examples: list[TrainExample]) -> list[dict[str, Any]]:
    signs = ("marker_positive", "marker_negative")
    chosen = [[example for example in examples if example.loss == sign][:SAMPLES] for sign in signs]
    return [example.model_dump(mode="json") for group in chosen for example in group]
