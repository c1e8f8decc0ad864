"""The meaning of a registration: a digest that comments, order, formatting and file names do not change."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from pydantic import BaseModel

from harness.compile.recorded import DATA_PREFIX
from harness.contracts.bound import Bound, BoundMeasure, DataSource, Dim, ModelSource
from harness.contracts.records import FileRef
from harness.contracts.trees import Expression, Ref
from harness.core.ident import digest, file_digest
from harness.spec import model
from harness.spec.scalars import Quantity

_NOT_MEANING = frozenset({"line", "text", "expect", "meaning", "missing", "overridden", "dims", "sweeps"})
"""Fields of records that say where or how something was written, or that follow from others.

Mapping keys have no order, so neither have records with names; levels keep theirs in the dims.
"""
_AS_THEY_ARE = frozenset({str, int, float, bool, type(None)})
_LONGEST_PATH = 200
"""A judge's prompt is given as text or as a file; what is longer is text."""


def meaning_of(bound: Bound, prereg: model.Prereg, folder: Path) -> str:
    """Return the SHA-256 of :func:`meaning_document`."""
    return digest(meaning_document(bound, prereg, folder))


def meaning_document(bound: Bound, prereg: model.Prereg, folder: Path) -> dict[str, Any]:
    """Return what was registered as plain JSON values, defaults written out. A seal holds it.

    A recorded table outside the repository (``file: data:NAME``) counts by its name and declared digest alone, so
    that the meaning is the same on a machine that does not have the file.

    Args:
        bound: the registration; its own ``meaning`` does not count.
        prereg: the same as typed, for what binding does not carry on.
        folder: where the prereg lies, and with it the prompts of judges.
    """
    declared = {name: spec.sha256 for name, spec in prereg.measures.items() if spec.file.startswith(DATA_PREFIX)}
    fields = {name: getattr(bound, name) for name in Bound.model_fields if name not in _NOT_MEANING | {"file"}}
    plain = {name: _plain(value, declared) for name, value in fields.items()}
    plain["dims"] = _plain(bound.dims, declared)
    return {**plain, "as_written": _as_written(bound, prereg, folder)}


def _as_written(bound: Bound, prereg: model.Prereg, folder: Path) -> dict[str, Any]:
    """Return what no bound record holds: it decides nothing now, and changing it is a change all the same."""
    used = {use.recipe for arm in bound.arms for use in arm.stages}
    unknown = {measure.name for measure in bound.measures if measure.family == "missing"}
    measures = {}
    for name, spec in prereg.measures.items():
        measures[name] = {key: getattr(spec, key) for key in ("at", "of", "judge", "run_when")}
        if spec.file.startswith(DATA_PREFIX):
            measures[name]["file"] = spec.file
        if name in unknown:
            measures[name] |= {key: _written(getattr(spec, key)) for key in type(spec).model_fields}
    return {
        "rehearsal": prereg.rehearsal,
        "looks": _written(prereg.looks),
        "inference": _written(prereg.inference),
        "measures": measures,
        "recipes": {name: _written(recipe) for name, recipe in prereg.recipes.items() if name not in used},
        "prompts": {
            name: file_digest(folder / judge.prompt)
            for name, judge in prereg.judges.items()
            if judge.prompt and len(judge.prompt) < _LONGEST_PATH and (folder / judge.prompt).is_file()
        },
    }


def _written(value: Any) -> Any:
    if isinstance(value, Quantity):
        return f"{value.value} {value.unit}"
    if isinstance(value, BaseModel):
        return {name: _written(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {str(key): _written(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_written(item) for item in value]
    return value


def _plain(value: Any, declared: Mapping[str, str]) -> Any:
    if type(value) in _AS_THEY_ARE:  # Nearly all of them: asked first, this takes half the time.
        return value
    if isinstance(value, FileRef):
        return value.sha256
    if isinstance(value, BaseModel):
        plain = {
            name: _plain(getattr(value, name), declared) for name in type(value).model_fields
            if name not in _NOT_MEANING
        }  # fmt: skip
        return _adjusted(value, plain, declared)
    if isinstance(value, Mapping):
        return {str(key): _plain(item, declared) for key, item in value.items()}
    if isinstance(value, tuple) and value and all(isinstance(one, BaseModel) and hasattr(one, "name") for one in value):
        return {item.name: _plain(item, declared) for item in value if not _follows(item)}
    if isinstance(value, (list, tuple)):
        return [_plain(item, declared) for item in value]
    return value


def _follows(item: Any) -> bool:
    """Inline formulas follow from the criteria that hold them."""
    return isinstance(item, Expression) and not item.named


def _adjusted(value: BaseModel, plain: dict[str, Any], declared: Mapping[str, str]) -> dict[str, Any]:
    if isinstance(value, Ref):
        plain["select"] = {dim: sorted(levels) for dim, levels in value.select.items()}
    elif isinstance(value, Expression):
        del plain["levels"], plain["thresholds"]
    elif isinstance(value, Dim):
        del plain["file"]  # its levels, texts and columns count
    elif isinstance(value, BoundMeasure):
        plain["levels"] = {dim: sorted(levels) for dim, levels in value.levels.items()}
        if value.name in declared:
            plain["file"] = declared[value.name]
    elif isinstance(value, (ModelSource, DataSource)):
        plain["path"] = PurePath(value.path).name
        if isinstance(value, ModelSource) and value.engine == "auto":
            del plain["engine"]  # nothing was registered; seals that are older than the key still hold
    return plain
