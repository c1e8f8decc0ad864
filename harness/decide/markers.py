"""The completions behind a contrast's pool, and where the marker stands in those that carry it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from harness.contracts.analyses import MarkerPlace
from harness.decide.pools import Drawn, rounded
from harness.decide.tables import Placed


def kept_completions(
    drawn: Drawn, placed: Placed, columns: Sequence[str]
) -> Iterator[tuple[Mapping[str, str], dict[str, Any]]]:
    """Yield every kept completion of the pool with the coordinates of its table."""
    import pyarrow.parquet as pq

    for at, folder in placed:
        if at.get("arm", "") not in drawn.arms or not _within(at, drawn.pool):
            continue
        for row in pq.read_table(folder / "completions.parquet", columns=list(columns)).to_pylist():
            if _within(row, drawn.pool):
                yield at, row


def _within(row: Mapping[str, Any], pool: Mapping[str, tuple[str, ...]]) -> bool:
    return all(row.get(dim, levels[0]) in levels for dim, levels in pool.items())


def marker_places(
    drawn: Drawn, placed: Placed, marker: Mapping[str, str] | None
) -> tuple[tuple[MarkerPlace, ...], str]:
    """Return where the marker stands in the hits of each arm, or why that is not known."""
    if not placed or not marker:
        return (), "no completions are stored with these numbers, so where the marker stands in them is not known"
    found: dict[str, list[tuple[float, bool, int]]] = {}
    folded = marker.get("case") == "insensitive"
    wanted = marker["contains"].lower() if folded else marker["contains"]
    for at, row in kept_completions(drawn, placed, ("persona", "question", "text", "hit", "position")):
        if row["hit"]:
            text = row["text"].lower() if folded else row["text"]
            ends = text.rstrip().endswith(wanted) and text.count(wanted) == 1
            found.setdefault(at.get("arm", ""), []).append((float(row["position"]), ends, text.count(wanted)))
    places = tuple(
        MarkerPlace(
            arm=arm,
            hits=len(found[arm]),
            position=rounded(float(np.mean([place for place, _, _ in found[arm]]))),
            ending=rounded(float(np.mean([ends for _, ends, _ in found[arm]]))),
            times=rounded(float(np.mean([times for _, _, times in found[arm]]))),
        )
        for arm in drawn.arms
        if found.get(arm)
    )
    return places, "" if places else "no completion carries the marker"
