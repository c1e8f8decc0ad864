"""Cosine of two personas' centroids, as published studies compute it; answer noise raises or lowers it."""

from __future__ import annotations

from typing import ClassVar, Literal

from harness.contracts.kinds import PROBES, Context, Port, Table
from harness.contracts.records import Column, Record
from harness.probes.grams import DIMS, GramParams, measure_grams


@PROBES.register("centroid_cosine")
class CentroidCosine:
    """cos(mean over questions of h_p, mean over questions of h_r), for comparison with published numbers.

    Every question's noise enters the centroids' norms, so that noisier answers look like another geometry;
    ``cross_question_cosine`` does not have this fault.
    """

    version: ClassVar[int] = 1
    Params: ClassVar[type[Record]] = GramParams
    needs: ClassVar[tuple[Port, ...]] = ("reader", "sampler")
    columns: ClassVar[tuple[Column, ...]] = (Column(name="cosine", low=-1, high=1, form="gram"),)
    dims: ClassVar[tuple[str, ...]] = DIMS
    batched: ClassVar[tuple[str, ...]] = ("layer",)
    reads: ClassVar[Literal["model", "stage"]] = "model"

    def measure(self, params: GramParams, ctx: Context) -> Table:
        """Return products of hidden states over all pairs of questions."""
        return measure_grams(params, ctx, self.columns[0])
