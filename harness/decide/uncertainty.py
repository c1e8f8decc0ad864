"""Intervals and p-values of one formula, whatever method they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from harness.stats import bootstrap, correlation, sign_flip, student
from harness.stats.arrays import FloatArray


class Uncertainty(Protocol):
    """What an inference knows about the values ``[c]`` of a formula's cells."""

    method: str
    draws: int
    notes: tuple[str, ...]
    se: FloatArray | None
    df: FloatArray | None

    def interval(self, level: float) -> tuple[FloatArray, FloatArray]:
        """Return the two-sided interval at ``level``: ``[c], [c]``, NaN where there is none."""
        ...

    def tail(self, against: FloatArray, sign: int) -> FloatArray:
        """Return the one-sided p-value for "the value is above (sign 1) or below (-1) ``against``"."""
        ...


@dataclass
class Student:
    """Estimate, standard error and degrees of freedom: jackknife t and two-way t."""

    estimate: FloatArray
    se: FloatArray | None
    df: FloatArray | None
    method: str
    notes: tuple[str, ...] = ()
    draws: int = 0

    def interval(self, level: float) -> tuple[FloatArray, FloatArray]:
        """Return estimate -/+ t * SE."""
        assert self.se is not None
        assert self.df is not None
        return student.interval(self.estimate, self.se, self.df, level)

    def tail(self, against: FloatArray, sign: int) -> FloatArray:
        """Return the t-test's p-value."""
        assert self.se is not None
        assert self.df is not None
        return student.tail(sign * self.estimate, sign * against, self.se, self.df)


@dataclass
class Correlation:
    """Pearson's r or Spearman's rho of ``n`` drawn units."""

    estimate: FloatArray
    n: int
    kind: correlation.Kind
    method: str
    notes: tuple[str, ...] = ()
    draws: int = 0
    se: FloatArray | None = None
    df: FloatArray | None = None

    def __post_init__(self) -> None:
        self.df = np.full(self.estimate.shape, self.n - 2.0)

    def interval(self, level: float) -> tuple[FloatArray, FloatArray]:
        """Return Fisher's z interval."""
        return correlation.interval(self.estimate, self.n, level, self.kind)

    def tail(self, against: FloatArray, sign: int) -> FloatArray:
        """Return the t-test's p-value against 0, Fisher's z against anything else."""
        return correlation.tail(sign * self.estimate, self.n, sign * against, self.kind)


@dataclass
class Resampled:
    """Bootstrap draws ``[b, c]``."""

    samples: FloatArray
    method: str
    notes: tuple[str, ...] = ()
    se: FloatArray | None = None
    df: FloatArray | None = None
    draws: int = 0

    def __post_init__(self) -> None:
        self.draws = self.samples.shape[0]
        self.se = self.samples.std(axis=0, ddof=1)
        self._varies = student.varies(self.samples[0], self.se)

    def interval(self, level: float) -> tuple[FloatArray, FloatArray]:
        """Return the percentile interval, NaN where all draws agree."""
        low, high = bootstrap.interval(self.samples, level)
        return np.where(self._varies, low, np.nan), np.where(self._varies, high, np.nan)

    def tail(self, against: FloatArray, sign: int) -> FloatArray:
        """Return (k + 1)/(B + 1), k being the draws on the wrong side; NaN where all draws agree."""
        return np.where(self._varies, bootstrap.tail(sign * self.samples, sign * against), np.nan)


@dataclass
class SignFlip:
    """Sums and sizes of subsets of each cell's pseudo-values."""

    subsets: Sequence[tuple[FloatArray, FloatArray, bool]]
    method: str
    notes: tuple[str, ...] = ()
    se: FloatArray | None = None
    df: FloatArray | None = None
    draws: int = 0

    def __post_init__(self) -> None:
        sums, _, exact = self.subsets[0]
        self.draws = 0 if exact else len(sums)

    def interval(self, level: float) -> tuple[FloatArray, FloatArray]:
        """Return the nulls that the test does not reject."""
        ends = [sign_flip.interval(sums, sizes, level) for sums, sizes, _ in self.subsets]
        return np.array([low for low, _ in ends]), np.array([high for _, high in ends])

    def tail(self, against: FloatArray, sign: int) -> FloatArray:
        """Return the share of sign patterns that reach the observed mean."""
        values = zip(self.subsets, against, strict=True)
        return np.array([sign_flip.tail(sign * s, n, exact, sign * float(null)) for (s, n, exact), null in values])
