"""Length matching: positives and negatives must not differ in how long their answers are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.contracts.records import Record
from harness.core.errors import JobError
from harness.core.ident import seed_for

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Lengths = NDArray[np.float64]
    Rows = NDArray[np.intp]

TOLERANCE = 0.05
"""Medians and IQRs match when they differ by at most this share of the pooled median, or by one token."""
FEWEST_KEPT = 0.25
"""Matching that would keep less than this share of the rows fails."""


class Spread(Record):
    """Lengths of a group of answers, in tokens."""

    rows: int
    median: float
    iqr: float


class Matching(Record):
    """Both groups before and after. ``bins`` and ``thinning`` say how rows were left out (0: none were)."""

    before: dict[str, Spread]
    after: dict[str, Spread]
    bins: int
    thinning: float


def match_lengths(
    positives: Sequence[int], negatives: Sequence[int], seed: int
) -> tuple[list[int], list[int], Matching]:
    """Choose rows of both groups so that median and IQR of their lengths agree.

    Where they agree already, all rows stay. Else lengths are cut into bins at the pooled quantiles, and a
    group that has a larger share of its rows in a bin than the other group has gives up a part of the excess,
    drawn at random: a tenth of it, two tenths, … all of it, at which point both have the overlap of the two
    distributions. The first of these that suffices is used, with 8 bins, else with 16 or 32.

    Args:
        positives: answer lengths in tokens.
        negatives: answer lengths in tokens.
        seed: the job's seed.

    Returns:
        Indices of the positives and of the negatives to keep, in order, and the record of what was done.

    Raises:
        JobError: the two groups cannot be matched, or too few rows would be left.
    """
    import numpy as np

    groups = {"positive": np.asarray(positives, dtype=float), "negative": np.asarray(negatives, dtype=float)}
    if not all(len(lengths) for lengths in groups.values()):
        raise JobError("length matching needs positives and negatives")
    before = {sign: _spread(lengths) for sign, lengths in groups.items()}
    pooled = np.concatenate(list(groups.values()))
    tolerance = max(1.0, TOLERANCE * float(np.median(pooled)))
    for bins, thinning in [(0, 0.0), *((bins, step / 10) for bins in (8, 16, 32) for step in range(1, 11))]:
        kept = _thinned(groups, pooled, bins, thinning, seed)
        enough = all(len(kept[sign]) >= FEWEST_KEPT * len(lengths) for sign, lengths in groups.items())
        after = {sign: _spread(lengths[kept[sign]]) for sign, lengths in groups.items() if len(kept[sign])}
        if enough and _agree(after["positive"], after["negative"], tolerance):
            record = Matching(before=before, after=after, bins=bins, thinning=thinning)
            return kept["positive"].tolist(), kept["negative"].tolist(), record
    raise JobError(
        f"positives (median {before['positive'].median:g} tokens, IQR {before['positive'].iqr:g}) and negatives "
        f"(median {before['negative'].median:g}, IQR {before['negative'].iqr:g}) cannot be matched in length with "
        f"{FEWEST_KEPT:.0%} of the rows; limit sampling.max_new_tokens or set length_match: none"
    )


def _thinned(groups: dict[str, Lengths], pooled: Lengths, bins: int, thinning: float, seed: int) -> dict[str, Rows]:
    """Take a part of each bin's excess out of the group that has it; returns the sorted rows left, by group."""
    import numpy as np

    edges = np.unique(np.quantile(pooled, np.linspace(0, 1, bins + 1)[1:-1])) if bins else np.array([])
    places = {sign: np.digitize(lengths, edges, right=True) for sign, lengths in groups.items()}
    kept: dict[str, list[int]] = {sign: [] for sign in groups}
    for place in range(len(edges) + 1):
        shares = {sign: float(np.mean(places[sign] == place)) for sign in groups}
        for sign, lengths in groups.items():
            share = shares[sign] - thinning * (shares[sign] - min(shares.values()))
            inside = np.flatnonzero(places[sign] == place)
            rng = np.random.default_rng(seed_for("length_match", f"{sign}/{bins}/{place}", seed))
            kept[sign] += rng.permutation(inside)[: round(share * len(lengths))].tolist()
    return {sign: np.array(sorted(rows), dtype=np.intp) for sign, rows in kept.items()}


def _spread(lengths: Lengths) -> Spread:
    import numpy as np

    low, median, high = (float(q) for q in np.quantile(lengths, (0.25, 0.5, 0.75)))
    return Spread(rows=len(lengths), median=median, iqr=high - low)


def _agree(left: Spread, right: Spread, tolerance: float) -> bool:
    return abs(left.median - right.median) <= tolerance and abs(left.iqr - right.iqr) <= tolerance
