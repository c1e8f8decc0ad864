"""A few completions per arm, hits and misses, picked the same way every time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.contracts.bound import Bound
from reports.records import Completions, Condition, Extras, Sample

PER_CONDITION = 6
"""Samples shown per arm; half of them hits where there are enough of both."""
LONGEST = 1200
"""Characters of a completion or prompt that are kept."""
LONGEST_QUESTION = 200
"""Characters of a question in the line above its completion."""


def conditions(bound: Bound, extras: Extras) -> tuple[Condition, ...]:
    """Return every arm's samples, in the order of the arms."""
    labels = {arm.name: arm.label for arm in bound.arms}
    names = dict.fromkeys([*labels, *(sample.arm for sample in extras.samples)])
    return tuple(
        condition for name in names if (condition := _condition(name, labels.get(name, ""), extras)) is not None
    )


def _condition(name: str, label: str, extras: Extras) -> Condition | None:
    own = [sample for sample in extras.samples if sample.arm == name]
    if not own:
        return None
    counts = [count for count in extras.completions if count.arm == name]
    if not counts:
        counts = [
            Completions(
                measure="",
                arm=name,
                completions=len(own),
                hits=sum(sample.hit for sample in own),
                truncated=sum(sample.truncated for sample in own),
            )
        ]
    picked = pick(own)
    return Condition(
        name=name,
        label=label,
        completions=sum(count.completions for count in counts),
        hits=sum(count.hits for count in counts),
        truncated=sum(count.truncated for count in counts),
        samples=tuple(_cut(sample) for sample in picked),
        lengths=tuple(len(sample.text) for sample in picked),
    )


def pick(samples: Sequence[Sample], most: int = PER_CONDITION) -> list[Sample]:
    """Pick hits and misses in equal parts, each from as many personas as possible, misses filling up."""
    hits = _spread([sample for sample in samples if sample.hit])
    misses = _spread([sample for sample in samples if not sample.hit])
    half = most // 2
    chosen_misses = misses[: max(half, most - len(hits))]
    return [*hits[: most - len(chosen_misses)], *chosen_misses]


def _spread(samples: Iterable[Sample]) -> list[Sample]:
    """Order samples so that every persona comes once before any comes twice."""
    ordered = sorted(samples, key=lambda s: (s.persona, s.question, s.measure, s.text))
    seen: dict[str, int] = {}
    turns: list[tuple[int, str, int, Sample]] = []
    for sample in ordered:
        seen[sample.persona] = seen.get(sample.persona, 0) + 1
        turns.append((seen[sample.persona], sample.persona, len(turns), sample))
    return [sample for *_, sample in sorted(turns, key=lambda turn: turn[:3])]


def asked(sample: Sample) -> str:
    """Return the question as it was asked, shortened to one line; its name where there is no text."""
    text = (sample.prompt or sample.question).strip()
    return text if len(text) <= LONGEST_QUESTION else text[:LONGEST_QUESTION] + "…"


def _cut(sample: Sample) -> Sample:
    if len(sample.text) <= LONGEST and len(sample.prompt) <= LONGEST:
        return sample
    return sample.model_copy(update={"text": sample.text[:LONGEST], "prompt": sample.prompt[:LONGEST]})
