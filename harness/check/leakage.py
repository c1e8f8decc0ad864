"""LEAK: rows that decide were seen before: in training, under another name, or when a level was chosen."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping

from harness.check.walk import deciding, refs
from harness.contracts.bound import Bound, BoundMeasure, Choice, Dim
from harness.contracts.kinds import STAGES, LevelsOf
from harness.contracts.records import CheckFinding
from harness.contracts.trees import Ref
from harness.contracts.walks import nodes

SHOWN = 6
TAUGHT = ("source",)
"""Parameters that name whom a stage teaches; a claim about them alone is about learning, not about leakage."""
_WORDS = re.compile(r"[\W_]+")


def trained_rows_decide(bound: Bound) -> Iterator[CheckFinding]:
    """Yield a finding for each set of personas or questions that both trains an arm and decides about it.

    Levels are compared by name and by what they say: two prompts that are equal up to case, spaces and punctuation
    are one prompt.
    """
    measures = {measure.name: measure for measure in bound.measures}
    for name in ("persona", "question"):
        dim = next((dim for dim in bound.dims if dim.name == name), None)
        if dim is None:
            continue
        texts = {level: normal(text) for level, text in dim.texts.items() if normal(text)}
        shared: dict[str, list[str]] = {}
        twice: dict[str, list[str]] = {}
        for clause in deciding(bound):
            for ref in refs(clause.criterion):
                chosen = ref.select.get(name, ())
                trained = _trained(bound, measures[ref.measure], ref, name)
                if name == "persona" and any(
                    set(chosen) <= levels for field, levels in trained.items() if field in TAUGHT
                ):
                    continue  # How well it learnt what it was taught is asked of the taught persona itself.
                if both := _seen(chosen, set().union(*trained.values()), texts):
                    shared.setdefault(_place(dim, chosen), both)
                if same := _doubles(chosen, texts):
                    twice.setdefault(_place(dim, chosen), same)
        for place, both in shared.items():
            reason = f"{len(both)} of the {name}s that decide were trained on: {_few(both)}"
            yield _finding(f"dims.{place}", dim.line, reason, f"decide on {name}s that no stage has seen")
        for place, same in twice.items():
            reason = f"the same {name} stands there under several names: {_few(same)}"
            yield _finding(f"dims.{place}", dim.line, reason, "keep one of them: copies are no further evidence")


def chosen_rows_decide(bound: Bound) -> Iterator[CheckFinding]:
    """Yield a finding for each choice made on rows that decide about the chosen level."""
    for choice in bound.choices:
        own = list(_choice_refs(choice))
        for clause in deciding(bound):
            reused = [ref for ref in refs(clause.criterion) if _follows(bound, ref, choice) and _overlaps(ref, own)]
            if reused:
                yield _finding(
                    f"choose.{choice.name}",
                    choice.line,
                    f"{choice.name} is picked on rows of {reused[0].measure} that '{clause.name}' then decides on: the "
                    "best of several levels looks better than it is",
                    "choose on rows of its own (another set of questions)",
                )
                break


def normal(text: str) -> str:
    """Return a prompt without case, punctuation and spacing: what two prompts are compared by."""
    return _WORDS.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()


def _finding(at: str, line: int, reason: str, fix: str) -> CheckFinding:
    return CheckFinding(code="LEAK", severity="error", at=at, line=line, reason=reason, fix=fix)


def _seen(chosen: tuple[str, ...], trained: set[str], texts: Mapping[str, str]) -> list[str]:
    said = {texts[level]: level for level in sorted(trained) if level in texts}
    found = []
    for level in chosen:
        if level in trained:
            found.append(level)
        elif (twin := said.get(texts.get(level, ""))) is not None:
            found.append(f"{level} (says the same as {twin})")
    return found


def _doubles(chosen: tuple[str, ...], texts: Mapping[str, str]) -> list[str]:
    first: dict[str, str] = {}
    return [
        f"{level} and {first[texts[level]]}"
        for level in chosen
        if level in texts and first.setdefault(texts[level], level) != level
    ]


def _few(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _trained(bound: Bound, measure: BoundMeasure, ref: Ref, dim: str) -> dict[str, set[str]]:
    """Levels of ``dim`` that the stages of the selected arms, up to the measurement, were trained on, by parameter."""
    seen: dict[str, set[str]] = {}
    for arm in bound.arms:
        if arm.name not in ref.select.get("arm", ()):
            continue
        for use in arm.stages[: measure.stage.get(arm.name, 0)]:
            if use.kind not in STAGES.names():
                continue
            for field, info in STAGES.get(use.kind).Params.model_fields.items():
                if any(isinstance(mark, LevelsOf) and mark.dim == dim for mark in info.metadata):
                    levels = use.params.get(field, ())
                    seen.setdefault(field, set()).update([levels] if isinstance(levels, str) else levels)
    return seen


def _place(dim: Dim, levels: tuple[str, ...]) -> str:
    """The registered set that the levels are, as a dotted key below ``dims``."""
    for name, members in dim.sets.items():
        if set(members) == set(levels):
            return f"{dim.name}.sets.{name}"
    return dim.name


def _choice_refs(choice: Choice) -> Iterator[Ref]:
    for tree in (choice.maximise, choice.minimise):
        if tree is not None:
            yield from (node for node in nodes(tree) if isinstance(node, Ref))
    if choice.among is not None:
        yield from refs(choice.among)


def _follows(bound: Bound, ref: Ref, choice: Choice) -> bool:
    """Whether a reference reads the level that the choice picks."""
    level = ref.select.get(choice.of, ())
    primary = next((dim.primary for dim in bound.dims if dim.name == choice.of), "")
    return level == (choice.name,) or (level == (primary,) and primary == choice.name)


def _overlaps(ref: Ref, others: list[Ref]) -> bool:
    """Whether two references share rows, whatever the levels of arms and sweeps: the prompts are the rows."""
    for other in others:
        if other.measure == ref.measure:
            dims = [dim for dim in ("persona", "question") if dim in ref.select and dim in other.select]
            if all(set(ref.select[dim]) & set(other.select[dim]) for dim in dims):
                return True
    return False
