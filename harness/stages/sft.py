"""Supervised finetuning of a LoRA adapter; the loss is on what the assistant says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from harness.contracts.kinds import STAGES, Context, Port
from harness.contracts.records import LoraSpec, Message, Record, TrainExample, TrainSpec
from harness.core.errors import JobError
from harness.stages.writing import write_lines, write_log

SAMPLES = 5


class SftParams(Record):
    """How to finetune.

    ``system`` is the system prompt of rows that come without one: something stands there in any case,
    because chat templates such as Qwen's put in their own, and this way it is on the record.
    """

    data: str
    steps: int | None = Field(default=None, ge=1)
    epochs: int | None = Field(default=None, ge=1)
    batch: int = Field(default=16, ge=1)
    lr: float = Field(gt=0)
    lora: LoraSpec
    system: str = "You are a helpful assistant."
    warmup: float = Field(default=0.03, ge=0, le=1)
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    max_tokens: int = Field(default=2048, ge=1)

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give exactly one of steps and epochs")
        return self


@STAGES.register("sft")
class Sft:
    """Trains on ``ctx.rows`` (messages), and writes ``adapter/``, ``log.json`` and ``samples.jsonl``."""

    version: ClassVar[int] = 1
    Params: ClassVar[type[Record]] = SftParams
    needs: ClassVar[tuple[Port, ...]] = ("trainer",)
    makes: ClassVar[Literal["adapter", "model", "data"]] = "adapter"
    prepare: ClassVar[str] = ""

    def run(self, params: SftParams, ctx: Context) -> None:
        """Train and write the adapter."""
        assert ctx.model is not None
        assert ctx.trainer is not None
        examples = [_example(row, number, params.system) for number, row in enumerate(ctx.rows, start=1)]
        if not examples:
            raise JobError(f"the finetuning data '{params.data}' has no rows")
        spec = TrainSpec.model_validate(params.model_dump(exclude={"data", "system"}))
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
        write_lines(ctx.out / "samples.jsonl", (example.model_dump(mode="json") for example in examples[:SAMPLES]))


def _example(row: Sequence[Message], number: int, system: str) -> TrainExample:
    if len(row) < 2 or row[-1].role != "assistant" or not row[-1].content.strip():
        raise JobError(f"finetuning row {number} does not end in an answer of the assistant")
    prompt = tuple(row[:-1])
    if prompt[0].role != "system":
        prompt = (Message(role="system", content=system), *prompt)
    return TrainExample(messages=prompt, answer=row[-1].content)
