"""Cosine of two personas from products over different questions only, numerator and norms alike."""

from __future__ import annotations

from typing import ClassVar, Literal

from harness.contracts.kinds import PROBES, Context, Port, Table
from harness.contracts.records import Column, Record
from harness.probes.grams import DIMS, GramParams, measure_grams


@PROBES.register("cross_question_cosine")
class CrossQuestionCosine:
    """Estimates the cosine of the personas' mean states without the noise of single answers.

    Noise of different questions is independent, so products over q != q' have none of it on average; the
    squared norms are estimated in the same way.
    """

    version: ClassVar[int] = 1
    Params: ClassVar[type[Record]] = GramParams
    needs: ClassVar[tuple[Port, ...]] = ("reader", "sampler")
    columns: ClassVar[tuple[Column, ...]] = (Column(name="cosine", low=-1, high=1, form="gram", cross_only=True),)
    dims: ClassVar[tuple[str, ...]] = DIMS
    batched: ClassVar[tuple[str, ...]] = ("layer",)
    reads: ClassVar[Literal["model", "stage"]] = "model"

    def measure(self, params: GramParams, ctx: Context) -> Table:
        """Return products of hidden states over all pairs of questions; those of equal ones are not used."""
        return measure_grams(params, ctx, self.columns[0])
