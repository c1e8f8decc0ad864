"""Standing: what a verdict is worth, from the registration, its seal, and when the measurements were made.

confirmatory: sealed before its first measurement, and it still means what was sealed
amended: changed since, and every change is on record
exploratory: not sealed, changed without a record, or using measurements that are older than the seal
retrospective: decided on recorded data that existed when it was sealed (or nobody can say when they came)

The verdict itself depends on the registration and the data alone, and so does the stored decision: sealing, amending
or committing never makes a job run again. Standing is worked out whenever a decision is read, and lowers confidence.

Recorded data count as collected after the seal when their table was absent and no digest of it was declared: the seal
lists it as not there. That is as much as a file can show, and the report says so. Of an arm, what was measured before
any training (the base model) may have been read before sealing. When a measurement was made is read from its
manifest: a clock and a file of whoever ran it, so this finds what was reused, not what was forged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.compile.registered import registered
from harness.contracts.bound import Bound
from harness.contracts.records import Confidence, ConfidenceWord, Decision, Deviation, Standing, StandingReport
from harness.core.errors import PreregError
from harness.core.store import Store
from harness.plan.plan import Plan, measurement_name
from harness.plan.register import made_when, measured_of
from harness.spec.seal import UNDECIDING, Change, Seal, called, read_seal, seal_path
from harness.spec.seal_files import replaced
from harness.spec.seal_git import history, was_committed

_ORDER: tuple[ConfidenceWord, ...] = ("LOW", "MODERATE", "HIGH")
_RETROSPECTIVE = "retrospective"


def standing_of(path: Path, bound: Bound, store: Store, plan: Plan, data: Path | None = None) -> StandingReport:
    """Return the standing of a prereg with the seal that lies beside its file, if any."""
    target = seal_path(path)
    if not target.exists():
        gone = was_committed(target)
        return _unsealed(bound, f"Its seal was deleted (it is in commit {gone})." if gone else "It was never sealed.")
    try:
        seal = read_seal(target)
    except PreregError as error:
        return _unsealed(bound, f"Its seal cannot be read: {error}.")
    return standing(bound, seal, store, plan, path=path, data=data)


def standing(
    bound: Bound, seal: Seal, store: Store, plan: Plan, *, path: Path, data: Path | None = None
) -> StandingReport:
    """Return what a registration is worth under its seal.

    Args:
        bound: the registration as it is run.
        seal: what was sealed.
        store: when its measurements were made.
        plan: which measurements it uses.
        path: its file, for the words of what was changed.
        data: the folder of recorded tables.
    """
    evidence = _Evidence.gather(bound, seal, store, plan, path, data)
    word = evidence.word
    reasons = tuple(evidence.reasons())
    deviations = (*evidence.amended, *evidence.unrecorded)
    return StandingReport(
        standing=word, reasons=reasons, deviations=deviations, caps=tuple(evidence.caps()), sealed=seal.first.when,
        head=seal.last.hash, collected=bound.retrospective and word != "retrospective",
    )  # fmt: skip


def apply(decision: Decision, report: StandingReport) -> Decision:
    """Return a stored decision with its standing, and confidence lowered accordingly; a rehearsal has none."""
    if decision.rehearsal:
        return decision
    before = decision.confidence
    caps = [cap for cap in before.caps if not (report.collected and cap[1].startswith(_RETROSPECTIVE))]
    caps = [*report.caps, *caps]
    final = min([before.claimed or "HIGH", *(word for word, _ in caps)], key=_ORDER.index)
    confidence = Confidence(claimed=before.claimed, final=final, caps=tuple(caps))
    return decision.model_copy(update={"standing": report.standing, "confidence": confidence, "basis": report})


@dataclass(frozen=True)
class _Evidence:
    """What is known about a sealed registration."""

    seal: Seal
    retrospective: bool
    existed: bool
    faults: tuple[str, ...]
    early: tuple[str, ...]
    amended: tuple[Deviation, ...]
    unrecorded: tuple[Deviation, ...]
    later: tuple[str, ...]

    @classmethod
    def gather(cls, bound: Bound, seal: Seal, store: Store, plan: Plan, path: Path, data: Path | None) -> _Evidence:
        recorded = {measure.name for measure in bound.measures if measure.family == "recorded"}
        later = seal.collected_later()
        faults = [*seal.faults(), *history(seal, path.name).faults, *replaced(seal.last, path.parent, data)]
        return cls(
            seal=seal,
            retrospective=bound.retrospective,
            existed=bound.retrospective and not recorded <= set(later),
            faults=tuple(dict.fromkeys(faults)),
            early=tuple(dict.fromkeys(_early(bound, seal, store, plan))),
            amended=tuple(_amended(seal)),
            unrecorded=tuple(_unrecorded(bound, seal, path, data)),
            later=tuple(sorted(recorded & set(later))),
        )

    @property
    def word(self) -> Standing:
        if self.existed or (self.faults and self.retrospective):
            return "retrospective"
        if self.faults or self.early or self.unrecorded:
            return "exploratory"
        return "amended" if self.amended else "confirmatory"

    def reasons(self) -> Iterator[str]:
        first = self.seal.first
        if not (self.faults or self.early or self.unrecorded or self.existed):
            unused = ", of which nothing is used here" if self.seal.since(0).startswith("after") else ""
            yield f"Sealed at {first.when}, {self.seal.since(0)}{unused}."
        if self.existed:
            yield f"The recorded data were there when it was sealed ({first.when})."
        elif self.later:
            names = ", ".join(self.later)
            yield f"The data of {names} were not there when it was sealed, as far as a file can show."
        yield from (f"The seal does not hold: {fault}." for fault in self.faults)
        if self.early:
            yield f"Measured before it was sealed: {', '.join(self.early)}."
        if self.unrecorded:
            yield f"Changed since the last entry of the seal without an amendment: {_keys(self.unrecorded)}."
        for number, entry in enumerate(self.seal.entries):
            if number and _deciding(entry.changes):
                yield f"Amended at {entry.when} {self.seal.since(number)}: {entry.because.rstrip('.')}."

    def caps(self) -> Iterator[tuple[ConfidenceWord, str]]:
        for fault in self.faults:
            yield "LOW", f"the seal does not hold: {fault}"
        if self.early:
            yield "LOW", f"measured before it was sealed: {', '.join(self.early)}"
        if self.unrecorded:
            yield "LOW", f"changed without an amendment: {_keys(self.unrecorded)}"
        after = [each for each in self.amended if each.known]
        if after:
            yield "LOW", f"amended after measurements existed: {_keys(after)}"


def _unsealed(bound: Bound, why: str) -> StandingReport:
    if bound.retrospective:
        return StandingReport(standing="retrospective", reasons=(why, "The data were there before any seal."))
    cap: tuple[ConfidenceWord, str] = ("LOW", f"exploratory: {why[0].lower()}{why[1:-1]}")
    return StandingReport(standing="exploratory", reasons=(why,), caps=(cap,))


def _early(bound: Bound, seal: Seal, store: Store, plan: Plan) -> Iterator[str]:
    """Names of measurements of trained arms that this run uses and that are older than the seal."""
    listed = {each.key for each in seal.first.measured}
    for measure in bound.measures:
        for key, at in plan.tables[measure.name]:
            if measured_of(measure, at) != "arm" or not store.has(key):
                continue
            if key in listed or made_when(store, key) < seal.first.when:
                yield measurement_name(measure, at)


def _amended(seal: Seal) -> Iterator[Deviation]:
    for number, entry in enumerate(seal.entries):
        for change in _deciding(entry.changes) if number else ():
            yield Deviation(
                key=change.key, registered=change.old, done=change.new, because=entry.because or called(number, entry),
                when=entry.when, known=seal.known_before(number),
            )  # fmt: skip


def _unrecorded(bound: Bound, seal: Seal, path: Path, data: Path | None) -> Iterator[Deviation]:
    if bound.meaning == seal.last.meaning_sha256:
        return
    if bound.id != seal.id:
        yield Deviation(key="id", registered=seal.id, done=bound.id)
        return
    from harness.compile.changes import changes

    try:
        found = changes(seal.last, registered(path, data_root=data), data)
    except PreregError:  # the file was edited while it ran, and can no longer be read
        found = ()
    found = found or (Change("meaning", seal.last.meaning_sha256, bound.meaning),)
    for change in _deciding(found):
        yield Deviation(key=change.key, registered=change.old, done=change.new)


def _deciding(changes: tuple[Change, ...]) -> list[Change]:
    return [change for change in changes if not change.key.startswith(UNDECIDING)]


def _keys(deviations: tuple[Deviation, ...] | list[Deviation]) -> str:
    return ", ".join(dict.fromkeys(each.key for each in deviations))
