"""PIN: something that the result depends on is not pinned: a revision, a digest, a prompt, a convention."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.contracts.bound import Bound
from harness.contracts.records import CheckFinding

PENDING = ("", "PENDING")
_HASH = "write the commit hash or the sha256 of the file"
_COMMIT = re.compile(r"[0-9a-f]{40}", re.IGNORECASE)
_WHOLE = "write the whole commit hash: 40 hex digits"


def unpinned(bound: Bound) -> Iterator[CheckFinding]:
    """Yield a warning for everything that the result depends on and the registration leaves open."""
    yield from _sources(bound)
    yield from _prompts(bound)
    yield from _conventions(bound)


def _sources(bound: Bound) -> Iterator[CheckFinding]:
    for model in bound.models:
        if model.hf and (open_ := _moving(model.hf, model.revision)):
            fix = _HASH if model.revision in PENDING else _WHOLE
            yield _finding(f"models.{model.name}", model.line, f"{open_}, and with it tokenizer and chat template", fix)
    for data in bound.data:
        if data.hf and (open_ := _moving(data.hf, data.revision)):
            fix = _HASH if data.revision in PENDING else _WHOLE
            yield _finding(f"data.{data.name}", data.line, open_, fix)
        if data.path and data.md5 in PENDING and data.sha256 in PENDING:
            yield _finding(f"data.{data.name}", data.line, f"'{Path(data.path).name}' has no digest", _HASH)
    for name, judge in bound.judges.items():
        if not judge.get("prompt") or judge.get("prompt") == "PENDING":
            yield _finding(f"judges.{name}", 1, f"the prompt of judge {name} is not written down", "prompt: FILE")


def _moving(repository: str, revision: str) -> str:
    """Say why a revision is none for good, or nothing: branches and tags move, and a short hash may become two."""
    if revision in PENDING:
        return f"the revision of {repository} is not pinned"
    if _COMMIT.fullmatch(revision):
        return ""
    return f"the revision '{revision}' of {repository} is a branch, a tag or a part of a hash and not pinned"


def _prompts(bound: Bound) -> Iterator[CheckFinding]:
    """System prompts: an absent one is filled in by the chat template, which then differs between models."""
    dim = next((dim for dim in bound.dims if dim.name == "persona"), None)
    if dim is None or not bound.models or bound.rehearsal:
        return
    for level in dim.sets.get("default", ()):
        if dim.texts.get(level, "").strip():
            yield _finding(
                "dims.persona.sets.default",
                dim.line,
                f"the default system prompt is not stated: 'default' is measured as '{dim.texts[level]}', which is not "
                "what the model's chat template puts there when no system prompt is given",
                "give the template's own default as a persona, or call the set what it is",
            )
    empty = [level for level in dim.levels if level in dim.texts and not dim.texts[level].strip()]
    if empty:
        yield _finding("dims.persona", dim.line, f"{', '.join(empty)} has no system prompt: the chat template fills in "
                       "its own, which the registration does not state", "write it out")  # fmt: skip


def _conventions(bound: Bound) -> Iterator[CheckFinding]:
    for measure in bound.measures:
        reads = "layer" in measure.params and measure.family == "missing" and "direction" not in measure.params
        if reads and not _says(measure.params, "token"):
            said = f"'{measure.name}' reads layers, and not at which token"
            yield _finding(f"measures.{measure.name}", measure.line, said, "token: last_content, …")
    seen = set()
    for use in (use for arm in bound.arms for use in arm.stages):
        lora = use.params.get("lora")
        if isinstance(lora, dict) and "rslora" not in lora and use.recipe not in seen:
            seen.add(use.recipe)
            said = "rslora is not stated: the adapter's scale is either alpha/r or alpha/sqrt(r)"
            yield _finding(f"recipes.{use.recipe}.lora", use.line, said, "rslora: yes, or no")


def _says(params: dict[str, Any], name: str) -> bool:
    return params.get(name) not in (None, "")


def _finding(at: str, line: int, reason: str, fix: str) -> CheckFinding:
    return CheckFinding(code="PIN", severity="warning", at=at, line=line, reason=reason, fix=fix)
