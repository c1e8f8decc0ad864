"""Arms: recipes typed by their stages, ``from:`` unrolled, levels fixed in brackets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.compile.banks import place_of
from harness.compile.params import Parameters, misspelt
from harness.contracts.bound import Arm, Bound, Dim, StageUse
from harness.contracts.kinds import STAGES
from harness.spec import model
from harness.spec.load import KeyPath
from harness.spec.read import Faults

LATER = {"merge": ("adapter",)}
"""Parameters that the language knows and the stage does not take yet."""

_STAGE = re.compile(r"([A-Za-z_]\w*)\s*(?:\(\s*([^()]*?)\s*\))?")


@dataclass(frozen=True)
class Recipe:
    """A recipe with its typed parameters; ``swept`` are its ``$dims``, ``missing`` that its stage does not exist."""

    name: str
    kind: str
    params: dict[str, Any]
    swept: tuple[str, ...]
    line: int
    missing: bool = False


def arm_sweeps(arm: Arm, stages: int) -> tuple[str, ...]:
    """Return the dims that an arm runs through, up to a number of applied stages."""
    return tuple(dict.fromkeys([*model_dim(arm), *(dim for use in arm.stages[:stages] for dim in use.sweeps)]))


def model_dim(arm: Arm) -> tuple[str, ...]:
    """Return the dim that ``model: $DIM`` runs through; nothing where the arm names its base model."""
    return (arm.model[1:],) if arm.model.startswith("$") else ()


def base_models(bound: Bound, arm: Arm) -> tuple[str, ...]:
    """Return the names of the base models that an arm starts from: one, or every level of its ``$DIM``."""
    levels = [dim.levels for dim in bound.dims if dim.name in model_dim(arm)]
    return levels[0] if levels else (arm.model,)


class Arms:
    """Binds recipes and arms of one prereg; ``missing`` gathers stages that are not implemented yet."""

    def __init__(
        self, prereg: model.Prereg, dims: Mapping[str, Dim], parameters: Parameters, faults: Faults,
        replaced: Mapping[str, tuple[str, ...]], missing: list[tuple[KeyPath, str]],
    ) -> None:  # fmt: skip
        self.prereg = prereg
        self.dims = dims
        self.parameters = parameters
        self.faults = faults
        self.replaced = replaced
        self.missing = missing
        self.recipes: dict[str, Recipe] = {}
        self.arms: dict[str, Arm] = {}
        self.open: list[str] = []

    def bind(self) -> dict[str, Arm]:
        """Return the arms that could be bound, in the order of the file."""
        for name, recipe in self.prereg.recipes.items():
            self._recipe(name, recipe.kind, recipe.params, ("recipes", name))
        for name in self.prereg.arms:
            self._arm(name)
        return {name: self.arms[name] for name in self.prereg.arms if name in self.arms}

    def _recipe(self, name: str, kind: str, raw: dict[str, Any], path: KeyPath) -> Recipe | None:
        swept = self.parameters.swept(raw, path)
        params: dict[str, Any] | None = raw
        missing = kind not in STAGES.names()
        later = [key for key in LATER.get(kind, ()) if key in raw]
        if missing:
            misspelt(kind, STAGES.names(), path, self.faults)
            self.missing.append((path, f"stage '{kind}'"))
        elif later:
            missing = True
            self.missing += [((*path, key), f"'{key}' of stage '{kind}'") for key in later]
        else:
            params = self.parameters.typed(STAGES.get(kind).Params, raw, path)
        if swept is None:
            self.faults.broken.add(("recipes", name))
            return None
        self._check_rows(raw, path)
        # Faulty values do not change what the recipe is applied to, so that what reads its arms can be judged as well.
        line = self.faults.document.line(path)
        self.recipes[name] = Recipe(name, kind, raw if params is None else params, swept, line, missing)
        return self.recipes[name]

    def _check_rows(self, raw: dict[str, Any], path: KeyPath) -> None:
        """Check that what a recipe names as ``data`` is declared (levels of a bank bring their own)."""
        data = raw.get("data")
        if not isinstance(data, str) or "*" in {name for section, name in self.faults.broken if section == "data"}:
            return
        dim = self.dims.get(data[1:]) if data.startswith("$") else None
        if dim is not None and dim.file is not None:
            return
        for level in dim.levels if dim is not None else (data,):
            if level not in self.prereg.data and not self.faults.is_broken("data", level):
                self.faults.unknown((*path, "data"), "data", level, self.prereg.data)

    def _arm(self, name: str) -> Arm | None:
        if name in self.arms or self.faults.is_broken("arms", name):
            return self.arms.get(name)
        spec, path, before = self.prereg.arms[name], ("arms", name), len(self.faults.problems)
        self.open.append(name)
        base = self._base(spec, (*path, "from"))
        self.open.pop()
        stages = list(base.stages) if base is not None else []
        good = base is not None or not spec.from_
        for index, text in enumerate(spec.stages):
            use = self._stage(text, (*path, "stages", index))
            good = good and use is not None
            if use is not None:
                stages.append(use)
        base_model = self._model(spec, base, path)
        if not good or base_model is None or len(self.faults.problems) > before:
            self.faults.broken.add(path)
            return None
        line = self.faults.document.line(path)
        self.arms[name] = Arm(name=name, label=spec.label, model=base_model, stages=tuple(stages), line=line)
        return self.arms[name]

    def _base(self, spec: model.Arm, path: KeyPath) -> Arm | None:
        if not spec.from_:
            return None
        if spec.from_ in self.open:
            self.faults.add(path, f"'{spec.from_}' goes in a circle", "an arm that does not come from this one")
            return None
        if spec.from_ not in self.prereg.arms:
            if not self.faults.is_broken("arms", spec.from_):
                self.faults.unknown(path, "arm", spec.from_, self.prereg.arms)
            return None
        return self._arm(spec.from_)

    def _model(self, spec: model.Arm, base: Arm | None, path: KeyPath) -> str | None:
        models = self.prereg.models
        if ("models", "*") in self.faults.broken:
            return None
        if not spec.model:
            if base is not None:
                return base.model
            if "base" in models or len(models) == 1:
                return "base" if "base" in models else next(iter(models))
            if not models and not self.prereg.recipes:
                return ""
            if ("models", "base") not in self.faults.broken:
                self.faults.add(path, "the arm has no model", "model: NAME, or a model called 'base' under models:")
            return None
        dim = self.dims.get(spec.model[1:]) if spec.model.startswith("$") else None
        if spec.model.startswith("$") and dim is None:
            if ("dims", spec.model[1:]) not in self.faults.broken:
                self.faults.unknown((*path, "model"), "dim", spec.model, [f"${one}" for one in self.dims])
            return None
        for name in dim.levels if dim is not None else (spec.model,):
            if name not in models and not self.faults.is_broken("models", name):
                self.faults.unknown((*path, "model"), "model", name, models)
                return None
        return spec.model

    def _stage(self, text: str, path: KeyPath) -> StageUse | None:
        match = _STAGE.fullmatch(text)
        if match is None:
            self.faults.add(path, f"found '{text}'", "RECIPE or RECIPE(LEVEL)", value=True)
            return None
        name, inside = match[1], match[2]
        recipe = self._recipe_of(name, path)
        if recipe is None:
            return None
        fixed: dict[str, str] = {}
        for word in (part.strip() for part in inside.split(",")) if inside else ():
            dim = self._dim_of(word, recipe, path)
            if dim is None:
                return None
            level = place_of(word, self.dims[dim].levels, self.replaced.get(dim, ()))
            fixed[dim] = word if word in self.prereg.choose else str(level)
        return StageUse(
            recipe=name, kind=recipe.kind, params=recipe.params, fixed=fixed, line=recipe.line,
            sweeps=tuple(dim for dim in recipe.swept if dim not in fixed),
        )  # fmt: skip

    def _recipe_of(self, name: str, path: KeyPath) -> Recipe | None:
        if name in self.recipes or self.faults.is_broken("recipes", name):
            return self.recipes.get(name)
        if name in self.prereg.recipes:
            return None
        # A stage without parameters of its own, such as merge, needs no recipe.
        if name in STAGES.names():
            return self._recipe(name, name, {}, path)
        self.faults.unknown(path, "recipe", name, dict.fromkeys([*self.prereg.recipes, *STAGES.names()]))
        return None

    def _dim_of(self, word: str, recipe: Recipe, path: KeyPath) -> str | None:
        """Find the ``$dim`` of a recipe that a word in brackets fixes."""
        found = [
            dim for dim in recipe.swept
            if place_of(word, self.dims[dim].levels, self.replaced.get(dim, ())) is not None
            or (word in self.prereg.choose and self.prereg.choose[word].of == dim)
        ]  # fmt: skip
        if len(found) == 1:
            return found[0]
        if found:
            self.faults.add(path, f"'{word}' is a level of {' and of '.join(found)}", "a level of one dim", value=True)
            return None
        known = [level for dim in recipe.swept for level in self.dims[dim].levels]
        known += [name for name, choice in self.prereg.choose.items() if choice.of in recipe.swept]
        if not known:
            self.faults.add(path, f"'{word}' fixes nothing: recipe '{recipe.name}' has no $dim", recipe.name)
        else:
            self.faults.unknown(path, "level", word, known)
        return None
