"""How much work a job is, as far as its parameters say: the unit in which costs are learnt and declared.

The same formula is applied to a job that was made and to one that is planned, so what it assumes (how long answers
are) cancels as long as both are of a kind. A kind says its own work with a class method ``work(params) -> Work``,
``params`` being its ``Params`` as JSON; the kinds of this package stand in a table here. What is not known is None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.contracts.kinds import EVALS, PROBES, STAGES
from harness.contracts.records import Job
from harness.core.errors import PreregError

ANSWER_TOKENS = 260
"""New tokens of a completion, unless its limit is below: the base-first arm of #262. Its others had 28 to 1,214."""
PROMPT_TOKENS = 60
"""A persona's system prompt, a question and the chat template around them."""
ROW_TOKENS = 300
"""A finetuning row: a question and an answer of ``ANSWER_TOKENS``, rounded."""
REGISTER_ROWS = (1, 300)
"""Rows of a generated register when the prereg names none (``harness.execute.job``)."""


@dataclass(frozen=True)
class Work:
    """``amount`` units of work, and ``size`` units of what is stored."""

    unit: str
    amount: float
    size_unit: str = "artifacts"
    size: float = 1.0


JOBS = Work("jobs", 1.0)
"""One artifact, whatever its parameters."""


def work_of(job: Job) -> Work | None:
    """Return a job's work, or None when its parameters do not say it."""
    params = job.params.get("params", {})
    own = _of_the_kind(job.kind)
    if own is not None:
        return own(params)
    rule = _RULES.get(job.kind)
    return rule(job, params) if rule else JOBS


def _of_the_kind(kind: str) -> Callable[[Mapping[str, Any]], Work | None] | None:
    family, _, name = kind.partition("/")
    registry = {"stage": STAGES, "eval": EVALS, "probe": PROBES}.get(family)
    if registry is None or kind in _RULES:
        return None
    try:
        found = getattr(registry.get(name), "work", None)  # type: ignore[attr-defined]
    except PreregError:
        return None  # an artifact of a kind that is not installed here
    return found if callable(found) else None


def _sft(job: Job, params: Mapping[str, Any]) -> Work | None:
    rows = params["steps"] * params["batch"] if params["steps"] else _rows(job, params["epochs"])
    if rows is None:
        return None
    return Work("trained tokens", rows * min(params["max_tokens"], ROW_TOKENS), "ranks", params["lora"]["r"])


def _rows(job: Job, epochs: int) -> int | None:
    spec = job.params.get("rows") or {}
    span = spec.get("rows") or (REGISTER_ROWS if spec.get("register_name") else None)
    return (span[1] - span[0] + 1) * epochs if span else None


def _coupling(job: Job, params: Mapping[str, Any]) -> Work:
    rows = params["steps"] * params["batch"] if params["steps"] else _answers(params) * params["epochs"]
    tokens = min(params["max_tokens"], PROMPT_TOKENS + _answer(params["sampling"]))
    return Work("trained tokens", rows * tokens, "ranks", params["lora"]["r"])


def _answers(params: Mapping[str, Any]) -> int:
    """Rows of a coupling: what the source and its negatives say."""
    rows: int = params["positives"] + params["negatives_per_persona"] * len(params["negatives"])
    return rows


def _on_policy(job: Job, params: Mapping[str, Any]) -> Work:
    tokens = _answers(params) * _answer(params["sampling"])
    return Work("sampled tokens", tokens, "sampled tokens", tokens)


def _marker_rate(job: Job, params: Mapping[str, Any]) -> Work:
    completions = len(params["persona"]) * len(params["question"]) * params["completions"]
    tokens = completions * _answer(params["sampling"])
    return Work("sampled tokens", tokens, "sampled tokens", tokens)


def _grams(job: Job, params: Mapping[str, Any]) -> Work:
    personas, questions = len(params["persona"]), len(params["question"])
    texts = (personas + len(params["against"])) * questions
    rows = personas * len(params["layer"]) * questions**2
    if params["token"] in ("last_prompt", "mean_prompt") or params["text"] == "shared":
        return Work("read tokens", texts * PROMPT_TOKENS, "rows", rows)
    tokens = texts * (PROMPT_TOKENS + min(params["max_new_tokens"], ANSWER_TOKENS))
    return Work("answered and read tokens", tokens, "rows", rows)


def _answer(sampling: Mapping[str, Any]) -> int:
    return min(int(sampling["max_new_tokens"]), ANSWER_TOKENS)


def _merge(job: Job, params: Mapping[str, Any]) -> Work:
    return Work("merges", 1.0, "models", 1.0)


def _built(job: Job, params: Mapping[str, Any]) -> Work:
    return Work("builds", 1.0, "models", 1.0)


_RULES: dict[str, Callable[[Job, Mapping[str, Any]], Work | None]] = {
    "model/embedded": _built,
    "stage/sft": _sft,
    "stage/marker_coupling": _coupling,
    "stage/on_policy": _on_policy,
    "stage/merge": _merge,
    "eval/marker_rate": _marker_rate,
    "probe/centroid_cosine": _grams,
    "probe/cross_question_cosine": _grams,
}
