"""What the missing jobs of a plan will cost: GPU-minutes, CPU-minutes and bytes, with where each figure comes from.

A job's price is **recorded** when jobs of its kind were made on the same device class, engine and base: their seconds
for a unit of work, times its own units. It is **declared** (``harness.plan.declared``) when there are none, and
**unknown** when nothing is declared either: then it is told as unknown, and no total leaves it out silently.

Nothing here decides a result: prices refuse plans, order jobs and tell how long a run will take.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from harness.contracts.records import Job
from harness.core.costs import Cost, Ledger
from harness.core.errors import Problem, Where
from harness.plan import declared
from harness.plan.declared import NOTHING, Range
from harness.plan.learn import base_of
from harness.plan.work import work_of

Origin = Literal["recorded", "declared", "unknown"]
Group = Literal["stage", "measure", "estimate"]

MOST_RECENT = 20
"""So many of the newest recorded jobs are looked at: machines and code change."""


@dataclass(frozen=True)
class Price:
    """What one job will cost: ``seconds`` of its device and ``stored`` bytes, None where that is unknown."""

    key: str
    label: str
    group: Group
    device: Literal["cpu", "cuda"]
    seconds: Range | None
    origin: Origin
    stored: Range | None = None
    stored_origin: Origin = "unknown"


@dataclass(frozen=True)
class Total:
    """A sum of prices. ``range`` is that of the known ones; the counts are jobs by the origin of their price."""

    range: Range = NOTHING
    recorded: int = 0
    declared: int = 0
    unknown: int = 0

    def plus(self, figure: Range | None, origin: Origin) -> Total:
        """Return the sum with one more figure."""
        counts = {name: getattr(self, name) + (name == origin) for name in ("recorded", "declared", "unknown")}
        return Total(self.range + (figure or NOTHING), **counts)

    @property
    def jobs(self) -> int:
        """How many figures there are, known or not."""
        return self.recorded + self.declared + self.unknown


@dataclass(frozen=True)
class Bill:
    """Seconds on GPUs, CPU seconds, and bytes on the disk."""

    gpu: Total = field(default_factory=Total)
    cpu: Total = field(default_factory=Total)
    disk: Total = field(default_factory=Total)

    @property
    def jobs(self) -> int:
        """How many jobs it is for."""
        return self.disk.jobs


def prices(jobs: Iterable[Job], plan: Mapping[str, Job], ledger: Ledger) -> tuple[Price, ...]:
    """Return the price of each job. ``plan`` has their inputs: what model a job works on is said there."""
    book = _Book(ledger.costs)
    return tuple(_price(job, plan, book) for job in jobs)


def bill(found: Iterable[Price]) -> Bill:
    """Return the sum of prices. The ends of its ranges are where every job is at that end of its own."""
    gpu, cpu, disk = Total(), Total(), Total()
    for price in found:
        if price.device == "cuda":
            gpu = gpu.plus(price.seconds, price.origin)
        else:
            cpu = cpu.plus(price.seconds, price.origin)
        disk = disk.plus(price.stored, price.stored_origin)
    return Bill(gpu, cpu, disk)


def by_group(found: Sequence[Price]) -> dict[Group, Bill]:
    """Return a bill for what is made, measured and estimated, as far as there is anything."""
    groups: tuple[Group, ...] = ("stage", "measure", "estimate")
    bills = {group: bill(price for price in found if price.group == group) for group in groups}
    return {group: each for group, each in bills.items() if each.jobs}


def over_budget(cost: Bill, hours: float | None) -> bool:
    """Say whether the likely price in GPU-hours, as far as it is known, is above the budget."""
    return hours is not None and cost.gpu.range.likely > hours * 3600


def refusal(cost: Bill, hours: float, file: str) -> Problem:
    """Return the problem that a plan over its budget is."""
    from harness.plan.pricetag import gpu_hours

    jobs = f"{cost.gpu.jobs} missing GPU jobs" if cost.gpu.jobs > 1 else "missing GPU job"
    return Problem(
        Where(file, key="budget.gpu_hours"),
        f"the likely price of the {jobs} is {gpu_hours(cost.gpu)}",
        f"at most {hours:g} GPU-hours, the registered budget",
        'to run it all the same, say why: --over-budget "because ..."; the reason is printed in the report',
    )


# --- one job -----------------------------------------------------------------------------------------


class _Book:
    """Recorded costs by what makes two jobs alike."""

    def __init__(self, costs: Sequence[Cost]) -> None:
        self._times: dict[tuple[str, ...], list[tuple[float, float]]] = {}
        self._sizes: dict[tuple[str, ...], list[tuple[float, float]]] = {}
        for cost in costs:
            alike = (cost.kind, cost.device, cost.engine, cost.base, cost.unit)
            self._times.setdefault(alike, []).append((cost.seconds, cost.amount))
            self._sizes.setdefault((cost.kind, cost.base, cost.size_unit), []).append((cost.stored, cost.size))

    def seconds(self, *alike: str) -> Range | None:
        """Return seconds for a unit of work."""
        return _per_unit(self._times.get(alike, ()))

    def stored(self, *alike: str) -> Range | None:
        """Return bytes for a unit of size."""
        return _per_unit(self._sizes.get(alike, ()))


def _per_unit(found: Sequence[tuple[float, float]]) -> Range | None:
    """Return what a unit took: all together as likely; the extremes, widened by 1 + 1/n for n jobs, as the ends."""
    newest = [(spent, amount) for spent, amount in found[-MOST_RECENT:] if amount > 0]
    if not newest:
        return None
    each = [spent / amount for spent, amount in newest]
    likely = sum(spent for spent, _ in newest) / sum(amount for _, amount in newest)
    wider = 1 + 1 / len(newest)
    return Range(min(each) / wider, likely, max(each) * wider)


def _price(job: Job, plan: Mapping[str, Job], book: _Book) -> Price:
    work, base = work_of(job), base_of(job, plan.get)
    engine = job.engine.get("engine", "")
    seconds = stored = None
    origin: Origin = "unknown"
    stored_origin: Origin = "unknown"
    if work is not None and base is not None:
        per_unit = book.seconds(job.kind, job.device, engine, base, work.unit)
        if per_unit is not None:
            seconds, origin = per_unit.times(work.amount), "recorded"
        else:
            seconds = declared.seconds(job.kind, work.unit, work.amount, device=job.device, engine=engine, base=base)
            origin = "declared" if seconds is not None else "unknown"
        per_size = book.stored(job.kind, base, work.size_unit)
        if per_size is not None:
            stored, stored_origin = per_size.times(work.size), "recorded"
        else:
            stored = declared.stored(job.kind, work.size_unit, work.size, base=base)
            stored_origin = "declared" if stored is not None else "unknown"
    return Price(job.key, job.label, group_of(job.kind), job.device, seconds, origin, stored, stored_origin)


def group_of(kind: str) -> Group:
    """Return what a job is for: making models and data, measuring, or estimating and deciding."""
    return _GROUPS.get(kind.partition("/")[0], "estimate")


_GROUPS: dict[str, Group] = {
    "model": "stage", "stage": "stage", "eval": "measure", "probe": "measure", "recorded": "measure"
}  # fmt: skip


def unpriced(found: Iterable[Price]) -> Iterator[str]:
    """Yield the labels of jobs whose price is unknown."""
    yield from (price.label for price in found if price.origin == "unknown")
