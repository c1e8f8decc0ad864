"""One prereg file as the plugin sees it: what was read, planned and found, and every reason not to run it."""

from __future__ import annotations

import importlib.util
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness.core.errors import PreregError, Problem, Where
from harness.plugin.cases import Case, cases
from harness.plugin.options import Options

if TYPE_CHECKING:
    from harness.contracts.bound import Bound
    from harness.contracts.records import CheckFinding, Job
    from harness.core.store import Store
    from harness.plan.plan import Plan

_OURS = Path(__file__).parents[2]
_LIGHT_PACKAGES = ("harness", "reports")
_PACKAGES = (*_LIGHT_PACKAGES, "fixtures")


@dataclass
class Registration:
    """A prereg file. ``problems`` are faults of the file; without any, ``bound`` and ``plan`` are there."""

    path: Path
    shown: str
    problems: tuple[Problem, ...] = ()
    found: tuple[Bound, Plan] | None = None
    findings: tuple[CheckFinding, ...] = ()
    asked: set[str] = field(default_factory=set)
    """Names of the items that are to run."""

    @property
    def bound(self) -> Bound:
        """The registration; only where there are no problems."""
        return self._both[0]

    @property
    def plan(self) -> Plan:
        """Its jobs; only where there are no problems."""
        return self._both[1]

    @property
    def trains(self) -> bool:
        """Whether it makes or samples models, which is what a device is for."""
        return self.found is not None and bool(self.bound.arms)

    @cached_property
    def cases(self) -> tuple[Case, ...]:
        """Its items in order; a file that cannot be read has its ``check`` alone, to stand for the refusal."""
        return cases(*self.found) if self.found else (Case("check", "check", 1),)

    @property
    def _both(self) -> tuple[Bound, Plan]:
        if self.found is None:
            raise PreregError(self.problems)
        return self.found


def register(path: Path, shown: str, options: Options) -> Registration:
    """Read, bind, check and plan one file. Never raises: what is wrong becomes problems."""
    try:
        return _registered(path, shown, options)
    except PreregError as error:
        return Registration(path, shown, error.problems)
    except Exception as error:
        import traceback

        trace = "".join(traceback.format_exception(error)).rstrip()
        fault = Problem(Where(shown), f"the harness failed on this file: {error!r}", hint=f"please report:\n{trace}")
        return Registration(path, shown, (fault,))


def _registered(path: Path, shown: str, options: Options) -> Registration:
    from harness.check.run import check
    from harness.compile.bind import load_bound
    from harness.compose import declare_kinds
    from harness.plan.plan import make_plan

    declare_kinds()
    bound = load_bound(path, rehearsal=options.rehearse, data_root=options.data, shown=shown)
    plan = make_plan(bound, device=device(options), engine=options.engine, fast=options.fast)
    return Registration(path, shown, found=(bound, plan), findings=check(bound))


def device(options: Options) -> Literal["cpu", "cuda"]:
    """Return the device class of a run: registered runs are on CUDA, rehearsals on CPU unless -m gpu."""
    return "cpu" if options.rehearse and not options.gpu else "cuda"


def refusals(
    registrations: Sequence[Registration], options: Options, store: Store, keys: dict[Path, Sequence[str]]
) -> Iterator[Problem]:
    """Yield everything that stops the selected preregs from running, in the order of the files.

    Args:
        registrations: those with selected items.
        options: what was asked for.
        store: to see what is there already.
        keys: by path, the artifacts that the selected items need.
    """
    yield from _same_ids(registrations)
    yield from _shadowed(any(each.trains for each in registrations))
    for each in registrations:
        yield from each.problems
        if each.problems:
            continue
        deepen(each, store, proofs=not options.preview or each.path in options.named)
        yield from _findings(each)
        yield from _other_engine(each, options)
        if not options.preview:
            yield from _not_yet(each)
            yield from _unrunnable(each, options, store, keys[each.path])


def _same_ids(registrations: Sequence[Registration]) -> Iterator[Problem]:
    by_id: dict[str, Registration] = {}
    for each in registrations:
        if each.problems:
            continue
        first = by_id.setdefault(each.bound.id, each)
        if first is not each:
            found = f"the id '{each.bound.id}' is also that of {first.shown}"
            yield Problem(Where(each.shown, key="id"), found, "one file per id", "give one of them an id of its own")


def _shadowed(trains: bool) -> Iterator[Problem]:
    """Foreign packages of our names hide ours: what runs would not be this harness."""
    for name in _PACKAGES if trains else _LIGHT_PACKAGES:
        spec = importlib.util.find_spec(name)
        places = [Path(place).resolve() for place in spec.submodule_search_locations or ()] if spec else []
        # A folder of that name without __init__.py hides nothing: Python looks into all of them.
        if (_OURS / name).resolve() in places:
            continue
        found = places[0] if places else Path(spec.origin) if spec and spec.origin else "nowhere"
        yield Problem(
            Where(), f"the package '{name}' is found at {found}", f"the harness's own at {_OURS / name}",
            "rename or uninstall the other one, or take its folder from the Python path",
        )  # fmt: skip


def deepen(each: Registration, store: Store, *, proofs: bool = True) -> None:
    """Check a registration as before a run: with its stored simulation and proofs about its rule.

    Without ``proofs``, as for the files of a folder that are only listed: an editor lists all the time, and a solver
    takes a tenth of a second for each.
    """
    from harness.check.run import check

    each.findings = check(each.bound, deep=proofs, store=store.root)


def _findings(each: Registration) -> Iterator[Problem]:
    from harness.check.run import problem, refused

    yield from (problem(finding, each.shown) for finding in refused(each.findings))


def _not_yet(each: Registration) -> Iterator[Problem]:
    hint = "the file can be collected and checked (--collect-only) but not run"
    for what in each.bound.missing:
        yield Problem(Where(), what, hint=hint)


def _other_engine(each: Registration, options: Options) -> Iterator[Problem]:
    """A registered engine is a part of the registration: a run that asks for another one is another experiment."""
    for model in each.bound.models:
        if options.engine_asked and options.engine not in ("auto", model.engine) and model.engine != "auto":
            yield Problem(
                Where(each.shown, model.line, key=f"models.{model.name}.engine"),
                f"--engine {options.engine}, and the preregistration says {model.engine}", "the registered engine",
                "leave the option out, or change the file (prereg amend, if it is sealed)",
            )  # fmt: skip


def _unrunnable(each: Registration, options: Options, store: Store, keys: Sequence[str]) -> Iterator[Problem]:
    from harness.plan.preflight import absent_engines, preflight

    jobs = each.plan.missing(store, keys)
    if faults := list(absent_engines(jobs)):
        yield from faults
        return
    training = [job for job in jobs if job.lane == "model"]
    if training and not (options.gpu or options.rehearse):
        yield _ask(each, training)
        return
    if jobs and options.ray is not None and (problem := _no_ray(options)):
        yield problem
        return
    if options.ray is None and options.gpu and each.trains and (fault := cuda_fault()):
        yield Problem(
            Where(each.shown), f"-m gpu asks for a CUDA device and {fault}", "a working NVIDIA driver and GPU",
            f"to rehearse on the CPU: pytest {shlex.quote(each.shown)} --rehearse",
        )  # fmt: skip
        return
    yield from preflight(each.bound, jobs, store.root)


def _no_ray(options: Options) -> Problem | None:
    from harness.execute.ray.connect import fault

    return fault(options.ray or "", several=options.several)


def _ask(each: Registration, training: Sequence[Job]) -> Problem:
    names = sorted({job.label for job in training})
    listed = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    file = shlex.quote(each.shown)
    return Problem(
        Where(each.shown),
        f"{len(training)} jobs that need models are not stored ({listed}), and nothing trains unless asked to",
        hint=f"to rehearse on the CPU: pytest {file} --rehearse\nto run it on a GPU: pytest {file} -m gpu",
    )


def cuda_fault() -> str:
    """Say why there is no usable CUDA device, or nothing. Asks the driver, and imports no torch."""
    import ctypes

    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "there is no NVIDIA driver here (libcuda.so.1)"
    count = ctypes.c_int(0)
    status = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    if status:
        return f"the NVIDIA driver does not start (error {status})"
    return "" if count.value else "the NVIDIA driver finds no device"


def message(problems: Iterable[Problem]) -> str:
    """Return the one message of a refusal."""
    told = list(dict.fromkeys(str(problem) for problem in problems))
    head = "the preregistration cannot run" if len(told) == 1 else f"{len(told)} things stop the preregistrations"
    return "\n".join([f"{head}:", *told])
