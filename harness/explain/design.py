"""What is trained, what is read and measured, and to what the numbers generalise."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import PurePath
from typing import Any

from harness.check.methods import Method, method_of
from harness.check.walk import criteria
from harness.compile.arms import arm_sweeps, base_models, model_dim
from harness.contracts.bound import Arm, Bound, BoundMeasure, StageUse
from harness.contracts.kinds import EVALS, PROBES, STAGES
from harness.contracts.trees import Ci, Expression, PValue, Ref, Value
from harness.contracts.walks import leaves, nodes, values
from harness.core.numbers import format_threshold, parse_exact
from harness.core.registry import Registry
from harness.explain.values import Values, axes_of, subject
from harness.explain.words import count_noun, listed, plural_of, sentence, singular, some

_METHODS = {
    "t": "t-test", "two_way_t": "two-way t", "bootstrap": "bootstrap", "sign_flip": "sign flips",
    "correlation_t": "t-test of a correlation", "correlation": "t-test of a correlation",
}  # fmt: skip
_COUNTED = {"miss": "counts as a miss", "hit": "counts as a hit", "drop": "is left out", "wrong": "counts as wrong"}


def trained(bound: Bound) -> Iterator[str]:
    """Yield a line per arm and per recipe, and how many models that makes."""
    if not any(arm.stages for arm in bound.arms):
        yield "nothing is trained" + (": the numbers are recorded already" if _all_recorded(bound) else "")
        return
    sources = [f"{model.hf or model.path or 'the embedded model'}{_at(model.revision)}" for model in bound.models
               if any(model.name in base_models(bound, arm) for arm in bound.arms)]  # fmt: skip
    start = "the embedded model" if any(model.embedded for model in bound.models) else listed(sources)
    seeds = next((dim.levels for dim in bound.dims if dim.name == "seed"), ())
    models = sum(_models(bound, arm) * max(1, len(seeds)) for arm in bound.arms if arm.stages)
    each = f" with seed{'' if len(seeds) == 1 else 's'} {listed(seeds)}" if seeds else ""
    yield f"{count_noun(models, 'model')}, from {start or 'their base models'}{each}:"
    for arm in bound.arms:
        yield f"- {arm.name} ({arm.label}): {_steps(bound, arm)}"
    told = set()
    for use in (use for arm in bound.arms for use in arm.stages):
        if use.recipe not in told and use.params:
            told.add(use.recipe)
            yield f"- {_recipe(bound, use)}"
    for data in bound.data:
        source = PurePath(data.path).name or data.hf or f"generated text ({data.register_name})"
        rows = f", rows {data.rows[0]} to {data.rows[1]}" if data.rows else ""
        pending = ", not pinned yet" if "PENDING" in (data.revision, data.sha256, data.md5) else ""
        yield f"- data {data.name}: {source}{rows}{pending}"


def _all_recorded(bound: Bound) -> bool:
    return all(measure.family == "recorded" for measure in bound.measures)


def _at(revision: str) -> str:
    if revision == "PENDING":
        return " (not pinned yet)"
    return f" ({revision[:7]})" if revision else ""


def _models(bound: Bound, arm: Arm) -> int:
    sweeps = arm_sweeps(arm, len(arm.stages))
    return prod(len(dim.levels) for dim in bound.dims if dim.name in sweeps)


def _steps(bound: Bound, arm: Arm) -> str:
    steps = ", then ".join(_stage(use) for use in arm.stages) or "as released, nothing is trained"
    return f"{steps}, on each of {listed(base_models(bound, arm))}" if model_dim(arm) else steps


def _stage(use: StageUse) -> str:
    fixed = ", ".join(f"{dim} {level}" for dim, level in use.fixed.items())
    return f"{use.recipe} ({fixed})" if fixed else use.recipe


def _recipe(bound: Bound, use: StageUse) -> str:
    params, parts = use.params, []
    for key in ("steps", "epochs"):
        if isinstance(params.get(key), int):
            parts.append(count_noun(params[key], key.removesuffix("s")))
    if isinstance(params.get("batch"), int):
        parts.append(f"batches of {params['batch']}")
    if isinstance(params.get("lr"), int | float):
        parts.append(f"learning rate {params['lr']:g}".replace("e-0", "e-"))
    swept = [f"once for each {singular(dim)} ({_levels(bound, dim)})" for dim in use.sweeps]
    what = _summary(STAGES, use.kind)
    name = use.recipe if use.recipe == use.kind else f"{use.recipe} ({use.kind})"
    return f"{name}: {what}{'; ' if what and (parts or swept) else ''}{', '.join([*parts, *swept])}"


def _levels(bound: Bound, name: str) -> str:
    dim = next(dim for dim in bound.dims if dim.name == name)
    decides = f"; {dim.primary} decides" if dim.primary in dim.levels and len(dim.levels) > 1 else ""
    return f"{listed(dim.levels)}{decides}"


def _summary(kinds: Registry[Any], name: str) -> str:
    """The first sentence of what a kind's module says about it."""
    if name not in kinds.names():
        return "a kind that does not exist yet"
    kind = kinds.get(name)
    text = inspect.getdoc(inspect.getmodule(kind)) or inspect.getdoc(kind) or ""
    first = text.split("\n\n")[0].split(". ")[0]
    said = " ".join(first.replace("``", "").split()).rstrip(".")
    return said[:1].lower() + said[1:]


def measured(bound: Bound) -> Iterator[str]:
    """Yield a line per measure: what it is, on which arms and when, of how much."""
    for measure in bound.measures:
        if measure.family == "recorded":
            yield _recorded(measure)
            continue
        kinds: Registry[Any] = EVALS if measure.family == "eval" else PROBES
        parts = [f"{measure.name} ({measure.kind}): {_summary(kinds, measure.kind)}", _when(bound, measure)]
        parts += [_amount(measure), _policies(measure)]
        yield "; ".join(part for part in parts if part)


def sizes(bound: Bound) -> Iterator[str]:
    """Yield how many models are trained, and how much is measured on each."""
    if any(arm.stages for arm in bound.arms):
        yield sentence(next(trained(bound)).rstrip(":"))
    for measure in bound.measures:
        levels = {dim: of for dim, of in measure.levels.items() if dim != "arm"}
        amount = _amount(measure) if measure.family != "recorded" else " × ".join(
            count_noun(len(of), dim) for dim, of in levels.items()
        )  # fmt: skip
        if amount:
            yield f"- {measure.name}: {amount}."


def treated(bound: Bound) -> Iterator[str]:
    """Yield what differs between arms: their stages, and the levels of what is swept."""
    if not any(arm.stages for arm in bound.arms):
        return
    for arm in bound.arms:
        yield f"- {arm.name} ({arm.label}): {_steps(bound, arm)}."
    for name in dict.fromkeys(dim for arm in bound.arms for use in arm.stages for dim in use.sweeps):
        yield f"- {singular(name)}: {_levels(bound, name)}."


def seeds(bound: Bound) -> Iterator[str]:
    """Yield what is drawn by chance in training, as far as it is registered."""
    levels = next((dim.levels for dim in bound.dims if dim.name == "seed"), ())
    if levels and any(arm.stages for arm in bound.arms):
        one = len(levels) == 1
        yield f"Every arm is trained with the same seed{'' if one else 's'}: {listed(levels)}."


def sets(bound: Bound) -> Iterator[str]:
    """Yield the named sets of personas and questions."""
    for dim in bound.dims:
        if dim.sets and dim.name in ("persona", "question"):
            yield f"{dim.name} sets: " + "; ".join(f"{name} = {some(of, dim.name)}" for name, of in dim.sets.items())


def _recorded(measure: BoundMeasure) -> str:
    file = PurePath(measure.file.path).name if measure.file else "a table"
    file = file.removeprefix("data:")
    dims = [some(levels, dim) for dim, levels in measure.levels.items()]
    columns = listed(column.name for column in measure.columns)
    note = f", repeating the analysis of {measure.reproduces}" if measure.reproduces else ""
    return f"{measure.name} (recorded already, {file}): {columns} by {listed(measure.levels)}{note}; {'; '.join(dims)}"


def _when(bound: Bound, measure: BoundMeasure) -> str:
    groups: dict[str, list[str]] = {}
    for arm in bound.arms:
        if arm.name in measure.stage:
            done = measure.stage[arm.name]
            when = f"after {arm.stages[done - 1].recipe}" if done else "before any training"
            if done == len(arm.stages):
                when = "at the end" if done else "as released"
            groups.setdefault(when, []).append(arm.name)
    return "; ".join(f"{listed(arms)} {when}" for when, arms in groups.items())


def _amount(measure: BoundMeasure) -> str:
    own = {dim: levels for dim, levels in measure.levels.items() if dim not in ("arm", "seed", *measure.sweeps)}
    completions = measure.params.get("completions")
    factors = [count_noun(len(levels), dim) for dim, levels in own.items()]
    if not isinstance(completions, int):
        return " × ".join(factors)
    total = completions * prod(len(levels) for levels in own.values())
    factors.append(count_noun(completions, "completion"))
    return f"{' × '.join(factors)} = {count_noun(total, 'answer')} per model"


def _policies(measure: BoundMeasure) -> str:
    said = []
    cases = (("a completion that is cut off", measure.truncated), ("an answer without a score", measure.unscorable))
    for what, policy in cases:
        if policy:
            said.append(f"{what} {_COUNTED.get(policy['as'], 'counts as ' + policy['as'])}")
    return "; ".join(said)


def limits(bound: Bound) -> Iterator[str]:
    """Yield what more of which makes a measure's numbers unknown."""
    for measure in bound.measures:
        for what, policy in (("are cut off", measure.truncated), ("cannot be scored", measure.unscorable)):
            if policy.get("at_most") not in (None, "none"):
                share = format_threshold(parse_exact(policy["at_most"]), "proportion")
                yield f"more than {share} of the answers of {measure.name} {what}"


def generalises(bound: Bound, said: Values) -> Iterator[str]:
    """Yield, for everything tested or bounded by an interval, what is drawn again and what is fixed."""
    measures = {measure.name: measure for measure in bound.measures}
    groups: dict[str, dict[str, None]] = {}
    for tree in _inferred(bound):
        method = method_of(tree, measures, axes_of(tree))
        groups.setdefault(_scope(bound, method, tree, measures), {})[_short(said, tree)] = None
    for scope, names in groups.items():
        yield f"{listed(names)}: {scope}"


def _inferred(bound: Bound) -> Iterator[Value]:
    """Formulas under an interval or a p-value in any criterion, each once."""
    seen = set()
    for criterion in criteria(bound):
        for leaf in leaves(criterion):
            trees = [leaf.of] if isinstance(leaf, Ci) else []
            every = (node for value in values(leaf) for node in nodes(value))
            trees += [subject(node) for node in every if isinstance(node, PValue) and node.null is None]
            for tree in trees:
                key = tree.model_dump_json()
                if key not in seen:
                    seen.add(key)
                    yield tree


def _short(said: Values, tree: Value) -> str:
    return said.name_of(tree) or said.say(tree)


def _scope(bound: Bound, method: Method, tree: Value, measures: Mapping[str, BoundMeasure]) -> str:
    if not method.name:
        return f"nothing beyond what was measured: {method.why}"
    drawn = [count_noun(n, dim) for dim, n in method.units.items()]
    cells = method.inference is not None and method.inference.cells
    how = _METHODS.get(method.name, method.name)
    if cells:
        scope = f"cells of {' × '.join(drawn)} as if each were independent ({how}), which understates chance"
    else:
        scope = f"other {listed(plural_of(dim) for dim in method.units)}, as sampled by these {listed(drawn)} ({how})"
    if method.groups > 1:
        scope += ", each arm drawn by itself"
    fixed = _fixed(tree, method)
    seeds = next((dim.levels for dim in bound.dims if dim.name == "seed"), ())
    if "seed" not in method.units and any("seed" in measures[name].levels for name in _read(tree)):
        fixed.append("the trained models" if len(seeds) > 1 else "the one trained model per arm")
    return scope + (f"; fixed: {listed(fixed)}" if fixed else "")


def _fixed(tree: Value, method: Method) -> list[str]:
    sizes: dict[str, int] = {}
    for ref in (node for node in nodes(tree) if isinstance(node, Ref)):
        for dim, levels in ref.select.items():
            if dim in ("persona", "question", "layer", "item") and dim not in method.units:
                sizes[dim] = max(len(levels), sizes.get(dim, 0))
    return [f"the {count_noun(n, dim)}" if n > 1 else f"the one {dim}" for dim, n in sizes.items()]


def _read(tree: Value) -> set[str]:
    return {node.measure for node in nodes(tree) if isinstance(node, Ref)}


def untold(bound: Bound, said: Values) -> list[Expression]:
    """Return the estimands that nothing on the page has named yet: no criterion reads them as they stand."""
    return [expression for expression in bound.expressions if expression.named and expression.name not in said.told]
