"""The session: what the hooks delegate to. It knows files, items and the store, and little of pytest."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from harness.core.durable import FullError, require_writable
from harness.core.errors import PreregError, Problem, Where
from harness.plugin.cases import Case, Outcome, expressions, judge, judge_verdict, keys
from harness.plugin.garbage import leave_what_there_is, no_collecting
from harness.plugin.options import Options
from harness.plugin.prices import Planned, Prices, planned, preview
from harness.plugin.registrations import Registration, message, refusals, register
from harness.plugin.stopping import Sigterm, wait_for_jobs

if TYPE_CHECKING:
    from harness.contracts.records import Decision, Estimate, Job, StandingReport
    from harness.core.store import Store
    from harness.execute.executor import Event, Executor
    from harness.plan.budget import Price
    from harness.plugin.conclusions import Conclusion


class Session:
    """One pytest process's view of the run.

    Args:
        options: what was asked for.
        run_id: shared by all processes of the run; empty draws a new one when first needed.

    ``on_event`` is told the executor's news, ``on_plan`` what is missing and what it costs when the first job is
    about to run.
    """

    on_event: Callable[[Event], None] | None = None
    on_plan: Callable[[Planned], None] | None = None

    def __init__(self, options: Options, run_id: str = "") -> None:
        self.options = options
        self.registrations: dict[Path, Registration] = {}
        self.refusal = ""
        self.sigterm = Sigterm()
        self.started = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._run_id = run_id
        self._store: Store | None = None
        self._executor: Executor | None = None
        self._prices: Prices | None = None
        self._needs: dict[Path, Sequence[str]] = {}
        """By file, the keys that its selected items need."""
        self._overruns: dict[str, str] = {}
        """By id of a prereg over its budget, the reason for running it all the same."""
        self._standings: dict[Path, StandingReport] = {}

    @property
    def run_id(self) -> str:
        """The id that every process of this run shares."""
        if not self._run_id:
            self._run_id = f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"
        return self._run_id

    @property
    def store(self) -> Store:
        """The artifact store; nothing is written before the first job."""
        if self._store is None:
            from harness.core.places import open_store

            self._store = open_store(self.options.store)
        return self._store

    # --- collection ---

    def register(self, path: Path) -> Registration:
        """Read a prereg file once; never raises."""
        if path not in self.registrations:
            with no_collecting():
                self.registrations[path] = register(path, _shown(path), self.options)
        return self.registrations[path]

    def select(self, selected: Iterable[tuple[Path, Case]]) -> str:
        """Take note of the items that are to run; return why they cannot, or an empty string."""
        wanted: dict[Path, list[Case]] = {}
        for path, case in selected:
            wanted.setdefault(path, []).append(case)
            self.registrations[path].asked.add(case.name)
        if wanted:
            problems = list(self._refusals(wanted)) or list(self._unwritable())
            self.refusal = message(problems) if problems else ""
        return self.refusal

    def faults(self) -> str:
        """Return the message of the files that cannot be read, or an empty string."""
        problems = [problem for each in self.registrations.values() for problem in each.problems]
        return message(problems) if problems else ""

    def _refusals(self, wanted: dict[Path, list[Case]]) -> Iterable[Problem]:
        chosen = [self.registrations[path] for path in wanted]
        needs: dict[Path, Sequence[str]] = {}
        for each in chosen:
            if not each.problems:
                names = [key for case in wanted[each.path] for key in keys(case, each.bound, each.plan)]
                needs[each.path] = tuple(dict.fromkeys(names))
        self._needs = needs
        yield from refusals(chosen, self.options, self.store, needs)
        if not self.options.preview and (self.options.gpu or self.options.rehearse):
            for path in needs:
                yield from self._over_budget(self.registrations[path])

    def _unwritable(self) -> Iterator[Problem]:
        """Yield why nothing can be stored or reported, which would be told by every item, or after hours.

        What is stored needs no store that can be written. A store is made here and not before.
        """
        if self.options.preview:
            return
        found = {path: self.registrations[path] for path in self._needs}
        if any(each.plan.missing(self.store, self._needs[path]) for path, each in found.items()):
            try:
                self.store.require_usable()
            except PreregError as error:
                yield from error.problems
            except FullError as error:
                yield Problem(Where(), str(error))
        for each in found.values():
            folder = self.report_folder(each)
            try:
                require_writable(folder)
            except OSError as error:
                hint = "give another folder with --prereg-out DIR"
                yield Problem(Where(str(folder)), f"no report can be written there: {error}", hint=hint)

    def report_folder(self, registration: Registration) -> Path:
        """Return where the report of a prereg goes."""
        bound = registration.bound
        return self.options.out / (f"{bound.id}-rehearsal" if bound.rehearsal else bound.id)

    def _over_budget(self, each: Registration) -> Iterator[Problem]:
        """Refuse a plan whose likely price is over its budget, or note why it is run."""
        from harness.plan.budget import bill, over_budget, refusal

        hours = each.bound.budget_gpu_hours
        cost = bill(self._priced(each)) if hours is not None else None
        if hours is None or cost is None or not over_budget(cost, hours):
            return
        if self.options.over_budget:
            self._overruns[each.bound.id] = self.options.over_budget
        else:
            yield refusal(cost, hours, each.shown)

    def _priced(self, each: Registration) -> tuple[Price, ...]:
        """Return the prices of what the selected items of a file are missing."""
        if self._prices is None:
            self._prices = Prices(self.store)
        return self._prices.of(each.plan.missing(self.store, self._needs.get(each.path)), each.plan.jobs)

    # --- items ---

    def obtain(self, registration: Registration, case: Case) -> None:
        """Make sure that everything an item reads is stored.

        Raises:
            JobError: a job that it needs failed.
            PreregError: the store cannot be used.
        """
        wanted = keys(case, registration.bound, registration.plan)
        if wanted:
            self.executor.obtain(wanted)
        if case.kind == "verdict":
            # Its block shows every estimate, also those that nothing decides on: what is damaged is made again.
            self.executor.obtain(key for key in registration.plan.estimates.values() if self.store.has(key))

    def judge(self, registration: Registration, case: Case) -> Outcome:
        """Judge an item on what is stored."""
        lenient = self.options.lenient or registration.bound.rehearsal
        if case.kind in ("check", "measure"):
            return Outcome("PASSED")
        if case.kind == "verdict":
            decision = self.decision(registration)
            found = self.estimates(registration, registration.plan.estimates)
            return judge_verdict(registration.bound, decision, found, lenient)
        from harness.decide.court import Court

        court = Court(registration.bound, self.estimates(registration, expressions(case, registration.bound)))
        return judge(case, court, lenient=lenient)

    def estimates(self, registration: Registration, names: Iterable[str]) -> dict[str, Estimate]:
        """Read stored estimates by expression id; those that are not stored are left out."""
        from harness.contracts.records import Estimate

        planned = registration.plan.estimates
        wanted = {name: planned[name] for name in names if name in planned and self.store.has(planned[name])}
        return {
            name: Estimate.model_validate(self.store.read_json(key, "estimate.json")) for name, key in wanted.items()
        }

    def decision(self, registration: Registration) -> Decision:
        """Read the stored decision, with the standing that the seal and the store give it now."""
        from harness.contracts.records import Decision
        from harness.decide.standing import apply, standing_of

        decision = Decision.model_validate(self.store.read_json(registration.plan.verdict, "decision.json"))
        if decision.rehearsal:
            return decision
        path, plan = registration.path, registration.plan
        if path not in self._standings:
            self._standings[path] = standing_of(path, registration.bound, self.store, plan, self.options.data)
        return apply(decision, self._standings[path])

    @property
    def executor(self) -> Executor:
        """What runs jobs: over the plans of every file of this process."""
        if self._executor is None:
            from harness.execute.children import Options as Children
            from harness.execute.executor import Executor
            from harness.execute.machine import NOTED

            jobs = {
                key: job for each in self.registrations.values() if each.found for key, job in each.plan.jobs.items()
            }
            noted = {"command": self.options.command, "over_budget": self._overruns}
            said = json.dumps({name: text for name, text in noted.items() if text})
            children = Children(env={NOTED: said}, ray=self.options.ray)
            jobs |= self._with_prices(jobs)
            self._executor = Executor(jobs, self.store, self.run_id, children, on_event=self.on_event)
            self.sigterm.take()
            if self.options.ahead:
                self._executor.expect(key for keys in self._needs.values() for key in keys)
        return self._executor

    def _with_prices(self, jobs: Mapping[str, Job]) -> dict[str, Job]:
        """Return the jobs that are missing with their price as cost: planned and spent are compared in the report."""
        found = [price for path in self._needs for price in self._priced(self.registrations[path])]
        if not found:
            return {}
        from harness.plan.learn import mend

        mend(self.store)
        plan = planned(found)
        if self.on_plan is not None:
            self.on_plan(plan)
        return {
            key: jobs[key].model_copy(update={"cost": seconds / 60}) for key, seconds in plan.seconds.items() if seconds
        }

    @property
    def running(self) -> bool:
        """Whether this process has begun to obtain something."""
        return self._executor is not None

    # --- the end ---

    def conclude(self, paths: Iterable[Path]) -> list[Conclusion]:
        """Write the reports of these files from the store, and say what is there or missing."""
        leave_what_there_is()
        from harness.plugin.conclusions import conclude

        return [conclude(self, self.register(path)) for path in paths]

    def preview(self) -> list[str]:
        """Say for every file what is stored and what would have to run."""
        asked = [each for each in self.registrations.values() if each.asked and not each.problems]
        return [line for each in asked for line in preview(each, self.store, self._priced(each))]

    def close(self) -> None:
        """End every child of this process; those that can save do."""
        if self._executor is not None:
            self._executor.close()
        self.sigterm.release()

    def drain(self) -> None:
        """Wait for the children of this process: others of the run may need what they make."""
        if self._executor is not None:
            self._executor.drain()

    def interrupt(self) -> None:
        """End every job of the run, in this process and in its other ones, once they have saved."""
        from harness.execute.executor import GRACE

        began = time.monotonic()
        self.store.stop(self.run_id)
        if self._executor is not None:
            self._executor.close()
        patience = GRACE - (time.monotonic() - began)
        wait_for_jobs(self.store, self.run_id, patience, everywhere=self.options.ray is not None)


def _shown(path: Path) -> str:
    """Return the path as messages print it: relative to where the user stands, if it lies below."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
