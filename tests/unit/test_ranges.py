"""Numbers and lists that cannot be: each has a range, and what lies outside is told with its place and the range."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from registrations import bound, changed

from harness.compose import declare_kinds
from harness.contracts.kinds import EVALS, PROBES, STAGES
from harness.core.errors import PreregError
from harness.decide.simulate import grid_of, simulate
from harness.decide.simulation.components import Components, parse_run_sd
from harness.spec.model import Prereg

LORA = "lora: {r: 8, alpha: 16, rslora: no}}\n  couple"
SFT = "steps: 10, lr: 1e-4, "
SAMPLING = "sampling: {max_new_tokens: 64}"
COUNT = "greater than or equal to 1"
WRITABLE = "a finite number, and a whole one within ±9,007,199,254,740,991: others cannot be stored"
LEVEL = "a level from 50% to below 100%"


def lora(values: str) -> tuple[tuple[str, str], ...]:
    return ((LORA, f"lora: {{{values}, rslora: no}}}}\n  couple"),)


def sampling(values: str) -> tuple[tuple[str, str], ...]:
    return ((SAMPLING, f"sampling: {{max_new_tokens: 64, {values}}}"),)


def section(text: str) -> tuple[tuple[str, str], ...]:
    return (("measures:\n", f"{text}\nmeasures:\n"),)


OUT_OF_RANGE: tuple[tuple[tuple[tuple[str, str], ...], str, str, str], ...] = (
    (section("inference: {level: 95}"), "inference.level", "95", f"{LEVEL}. Write 95% or 0.95"),
    (section("inference: {level: 0}"), "inference.level", "0", LEVEL),
    (section("inference: {level: 0.95 nats}"), "inference.level", "0.95 nats", LEVEL),
    (section("inference: {draws: 0}"), "inference.draws", "0", COUNT),
    (section("inference: {draws: -5}"), "inference.draws", "-5", COUNT),
    (section("inference: {seed: -1}"), "inference.seed", "-1", "greater than or equal to 0"),
    (section("budget: {gpu_hours: -5}"), "budget.gpu_hours", "-5", "greater than or equal to 0"),
    (section("budget: {gpu_hours: nan}"), "budget.gpu_hours", "nan", "a number"),
    (section("budget: {gpu_hours: 1e400}"), "budget.gpu_hours", "1e400", "a number within ±1e300"),
    (section("judges: {j: {model: base, prompt: p.txt, temperature: -1}}"), "judges.j.temperature", "-1",
     "greater than or equal to 0"),
    (section("judges: {j: {model: base, prompt: p.txt, max_new_tokens: 0}}"), "judges.j.max_new_tokens", "0", COUNT),
    (section("looks: {at: [seed = all], spend: pocock, alpha: 5}"), "looks.alpha", "5",
     "a proportion above 0% and below 100%. Write 5% or 0.05"),
    (sampling("temperature: -1"), "measures.leakage.sampling.temperature", "-1", "greater than or equal to 0"),
    (sampling("temperature: inf"), "measures.leakage.sampling.temperature", "inf", WRITABLE),
    (sampling("top_p: 95"), "measures.leakage.sampling.top_p", "95",
     "greater than 0 and less than or equal to 1. For 95% write 0.95"),
    (sampling("top_p: 0"), "measures.leakage.sampling.top_p", "0", "greater than 0 and less than or equal to 1"),
    (((SAMPLING, "sampling: {max_new_tokens: 0}"),), "measures.leakage.sampling.max_new_tokens", "0", COUNT),
    ((("completions: 3", "completions: 100000000000000000000"),), "measures.leakage.completions",
     "100000000000000000000", WRITABLE),
    ((("resample: persona and question", "resample: persona and question\n    truncated: {as: miss, at_most: 10}"),),
     "measures.leakage.truncated.at_most", "10", "a proportion from 0% to 100%. Write 10% or 0.1"),
    (lora("r: 0, alpha: 16"), "recipes.sft.lora.r", "0", COUNT),
    (lora("r: 8, alpha: -3"), "recipes.sft.lora.alpha", "-3", "greater than 0"),
    (lora("r: 8, alpha: 16, dropout: 5"), "recipes.sft.lora.dropout", "5",
     "greater than or equal to 0 and less than 1. For 5% write 0.05"),
    (lora("r: 8, alpha: 16, targets: [q_proj, not a name]"), "recipes.sft.lora.targets[1]", "not a name",
     "the name of a module, such as q_proj: letters, digits, '_' and '.'"),
    (((SFT, "steps: 0, lr: 1e-4, "),), "recipes.sft.steps", "0", COUNT),
    (((SFT, "steps: 10, lr: 1e400, "),), "recipes.sft.lr", "1e400", WRITABLE),
    (((SFT, "steps: 10, lr: nan, "),), "recipes.sft.lr", "nan", "greater than 0"),
    (((SFT, "steps: 10, lr: 1e-4, warmup: 3, "),), "recipes.sft.warmup", "3",
     "greater than or equal to 0 and less than or equal to 1. For 3% write 0.03"),
    ((("layer: $layer", "layer: [6, -1]"),), "measures.geometry.layer[1]", "-1", "greater than or equal to 0"),
    ((("seed: [42]", "seed: [abc]"),), "dims.seed[0]", "abc", "a whole number from 0 to 9,007,199,254,740,991"),
    ((("seed: [42]", "seed: [42, -1]"),), "dims.seed[1]", "-1", "a whole number from 0 to 9,007,199,254,740,991"),
    ((("epochs: {levels: [1, 5], primary: 5}", "epochs: {levels: 1..99000000, primary: 5}"),), "dims.epochs",
     "", "a range of 1,000,000 levels at most"),
    ((("sha256: PENDING", "sha256: PENDING, rows: 0..5"),), "data.em.rows", "0..5",
     "a range such as 1..6000, first and last row, counted from 1"),
    ((("expect: {shift: 30 pp}", "expect: {shift: 300 pp}"),), "hypotheses.H1.expect.shift", "300 pp",
     "a value in -100% .. 100%, as 'shift'"),
    ((("id: broken", f"id: {'a' * 300}"),), "id", f"{'a' * 200}…' (300 characters)", "at most 100 characters"),
    ((("source: [librarian], negatives", "source: [], negatives"),), "dims.persona.sets.source", "",
     "at least one level"),
    ((("confidence:", "rehearsal: {recipes: {sft: {lora: {r: 0}}}}\nconfidence:"),),
     "rehearsal.recipes.sft.lora.r", "0", COUNT),
    ((("confidence:", "rehearsal: {inference: {draws: 0}}\nconfidence:"),), "rehearsal.inference.draws", "0", COUNT),
    ((("confidence:", "rehearsal: {measures: {leakage: {completions: 0}}}\nconfidence:"),),
     "rehearsal.measures.leakage.completions", "0", COUNT),
)  # fmt: skip
EMPTY: tuple[tuple[tuple[str, str], str, str], ...] = (
    (("seed: [42]", "seed: []"), "dims.seed", "at least one level"),
    (("at: before couple", "at: before couple\n    arm: []"), "measures.geometry.arm",
     "at least one, or none of this key"),
    (("learnt: min(source_rate) >= 50%", "learnt: {if: min(source_rate) >= 50%, guards: []}"), "gates.learnt.guards",
     "at least one, or none of this key"),
    (("alpha: 16, rslora: no}}\n  couple", "alpha: 16, targets: [], rslora: no}}\n  couple"),
     "recipes.sft.lora.targets", "at least one entry"),
)  # fmt: skip


@pytest.mark.parametrize(("changes", "key", "found", "expected"), OUT_OF_RANGE, ids=lambda value: str(value)[:40])
def test_a_value_out_of_its_range_is_told_with_its_range(
    changes: tuple[tuple[str, str], ...], key: str, found: str, expected: str
) -> None:
    told = refusal(*changes)
    assert len(told) == 1, told
    assert f":{key}: " in told[0]
    assert f"found '{found.removesuffix(')')}" in told[0] or f"found {found}" in told[0] or not found
    assert told[0].endswith(f"expected {expected}")
    assert told[0].startswith(f"small.yaml:{line_of(changes)}:")


@pytest.mark.parametrize(("change", "key", "expected"), EMPTY, ids=lambda value: str(value)[:40])
def test_an_empty_list_that_would_mean_everything_or_nothing_is_refused(
    change: tuple[str, str], key: str, expected: str
) -> None:
    (told,) = refusal(change)
    assert f":{key}: found a list of 0; expected {expected}" in told


def refusal(*changes: tuple[str, str]) -> list[str]:
    with pytest.raises(PreregError) as caught:
        bound(*changes)
    return [str(problem) for problem in caught.value.problems]


def line_of(changes: tuple[tuple[str, str], ...]) -> int:
    """Return the line on which the first change begins to differ from the registration."""
    pairs = zip(changed().splitlines(), changed(*changes).splitlines(), strict=False)
    return next(number for number, (old, new) in enumerate(pairs, 1) if old != new)


def numbers_of(model: type[BaseModel], name: str, seen: set[type[BaseModel]]) -> Iterator[tuple[str, list[Any]]]:
    """Yield every number of a model and of those inside it, with its constraints."""
    if model in seen:
        return
    seen.add(model)
    for key, info in model.model_fields.items():
        marks, open_ = list(info.metadata), [info.annotation]
        while open_:
            part = open_.pop()
            if part in (int, float):
                yield f"{name}.{key}", marks
            elif isinstance(part, type) and issubclass(part, BaseModel):
                yield from numbers_of(part, f"{name}.{key}", seen)
            else:
                inside = get_args(part)
                open_ += [one for one in inside if isinstance(one, type) or get_args(one)]
                marks += [mark for one in inside for mark in getattr(one, "metadata", ())]


def test_every_number_of_the_schema_has_a_range() -> None:
    declare_kinds()
    seen: set[type[BaseModel]] = set()
    found = dict(numbers_of(Prereg, "prereg", seen))
    for registry in (STAGES, EVALS, PROBES):
        for name in registry.names():
            found |= dict(numbers_of(registry.get(name).Params, name, seen))
    assert len(found) > 30
    # Rows are read by parse_rows, which has its range; a merge may subtract, and by more than the whole.
    own = {"prereg.data.rows", "merge.alpha"}
    open_ = [key for key, marks in found.items() if not any(hasattr(m, "ge") or hasattr(m, "gt") for m in marks)]
    assert set(open_) == own


RUN_SDS = (
    (["5"], "the run-to-run SD is 5; expected at most 0.5, half of the column's range. For 5 pp write 5pp"),
    (["leakage=5", "geometry=0.01"], "the run-to-run SD of leakage is 5; expected at most 0.5"),
    (["leakage=60pp", "0"], "the run-to-run SD of leakage is 0.6; expected at most 0.5, half of the column's range"),
    (["-5pp"], "the run-to-run SD is -0.05: a standard deviation is not negative; expected 0 or more"),
    (["leakge=5pp", "geometry=0.01"], "'leakge' is no measure. Did you mean 'leakage'?"),
    (["wolf=5pp", "0"], "'wolf' is no measure; expected one of leakage, geometry, leakage.rate, "),
)


@pytest.mark.parametrize(("stated", "says"), RUN_SDS)
def test_a_run_to_run_sd_that_cannot_be_is_refused(stated: list[str], says: str) -> None:
    with pytest.raises(PreregError) as caught:
        simulate(bound(), Components(run_sd=parse_run_sd(stated)), experiments=1)
    (problem,) = caught.value.problems
    assert says in str(problem)


@pytest.mark.parametrize("text", ["1e400", "nan", "inf", "1e-400", "9" * 400])
def test_a_run_to_run_sd_is_a_number_that_can_be_computed_with(text: str) -> None:
    with pytest.raises(PreregError, match="expected a number such as"):
        parse_run_sd([text])


def test_a_grid_has_points() -> None:
    with pytest.raises(PreregError, match="found '0' points; expected from 2 to 1000"):
        grid_of("shift=0..5pp:0")
