"""What the two cosine probes share: which texts are read, and products of hidden states over questions.

With h_p(q) the state of persona p at question q and r the reference persona, a row holds
``dot`` = h_p(q)·h_r(q'), ``own`` = h_p(q)·h_p(q') and ``ref`` = h_r(q)·h_r(q'), in float64. Cosines of
centroids under any weights on questions follow from these (``harness.stats.gram``).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from harness.contracts.kinds import Context, LayerLevels, PersonaLevels, QuestionLevels, Table
from harness.contracts.ports import TokenPosition
from harness.contracts.records import Column, Message, ReadRequest, Record, SampleRequest, SamplingSpec
from harness.contracts.resume import sample_on

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DIMS = ("persona", "layer", "question", "question_b")


class GramParams(Record):
    """Whose states are compared with whose, where they are read, and over which text.

    ``text: own`` reads the arm's own greedy answers (at most ``max_new_tokens``, closed with the end token
    in any case), ``text: shared`` one text for all arms and personas, so that only the representation and
    not the wording can differ: ``shared_text``, or without it the question's own words said back, which are
    on topic, different for every question, in no persona's voice, and need no data. ``centered`` subtracts
    the mean over the measured personas, per question and layer.
    """

    persona: PersonaLevels = Field(min_length=1)
    against: PersonaLevels = Field(min_length=1, max_length=1)
    question: QuestionLevels = Field(min_length=2)
    layer: LayerLevels = Field(min_length=1)
    token: TokenPosition
    text: Literal["own", "shared"]
    shared_text: str = ""
    max_new_tokens: int = Field(default=1024, ge=1)
    centered: bool = False

    @model_validator(mode="after")
    def _not_itself(self) -> Self:
        if set(self.against) & set(self.persona):
            raise ValueError(f"{self.against[0]} is compared with itself; take it out of persona")
        return self


def measure_grams(params: GramParams, ctx: Context, column: Column) -> Table:
    """Read all states once and return a row per (persona, layer, question, question_b)."""
    import numpy as np

    personas = [*params.persona, *params.against]
    states = _states(params, personas, ctx)  # [persona, question, layer, hidden]
    if params.centered:
        states = states - states.mean(axis=0, keepdims=True)
    measured, reference = states[:-1], states[-1]
    own = np.einsum("pqlh,prlh->plqr", measured, measured)
    dot = np.einsum("pqlh,rlh->plqr", measured, reference)
    ref = np.broadcast_to(np.einsum("qlh,rlh->lqr", reference, reference), own.shape)
    layers = [str(layer) for layer in params.layer]
    levels = (params.persona, layers, params.question, params.question)
    labels = np.meshgrid(*(np.array(names) for names in levels), indexing="ij")
    data = {dim: label.ravel() for dim, label in zip(DIMS, labels, strict=True)}
    data |= {f"{column.name}.{part}": values.ravel() for part, values in (("dot", dot), ("own", own), ("ref", ref))}
    return Table(dims=DIMS, columns=(column,), data=data)


def _states(params: GramParams, personas: list[str], ctx: Context) -> NDArray[np.float64]:
    """Return hidden states [persona, question, layer, hidden]."""
    import numpy as np

    assert ctx.model is not None
    assert ctx.reader is not None
    prompts = [
        (
            Message(role="system", content=ctx.personas[persona]),
            Message(role="user", content=ctx.questions[question]),
        )
        for persona in personas
        for question in params.question
    ]
    answers: list[str | None]
    if params.token in ("last_prompt", "mean_prompt"):
        answers = [None] * len(prompts)
    elif params.text == "shared":
        answers = [params.shared_text or ctx.questions[question] for _ in personas for question in params.question]
    else:
        answers = [*_own_answers(params, prompts, personas, ctx)]
    requests = [ReadRequest(messages=prompt, answer=text) for prompt, text in zip(prompts, answers, strict=True)]
    states = ctx.reader.read(ctx.model, requests, layers=params.layer, token=params.token, progress=ctx.progress)
    shape = (len(personas), len(params.question), *states.shape[1:])
    return np.asarray(states, dtype=np.float64).reshape(shape)


def _own_answers(
    params: GramParams, prompts: Sequence[tuple[Message, ...]], personas: list[str], ctx: Context
) -> list[str]:
    """Let the arm answer greedily; ``answers.jsonl`` keeps what it said."""
    assert ctx.model is not None
    assert ctx.sampler is not None
    spec = SamplingSpec(temperature=0.0, max_new_tokens=params.max_new_tokens)
    requests = [SampleRequest(messages=prompt, seeds=(0,)) for prompt in prompts]
    found = sample_on(ctx.sampler, ctx.model, requests, spec, partial=ctx.partial, progress=ctx.progress)
    drawn = [row[0] for row in found]
    cells = [(persona, question) for persona in personas for question in params.question]
    lines = [
        json.dumps({"persona": persona, "question": question, **answer.model_dump()}, ensure_ascii=False)
        for (persona, question), answer in zip(cells, drawn, strict=True)
    ]
    (ctx.out / "answers.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    return [answer.text for answer in drawn]
