"""How far confidence is lowered whatever the outcome: what ``harness.decide.confidence`` knows before the run."""

from __future__ import annotations

from collections.abc import Iterator

from harness.check.resampling import cells_decide
from harness.contracts.bound import Bound
from harness.explain.words import count_noun, listed

LOWERS_TO_LOW = ("CELLS", "KILL-POINT", "LEAK")
"""Accepted findings that allow LOW at most, as in ``harness.decide.confidence``; every other allows MODERATE."""
ENOUGH_SEEDS = 3


def known_caps(bound: Bound) -> Iterator[tuple[str, str]]:
    """Yield the highest confidence that each known fact allows, and the fact."""
    if bound.retrospective:
        yield "LOW", "the data existed before the registration"
    for finding in cells_decide(bound):
        yield "LOW", f"{finding.at.split('.')[1]} is judged by cells"
    seeds = max((len(measure.levels.get("seed", ())) for measure in bound.measures), default=0)
    if seeds < ENOUGH_SEEDS:
        yield "MODERATE", f"{count_noun(seeds, 'seed')} (HIGH asks for {ENOUGH_SEEDS})" if seeds else "no recorded seed"
    models = max(
        *(len(measure.levels.get("model", ())) for measure in bound.measures),
        len({arm.model for arm in bound.arms}),
        len(bound.models),
    )
    if models <= 1:
        yield "MODERATE", "one model" if models else "no recorded model"
    for word in ("LOW", "MODERATE"):
        codes = list(dict.fromkeys(note.source for note in bound.allow if _allows(note.source) == word))
        if codes:
            yield word, f"the accepted finding{'s' if len(codes) > 1 else ''} {listed(codes)}"


def _allows(code: str) -> str:
    return "LOW" if code in LOWERS_TO_LOW else "MODERATE"
