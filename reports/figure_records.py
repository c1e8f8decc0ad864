"""What figures need besides estimates: recorded in results.json, so that figures can be drawn again without models."""

from __future__ import annotations

from pydantic import Field

from harness.contracts.planes import Plane
from harness.contracts.records import Record

__all__ = ["FigureData", "Operating", "Plane", "Rate", "Shares"]


class Rate(Record):
    """Hits among one arm's completions for one persona, over the primary setting's questions.

    ``low`` and ``high`` end a 95% interval over questions, in [0, 1]; they describe, and decide nothing.
    """

    measure: str
    arm: str
    persona: str
    hits: int
    completions: int
    questions: int
    low: float
    high: float


class Shares(Record):
    """What the complete rule returned at one simulated truth: shares of ``n`` experiments in [0, 1].

    ``at`` is the varied effect's true value on a curve, None at a named point; ``errors`` are Monte Carlo
    standard errors.
    """

    name: str
    at: float | None = None
    n: int
    verdicts: dict[str, float]
    errors: dict[str, float]


class Operating(Record):
    """Operating characteristics as ``prereg simulate`` stored them for this registration."""

    n: int
    seed: int
    run_sd: dict[str, float]
    points: tuple[Shares, ...]
    curves: dict[str, tuple[Shares, ...]] = {}


class FigureData(Record):
    """Everything that only figures show. ``cosines`` names tables of similarities between personas.

    ``operating`` stays out of results.json, whose bytes may not depend on whether someone simulated; it has a file
    of its own beside it.
    """

    rates: tuple[Rate, ...] = ()
    cosines: tuple[str, ...] = ()
    plane: Plane | None = None
    operating: Operating | None = Field(default=None, exclude=True)
