"""The open registry of functions that formulas may call (``FN`` in the language).

A new function is one file beside this one and one name in ``BUILT_IN`` (or ``FUNCTIONS.declare`` from outside).
Nothing here imports numpy, so binding may ask for names and arities at collection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from harness.core.registry import Registry

if TYPE_CHECKING:
    from harness.stats.arrays import FloatArray


@dataclass(frozen=True)
class Function:
    """A function of formulas.

    ``compute`` takes ``arity`` float arrays ``[..., n]`` and reduces the last axis to ``[...]``; elementwise
    functions (``reduces`` False) keep the shape, and ``neighbours`` return ``[..., n - 1]``. An undefined value
    is NaN, which the evaluator turns into unknown. With ``against_axis`` a single argument is compared with the
    numbers that name its own axis, passed as the first array. ``exact`` does the same on fractions where the
    result is one. ``interval`` is empty, or why the standard methods give this function no interval or p-value.
    ``several`` allows any number of scalar arguments, as in ``max(a, b)``.
    """

    compute: Callable[..., FloatArray]
    arity: int = 1
    reduces: bool = True
    neighbours: bool = False
    several: bool = False
    against_axis: bool = False
    exact: Callable[[Sequence[Fraction]], Any] | None = None
    interval: str = ""
    linear: bool = False


FUNCTIONS: Registry[Function] = Registry("function")

BUILT_IN = (
    "mean", "min", "max", "median", "abs", "entropy", "pearson", "spearman", "tau", "slope", "aoc", "successive",
)  # fmt: skip

for _name in BUILT_IN:
    FUNCTIONS.declare(_name, f"harness.stats.{_name}")

EVALUATED = ("leave_one_out", "levels")
"""Functions of the language that need the whole formula and live in ``harness.decide.evaluate``."""
