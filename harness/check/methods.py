"""Which method gives a formula its interval and p-value, from the registration alone (no data, no numpy).

The same choice as ``harness.decide.infer``, which sits above this layer; a test holds the two together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from harness.check.recorded import alike
from harness.contracts.bound import BoundMeasure
from harness.contracts.records import Inference
from harness.contracts.trees import Call, PValue, Ref, Value
from harness.contracts.walks import nodes

ENUMERATED = 50_000
"""Permutations up to which all are enumerated."""
FLIPPED = 20
"""Units up to which all sign patterns are enumerated."""


@dataclass(frozen=True)
class Method:
    """How a formula's uncertainty is computed.

    ``name`` is empty where there is none (and ``why`` says so); ``units`` are the drawn dims with how many of
    their levels are drawn; ``groups`` how many independent sets are drawn (two for independent arms).
    """

    name: str
    units: Mapping[str, int]
    inference: Inference | None
    groups: int = 1
    why: str = ""

    @property
    def smallest_p(self) -> Fraction:
        """The smallest one-sided p-value that any data can give (0 where it can be as small as you like)."""
        draws = self.inference.draws if self.inference else 0
        if self.name == "bootstrap":
            return Fraction(1, draws + 1)
        if self.name == "sign_flip":
            n = next(iter(self.units.values()))
            return Fraction(1, 2**n) if n <= FLIPPED else Fraction(1, draws + 1)
        return Fraction(0)


def refs(tree: Value) -> list[Ref]:
    """Return the references of a formula."""
    return [node for node in nodes(tree) if isinstance(node, Ref)]


def method_of(tree: Value, measures: Mapping[str, BoundMeasure], kept: tuple[str, ...] = ()) -> Method:
    """Return the method of a formula's interval or p-value; ``kept`` are its kept dims."""
    found = refs(tree)
    stated = [measures[ref.measure].inference for ref in found]
    inference = stated[0] if stated else None
    if inference is None or not inference.over:
        return Method("", {}, None, why="its measures do not say to what they generalise")
    units: dict[str, int] = {}
    for dim in inference.over:
        sizes = [len(ref.select.get(dim) or measures[ref.measure].levels.get(dim, ())) for ref in found]
        if dim not in kept and max(sizes, default=0) > 1:
            units[dim] = max(sizes)
    if not units:
        return Method("", units, inference, why=f"nothing of {' and '.join(inference.over)} is left to draw again")
    name, why = _named(tree, inference, units)
    arms = {ref.select.get("arm", ()) for ref in found}
    return Method(name, units, inference, 1 if inference.paired else max(1, len(arms)), why)


def _named(tree: Value, inference: Inference, units: Mapping[str, int]) -> tuple[str, str]:
    correlated = isinstance(tree, Call) and tree.fn in ("pearson", "spearman") and tree.over == tuple(units)
    declared = inference.method
    if declared is None:
        if inference.cells:
            return "bootstrap", ""
        if correlated:
            return "correlation_t", ""
        if len(units) > 2:
            return "", f"there is no t-test for three drawn dims ({', '.join(units)})"
        return ("t" if len(units) == 1 else "two_way_t"), ""
    if declared == "two_way_t" and len(units) == 1:
        return "t", ""
    if declared in ("t", "sign_flip") and len(units) != 1:
        return "", f"'method: {declared}' draws one dim, not {' and '.join(units)}"
    return declared, ""


def smallest_p(p: PValue, measures: Mapping[str, BoundMeasure], kept: tuple[str, ...] = ()) -> Fraction:
    """Return the smallest value that a p can take, whatever is measured."""
    if p.null == "shuffled":
        return _shuffled(p, measures)
    if p.null == "random":
        return Fraction(0)
    two_sided = isinstance(p.of, Call) and p.of.fn == "abs"
    smallest = method_of(p.of, measures, kept).smallest_p
    return min(Fraction(1), 2 * smallest) if two_sided else smallest


def _shuffled(p: PValue, measures: Mapping[str, BoundMeasure]) -> Fraction:
    found = refs(p.of)
    n = max((len(ref.select.get(p.dim, ())) for ref in found), default=0)
    if n < 2:
        n = len({ref.select[p.dim] for ref in found if p.dim in ref.select})
    strata = max((len(ref.select.get(p.within, ())) for ref in found), default=1) if p.within else 1
    inference = next((measures[ref.measure].inference for ref in found if measures[ref.measure].inference), None)
    if math.lgamma(n + 1) * strata <= math.log(ENUMERATED):
        # Orders that equal values make alike reach the statistic together: 3 against 3 has 20 orders and not 720.
        together = (
            max((alike(measures[ref.measure], ref) for ref in found if ref.keep), default=1) if strata == 1 else 1
        )
        return Fraction(together, math.factorial(n) ** strata)
    return Fraction(1, (inference.draws if inference else 10_000) + 1)
