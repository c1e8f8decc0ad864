"""The graph of a bound prereg: which models are made, which tables are measured on them, what is estimated.

Nodes are symbolic; ``harness.plan.plan`` gives them keys. The same stage of the same arm is one node however
many measures read it, and equal nodes of different arms get equal keys.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ValidationError

from harness.compile.arms import model_dim
from harness.compile.params import fill
from harness.contracts.bound import Arm, Bound, BoundMeasure, DataSource, Engine, ModelSource, StageUse
from harness.contracts.kinds import EVALS, PROBES, STAGES, LevelsOf
from harness.contracts.records import FileRef, Record
from harness.core.errors import PreregError, Problem, Where
from harness.core.ident import key_digest

SEED = "seed"


@dataclass
class Node:
    """One job without its key. ``inputs`` map roles to node ids; ``files`` are read by content."""

    id: str
    label: str
    kind: str
    version: int
    params: dict[str, Any]
    inputs: dict[str, str] = field(default_factory=dict)
    files: dict[str, FileRef] = field(default_factory=dict)
    seed: int = 0
    lane: Literal["light", "model"] = "light"
    ports: tuple[str, ...] = ()
    engine: Engine = "auto"
    """What the model's registration says of the engine that samples."""


@dataclass(frozen=True)
class ModelState:
    """A model on its way through the stages: where its weights come from and the adapters on top."""

    source: ModelSource
    base: str | None = None
    adapters: tuple[str, ...] = ()
    last: str | None = None


@dataclass(frozen=True)
class TableUse:
    """A measurement job and the coordinates (arm, sweep levels, seed) of all its rows."""

    node: str
    at: dict[str, str]


@dataclass
class Graph:
    """Nodes in the order in which they can run, and which tables belong to which measure."""

    nodes: dict[str, Node] = field(default_factory=dict)
    tables: dict[str, list[TableUse]] = field(default_factory=dict)


def build_graph(bound: Bound) -> Graph:
    """Return the model, stage and measurement nodes of a prereg.

    Raises:
        PreregError: every parameter of a stage or measure that does not fit its kind, all at once.
    """
    return _Builder(bound).build()


class _Builder:
    def __init__(self, bound: Bound) -> None:
        self.bound = bound
        self.graph = Graph()
        self.dims = {dim.name: dim for dim in bound.dims}
        self.arms = {arm.name: arm for arm in bound.arms}
        self.models = {model.name: model for model in bound.models}
        self.data = {source.name: source for source in bound.data}
        self.problems: dict[Problem, None] = {}

    def build(self) -> Graph:
        for measure in self.bound.measures:
            self.graph.tables[measure.name] = list(self._tables(measure))
        if self.problems:
            raise PreregError(self.problems)
        return self.graph

    # --- measures ---

    def _tables(self, measure: BoundMeasure) -> Iterator[TableUse]:
        if measure.family == "missing":
            return
        if measure.family == "recorded":
            yield TableUse(self._recorded(measure), {})
            return
        outer = [dim for dim in measure.dims if dim in measure.sweeps or dim == SEED]
        for arm in measure.levels.get("arm", ()):
            for levels in itertools.product(*(measure.levels[dim] for dim in outer)):
                at = dict(zip(outer, levels, strict=True))
                node = self._measured(measure, self.arms[arm], at)
                if node is not None:
                    yield TableUse(node, {"arm": arm, **at})

    def _recorded(self, measure: BoundMeasure) -> str:
        assert measure.file is not None
        params = {
            "columns": measure.params["columns"],
            "levels": {dim: list(measure.levels[dim]) for dim in measure.dims},
        }
        return self._add("recorded", f"measure[{measure.name}]", 1, params, files={"table": measure.file})

    def _measured(self, measure: BoundMeasure, arm: Arm, at: Mapping[str, str]) -> str | None:
        kind = (EVALS if measure.family == "eval" else PROBES).get(measure.kind)
        values: dict[str, Any] = dict(at)
        values.update({dim: measure.levels[dim] for dim in kind.batched if dim in measure.levels})
        where = Where(self.bound.file, measure.line, key=f"measures.{measure.name}")
        params = self._typed(kind.Params, measure.params, values, where)
        state = self._state(arm, measure.stage[arm.name], at)
        if params is None or state is None:
            return None
        inputs = {"stage": state.last} if kind.reads == "stage" and state.last else _model_inputs(state)
        outer = {"arm", *at}
        levels = {dim: list(measure.levels[dim]) for dim in measure.dims if dim not in outer}
        return self._add(
            f"{measure.family}/{measure.kind}",
            f"measure[{measure.name}-{arm.name}]{_brackets(at)}",
            kind.version,
            {
                "params": params,
                "levels": levels,
                **self._texts(kind.Params, params),
                **_source(state, kind.reads),
            },
            inputs=inputs,
            seed=int(at.get(SEED, 0)),
            lane="model" if kind.needs else "light",
            ports=kind.needs,
            engine=state.source.engine,
        )

    # --- models ---

    def _state(self, arm: Arm, count: int, at: Mapping[str, str]) -> ModelState | None:
        model = next((at[dim] for dim in model_dim(arm)), arm.model)
        source = self.models[model]
        base = None
        if source.embedded:
            base = self._add("model/embedded", "model[embedded]", 1, {}, lane="model")
        state = ModelState(source, base)
        for use in arm.stages[:count]:
            after = self._stage(arm, use, state, {**at, **use.fixed})
            if after is None:
                return None
            state = after
        return state

    def _stage(self, arm: Arm, use: StageUse, before: ModelState, at: Mapping[str, str]) -> ModelState | None:
        kind = STAGES.get(use.kind)
        where = Where(self.bound.file, use.line or arm.line, key=f"recipes.{use.recipe}")
        params = self._typed(kind.Params, use.params, at, where)
        if params is None:
            return None
        swept = (*model_dim(arm), *use.sweeps)
        label = f"stage[{arm.name}.{use.recipe}]{_brackets({d: at[d] for d in swept if d in at})}"
        inputs = _model_inputs(before)
        if kind.prepare:
            inputs["prepared"] = self._prepared(kind.prepare, params, before, arm, at)
        rows, files = self._rows(params.get("data"), where)
        node = self._add(
            f"stage/{use.kind}",
            label,
            kind.version,
            {"params": params, **self._texts(kind.Params, params), **_source(before, "model"), **rows},
            inputs=inputs,
            files=files,
            seed=int(at.get(SEED, 0)),
            lane="model",
            ports=kind.needs,
            engine=before.source.engine,
        )
        if kind.makes == "model":
            return ModelState(before.source, node, (), node)
        return ModelState(before.source, before.base, (*before.adapters, node), node)

    def _prepared(
        self, name: str, params: Mapping[str, Any], before: ModelState, arm: Arm, at: Mapping[str, str]
    ) -> str:
        kind = STAGES.get(name)
        shared = {key: value for key, value in params.items() if key in kind.Params.model_fields}
        return self._add(
            f"stage/{name}",
            f"stage[{arm.name}.{name}]{_brackets({d: at[d] for d in model_dim(arm)})}",
            kind.version,
            {"params": shared, **self._texts(kind.Params, shared), **_source(before, "model")},
            inputs=_model_inputs(before),
            seed=int(at.get(SEED, 0)),
            lane="model",
            ports=kind.needs,
            engine=before.source.engine,
        )

    def _rows(self, name: Any, where: Where) -> tuple[dict[str, Any], dict[str, FileRef]]:
        if not isinstance(name, str) or name not in self.data:
            return {}, {}
        source: DataSource = self.data[name]
        rows = source.model_dump(mode="json", include={"hf", "revision", "register_name", "format", "rows"})
        files = {}
        if source.path:
            files["data"] = FileRef(
                path=source.path, sha256=source.sha256 or (f"md5:{source.md5}" if source.md5 else "")
            )
        return {"rows": rows}, files

    # --- helpers ---

    def _typed(
        self, kind: type[Record], raw: Mapping[str, Any], values: Mapping[str, Any], where: Where
    ) -> dict[str, Any] | None:
        """Substitute ``$dim`` values and type the parameters by the kind's schema, defaults written out."""
        try:
            return fill(kind, raw, values).model_dump(mode="json")
        except ValidationError as error:
            for item in error.errors():
                key = ".".join([where.key, *map(str, item["loc"])])
                spot = Where(where.file, where.line, where.column, key)
                self.problems[Problem(spot, f"found {item.get('input')!r}", item["msg"])] = None
            return None

    def _texts(self, kind: type[Record], params: Mapping[str, Any]) -> dict[str, Any]:
        """The personas' prompts and the questions' texts that a job reads, by name, in the bank's order."""
        texts: dict[str, Any] = {}
        for dim_name, role in (("persona", "personas"), ("question", "questions")):
            named = _levels(kind, params, dim_name)
            dim = self.dims.get(dim_name)
            if named and dim is not None:
                texts[role] = [[level, dim.texts.get(level, level)] for level in dim.levels if level in named]
        return texts

    def _add(self, kind: str, label: str, version: int, params: dict[str, Any], **rest: Any) -> str:
        node = Node("", label, kind, version, params, **rest)
        content = [kind, params, node.inputs, {k: f.sha256 or f.path for k, f in node.files.items()}, node.seed]
        content += [node.engine] if "sampler" in node.ports else []
        node.id = key_digest(content)
        self.graph.nodes.setdefault(node.id, node)
        return node.id


def _levels(kind: type[Record], params: Mapping[str, Any], dim: str) -> set[str]:
    """Levels of ``dim`` that the fields marked with ``LevelsOf(dim)`` name."""
    found: set[str] = set()
    for name, info in kind.model_fields.items():
        if any(isinstance(mark, LevelsOf) and mark.dim == dim for mark in info.metadata) and params.get(name):
            found.update(params[name])
    return found


def _model_inputs(state: ModelState) -> dict[str, str]:
    inputs = {"base": state.base} if state.base else {}
    inputs.update({f"adapter{index}": key for index, key in enumerate(state.adapters)})
    return inputs


def _source(state: ModelState, reads: str) -> dict[str, Any]:
    """Where the weights come from when no artifact holds them; an artifact's key says it otherwise."""
    if reads == "stage" or state.base:
        return {}
    include = {"hf", "path", "revision", "trust_remote_code"}
    return {"model": state.source.model_dump(mode="json", include=include)}


def _brackets(at: Mapping[str, str]) -> str:
    return "".join(f"[{dim}={level}]" for dim, level in at.items())
