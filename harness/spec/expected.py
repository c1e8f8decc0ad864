"""What a model's schema says about a place in it: the keys it may have, and what a value was expected to be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from harness.spec.model import Recipe

_WORDS = {
    "dict_type": "a mapping of names", "model_type": "a mapping", "tuple_type": "a list", "string_type": "a text",
    "model_attributes_type": "a mapping",
    "bool_parsing": "yes or no", "float_parsing": "a number", "int_parsing": "a whole number",
    "int_from_float": "a whole number", "finite_number": "a number that is not infinite",
}  # fmt: skip
_BOUNDS = {
    "ge": "greater than or equal to", "gt": "greater than", "le": "less than or equal to", "lt": "less than",
}  # fmt: skip
_MODULE = "the name of a module, such as q_proj: letters, digits, '_' and '.'"
_OUT_OF_BOUNDS = ("greater_than_equal", "greater_than", "less_than_equal", "less_than")


def expectation(item: Any, model: type[BaseModel]) -> tuple[str, str]:
    """Return what a value that pydantic refused should have been, and a hint where a slip is likely."""
    kind, context = item["type"], item.get("ctx", {})
    if kind in _OUT_OF_BOUNDS:
        bounds = _bounds_at(model, item["loc"])
        told = [f"{_BOUNDS[name]} {bounds[name]:g}" for name in _BOUNDS if name in bounds]
        if told:
            return " and ".join(told), _in_hundredths(item.get("input"), bounds)
    if kind == "too_short":
        fewest = context["min_length"]
        return "at least one entry" if fewest == 1 else f"at least {fewest} entries", ""
    if kind == "string_pattern_mismatch":
        return "letters, digits, '_', '.' and '-'" if "-]" in context["pattern"] else _MODULE, ""
    if kind == "string_too_long":
        return f"at most {context['max_length']} characters", ""
    message = str(item["msg"]).removeprefix("Input should be ").removeprefix("Value error, ")
    return _WORDS.get(kind, message[:1].lower() + message[1:]), ""


def _in_hundredths(value: Any, bounds: dict[str, float]) -> str:
    """Return the hint for per cents that stand where a number up to 1 is meant: 95 -> 0.95."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return ""
    meant = number / 100
    if bounds.get("le", bounds.get("lt")) != 1 or not 1 < number < 100 or meant < bounds.get("ge", 0):
        return ""
    return f"for {number:g}% write {meant:g}"


def _bounds_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> dict[str, float]:
    """Return the limits of the number at a place: ``ge``, ``gt``, ``le`` and ``lt``, as far as it has them."""
    names = [part for part in loc if isinstance(part, str)]
    found = _model_at(model, tuple(loc[: loc.index(names[-1])])) if names else None
    bounds: dict[str, float] = {}
    for name, info in found.model_fields.items() if found is not None else ():
        for mark in _marks(info) if names[-1] in (name, info.alias) else ():
            bounds |= {bound: limit for bound in _BOUNDS if (limit := getattr(mark, bound, None)) is not None}
    return bounds


def _marks(info: FieldInfo) -> Iterator[Any]:
    """Yield the constraints of a field and of the items that it holds."""
    yield from info.metadata
    open_ = list(get_args(info.annotation))
    while open_:
        part = open_.pop()
        if isinstance(part, FieldInfo):
            yield from part.metadata
        else:
            open_ += get_args(part)


def known_keys(model: type[BaseModel], loc: tuple[int | str, ...]) -> set[str]:
    """Return the keys that a mapping at ``loc`` inside a model may have, as users write them."""
    found = _model_at(model, loc)
    if found is None:
        return set()
    names = {info.alias or name for name, info in found.model_fields.items()}
    return names - ({"params"} if found.__name__ == "Measure" or found is Recipe else set())


def _model_at(model: Any, loc: tuple[int | str, ...]) -> type[BaseModel] | None:
    """Follow field names and container items through annotations to the model at the end."""
    models = _models_in(model)
    if not loc:
        return models[0] if models else None
    for candidate in models:
        for name, info in candidate.model_fields.items():
            if loc[0] in (name, info.alias):
                return _model_at(info.annotation, loc[1:])
    # A name in a mapping or a position in a list: the container's item type is the same for all.
    return _model_at(model, loc[1:]) if _is_container(model) else None


def _is_container(annotation: Any) -> bool:
    return not (isinstance(annotation, type) and issubclass(annotation, BaseModel))


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]
