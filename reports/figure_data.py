"""Collect what figures show besides estimates: rates by persona, tables of similarity, the verdict map."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.contracts.bound import Bound
from harness.contracts.display import is_difference
from harness.contracts.records import Estimate
from harness.contracts.trees import Expression, Ref
from harness.contracts.walks import nodes, refs
from harness.core.errors import PreregError
from harness.core.ident import unchanged
from harness.decide.plane import verdict_plane
from reports.figure_records import FigureData, Operating, Rate, Shares
from reports.records import Extras, ReportModel, Sample

LEVEL = 0.95
FILE = "simulation.json"
NAMED_POINTS = ("null", "threshold", "expect")


def figure_data(bound: Bound, estimates: Mapping[str, Estimate], extras: Extras) -> FigureData:
    """Return everything that only figures show, as a pure function of the result."""
    return FigureData(
        rates=tuple(_rates(bound, _primary(extras.samples, bound))),
        cosines=tuple(each.name for each in bound.expressions if each.name in estimates and _is_cosine(each, bound)),
        plane=verdict_plane(bound, estimates),
        operating=extras.operating,
    )


# --- rates by arm and persona ---------------------------------------------------------------------------


def _rates(bound: Bound, samples: Sequence[Sample]) -> Iterator[Rate]:
    """Count hits by measure, arm and persona, unless an estimand already is that table."""
    counted: dict[tuple[str, str, str], dict[str, list[bool]]] = {}
    for sample in samples:
        by_question = counted.setdefault((sample.measure, sample.arm, sample.persona), {})
        by_question.setdefault(sample.question, []).append(sample.hit)
    told = {ref.measure for each in bound.expressions for ref in _tables(each)}
    for (measure, arm, persona), by_question in counted.items():
        if measure in told:
            continue
        hits, n = (sum(map(sum, by_question.values())), sum(map(len, by_question.values())))
        low, high = over_questions([sum(found) / len(found) for found in by_question.values()], hits, n)
        yield Rate(
            measure=measure, arm=arm, persona=persona, hits=hits, completions=n, questions=len(by_question),
            low=low, high=high,
        )  # fmt: skip


def _primary(samples: Sequence[Sample], bound: Bound) -> list[Sample]:
    """Return the completions that were drawn at the primary level of every sweep."""
    primary = {dim.name: dim.primary for dim in bound.dims if dim.primary in dim.levels}
    return [each for each in samples if all(primary.get(dim, level) == level for dim, level in each.at.items())]


def _tables(expression: Expression) -> list[Ref]:
    tree = expression.tree
    return [tree] if isinstance(tree, Ref) and set(tree.keep) == {"arm", "persona"} else []


def over_questions(rates: Sequence[float], hits: int, n: int) -> tuple[float, float]:
    """Return a 95% interval of a rate over its questions, within [0, 1].

    Student's t over the questions' rates. Where all of them agree there is no spread to go by, and Wilson's
    interval over the ``n`` completions stands in.
    """
    from scipy.special import ndtri, stdtrit

    mean, questions = hits / n, len(rates)
    middle = math.fsum(rates) / questions
    spread = math.fsum((rate - middle) ** 2 for rate in rates)
    if questions > 1 and spread > 0:
        half = float(stdtrit(questions - 1, (1 + LEVEL) / 2)) * math.sqrt(spread / (questions - 1) / questions)
        return max(mean - half, 0.0), min(mean + half, 1.0)
    z = float(ndtri((1 + LEVEL) / 2))
    centre = (mean + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(mean * (1 - mean) / n + z * z / (4 * n * n))
    return max(centre - half, 0.0), min(centre + half, 1.0)


# --- similarities ---------------------------------------------------------------------------------------


def _is_cosine(expression: Expression, bound: Bound) -> bool:
    """Whether a formula is a similarity: columns within [-1, 1] and no difference of them."""
    columns = {(measure.name, column.name): column for measure in bound.measures for column in measure.columns}
    read = [columns.get((ref.measure, ref.column)) for ref in refs(expression.tree)]
    bounded = all(column is not None and (column.low, column.high) == (-1, 1) for column in read)
    plain = all(node.node in ("ref", "call", "num") for node in nodes(expression.tree))
    return bool(read) and bounded and plain and not is_difference(expression.tree)


# --- operating characteristics --------------------------------------------------------------------------


def stored_operating(store: Path, meaning: str) -> Operating | None:
    """Read what ``prereg simulate`` stored for a registration's meaning; None where there is nothing.

    Raises:
        PreregError: the file is there and cannot be read.
    """
    return _read(store / "simulations" / f"{meaning}.json", operating)


def with_operating(model: ReportModel, folder: Path) -> ReportModel:
    """Return the model with the simulation that an earlier report of the same meaning left in its folder.

    Raises:
        PreregError: the file is there and cannot be read.
    """
    if model.figures.operating is not None:
        return model
    found = _read(folder / FILE, lambda content: _of(content, model.registration.meaning))
    if found is None:
        return model
    return model.model_copy(update={"figures": model.figures.model_copy(update={"operating": found})})


def operating_file(model: ReportModel) -> dict[str, bytes]:
    """Return the file that keeps the operating characteristics beside results.json; none where there are none."""
    found = model.figures.operating
    if found is None:
        return {}
    content = {"meaning": model.registration.meaning, **found.model_dump(mode="json")}
    return {FILE: (json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()}


def _of(content: dict[str, Any], meaning: str) -> Operating | None:
    return Operating.model_validate(content) if content.pop("meaning") == meaning else None


def _read(path: Path, take: Callable[[dict[str, Any]], Operating | None]) -> Operating | None:
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_bytes())
        if not unchanged(content):
            raise ValueError("it is not what was written")
        return take(content)
    except (ValueError, KeyError, TypeError) as error:
        why = str(error).splitlines()[0]
        raise PreregError(f"the simulation '{path}' cannot be read ({why}); run 'prereg simulate' again") from error


def operating(simulation: Mapping[str, Any]) -> Operating:
    """Take from a simulation's JSON what its figure shows."""
    details = simulation["details"]
    names = [name for name in NAMED_POINTS if name in details] + sorted(set(details) - set(NAMED_POINTS))
    return Operating(
        n=simulation["n"],
        seed=simulation["seed"],
        run_sd=simulation["run_sd"],
        points=tuple(_shares(name, details[name]) for name in names),
        curves={
            effect: tuple(_shares(effect, each, each["effects"][effect]) for each in curve)
            for effect, curve in simulation["curves"].items()
        },
    )


def _shares(name: str, found: Mapping[str, Any], at: float | None = None) -> Shares:
    return Shares(name=name, at=at, n=found["n"], verdicts=found["verdicts"], errors=found["errors"])
