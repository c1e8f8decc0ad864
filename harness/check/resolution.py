"""RESOLUTION: what the design can resolve is coarser than what it is asked.

Three sign flips give no p below 1/8, ten answers no rate between 90% and 100%, and five right of fifteen against two
is p = .39: a threshold finer than the design's steps, or within its noise, is decided by chance or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from math import prod, sqrt

from harness.check.methods import Method, method_of, refs, smallest_p
from harness.check.walk import column_of
from harness.contracts.bound import Bound, BoundMeasure, Clause, Hypothesis
from harness.contracts.records import CheckFinding
from harness.contracts.trees import Ci, Compare, Num, Op, PValue, Ref, Value
from harness.contracts.walks import leaves, nodes, values

BOOTSTRAP_P = Fraction(1, 100)
"""A bootstrap p may not decide below this: its tails are too thin (`language.md`, Meaning)."""
TAIL_DRAWS = 20
"""Draws expected beyond the threshold below which the Monte Carlo error decides about as much as the data."""
FEWEST = {"t": 3, "two_way_t": 3, "bootstrap": 10}
"""Units below which a method's error rates are far from what they say."""
NOISES = 2
"""Standard errors that a difference of two rates must exceed to be more than chance."""

Found = tuple[str, str, str]
"""Severity, reason, fix."""


def resolution(bound: Bound) -> Iterator[CheckFinding]:
    """Yield a finding for each clause or kill whose threshold the design cannot resolve."""
    measures = {measure.name: measure for measure in bound.measures}
    for owner in bound.hypotheses:
        for clause in owner.clauses:
            at = f"hypotheses.{owner.name}.{clause.name}"
            found = [*_clause(clause, measures, _tests(owner, clause)), *_noise(owner, clause, measures)]
            yield from _made(at, clause, found)
    for kill in bound.kills:
        yield from _made(f"kill.{kill.name}", kill, list(_clause(kill, measures, 1)))


def _made(at: str, clause: Clause, found: list[Found]) -> Iterator[CheckFinding]:
    for severity, reason, fix in dict.fromkeys(found):
        yield CheckFinding(code="RESOLUTION", severity=severity, at=at, line=clause.line, reason=reason, fix=fix)


def _clause(clause: Clause, measures: Mapping[str, BoundMeasure], tests: int) -> Iterator[Found]:
    for leaf in leaves(clause.criterion):
        for value in values(leaf):
            for node in nodes(value):
                if isinstance(node, PValue):
                    yield from _unpaired(node.of, measures)
        if isinstance(leaf, Ci):
            yield from _unpaired(leaf.of, measures)
            yield from _few(method_of(leaf.of, measures, _kept(leaf.of)), leaf.text)
            continue
        yield from _steps(leaf, measures)
        tested = [node for node in nodes(leaf.left) if isinstance(node, PValue)]
        if tested and isinstance(leaf.right, Num) and leaf.rel in ("<", "<="):
            for p in tested:
                yield from _p(p, Fraction(leaf.right.value), leaf, measures, tests)


def _p(p: PValue, alpha: Fraction, leaf: Compare, measures: Mapping[str, BoundMeasure], tests: int) -> Iterator[Found]:
    method = method_of(p.of, measures, _kept(p.of))
    smallest = smallest_p(p, measures, _kept(p.of)) * tests
    if smallest > alpha or (smallest == alpha and leaf.rel == "<"):
        times = f" ({tests} tests, corrected)" if tests > 1 else ""
        yield (
            "error",
            f"'{leaf.text}' asks for less than the smallest p that this design can give: {_number(smallest)}{times}",
            "more units (seeds, personas, questions), or a threshold that can be reached",
        )
        return
    if p.null is None and method.name == "bootstrap" and alpha < BOOTSTRAP_P:
        yield (
            "error",
            f"'{leaf.text}' reads the tail of a bootstrap, which may not decide below .01",
            "resample: persona and question (a t-test), or a threshold of .01",
        )
        return
    draws = 1 / smallest_p(p, measures, _kept(p.of)) if smallest else None
    if draws is not None and _drawn(p, method, draws) and draws * alpha < TAIL_DRAWS:
        yield (
            "warning",
            f"'{leaf.text}': of {int(draws) - 1} draws, {float(draws * alpha):g} are expected beyond the threshold, so "
            "another random seed can turn the verdict",
            f"inference: {{draws: {int(TAIL_DRAWS / alpha)}}}",
        )
    if p.null is None:
        yield from _few(method, leaf.text)


def _drawn(p: PValue, method: Method, draws: Fraction) -> bool:
    """Whether a p comes from random draws and not from all arrangements."""
    planned = method.inference.draws if method.inference else 10_000
    return draws == planned + 1 and (p.null == "shuffled" or method.name == "bootstrap")


def _few(method: Method, text: str) -> Iterator[Found]:
    fewest = FEWEST.get(method.name, 0)
    for dim, n in method.units.items():
        if n < fewest:
            yield (
                "warning",
                f"'{text}' generalises over {n} {dim}s, and {method.name.replace('_', ' ')} needs {fewest} or more to "
                "keep its error rate",
                f"more {dim}s, or fix {dim} and say so",
            )


def _unpaired(tree: Value, measures: Mapping[str, BoundMeasure]) -> Iterator[Found]:
    found = refs(tree)
    unpaired = [ref for ref in found if (i := measures[ref.measure].inference) is not None and not i.paired]
    if len(found) < 2 or not unpaired:
        return
    inference = measures[unpaired[0].measure].inference
    shared = [dim for dim in (inference.over if inference else ()) if len({ref.select.get(dim) for ref in found}) == 1]
    if shared and len({ref.select.get("arm") for ref in found}) > 1:
        accepted = "warning" if measures[unpaired[0].measure].reproduces else "error"
        yield (
            accepted,
            f"the arms share their {' and '.join(shared)}s and are drawn again independently: what they have in common "
            "counts as noise",
            "arms: paired (the default)",
        )


def _steps(leaf: Compare, measures: Mapping[str, BoundMeasure]) -> Iterator[Found]:
    """K of n: the smallest change of a rate against its threshold."""
    if not isinstance(leaf.right, Num):
        return
    threshold = abs(Fraction(leaf.right.value))
    sizes = [_trials(ref, measures) for ref in _rates(leaf.left, measures)]
    if not sizes or not threshold or threshold >= 1:
        return
    step = Fraction(1, min(sizes)) if min(sizes) else Fraction(0)
    room = threshold if _difference(leaf.left) else min(threshold, 1 - threshold)
    if step > room:
        yield (
            "error" if _difference(leaf.left) else "warning",
            f"'{leaf.text}' falls between the steps of the rate, which are 1/{min(sizes)}",
            "more completions, questions or personas",
        )


def _noise(owner: Hypothesis, clause: Clause, measures: Mapping[str, BoundMeasure]) -> Iterator[Found]:
    """A difference of rates judged by its point alone, within what equal arms differ by chance."""
    if any(_tested(leaf) for each in owner.clauses for leaf in leaves(each.criterion)):
        return
    for leaf in leaves(clause.criterion):
        if not isinstance(leaf, Compare) or not isinstance(leaf.right, Num) or not _difference(leaf.left):
            continue
        sizes = [_trials(ref, measures) for ref in _rates(leaf.left, measures)]
        threshold = abs(float(Fraction(leaf.right.value)))
        if len(sizes) == 2 and all(sizes) and threshold < NOISES * sqrt(sum(0.25 / n for n in sizes)):
            yield (
                "error",
                f"'{leaf.text}': two equal arms of {sizes[0]} and {sizes[1]} answers differ by that much by chance",
                "an interval or a p-value beside it, or more answers",
            )


def _tested(leaf: Compare | Ci) -> bool:
    return isinstance(leaf, Ci) or any(isinstance(node, PValue) for node in nodes(leaf.left))


def _rates(tree: Value, measures: Mapping[str, BoundMeasure]) -> list[Ref]:
    if any(isinstance(node, PValue) for node in nodes(tree)):
        return []
    found = refs(tree)
    return found if all(column_of(measures[ref.measure], ref.column).form == "ratio" for ref in found) else []


def _trials(ref: Ref, measures: Mapping[str, BoundMeasure]) -> int:
    """Answers behind one value of a reference; 0 where the registration does not say."""
    completions = measures[ref.measure].params.get("completions")
    if measures[ref.measure].family == "recorded" or not isinstance(completions, int):
        return 0
    return completions * prod(len(levels) for dim, levels in ref.select.items() if dim not in ref.keep and levels)


def _difference(tree: Value) -> bool:
    return isinstance(tree, Op) and tree.op == "-"


def _kept(tree: Value) -> tuple[str, ...]:
    """Kept dims: a dim that a function has reduced is not among them, which only makes fewer of them drawn."""
    return tuple(dim for ref in refs(tree) for dim in ref.keep) if isinstance(tree, Ref | Op) else ()


def _tests(owner: Hypothesis, clause: Clause) -> int:
    """How many times the smallest p of a Holm family counts."""
    if not owner.correct.startswith("holm") or not owner.correct.endswith(f" {clause.name}"):
        return 1
    tests = [leaf for leaf in leaves(clause.criterion) if isinstance(leaf, Compare) and isinstance(leaf.left, PValue)]
    return max(1, len(tests))


def _number(p: Fraction) -> str:
    return f"1/{p.denominator} = {float(p):.3g}" if p.numerator == 1 else f"{float(p):.3g}"
