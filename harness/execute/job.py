"""What a child runs for jobs that need a model: it builds the context, and the kind does the work.

Only here, and lazily, does the harness reach for ``fixtures/``.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.contracts.bound import DataSource
from harness.contracts.kinds import STAGES, Context, Port
from harness.contracts.ports import Progress
from harness.contracts.records import Job, Message, ModelRef
from harness.contracts.resume import MemoryPartial, Partial
from harness.core.errors import JobError

PORT_CLASSES: dict[str, tuple[str, str]] = {
    "trainer": ("fixtures.arms", "PeftTrainer"),
    "sampler": ("fixtures.sampler", "TransformersSampler"),
    "reader": ("fixtures.hidden", "TransformersReader"),
    "sampler.vllm": ("fixtures.vllm_sampler", "VllmSampler"),
}
"""Which class stands behind each port: that of transformers, or after a dot that of another engine."""


def run_embedded(job: Job, inputs: Mapping[str, Path], out: Path, progress: Progress) -> None:
    """Build the embedded model into ``out/model``."""
    build = importlib.import_module("fixtures.embedded.build").build
    metrics = build(out / "model", seed=job.seed, progress=progress)
    _write_json(out / "metrics.json", {name: value for name, value in metrics.items() if not name.endswith("_s")})


def run_stage(
    job: Job, inputs: Mapping[str, Path], out: Path, progress: Progress, partial: Partial | None = None
) -> None:
    """Run one stage of an arm; it goes on where ``partial`` says that an earlier process was."""
    kind = STAGES.get(job.kind.removeprefix("stage/"))
    ctx = context(job, inputs, out, progress, kind.needs, partial)
    kind().run(kind.Params.model_validate(job.params["params"]), ctx)


def context(
    job: Job,
    inputs: Mapping[str, Path],
    out: Path,
    progress: Progress,
    needs: Sequence[Port],
    partial: Partial | None = None,
) -> Context:
    """Build what a stage or measure may use from its job."""
    ports: dict[str, Any] = {name: _port(name, job.engine) for name in needs}
    return Context(
        out=out,
        seed=job.seed,
        progress=progress,
        model=model_ref(job, inputs),
        personas=dict(job.params.get("personas", ())),
        questions=dict(job.params.get("questions", ())),
        inputs=inputs,
        files={role: Path(ref.path) for role, ref in job.files.items()},
        rows=_rows(job),
        trainer=ports.get("trainer"),
        sampler=ports.get("sampler"),
        reader=ports.get("reader"),
        partial=partial or MemoryPartial(),
    )


def _port(name: Port, engine: Mapping[str, str]) -> Any:
    """Build the engine's own implementation of a port, or that of transformers where it has none."""
    module, found = PORT_CLASSES.get(f"{name}.{engine.get('engine', 'transformers')}") or PORT_CLASSES[name]
    settings = {"fast": True} if name == "trainer" and engine.get("training") == "fast" else {}
    return getattr(importlib.import_module(module), found)(**settings)


def model_ref(job: Job, inputs: Mapping[str, Path]) -> ModelRef | None:
    """Return the model that a job works on, or None when it reads no model."""
    source = job.params.get("model")
    if "base" in inputs:
        path = str(inputs["base"] / "model")
    elif source is not None:
        path = source["path"] or snapshot(source["hf"], source["revision"])
    else:
        return None
    adapters = sorted((role for role in inputs if role.startswith("adapter")), key=lambda role: int(role[7:]))
    return ModelRef(
        path=path,
        adapters=tuple(str(inputs[role] / "adapter") for role in adapters),
        trust_remote_code=bool(source and source["trust_remote_code"]),
    )


def snapshot(repository: str, revision: str) -> str:
    """Return the folder of a model in the local Hugging Face cache, downloading it when that is allowed.

    Raises:
        JobError: the model is not there and cannot be fetched.
    """
    hub = importlib.import_module("huggingface_hub")
    try:
        offline = os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0")
        return str(hub.snapshot_download(repository, revision=revision, local_files_only=offline))
    except (OSError, ValueError) as error:  # huggingface_hub's errors derive from these two
        raise JobError(f"model {repository} at revision {revision} cannot be loaded: {error}") from error


def _rows(job: Job) -> list[list[Message]]:
    spec = job.params.get("rows")
    if not spec:
        return []
    if spec["register_name"]:
        first, last = spec["rows"] or (1, 300)
        make = importlib.import_module("fixtures.embedded.registers").register_rows
        rows = make(spec["register_name"], first, last, job.seed)
    else:
        path = Path(job.files["data"].path) if "data" in job.files else None
        source = DataSource(name="data", **{key: value for key, value in spec.items() if value is not None})
        rows = importlib.import_module("fixtures.data").load_rows(source, path)
    return [[Message.model_validate(message) for message in row] for row in rows]


def _write_json(path: Path, value: Any) -> None:
    from harness.core.ident import canonical

    path.write_bytes(canonical(value))
