"""What varies between simulated experiments, and by how much.

Rates vary on the logit scale (variance components as standard deviations), everything else on its own scale.
``run_sd`` is how far one trained run lands from the next with everything else equal, on the column's own scale
(5 pp = 0.05). It has no default: with one seed nothing in the data shows it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, ValidationError

from harness.contracts.bound import BoundMeasure
from harness.contracts.records import Column, Record
from harness.core.errors import PreregError, Problem, Where
from harness.core.registry import did_you_mean
from harness.spec.scalars import is_computable
from harness.stats.arrays import FloatArray

ASSUMED = "assumed"
RATE_SDS = {"persona": 1.4, "question": 0.6, "persona x arm": 2.1, "question x arm": 0.6, "cell": 0.5}
"""Logit SDs fitted to #262's C1 and C2 counts (``language.md``): seven personas, so uncertain."""
OTHER_SDS = {"persona": 0.05, "question": 0.03, "persona x arm": 0.02, "question x arm": 0.03, "cell": 0.05}
"""SDs of numbers and cosines on their own scale: assumptions, not measurements. State your own."""
ANY = ""
"""The key of a run SD that holds for every measure."""


Sd = Annotated[float, Field(ge=0, allow_inf_nan=False)]


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
    rates: dict[str, Sd] = RATE_SDS
    numbers: dict[str, Sd] = OTHER_SDS
    columns: dict[str, dict[str, Sd]] = {}
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
    bare = str(text).replace(" ", "")
    scale = 1
    for unit in ("pp", "%"):
        if bare.endswith(unit):
            bare, scale = bare.removesuffix(unit), 100
    try:
        if not is_computable(bare):
            raise ValueError
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


def require_run_sd(components: Components, read: Iterable[BoundMeasure], every: Iterable[BoundMeasure]) -> None:
    """Refuse run-to-run SDs that are missing, impossible, or of no measure.

    Args:
        components: what was stated.
        read: the measures that the rule reads, each of which needs one.
        every: all measures of the registration.

    Raises:
        PreregError: all that is wrong.
    """
    stated, measures = components.run_sd, tuple(every)
    columns = {measure.name: measure.columns[0] for measure in measures if measure.columns}
    columns |= {f"{measure.name}.{column.name}": column for measure in measures for column in measure.columns}
    problems, meant = [], set()
    for name in (name for name in stated if name != ANY and name not in columns):
        hint = did_you_mean(name, columns)
        meant |= {known for known in columns if f"'{known}'" in hint}
        known = "" if hint else f"one of {', '.join(columns)}"
        problems.append(Problem(Where(key="run_sd"), f"'{name}' is no measure", known, hint))
    for name, sd in stated.items():
        about = [measure.name for measure in read] if name == ANY else [name]
        ranges = [_widest(columns[one]) for one in about if one in columns]
        problems += _impossible(name, sd, min(ranges, default=math.inf))
    missing = [measure.name for measure in read if not {measure.name, ANY} & stated.keys() | {measure.name} & meant]
    if missing:
        problems.append(
            Problem(
                Where(key="run_sd"),
                f"the run-to-run SD of {', '.join(missing)} is not stated, and it has no default: "
                "data of one seed cannot show it",
                "--run-sd 5pp (for every measure, each on its own scale) or --run-sd MEASURE=0.02",
                "with 5 pp, a one-seed question-level 5% test rejects a true null about half the time; "
                "0 claims that training twice gives the same model",
            )
        )
    if problems:
        raise PreregError(problems)


def _widest(column: Column) -> float:
    """Return the largest standard deviation that values within a column's range can have: half of it."""
    return math.inf if column.low is None or column.high is None else (column.high - column.low) / 2


def _impossible(name: str, sd: float, widest: float) -> Iterator[Problem]:
    what = f"the run-to-run SD{f' of {name}' if name else ''} is {sd:g}"
    if sd < 0:
        yield Problem(Where(key="run_sd"), f"{what}: a standard deviation is not negative", "0 or more")
    elif sd > widest:
        hint = f"for {sd:g} pp write {sd:g}pp" if 1 <= sd <= 100 * widest else ""
        yield Problem(Where(key="run_sd"), what, f"at most {widest:g}, half of the column's range", hint)
