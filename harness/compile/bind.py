"""Bind a registration: resolve every name, level, unit and kept dim, and report everything that is wrong at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from harness.compile.arms import Arms, arm_sweeps
from harness.compile.dims import bind_dims
from harness.compile.meaning import meaning_of
from harness.compile.measures import Measures
from harness.compile.params import Parameters
from harness.compile.references import Broken, Names
from harness.compile.rules import Rules
from harness.compile.sources import bind_data, bind_models, bind_notes
from harness.compile.values import Values
from harness.contracts.bound import Arm, Bound, BoundMeasure, Dim
from harness.core.errors import PreregError, Problem
from harness.spec import model
from harness.spec.formula import FormulaError, parse_estimand
from harness.spec.load import Document, KeyPath, load_document
from harness.spec.read import Faults, read_prereg
from harness.spec.rehearsal import Overlaid, apply_rehearsal, check_rehearsal
from harness.spec.syntax import Arg

T = TypeVar("T")


def load_bound(path: Path, *, rehearsal: bool = False, data_root: Path | None = None, shown: str = "") -> Bound:
    """Load and bind a file: :func:`harness.spec.load.load_document`, then :func:`bind`.

    Raises:
        PreregError: everything that is wrong with the file, each at its line.
    """
    return bind(load_document(path, shown=shown), rehearsal=rehearsal, data_root=data_root)


def bind(document: Document, *, rehearsal: bool = False, data_root: Path | None = None) -> Bound:
    """Return the bound registration of a document.

    Reads the banks and recorded tables that it names and nothing else. Kinds must have been declared
    (``harness.compose.declare_kinds``); those that nobody declared are listed in ``Bound.missing`` by name.

    Args:
        document: the loaded YAML.
        rehearsal: lay its ``rehearsal:`` over it first.
        data_root: the folder of ``file: data:NAME`` and of finetuning data (``--prereg-data``, ``PREREG_DATA``).

    Raises:
        PreregError: everything that is wrong with the file, each at its line.
    """
    if rehearsal:
        overlay = apply_rehearsal(document)
        return _rehearsed(document, overlay, data_root).bound(overridden=overlay.overridden, embedded=overlay.embedded)
    prereg, faults = read_prereg(document)
    faults.problems += _in_the_rehearsal(document, data_root)
    return _Binder(prereg, faults, {}, data_root, rehearsal=False).bound(overridden=(), embedded=False)


def _rehearsed(document: Document, overlay: Overlaid, data_root: Path | None) -> _Binder:
    prereg, faults = read_prereg(overlay.document)
    return _Binder(prereg, faults, _replaced_levels(document, overlay.overridden), data_root, rehearsal=True)


def _in_the_rehearsal(document: Document, data_root: Path | None) -> list[Problem]:
    """Return what is wrong with the overlay: what it may not touch, or else values and names that do not fit.

    Without this a registration would be sealed whose rehearsal cannot run. Formulas are the registration's own.
    """
    problems = check_rehearsal(document)
    if problems or not document.tree.get("rehearsal"):
        return problems
    try:
        binder = _rehearsed(document, apply_rehearsal(document), data_root)
    except PreregError as error:
        return list(error.problems)
    binder.tables([])
    return binder.faults.problems


def _replaced_levels(document: Document, overridden: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Return the levels that a rehearsal replaced, by dim, where they were written in the file."""
    replaced = {}
    dims = document.tree.get("dims", {})
    for name, dim in dims.items() if isinstance(dims, dict) else ():
        levels = dim.get("levels") if isinstance(dim, dict) else dim
        if isinstance(levels, list) and f"dims.{name}.levels" in overridden:
            replaced[name] = tuple(str(level) for level in levels)
    return replaced


@dataclass
class _Binder:
    """Binds one registration, section by section; later sections go on where earlier ones are broken."""

    prereg: model.Prereg
    faults: Faults
    replaced: Mapping[str, tuple[str, ...]]
    data_root: Path | None
    rehearsal: bool

    def bound(self, *, overridden: tuple[str, ...], embedded: bool) -> Bound:
        """Return the bound registration, or raise everything that is wrong."""
        prereg, faults, rehearsal = self.prereg, self.faults, self.rehearsal
        missing: list[tuple[KeyPath, str]] = []
        dims, arms, measures = self.tables(missing)
        names = self._names(dims, arms, measures)
        rules = Rules(prereg, faults, names, self._values(names))
        rules.bind()
        models = bind_models(prereg, faults, embedded=embedded)
        data = bind_data(prereg, faults, rehearsal=rehearsal, data_root=self.data_root)
        differs, allow = bind_notes(prereg, faults)
        missing += rules.missing
        faults.raise_all()
        bound = Bound(
            id=prereg.id, title=prereg.title, question=prereg.question, parents=prereg.parents,
            file=faults.document.file, meaning="", rehearsal=rehearsal, overridden=overridden,
            retrospective=rules.retrospective(), budget_gpu_hours=prereg.budget.gpu_hours if prereg.budget else None,
            hypotheses=tuple(rules.hypotheses), gates=tuple(rules.gates), kills=tuple(rules.kills),
            triage=tuple(rules.triage), confidence=tuple(rules.confidence), choices=tuple(rules.choices),
            expressions=rules.expressions(), measures=tuple(measures.values()), arms=tuple(arms.values()),
            dims=tuple(dims.values()), models=models, data=data,
            judges={name: judge.model_dump(mode="json") for name, judge in prereg.judges.items()},
            differs=differs, allow=allow, missing=tuple(self._missing(missing)),
        )  # fmt: skip
        return bound.model_copy(update={"meaning": meaning_of(bound, prereg, faults.document.folder)})

    def tables(
        self, missing: list[tuple[KeyPath, str]]
    ) -> tuple[dict[str, Dim], dict[str, Arm], dict[str, BoundMeasure]]:
        """Return the dims, arms and measures that could be bound; ``missing`` gathers what is not implemented yet."""
        prereg, faults = self.prereg, self.faults
        dims = bind_dims(prereg, faults, self.replaced)
        if "arm" in prereg.dims and prereg.arms:
            faults.add(("dims", "arm"), "arms are declared twice", "under arms: alone")
        parameters = Parameters(dims, prereg.judges, faults)
        arms = Arms(prereg, dims, parameters, faults, self.replaced, missing).bind()
        return dims, arms, Measures(prereg, dims, arms, parameters, faults, missing, self.data_root).bind()

    def _names(self, dims: Mapping[str, Dim], arms: Mapping[str, Arm], measures: Mapping[str, BoundMeasure]) -> Names:
        prereg = self.prereg
        self._unique()
        estimands = dict(self._estimands())
        return Names(
            measures=measures, estimands=estimands, dims=dims, hypotheses=tuple(prereg.hypotheses),
            choices={name: choice.of for name, choice in prereg.choose.items()}, replaced=self.replaced,
            alpha=prereg.looks.alpha.value if prereg.looks else None, lacking=_lacking(arms, measures),
            rehearsal=self.rehearsal, broken=self.faults.broken,
        )  # fmt: skip

    def _estimands(self) -> Iterator[tuple[str, Arg]]:
        for name, text in self.prereg.estimands.items():
            path = ("estimands", name)
            if name in self.prereg.measures:
                continue
            parsed = attempt(self.faults, path, lambda text=text: parse_estimand(text))  # type: ignore[misc]
            if parsed is None:
                self.faults.broken.add(path)
            else:
                yield name, parsed

    def _values(self, names: Names) -> Values:
        values = Values(names)

        def on_estimand(name: str) -> None:
            if attempt(self.faults, ("estimands", name), lambda: values.estimand(name)) is None:
                raise Broken

        values.on_estimand = on_estimand  # type: ignore[method-assign]
        return values

    def _unique(self) -> None:
        """A bare name in a formula must mean one thing."""
        seen: dict[str, str] = {}
        for section in ("measures", "estimands", "hypotheses"):
            for name in getattr(self.prereg, section):
                if name in seen:
                    self.faults.add((section, name), f"'{name}' is a name in {seen[name]} as well", "another name")
                seen.setdefault(name, section)

    def _missing(self, missing: list[tuple[KeyPath, str]]) -> Iterator[str]:
        for path, what in missing:
            yield str(Problem(self.faults.document.where(path), f"{what} is not implemented yet"))


def _lacking(arms: Mapping[str, Arm], measures: Mapping[str, BoundMeasure]) -> dict[str, dict[str, tuple[str, ...]]]:
    """Return, by measure and arm, the sweeps of the measure that come from stages which the arm does not have."""
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for name, measure in measures.items():
        has = {arm: set(arm_sweeps(arms[arm], count)) for arm, count in measure.stage.items()}
        shared = set().union(*has.values()) if has else set()
        own = {dim for dim in measure.sweeps if dim not in shared}
        found[name] = {arm: tuple(d for d in measure.sweeps if d not in own | sweeps) for arm, sweeps in has.items()}
    return found


def attempt(faults: Faults, path: KeyPath, make: Callable[[], T]) -> T | None:
    """Bind one formula; file what is wrong with it at its place in the file and return None."""
    try:
        return make()
    except FormulaError as error:
        faults.add(path, error.found, error.expected, error.hint, offset=error.position)
    except Broken:
        pass
    return None
