"""``prereg simulate``: how often the complete rule is right, on simulated experiments.

Gates, conjunctions, kills, triage and corrections decide as they would in a run, at the null (all effects 0), at the
registered thresholds, at what is expected, and along a grid of one effect. What is assumed is part of the result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.contracts.bound import Bound
from harness.contracts.records import Record
from harness.contracts.trees import Value
from harness.core.durable import replace_file
from harness.core.errors import PreregError, Problem, Where
from harness.core.ident import canonical, guarded, seed_for
from harness.core.registry import did_you_mean
from harness.decide.shape import axes_of
from harness.decide.simulation.batch import Batch
from harness.decide.simulation.components import Components, require_run_sd
from harness.decide.simulation.draw import Drawer
from harness.decide.simulation.judging import Judging, Tally
from harness.decide.simulation.planting import Planted, Planter
from harness.decide.simulation.points import effects, expected, thresholds
from harness.decide.simulation.ruling import CONTRADICTION
from harness.decide.simulation.scene import Scene
from harness.decide.simulation.trials import trials_of

VERDICTS = ("supported", "not supported", "killed", "inconclusive")
CHUNK = 250
"""Experiments that share one random stream; fixed, so that memory decides nothing."""
GRID = 9
"""Points of a grid whose number is not given."""
MOST_POINTS = 1000
Tell = Callable[[str, float], None]


class Shares(Record):
    """What happened at one point: shares of ``n`` simulated experiments.

    ``effects`` are the true values of the named estimands; ``truths`` hold, by name (``gate.NAME``, ``kill.NAME``,
    ``H``, ``H.CLAUSE``), the shares true, false and unknown; ``triage`` the share of each row by its text;
    ``errors`` are Monte Carlo standard errors of ``verdicts``.
    """

    n: int
    verdicts: dict[str, float]
    errors: dict[str, float]
    truths: dict[str, dict[str, float]]
    triage: dict[str, float]
    effects: dict[str, float]


class Dropped(Record):
    """How many simulated experiments change when one thing is left out (a clause then always holds).

    One changes when the verdict does, or that of any hypothesis, secondary ones included.
    """

    name: str
    text: str
    changed: int
    of: int


class Simulation(Record):
    """Operating characteristics of one registration.

    ``points`` are verdict shares at ``null``, ``threshold`` and ``expect`` (which is absent where nothing is
    expected); ``details`` the same with everything else; ``curves`` hold, per effect, its values and shares.
    ``levels`` are the true levels that were assumed or planted, by point. ``slow`` names formulas that were
    estimated one experiment at a time. ``meaning`` ties the simulation to what was registered.
    """

    prereg: str
    meaning: str
    n: int
    seed: int
    run_sd: dict[str, float]
    components: Components
    points: dict[str, dict[str, float]]
    details: dict[str, Shares]
    curves: dict[str, tuple[Shares, ...]] = {}
    dropped: tuple[Dropped, ...]
    levels: dict[str, dict[str, float]]
    notes: tuple[str, ...] = ()
    slow: tuple[str, ...] = ()


@dataclass(frozen=True)
class Grid:
    """Values of one effect to go through; everything else stays as expected."""

    effect: str
    values: tuple[float, ...]


def simulate(
    bound: Bound,
    components: Components,
    *,
    experiments: int = 2000,
    seed: int = 0,
    grids: Sequence[Grid] = (),
    tell: Tell = lambda what, done: None,
) -> Simulation:
    """Simulate a registration.

    Args:
        bound: the registration.
        components: what varies; the run-to-run SD must be stated for every measure that is read.
        experiments: how many per point.
        seed: of the simulation; every draw derives from it and the prereg's id.
        grids: effects to vary.
        tell: is told what is being done and how much of all is done, in [0, 1].

    Raises:
        PreregError: the run-to-run SD is not stated, the rule reads what nothing can simulate, or an effect of a
            grid is not an estimand.
    """
    if experiments < 1:
        raise PreregError(Problem(Where(key="experiments"), f"found {experiments}", "at least 1"))
    bench = _Bench(bound, components, experiments, seed, tell)
    points = dict(bench.points())
    curves = {grid.effect: list(bench.curve(grid)) for grid in grids}
    bench.of = len(points) + sum(map(len, curves.values()))
    details = {name: bench.run(name, planted, dropping=True) for name, planted in points.items()}
    drawn = {effect: tuple(bench.run(effect, each) for each in planted) for effect, planted in curves.items()}
    notes = dict.fromkeys(note for planted in points.values() for note in planted.notes)
    return Simulation(
        prereg=bound.id,
        meaning=bound.meaning,
        n=experiments,
        seed=seed,
        run_sd=components.run_sd,
        components=components,
        points={name: shares.verdicts for name, shares in details.items()},
        details=details,
        curves=drawn,
        dropped=bench.dropped(),
        levels={name: bench.readable(planted) for name, planted in points.items()},
        notes=(*bench.notes, *notes, *(f"not decided yet, so not simulated: {what}" for what in bound.missing)),
        slow=tuple(bench.judging.slow),
    )


def grid_of(text: str, points: int = GRID) -> Grid:
    """Read ``NAME=a..b`` or ``NAME=a..b:POINTS`` (quantities such as 5pp are understood).

    Raises:
        PreregError: the text is nothing of the kind.
    """
    from harness.decide.simulation.components import quantity

    name, equals, values = (part.strip() for part in text.partition("="))
    ends, _, count = values.partition(":")
    low, dots, high = ends.partition("..")
    if not (name and equals and dots):
        raise PreregError(Problem(Where(key="effect"), f"found '{text}'", "NAME=a..b or NAME=a..b:POINTS"))
    if count and not (count.strip().isdigit() and 1 < int(count) <= MOST_POINTS):
        raise PreregError(Problem(Where(key="effect"), f"found '{count}' points", f"from 2 to {MOST_POINTS}"))
    number = int(count) if count else points
    return Grid(name, tuple(float(x) for x in np.linspace(quantity(low), quantity(high), number)))


def store_simulation(simulation: Simulation, store: Path) -> Path:
    """Write ``<store>/simulations/<meaning>.json`` and return its path; an earlier one of this meaning is replaced."""
    path = simulation_path(store, simulation.meaning)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, canonical(guarded(simulation.model_dump(mode="json"))))
    return path


def simulation_path(store: Path, meaning: str) -> Path:
    """Return where the simulation of a meaning lies or would lie."""
    return store / "simulations" / f"{meaning}.json"


class _Bench:
    """Everything that one simulation keeps between its points."""

    def __init__(self, bound: Bound, components: Components, n: int, seed: int, tell: Tell) -> None:
        self.scene, self.components, self.n, self.seed, self.tell = Scene(bound), components, n, seed, tell
        readings = self.scene.readings
        read = {reading.measure.name: reading.measure for reading in readings.values()}
        require_run_sd(components, tuple(read.values()), bound.measures)
        trials, self.notes = trials_of(readings)
        self.drawer = Drawer(readings, components, trials, bound.id)
        self.planter = Planter(self.scene, components)
        self.judging = Judging(self.scene)
        self.changed: dict[str, int] = {name: 0 for name, _, _ in self.judging.variants}
        self.tried, self.of, self.done = 0, 1, 0

    def points(self) -> Iterator[tuple[str, Planted]]:
        """Yield null, threshold and expect with their true levels."""
        null = {name: (tree, 0.0) for name, tree in effects(self.scene).items()}
        yield "null", self.planter.plant(null)
        limits = thresholds(self.scene)
        if limits:
            yield "threshold", self.planter.plant(limits)
        if wanted := expected(self.scene):
            yield "expect", self.planter.plant(wanted)

    def curve(self, grid: Grid) -> Iterator[Planted]:
        """Yield the true levels along a grid: the effect at each value, all others as expected."""
        named = self.scene.named
        scalars = [name for name, expression in named.items() if not axes_of(expression.tree)]
        if grid.effect not in scalars:
            hint = did_you_mean(grid.effect, scalars)
            raise PreregError(Problem(Where(key="effect"), f"'{grid.effect}' is no estimand with one value", hint=hint))
        others: dict[str, tuple[Value, float]] = expected(self.scene)
        for value in grid.values:
            yield self.planter.plant({**others, grid.effect: (named[grid.effect].tree, value)})

    def run(self, name: str, planted: Planted, dropping: bool = False) -> Shares:
        """Simulate one point."""
        tally = Tally()
        seed = seed_for(self.scene.bound.id, "simulate", self.seed)
        chunks = -(-self.n // CHUNK)
        for chunk in range(chunks):
            size = min(CHUNK, self.n - chunk * CHUNK)
            batch = Batch(self.scene, self.drawer.draw(planted.levels, size, seed, chunk), size)
            rulings = self.judging.judge(batch, tally)
            if chunk == 0 and not batch.approximate:
                self.judging.audit(batch, rulings, 0)
            self.tell(name, (self.done + (chunk + 1) / chunks) / self.of)
        self.done += 1
        if dropping:
            self.tried += tally.size
            for variant, count in tally.changed.items():
                self.changed[variant] += count
        return _shares(tally, self.scene.bound, planted)

    def dropped(self) -> tuple[Dropped, ...]:
        """Return what every clause, gate and kill changed, over all points together."""
        return tuple(
            Dropped(name=name, text=text, changed=self.changed[name], of=self.tried)
            for name, text, _ in self.judging.variants
        )

    def readable(self, planted: Planted) -> dict[str, float]:
        """Return true levels by readable names."""
        found = np.zeros(len(self.planter.owners))
        for name, index in self.planter.index.items():
            found[index] = planted.levels[name]
        return self.planter.level_table(found)


def _shares(tally: Tally, bound: Bound, planted: Planted) -> Shares:
    n = tally.size
    words = (*VERDICTS, *(CONTRADICTION for _ in range(tally.verdicts[CONTRADICTION] > 0)))
    verdicts = {word: tally.verdicts[word] / n for word in words}
    truths: dict[str, dict[str, float]] = {
        name: {word: found[word] / n for word in ("true", "false", "unknown")} for name, found in tally.truths.items()
    }
    rows = {row.text: tally.rows[index] / n for index, row in enumerate(bound.triage)}
    return Shares(
        n=n,
        verdicts=verdicts,
        errors={word: monte_carlo_error(share, n) for word, share in verdicts.items()},
        truths=truths,
        triage={**rows, "(none)": tally.rows[-1] / n} if bound.triage else {},
        effects={name: value for name, value in planted.truths.items() if math.isfinite(value)},
    )


def monte_carlo_error(share: float, n: int) -> float:
    """Return the standard error of a share of ``n``; at 0 and 1, that of half an experiment (never 0)."""
    inside = min(max(share, 0.5 / n), 1 - 0.5 / n)
    return math.sqrt(inside * (1 - inside) / n)
