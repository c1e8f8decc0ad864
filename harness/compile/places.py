"""Where in the arms a measure is taken: ``at: start | end | here | before RECIPE | after RECIPE``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.compile.arms import arm_sweeps
from harness.contracts.bound import Arm, Dim
from harness.core.registry import did_you_mean
from harness.spec import model
from harness.spec.load import KeyPath
from harness.spec.read import Faults

SEED = "seed"


class Places:
    """Finds the place of each measure of one prereg."""

    def __init__(self, prereg: model.Prereg, dims: Mapping[str, Dim], arms: Mapping[str, Arm], faults: Faults) -> None:
        self.prereg = prereg
        self.dims = dims
        self.arms = arms
        self.faults = faults

    def placed(
        self, spec: model.Measure, path: KeyPath
    ) -> tuple[tuple[str, ...], dict[str, int], tuple[str, ...]] | None:
        """Return the sweeps of the arms before the measurement, stages applied per arm, and the arms."""
        broken = {name for section, name in self.faults.broken if section == "arms"}
        unknown = [name for name in spec.arm if name not in self.prereg.arms and name not in broken]
        if unknown:
            self.faults.unknown((*path, "arm"), "arm", unknown[0], self.prereg.arms)
            return None
        if not self.prereg.arms and not broken:
            found = f"'{spec.kind}' measures models, and there are no arms"
            self.faults.add(path, found, "arms: NAME: {label, stages}")
            return None
        if SEED not in self.prereg.dims and not self.faults.is_broken("dims", SEED):
            self.faults.add(path, "the registration names no seed", "dims.seed, for example seed: [42]")
            return None
        chosen = [arm for name, arm in self.arms.items() if not spec.arm or name in spec.arm]
        if broken & set(spec.arm or self.prereg.arms):
            return None
        stage: dict[str, int] = {}
        for arm in chosen:
            count = self._stages_before(spec.at, arm, path)
            if count is not None:
                stage[arm.name] = count
        if not stage:
            self._no_place(spec, path, chosen)
            return None
        sweeps = dict.fromkeys(dim for name, count in stage.items() for dim in arm_sweeps(self.arms[name], count))
        return tuple(sweeps), stage, tuple(stage)

    def _stages_before(self, at: str, arm: Arm, path: KeyPath) -> int | None:
        word, _, recipe = at.partition(" ")
        names = [use.recipe for use in arm.stages]
        if at in ("start", "end"):
            return 0 if at == "start" else len(names)
        if at == "here":
            users = [index for index, use in enumerate(arm.stages) if self._mentions(use.params, str(path[1]))]
            return users[0] if users else None
        if recipe not in names:
            return None
        return names.index(recipe) if word == "before" else len(names) - names[::-1].index(recipe)

    def _mentions(self, value: Any, name: str) -> bool:
        if isinstance(value, Mapping):
            return any(self._mentions(item, name) for item in value.values())
        if isinstance(value, (list, tuple)):
            return any(self._mentions(item, name) for item in value)
        if isinstance(value, str) and value.startswith("$") and value[1:] in self.dims:
            return name in self.dims[value[1:]].levels
        return bool(value == name)

    def _no_place(self, spec: model.Measure, path: KeyPath, chosen: list[Arm]) -> None:
        recipes = list(dict.fromkeys(use.recipe for arm in chosen for use in arm.stages))
        places = ["start", "end", "here", *(f"{word} {recipe}" for recipe in recipes for word in ("before", "after"))]
        found = f"no stage of its arms uses '{path[1]}'" if spec.at in places else f"found '{spec.at}'"
        self.faults.add((*path, "at"), found, "one of " + ", ".join(places), did_you_mean(spec.at, places), value=True)
