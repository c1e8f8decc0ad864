"""What varies between simulated experiments, and by how much.

Rates vary on the logit scale (variance components as standard deviations), everything else on its own scale.
``run_sd`` is how far one trained run lands from the next with everything else equal, on the column's own scale
(5 pp = 0.05). It has no default: with one seed nothing in the data shows it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, ValidationError

from harness.contracts.bound import BoundMeasure
from harness.contracts.records import Column, Record
from harness.core.errors import PreregError, Problem, Where
from harness.stats.arrays import FloatArray

ASSUMED = "assumed"
RATE_SDS = {"persona": 1.4, "question": 0.6, "persona x arm": 2.1, "question x arm": 0.6, "cell": 0.5}
"""Logit SDs fitted to #262's C1 and C2 counts (``language.md``): seven personas, so uncertain."""
OTHER_SDS = {"persona": 0.05, "question": 0.03, "persona x arm": 0.02, "question x arm": 0.03, "cell": 0.05}
"""SDs of numbers and cosines on their own scale: assumptions, not measurements. State your own."""
ANY = ""
"""The key of a run SD that holds for every measure."""


class Components(Record):
    """What varies.

    ``run_sd`` is by measure, ``measure.column``, or ``""`` for all, on the own scale. ``rates`` and ``numbers`` are
    SDs by term for columns of that form; ``columns`` overrides them for a measure or ``measure.column``. A term is
    ``persona``, ``question``, any other drawn dim, ``DIM x arm``, or ``cell``. ``probe_correlation`` correlates the
    same term between measures, ``level_correlation`` between the levels of other dims (layers, say). ``levels`` are
    true values by ``MEASURE.COLUMN[ARM, SET]``; the rest is assumed or follows from the planted effects.
    ``source`` says where the SDs come from.
    """

    run_sd: dict[str, float] = {}
    rates: dict[str, float] = RATE_SDS
    numbers: dict[str, float] = OTHER_SDS
    columns: dict[str, dict[str, float]] = {}
    probe_correlation: float = Field(default=0.0, ge=-1.0, le=1.0)
    level_correlation: float = Field(default=0.8, ge=0.0, le=1.0)
    baseline_rate: float = Field(default=0.25, gt=0.0, lt=1.0)
    levels: dict[str, float] = {}
    source: str = ASSUMED

    def run(self, measure: BoundMeasure, column: Column, level: FloatArray) -> FloatArray:
        """Return the run-to-run SD of a column at its true levels, on its own scale.

        What is stated for a measure is about its first column. Another rate of it (truncated completions) moves by
        the same logits, as if the first one stood at the baseline, unless ``MEASURE.COLUMN`` states its own.
        """
        own = f"{measure.name}.{column.name}"
        if own in self.run_sd:
            return np.full(level.shape, self.run_sd[own])
        stated = self.run_sd[measure.name] if measure.name in self.run_sd else self.run_sd[ANY]
        if column.form != "ratio" or column == measure.columns[0]:
            return np.full(level.shape, stated)
        base = self.baseline_rate * (1 - self.baseline_rate)
        moved: FloatArray = stated * level * (1 - level) / base
        return moved

    def sd(self, measure: BoundMeasure, column: Column, term: str) -> float:
        """Return the SD of a term; a drawn dim that is neither persona nor question varies like a question."""
        general = self.rates if column.form == "ratio" else self.numbers
        own = {**general, **self.columns.get(measure.name, {}), **self.columns.get(f"{measure.name}.{column.name}", {})}
        if term in own or term == "cell":
            return own.get(term, 0.0)
        return own.get("question x arm" if term.endswith(" x arm") else "question", 0.0)


def quantity(text: str | float) -> float:
    """Read a number: ``0.05``, ``5pp``, ``5 %``, ``1/20``.

    Raises:
        PreregError: it is none.
    """
    if isinstance(text, int | float):
        return float(text)
    bare = text.replace(" ", "")
    scale = 1
    for unit in ("pp", "%"):
        if bare.endswith(unit):
            bare, scale = bare.removesuffix(unit), 100
    try:
        return float(Fraction(bare) / scale)
    except (ValueError, ZeroDivisionError) as error:
        raise PreregError(Problem(Where(), f"found '{text}'", "a number such as 0.05, 5pp or 1/20")) from error


def parse_run_sd(texts: Iterable[str]) -> dict[str, float]:
    """Read ``--run-sd``: a number for every measure, or ``MEASURE=NUMBER``, any number of times."""
    found = {}
    for text in texts:
        name, equals, value = text.rpartition("=")
        found[name.strip() if equals else ANY] = quantity(value)
    return found


def load_components(path: Path | None, run_sd: Mapping[str, float]) -> Components:
    """Read components from a JSON file (fields of :class:`Components`); ``run_sd`` given apart goes first.

    Raises:
        PreregError: the file cannot be read, or holds something else.
    """
    given: dict[str, Any] = {}
    if path is not None:
        try:
            given = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise PreregError(Problem(Where(str(path)), f"cannot be read as JSON ({error})")) from error
        if not isinstance(given, dict):
            raise PreregError(Problem(Where(str(path)), "holds no mapping", "the fields of components"))
        given.setdefault("source", path.name)
    stated = given.pop("run_sd", {})
    stated = stated if isinstance(stated, dict) else {ANY: stated}
    given["run_sd"] = {**{name: quantity(value) for name, value in stated.items()}, **run_sd}
    given["levels"] = {name: quantity(value) for name, value in given.get("levels", {}).items()}
    for form, general in (("rates", RATE_SDS), ("numbers", OTHER_SDS)):
        given[form] = {**general, **given.get(form, {})}
    try:
        return Components.model_validate(given)
    except ValidationError as error:
        problems = [
            Problem(Where(str(path or ""), key=".".join(map(str, each["loc"]))), each["msg"]) for each in error.errors()
        ]
        raise PreregError(problems) from error


def require_run_sd(components: Components, measures: Iterable[str]) -> None:
    """Refuse components that leave a measure's run-to-run SD open.

    Raises:
        PreregError: every measure without one, and names that are no measure.
    """
    names = tuple(measures)
    missing = [name for name in names if name not in components.run_sd and ANY not in components.run_sd]
    if missing:
        raise PreregError(
            Problem(
                Where(key="run_sd"),
                f"the run-to-run SD of {', '.join(missing)} is not stated, and it has no default: "
                "data of one seed cannot show it",
                "--run-sd 5pp (for every measure, each on its own scale) or --run-sd MEASURE=0.02",
                "with 5 pp, a one-seed question-level 5% test rejects a true null about half the time; "
                "0 claims that training twice gives the same model",
            )
        )
    if any(value < 0 for value in components.run_sd.values()):
        raise PreregError(Problem(Where(key="run_sd"), "a standard deviation is negative"))
