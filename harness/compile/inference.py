"""What an interval or a p-value needs: measures that say to what they generalise, and agree."""

from __future__ import annotations

from collections.abc import Mapping

from harness.compile.functions import signature
from harness.compile.references import Names
from harness.compile.walks import calls
from harness.contracts.records import Inference
from harness.contracts.trees import Value
from harness.contracts.walks import refs
from harness.spec.formula import FormulaError
from harness.spec.syntax import Node


def refuse_extremes(tree: Value, what: str, node: Node) -> None:
    """Refuse intervals and p-values of a min or max, which the methods do not have.

    Raises:
        FormulaError: at the node.
    """
    for name in calls(tree):
        how = signature(name)
        if how is not None and how.refuses_inference:
            raise FormulaError(f"{what} of a {name}()", "a mean, or all() or any() over the levels",
                               f"the {name} of noisy values has no standard interval", position=node.start)  # fmt: skip


def check_inference(tree: Value, node: Node, names: Names) -> None:
    """Check the ``resample`` of every measure in a formula whose interval or p-value is read.

    Raises:
        FormulaError: a measure without resample, two that differ, or a dim that the formula fixed at one level.
    """
    stated: dict[str, Inference] = {}
    for ref in refs(tree):
        inference = names.measures[ref.measure].inference
        if inference is None:
            found = f"ci and p need to know to what '{ref.measure}' generalises, and it has no resample"
            expected = f"measures.{ref.measure}.resample, which has no default"
            raise FormulaError(found, expected, position=node.start)
        stated.setdefault(ref.measure, inference)
    (first, wanted), *others = stated.items()
    for name, inference in others:
        if inference != wanted:
            raise FormulaError(f"'{first}' and '{name}' are drawn again differently", "the same resample, method and "
                               "arms in every measure of one formula", position=node.start)  # fmt: skip
    if not names.rehearsal:
        _check_drawn(tree, wanted, node, {ref.measure: ref.select for ref in refs(tree)})


def _check_drawn(tree: Value, wanted: Inference, node: Node, selected: Mapping[str, Mapping[str, object]]) -> None:
    for dim in wanted.over:
        sizes = [len(ref.select[dim]) for ref in refs(tree) if dim in ref.select]
        if sizes and max(sizes) < 2:
            raise FormulaError(f"{dim} is drawn again ({' and '.join(selected)}: resample), and the formula has one "
                               f"level of it", f"several levels of {dim}", position=node.start)  # fmt: skip
