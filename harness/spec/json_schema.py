"""The JSON Schema (draft 2020-12) of the YAML, for editors: completion, hover text, and unknown keys underlined.

Editors see YAML 1.2 types where the loader sees text, so a text admits numbers (``title: 310``), a number admits a text
that looks like one (``1e-4``), and yes and no are words. What a schema cannot say (names that must exist, formulas,
units) is said by binding.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from harness.contracts.kinds import EVALS, PROBES, STAGES, LevelsOf
from harness.contracts.records import UNITS, Record
from harness.core.registry import Registry
from harness.spec import model
from harness.spec.hover import HOVER
from harness.spec.rehearsal import SECTIONS
from harness.spec.scalars import Float, Int, Name, Rows, SomeTexts, Text, Texts, Unit, YesNo

DRAFT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]

_NUMBER = r"[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?"
_NAME = "^[A-Za-z_][A-Za-z0-9_]*$"
_DOLLAR = r"^\$[A-Za-z_][A-Za-z0-9_]*$"
TEXT: Schema = {"type": ["string", "number", "boolean"]}
TEXTS: Schema = {"anyOf": [TEXT, {"type": "array", "items": TEXT}]}
INTEGER: Schema = {"type": ["integer", "string"], "pattern": "^[+-]?[0-9]+$"}
NUMBER: Schema = {"type": ["number", "string"], "pattern": f"^[+-]?{_NUMBER}$"}
QUANTITY: Schema = {
    "type": ["number", "string"], "pattern": rf"^[+-]?{_NUMBER}\s*(%|pp|points|deg|bits|nats|tokens)?$",
}  # fmt: skip
SOME_TEXTS: Schema = {"anyOf": [TEXT, {"type": "array", "items": TEXT, "minItems": 1}]}
YES_NO: Schema = {"enum": ["yes", "no"]}
RANGE: Schema = {"type": "string", "pattern": r"^[0-9]+\s*\.\.\s*[0-9]+$"}
_SCALARS: tuple[tuple[Any, Schema], ...] = (
    (Text, TEXT), (Texts, TEXTS), (Int, INTEGER), (Float, NUMBER), (YesNo, YES_NO), (Rows, RANGE),
    (Unit, {"enum": [*UNITS, "%", "pp"]}), (model.Share, QUANTITY), (model.ErrorRate, QUANTITY),
    (model.IntervalLevel, QUANTITY), (SomeTexts, SOME_TEXTS), (Name, {"type": "string", "pattern": _NAME}),
)  # fmt: skip
_PLAIN: dict[Any, Schema] = {str: TEXT, int: INTEGER, float: NUMBER, bool: YES_NO, Any: {}}
_LIMITS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
_SHARED = ("of", "judge", "file", "columns", "truncated", "unscorable")
"""Keys of a measure that only kinds which ask for them take."""


def prereg_schema() -> Schema:
    """Return the schema of a prereg with every kind that is declared (``harness.compose.declare_kinds``)."""
    return _Writer().whole()


class _Writer:
    def __init__(self) -> None:
        self.defs: dict[str, Schema] = {}
        self.named: dict[str, type[BaseModel]] = {}

    def whole(self) -> Schema:
        top = self._object(model.Prereg, dollar=False)
        top["properties"]["prereg"] = {"enum": [1, "1"], "description": HOVER["Prereg.prereg"]}
        top["properties"]["measures"] |= {"additionalProperties": self._measure(), "minProperties": 1}
        top["properties"]["recipes"] |= {"additionalProperties": self._recipe()}
        top["properties"]["rehearsal"] |= self._rehearsal()
        head = {"$schema": DRAFT, "title": "A preregistration"}
        self.defs["Dim"]["properties"]["levels"]["anyOf"] = [{"type": "array"}, RANGE]
        del self.defs["Dim"]["properties"]["levels"]["type"], self.defs["Dim"]["properties"]["levels"]["items"]
        for unused in ("Measure", "Recipe", "TriageRow"):  # written by kind, and as rows
            del self.defs[unused]
        return {**head, **top, "$defs": dict(sorted(self.defs.items()))}

    # --- sections and records ---

    def _object(self, record: type[BaseModel], *, dollar: bool, leave: tuple[str, ...] = ()) -> Schema:
        """Return an object with the keys that users write; ``dollar`` lets every value be a ``$dim``."""
        properties, required = {}, []
        for name, info in record.model_fields.items():
            key = info.alias or name
            if key in leave:
                continue
            properties[key] = self._field(record, key, info, dollar)
            if info.is_required():
                required.append(key)
        found: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
        if required:
            found["required"] = required
        return found | _described(record)

    def _field(self, record: type[BaseModel], key: str, info: FieldInfo, dollar: bool) -> Schema:
        marked: Any = Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation
        found = dict(self._type(marked, dollar))
        text = HOVER.get(f"{record.__name__}.{key}", info.description or "")
        if not info.is_required() and info.default != "" and isinstance(info.default, str | int | float):
            text = f"{text + ' ' if text else ''}Default: {_written(info.default)}."
        return {**found, "description": text} if text else found

    def _ref(self, record: type[BaseModel], dollar: bool) -> Schema:
        name = record.__name__
        if self.named.setdefault(name, record) is not record:  # two kinds may have a record of one name
            name = f"{record.__module__.rpartition('.')[2]}_{name}"
        if name not in self.defs:
            self.defs[name] = {}
            self.defs[name] = self._object(record, dollar=dollar)
        return {"$ref": f"#/$defs/{name}"}

    # --- types ---

    def _type(self, wanted: Any, dollar: bool) -> Schema:
        for scalar, schema in _SCALARS:
            if wanted == scalar:
                return schema
        if get_origin(wanted) is Annotated:
            return self._annotated(get_args(wanted), dollar)
        found = self._unmarked(wanted, dollar)
        return {"anyOf": [found, {"type": "string", "pattern": _DOLLAR}]} if dollar and found else found

    def _annotated(self, parts: tuple[Any, ...], dollar: bool) -> Schema:
        inner, *marks = parts
        if any(isinstance(mark, LevelsOf) for mark in marks):
            return TEXTS
        if isinstance(inner, type) and issubclass(inner, BaseModel) and inner in _SPECIAL:
            return _SPECIAL[inner](self._ref(inner, dollar))
        if inner == tuple[str, ...] | str:
            return TEXTS
        for scalar, schema in _SCALARS:  # a scalar with a pattern or a limit of its own
            if get_origin(scalar) is Annotated and get_args(scalar) == (inner, *marks[:1]):
                return {**schema, **_limits(marks[1:])}
        found = self._type(inner, False)
        fewest = {"object": "minProperties", "array": "minItems"}.get(str(found.get("type")), "")
        limited = found | _limits(marks, fewest) if "type" in found else found
        return {"anyOf": [limited, {"type": "string", "pattern": _DOLLAR}]} if dollar else limited

    def _unmarked(self, wanted: Any, dollar: bool) -> Schema:
        if wanted in _PLAIN:
            return _PLAIN[wanted]
        origin, args = get_origin(wanted), get_args(wanted)
        if origin is Literal:
            return {"enum": list(args)}
        if origin in (Union, types.UnionType):
            options = [self._type(arg, False) for arg in args if arg is not type(None)]
            return options[0] if len(options) == 1 else {"anyOf": options}
        if origin is tuple:
            return {"type": "array", "items": self._type(args[0], dollar)}
        if origin is dict:
            return self._names(args, dollar)
        if isinstance(wanted, type) and issubclass(wanted, BaseModel):
            return self._ref(wanted, dollar)
        return {}

    def _names(self, args: tuple[Any, ...], dollar: bool) -> Schema:
        inner = self._type(args[1], dollar)
        if get_origin(args[0]) is Literal:
            return {"type": "object", "properties": dict.fromkeys(get_args(args[0]), inner),
                    "additionalProperties": False}  # fmt: skip
        names = {"pattern": _NAME} if args[0] == Name else {}
        return {"type": "object", "additionalProperties": inner, **({"propertyNames": names} if names else {})}

    # --- kinds ---

    def _measure(self) -> Schema:
        kinds: dict[str, Schema] = {}
        for registry in (EVALS, PROBES):
            for name in registry.names():
                kinds[name] = self._kind(registry, name, self._generic(registry.get(name).Params))
        recorded = self._object(model.Measure, dollar=False, leave=("params", "arm", "at", "of", "judge"))
        recorded["additionalProperties"] = {**TEXTS, "description": "Levels or sets of a dim: rows that are read."}
        kinds["recorded"] = recorded | {"required": ["kind", "file", "columns"], "description": HOVER["recorded"]}
        return self._by_kind("measure", kinds)

    def _generic(self, params: type[Record]) -> Mapping[str, Schema]:
        takes = {info.alias or name for name, info in params.model_fields.items()}
        leave = ("params", *(key for key in (*_SHARED, "sha256") if key not in takes))
        properties: dict[str, Schema] = self._object(model.Measure, dollar=False, leave=leave)["properties"]
        return properties

    def _recipe(self) -> Schema:
        prepared = {STAGES.get(name).prepare for name in STAGES.names()}
        return self._by_kind("recipe", {name: self._kind(STAGES, name, {}) for name in STAGES.names()
                                        if name not in prepared})  # fmt: skip

    def _kind(self, registry: Registry[Any], name: str, generic: Mapping[str, Schema]) -> Schema:
        kind = registry.get(name)
        own = self._object(kind.Params, dollar=True, leave=tuple(generic))
        own["properties"] = {"kind": {"const": name}, **own["properties"], **generic}
        own["properties"]["kind"] = {"const": name}
        own["required"] = ["kind", *own.get("required", ())]
        said = [inspect.getdoc(inspect.getmodule(kind)), own.get("description")]
        return own | {"description": "\n\n".join(text.replace("``", "`") for text in said if text)}

    def _by_kind(self, what: str, kinds: Mapping[str, Schema]) -> Schema:
        cases = []
        for name, schema in kinds.items():
            self.defs[f"{what} {name}".replace(" ", "_")] = schema
            cases.append({
                "if": {"properties": {"kind": {"const": name}}, "required": ["kind"]},
                "then": {"$ref": f"#/$defs/{what}_{name}"},
            })  # fmt: skip
        kind = {"enum": list(kinds), "description": HOVER[f"{what}.kind"]}
        return {"type": "object", "properties": {"kind": kind}, "required": ["kind"], "allOf": cases}

    def _rehearsal(self) -> Schema:
        sections: dict[str, Schema] = {name: {"type": "object"} for name in SECTIONS}
        sections["inference"] = {"type": "object", "properties": {"draws": INTEGER}, "additionalProperties": False}
        return {"properties": sections, "additionalProperties": False}


def _written(default: object) -> str:
    if isinstance(default, bool):
        return "yes" if default else "no"
    return repr(default) if isinstance(default, str) else f"{default}"


def _rule(ref: Schema) -> Schema:
    return {"anyOf": [TEXT, ref]}


def _row(ref: Schema) -> Schema:
    text = {"type": "string", "pattern": "->"}
    return {"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": text}


def _dim(ref: Schema) -> Schema:
    return {"anyOf": [{"type": "array"}, ref]}


_SPECIAL: dict[type[BaseModel], Callable[[Schema], Schema]] = {
    model.Gate: _rule, model.Kill: _rule, model.TriageRow: _row, model.Dim: _dim,
}  # fmt: skip
"""Sections that may be written shorter."""


def _described(record: type[BaseModel]) -> Schema:
    text = inspect.getdoc(record) or ""
    return {"description": text.replace("``", "`")} if text else {}


def _limits(marks: list[Any], fewest: str = "") -> Schema:
    found: Schema = {}
    for mark in marks:
        for name, key in _LIMITS.items():
            if getattr(mark, name, None) is not None:
                found[key] = getattr(mark, name)
        for inner in getattr(mark, "metadata", None) or ():
            found |= _limits([inner], fewest)
        if fewest and getattr(mark, "min_length", None):
            found[fewest] = mark.min_length
        if getattr(mark, "pattern", None):
            found["pattern"] = mark.pattern
    return found
