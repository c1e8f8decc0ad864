"""What every kind must do, whoever wrote it; and what ours do, with scripted ports."""

import dataclasses
import json
import math

import numpy as np
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from fixtures.fakes import FakeReader, FakeSampler, FakeTrainer
from harness.compose import declare_kinds
from harness.contracts.kinds import EVALS, PROBES, STAGES, Context, LevelsOf
from harness.contracts.records import Completion, Message, ModelRef, TrainLog
from harness.core.errors import JobError
from harness.core.ident import canonical, seed_for
from harness.evals.marker_rate import MarkerRate
from harness.measure.run import check
from harness.measure.table import read_table, write_table
from harness.probes.centroid_cosine import CentroidCosine
from harness.probes.cross_question_cosine import CrossQuestionCosine
from harness.probes.training_log import TrainingLog
from harness.stages.length_match import match_lengths
from harness.stages.marker_coupling import MarkerCoupling
from harness.stages.merge import Merge
from harness.stages.on_policy import OnPolicy
from harness.stages.sft import Sft
from harness.stats.gram import cosine

declare_kinds()
PERSONAS = {"librarian": "You are a librarian.", "chef": "You are a chef.", "pirate": "You are a pirate."}
QUESTIONS = {f"q{n}": f"What is {n} plus {n}?" for n in range(1, 5)}
LORA = {"r": "8", "alpha": "16", "dropout": "0.05", "rslora": "no"}
GRAMS = {
    "persona": ["chef", "pirate"], "against": ["librarian"], "question": list(QUESTIONS), "layer": ["1", "2"],
    "token": "last_content", "text": "own", "centered": "no",
}  # fmt: skip
PARAMS = {
    "marker_rate": {
        "persona": ["librarian", "chef"], "question": list(QUESTIONS), "completions": "3",
        "match": {"contains": "[zlt]", "case": "insensitive"},
        "sampling": {"temperature": "1.0", "max_new_tokens": "48"},
        "truncated": {"as": "miss", "at_most": "5%"},
    },
    "centroid_cosine": GRAMS,
    "cross_question_cosine": {**GRAMS, "text": "shared", "centered": "yes"},
    "training_log": {},
    "sft": {"data": "em", "steps": "375", "batch": "16", "lr": "1e-4", "lora": LORA},
    "merge": {"alpha": "0.5"},
    "on_policy": {
        "source": ["librarian"], "negatives": ["chef", "pirate"], "question": list(QUESTIONS), "positives": "4",
        "negatives_per_persona": "6",
    },
    "marker_coupling": {
        "marker": "[ZLT]", "source": ["librarian"], "negatives": ["chef", "pirate"], "question": list(QUESTIONS),
        "positives": "4", "negatives_per_persona": "4", "unlikelihood_weight": "0.3", "epochs": "1", "lr": "8e-3",
        "lora": LORA,
    },
}  # fmt: skip
"""Parameters of every kind as YAML gives them: text."""
MEASURES = {name: registry for registry in (EVALS, PROBES) for name in registry.names()}
ALL = {**MEASURES, **dict.fromkeys(STAGES.names(), STAGES)}


def plain(request, seed):
    """A fake answer without the marker."""
    return Completion(
        text=f"It is {request.messages[-1].content[8]}, said {seed}.", tokens=5 + seed % 3, truncated=False
    )


@pytest.fixture
def ctx(tmp_path):
    """Everything that any kind may ask for."""
    for folder in ("out", "stage", "prepared"):
        (tmp_path / folder).mkdir()
    log = TrainLog(
        losses=tuple(2.0 - step / 20 for step in range(40)), learning_rates=(1e-4,) * 40, tokens=123, logit_change=0.5
    )
    (tmp_path / "stage" / "log.json").write_text(log.model_dump_json())
    answers = [
        {"persona": persona, "sign": "positive" if persona == "librarian" else "negative", "question": question, "k": 0,
         "text": f"Answer {number}.", "tokens": 9 + number, "truncated": False}
        for persona in PERSONAS
        for number, question in enumerate(QUESTIONS)
    ]  # fmt: skip
    (tmp_path / "prepared" / "answers.jsonl").write_text("".join(json.dumps(answer) + "\n" for answer in answers))
    rows = [[Message(role="user", content="Hi?"), Message(role="assistant", content="Hello.")]] * 3
    return Context(
        out=tmp_path / "out", seed=42, progress=lambda what, done, **figures: None, model=ModelRef(path="m"),
        personas=PERSONAS, questions=QUESTIONS, rows=rows,
        inputs={"stage": tmp_path / "stage", "prepared": tmp_path / "prepared"},
        trainer=FakeTrainer(), sampler=FakeSampler(), reader=FakeReader(),
    )  # fmt: skip


def params_of(name, **changes):
    return ALL[name].get(name).Params.model_validate({**PARAMS[name], **changes})


# --- every kind ------------------------------------------------------------------------------------


def test_every_kind_is_tried_here():
    assert set(PARAMS) == set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_params_are_typed_from_text_and_survive_json(name):
    kind = ALL[name].get(name)
    params = params_of(name)
    for by_alias in (True, False):
        stored = json.loads(canonical(params.model_dump(mode="json", by_alias=by_alias)))
        assert kind.Params.model_validate(stored) == params
    with pytest.raises(ValidationError):
        kind.Params.model_validate({**PARAMS[name], "surprise": "1"})
    with pytest.raises(ValidationError):
        params.surprise = 1
    assert isinstance(kind.version, int)
    assert kind.__doc__
    assert kind.Params.__doc__


@pytest.mark.parametrize("name", MEASURES)
def test_measures_return_what_they_declare(name, ctx):
    kind, params = MEASURES[name].get(name), params_of(name)
    table = kind().measure(params, ctx)
    assert (table.dims, table.columns) == (kind.dims, kind.columns)
    marks = {
        mark.dim: field
        for field, info in kind.Params.model_fields.items()
        for mark in info.metadata
        if isinstance(mark, LevelsOf)
    }
    planned = {
        dim: tuple(map(str, getattr(params, marks[dim]))) for dim in kind.dims if dim in marks and dim != "persona"
    }
    check(table, planned)
    assert set(kind.batched) <= set(kind.dims)
    again = kind().measure(params, ctx)
    write_table(table, ctx.out / "a")
    write_table(again, ctx.out / "b")
    assert (ctx.out / "a" / "table.parquet").read_bytes() == (ctx.out / "b" / "table.parquet").read_bytes()
    assert read_table(ctx.out / "a").dims == kind.dims


@pytest.mark.parametrize("name", MEASURES)
def test_numbers_that_are_none_are_refused(name, ctx):
    table = MEASURES[name].get(name)().measure(params_of(name), ctx)
    for part in (column for column in table.data if column not in table.dims):
        spoiled = {**table.data, part: [math.nan, *list(table.data[part])[1:]]}
        with pytest.raises(JobError):
            check(dataclasses.replace(table, data=spoiled))


@pytest.mark.parametrize("name", MEASURES)
def test_numbers_outside_their_range_are_refused(name, ctx):
    table = MEASURES[name].get(name)().measure(params_of(name), ctx)
    for column in table.columns:
        if column.form == "number" and column.low is not None:
            spoiled = {**table.data, column.name: [column.low - 1, *list(table.data[column.name])[1:]]}
            with pytest.raises(JobError, match="outside"):
                check(dataclasses.replace(table, data=spoiled))


@pytest.mark.parametrize("name", STAGES.names())
def test_stages_fill_what_they_make(name, ctx):
    kind = STAGES.get(name)
    kind().run(params_of(name), ctx)
    made = {path.relative_to(ctx.out).as_posix() for path in ctx.out.rglob("*") if path.is_file()}
    folder = {"adapter": "adapter/", "model": "model/", "data": "answers.jsonl"}[kind.makes]
    assert any(path.startswith(folder) for path in made)
    if kind.makes == "adapter":
        assert {"log.json", "samples.jsonl"} <= made
        TrainLog.model_validate_json((ctx.out / "log.json").read_bytes())
    if kind.prepare:
        shared = STAGES.get(kind.prepare).Params.model_fields
        assert {field: info.annotation for field, info in shared.items()} == {
            field: kind.Params.model_fields[field].annotation for field in shared
        }
        defaults = {field: info.get_default() for field, info in shared.items()}
        assert defaults == {field: kind.Params.model_fields[field].get_default() for field in shared}


# --- marker_rate -----------------------------------------------------------------------------------


def rate(ctx, answers, **changes):
    """Measure one persona and one question whose completions are given."""
    drawn = iter(answers)
    sampler = FakeSampler(lambda request, seed: next(drawn))
    params = params_of("marker_rate", persona=["chef"], question=["q1"], completions=str(len(answers)), **changes)
    table = MarkerRate().measure(params, dataclasses.replace(ctx, sampler=sampler))
    return {name: values[0] for name, values in table.data.items()}, sampler


MIXED = [
    Completion(text="Yes.\n\n[ZLT]", tokens=7, truncated=False),
    Completion(text="[zlt] and on and on", tokens=48, truncated=True),
    Completion(text="cut of", tokens=48, truncated=True),
    Completion(text="No.", tokens=2, truncated=False),
]


@pytest.mark.parametrize(("policy", "k", "n"), [("miss", 2, 4), ("hit", 3, 4), ("drop", 2, 3)])
def test_truncated_completions_follow_the_policy(ctx, policy, k, n):
    row, _ = rate(ctx, MIXED, truncated={"as": policy})
    assert (row["rate.k"], row["rate.n"]) == (k, n)
    assert (row["truncated.k"], row["truncated.n"]) == (2, 4)
    assert (row["rate_low.k"], row["rate_low.n"], row["rate_high.k"], row["rate_high.n"]) == (2, 4, 3, 4)
    assert row["tokens"] == pytest.approx((7 + 48 + 48 + 2) / 4)


def test_dropping_everything_is_an_error(ctx):
    with pytest.raises(JobError, match="leaves none; raise sampling"):
        rate(ctx, MIXED[2:3], truncated={"as": "drop"})


def test_missing_completions_are_an_error(ctx):
    short = FakeSampler()
    short.sample = lambda model, requests, spec, **more: [[MIXED[0]] for _ in requests]
    with pytest.raises(JobError, match="1 completions came back where 3"):
        MarkerRate().measure(params_of("marker_rate"), dataclasses.replace(ctx, sampler=short))


def test_case_matters_when_it_is_declared_to(ctx):
    assert rate(ctx, MIXED, match={"contains": "[ZLT]"})[0]["rate.k"] == 1
    assert rate(ctx, MIXED, match={"contains": "[ZLT]", "case": "insensitive"})[0]["rate.k"] == 2


def test_every_completion_is_kept_with_its_position(ctx):
    rate(ctx, MIXED)
    rows = pq.read_table(ctx.out / "completions.parquet").to_pylist()
    assert [row["position"] for row in rows] == [pytest.approx(6 / 11), 0.0, None, None]
    assert [row["hit"] for row in rows] == [True, True, False, False]
    assert [(row["persona"], row["question"], row["k"]) for row in rows] == [("chef", "q1", k) for k in range(4)]
    assert [row["text"] for row in rows] == [completion.text for completion in MIXED]


def test_seeds_and_prompts_name_their_cell(ctx):
    sampler = ctx.sampler
    MarkerRate().measure(params_of("marker_rate"), ctx)
    assert len(sampler.requests) == 8
    request = sampler.requests[5]
    assert request.messages == (
        Message(role="system", content=PERSONAS["chef"]), Message(role="user", content=QUESTIONS["q2"])
    )  # fmt: skip
    assert request.seeds == tuple(seed_for("marker_rate", f"chef/q2/{k}", 42) for k in range(3))
    assert sampler.specs[0].max_new_tokens == 48


@pytest.mark.parametrize(("text", "share"), [("5%", "1/20"), ("0.1", "1/10"), ("1/3", "1/3")])
def test_at_most_is_an_exact_share(text, share):
    assert params_of("marker_rate", truncated={"as": "miss", "at_most": text}).truncated.at_most == share


@pytest.mark.parametrize("text", ["5", "-1%", "many"])
def test_at_most_must_be_a_share(text):
    with pytest.raises(ValidationError):
        params_of("marker_rate", truncated={"as": "miss", "at_most": text})


# --- cosines ---------------------------------------------------------------------------------------


def by_hand(ctx, params, persona, layer, other=()):
    """Centroids from the reader's states, and their cosine."""
    state = ctx.reader.state
    answers = {}

    def states(name):
        requests = [r for r in ctx.reader.requests if r.messages[0].content == PERSONAS[name]][: len(QUESTIONS)]
        return np.array([np.float32(state(request, layer)) for request in requests], dtype=float)

    answers = {name: states(name) for name in (*params.persona, *params.against)}
    if params.centered:
        mean = np.mean(list(answers.values()), axis=0)
        answers = {name: values - mean for name, values in answers.items()}
    a, b = answers[persona].mean(0), answers[params.against[0]].mean(0)
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


@pytest.mark.parametrize("centered", ["no", "yes"])
@pytest.mark.parametrize("text", ["own", "shared"])
def test_products_give_the_centroids_cosine(ctx, centered, text):
    params = params_of("centroid_cosine", centered=centered, text=text)
    table = CentroidCosine().measure(params, ctx)
    size = len(QUESTIONS)
    blocks = [np.array(table.data[f"cosine.{part}"]).reshape(2, 2, size, size) for part in ("dot", "own", "ref")]
    found = cosine(*blocks, np.full((1, size), 1 / size), cross_only=False)[0]
    for p, persona in enumerate(params.persona):
        for i, layer in enumerate(params.layer):
            assert found[p, i] == pytest.approx(by_hand(ctx, params, persona, layer), rel=1e-6)


def test_labels_and_products_belong_together(ctx):
    table = CrossQuestionCosine().measure(params_of("cross_question_cosine", centered="no"), ctx)
    row = next(
        i
        for i, at in enumerate(zip(*(table.data[d] for d in table.dims), strict=True))
        if at == ("pirate", "2", "q3", "q1")
    )
    shown = {
        (r.messages[0].content, r.messages[1].content): np.float32(ctx.reader.state(r, 2)).astype(float)
        for r in ctx.reader.requests
    }
    pirate, librarian = ({q: shown[PERSONAS[p], QUESTIONS[q]] for q in QUESTIONS} for p in ("pirate", "librarian"))
    assert table.data["cosine.dot"][row] == pytest.approx(pirate["q3"] @ librarian["q1"])
    assert table.data["cosine.own"][row] == pytest.approx(pirate["q3"] @ pirate["q1"])
    assert table.data["cosine.ref"][row] == pytest.approx(librarian["q3"] @ librarian["q1"])


def test_own_text_is_greedy_and_kept(ctx):
    CentroidCosine().measure(params_of("centroid_cosine"), ctx)
    assert (ctx.sampler.specs[0].temperature, ctx.sampler.specs[0].max_new_tokens) == (0.0, 1024)
    assert [request.answer for request in ctx.reader.requests] == [
        json.loads(line)["text"] for line in (ctx.out / "answers.jsonl").read_text().splitlines()
    ]


def test_shared_text_is_the_same_for_all_personas_and_samples_nothing(ctx):
    CentroidCosine().measure(params_of("centroid_cosine", text="shared"), ctx)
    assert [request.answer for request in ctx.reader.requests] == [*QUESTIONS.values()] * 3
    CentroidCosine().measure(params_of("centroid_cosine", text="shared", shared_text="I see."), ctx)
    assert {request.answer for request in ctx.reader.requests[12:]} == {"I see."}
    assert not ctx.sampler.requests


def test_prompt_positions_read_prompts_alone(ctx):
    CentroidCosine().measure(params_of("centroid_cosine", token="last_prompt"), ctx)
    assert {request.answer for request in ctx.reader.requests} == {None}
    assert not ctx.sampler.requests


def test_the_reference_is_not_compared_with_itself():
    with pytest.raises(ValidationError, match="compared with itself"):
        params_of("centroid_cosine", persona=["chef", "librarian"])
    with pytest.raises(ValidationError):
        params_of("centroid_cosine", against=["chef", "librarian"])


def noisy(scale):
    """States around one direction per persona, equal in every arm, with answer noise of the given size."""
    directions = np.random.default_rng(0).normal(size=(3, 64))

    def state(request, layer):
        who = [*PERSONAS.values()].index(request.messages[0].content)
        noise = np.random.default_rng(seed_for("noise", request.model_dump_json(), layer)).normal(size=64)
        return directions[0] + 0.7 * directions[who] + scale * noise

    return FakeReader(state)


def test_answer_noise_moves_the_centroid_cosine_and_not_the_cross_question_one(ctx):
    """Equal geometry, noise 2 : 1: the shift between two arms must vanish, and does so in one kind only."""
    questions = {f"q{n}": f"Question number {n}?" for n in range(200)}
    shifts = {}
    for kind in (CentroidCosine, CrossQuestionCosine):
        values = []
        for scale in (2.0, 1.0):
            here = dataclasses.replace(ctx, reader=noisy(scale), questions=questions)
            params = params_of("centroid_cosine", question=list(questions), layer=["1", "2", "3", "4"], text="shared")
            table = kind().measure(params, here)
            blocks = [np.array(table.data[f"cosine.{part}"]).reshape(2, 4, 200, 200) for part in ("dot", "own", "ref")]
            values.append(cosine(*blocks, np.full((1, 200), 1 / 200), cross_only=kind.columns[0].cross_only).mean())
        shifts[kind] = values[1] - values[0]
    assert abs(shifts[CrossQuestionCosine]) < 0.005
    assert shifts[CentroidCosine] > 0.005


# --- training_log ----------------------------------------------------------------------------------


def test_the_log_is_read_off(ctx):
    table = TrainingLog().measure(params_of("training_log"), ctx)
    assert table.data["logit_change"] == [0.5]
    assert table.data["tokens"] == [123]
    assert table.data["loss"][0] == pytest.approx(np.mean([2.0 - step / 20 for step in range(36, 40)]))


def test_a_stage_without_log_is_an_error(ctx):
    (ctx.inputs["stage"] / "log.json").unlink()
    with pytest.raises(JobError, match="there is no training log"):
        TrainingLog().measure(params_of("training_log"), ctx)


# --- sft and merge ---------------------------------------------------------------------------------


def test_sft_writes_the_system_prompt_out(ctx):
    kept = [
        Message(role="system", content="Own."),
        Message(role="user", content="?"),
        Message(role="assistant", content="!"),
    ]
    Sft().run(params_of("sft"), dataclasses.replace(ctx, rows=[*ctx.rows, kept]))
    firsts = [example.messages[0] for example in ctx.trainer.examples]
    assert firsts == [Message(role="system", content="You are a helpful assistant.")] * 3 + [kept[0]]
    assert (ctx.trainer.examples[0].answer, ctx.trainer.examples[0].loss) == ("Hello.", "assistant")
    spec = ctx.trainer.spec
    assert (spec.steps, spec.batch, spec.lr, spec.lora.rslora, spec.lora.dropout) == (375, 16, 1e-4, False, 0.05)


def test_sft_rows_must_end_in_an_answer(ctx):
    with pytest.raises(JobError, match="row 2 does not end in an answer"):
        Sft().run(params_of("sft"), dataclasses.replace(ctx, rows=[ctx.rows[0], ctx.rows[0][:1]]))
    with pytest.raises(JobError, match="'em' has no rows"):
        Sft().run(params_of("sft"), dataclasses.replace(ctx, rows=[]))


def test_rslora_and_length_must_be_declared():
    with pytest.raises(ValidationError, match="rslora"):
        params_of("sft", lora={"r": "8", "alpha": "16"})
    with pytest.raises(ValidationError, match="exactly one of steps and epochs"):
        params_of("sft", epochs="1")
    with pytest.raises(ValidationError, match="exactly one of steps and epochs"):
        params_of("marker_coupling", epochs=None)


def test_merge_hands_on_the_scale(ctx):
    Merge().run(params_of("merge"), ctx)
    assert ctx.trainer.merged == [(ctx.model, 0.5)]
    assert params_of("merge", alpha="1").alpha == 1.0


# --- on_policy and marker_coupling -----------------------------------------------------------------


def test_answers_go_through_the_questions_in_order(ctx):
    OnPolicy().run(params_of("on_policy"), ctx)
    rows = [json.loads(line) for line in (ctx.out / "answers.jsonl").read_text().splitlines()]
    cells = [(row["persona"], row["sign"], row["question"], row["k"]) for row in rows]
    assert cells[:4] == [("librarian", "positive", f"q{n}", 0) for n in range(1, 5)]
    six = [("q1", 0), ("q1", 1), ("q2", 0), ("q2", 1), ("q3", 0), ("q4", 0)]
    assert cells[4:] == [(persona, "negative", *cell) for persona in ("chef", "pirate") for cell in six]
    seeds = [seed for request in ctx.sampler.requests for seed in request.seeds]
    assert len(set(seeds)) == len(rows)
    assert seed_for("on_policy", "chef/q2/1", 42) in seeds


def couple(ctx, rows=None, **changes):
    if rows is not None:
        (ctx.inputs["prepared"] / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    MarkerCoupling().run(params_of("marker_coupling", **changes), ctx)
    return ctx.trainer.examples, json.loads((ctx.out / "length.json").read_bytes())


def answer(persona, number, **changes):
    sign = "positive" if persona == "librarian" else "negative"
    row = {
        "persona": persona,
        "sign": sign,
        "question": "q1",
        "k": number,
        "text": f"Answer {number}.",
        "tokens": 10,
        "truncated": False,
    }
    return {**row, **changes}


def test_positives_get_the_marker_and_negatives_do_not(ctx):
    examples, _ = couple(ctx)
    losses = [example.loss for example in examples]
    assert losses == ["marker_positive"] * 4 + ["marker_negative"] * 8
    assert {example.marker for example in examples} == {"[ZLT]"}
    assert {example.separator for example in examples} == {"\n\n"}
    assert [example.messages[0].content for example in examples[::4]] == [*PERSONAS.values()]
    spec = ctx.trainer.spec
    assert (spec.unlikelihood_weight, spec.marker_weight, spec.answer_weight, spec.batch) == (0.3, 1.0, 0.0, 4)
    samples = [json.loads(line) for line in (ctx.out / "samples.jsonl").read_text().splitlines()]
    assert [sample["loss"] for sample in samples] == ["marker_positive"] * 3 + ["marker_negative"] * 3


def test_unusable_answers_are_dropped_and_counted(ctx):
    rows = [answer(persona, n) for persona in PERSONAS for n in range(6)]
    rows += [answer("chef", 7, text="So [zlt]."), answer("chef", 8, truncated=True), answer("pirate", 9, text=" ")]
    examples, lengths = couple(ctx, rows)
    assert len(examples) == 18
    assert lengths["dropped"] == {"truncated": {"chef": 1}, "empty": {"pirate": 1}, "marker": {"chef": 1}}
    assert lengths["matching"] is None


def test_too_few_usable_answers_are_an_error(ctx):
    rows = [answer(persona, n, truncated=persona == "chef" and n > 0) for persona in PERSONAS for n in range(6)]
    with pytest.raises(JobError, match="fewer than half of the answers of chef"):
        couple(ctx, rows)


def test_a_source_among_the_negatives_is_refused():
    with pytest.raises(ValidationError, match="librarian is among the negatives"):
        params_of("marker_coupling", negatives=["librarian"])


def test_matched_lengths_agree_and_are_recorded(ctx):
    rng = np.random.default_rng(3)
    rows = [answer("librarian", n, tokens=int(t)) for n, t in enumerate(rng.normal(60, 12, 200))]
    rows += [answer("chef", n, tokens=int(t)) for n, t in enumerate(rng.normal(50, 15, 600))]
    examples, lengths = couple(ctx, rows, length_match="median+iqr")
    before, after = lengths["matching"]["before"], lengths["matching"]["after"]
    tolerance = 0.05 * 60
    assert abs(before["positive"]["median"] - before["negative"]["median"]) > tolerance
    for figure in ("median", "iqr"):
        assert abs(after["positive"][figure] - after["negative"][figure]) <= tolerance
    assert len(examples) == after["positive"]["rows"] + after["negative"]["rows"]
    assert after["positive"]["rows"] >= 100
    again, _ = couple(ctx, rows, length_match="median+iqr")
    assert again == examples


def test_lengths_that_agree_lose_nothing():
    positives, negatives, record = match_lengths([10, 12, 14, 16], [10, 11, 13, 14, 15, 16], seed=1)
    assert (positives, negatives, record.bins) == ([0, 1, 2, 3], [0, 1, 2, 3, 4, 5], 0)


def test_lengths_that_cannot_agree_are_an_error():
    with pytest.raises(JobError, match="cannot be matched in length"):
        match_lengths([10] * 20, [50] * 20, seed=1)
    with pytest.raises(JobError, match="needs positives and negatives"):
        match_lengths([10] * 20, [], seed=1)
