"""The meaning of a registration: a digest that comments, order, formatting and file names do not change."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from pydantic import BaseModel

from harness.contracts.bound import Bound, BoundMeasure, DataSource, Dim, ModelSource
from harness.contracts.records import FileRef
from harness.contracts.trees import Expression, Ref
from harness.core.ident import digest

_NOT_MEANING = frozenset({"line", "text", "expect", "meaning", "missing", "overridden", "dims", "sweeps"})
"""Fields of records that say where or how something was written, or that follow from others.

Mapping keys have no order, so neither have records with names; levels keep theirs in the dims.
"""


def meaning_of(bound: Bound, declared: Mapping[str, str]) -> str:
    """Return the SHA-256 of what was registered, defaults written out.

    Args:
        bound: the registration; its own ``meaning`` does not count.
        declared: the registered digest of each measure whose table lies outside the repository. Such a table counts
            by it alone, so that the meaning is the same on a machine that does not have the file.
    """
    fields = {name: getattr(bound, name) for name in Bound.model_fields if name not in _NOT_MEANING | {"file"}}
    plain = {name: _plain(value, declared) for name, value in fields.items()}
    plain["dims"] = _plain(bound.dims, declared)
    return digest(plain)


def _plain(value: Any, declared: Mapping[str, str]) -> Any:
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
    return plain
