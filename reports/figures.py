"""Figures, drawn from the model alone: PNG (200 dpi), PDF, SVG and a .meta.json that says what is in them.

Every file in ``reports/drawings`` is one kind of figure: ``ORDER`` says where it stands in the report, and
``drawings(model)`` yields what the result carries the numbers for. matplotlib is imported on first use. The bytes
depend on the model only: no dates, no user configuration.
"""

from __future__ import annotations

import contextlib
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
    with begun(model, only=only, processes=processes) as drawn:
        return drawn()


@contextmanager
def begun(
    model: ReportModel, *, only: Sequence[str] | None = None, processes: int | None = None
) -> Iterator[Callable[[], list[Figure]]]:
    """Let helpers begin to draw; what is yielded draws along with them and returns what :func:`draw` does."""
    found = [drawing for drawing in planned(model) if only is None or drawing.name in only]
    with contextlib.closing(parallel.Desk()) as desk:
        _call_helpers(desk, model, found, processes)

        def drawn() -> list[Figure]:
            if not found:
                return []
            with style():
                here = {each.name: each.draw() for each in found if desk.take(each.name)}
                ready = here | desk.figures()
                return [ready.get(each.name) or each.draw() for each in found]

        yield drawn


def _call_helpers(desk: parallel.Desk, model: ReportModel, found: Sequence[Drawing], processes: int | None) -> None:
    fork = parallel.can_fork()
    share = parallel.FORKED_SHARE if fork else parallel.SHARE
    helpers = (parallel.processes_for(len(found), share) if processes is None else processes) - 1
    if helpers and fork:
        prepare()
        with style():
            for _ in range(helpers):
                desk.fork(found)
        return
    for _ in range(helpers):
        desk.start(model, [each.name for each in found])


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


def prepare() -> None:
    """Import what drawing imports at its first figure: once for this process and its forks, or ahead of time."""
    for name in (
        "matplotlib.figure",
        "matplotlib.backends.backend_agg",
        "matplotlib.backends.backend_pdf",
        "matplotlib.backends.backend_svg",
        "fontTools.subset",
    ):
        importlib.import_module(name)
    fonts.families()
    _kinds()


@contextmanager
def style() -> Iterator[None]:
    """Settle how figures look, whatever the user has set."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a user's -W error must not turn a font's notice into a failed report
        import matplotlib

        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            for name, value in STYLE.items():
                matplotlib.rcParams[name] = value  # type: ignore[index]
            matplotlib.rcParams["font.family"] = fonts.families()
            yield
