"""CELLS: persona x question cells resampled as if each were an independent draw.

With the variance components of #262, such a test at 5% rejects a true null in 56% of the experiments when personas
react differently (`language.md`, the numbers). It reproduces published work; it should not decide.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.check.walk import deciding
from harness.contracts.bound import Bound
from harness.contracts.records import CheckFinding
from harness.contracts.trees import Ci, Criterion, PValue, Ref, Value
from harness.contracts.walks import leaves, nodes, values


def cells_decide(bound: Bound) -> Iterator[CheckFinding]:
    """Yield a finding for each measure whose cells decide a primary hypothesis or a kill."""
    deciders = {name for clause in deciding(bound) for name in _inferred(clause.criterion)}
    for measure in bound.measures:
        if measure.name in deciders and measure.inference is not None and measure.inference.cells:
            over = " and ".join(measure.inference.over)
            yield CheckFinding(
                code="CELLS",
                severity="error",
                at=f"measures.{measure.name}.resample",
                line=measure.line,
                reason=f"cells of {over} are drawn as if independent; the test rejects true nulls far too often "
                "when levels react differently",
                fix=f"write resample: {over}",
            )


def _inferred(criterion: Criterion) -> Iterator[str]:
    """Names of the measures whose resampling a criterion rests on (through ci or p)."""
    for leaf in leaves(criterion):
        trees: list[Value] = [leaf.of] if isinstance(leaf, Ci) else []
        trees += [node.of for value in values(leaf) for node in nodes(value) if isinstance(node, PValue)]
        for tree in trees:
            yield from (node.measure for node in nodes(tree) if isinstance(node, Ref))
