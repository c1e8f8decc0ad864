"""The rehearsal's replay: made-up experiments that bring about each verdict and each triage row.

Every branch of the decision has then run, on tables of the registered shape and through the registered inference,
before a GPU does. A target that no tried setting reaches is reported as not reached; the search proves nothing.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from harness.contracts.bound import Bound
from harness.contracts.ports import Progress
from harness.contracts.records import Decision, Estimate, Fact, Record
from harness.contracts.trees import All, Any_, Criterion, Expression, Hyp, Not, Num, Ref, State, expression_id
from harness.contracts.walks import leaves, nodes, values
from harness.core.errors import PreregError
from harness.core.ident import key_digest, seed_for
from harness.decide.draws import Kept
from harness.decide.estimate import estimate_in
from harness.decide.tables import Dense, World, load
from harness.decide.verdict import decide
from harness.decide.witness import Knob, Witness, knobs, reads
from harness.measure.table import read_table

RATES = (0.02, 0.1, 0.3, 0.6, 0.97)
COSINES = (0.3, 0.5, 0.7, 0.86, 0.95)
RESTARTS = 4
SWEEPS = 3


class Case(Record):
    """One made-up experiment: what it aimed at, the setting that was planted, and what the rule returned."""

    name: str
    reached: bool
    verdict: str
    triage: str
    setting: dict[str, float]
    note: str = ""


class Replay(Record):
    """All cases of a rehearsal, and how many settings were judged to find them."""

    cases: tuple[Case, ...]
    judged: int


@dataclass(frozen=True)
class Target:
    """Something to bring about: ``hit`` tells whether a decision is it, ``near`` how close one comes."""

    name: str
    hit: Callable[[Decision], bool]
    near: Callable[[Decision], float]


def replay(bound: Bound, progress: Progress) -> Replay:
    """Search a setting for every verdict and triage row of a registration and judge it.

    Deterministic: every draw derives from the prereg's id.
    """
    with tempfile.TemporaryDirectory() as folder:
        bench = _Bench(bound, Path(folder))
        targets = list(_targets(bound))
        cases = []
        for number, target in enumerate(targets):
            progress(f"replaying {target.name}", number / len(targets))
            cases.append(bench.search(target))
        cases += bench.truncated()
        return Replay(cases=tuple(cases), judged=bench.judged)


class _Bench:
    """Judges settings; an expression is estimated once per combination of the knobs that it reads."""

    def __init__(self, bound: Bound, folder: Path) -> None:
        self.bound = bound
        self.measures = {measure.name: measure for measure in bound.measures}
        self.expressions = [e for e in bound.expressions if not self._unread(e)]
        self.refs = {id(e): [node for node in nodes(e.tree) if isinstance(node, Ref)] for e in self.expressions}
        every = [ref for found in self.refs.values() for ref in found]
        self.knobs = [knob for measure in bound.measures for knob in knobs(measure, every)]
        self.options = {knob: self._options(knob) for knob in self.knobs}
        self.moves = list(self._moves())
        self.estimates: dict[str, Estimate] = {}
        self.witnesses = {m.name: Witness(m, f"{bound.id}/{m.name}", folder) for m in bound.measures}
        self.ids = {id(e): expression_id(e.tree) for e in self.expressions}
        self.read = cache(read_table)
        self.loaded: dict[tuple[Path, ...], Dense] = {}
        self.drawn = Kept()
        self.decided: dict[tuple[str, ...], tuple[Decision | None, str]] = {}
        """What the rule returns, by the keys of the estimates that it is given."""
        self.judged = 0
        self.planted: dict[Knob, float] = {}
        """The setting of the planted effect: the first one found that is supported."""

    def search(self, target: Target) -> Case:
        """Climb towards a target from a few starting points; return the nearest setting found."""
        best: tuple[float, dict[Knob, float], Decision | None, str] = (float("-inf"), {}, None, "")
        for start in range(RESTARTS):
            rng = np.random.default_rng(seed_for(self.bound.id, f"replay/{target.name}", start))
            setting = {knob: float(rng.choice(self.options[knob])) for knob in self.knobs}
            here = float("-inf")
            for _, move in itertools.product(range(SWEEPS), self.moves):
                tried = {**setting, **move}
                decision, note = self.judge(tried)
                score = target.near(decision) if decision else float("-inf")
                if decision is not None and decision.verdict == "supported" and not self.planted:
                    self.planted = dict(tried)
                if decision is not None and target.hit(decision):
                    return _case(target, tried, decision, True, note)
                if score >= here:
                    here, setting = score, tried
                if score > best[0]:
                    best = (score, tried, decision, note)
        return _case(target, best[1], best[2], False, best[3])

    def truncated(self) -> Iterator[Case]:
        """The planted effect again, with most completions of each arm cut off by the length limit."""
        cut = {
            Knob(measure.name, "truncated", arm, ()): 0.6
            for measure in self.bound.measures
            if any(column.name == "truncated" for column in measure.columns)
            for arm in measure.levels.get("arm", ("",))
        }
        if cut and self.planted:
            kept = {k: x for k, x in self.planted.items() if k.column != "truncated"}
            decision, note = self.judge({**kept, **cut})
            target = Target("truncated cells", lambda _: True, lambda _: 0.0)
            yield _case(target, {**kept, **cut}, decision, True, note)

    def judge(self, setting: Mapping[Knob, float]) -> tuple[Decision | None, str]:
        """Decide on a setting; None and the reason when the rule contradicts itself there."""
        self.judged += 1
        keys = {self.ids[id(e)]: self._estimate(e, setting) for e in self.expressions}
        known = tuple(keys.values())
        if known not in self.decided:
            try:
                found = {name: self.estimates[key] for name, key in keys.items()}
                self.decided[known] = decide(self.bound, found), ""
            except PreregError as error:
                self.decided[known] = None, str(error)
        return self.decided[known]

    def _estimate(self, expression: Expression, setting: Mapping[Knob, float]) -> str:
        """Estimate an expression at a setting, once for all settings that look the same to it; return its key."""
        wanted = self.refs[id(expression)]
        read = {knob: level for knob, level in setting.items() if any(reads(ref, knob) for ref in wanted)}
        key = key_digest([self.ids[id(expression)], _plain(read)])
        if key not in self.estimates:
            measures = {ref.measure: self._load(ref.measure, setting, wanted) for ref in wanted}
            self.estimates[key] = estimate_in(expression, World(measures, drawn=self.drawn))
        return key

    def _load(self, name: str, setting: Mapping[Knob, float], wanted: list[Ref]) -> Dense:
        """Return the made-up tables of the arms that are read."""
        arms = {arm for ref in wanted if ref.measure == name for arm in ref.select.get("arm", ())}
        tables = self.witnesses[name].tables(setting)
        placed = [(at, path) for at, path in tables if at.get("arm", "") in arms or "arm" not in at]
        key = tuple(path for _, path in placed)
        if key not in self.loaded:
            self.loaded[key] = load(self.measures[name], placed, self.read)
        return self.loaded[key]

    def _moves(self) -> Iterator[dict[Knob, float]]:
        """All arms to one level (a minimum over arms moves only so), then one arm at a time."""
        for knob in self.knobs:
            alike = [other for other in self.knobs if other._replace(arm=knob.arm) == knob]
            if alike[0] == knob and len(alike) > 1:
                yield from (dict.fromkeys(alike, level) for level in self.options[knob])
        for knob in self.knobs:
            yield from ({knob: level} for level in self.options[knob])

    def _options(self, knob: Knob) -> tuple[float, ...]:
        column = next(c for c in self.measures[knob.measure].columns if c.name == knob.column)
        if column.form == "ratio":
            return RATES
        if column.form == "gram":
            return COSINES
        marks = sorted(set(self._thresholds(knob))) or [1.0]
        low, high = marks[0] - abs(marks[0]) / 2 - 0.5, marks[-1] + abs(marks[-1]) / 2 + 0.5
        between = [(a + b) / 2 for a, b in itertools.pairwise(marks)]
        bottom = float("-inf") if column.low is None else column.low
        top = float("inf") if column.high is None else column.high
        return tuple(dict.fromkeys(min(max(x, bottom), top) for x in (low, *between, high)))

    def _thresholds(self, knob: Knob) -> Iterator[float]:
        """Quantities that criteria compare with anything that reads the knob."""
        for criterion in _criteria(self.bound):
            for leaf in leaves(criterion):
                trees = list(values(leaf))
                if any(isinstance(n, Ref) and reads(n, knob) for tree in trees for n in nodes(tree)):
                    for tree in trees:
                        if isinstance(tree, Num):
                            top, _, bottom = tree.value.partition("/")
                            yield int(top) / int(bottom or 1)

    def _unread(self, expression: Expression) -> bool:
        """Expressions that no criterion compares decide nothing; their estimates are not needed."""
        wanted = {expression_id(tree) for c in _criteria(self.bound) for leaf in leaves(c) for tree in values(leaf)}
        return expression_id(expression.tree) not in wanted


def _plain(setting: Mapping[Knob, float]) -> list[list[object]]:
    return sorted(([*knob[:3], list(knob.group), level] for knob, level in setting.items()), key=str)


def _criteria(bound: Bound) -> Iterator[Criterion]:
    for hypothesis in bound.hypotheses:
        yield from (clause.criterion for clause in hypothesis.clauses)
    yield from (clause.criterion for clause in (*bound.gates, *bound.kills))
    yield from (row.criterion for row in bound.triage if row.criterion is not None)


def _case(target: Target, setting: Mapping[Knob, float], decision: Decision | None, reached: bool, note: str) -> Case:
    named = {
        f"{k.measure}.{k.column}" + (f"[{k.arm}]" if k.arm else "") + (f" of {len(k.group)}" if k.group else ""): level
        for k, level in setting.items()
    }
    triage = decision.triage.text if decision and decision.triage else ""
    word = decision.verdict if decision else "contradiction"
    return Case(name=target.name, reached=reached, verdict=word, triage=triage, setting=named, note=note)


def _targets(bound: Bound) -> Iterator[Target]:
    """Each verdict, each gate failing alone, and each triage row."""
    yield Target(
        "planted effect: supported", lambda d: d.verdict == "supported", lambda d: _gates(d) + _clauses(d, True)
    )
    yield Target("not supported", lambda d: d.verdict == "not supported", lambda d: _gates(d) + _clauses(d, False))
    if bound.kills:
        yield Target("killed", lambda d: d.verdict == "killed", lambda d: _gates(d) + _kills(d))
    for gate in bound.gates:
        yield Target(f"failed gate {gate.name}", *_gate_target(gate.name))
    for index, row in enumerate(bound.triage):
        yield Target(f"triage: {row.text}", *_triage_target(index, dict(_wishes(row.criterion))))


def _gate_target(name: str) -> tuple[Callable[[Decision], bool], Callable[[Decision], float]]:
    def failing(decision: Decision) -> bool:
        return all((gate.truth == "true") != (gate.name == name) for gate in decision.gates)

    def near(decision: Decision) -> float:
        return sum((gate.truth == "true") != (gate.name == name) for gate in decision.gates) + 0.0

    return failing, near


def _triage_target(
    index: int, wishes: Mapping[tuple[str, str], bool]
) -> tuple[Callable[[Decision], bool], Callable[[Decision], float]]:
    def hit(decision: Decision) -> bool:
        return decision.triage is not None and decision.triage.row == index and _gates(decision) == 0

    def near(decision: Decision) -> float:
        score = _gates(decision)
        for hypothesis in decision.hypotheses:
            for clause in hypothesis.clauses:
                wish = wishes.get((hypothesis.name, clause.name), wishes.get((hypothesis.name, "")))
                if wish is not None:
                    share = _share(clause.facts)
                    score += share if wish else 1 - share
        return score

    return hit, near


def _wishes(criterion: Criterion | None, wanted: bool = True) -> Iterator[tuple[tuple[str, str], bool]]:
    """The truths of hypotheses and clauses that would make a triage row hold (of an ``or``, its first part)."""
    match criterion:
        case Hyp():
            yield (criterion.name, criterion.clause), wanted
        case Not():
            yield from _wishes(criterion.of, not wanted)
        case All():
            for part in criterion.of:
                yield from _wishes(part, wanted)
        case Any_():
            yield from _wishes(criterion.of[0], wanted)
        case State():
            return


def _share(facts: tuple[Fact, ...]) -> float:
    """How much of some comparisons holds, in [0, 1]; one that does not counts less the further it is off."""
    return sum(_credit(fact) for fact in facts) / len(facts) if facts else 0.0


def _credit(fact: Fact) -> float:
    if fact.truth == "true":
        return 1.0
    return 0.0 if fact.shortfall is None else 0.5 / (1.0 + abs(fact.shortfall))


def _gates(decision: Decision) -> float:
    """Minus ten for each gate that does not hold, softened by how many of its comparisons do."""
    return sum(-10.0 + 5 * _share(gate.facts) for gate in decision.gates if gate.truth != "true")


def _clauses(decision: Decision, wanted: bool) -> float:
    shares = [_share(c.facts) for h in decision.hypotheses if h.role == "primary" for c in h.clauses]
    killed = sum(kill.truth == "true" for kill in decision.kills)
    return (sum(shares) if wanted else -sum(shares)) - killed


def _kills(decision: Decision) -> float:
    return max((_share(kill.facts) for kill in decision.kills), default=0.0)


__all__ = ["Case", "Replay", "replay"]
