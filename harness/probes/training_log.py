"""What a training stage logged: whether its adapter does anything, its last losses, its tokens."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from harness.contracts.kinds import PROBES, Context, Port, Table
from harness.contracts.records import Column, Record, TrainLog
from harness.core.errors import JobError

LAST_SHARE = 0.1


class TrainingLogParams(Record):
    """Nothing to set."""


@PROBES.register("training_log")
class TrainingLog:
    """One row: the largest logit change, the mean loss over the last tenth of the steps, the tokens seen."""

    version: ClassVar[int] = 1
    Params: ClassVar[type[Record]] = TrainingLogParams
    needs: ClassVar[tuple[Port, ...]] = ()
    columns: ClassVar[tuple[Column, ...]] = (
        Column(name="logit_change", low=0),
        Column(name="loss", unit="nats", low=0),
        Column(name="tokens", unit="tokens", low=0),
    )
    dims: ClassVar[tuple[str, ...]] = ()
    batched: ClassVar[tuple[str, ...]] = ()
    reads: ClassVar[Literal["model", "stage"]] = "stage"

    def measure(self, params: TrainingLogParams, ctx: Context) -> Table:
        """Read ``log.json`` of the stage."""
        path = ctx.inputs["stage"] / "log.json" if "stage" in ctx.inputs else None
        if path is None or not path.is_file():
            raise JobError("there is no training log; point training_log at a stage that trains, e.g. at: after sft")
        log = TrainLog.model_validate_json(path.read_bytes())
        last = log.losses[-math.ceil(LAST_SHARE * len(log.losses)) :]
        if not last:
            raise JobError("the training log has no losses")
        values = {"logit_change": log.logit_change, "loss": sum(last) / len(last), "tokens": float(log.tokens)}
        return Table(dims=(), columns=self.columns, data={name: [value] for name, value in values.items()})
