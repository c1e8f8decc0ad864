"""Rules: hypotheses, gates, kills, triage, confidence and choices, and the formulas that they need estimated."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from harness.compile.criteria import Criteria, Place
from harness.compile.references import Broken, Names
from harness.compile.units import fitted, interval_of
from harness.compile.values import Values
from harness.contracts.bound import Choice, Clause, ConfidenceClaim, Hypothesis, TriageRow
from harness.contracts.trees import Criterion, Expression, Num, expression_id
from harness.contracts.walks import refs, trees_of
from harness.core.errors import Problem, Where
from harness.spec import model, syntax
from harness.spec.formula import FormulaError, parse_criterion, parse_estimand
from harness.spec.load import KeyPath, dotted
from harness.spec.read import Faults

T = TypeVar("T")
OTHERWISE = "otherwise"
_CORRECT = re.compile(r"(holm|bh) over ([A-Za-z_]\w*)")


class Rules:
    """Binds everything that decides in one prereg. The results stand in the attributes, in the order of the file."""

    def __init__(self, prereg: model.Prereg, faults: Faults, names: Names, values: Values) -> None:
        self.prereg = prereg
        self.faults = faults
        self.names = names
        self.values = values
        self.criteria = Criteria(values, str(prereg.inference.level.value))
        self.hypotheses: list[Hypothesis] = []
        self.gates: list[Clause] = []
        self.kills: list[Clause] = []
        self.triage: list[TriageRow] = []
        self.confidence: list[ConfidenceClaim] = []
        self.choices: list[Choice] = []
        self.missing: list[tuple[KeyPath, str]] = []
        self._clauses = {name: tuple(spec.all) for name, spec in prereg.hypotheses.items()}

    def bind(self) -> None:
        """Bind all sections; what is wrong goes to the faults."""
        for name in self.names.estimands:
            self.attempt(("estimands", name), lambda name=name: self.values.estimand(name))  # type: ignore[misc]
        for name, spec in self.prereg.choose.items():
            self._choice(name, spec)
        for name, gate in self.prereg.gates.items():
            guards = self._targets(("gates", name, "guards"), gate.guards, (*self._clauses, *self.prereg.estimands))
            self._clause(self.gates, ("gates", name), name, gate.criterion, "in a gate", guards)
        for name, kill in self.prereg.kill.items():
            kills = self._targets(("kill", name, "kills"), kill.kills, tuple(self._clauses))
            self._clause(self.kills, ("kill", name), name, kill.criterion, "in a kill", kills)
        for name, hypothesis in self.prereg.hypotheses.items():
            if ("hypotheses", "*") not in self.faults.broken:
                self._hypothesis(name, hypothesis)
        self._triage()
        self._confidence()
        self._not_yet()

    def attempt(self, path: KeyPath, make: Callable[[], T]) -> T | None:
        """Bind one formula; file what is wrong with it at its place in the file and return None."""
        try:
            return make()
        except FormulaError as error:
            self.faults.add(path, error.found, error.expected, error.hint, offset=error.position)
        except Broken:
            pass
        return None

    # --- sections ---

    def _criterion(
        self, path: KeyPath, text: str, hypotheses: dict[str, tuple[str, ...]], where: str, *, states: bool = False,
        keep: tuple[str, ...] = (),
    ) -> Criterion | None:  # fmt: skip
        place = Place(text, self.faults.document.line(path), hypotheses, states, keep, where)
        return self.attempt(path, lambda: self.criteria.bind(parse_criterion(text), place))

    def _clause(
        self, out: list[Clause], path: KeyPath, name: str, text: str, where: str, targets: tuple[str, ...] = ()
    ) -> None:
        inside = (*path, "if") if (*path, "if") in self.faults.document.spots else path
        criterion = self._criterion(inside, text, {}, where)
        if criterion is not None:
            line = self.faults.document.line(path)
            out.append(Clause(name=name, criterion=criterion, text=text, line=line, targets=targets))

    def _targets(self, path: KeyPath, targets: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
        broken = {name for section, name in self.faults.broken if section in ("hypotheses", "estimands")}
        for name in targets:
            if name not in known and name not in broken:
                self.faults.unknown(path, "hypothesis or estimand", name, known)
        return targets

    def _hypothesis(self, name: str, spec: model.Hypothesis) -> None:
        path: KeyPath = ("hypotheses", name)
        clauses: list[Clause] = []
        for clause, text in spec.all.items():
            self._clause(clauses, (*path, "all", clause), clause, text, "in a clause")
        others = {other: clauses for other, clauses in self._clauses.items() if other != name}
        after = self._criterion((*path, "after"), spec.after, others, "in 'after'") if spec.after else None
        if spec.correct:
            self._correction(path, spec)
        self.hypotheses.append(
            Hypothesis(
                name=name,
                claim=spec.claim,
                role=spec.role,
                clauses=tuple(clauses),
                after=after,
                correct=spec.correct,
                expect=spec.expect,
                expect_values=self._expected(path, spec.expect),
                line=self.faults.document.line(path),
            )
        )

    def _correction(self, path: KeyPath, spec: model.Hypothesis) -> None:
        match = _CORRECT.fullmatch(spec.correct)
        if match is None:
            self.faults.add((*path, "correct"), f"found '{spec.correct}'", "holm over CLAUSE or bh over CLAUSE",
                            value=True)  # fmt: skip
        elif match[2] not in spec.all:
            self.faults.unknown((*path, "correct"), "clause", match[2], spec.all)

    def _expected(self, path: KeyPath, expect: dict[str, str]) -> dict[str, str]:
        values = {}
        for name, text in expect.items():
            here = (*path, "expect", name)
            if name not in self.prereg.estimands:
                if not self.faults.is_broken("estimands", name):
                    self.faults.unknown(here, "estimand", name, self.prereg.estimands)
                continue
            value = self.attempt(here, lambda name=name, text=text: self._quantity(name, text))  # type: ignore[misc]
            if value is not None:
                values[name] = value
        return values

    def _quantity(self, estimand: str, text: str) -> str:
        """Return an expected value as an exact fraction in the unit of its estimand."""
        arg = parse_estimand(text)
        given, of = self.values.value(arg.of, (), {}), self.values.estimand(estimand)
        if arg.by or not isinstance(given.tree, Num):
            raise FormulaError(f"found '{text}'", "a number, with its unit")
        given = fitted(given, of.unit, arg.of)
        if not given.bare and of.unit not in ("any", given.unit):
            raise FormulaError(f"a value in {given.unit}", f"one in {of.unit}, as '{estimand}'")
        if not of.low <= given.low <= of.high:
            raise FormulaError(f"found '{text}'", f"a value in {interval_of(of)}, as '{estimand}'")
        return str(given.tree.value) if isinstance(given.tree, Num) else ""

    def _choice(self, name: str, spec: model.Choose) -> None:
        path: KeyPath = ("choose", name)
        if spec.of not in self.names.dims:
            if not self.faults.is_broken("dims", spec.of):
                self.faults.unknown((*path, "of"), "dim", spec.of, self.names.dims)
            return
        goal = "maximise" if spec.maximise else "minimise"
        text = spec.maximise or spec.minimise
        value = self.attempt((*path, goal), lambda: self.values.kept(
            _adding(parse_estimand(text), spec.of), (), {}))  # fmt: skip
        among = None
        if spec.among:
            among = self._criterion((*path, "among"), spec.among, {}, "in a choice", keep=(spec.of,))
        if value is not None:
            self.choices.append(
                Choice(
                    name=name,
                    of=spec.of,
                    among=among,
                    ties=spec.ties,
                    line=self.faults.document.line(path),
                    maximise=value.tree if spec.maximise else None,
                    minimise=value.tree if spec.minimise else None,
                )
            )

    def _triage(self) -> None:
        rows = self.prereg.triage
        for index, row in enumerate(rows):
            path: KeyPath = ("triage", index)
            last = index == len(rows) - 1
            cut = ("triage", "*") in self.faults.broken
            criterion = None
            if row.criterion == OTHERWISE and not last and not cut:
                self.faults.add(path, "'otherwise' before the last row", "at the end")
            elif row.criterion != OTHERWISE:
                if last and not cut:
                    self.faults.add(path, "the last row is not 'otherwise'", "- otherwise: reads -> next")
                criterion = self._key_criterion(path, row.criterion)
            line = self.faults.document.line(path)
            self.triage.append(TriageRow(criterion=criterion, text=row.criterion, reads=row.reads, next=row.next,
                                         line=line))  # fmt: skip

    def _key_criterion(self, path: KeyPath, text: str) -> Criterion | None:
        """Bind a criterion that stands as a key: positions count from the key, not from the value."""
        key = self.faults.document.where((*path, text))
        place = Place(text, key.line, self._clauses, states=True, where="in triage")
        try:
            return self.criteria.bind(parse_criterion(text), place)
        except FormulaError as error:
            where = Where(key.file, key.line, key.column + error.position, dotted(path))
            self.faults.problems.append(Problem(where, error.found, error.expected, error.hint))
        except Broken:
            pass
        return None

    def _confidence(self) -> None:
        claims = list(self.prereg.confidence.items())
        for index, (word, text) in enumerate(claims):
            path: KeyPath = ("confidence", word)
            criterion = None
            if text != OTHERWISE:
                criterion = self._criterion(path, text, self._clauses, "in confidence", states=True)
            elif index < len(claims) - 1:
                self.faults.add(path, "'otherwise' before the last claim", "at the end", value=True)
            line = self.faults.document.line(path)
            self.confidence.append(ConfidenceClaim(word=word, criterion=criterion, text=text, line=line))

    def _not_yet(self) -> None:
        """List what is understood and cannot be done yet, so that nothing of it is passed over in silence."""
        if self.prereg.looks is not None:
            self.missing.append((("looks",), "looks"))
        if self.prereg.choose:
            self.missing.append((("choose",), "choose"))
        self.missing += [(("estimands",), what) for what in self.names.unsupported]

    # --- results ---

    def expressions(self) -> tuple[Expression, ...]:
        """Return everything to estimate: named estimands in order, then inline formulas, each tree once."""
        found: dict[str, Expression] = {}
        levels: dict[str, dict[str, None]] = {}
        thresholds: dict[str, dict[str, None]] = {}
        for name, text in self.prereg.estimands.items():
            value = self.values.bound[name]
            if any(refs(value.tree)):
                found.setdefault(f"{expression_id(value.tree)} {name}", Expression(
                    name=name, text=text, unit=_unit(value.unit), axes=value.axes, tree=value.tree))  # fmt: skip
        by_tree = {key.partition(" ")[0] for key in found}
        for want in self.criteria.wanted:
            key = expression_id(want.value.tree)
            if want.level:
                levels.setdefault(key, {})[want.level] = None
            if want.threshold:
                thresholds.setdefault(key, {})[want.threshold] = None
            if key not in by_tree:
                by_tree.add(key)
                found[key] = Expression(name=want.text, text=want.text, unit=_unit(want.value.unit),
                                        axes=want.value.axes, tree=want.value.tree, named=False)  # fmt: skip
        wanted = [(key.partition(" ")[0], one) for key, one in found.items()]
        return tuple(
            one.model_copy(update={"levels": tuple(levels.get(key, ())), "thresholds": tuple(thresholds.get(key, ()))})
            for key, one in wanted
        )

    def retrospective(self) -> bool:
        """Say whether every number that decides comes from recorded data."""
        clauses = [clause for one in self.hypotheses for clause in one.clauses] + self.gates + self.kills
        read = {ref.measure for clause in clauses for tree in trees_of(clause.criterion) for ref in refs(tree)}
        families = {self.names.measures[name].family for name in read}
        return families == {"recorded"}


def _unit(unit: str) -> str:
    return "1" if unit == "any" else unit


def _adding(arg: syntax.Arg, dim: str) -> syntax.Arg:
    """Keep the dim of a choice, which its rule need not say."""
    return arg if dim in arg.by else syntax.Arg(arg.of, (*arg.by, dim), start=arg.start, end=arg.end)
