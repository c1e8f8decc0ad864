"""Confirm what the solver found: expand its experiment to tables, estimate, decide, and see that it comes out so.

The solver proves what is impossible. What it calls possible is so in its own picture of an experiment; only after
the witness has been judged by the code that judges real data is it called reachable.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from harness.check.walk import column_of, criteria
from harness.contracts.bound import Bound, BoundMeasure
from harness.contracts.kinds import Table
from harness.contracts.records import Column, Decision, Estimate
from harness.contracts.trees import Call, Ref, expression_id
from harness.contracts.walks import nodes, trees_of
from harness.core.errors import JobError, PreregError
from harness.core.ident import seed_for
from harness.decide.estimate import estimate
from harness.decide.verdict import decide
from harness.decide.witness import row_values
from harness.measure.table import write_table

if TYPE_CHECKING:
    from harness.check.solver.ask import Level

APART = (0.0, 0.05, 0.3)
"""Spread between the levels of a dim, as a share of the column's range: each table that is tried for a witness."""


RELATED = ("pearson", "spearman", "tau", "slope")
MOST_COLUMNS = 3
"""Correlated columns whose signs are tried in all combinations."""
NOISES = (0.02, 0.1, 0.25)
"""Noise around a line, as shares of the column's range."""


@dataclass(frozen=True)
class Confirmed:
    """One outcome and what is known about it.

    state:
        ``reachable``: ``decide`` returned it on a table; ``not refuted``: the solver finds it possible, and no table
        that was tried brings it about; ``impossible``: proven; ``unknown``: the solver ran out of time.
    """

    kind: str
    name: str
    state: Literal["reachable", "not refuted", "impossible", "unknown"]
    levels: tuple[Level, ...] = ()
    why: str = ""

    def __str__(self) -> str:
        shown = ", ".join(_said(level) for level in self.levels[:6]) if self.state == "reachable" else self.why
        return f"{self.kind} {self.name}: {self.state}" + (f" ({shown})" if shown else "")


def confirm(bound: Bound) -> Iterator[Confirmed]:
    """Yield every verdict, hypothesis and triage row with its state: see :class:`Confirmed`.

    Deterministic: all noise derives from the prereg's id.
    """
    from harness.check.solver.study import Study

    for kind, name, answer in Study(bound).targets():
        if answer.found != "sat":
            yield Confirmed(kind, name, "impossible" if answer.found == "unsat" else "unknown")
            continue
        why = ""
        for attempt, levels in enumerate(_tables(bound, answer.levels)):
            try:
                decision = judged(bound, levels, attempt)
            except (PreregError, JobError) as error:
                why = str(error).splitlines()[0]
                continue
            if reached(decision, kind, name):
                yield Confirmed(kind, name, "reachable", levels)
                break
            why = f"the table gave {decision.verdict}: {decision.why}"
        else:
            yield Confirmed(kind, name, "not refuted", answer.levels, why)


def _tables(bound: Bound, levels: tuple[Level, ...]) -> Iterator[tuple[Level, ...]]:
    """Yield what to plant, try by try: the witness as it is, then correlated columns along lines of either sign."""
    for _ in APART:
        yield levels
    columns = dict.fromkeys(
        (ref.measure, ref.column, node.over[0])
        for criterion in criteria(bound)
        for tree in trees_of(criterion)
        for node in nodes(tree)
        if isinstance(node, Call) and node.fn in RELATED and len(node.over) == 1
        for arg in node.args
        for ref in nodes(arg)
        if isinstance(ref, Ref)
    )
    if not 0 < len(columns) <= MOST_COLUMNS:
        return
    for signs, noise in itertools.product(itertools.product((1, -1), repeat=len(columns)), NOISES):
        lines = [
            level
            for sign, (measure, column, dim) in zip(signs, columns, strict=True)
            for level in _line(bound, measure, column, dim, sign, noise)
        ]
        lined = {(measure, column) for measure, column, _ in columns}
        yield (*(level for level in levels if (level.measure, level.column) not in lined), *lines)


def _line(bound: Bound, measure: str, column: str, dim: str, sign: int, noise: float) -> Iterator[Level]:
    """A column that rises or falls along a dim, within its range."""
    from harness.check.solver.ask import Level

    owner = next(each for each in bound.measures if each.name == measure)
    found = column_of(owner, column)
    low, high = (found.low if found.low is not None else 0.0), (found.high if found.high is not None else 1.0)
    rng = np.random.default_rng(seed_for(bound.id, f"confirm/{measure}.{column}/{sign}/{noise}"))
    names = owner.levels.get(dim, ())
    for place, name in enumerate(names):
        share = 0.5 + sign * 0.8 * (place / max(1, len(names) - 1) - 0.5) + noise * rng.normal()
        yield Level(measure, column, ((dim, (name,)),), low + (high - low) * min(1.0, max(0.0, share)))


def reached(decision: Decision, kind: str, name: str) -> bool:
    """Say whether a decision is the outcome that was asked for."""
    if kind == "verdict":
        return decision.verdict == name
    if kind == "triage":
        return decision.triage is not None and decision.triage.row == int(name)
    hypothesis, _, word = name.partition("/")
    return any(each.name == hypothesis and each.verdict == word for each in decision.hypotheses)


def judged(bound: Bound, levels: Sequence[Level], attempt: int = 0) -> Decision:
    """Decide on tables with these levels planted.

    Raises:
        PreregError: the rule contradicts itself there.
        JobError: the tables do not fit a formula.
    """
    wanted = {expression_id(tree) for criterion in criteria(bound) for tree in trees_of(criterion)}
    measures = {measure.name: measure for measure in bound.measures}
    found: dict[str, Estimate] = {}
    with tempfile.TemporaryDirectory() as folder:
        tables = {
            measure.name: _write(bound, measure, levels, Path(folder), attempt)
            for measure in bound.measures
            if measure.columns
        }
        for expression in bound.expressions:
            key = expression_id(expression.tree)
            if key in wanted and key not in found:
                found[key] = estimate(expression, measures, _read(expression.tree, tables))
    return decide(bound, found)


def _read(tree: Any, tables: Mapping[str, list[tuple[dict[str, str], Path]]]) -> dict[str, Any]:
    """The tables that a formula reads, without the arms that it does not."""
    from harness.contracts.walks import refs

    found: dict[str, Any] = {}
    for name in {ref.measure for ref in refs(tree)}:
        arms = {arm for ref in refs(tree) if ref.measure == name for arm in ref.select.get("arm", ())}
        found[name] = [(at, path) for at, path in tables[name] if at.get("arm", "") in arms or "arm" not in at]
    return found


def _write(
    bound: Bound, measure: BoundMeasure, levels: Sequence[Level], folder: Path, attempt: int
) -> list[tuple[dict[str, str], Path]]:
    outer = [dim for dim in measure.dims if dim in ("arm", "seed") or dim in measure.sweeps]
    inner = [dim for dim in measure.dims if dim not in outer]
    own = [level for level in levels if level.measure == measure.name]
    written = []
    for index, names in enumerate(itertools.product(*(measure.levels[dim] for dim in outer))):
        at = dict(zip(outer, names, strict=True))
        rng = np.random.default_rng(seed_for(bound.id, f"confirm/{measure.name}/{index}", attempt))
        path = folder / f"{measure.name}-{index}"
        write_table(_table(measure, inner, at, own, rng, attempt), path)
        written.append((at, path))
    return written


def _table(
    measure: BoundMeasure, inner: list[str], at: Mapping[str, str], own: Sequence[Level], rng: np.random.Generator,
    attempt: int,
) -> Table:  # fmt: skip
    pairs = [column.pair for column in measure.columns if column.form == "gram"][:1]
    dims = [*inner, *(f"{pair}_b" for pair in pairs)]
    rows = list(itertools.product(*(measure.levels[dim.removesuffix("_b")] for dim in dims)))
    data: dict[str, Any] = {dim: [row[index] for row in rows] for index, dim in enumerate(dims)}
    same = np.array([row[dims.index(pairs[0])] == row[-1] for row in rows]) if pairs else np.array([])
    for column in measure.columns:
        planted = np.full(len(rows), column.low or 0.0)
        for level in own:
            if level.column == column.name:
                planted[_covered(level, at, data, len(rows))] = level.value
        if inner and 0 < attempt < len(APART):
            planted = _apart(column, planted, data[inner[0]], APART[attempt], rng)
        data.update(row_values(measure, column, planted, same, rng))
    return Table(tuple(dims), measure.columns, data)


def _apart(
    column: Column, planted: np.ndarray[Any, Any], names: Sequence[str], spread: float, rng: np.random.Generator
) -> np.ndarray[Any, Any]:
    """Move the levels of one dim apart from each other, which widens intervals."""
    shifts = {name: rng.normal(0.0, spread) for name in dict.fromkeys(names)}
    width = (column.high - column.low) if column.high is not None and column.low is not None else 1.0
    moved = planted + width * np.array([shifts[name] for name in names])
    return np.clip(moved, column.low, column.high) if column.low is not None or column.high is not None else moved


def _covered(level: Level, at: Mapping[str, str], data: Mapping[str, Sequence[str]], size: int) -> np.ndarray[Any, Any]:
    """Which rows a planted level is about."""
    covered = np.ones(size, dtype=bool)
    for dim, names in level.at:
        if dim in at:
            covered &= at[dim] in names
        elif dim in data:
            covered &= np.isin(np.array(data[dim]), names)
    return covered


def _said(level: Level) -> str:
    arms = [names[0] for dim, names in level.at if dim == "arm" and len(names) == 1]
    return f"{level.measure}.{level.column}{f'[{arms[0]}]' if arms else ''} = {level.value:.3g}"
