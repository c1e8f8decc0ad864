"""A contrast of arms taken apart: counts by arm and unit, who rose and who fell, and what completion length says.

Made by rule for every registered contrast of rates between arms. It is a stored job and decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.contracts.analyses import ArmCounts, Breakdown, Direction, Part
from harness.contracts.bound import BoundMeasure
from harness.contracts.ports import Progress
from harness.contracts.records import Job
from harness.core.ident import canonical
from harness.decide.length import length_control
from harness.decide.markers import marker_places
from harness.decide.pools import Drawn, grid, measured, rounded
from harness.decide.tables import Dense, Placed, load


def run_breakdown(job: Job, inputs: Mapping[str, Path], out: Path, progress: Progress) -> None:
    """Take one pool of contrasts apart and write ``breakdown.json``."""
    params = job.params
    measures = {name: BoundMeasure.model_validate(content) for name, content in params["measures"].items()}
    tables = {
        name: [(entry["at"], inputs[entry["role"]]) for entry in entries] for name, entries in params["tables"].items()
    }
    found = breakdown(params, measures, tables)
    (out / "breakdown.json").write_bytes(canonical(found.model_dump(mode="json")))


def breakdown(
    params: Mapping[str, Any], measures: Mapping[str, BoundMeasure], tables: Mapping[str, Placed]
) -> Breakdown:
    """Return the breakdown that a job's parameters ask for (``harness.plan.breakdowns`` writes them).

    Arms with cells of the pool that no table holds are named and left out: nothing missing becomes a number.
    """
    measure, unit = measures[params["measure"]], params["unit"]
    pool = {dim: tuple(levels) for dim, levels in params["pool"].items()}
    rates = load(measure, tables[measure.name])
    arms = tuple(arm for arm in params["arms"] if measured(rates, params["column"], arm, pool))
    counts = [_arm(rates, params["column"], arm, pool, unit) for arm in arms]
    by_arm = {each.arm: each for each in counts}
    drawn = Drawn(rates, params["column"], pool, unit, arms)
    dims = {dim: len(levels) for dim, levels in pool.items() if dim not in ("seed", *measure.sweeps)}
    lengths = measures[params["lengths"]] if params["lengths"] else None
    kept = all((folder / "completions.parquet").is_file() for _, folder in tables[measure.name])
    completions = tables[measure.name] if kept else []
    places, why = marker_places(drawn, completions, params["marker"])
    return Breakdown(
        measure=measure.name,
        column=params["column"],
        unit=unit,
        pool=pool,
        pool_name=params["pool_name"],
        dims=dims,
        per_cell=_per_cell(drawn),
        noun="completion" if lengths else "trial",
        trained=len(pool["seed"]) if "seed" in pool else None,
        arms=tuple(counts),
        directions=tuple(
            _direction(by_arm[left], by_arm[right]) for left, right in params["pairs"] if {left, right} <= set(arms)
        ),
        length=length_control(drawn, lengths, tables, params, completions) if lengths and arms else None,
        places=places,
        places_reason=why,
        missing=tuple(arm for arm in params["arms"] if arm not in arms),
    )


def _arm(rates: Dense, column: str, arm: str, pool: Mapping[str, tuple[str, ...]], unit: str) -> ArmCounts:
    parts = [_part(rates, column, arm, {**pool, unit: (level,)}, unit) for level in pool[unit]]
    everywhere = [
        _part(rates, column, arm, {**pool, unit: (level,)}, unit)
        for level in rates.measure.levels[unit]
        if measured(rates, column, arm, {**pool, unit: (level,)})
    ]
    return ArmCounts(
        arm=arm,
        hits=sum(part.hits for part in parts),
        n=sum(part.n for part in parts),
        rate=rounded(float(np.mean([part.rate for part in parts]))),
        parts=tuple(parts),
        lowest=min(parts, key=_rate),
        highest=max(parts, key=_rate),
        everywhere_lowest=min(everywhere, key=_rate),
        everywhere_highest=max(everywhere, key=_rate),
    )


def _rate(part: Part) -> float:
    return part.rate


def _part(rates: Dense, column: str, arm: str, pool: Mapping[str, Sequence[str]], unit: str) -> Part:
    k, n = (grid(rates, f"{column}.{part}", arm, pool) for part in "kn")
    return Part(level=pool[unit][0], hits=int(k.sum()), n=int(n.sum()), rate=rounded(float((k / n).mean())))


def _direction(left: ArmCounts, right: ArmCounts) -> Direction:
    other = {part.level: part.rate for part in right.parts}
    moves = {part.level: rounded(part.rate - other[part.level]) for part in left.parts}
    lowest, highest = min(moves, key=moves.__getitem__), max(moves, key=moves.__getitem__)
    return Direction(
        left=left.arm,
        right=right.arm,
        rose=sum(move > 0 for move in moves.values()),
        fell=sum(move < 0 for move in moves.values()),
        same=sum(move == 0 for move in moves.values()),
        lowest=moves[lowest],
        lowest_at=lowest,
        highest=moves[highest],
        highest_at=highest,
        fallers=tuple(level for level, move in moves.items() if move < 0),
        risers=tuple(level for level, move in moves.items() if move > 0),
    )


def _per_cell(drawn: Drawn) -> tuple[int, int]:
    trials = [drawn.trials(arm) for arm in drawn.arms]
    if not trials:
        return 0, 0
    return int(min(each.min() for each in trials)), int(max(each.max() for each in trials))
