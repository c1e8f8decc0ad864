"""What a kind is: one file with frozen ``Params``, a ``version``, what it needs, and one function.

A stage makes an artifact out of a model; a measure (probe, eval or recorded table) makes a table. Both
run inside a job's child process and see nothing but their context.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol

from pydantic import Field

from harness.contracts.ports import HiddenReader, Progress, Sampler, Trainer
from harness.contracts.records import Column, Message, ModelRef, Record
from harness.contracts.resume import MemoryPartial, Partial
from harness.core.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class LevelsOf:
    """Marks a field of ``Params`` that names levels or sets of a dim; binding replaces the names by levels."""

    dim: str


PersonaLevels = Annotated[tuple[str, ...], LevelsOf("persona")]
QuestionLevels = Annotated[tuple[str, ...], LevelsOf("question")]
LayerLevels = Annotated[tuple[Annotated[int, Field(ge=0)], ...], LevelsOf("layer")]


@dataclass(frozen=True)
class Context:
    """What a running job may use.

    ``model`` is the arm's model as it enters the job (None where there is none). ``personas`` maps names
    to system prompts and ``questions`` names to texts, in the order of the bank, restricted to what the
    job needs; ``sets`` gives named sets of either. ``rows`` are finetuning rows in messages form.
    ``seed`` is the job's; derive every draw from it with ``seed_for(kind, name, seed)``. ``inputs`` are
    directories of input artifacts by role, ``out`` the directory to fill. ``partial`` keeps unfinished work
    for the case that this process ends before the job does.
    """

    out: Path
    seed: int
    progress: Progress
    model: ModelRef | None = None
    personas: Mapping[str, str] = field(default_factory=dict)
    questions: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, Path] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    rows: Sequence[Sequence[Message]] = ()
    trainer: Trainer | None = None
    sampler: Sampler | None = None
    reader: HiddenReader | None = None
    partial: Partial = field(default_factory=MemoryPartial)


@dataclass(frozen=True)
class Table:
    """A tidy measurement: equally long columns, one row per observation.

    ``dims`` names the label columns (strings); every other column belongs to a declared ``Column``.
    """

    dims: tuple[str, ...]
    columns: tuple[Column, ...]
    data: Mapping[str, Sequence[Any] | NDArray[np.generic]]


Port = Literal["trainer", "sampler", "reader"]


class Stage(Protocol):
    """A step that makes an artifact: an adapter, a full model, or prepared data."""

    version: ClassVar[int]
    Params: ClassVar[type[Record]]
    needs: ClassVar[tuple[Port, ...]]
    makes: ClassVar[Literal["adapter", "model", "data"]]
    prepare: ClassVar[str]
    """Name of a stage of its own whose artifact this one reads as ``ctx.inputs["prepared"]`` ("" for none).
    Its Params are the shared fields of this stage's, so sweeps over other fields share the artifact."""

    def run(self, params: Any, ctx: Context) -> None:
        """Fill ``ctx.out``."""
        ...


class Measure(Protocol):
    """A probe or an eval: reads one arm and returns a table.

    ``columns`` are what the table will hold, the first being the default one of a bare reference;
    ``dims`` are the dims of its rows (arm, sweeps and seed are added by the harness). ``batched`` are dims
    whose ``$dim`` one job takes whole (all layers in one forward pass) instead of one job per level.
    ``reads`` says whether ``ctx.model`` is wanted or the last stage's artifact as ``ctx.inputs["stage"]``.
    """

    version: ClassVar[int]
    Params: ClassVar[type[Record]]
    needs: ClassVar[tuple[Port, ...]]
    columns: ClassVar[tuple[Column, ...]]
    dims: ClassVar[tuple[str, ...]]
    batched: ClassVar[tuple[str, ...]]
    reads: ClassVar[Literal["model", "stage"]]

    def measure(self, params: Any, ctx: Context) -> Table:
        """Measure ``ctx.model`` and return the table; extra files may go to ``ctx.out``."""
        ...


STAGES: Registry[type[Stage]] = Registry("stage")
PROBES: Registry[type[Measure]] = Registry("probe")
EVALS: Registry[type[Measure]] = Registry("eval")
