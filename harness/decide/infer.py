"""From a formula and its measures' ``resample`` to intervals and p-values: which method, on which draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.contracts.records import Inference
from harness.contracts.trees import Call, Value
from harness.contracts.walks import nodes, refs
from harness.core.ident import seed_for
from harness.decide import draws as drawing
from harness.decide.draws import Design, Draws, NoInferenceError
from harness.decide.labelled import Labelled
from harness.decide.shape import axes_of, is_linear, push_means
from harness.decide.tables import World
from harness.decide.uncertainty import Correlation, Resampled, SignFlip, Student, Uncertainty
from harness.stats import jackknife, sign_flip
from harness.stats.arrays import FloatArray
from harness.stats.correlation import Kind
from harness.stats.registry import EVALUATED, FUNCTIONS
from harness.stats.two_way import two_way

CHUNK = 2_500
"""Draws that share one random stream; fixed, so that memory decides nothing."""
ELEMENTS = 2**23
"""About how many numbers one batch of draws may hold at once."""

SIDES = "leave-one-out values look at one sample from several sides"

Evaluate = Callable[[Value, Draws | None], Labelled]


@dataclass(frozen=True)
class Question:
    """A formula whose uncertainty is wanted, and all that its methods need."""

    tree: Value
    world: World
    evaluate: Evaluate
    inference: Inference
    design: Design
    name: str
    notes: tuple[str, ...] = ()

    @property
    def estimate(self) -> FloatArray:
        """The values ``[c]`` of the formula's cells."""
        values: FloatArray = _flat(self.evaluate(self.tree, None))[0]
        return values

    @property
    def drawn(self) -> str:
        """What is drawn, in words."""
        return " and ".join(self.design.dims)

    @property
    def sharing(self) -> str:
        """How the sides of a contrast are drawn, in words; empty where there is one side."""
        sides = {tuple(sorted((dim, levels) for dim, levels in ref.select.items())) for ref in refs(self.tree)}
        return "" if len(sides) < 2 else ", paired" if self.inference.paired else ", arms independent"


def infer(tree: Value, world: World, evaluate: Evaluate, name: str, more: int = 1) -> Uncertainty:
    """Return the uncertainty of a formula, its cells flattened in the order of its axes.

    Args:
        tree: without p-values or leave-one-out inside.
        world: the data.
        evaluate: values of a tree under draws.
        name: of the expression; with the measures' seed it seeds every draw.
        more: how many times the declared number of draws.

    Raises:
        NoInferenceError: there is no interval or p-value, and why.
    """
    question = question_of(tree, world, evaluate, name, more)
    return _METHODS[_method(question)](question)


def method_of(tree: Value, world: World) -> str:
    """Return the name of the method that :func:`infer` would use, without computing anything.

    Raises:
        NoInferenceError: there is no interval or p-value, and why.
    """

    def never(part: Value, drawn: Draws | None) -> Labelled:
        raise AssertionError("the method does not depend on values")

    return _method(question_of(tree, world, never, ""))


def question_of(tree: Value, world: World, evaluate: Evaluate, name: str, more: int = 1) -> Question:
    """Return what a formula asks and over which draws: see :func:`infer`."""
    inference = agreed(tree, world)
    _refuse(tree)
    kept = axes_of(tree)
    tree = push_means(tree)
    dims = [dim for dim in inference.over if dim not in kept]
    if not dims:
        raise NoInferenceError(f"every drawn dim ({' and '.join(inference.over)}) is kept, so nothing is drawn again")
    design = drawing.make_design(refs(tree), dims, inference.paired)
    notes = [f"for each {dim} as given" for dim in inference.over if dim in kept]
    for dim in (dim for dim in dims if dim not in design.dims):
        notes.append("for these trained models (one seed)" if dim == "seed" else f"for this one {dim}")
    if not design.dims:
        raise NoInferenceError(f"there is one level of {' and '.join(dims)}, so nothing varies between draws")
    if inference.draws < 1:
        raise NoInferenceError("the inference declares no draws")
    inference = inference.model_copy(update={"draws": inference.draws * more})

    def ordered(part: Value, drawn: Draws | None) -> Labelled:
        return evaluate(part, drawn).moved(kept)

    return Question(tree, world, ordered, inference, design, name, tuple(notes))


def agreed(tree: Value, world: World) -> Inference:
    """Return the one inference that all measures of a formula declare.

    Raises:
        NoInferenceError: a measure declares none, or two declare different ones.
    """
    names = tuple(dict.fromkeys(ref.measure for ref in refs(tree)))
    found: dict[str, Inference] = {}
    for name in names:
        inference = world.inference(name)
        if inference is None or not inference.over:
            raise NoInferenceError(f"measure {name} declares no resample")
        found[name] = inference
    if not found:
        raise NoInferenceError("the formula holds no data")
    first, *others = found.items()
    for name, inference in others:
        if inference.model_copy(update={"seed": 0}) != first[1].model_copy(update={"seed": 0}):
            raise NoInferenceError(f"measures {first[0]} and {name} declare different resamples")
    return first[1]


def _refuse(tree: Value) -> None:
    for node in nodes(tree):
        if isinstance(node, Call) and node.fn == "leave_one_out":
            raise NoInferenceError(SIDES)
        if isinstance(node, Call) and node.fn not in EVALUATED and FUNCTIONS.get(node.fn).interval:
            raise NoInferenceError(FUNCTIONS.get(node.fn).interval)


def _method(question: Question) -> str:
    declared, dims = question.inference.method, question.design.dims
    if declared is None:
        if question.inference.cells:
            return "bootstrap"
        if _correlated(question):
            return "correlation_t"
        if len(dims) > 2:
            raise NoInferenceError(f"no t for three drawn dims ({question.drawn}); declare 'method: bootstrap'")
        return "t" if len(dims) == 1 else "two_way_t"
    if declared in ("t", "sign_flip") and len(dims) != 1:
        raise NoInferenceError(f"'method: {declared}' draws one dim, not {question.drawn}")
    if declared == "two_way_t" and len(dims) != 2:
        # With one dim left (the other has one level) the two-way t is the ordinary t.
        return "t" if len(dims) == 1 else _unknown(f"'method: two_way_t' draws two dims, not {question.drawn}")
    if declared == "correlation_t" and not _correlated(question):
        return _unknown("'method: correlation_t' is for one pearson or spearman over the drawn dim")
    return declared


def _unknown(reason: str) -> str:
    raise NoInferenceError(reason)


def _correlated(question: Question) -> bool:
    tree = question.tree
    return isinstance(tree, Call) and tree.fn in ("pearson", "spearman") and tree.over == question.design.dims


def _correlation(question: Question) -> Uncertainty:
    assert isinstance(question.tree, Call)
    n = len(question.design.populations[0].levels)
    kind: Kind = "pearson" if question.tree.fn == "pearson" else "spearman"
    if len(question.design.populations) > 1:
        raise NoInferenceError("the two sides of the correlation range over different levels")
    method = f"{kind} correlation over {question.drawn} (t-test, Fisher z interval, n = {n})"
    return Correlation(question.estimate, n, kind, method, question.notes)


def _pseudo(question: Question) -> list[FloatArray]:
    """Return the pseudo-values ``[n, c]`` of each independent population."""
    if any(isinstance(node, Call) and node.fn == "median" for node in nodes(question.tree)):
        raise NoInferenceError("the jackknife fails for a median; declare 'method: bootstrap'")
    result = []
    for population in question.design.populations:
        left_out = _flat(question.evaluate(question.tree, drawing.leave_out(question.design, population)))
        result.append(jackknife.pseudo_values(question.estimate, left_out))
    return result


def _t(question: Question) -> Uncertainty:
    groups = _pseudo(question)
    se, df = jackknife.standard_error(groups)
    units = " + ".join(str(len(values)) for values in groups)
    method = f"t over {question.drawn} (jackknife, n = {units}){question.sharing}"
    return Student(question.estimate, se, df, method, question.notes)


def _two_way_t(question: Question) -> Uncertainty:
    design, estimate = question.design, question.estimate
    variances, dfs, sizes = [], [], []
    for group in design.groups():
        shape = tuple(len(design.one(dim, group).levels) for dim in design.dims)
        result = two_way(influence(question, group).reshape(*shape, -1))
        variances.append(result.se**2)
        dfs.append(result.df)
        sizes.append(" x ".join(map(str, shape)))
    if len(variances) == 1:
        se, df = np.sqrt(variances[0]), dfs[0]
    else:
        se, df = jackknife.combine(np.stack(variances), np.stack(dfs))
    method = f"two-way t over {question.drawn} ({' and '.join(sizes)}){question.sharing}"
    return Student(estimate, se, df, method, question.notes)


def influence(question: Question, group: drawing.Group) -> FloatArray:
    """Return what each cell adds ``[cells, c]``: its value where the formula is linear, its influence elsewhere.

    The influence is the derivative as weight moves from all cells to one (central difference).
    """
    design, tree = question.design, question.tree
    linear = is_linear(tree, lambda ref: question.world.select(ref).column.form != "gram")
    if linear:
        return _batched(question, drawing.single_cells(design, group, 1.0))
    count = int(np.prod([len(design.one(dim, group).levels) for dim in design.dims]))
    step = 1e-4 / count
    above = _batched(question, drawing.single_cells(design, group, step))
    below = _batched(question, drawing.single_cells(design, group, -step))
    return question.estimate + (above - below) / (2 * step)


def _bootstrap(question: Question) -> Uncertainty:
    inference, design = question.inference, question.design
    seed = seed_for("estimate", question.name, inference.seed)
    samples = []
    for chunk in range(-(-inference.draws // CHUNK)):
        size = min(CHUNK, inference.draws - chunk * CHUNK)
        drawn = question.world.drawn.resample(design, inference.cells, size, chunk, "bootstrap", seed)
        samples.append(_batched(question, drawn))
    values = np.concatenate(samples)
    undefined = int((~np.isfinite(values)).any(axis=1).sum())
    if undefined:
        raise NoInferenceError(f"the value is undefined in {undefined} of {len(values)} bootstrap draws")
    how = "cells of " if inference.cells and len(design.dims) > 1 else ""
    across = ", crossed" if len(design.dims) > 1 and not how else ""
    method = f"bootstrap of {how}{question.drawn}{across}{question.sharing}, {len(values)} draws"
    return Resampled(values, method, question.notes)


def _sign_flip(question: Question) -> Uncertainty:
    groups = _pseudo(question)
    if len(groups) > 1:
        raise NoInferenceError("sign flips need one set of paired units; the formula draws several")
    seed = seed_for("estimate", question.name, question.inference.seed)
    subsets = [
        sign_flip.subset_sums(column, np.random.default_rng(seed), question.inference.draws) for column in groups[0].T
    ]
    method = f"sign flips over {question.drawn} (n = {len(groups[0])}){question.sharing}"
    return SignFlip(subsets, method, question.notes)


_METHODS: dict[str, Callable[[Question], Uncertainty]] = {
    "t": _t,
    "two_way_t": _two_way_t,
    "bootstrap": _bootstrap,
    "sign_flip": _sign_flip,
    "correlation_t": _correlation,
}


def _batched(question: Question, drawn: Draws) -> FloatArray:
    """Evaluate draws in batches that fit in memory: ``[b, c]``."""
    parts = (question.world.select(ref).parts.values() for ref in refs(question.tree))
    largest = max(array.size for arrays in parts for array in arrays)
    step = max(1, ELEMENTS // max(1, largest))
    rows = range(0, drawn.size, step)
    return np.concatenate([_flat(question.evaluate(question.tree, drawn.part(slice(i, i + step)))) for i in rows])


def _flat(table: Labelled) -> FloatArray:
    return table.data.reshape(table.data.shape[0], -1)
