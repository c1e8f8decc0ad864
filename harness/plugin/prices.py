"""What the jobs of a run cost, for the plugin: the price tag, the refusal, and the prices that jobs are given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.contracts.records import Job
    from harness.core.costs import Ledger
    from harness.core.store import Store
    from harness.plan.budget import Bill, Price
    from harness.plugin.registrations import Registration


@dataclass(frozen=True)
class Planned:
    """The jobs that were missing when a process of the run began: likely seconds by key, and the bill.

    ``figures`` is the bill as JSON, ``tag`` the same in words.
    """

    seconds: Mapping[str, float | None]
    tag: str
    figures: Mapping[str, Any]


class Prices:
    """Prices jobs; the store's ledger of costs is read once, and only when there is something to price."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ledger: Ledger | None = None

    def of(self, jobs: Iterable[Job], plan: Mapping[str, Job]) -> tuple[Price, ...]:
        """Return the price of each job; ``plan`` has the jobs behind them."""
        wanted = tuple(jobs)
        if not wanted:
            return ()
        from harness.plan.budget import prices
        from harness.plan.learn import known

        if self._ledger is None:
            self._ledger = known(self._store)
        return prices(wanted, plan, self._ledger)


def planned(found: Iterable[Price]) -> Planned:
    """Return what a run is told of its jobs; a job of several preregs counts once."""
    from harness.plan.budget import bill
    from harness.plan.pricetag import tag

    by_key = {price.key: price for price in found}
    whole = bill(by_key.values())
    seconds = {key: price.seconds.likely if price.seconds else None for key, price in by_key.items()}
    return Planned(seconds, tag(whole), figures(whole))


def figures(whole: Bill) -> dict[str, Any]:
    """Return a bill as JSON: seconds on GPUs, CPU seconds and bytes, each with its range and counts by origin."""
    from dataclasses import asdict

    return {
        name: {**asdict(total.range), **{key: value for key, value in asdict(total).items() if key != "range"}}
        for name, total in (("gpu_s", whole.gpu), ("cpu_s", whole.cpu), ("bytes", whole.disk))
    }


def preview(each: Registration, store: Store, found: Sequence[Price]) -> Iterator[str]:
    """Yield the price tag of a file, what of it cannot run yet, and what the checker found."""
    models = sum(each.plan.jobs[price.key].lane == "model" for price in found)
    stored = sum(store.has(key) for key in each.plan.jobs)
    cost = ""
    if found:
        from harness.plan.budget import bill
        from harness.plan.pricetag import tag

        cost = f"; {tag(bill(found), each.bound.budget_gpu_hours)}"
    yield f"{each.bound.id}: {len(found)} jobs to run ({models} with models), {stored} stored{cost}"
    yield from (f"  {what}" for what in each.bound.missing)
    for finding in each.findings:
        accepted = f" (accepted: {finding.allowed})" if finding.allowed else ""
        yield f"  {finding.severity} {finding.code} at {finding.at}: {finding.reason}{accepted}"
