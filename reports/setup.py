"""The setup tables of a report: the actual values of the registration, flattened from the bound prereg."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import PurePath
from typing import Any

from harness.compile.arms import base_models
from harness.contracts.bound import Arm, Bound, BoundMeasure, DataSource, ModelSource, StageUse
from harness.contracts.records import Inference
from harness.core.numbers import count_noun, format_level, format_threshold
from reports.records import SetupTable

BANK = "bank "
"""How the source of a dim's levels begins in the table of data."""
_KEY_VALUE = ("key", "value")


_ENGINE = ("work", "engine", "device", "number format", "beside it")


def setup_tables(bound: Bound, engines: tuple[tuple[str, ...], ...] = ()) -> tuple[SetupTable, ...]:
    """Return the tables Model, Engine (where a model was run), Arms, Training, Data, Eval and Dims."""
    ran = (SetupTable(name="Engine", header=_ENGINE, rows=engines),) if engines else ()
    return (_models(bound), *ran, *_arms(bound), _training(bound), _data(bound), _eval(bound), _dims(bound))


def describe_inference(inference: Inference | None) -> str:
    """Say how a measure's numbers are drawn again, for tables."""
    if inference is None or not inference.over:
        return "not drawn again (no intervals)"
    dims = " and ".join(inference.over)
    what = f"cells of {dims}" if inference.cells else dims
    ties = "shared draws for both sides" if inference.paired else "each side on its own"
    return f"{what}, {ties}, level {format_level(inference.level)}"


def file_name(path: str) -> str:
    """Return a path's last part: folders differ between machines, digests do not."""
    return PurePath(path).name


def _models(bound: Bound) -> SetupTable:
    rows = tuple((model.name, model_source(model), model.revision or "none stated") for model in bound.models)
    note = "" if rows else "No model is loaded: the numbers are read from recorded tables."
    return SetupTable(name="Model", header=("model", "source", "revision"), rows=rows, note=note)


def model_source(model: ModelSource) -> str:
    """Say where a base model comes from: its hub name, or its folder's last part."""
    if model.embedded:
        return "the embedded toy model, trained from scratch"
    return model.hf or file_name(model.path)


def _arms(bound: Bound) -> tuple[SetupTable, ...]:
    if not bound.arms:
        return ()
    rows = tuple((arm.name, arm.label, ", ".join(base_models(bound, arm)), _stages(arm)) for arm in bound.arms)
    return (SetupTable(name="Arms", header=("arm", "label", "model", "stages"), rows=rows),)


def _stages(arm: Arm) -> str:
    return " → ".join(_stage_name(stage) for stage in arm.stages) or "none: the base model itself"


def _stage_name(stage: StageUse) -> str:
    fixed = ", ".join(stage.fixed.values())
    return f"{stage.recipe}({fixed})" if fixed else stage.recipe


def _training(bound: Bound) -> SetupTable:
    stages = {stage.recipe: stage for arm in bound.arms for stage in arm.stages}
    levels = {dim.name: dim.levels for dim in bound.dims}
    rows = tuple(
        (stage.recipe, key, value)
        for stage in stages.values()
        for key, value in (("kind", stage.kind), *_flat(_with_levels(stage.params, levels)))
    )
    note = "" if rows else "Nothing is trained."
    return SetupTable(name="Training", header=("recipe", *_KEY_VALUE), rows=rows, note=note)


def _data(bound: Bound) -> SetupTable:
    rows = [(source.name, _data_source(source), _data_digest(source)) for source in bound.data]
    rows += [
        (measure.name, f"recorded table {file_name(measure.file.path)}", f"sha256 {measure.file.sha256}")
        for measure in bound.measures
        if measure.file
    ]
    rows += [
        (dim.name, f"{BANK}{file_name(dim.file.path)}", f"sha256 {dim.file.sha256}") for dim in bound.dims if dim.file
    ]
    note = "" if rows else "No data set or bank is read."
    return SetupTable(name="Data", header=("name", "source", "digest"), rows=tuple(rows), note=note)


def _data_source(source: DataSource) -> str:
    if source.register_name:
        where = f"generated, register {source.register_name}"
    elif source.hf:
        where = f"{source.hf} at {source.revision or 'no stated revision'}"
    else:
        where = file_name(source.path)
    return where + (f", rows {source.rows[0]}–{source.rows[1]}" if source.rows else ", all rows")


def _data_digest(source: DataSource) -> str:
    if source.sha256:
        return f"sha256 {source.sha256}"
    return f"md5 {source.md5}" if source.md5 else "by revision" if source.revision else "by seed"


def _eval(bound: Bound) -> SetupTable:
    rows = tuple((measure.name, key, value) for measure in bound.measures for key, value in _measure_rows(measure))
    return SetupTable(name="Eval", header=("measure", *_KEY_VALUE), rows=rows)


def _measure_rows(measure: BoundMeasure) -> Iterator[tuple[str, str]]:
    yield "kind", measure.kind
    dims = [dim for dim in measure.dims if dim in measure.levels]
    yield "table", " × ".join(count_noun(len(measure.levels[dim]), dim) for dim in dims)
    yield "resample", describe_inference(measure.inference)
    if measure.reproduces:
        yield "reproduces", _reference(measure.reproduces)
    for policy, settings in (("truncated", measure.truncated), ("unscorable", measure.unscorable)):
        if settings:
            given = [f"{key} {value}" for key, value in settings.items() if value not in ("", "none", None)]
            yield policy, ", ".join(given)
    if measure.family != "recorded":
        told = {*measure.dims, "truncated", "unscorable"}
        yield from _flat({key: value for key, value in measure.params.items() if key not in told})


def _dims(bound: Bound) -> SetupTable:
    rows = []
    for dim in bound.dims:
        rows.append((dim.name, "all", str(len(dim.levels)), _levels(dim.levels), dim.primary or "none"))
        rows += [(dim.name, name, str(len(levels)), _levels(levels), "") for name, levels in dim.sets.items()]
    header = ("dim", "set", "levels", "which", "primary")
    return SetupTable(name="Dims", header=header, rows=tuple(rows))


def _levels(levels: tuple[str, ...], most: int = 40) -> str:
    shown = ", ".join(levels[:most])
    return shown if len(levels) <= most else f"{shown}, … ({count_noun(len(levels), 'level')})"


def _with_levels(params: dict[str, Any], levels: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    """Parameters with ``$dim`` replaced by the dim's levels: a reader wants the values."""
    found: dict[str, Any] = {}
    for key, item in params.items():
        if isinstance(item, dict):
            found[key] = _with_levels(item, levels)
        elif isinstance(item, str) and item.startswith("$") and item[1:] in levels:
            found[key] = f"{_levels(levels[item[1:]])} (each level of {item[1:]})"
        else:
            found[key] = item
    return found


def _flat(value: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, item in value.items():
        if isinstance(item, dict):
            yield from _flat(item, f"{prefix}{key}.")
        else:
            yield prefix + key, _plain(item)


def _plain(item: Any) -> str:
    if isinstance(item, str):
        return item if item.strip() else json.dumps(item)
    if isinstance(item, bool):
        return "yes" if item else "no"
    if isinstance(item, Fraction):
        return format_threshold(item)
    if item is None:
        return "none"
    if isinstance(item, list | tuple):
        return _levels(tuple(_plain(part) for part in item))
    return json.dumps(item, ensure_ascii=False)


def _reference(parent: str) -> str:
    return f"#{parent}" if parent.isdigit() else parent
