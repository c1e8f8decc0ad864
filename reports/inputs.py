"""What a report is built from besides the decision (``Extras``), and what is true of one run only (``RunInfo``)."""

from __future__ import annotations

from pydantic import Field

from harness.contracts.analyses import Breakdown
from harness.contracts.records import Record
from reports.figure_records import Operating


class Sample(Record):
    """One completion. ``measure`` and ``arm`` say where it was drawn; ``prompt`` is the question's text.

    ``at`` (the point of the sweeps, with ``seed``) and ``k`` (its number in its cell) stay out of results.json:
    only the completions browser needs them, and it has a file of its own.
    """

    arm: str
    persona: str
    question: str
    prompt: str
    text: str
    hit: bool
    truncated: bool = False
    measure: str = ""
    at: dict[str, str] = Field(default={}, exclude=True)
    k: int = Field(default=0, exclude=True)


class Completions(Record):
    """How many completions an arm's eval drew, hit and lost to the length limit."""

    measure: str
    arm: str
    completions: int
    hits: int
    truncated: int


class Training(Record):
    """One training stage of an arm at one point of the sweeps (``at``, with ``seed``)."""

    arm: str
    stage: str
    at: dict[str, str] = {}
    losses: tuple[float, ...]
    tokens: int
    logit_change: float
    marker_logprob_before: dict[str, float] | None = None
    marker_logprob_after: dict[str, float] | None = None


class Artifact(Record):
    """A stored artifact behind the report. ``inputs`` are the keys of the listed artifacts that it was made from."""

    label: str
    key: str
    kind: str
    inputs: tuple[str, ...] = ()


class Replay(Record):
    """A made-up table on which a rehearsal ran the decision rule: what it must return and what it did."""

    name: str
    expected: str
    returned: str


class Extras(Record):
    """What a report shows besides the decision. Everything in it must be the same for equal results.

    ``samples`` may hold any number of completions, in any order; the report picks a few per arm.
    """

    samples: tuple[Sample, ...] = ()
    completions: tuple[Completions, ...] = ()
    training: tuple[Training, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    replays: tuple[Replay, ...] = ()
    operating: Operating | None = None
    breakdowns: tuple[Breakdown, ...] = ()
    """Analyses made by rule; they decide nothing."""
    engines: tuple[tuple[str, ...], ...] = ()
    """What sampled, trained and read: work, library, device, number format, and the libraries beside it."""


class RunInfo(Record):
    """What is true of this run only.

    Hours are those of all jobs behind the result, cached ones included; ``*_this_run`` counts what was
    computed now. ``planned_*`` are the likely prices that these jobs had when they were started, as far as they had
    one (``unpriced`` did not); ``over_budget`` is why they were started although that was over the budget.
    """

    started: str = ""
    finished: str = ""
    host: str = ""
    device: str = ""
    command: str = ""
    versions: dict[str, str] = {}
    paths: dict[str, str] = {}
    jobs: int = 0
    jobs_this_run: int = 0
    cpu_hours: float | None = None
    gpu_hours: float | None = None
    cpu_hours_this_run: float | None = None
    gpu_hours_this_run: float | None = None
    max_rss_mb: float | None = None
    max_gpu_mb: float | None = None
    planned_gpu_hours: float | None = None
    planned_cpu_hours: float | None = None
    unpriced: int = 0
    resumed: int = 0
    """Jobs that went on where an interrupted process had left them: what that one spent is in no figure."""
    fast: int = 0
    """Trainings behind the result that gave up equal bytes for time (``--fast``)."""
    over_budget: str = ""
