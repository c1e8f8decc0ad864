"""Confidence: what the prereg claims for its outcome, lowered by rule, each time with the reason.

``language.md``, Caps. What changed after the seal is added where a decision is read (``harness.decide.standing``); one
cap waits for later: the simulated P(supported | expect).
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.contracts.bound import BoundMeasure, Dim
from harness.contracts.records import Confidence, ConfidenceWord, Finding
from harness.contracts.trees import Call, Ci, Compare, Criterion, PValue, Value, expression_id
from harness.contracts.walks import nodes, refs
from harness.decide.compare import holds
from harness.decide.court import Court
from harness.decide.judge import leaves, values
from harness.decide.sides import constant
from harness.decide.subtrees import at_level

Cap = tuple[ConfidenceWord, str]
_ORDER: tuple[ConfidenceWord, ...] = ("LOW", "MODERATE", "HIGH")
_ENOUGH_SEEDS = 3
_LOWERS_TO_LOW = ("CELLS", "KILL-POINT", "LEAK")
"""Accepted findings that leave the result's meaning in doubt; every other one costs a step to MODERATE."""


def confidence(court: Court) -> Confidence:
    """Return the claimed and the capped confidence of a decided prereg; a rehearsal has none."""
    claimed = _claimed(court)
    if court.bound.rehearsal:
        return Confidence(claimed=claimed, final=None)
    caps = tuple(_caps(court))
    if claimed is None:
        caps = (("LOW", "the prereg claims no confidence for this outcome"), *caps)
    final = min([claimed or "HIGH", *(word for word, _ in caps)], key=_ORDER.index)
    return Confidence(claimed=claimed, final=final, caps=caps)


def _claimed(court: Court) -> ConfidenceWord | None:
    """Return the first row that holds, else the one that says ``otherwise``."""
    rows = court.bound.confidence
    for row in rows:
        if row.criterion is not None and court.rule(row.criterion).truth == "true":
            return row.word
    return next((row.word for row in rows if row.criterion is None), None)


def _caps(court: Court) -> Iterator[Cap]:
    bound = court.bound
    if bound.retrospective:
        yield "LOW", "retrospective: the data existed before the registration"
    for measure in _cell_measures(court):
        yield "LOW", f"{measure.name} is judged by cells of {' and '.join(_over(measure))}, which understates chance"
    yield from _leave_one_out_flips(court)
    yield from _sweep_disagreements(court)
    yield from _few_models(court)
    for note in bound.allow:
        word: ConfidenceWord = "LOW" if note.source in _LOWERS_TO_LOW else "MODERATE"
        yield word, f"accepted finding {note.source} at {note.at}: {note.because}"


def _few_models(court: Court) -> Iterator[Cap]:
    seeds = _levels(court, "seed")
    models = max(_levels(court, "model"), len({arm.model for arm in court.bound.arms}), len(court.bound.models))
    if seeds == 0:
        yield "MODERATE", "no seeds are recorded, which counts as one"
    elif seeds == 1:
        yield "MODERATE", "one seed: every p-value reads 'for these trained models'"
    elif seeds < _ENOUGH_SEEDS:
        yield "MODERATE", f"{seeds} seeds, and HIGH asks for {_ENOUGH_SEEDS}"
    if models <= 1:
        yield "MODERATE", "one model" if models else "no models are recorded, which counts as one"
    if not _bounded(court):
        yield "MODERATE", "no interval or test excludes the opposite verdict"


def _bounded(court: Court) -> bool:
    """Say whether intervals or tests stand behind the verdict, and not point estimates alone."""
    word, _ = court.outcome
    if word == "killed":
        kills = [court.kill(kill.name) for kill in court.bound.kills]
        return all(_inferred(court, kill) for kill in kills if kill.truth == "true")
    if word == "supported":
        clauses = {owner.name: [court.clause(owner.name, c.name) for c in owner.clauses] for owner in court.primary}
        return all(any(_inferred(court, clause) for clause in found) for found in clauses.values())
    return False


def _inferred(court: Court, finding: Finding) -> bool:
    return any(fact.kind != "compare" or fact.unit == "p" for fact in finding.facts)


def _levels(court: Court, dim: str) -> int:
    return max((len(measure.levels.get(dim, ())) for measure in court.bound.measures), default=0)


def deciding(court: Court) -> tuple[tuple[str, Criterion], ...]:
    """Return the criteria that decide, each with its name: gates, kills and primary clauses."""
    bound = court.bound
    found = [(f"gate {gate.name}", gate.criterion) for gate in bound.gates]
    found += [(f"kill {kill.name}", kill.criterion) for kill in bound.kills]
    found += [(f"{owner.name}.{each.name}", each.criterion) for owner in court.primary for each in owner.clauses]
    return tuple(found)


def _cell_measures(court: Court) -> list[BoundMeasure]:
    """Measures drawn by cells under an interval or a test that decides."""
    read = {
        ref.measure
        for _, criterion in deciding(court)
        for leaf in leaves(criterion)
        for value in values(leaf)
        if isinstance(leaf, Ci) or any(isinstance(node, PValue) for node in nodes(value))
        for ref in refs(value)
    }
    return [m for m in court.bound.measures if m.name in read and m.inference is not None and m.inference.cells]


def _over(measure: BoundMeasure) -> tuple[str, ...]:
    return measure.inference.over if measure.inference else ()


def _leave_one_out_flips(court: Court) -> Iterator[Cap]:
    """A registered ``leave_one_out(x)`` is read against every criterion on the same x."""
    for expression in court.bound.expressions:
        tree = expression.tree
        if not (isinstance(tree, Call) and tree.fn == "leave_one_out"):
            continue
        for name, criterion in deciding(court):
            for leaf in leaves(criterion):
                if isinstance(leaf, Compare) and leaf.left == tree.args[0]:
                    yield from _flips(court, name, leaf, tree)


def _flips(court: Court, name: str, leaf: Compare, tree: Value) -> Iterator[Cap]:
    key, whole, limit = expression_id(tree), court.estimates.get(expression_id(leaf.left)), constant(leaf.right)
    if key not in court.estimates or whole is None or limit is None or whole.cells[0].value is None:
        return
    known = [cell.value for cell in court.estimates[key].cells if cell.value is not None]
    decision = holds(whole.cells[0].value, leaf.rel, limit)
    flips = sum(holds(value, leaf.rel, limit) != decision for value in known)
    if flips:
        yield "LOW", f"{flips} of {len(known)} leave-one-outs flip {name} ('{leaf.text}')"


def _sweep_disagreements(court: Court) -> Iterator[Cap]:
    """A reported table over a sweep is read against every criterion on its primary level."""
    sweeps = {sweep for measure in court.bound.measures for sweep in measure.sweeps}
    for dim in court.bound.dims:
        if dim.name not in sweeps or dim.primary not in dim.levels:
            continue
        for expression in court.bound.expressions:
            if expression.axes == (dim.name,):
                yield from _disagreements(court, dim, expression.tree)


def _disagreements(court: Court, dim: Dim, table: Value) -> Iterator[Cap]:
    primary, cells = at_level(table, dim.name, dim.primary), court.estimates.get(expression_id(table))
    for name, criterion in deciding(court):
        for leaf in leaves(criterion):
            limit = constant(leaf.right) if isinstance(leaf, Compare) else None
            if not isinstance(leaf, Compare) or limit is None or cells is None or leaf.left != primary:
                continue
            by_level = {cell.at[dim.name]: cell.value for cell in cells.cells if cell.value is not None}
            if dim.primary not in by_level:
                continue
            decision = holds(by_level[dim.primary], leaf.rel, limit)
            other = [level for level, value in by_level.items() if holds(value, leaf.rel, limit) != decision]
            if other:
                yield "LOW", f"{name} ('{leaf.text}') would be decided otherwise at {dim.name} {', '.join(other)}"
