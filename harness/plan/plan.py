"""The plan: every job of a prereg with its key, in an order in which they can run.

A key digests what decides an artifact's bytes and nothing else (``design.md`` §6): no label, path, comment or
git commit. Planning reads files' digests, imports no model library and writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from harness.compile.graph import Graph, Node, TableUse, build_graph
from harness.contracts import versions
from harness.contracts.bound import Bound, BoundMeasure, Engine
from harness.contracts.records import Job
from harness.contracts.trees import Expression, Ref, Value, expression_id
from harness.contracts.walks import refs
from harness.core.ident import key_digest
from harness.plan.breakdowns import breakdowns
from harness.plan.engine import Device, Pins, digested, engine_of

SECOND_SAMPLE = 1_000_000
"""Added to an eval's seed for the null's second sample."""


class Has(Protocol):
    """The one thing that planning asks of a store."""

    def has(self, key: str) -> bool:
        """Whether the artifact is stored."""
        ...


@dataclass(frozen=True)
class Plan:
    """Jobs by key in runnable order, and the keys of what the items of a prereg need.

    ``measurements`` are keyed ``<measure>-<arm>`` (``<measure>`` for recorded data), ``estimates`` by
    expression id, ``tables`` list each measure's table keys with their coordinates.
    """

    bound: Bound
    jobs: Mapping[str, Job]
    measurements: Mapping[str, tuple[str, ...]]
    tables: Mapping[str, tuple[tuple[str, Mapping[str, str]], ...]]
    estimates: Mapping[str, str]
    verdict: str
    replay: str | None = None
    null: str | None = None
    stages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    breakdowns: tuple[str, ...] = ()
    """Keys of the analyses that a report shows beside the registered numbers; they decide nothing."""

    @property
    def goals(self) -> tuple[str, ...]:
        """Keys of what a whole run ends with: the verdict, a rehearsal's replay and null, and the breakdowns."""
        return (*(key for key in (self.verdict, self.replay, self.null) if key), *self.breakdowns)

    def behind(self, *keys: str) -> tuple[str, ...]:
        """Return everything that some artifacts stand on, and they themselves, in an order in which it can run."""
        found: set[str] = set()
        stack = list(keys)
        while stack:
            key = stack.pop()
            if key not in found:
                found.add(key)
                stack.extend(self.jobs[key].inputs.values())
        return tuple(key for key in self.jobs if key in found)

    def missing(self, store: Has, keys: Iterable[str] | None = None) -> tuple[Job, ...]:
        """Return the jobs that would have to run for ``keys`` (default: for the verdict), in order.

        A stored artifact needs none of its inputs.
        """
        wanted: set[str] = set()
        stack = list(keys) if keys is not None else list(self.goals)
        while stack:
            key = stack.pop()
            if key in wanted or store.has(key):
                continue
            wanted.add(key)
            stack.extend(self.jobs[key].inputs.values())
        return tuple(job for key, job in self.jobs.items() if key in wanted)


def make_plan(
    bound: Bound, *, device: Device = "cpu", engine: Engine = "auto", fast: bool = False, pins: Pins | None = None
) -> Plan:
    """Return the plan of a bound prereg on a device class.

    ``engine`` is what samples from models whose registration leaves it open. ``fast`` gives up equal bytes of training
    on CUDA. ``pins`` are only for the replay of a
    plan that was made elsewhere; what runs is planned with what is installed.

    Raises:
        PreregError: parameters that do not fit their kinds, all at once.
    """
    return _Planner(bound, build_graph(bound), device, engine, fast, pins or Pins()).plan()


def measurement_name(measure: BoundMeasure, at: Mapping[str, str]) -> str:
    """Return the name of a ``measure[...]`` item: ``<measure>-<arm>``, or ``<measure>`` without arms."""
    return f"{measure.name}-{at['arm']}" if "arm" in at else measure.name


class _Planner:
    def __init__(self, bound: Bound, graph: Graph, device: Device, engine: Engine, fast: bool, pins: Pins) -> None:
        self.bound = bound
        self.pins = pins
        self.graph = graph
        self.device = device
        self.engine = engine
        self.fast = fast
        self.jobs: dict[str, Job] = {}
        self.keys: dict[str, str] = {}

    def plan(self) -> Plan:
        for node in self.graph.nodes.values():
            self.keys[node.id] = self._job(node)
        measures = {measure.name: measure for measure in self.bound.measures}
        tables = {
            name: tuple((self.keys[use.node], use.at) for use in uses) for name, uses in self.graph.tables.items()
        }
        estimates = {
            expression_id(expression.tree): self._estimate(expression, measures, tables)
            for expression in self.bound.expressions
            if _runnable(expression, measures)
        }
        verdict = self._verdict(estimates)
        measurements: dict[str, list[str]] = {}
        for name, uses in tables.items():
            for key, at in uses:
                measurements.setdefault(measurement_name(measures[name], at), []).append(key)
        return Plan(
            bound=self.bound,
            jobs=self.jobs,
            measurements={name: tuple(dict.fromkeys(keys)) for name, keys in measurements.items()},
            tables=tables,
            estimates=estimates,
            verdict=verdict,
            replay=self._replay() if self.bound.rehearsal else None,
            null=self._null(tables) if self.bound.rehearsal else None,
            breakdowns=tuple(self._breakdowns(measures, tables)),
        )

    def _job(self, node: Node) -> str:
        lane = node.lane
        return self._add(
            label=node.label,
            kind=node.kind,
            version=versions.JOBS.get(node.kind, node.version),
            params=node.params,
            inputs={role: self.keys[source] for role, source in node.inputs.items()},
            files={role: digested(ref, self.pins) for role, ref in node.files.items()},
            seed=node.seed,
            engine=engine_of(node, self.device, self.pins, self.engine, self.fast) if lane == "model" else {},
            lane=lane,
            device=self.device if lane == "model" else "cpu",
        )

    def _estimate(
        self,
        expression: Expression,
        measures: Mapping[str, BoundMeasure],
        tables: Mapping[str, tuple[tuple[str, Mapping[str, str]], ...]],
    ) -> str:
        inputs: dict[str, str] = {}
        placed: dict[str, list[dict[str, Any]]] = {}
        for name, wanted in _refs_by_measure(expression.tree).items():
            for key, at in tables[name]:
                if any(_takes_part(ref, at) for ref in wanted):
                    role = f"{name}/{len(placed.setdefault(name, []))}"
                    inputs[role] = key
                    placed[name].append({"role": role, "at": dict(at)})
        used = {name: _stripped(measures[name]) for name in placed}
        params = {"expression": expression.model_dump(mode="json"), "measures": used, "tables": placed}
        return self._add(
            label=f"estimate[{expression.name}]",
            kind="estimate",
            version=versions.JOBS["estimate"],
            params=params,
            inputs=inputs,
        )

    def _breakdowns(
        self,
        measures: Mapping[str, BoundMeasure],
        tables: Mapping[str, tuple[tuple[str, Mapping[str, str]], ...]],
    ) -> Iterator[str]:
        for label, params, inputs in breakdowns(self.bound, tables):
            used = {name: _stripped(measures[name]) for name in params["tables"]}
            yield self._add(
                label=label,
                kind="breakdown",
                version=versions.JOBS["breakdown"],
                params={**params, "measures": used},
                inputs=inputs,
            )

    def _verdict(self, estimates: Mapping[str, str]) -> str:
        return self._add(
            label="verdict",
            kind="verdict",
            version=versions.JOBS["verdict"],
            params={"bound": self._registration()},
            inputs=dict(estimates),
        )

    def _replay(self) -> str:
        params = {"bound": self._registration()}
        return self._add(label="replay", kind="replay", version=versions.JOBS["replay"], params=params)

    def _null(self, tables: Mapping[str, tuple[tuple[str, Mapping[str, str]], ...]]) -> str | None:
        """One arm in the place of all: its tables for itself, a second sample of it for every other arm."""
        if not self.bound.arms or any(measure.family == "missing" for measure in self.bound.measures):
            return None
        inputs: dict[str, str] = {}
        placed: dict[str, list[dict[str, Any]]] = {}
        for measure in self.bound.measures:
            arms = measure.levels.get("arm", ())
            for key, at in tables[measure.name]:
                for arm in arms if at.get("arm") == arms[0] else ():
                    role = f"{measure.name}/{len(placed.setdefault(measure.name, []))}"
                    inputs[role] = key if arm == arms[0] else self._again(key)
                    placed[measure.name].append({"role": role, "at": {**at, "arm": arm}})
        params = {"bound": self._registration(), "tables": placed, "arm": self.bound.arms[0].name}
        return self._add(label="null", kind="null", version=versions.JOBS["null"], params=params, inputs=inputs)

    def _again(self, key: str) -> str:
        """The same eval with other sampling seeds; a probe has nothing to draw and is read as it is."""
        job = self.jobs[key]
        if not job.kind.startswith("eval/"):
            return key
        fields = job.model_dump(exclude={"key", "label", "seed", "files"})
        return self._add(**fields, label=f"{job.label} again", seed=job.seed + SECOND_SAMPLE, files=job.files)

    def _registration(self) -> dict[str, Any]:
        """The bound prereg without paths and engines, which decide nothing here."""
        bound = self.bound.model_dump(mode="json")
        bound["file"] = ""
        bound["dims"] = [{**dim, "file": None} for dim in bound["dims"]]
        bound["data"] = [{**source, "path": ""} for source in bound["data"]]
        for model in bound["models"]:
            del model["engine"]  # it stands in the keys of what was sampled
        bound["measures"] = [_stripped(measure) for measure in self.bound.measures]
        return bound

    def _add(self, **fields: Any) -> str:
        decides = {name: fields.get(name) for name in ("kind", "version", "params", "inputs", "seed", "engine")}
        decides["files"] = {role: ref.sha256 for role, ref in fields.get("files", {}).items()}
        key = key_digest(decides)
        if key not in self.jobs:
            self.jobs[key] = Job(key=key, **fields)
        return key


def _stripped(measure: BoundMeasure) -> dict[str, Any]:
    """A measure without what decides nothing: where its file lies and on which line it stands."""
    content = measure.model_dump(mode="json")
    if content["file"]:
        content["file"]["path"] = ""
    content["line"] = 0
    return content


def _refs_by_measure(tree: Value) -> dict[str, list[Ref]]:
    found: dict[str, list[Ref]] = {}
    for ref in refs(tree):
        found.setdefault(ref.measure, []).append(ref)
    return found


def _takes_part(ref: Ref, at: Mapping[str, str]) -> bool:
    return all(level in ref.select.get(dim, (level,)) for dim, level in at.items())


def _runnable(expression: Expression, measures: Mapping[str, BoundMeasure]) -> bool:
    return all(measures[name].family != "missing" for name in _refs_by_measure(expression.tree))


__all__ = ["Device", "Pins", "Plan", "TableUse", "make_plan", "measurement_name"]
