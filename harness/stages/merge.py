"""Folds the adapters trained so far into the weights."""

from __future__ import annotations

from typing import ClassVar, Literal

from harness.contracts.kinds import STAGES, Context, Port
from harness.contracts.records import Record


class MergeParams(Record):
    """``alpha`` 1 adds what was trained, 0 would add nothing."""

    alpha: float = 1.0


@STAGES.register("merge")
class Merge:
    """Writes ``model/``: the arm's model so far as a full model, adapters scaled by ``alpha``."""

    version: ClassVar[int] = 1
    Params: ClassVar[type[Record]] = MergeParams
    needs: ClassVar[tuple[Port, ...]] = ("trainer",)
    makes: ClassVar[Literal["adapter", "model", "data"]] = "model"
    prepare: ClassVar[str] = ""

    def run(self, params: MergeParams, ctx: Context) -> None:
        """Merge and write the model."""
        assert ctx.model is not None
        assert ctx.trainer is not None
        ctx.progress("merging", 0.0)
        ctx.trainer.merge(ctx.model, alpha=params.alpha, out=ctx.out / "model")
        ctx.progress("merging", 1.0)
