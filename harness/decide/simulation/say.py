"""What a simulation says in a terminal: tables with Monte Carlo errors, and everything that was assumed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from harness.decide.simulation.components import ANY

if TYPE_CHECKING:
    from harness.decide.simulate import Shares, Simulation


def lines(simulation: Simulation) -> Iterator[str]:
    """Yield the lines of a simulation's summary."""
    names = list(simulation.details)
    shares = list(simulation.details.values())
    yield f"{simulation.prereg}: {simulation.n:,} simulated experiments per point (seed {simulation.seed})"
    yield from _truths(names, shares)
    yield ""
    yield from _table("P(verdict)", names, [_with_errors(each) for each in shares])
    yield ""
    holds = [{name: _percent(found["true"]) + _open(found) for name, found in each.truths.items()} for each in shares]
    yield from _table("holds (unknown)", names, holds)
    if any(each.triage for each in shares):
        yield ""
        yield from _table("triage row", names, [{n: _percent(x) for n, x in each.triage.items()} for each in shares])
    for effect, curve in simulation.curves.items():
        yield ""
        at = [f"{each.effects.get(effect, float('nan')):.4g}" for each in curve]
        yield from _table(f"along {effect}", at, [_with_errors(each) for each in curve])
    yield ""
    yield "left out, one at a time: verdicts that change"
    for each in simulation.dropped:
        inert = "   (decided nothing here)" if not each.changed else ""
        yield f"  {each.name}: changed {each.changed:,} of {each.of:,}   {each.text}{inert}"
    yield ""
    yield from _assumed(simulation)


def _truths(names: Sequence[str], shares: Sequence[Shares]) -> Iterator[str]:
    effects = dict.fromkeys(name for each in shares for name in each.effects)
    if effects:
        rows = [{name: f"{each.effects[name]:.4g}" for name in effects if name in each.effects} for each in shares]
        yield ""
        yield from _table("true value", names, rows)


def _assumed(simulation: Simulation) -> Iterator[str]:
    components = simulation.components
    runs = ", ".join(f"{name or 'every measure'} {value:g}" for name, value in components.run_sd.items())
    yield f"run-to-run SD (stated): {runs}"
    if ANY in components.run_sd and components.run_sd[ANY] == 0:
        yield "  0 claims that training twice gives the same model"
    yield f"rates vary on the logit scale ({components.source}): {_sds(components.rates)}"
    yield f"numbers and cosines vary on their own scale (assumed unless stated): {_sds(components.numbers)}"
    for name, own in components.columns.items():
        yield f"  {name}: {_sds(own)}"
    yield f"correlation between measures {components.probe_correlation:g}, between levels of other dims " + (
        f"{components.level_correlation:g}"
    )
    for point, levels in simulation.levels.items():
        yield f"true levels at {point}: " + ", ".join(f"{name} {value:.4g}" for name, value in levels.items())
    for name in simulation.slow:
        yield f"estimated one experiment at a time: {name}"
    for note in simulation.notes:
        yield f"note: {note}"


def _sds(sds: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in sds.items())


def _with_errors(shares: Shares) -> dict[str, str]:
    return {word: f"{_percent(share)} ± {100 * shares.errors[word]:.1f}" for word, share in shares.verdicts.items()}


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def _open(found: Mapping[str, float]) -> str:
    return f" ({_percent(found['unknown'])})" if found["unknown"] else ""


def _table(title: str, heads: Sequence[str], columns: Sequence[Mapping[str, str]]) -> Iterator[str]:
    names = list(dict.fromkeys(name for column in columns for name in column))
    first = max(len(title), *(len(name) for name in names))
    widths = [
        max([len(head), *(len(cell) for cell in column.values())]) for head, column in zip(heads, columns, strict=True)
    ]
    yield "  ".join([title.ljust(first), *(head.rjust(width) for head, width in zip(heads, widths, strict=True))])
    for name in names:
        cells = (column.get(name, "").rjust(width) for column, width in zip(columns, widths, strict=True))
        yield "  ".join([name.ljust(first), *cells])
