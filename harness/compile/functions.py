"""What binding must know of each function of the language: how it treats axes, its unit and its range.

The functions themselves are in ``harness.stats``, one file each; nothing of it is imported here but the names.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from harness.compile.units import Typed
from harness.stats.registry import EVALUATED, FUNCTIONS


@dataclass(frozen=True)
class Signature:
    """How a function is called.

    axes:
        ``reduce`` takes axes away, ``keep`` works value by value, ``neighbours`` shortens its one axis,
        ``leave_one_out`` adds the axis that it goes over, ``levels`` counts a dim's levels.
    unit: ``same`` as its argument, or a unit of its own.
    """

    axes: Literal["reduce", "keep", "neighbours", "leave_one_out", "levels"] = "reduce"
    args: tuple[int, int] = (1, 1)
    unit: str = "same"
    low: float = -math.inf
    high: float = math.inf
    several: bool = False
    refuses_inference: bool = False
    may_be_bare: bool = False


SIGNATURES = {
    "mean": Signature(args=(1, 99), several=True),
    "min": Signature(args=(1, 99), several=True, refuses_inference=True),
    "max": Signature(args=(1, 99), several=True, refuses_inference=True),
    "median": Signature(args=(1, 99), several=True),
    "abs": Signature(axes="keep"),
    "entropy": Signature(unit="bits", low=0, may_be_bare=True),
    "pearson": Signature(args=(2, 2), unit="1", low=-1, high=1),
    "spearman": Signature(args=(2, 2), unit="1", low=-1, high=1),
    "tau": Signature(args=(1, 2), unit="1", low=-1, high=1),
    "slope": Signature(args=(1, 2), unit="any"),
    "aoc": Signature(args=(1, 2), unit="1"),
    "successive": Signature(axes="neighbours"),
    "leave_one_out": Signature(axes="leave_one_out"),
    "levels": Signature(axes="levels", unit="count"),
}


def known_functions() -> tuple[str, ...]:
    """Return every name that may stand before a parenthesis in a value, those from outside the package included."""
    return tuple(dict.fromkeys([*SIGNATURES, *FUNCTIONS.names(), *EVALUATED, "p"]))


def signature(name: str) -> Signature | None:
    """Return how a function is called; one from outside may take any arguments, and its result has any unit."""
    if name in SIGNATURES:
        return SIGNATURES[name]
    return Signature(args=(1, 99), unit="any", several=True, may_be_bare=True) if name in FUNCTIONS.names() else None


def result(name: str, how: Signature, args: list[Typed]) -> tuple[str, float, float]:
    """Return the unit and the attainable interval of a call."""
    first = args[0]
    if how.unit != "same":
        return how.unit, how.low, how.high
    low, high = min(arg.low for arg in args), max(arg.high for arg in args)
    if name == "abs":
        low, high = (max(0.0, low, -high), max(abs(low), abs(high)))
    elif name == "successive":
        low, high = low - high, high - low
    return first.unit, low, high
