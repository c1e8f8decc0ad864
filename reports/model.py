"""Build the report's model: everything results.json holds and everything the templates may say.

The model is a pure function of the registration, the decision, the estimates and the extras, so that equal
results are equal bytes on every machine.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.contracts.bound import Bound
from harness.contracts.display import display_unit
from harness.contracts.records import Decision, Estimate, Interval
from harness.contracts.trees import PValue
from harness.core.errors import PreregError
from harness.decide.sides import constant
from reports import links
from reports.caveats import caveats
from reports.designs import designs
from reports.figure_data import figure_data
from reports.inference import comparisons
from reports.marks import deciding_names, registered_marks
from reports.records import (
    Artifact,
    Completions,
    Departure,
    EstimateRow,
    Extras,
    PRow,
    Registration,
    Replay,
    ReportModel,
    RunInfo,
    Sample,
    Scatter,
    SideValue,
    Training,
)
from reports.samples import conditions
from reports.setup import file_name, model_source, setup_tables

__all__ = [
    "Artifact",
    "Completions",
    "Extras",
    "Replay",
    "ReportModel",
    "RunInfo",
    "Sample",
    "Training",
    "build",
    "load",
    "results_json",
]


def build(
    bound: Bound, decision: Decision, estimates: Mapping[str, Estimate], extras: Extras | None = None
) -> ReportModel:
    """Build the model of a report.

    Args:
        bound: The registration.
        decision: What was decided on it.
        estimates: By expression name; expressions without an estimate are left out.
        extras: Samples, training logs and artifacts.
    """
    extras = extras or Extras()
    rows = tuple(_rows(bound, estimates))
    marks = tuple(registered_marks(bound, decision))
    found = conditions(bound, extras)
    return ReportModel(
        registration=_registration(bound),
        decision=decision,
        claimed_when=next((claim.text for claim in bound.confidence if claim.word == decision.confidence.claimed), ""),
        guards={gate.name: gate.targets for gate in bound.gates},
        estimates=rows,
        marks=marks,
        comparisons=comparisons(bound, estimates, rows),
        scatters=tuple(_scatters(bound, estimates)),
        caveats=caveats(bound, decision, estimates, rows, marks, extras),
        differs=tuple(Departure(source=n.source, at=n.at, because=n.because) for n in bound.differs),
        allow=tuple(Departure(source=n.source, at=n.at, because=n.because) for n in bound.allow),
        missing=bound.missing,
        sampled=any(measure.family == "eval" for measure in bound.measures),
        recorded=tuple(measure.name for measure in bound.measures if measure.family == "recorded"),
        measured=tuple(measure.name for measure in bound.measures if measure.family in ("eval", "probe")),
        conditions=found,
        completions=extras.completions,
        training=extras.training,
        setup=setup_tables(bound, extras.engines),
        replays=extras.replays,
        breakdowns=extras.breakdowns,
        designs=designs(bound),
        registered_outcomes=len(bound.triage),
        artifacts=extras.artifacts,
        figures=figure_data(bound, estimates, extras),
        tally=_tally(bound, decision),
    )


def results_json(model: ReportModel) -> bytes:
    """Return the bytes of results.json: indented, floats in full.

    Keys stand in the order of the model: a report that is written again from the file lists dims as the first one did.

    Raises:
        PreregError: a value is NaN or infinite; nothing missing may pass as a number.
    """
    content = model.model_dump(mode="python")
    bad = _not_finite(content)
    if bad:
        raise PreregError(f"results.json cannot hold a value that is not finite: {', '.join(bad[:5])}")
    text = json.dumps(model.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def load(path: Path) -> ReportModel:
    """Read a results.json back."""
    return ReportModel.model_validate_json(path.read_bytes())


def _registration(bound: Bound) -> Registration:
    return Registration(
        id=bound.id,
        title=bound.title,
        question=bound.question,
        parents=bound.parents,
        source=file_name(bound.file),
        meaning=bound.meaning,
        rehearsal=bound.rehearsal,
        overridden=bound.overridden,
        retrospective=bound.retrospective,
        budget_gpu_hours=bound.budget_gpu_hours,
        models=tuple(model_source(model) for model in bound.models),
        arms={arm.name: arm.label for arm in bound.arms},
    )


def _rows(bound: Bound, estimates: Mapping[str, Estimate]) -> Iterator[EstimateRow]:
    deciding = deciding_names(bound)
    tests = _tests(bound, estimates)
    for expression in bound.expressions:
        estimate = estimates.get(expression.name)
        if estimate is None:
            continue
        sides = links.contrast(expression.tree)
        yield EstimateRow(
            estimate=estimate,
            named=expression.named,
            deciding=expression.name in deciding,
            display=display_unit(expression.tree, expression.unit),
            measures=links.measures_of(expression.tree),
            contrast=links.contrast_label(sides, bound) if sides else "",
            sides=tuple(_sides(sides, bound, estimates)) if sides else (),
            tests=tuple(tests.get(expression.name, ())),
        )


def _sides(sides: links.Contrast, bound: Bound, estimates: Mapping[str, Estimate]) -> Iterator[SideValue]:
    for ref, other in ((sides.left, sides.right), (sides.right, sides.left)):
        found = links.cell_of(ref, bound, estimates)
        if found:
            name, cell = found
            label = links.side_label(ref, other, bound)
            yield SideValue(label=label, estimate=name, value=cell.value, exact=cell.exact)


def _tests(bound: Bound, estimates: Mapping[str, Estimate]) -> dict[str, list[PRow]]:
    """p-values by the name of the estimand that they test."""
    found: dict[str, list[PRow]] = {}
    for expression in bound.expressions:
        tree, estimate = expression.tree, estimates.get(expression.name)
        if not isinstance(tree, PValue) or estimate is None or len(estimate.cells) != 1:
            continue
        of, two_sided = links.tested(tree)
        threshold = constant(tree.threshold)
        cell = estimate.cells[0]
        test = PRow(
            name=expression.name,
            rel=tree.rel,
            threshold=None if threshold is None else float(threshold),
            two_sided=two_sided,
            null=_null(tree),
            value=cell.value,
            reason=cell.reason,
        )
        for other in bound.expressions:
            if other.tree == of:
                found.setdefault(other.name, []).append(test)
    return found


def _null(tree: PValue) -> str:
    if tree.null is None:
        return ""
    return f"{tree.null} {tree.dim}" + (f" within {tree.within}" if tree.within else "")


def _scatters(bound: Bound, estimates: Mapping[str, Estimate]) -> Iterator[Scatter]:
    for expression in bound.expressions:
        found = links.correlated(expression, bound)
        if found and expression.name in estimates and found[0].name in estimates and found[1].name in estimates:
            yield Scatter(estimate=expression.name, x=found[0].name, y=found[1].name, dim=found[2])


def _tally(bound: Bound, decision: Decision) -> dict[str, int]:
    primary = [result for result in decision.hypotheses if result.role == "primary"]
    return {
        "hypotheses": len(decision.hypotheses),
        "primary": len(primary),
        "primary_supported": sum(result.verdict == "supported" for result in primary),
        "clauses": sum(len(result.clauses) for result in decision.hypotheses),
        "gates": len(decision.gates),
        "gates_passed": sum(gate.truth == "true" for gate in decision.gates),
        "kills": len(decision.kills),
        "kills_true": sum(kill.truth == "true" for kill in decision.kills),
        "estimands": sum(expression.named for expression in bound.expressions),
        "measures": len(bound.measures),
        "arms": len(bound.arms),
        "differs": len(bound.differs),
        "allow": len(bound.allow),
        "overridden": len(bound.overridden),
    }


def _not_finite(value: Any, path: str = "") -> list[str]:
    if isinstance(value, float):
        return [] if math.isfinite(value) else [path]
    if isinstance(value, Interval):
        value = value.model_dump()
    if isinstance(value, Mapping):
        return [bad for key, item in value.items() for bad in _not_finite(item, f"{path}.{key}".lstrip("."))]
    if isinstance(value, list | tuple):
        return [bad for index, item in enumerate(value) for bad in _not_finite(item, f"{path}[{index}]")]
    return []
