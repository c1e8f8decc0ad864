"""How each measure was laid out, in the counts that prose may say."""

from __future__ import annotations

from harness.contracts.bound import Bound, BoundMeasure
from reports.records import Design
from reports.setup import file_name


def designs(bound: Bound) -> tuple[Design, ...]:
    """Return every measure's layout, in the order of the registration."""
    return tuple(_design(measure) for measure in bound.measures)


def _design(measure: BoundMeasure) -> Design:
    inference = measure.inference
    return Design(
        name=measure.name,
        family=measure.family,
        kind=measure.kind,
        dims={dim: len(measure.levels[dim]) for dim in measure.dims if dim in measure.levels},
        over=inference.over if inference else (),
        cells=bool(inference and inference.cells),
        each=_each(measure),
        source=file_name(measure.file.path) if measure.file else "",
        data=measure.file.sha256 if measure.file else "",
    )


def _each(measure: BoundMeasure) -> int | None:
    count = str(measure.params.get("completions", ""))
    return int(count) if measure.family == "eval" and count.isdigit() else None
