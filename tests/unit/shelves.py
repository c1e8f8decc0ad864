"""A small store of made-up jobs that stand on one another, for tests of what looks at stores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.contracts.records import FileRef, Job
from harness.core.ident import key_digest
from harness.core.store import Store

MADE = {
    "wall_s": 2.5, "max_rss_mb": 310.2, "device": "cpu:0", "host": "here", "python": "3.11.7",
    "versions": {"torch": "2.8.0"}, "when": "2026-11-21T08:00:00Z", "command": "pytest x.yaml",
}  # fmt: skip


def job(label: str, kind: str = "toy", inputs: dict[str, Job] | None = None, **rest: Any) -> Job:
    """Return a job with a key as plans make it."""
    keys = {role: needed.key for role, needed in (inputs or {}).items()}
    fields: dict[str, Any] = {"kind": kind, "version": 1, "params": {}, "inputs": keys, "seed": 0, "engine": {}, **rest}
    decides = {**fields, "files": {role: ref.sha256 for role, ref in fields.get("files", {}).items()}}
    return Job(key=key_digest(decides), label=label, **fields)


def put(store: Store, one: Job, text: str = "", made: dict[str, Any] | None = None) -> Path:
    """Store a job's artifact: two small files."""

    def fill(folder: Path) -> None:
        (folder / "sub").mkdir()
        (folder / "sub" / "text.txt").write_text(text or one.label)
        (folder / "facts.json").write_text("{}")

    return store.put(one, fill, MADE if made is None else made)


def family(rate: float = 1e-4, engine: str = "2.8") -> dict[str, Job]:
    """Return base -> sft -> eval and probe -> estimate -> verdict, as jobs by a short name."""
    torch = {"torch": engine, "device": "cpu"}
    base = job("model[embedded]", "model/embedded", engine=torch, lane="model")
    rows = FileRef(path="rows.jsonl", sha256="ab" * 32)
    sft = job(
        "stage[C1.sft]", "stage/sft", {"base": base}, params={"lr": rate, "steps": [1, 2]}, engine=torch, lane="model",
        files={"data": rows},
    )  # fmt: skip
    rate_of = job("measure[rate-C1]", "eval/marker_rate", {"base": base, "adapter0": sft}, engine=torch, lane="model")
    probe = job("measure[cos-C1]", "probe/cos", {"base": base, "adapter0": sft}, engine=torch, lane="model")
    estimate = job("estimate[shift]", "estimate", {"rate/0": rate_of, "cos/0": probe}, params={"formula": "a - b"})
    verdict = job("verdict", "verdict", {"12" * 32: estimate}, params={"id": "x"})
    return {"base": base, "sft": sft, "rate": rate_of, "probe": probe, "estimate": estimate, "verdict": verdict}


def stocked(root: Path, **kwargs: Any) -> tuple[Store, dict[str, Job]]:
    """Return a store that holds a family, and its jobs."""
    store, jobs = Store(root), family(**kwargs)
    for each in jobs.values():
        put(store, each)
    return store, jobs
