"""Figures, drawn from the model alone: PNG (200 dpi), PDF and a .meta.json that says what is in them.

matplotlib is imported on first use. The bytes depend on the model only: no dates, no user configuration.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

from reports import plots
from reports.canvas import Figure
from reports.records import ReportModel

__all__ = ["Figure", "draw"]


def draw(model: ReportModel) -> list[Figure]:
    """Draw every figure that the model has numbers for, the hero first."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a user's -W error must not turn a font's notice into a failed report
        import matplotlib

        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(
                {
                    "font.size": 9,
                    "axes.spines.top": False,
                    "axes.spines.right": False,
                    "pdf.fonttype": 42,
                    "axes.unicode_minus": True,
                    "svg.hashsalt": "prereg",
                    "legend.frameon": False,
                }
            )
            return list(_all(model))


def _all(model: ReportModel) -> Iterator[Figure]:
    points = plots.deciding_points(model)
    if points:
        yield plots.forest(model, points)
    for row in plots.tables(model):
        yield plots.groups(model, row)
    drawn = set()
    for scatter in model.scatters:
        if (scatter.x, scatter.y) not in drawn:
            drawn.add((scatter.x, scatter.y))
            yield plots.scatter_plot(model, scatter)
