"""Which true effects a simulation plants: none, those at the registered thresholds, those that are expected."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from harness.contracts.display import is_difference
from harness.contracts.trees import Call, Ci, Compare, PValue, Value
from harness.contracts.walks import leaves, refs
from harness.decide.shape import axes_of
from harness.decide.sides import constant
from harness.decide.simulation.scene import Scene

SHAPES = ("min", "max")
"""What a clause asks of an extreme says something about a shape and not how large the effect is."""


def thresholds(scene: Scene) -> dict[str, tuple[Value, float]]:
    """Return each primary effect at its registered threshold: what a clause compares it with, by name."""
    found: dict[str, tuple[int, Value, float]] = {}
    for hypothesis in scene.bound.hypotheses:
        for clause in hypothesis.clauses if hypothesis.role == "primary" else ():
            for leaf in leaves(clause.criterion):
                for rank, tree, limit in _limits(leaf):
                    name = next((n for n, e in scene.named.items() if e.tree == tree), leaf.text)
                    shape = isinstance(tree, Call) and tree.fn in SHAPES
                    if refs(tree) and not axes_of(tree) and not shape and (name not in found or rank < found[name][0]):
                        found[name] = (rank, tree, float(limit))
    return {name: (tree, limit) for name, (_, tree, limit) in found.items()}


def _limits(leaf: Compare | Ci) -> Iterator[tuple[int, Value, Fraction]]:
    if isinstance(leaf, Ci):
        bound = constant(leaf.bound) if leaf.bound is not None else None
        if bound is not None:
            yield 1, leaf.of, bound
        return
    limit = constant(leaf.right)
    if isinstance(leaf.left, PValue):
        null = constant(leaf.left.threshold)
        of = leaf.left.of
        if null is not None:
            yield 2, of.args[0] if isinstance(of, Call) and of.fn == "abs" else of, null
    elif limit is not None:
        yield 0, leaf.left, limit


def effects(scene: Scene) -> dict[str, Value]:
    """Return the differences that hypotheses and kills judge: all 0 at the null."""
    clauses = [c for h in scene.bound.hypotheses for c in h.clauses] + list(scene.bound.kills)
    judged = [tree for c in clauses for leaf in leaves(c.criterion) for _, tree, _ in _limits(leaf)]
    found = {name: e.tree for name, e in scene.named.items() if any(e.tree == tree for tree in judged)}
    found |= {n: scene.named[n].tree for h in scene.bound.hypotheses for n in h.expect_values if n in scene.named}
    return {name: tree for name, tree in found.items() if is_difference(tree) and not axes_of(tree)}


def expected(scene: Scene) -> dict[str, tuple[Value, float]]:
    """Return each registered expectation."""
    pairs = [pair for h in scene.bound.hypotheses for pair in h.expect_values.items()]
    return {n: (scene.named[n].tree, float(Fraction(v))) for n, v in pairs if n in scene.named and v}
