"""The arm's own answers for a coupling, made once for all couplings of a sweep."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar, Literal

from pydantic import Field

from harness.contracts.kinds import STAGES, Context, PersonaLevels, Port, QuestionLevels
from harness.contracts.records import Message, Record, SampleRequest, SamplingSpec
from harness.contracts.resume import sample_on
from harness.core.ident import seed_for
from harness.stages.writing import write_json, write_lines


class OnPolicyParams(Record):
    """Who answers what, how often and how; the fields that ``marker_coupling`` shares with this stage."""

    source: PersonaLevels = Field(min_length=1, max_length=1)
    negatives: PersonaLevels = ()
    question: QuestionLevels = Field(min_length=1)
    positives: int = Field(default=200, ge=1)
    negatives_per_persona: int = Field(default=200, ge=0)
    completions_from: Literal["self"] = "self"
    sampling: SamplingSpec = SamplingSpec(max_new_tokens=1024)


@STAGES.register("on_policy")
class OnPolicy:
    """Writes ``answers.jsonl`` (persona, sign, question, k, text, tokens, truncated) and ``counts.json``.

    A persona's n answers go through the questions in order, and begin again with a second answer to each
    (k = 1) when n is larger than their number.
    """

    version: ClassVar[int] = 1
    Params: ClassVar[type[Record]] = OnPolicyParams
    needs: ClassVar[tuple[Port, ...]] = ("sampler",)
    makes: ClassVar[Literal["adapter", "model", "data"]] = "data"
    prepare: ClassVar[str] = ""

    def run(self, params: OnPolicyParams, ctx: Context) -> None:
        """Sample and write the answers."""
        assert ctx.model is not None
        assert ctx.sampler is not None
        groups = [(params.source[0], "positive", params.positives)]
        groups += [(persona, "negative", params.negatives_per_persona) for persona in params.negatives]
        wanted = [
            (persona, sign, question, count)
            for persona, sign, rows in groups
            for question, count in _counts(params.question, rows).items()
        ]
        requests = [
            SampleRequest(
                messages=(
                    Message(role="system", content=ctx.personas[persona]),
                    Message(role="user", content=ctx.questions[question]),
                ),
                seeds=tuple(seed_for("on_policy", f"{persona}/{question}/{k}", ctx.seed) for k in range(count)),
            )
            for persona, _, question, count in wanted
        ]
        answers = sample_on(
            ctx.sampler, ctx.model, requests, params.sampling, partial=ctx.partial, progress=ctx.progress
        )
        rows = [
            {"persona": persona, "sign": sign, "question": question, "k": k, **answer.model_dump()}
            for (persona, sign, question, _), drawn in zip(wanted, answers, strict=True)
            for k, answer in enumerate(drawn)
        ]
        write_lines(ctx.out / "answers.jsonl", rows)
        truncated = Counter(row["persona"] for row in rows if row["truncated"])
        write_json(ctx.out / "counts.json", {"answers": len(rows), "truncated": dict(truncated)})


def _counts(questions: tuple[str, ...], rows: int) -> dict[str, int]:
    """Spread ``rows`` answers over the questions in order: how many answers each question gets."""
    counts = {q: rows // len(questions) + (i < rows % len(questions)) for i, q in enumerate(questions)}
    return {question: count for question, count in counts.items() if count}
