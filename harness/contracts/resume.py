"""Work that goes on after a restart: what a job may keep while it runs, and sampling that uses it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Protocol

from harness.contracts.ports import Progress, Sampler
from harness.contracts.records import Completion, ModelRef, SampleRequest, SamplingSpec
from harness.core.ident import key_digest

SHARD = "completions-"
"""What the names of stored shards begin with; the first request's index follows."""


class Partial(Protocol):
    """Unfinished work of one job that outlives its process; gone when the job's artifact is stored.

    ``pending`` says that the job has work in memory which it saves when a report of progress raises ``Stopped``.
    A process without any is ended at once when it is asked to end.
    """

    pending: bool

    def load(self, name: str) -> bytes | None:
        """Return what was saved under ``name``, or None; what is damaged counts as absent."""
        ...

    def save(self, name: str, data: bytes, *, what: str = "", done: float = 0.0) -> None:
        """Keep ``data`` durably; ``what`` and ``done`` (in [0, 1]) say how far the job is with it."""
        ...

    def names(self) -> list[str]:
        """Return the names of what is saved, in order."""
        ...

    def drop(self) -> None:
        """Remove everything."""
        ...


class MemoryPartial:
    """Unfinished work that dies with the process: where there is no store."""

    def __init__(self) -> None:
        self.pending = False
        self._kept: dict[str, bytes] = {}

    def load(self, name: str) -> bytes | None:
        """Return what was saved under ``name``, or None."""
        return self._kept.get(name)

    def save(self, name: str, data: bytes, *, what: str = "", done: float = 0.0) -> None:
        """Keep ``data``."""
        self._kept[name] = data

    def names(self) -> list[str]:
        """Return the names of what is saved, in order."""
        return sorted(self._kept)

    def drop(self) -> None:
        """Remove everything."""
        self._kept.clear()


def sample_on(
    sampler: Sampler,
    model: ModelRef,
    requests: Sequence[SampleRequest],
    spec: SamplingSpec,
    *,
    partial: Partial,
    progress: Progress,
) -> list[list[Completion]]:
    """Sample, keep each shard of finished requests as it comes, and draw only what is not kept yet.

    The sampler cuts all requests into shards in one way, whatever is known already, so that every shard runs in
    the same company and the completions are the same bytes as without an interruption.
    """
    asked = key_digest([spec.model_dump(mode="json"), [request.model_dump(mode="json") for request in requests]])
    known = _known(partial, asked, requests)
    total = sum(len(request.seeds) for request in requests) or 1

    def keep(shard: Mapping[int, list[Completion]]) -> None:
        known.update(shard)
        cells = [[index, [list(answer.model_dump().values()) for answer in row]] for index, row in shard.items()]
        data = json.dumps({"asked": asked, "cells": cells}).encode()
        done = sum(map(len, known.values())) / total
        partial.save(f"{SHARD}{min(shard):06}", data, what="sampling", done=done)

    return sampler.sample(model, requests, spec, progress=progress, known=dict(known), done=keep)


def _known(partial: Partial, asked: str, requests: Sequence[SampleRequest]) -> dict[int, list[Completion]]:
    """Read what an earlier process drew for these very requests."""
    known: dict[int, list[Completion]] = {}
    names = tuple(Completion.model_fields)
    for name in (name for name in partial.names() if name.startswith(SHARD)):
        content = json.loads(partial.load(name) or b"{}")
        if content.get("asked") != asked:
            continue
        for index, row in content["cells"]:
            if len(row) == len(requests[index].seeds):
                known[index] = [Completion(**dict(zip(names, answer, strict=True))) for answer in row]
    return known
