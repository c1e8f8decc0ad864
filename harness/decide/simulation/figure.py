"""P(verdict) against the true effect, with 95% Monte Carlo intervals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.decide.simulate import Simulation

COLOURS = {"supported": "#0072B2", "not supported": "#E69F00", "killed": "#D55E00", "inconclusive": "#999999"}
"""Okabe and Ito's palette: distinguishable without colour vision."""


def write_figures(simulation: Simulation, out: Path) -> list[Path]:
    """Write one PNG and PDF per curve (per set of points where there is none) into ``out``; return their paths."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    out.mkdir(parents=True, exist_ok=True)
    written = []
    curves = {effect: list(curve) for effect, curve in simulation.curves.items()}
    curves = curves or {"": list(simulation.details.values())}
    for effect, curve in curves.items():
        figure, axes = pyplot.subplots(figsize=(6, 3.6), layout="constrained")
        at = [each.effects.get(effect, float(i)) if effect else float(i) for i, each in enumerate(curve)]
        for word, colour in COLOURS.items():
            shares = [each.verdicts.get(word, 0.0) for each in curve]
            errors = [1.96 * each.errors[word] for each in curve]
            if any(shares):
                style = "o-" if effect else "o"
                axes.errorbar(at, shares, yerr=errors, fmt=style, color=colour, capsize=2, markersize=4, label=word)
        if not effect:
            axes.set_xticks(at, list(simulation.details))
        axes.set(xlabel=f"true {effect}" if effect else "", ylabel="P(verdict)", ylim=(-0.03, 1.03))
        axes.set_title(f"{simulation.prereg}: {simulation.n:,} simulated experiments per point", fontsize=9)
        axes.legend(frameon=False, fontsize=8)
        for kind in ("png", "pdf"):
            path = out / f"simulation_{simulation.prereg}{'_' + effect if effect else ''}.{kind}"
            figure.savefig(path, dpi=150, metadata={"CreationDate": None} if kind == "pdf" else {"Software": None})
            written.append(path)
        pyplot.close(figure)
    return written
