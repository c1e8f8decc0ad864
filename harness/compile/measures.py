"""Measures: on which arms and after which stages they are taken, and the dims, levels and columns of their tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.compile import recorded
from harness.compile.params import Parameters, find_dims, level_fields, misspelt
from harness.compile.places import SEED, Places
from harness.contracts.bound import Arm, BoundMeasure, Dim
from harness.contracts.kinds import EVALS, PROBES, Measure
from harness.contracts.records import Column, FileRef, Inference
from harness.core.registry import did_you_mean
from harness.spec import model
from harness.spec.expected import known_keys
from harness.spec.load import KeyPath
from harness.spec.read import Faults
from harness.spec.scalars import Quantity

ARM = "arm"
_RESAMPLE = re.compile(r"(cells of )?([A-Za-z_]\w*)(?: and ([A-Za-z_]\w*))?")
Family = Literal["eval", "probe", "recorded", "missing"]


@dataclass
class _Table:
    """What is known of a measure's table while it is being bound."""

    family: Family
    params: dict[str, Any]
    stage: dict[str, int] = field(default_factory=dict)
    levels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    columns: tuple[Column, ...] = ()
    sweeps: tuple[str, ...] = ()
    file: FileRef | None = None


class Measures:
    """Binds the measures of one prereg; ``missing`` gathers kinds that are not implemented yet."""

    def __init__(
        self, prereg: model.Prereg, dims: Mapping[str, Dim], arms: Mapping[str, Arm], parameters: Parameters,
        faults: Faults, missing: list[tuple[KeyPath, str]], data_root: Path | None,
    ) -> None:  # fmt: skip
        self.prereg = prereg
        self.dims = dims
        self.arms = arms
        self.parameters = parameters
        self.faults = faults
        self.missing = missing
        self.data_root = data_root
        self.places = Places(prereg, dims, arms, faults)
        self.bound: dict[str, BoundMeasure] = {}

    def bind(self) -> dict[str, BoundMeasure]:
        """Return the measures that could be bound, in the order of the file."""
        for name, spec in sorted(self.prereg.measures.items(), key=lambda item: bool(item[1].of)):
            if ("measures", "*") in self.faults.broken:
                continue
            table = self._table(name, spec)
            before = len(self.faults.problems)
            inference = self._inference(name, spec, table) if table is not None else None
            undrawn = len(self.faults.problems) > before
            self._references(name, spec)
            if table is None or undrawn or ("measures", name) in self.faults.broken:
                self.faults.broken.add(("measures", name))
                continue
            # Bound in spite of faulty values: formulas that read it can be judged by its dims, levels and columns.
            self.bound[name] = BoundMeasure(
                name=name, kind=spec.kind, family=table.family, params=table.params, dims=tuple(table.levels),
                levels=table.levels, columns=table.columns, sweeps=table.sweeps, stage=table.stage,
                inference=inference, reproduces=spec.reproduces, truncated=_policy(spec.truncated),
                unscorable=_policy(spec.unscorable), file=table.file,
                line=self.faults.document.line(("measures", name)),
            )  # fmt: skip
        return {name: self.bound[name] for name in self.prereg.measures if name in self.bound}

    # --- tables ---

    def _table(self, name: str, spec: model.Measure) -> _Table | None:
        path: KeyPath = ("measures", name)
        if spec.kind == "recorded":
            return self._recorded(spec, path)
        kinds = EVALS if spec.kind in EVALS.names() else PROBES if spec.kind in PROBES.names() else None
        if kinds is None:
            misspelt(spec.kind, (*EVALS.names(), *PROBES.names(), "recorded"), path, self.faults)
            self.missing.append((path, f"eval or probe '{spec.kind}'"))
            return self._unknown(name, spec, path)
        return self._known(spec, path, kinds.get(spec.kind), "eval" if kinds is EVALS else "probe")

    def _recorded(self, spec: model.Measure, path: KeyPath) -> _Table | None:
        labels = dict(self.dims)
        if self.arms:
            labels[ARM] = Dim(name=ARM, levels=tuple(self.arms))
        columns = recorded.declared(spec, path, labels, self.faults)
        file = recorded.locate(spec, path, self.data_root, self.faults)
        if columns is None or file is None:
            return None
        held = recorded.read(spec, file, columns, path, self.faults)
        levels = recorded.present_levels(spec, held, columns, labels, path, self.faults)
        for key, value in spec.params.items() if levels is not None else ():
            if key not in columns.dims:
                known = [*columns.dims, *model.GENERIC_MEASURE_KEYS]
                self.faults.add((*path, key), f"unknown key '{key}'", f"one of {', '.join(known)}",
                                did_you_mean(key, known))  # fmt: skip
                continue
            chosen = self.parameters.levels(value, key, (*path, key)) if key in self.dims else None
            if chosen is not None and levels is not None:
                levels[key] = chosen
        if levels is None:
            return None
        recorded.require_planned(spec, held, levels, path, self.faults)
        return _Table("recorded", columns.params, levels=levels, columns=columns.columns, file=file)

    def _known(self, spec: model.Measure, path: KeyPath, kind: type[Measure], family: Family) -> _Table | None:
        raw = self._raw(spec, path, kind)
        later = self._layers_by_depth(kind, raw)
        if later:
            self.missing.append(((*path, later), "a layer as a share of the depth"))
            return self._unknown(str(path[1]), spec, path)
        swept = self.parameters.swept(raw, path)
        placed = self.places.placed(spec, path)
        # Typed even without a place in the arms, so that mistakes in both are told together.
        arms_sweep, stage, arm_levels = placed or ((), {}, ())
        batched = tuple(dim for dim in swept or () if dim in kind.batched and dim not in arms_sweep)
        params = self.parameters.typed(kind.Params, raw, path, batched)
        if params is None:
            params = self._shape(kind, raw, path)
        if swept is None or placed is None or params is None:
            return None
        sweeps = tuple(dict.fromkeys([*arms_sweep, *(dim for dim in swept if dim not in batched)]))
        table = _Table(family, params, stage, self._outer(arm_levels, sweeps), kind.columns, sweeps)
        fields = level_fields(kind.Params)
        paired = {f"{column.pair}_b" for column in kind.columns if column.form == "gram"}
        for dim in [*(dim for dim in batched if dim not in kind.dims), *kind.dims]:
            marked = next((key for key, one in fields.items() if one.dim == dim), dim)
            value = params.get(marked)
            if dim in paired:
                continue
            if isinstance(value, str) and value.startswith("$"):
                # The dim is tied to the one after the $, which is a sweep already unless one job takes it whole.
                if value[1:] in batched:
                    table.levels[value[1:]] = self.dims[value[1:]].levels
                continue
            if dim in batched:
                table.levels[dim] = self.dims[dim].levels
            elif value:
                table.levels[dim] = tuple(map(str, value)) if isinstance(value, (list, tuple)) else (str(value),)
            elif dim in self.dims:
                table.levels[dim] = self.dims[dim].levels
            elif not self.faults.is_broken("dims", dim):
                self.faults.add(path, f"kind '{spec.kind}' has a dim '{dim}' that is not declared", f"dims.{dim}")
        return table

    def _raw(self, spec: model.Measure, path: KeyPath, kind: type[Measure]) -> dict[str, Any]:
        """Return what a kind is given: its own keys, and those for all kinds that it asks for."""
        takes = known_keys(kind.Params, ())
        shared: dict[str, Any] = {"of": spec.of, "judge": spec.judge, "file": spec.file, "columns": spec.columns}
        shared |= {"truncated": _policy(spec.truncated), "unscorable": _policy(spec.unscorable)}
        given = {**spec.params, **{key: value for key, value in shared.items() if value}}
        known = [*takes, *(key for key in model.GENERIC_MEASURE_KEYS if key not in shared)]
        for key in (key for key in given if key not in takes):
            hint = did_you_mean(key, known)
            self.faults.add((*path, key), f"unknown key '{key}'", f"one of {', '.join(sorted(known))}", hint)
            if any(hint == did_you_mean(key, [one]) for one in model.GENERIC_MEASURE_KEYS if hint):
                # Where it is taken or to what it generalises is lost with the misspelt key.
                self.faults.broken.add(("measures", str(path[1])))
        return {key: value for key, value in given.items() if key in takes}

    def _shape(self, kind: type[Measure], raw: dict[str, Any], path: KeyPath) -> dict[str, Any] | None:
        """Return the levels that a measure with faulty values is taken on; None where they are faulty themselves."""
        named = self.parameters.named(kind.Params, raw, path)
        fields = level_fields(kind.Params)
        return named if named is not None and all(named.get(key) for key in fields) else None

    def _layers_by_depth(self, kind: type[Measure], raw: Mapping[str, Any]) -> str:
        """Return the key that gives layers in per cent, which needs the model's depth and comes later."""
        for key, named in level_fields(kind.Params).items():
            if not named.text and isinstance(raw.get(key), str) and raw[key].endswith("%"):
                return key
        return ""

    def _unknown(self, name: str, spec: model.Measure, path: KeyPath) -> _Table | None:
        """Guess the table of a kind that does not exist yet from the dims that it names."""
        raw = {**spec.params, **({"judge": spec.judge} if spec.judge else {})}
        swept = self.parameters.swept(raw, path)
        placed = self.places.placed(spec, path) if not spec.file else ((), {}, ())
        if swept is None or placed is None:
            return None
        arms_sweep, stage, arm_levels = placed
        sweeps = tuple(dict.fromkeys([*arms_sweep, *swept]))
        table = _Table("missing", raw, stage, self._outer(arm_levels, sweeps), (), sweeps)
        for key, kind in spec.columns.items():
            if kind == "dim" and key in self.dims:
                table.levels[key] = self.dims[key].levels
        of = self.bound.get(spec.of)
        if of is not None:
            for dim in of.dims:
                if dim not in (ARM, SEED):
                    table.levels.setdefault(dim, of.levels[dim])
        for key, value in spec.params.items():
            if key in self.dims and not find_dims(value):
                levels = self.parameters.levels(value, key, (*path, key))
                if levels is None:
                    return None
                table.levels[key] = levels
        return table

    def _outer(self, arm_levels: tuple[str, ...], sweeps: Iterable[str]) -> dict[str, tuple[str, ...]]:
        levels = {ARM: arm_levels} if arm_levels else {}
        levels.update({dim: self.dims[dim].levels for dim in sweeps})
        if arm_levels and SEED in self.dims:
            levels.setdefault(SEED, self.dims[SEED].levels)
        return levels

    # --- inference and names ---

    def _inference(self, name: str, spec: model.Measure, table: _Table) -> Inference | None:
        path: KeyPath = ("measures", name)
        if not spec.resample:
            for key in ("method", "reproduces"):
                if getattr(spec, key):
                    self.faults.add((*path, key), f"'{key}' without resample", "resample: what is drawn again")
            return None
        match = _RESAMPLE.fullmatch(spec.resample)
        if match is None:
            self.faults.add((*path, "resample"), f"found '{spec.resample}'",
                            "DIM, DIM and DIM, or cells of DIM and DIM", value=True)  # fmt: skip
            return None
        over = tuple(dim for dim in match.groups()[1:] if dim)
        known = self.dims if table.family == "missing" else table.levels
        for dim in over:
            if dim not in known and not self.faults.is_broken("dims", dim):
                self.faults.unknown((*path, "resample"), f"dim of '{name}'", dim, known)
        cells = bool(match[1])
        if cells and not spec.reproduces:
            self.faults.add((*path, "resample"), "'cells of' without 'reproduces'", "reproduces: the work whose "
                            "analysis this repeats", f"to decide, write resample: {' and '.join(over)}")  # fmt: skip
        inference = self.prereg.inference
        return Inference(over=over, cells=cells, paired=spec.arms == "paired", method=spec.method,
                         draws=inference.draws, level=str(inference.level.value), seed=inference.seed)  # fmt: skip

    def _references(self, name: str, spec: model.Measure) -> None:
        path: KeyPath = ("measures", name)
        measures, judges = self.prereg.measures, self.prereg.judges
        if spec.of and spec.of not in measures and not self.faults.is_broken("measures", spec.of):
            self.faults.unknown((*path, "of"), "measure", spec.of, measures)
        judge = spec.judge.removeprefix("$")
        if judge and judge not in (*judges, *self.dims) and not self.faults.is_broken("judges", judge):
            self.faults.unknown((*path, "judge"), "judge", judge, judges)
        if spec.run_when:
            self.missing.append(((*path, "run_when"), "run_when"))


def _policy(policy: model.Policy | None) -> dict[str, str]:
    if policy is None:
        return {}
    limit = policy.at_most
    return {"as": policy.as_, **({"at_most": _fraction(limit)} if limit is not None else {})}


def _fraction(quantity: Quantity) -> str:
    return str(quantity.value)
