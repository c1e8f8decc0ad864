"""Figures, drawn from the model alone: PNG (200 dpi), PDF, SVG and a .meta.json that says what is in them.

Every file in ``reports/drawings`` is one kind of figure: ``ORDER`` says where it stands in the report, and
``drawings(model)`` yields what the result carries the numbers for. matplotlib is imported on first use. The bytes
depend on the model only: no dates, no user configuration.
"""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from reports import fonts, parallel
from reports.canvas import STYLE, Drawing, Figure
from reports.records import ReportModel

__all__ = ["Figure", "draw", "planned"]

Drawings = Callable[[ReportModel], Iterator[Drawing]]


def draw(model: ReportModel, *, only: Sequence[str] | None = None, processes: int | None = None) -> list[Figure]:
    """Draw every figure that the model has numbers for, the hero first.

    Args:
        model: What is reported.
        only: Names of the figures to draw; None draws all.
        processes: How many processes draw; None chooses. The bytes do not depend on it.
    """
    found = [drawing for drawing in planned(model) if only is None or drawing.name in only]
    if not found:
        return []
    count = parallel.processes_for(len(found)) if processes is None else processes
    shares = [[drawing.name for drawing in found[i::count]] for i in range(1, count)]
    helpers = [parallel.Helper(model, share) for share in shares]
    try:
        with _style():
            drawn = {drawing.name: drawing.draw() for drawing in found[::count]}
            for helper in helpers:
                drawn |= helper.figures()
            return [drawn.get(drawing.name) or drawing.draw() for drawing in found]
    finally:
        for helper in helpers:
            helper.close()


def planned(model: ReportModel) -> list[Drawing]:
    """Return what would be drawn, in order, each name once; nothing is drawn and matplotlib stays out."""
    found: dict[str, Drawing] = {}
    for drawings in _kinds():
        for drawing in drawings(model):
            found.setdefault(drawing.name, drawing)
    return list(found.values())


@cache
def _kinds() -> tuple[Drawings, ...]:
    """Import every file of ``reports/drawings``, in the order of the report."""
    folder = Path(__file__).parent / "drawings"
    names = sorted(found.name for found in pkgutil.iter_modules([str(folder)]))
    modules = [importlib.import_module(f"reports.drawings.{name}") for name in names]
    return tuple(module.drawings for module in sorted(modules, key=lambda module: int(module.ORDER)))


@contextmanager
def _style() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a user's -W error must not turn a font's notice into a failed report
        import matplotlib

        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            for name, value in STYLE.items():
                matplotlib.rcParams[name] = value  # type: ignore[index]
            matplotlib.rcParams["font.family"] = fonts.families()
            yield
