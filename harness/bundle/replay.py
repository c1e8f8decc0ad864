"""Replaying a bundle: the decision and the report again from the measurements, without models.

The plan is made from the registration with the versions of the libraries that the bundle names, so the same keys come
out on a machine that has none of them. Everything that needs no model is computed anew in a fresh store (recorded
tables from their files, estimates, the verdict, a rehearsal's replay and null), compared byte for byte with what is
recorded, and written up again.
"""

from __future__ import annotations

import importlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import harness
from harness.bundle import contents as at
from harness.bundle.contents import Contents, read_contents
from harness.compile.bind import load_bound
from harness.compose import run_job
from harness.contracts.records import Decision, Job, StandingReport
from harness.core.browse import Browser
from harness.core.errors import JobError, PreregError
from harness.core.lineage import differences
from harness.core.manifest import MANIFEST
from harness.core.store import Store
from harness.decide.standing import apply
from harness.plan.engine import Pins
from harness.plan.plan import Plan, make_plan
from harness.plan.verify import verify_file

if TYPE_CHECKING:
    from harness.contracts.bound import Bound

_MOST = 6
_DRAWN = ("figures/", "report.html")
"""Files of a report that hold drawings: another version of what draws gives other bytes."""


@dataclass(frozen=True)
class Replayed:
    """What a replay found.

    ``equal`` and ``unequal`` are labels of recomputed artifacts, ``same`` and ``other`` files of the report;
    ``redrawn`` are files that differ because something else drew them. ``notes`` and ``faults`` are for people.
    """

    contents: Contents
    decision: Decision
    copied: int
    equal: tuple[str, ...]
    unequal: tuple[str, ...]
    same: tuple[str, ...]
    other: tuple[str, ...]
    redrawn: tuple[str, ...]
    faults: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether everything came out as recorded."""
        return not (self.unequal or self.other or self.faults)


def planned(folder: Path) -> tuple[Contents, Bound, Plan]:
    """Return an imported bundle's contents, registration and plan as it was made. Kinds must have been declared.

    Raises:
        PreregError: this harness plans something else from the registration, with the first reason that it finds.
    """
    contents = read_contents(folder)
    data = folder / at.DATA
    path = folder / contents.prereg
    bound = load_bound(
        path, rehearsal=contents.rehearsal, data_root=data if data.is_dir() else None, shown=Path(contents.prereg).name
    )
    models = tuple(
        each.model_copy(update={"path": contents.models[each.name]}) if each.name in contents.models else each
        for each in bound.models
    )
    bound = bound.model_copy(update={"models": models})
    digests = {each.path: contents.digests[each.name] for each in bound.data if each.name in contents.digests}
    pins = Pins(contents.libraries, digests)
    return (
        contents,
        bound,
        make_plan(bound, device=contents.device, engine=contents.engine, fast=contents.fast, pins=pins),
    )


def replay(folder: Path, store: Store, out: Path) -> Replayed:
    """Replay an imported bundle from ``folder`` and ``store``; write its report below ``out``.

    Raises:
        PreregError: the registration plans something else here, or an artifact is missing or damaged.
    """
    contents, bound, plan = planned(folder)
    if plan.verdict != contents.verdict:
        raise _other_plan(contents, plan, store)
    with tempfile.TemporaryDirectory() as temporary:
        fresh = Store(Path(temporary) / "store")
        copied, made = _recompute(plan, store, fresh)
        for path in (store.root / at.SIMULATIONS).glob("*.json"):
            (fresh.root / at.SIMULATIONS).mkdir(exist_ok=True)
            shutil.copy(path, fresh.root / at.SIMULATIONS)
        equal, unequal = _compared(made, plan, store, fresh)
        basis = _basis(folder, contents)
        report = Path(temporary) / "report"
        decision = _write_report(folder, bound, plan, fresh, basis, report)
        same, other, redrawn = _same_files(folder / at.REPORT, report, contents)
        target = out / contents.name
        shutil.copytree(report, target, dirs_exist_ok=True)
    faults, notes = _seal(folder, contents)
    if contents.harness != harness.__version__:
        notes.append(f"packed by harness {contents.harness}, replayed by {harness.__version__}")
    return Replayed(
        contents, decision, copied, tuple(equal), tuple(unequal), same, other, redrawn, tuple(faults), tuple(notes)
    )


def results_of(bound: Bound, plan: Plan, store: Store, basis: StandingReport | None) -> bytes:
    """Return the bytes of results.json as they follow from a store; ``basis`` is None in rehearsals."""
    shown, model = importlib.import_module("reports.extras"), importlib.import_module("reports.model")
    found: bytes = model.results_json(shown.modelled(bound, plan, store, _decision(plan, store, basis)))
    return found


def _decision(plan: Plan, store: Store, basis: StandingReport | None) -> Decision:
    decision = Decision.model_validate(store.read_json(plan.verdict, "decision.json"))
    return decision if basis is None else apply(decision, basis)


# --- computing again ---


def _recompute(plan: Plan, store: Store, fresh: Store) -> tuple[int, list[Job]]:
    """Fill a fresh store: light jobs are run where their inputs are there, the rest is copied. Say what was run."""
    copied, made = 0, []
    for key, job in plan.jobs.items():
        here = job.lane == "light" and all(Path(ref.path).is_file() for ref in job.files.values())
        if here and all(fresh.has(needed) for needed in job.inputs.values()):
            _run(job, fresh)
            made.append(job)
        elif store.has(key):
            fresh.put(job, copy_artifact(store.open(key)))
            copied += 1
    gone = [plan.jobs[key].label for key in plan.goals if not fresh.has(key)]
    if gone:
        raise PreregError(f"the bundle lacks what {', '.join(gone)} stand on")
    return copied, made


def _run(job: Job, fresh: Store) -> None:
    inputs = {role: fresh.open(key) for role, key in job.inputs.items()}
    try:
        fresh.put(job, lambda draft: run_job(job, inputs, draft, _silent))
    except (ArithmeticError, LookupError, ValueError) as error:
        raise JobError(f"{job.label} cannot be computed again: {error!r}") from error


def _silent(what: str, done: float, **figures: float) -> None:
    """Progress that nobody watches."""


def copy_artifact(recorded: Path) -> Callable[[Path], None]:
    """Return what fills a draft with the files of a stored artifact."""

    def fill(draft: Path) -> None:
        for path in recorded.iterdir():
            if path.is_dir():
                shutil.copytree(path, draft / path.name)
            elif path.name != MANIFEST:
                shutil.copy(path, draft)

    return fill


def _compared(made: list[Job], plan: Plan, store: Store, fresh: Store) -> tuple[list[str], list[str]]:
    equal: list[str] = []
    unequal: list[str] = []
    for job in made:
        if store.has(job.key):
            same = store.peek(job.key).files == fresh.peek(job.key).files
            (equal if same else unequal).append(job.label)
    return equal, unequal


def _other_plan(contents: Contents, plan: Plan, store: Store) -> PreregError:
    browser = Browser(store, plan.jobs)
    recorded, here = browser.get(contents.verdict), browser.get(plan.verdict)
    why = list(differences(browser, recorded, here))[:_MOST] if recorded and here else ["no verdict is recorded"]
    listed = "\n".join(f"  {line}" for line in why)
    hint = f"it was made by harness {contents.harness}; install that version to replay it"
    return PreregError(
        f"{contents.name}: the registration leads to other jobs here; {hint}. Recorded / here:\n{listed}"
    )


# --- writing up again ---


def _basis(folder: Path, contents: Contents) -> StandingReport | None:
    """Return the standing on record: it is worked out from the history of a repository that is not here."""
    if contents.rehearsal:
        return None
    decision = json.loads((folder / at.REPORT / "results.json").read_bytes())["decision"]
    return StandingReport.model_validate(decision["basis"]) if decision.get("basis") else None


def _write_report(
    folder: Path, bound: Bound, plan: Plan, fresh: Store, basis: StandingReport | None, out: Path
) -> Decision:
    shown, records = importlib.import_module("reports.extras"), importlib.import_module("reports.records")
    noted = json.loads((folder / at.REPORT / "run.json").read_bytes())
    run = records.RunInfo(**{name: noted[name] for name in records.RunInfo.model_fields if name in noted})
    decision = _decision(plan, fresh, basis)
    shown.write_up(bound, plan, fresh, decision, run, out, figures=bool(noted.get("figures")))
    return decision


def _same_files(
    recorded: Path, written: Path, contents: Contents
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Compare the report's files: those that are equal, those that are not, and those that something else drew."""
    names = sorted({path.relative_to(root).as_posix() for root in (recorded, written) for path in _files(root)})
    same = [name for name in names if _equal(recorded / name, written / name)]
    rest = [name for name in names if name not in same]
    matplotlib = importlib.import_module("matplotlib").__version__
    drawn = [name for name in rest if name.startswith(_DRAWN) and matplotlib != contents.packages.get("matplotlib")]
    return tuple(same), tuple(name for name in rest if name not in drawn), tuple(drawn)


def _equal(one: Path, other: Path) -> bool:
    return one.is_file() and other.is_file() and one.read_bytes() == other.read_bytes()


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _seal(folder: Path, contents: Contents) -> tuple[list[str], list[str]]:
    """Check the seal that came along: what does not hold, and what a reader should know."""
    path = folder / contents.prereg
    if not path.with_name(f"{path.name}.seal.json").exists():
        return [], ["not sealed"]
    data = folder / at.DATA
    try:
        found = verify_file(path, data=data if data.is_dir() else None)
    except PreregError as error:
        return [str(problem) for problem in error.problems], []
    if not found.holds:
        return [f"seal: {fault}" for fault in found.faults], []
    since = f"the seal holds (sealed {found.seal.first.when})" if found.seal else "not sealed"
    return [], [since, *(f"seal: {note}" for note in found.notes)]
