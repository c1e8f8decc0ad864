"""LEAK: rows that decide were seen in training: personas that are negatives, questions that were trained on."""

from __future__ import annotations

from collections.abc import Iterator

from harness.check.walk import deciding, refs
from harness.contracts.bound import Bound, BoundMeasure, Dim
from harness.contracts.kinds import STAGES, LevelsOf
from harness.contracts.records import CheckFinding
from harness.contracts.trees import Ref


def trained_rows_decide(bound: Bound) -> Iterator[CheckFinding]:
    """Yield a finding for each set of personas or questions that both trains an arm and decides about it."""
    measures = {measure.name: measure for measure in bound.measures}
    for name in ("persona", "question"):
        dim = next((dim for dim in bound.dims if dim.name == name), None)
        if dim is None:
            continue
        shared: dict[str, list[str]] = {}
        for clause in deciding(bound):
            for ref in refs(clause.criterion):
                seen = _trained(bound, measures[ref.measure], ref, name)
                both = [level for level in ref.select.get(name, ()) if level in seen]
                if both:
                    shared.setdefault(_place(dim, ref.select[name]), both)
        for place, both in shared.items():
            yield CheckFinding(
                code="LEAK",
                severity="error",
                at=f"dims.{place}",
                line=dim.line,
                reason=f"{len(both)} of the {name}s that decide were trained on: {', '.join(both)}",
                fix=f"decide on {name}s that no stage has seen",
            )


def _trained(bound: Bound, measure: BoundMeasure, ref: Ref, dim: str) -> set[str]:
    """Levels of ``dim`` that the stages of the selected arms, up to the measurement, were trained on."""
    seen: set[str] = set()
    for arm in bound.arms:
        if arm.name not in ref.select.get("arm", ()):
            continue
        for use in arm.stages[: measure.stage.get(arm.name, 0)]:
            if use.kind not in STAGES.names():
                continue
            for field, info in STAGES.get(use.kind).Params.model_fields.items():
                if any(isinstance(mark, LevelsOf) and mark.dim == dim for mark in info.metadata):
                    seen.update(use.params.get(field, ()))
    return seen


def _place(dim: Dim, levels: tuple[str, ...]) -> str:
    """The registered set that the levels are, as a dotted key below ``dims``."""
    for name, members in dim.sets.items():
        if set(members) == set(levels):
            return f"{dim.name}.sets.{name}"
    return dim.name
