"""``prereg seal`` and ``prereg amend``: write down what is registered, or what was changed and why.

A seal is refused while anything is PENDING, while something that decides is not pinned, or while the checker finds an
error that the registration does not accept. Nothing is ever rewritten: a change of meaning becomes an amendment, and
one that was made when results could be known says so.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import harness
from harness.check.run import check, problem, refused
from harness.compile.changes import changes
from harness.compile.registered import Registered, registered, registered_document
from harness.contracts.bound import Bound, BoundMeasure
from harness.core.errors import PreregError, Problem, Where
from harness.core.ident import digest
from harness.core.store import Store
from harness.plan.engine import engines
from harness.plan.plan import make_plan, measurement_name
from harness.spec.load import KeyPath, read_text
from harness.spec.seal import Change, Entry, Measured, Seal, SealedFile, Stamp, read_seal, seal_path, write_seal
from harness.spec.seal_files import find, sealed_files
from harness.spec.seal_git import git_state, was_committed

PENDING = "PENDING"
_PIN = "PIN"
_SHORTEST_REASON = 3


@dataclass(frozen=True)
class Place:
    """Where things lie: the store, the folder of reports, and that of recorded data.

    ``other_stores`` and ``other_results`` are places where a run without today's options would have put things.
    """

    store: Store
    results: Path
    data: Path | None = None
    other_stores: tuple[Store, ...] = ()
    other_results: tuple[Path, ...] = ()

    def reported(self, name: str) -> bool:
        """Say whether there is a report of a prereg."""
        return any((folder / name / "results.json").is_file() for folder in (self.results, *self.other_results))


def seal_file(path: Path, place: Place, *, tsa: str = "") -> Seal:
    """Seal a prereg and return what was written. Kinds must have been declared.

    Raises:
        PreregError: everything that stands in the way; nothing was written then.
    """
    target = seal_path(path)
    if target.exists():
        hint = f"write down what changed with: prereg amend {path} --because '…'"
        raise PreregError(Problem(Where(str(path)), f"'{target.name}' is there already", hint=hint))
    gone = was_committed(target)
    if gone:
        hint = f"restore it with: git checkout {gone} -- {target}, and amend it"
        raise PreregError(Problem(Where(str(path)), f"its seal was removed (it is in commit {gone})", hint=hint))
    found = registered(path, data_root=place.data)
    _sealable(found, place.store)
    entry = _entry(found, place, stamp=tsa).sealed()
    return _written(Seal(target, found.bound.id, (entry,), entry.hash), tsa)


def amend_file(path: Path, because: str, place: Place, *, tsa: str = "") -> Seal:
    """Append what changed since the last entry, with the reason, and return what was written.

    Raises:
        PreregError: there is no seal, it does not hold, nothing changed, or something stands in the way of sealing.
    """
    target, where = seal_path(path), Where(str(path))
    if not target.exists():
        raise PreregError(Problem(where, "it is not sealed", hint=f"run: prereg seal {path}"))
    reason = because.strip()
    if len(reason) < _SHORTEST_REASON:
        said = f"the reason '{reason}' is too short" if reason else "an amendment without a reason"
        expected = f"at least {_SHORTEST_REASON} characters: --because 'why this was changed'"
        raise PreregError(Problem(where, said, expected))
    seal = read_seal(target)
    faults = list(seal.faults())
    if faults:
        hint = "restore the seal from version control; what is amended must hold"
        raise PreregError([Problem(Where(str(target)), fault, hint=hint) for fault in faults])
    found = registered(path, data_root=place.data)
    differences = changes(seal.last, found, place.data)
    if not differences:
        raise PreregError(Problem(where, "nothing has changed in meaning since the last entry, so nothing to amend"))
    if found.bound.id != seal.id:
        raise PreregError(Problem(where, f"the seal is that of '{seal.id}'", "one id", "a new id is a new prereg"))
    _sealable(found, place.store)
    entry = _entry(found, place, stamp=tsa, before=seal.entries, because=reason, differences=differences)
    entry = entry.sealed()
    return _written(replace(seal, entries=(*seal.entries, entry), head=entry.hash), tsa)


def _written(seal: Seal, tsa: str) -> Seal:
    """Have the last entry stamped where asked, and write the seal."""
    if tsa:
        from harness.spec.anchor import request_stamp

        reply = base64.b64encode(request_stamp(seal.head, tsa)).decode()
        seal = replace(seal, stamps={**seal.stamps, seal.head: Stamp(tsa, reply)})
    write_seal(seal)
    return seal


def _entry(
    found: Registered, place: Place, *, stamp: str, before: tuple[Entry, ...] = (), because: str = "",
    differences: tuple[Change, ...] = (),
) -> Entry:  # fmt: skip
    document, now = found.document, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    path = document.folder / Path(document.file).name
    files = sealed_files(document.tree, document.folder, place.data)
    git = git_state(document.folder, [path, *_here(files, document.folder, place.data)])
    return Entry(
        kind="amendment" if before else "seal",
        previous=before[-1].hash if before else "",
        when=now,
        author=git.author,
        tool=harness.__version__,
        commit=git.commit,
        clean=git.clean,
        name=path.name,
        source=document.text,
        source_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        meaning=found.meaning,
        meaning_sha256=digest(found.meaning),
        files=files,
        measured=tuple(_measured([found.bound, *_earlier(before, document.folder, place.data)], place)),
        reported=place.reported(found.bound.id),
        because=because,
        changes=differences,
        stamp=stamp,
    )


def _here(files: tuple[SealedFile, ...], folder: Path, data: Path | None) -> Iterator[Path]:
    for file in files:
        path = find(file, folder, data)
        if path is not None:
            yield path


def measured_of(measure: BoundMeasure, at: Any) -> Any:
    """Say what a table was measured on: an ``arm``, the ``base`` model before any training, or ``recorded`` data."""
    if measure.family == "recorded":
        return "recorded"
    return "arm" if measure.stage.get(at.get("arm", ""), 0) else "base"


def _earlier(entries: tuple[Entry, ...], folder: Path, data: Path | None) -> Iterator[Bound]:
    """Yield what was registered before: a change may give every measurement another key, and none of them is unseen.

    One whose files are gone, or whose kinds nobody declares any more, names no keys; what its entry lists stays known.
    """
    for entry in entries:
        with contextlib.suppress(PreregError):
            yield registered_document(read_text(entry.source, file=entry.name, folder=folder), data).bound


def _measured(registrations: Iterable[Bound], place: Place) -> Iterator[Measured]:
    """Yield what is stored of registrations, the present one first, whatever engine made it."""
    seen: set[str] = set()
    stores = (place.store, *place.other_stores)
    for bound, engine, fast in product(registrations, engines("cuda"), (False, True)):
        plan = make_plan(bound, device="cuda", engine=engine, fast=fast)
        for measure in bound.measures:
            for key, at in plan.tables[measure.name]:
                store = next((store for store in stores if store.has(key)), None)
                if store is not None and key not in seen:
                    seen.add(key)
                    yield Measured(measurement_name(measure, at), key, made_when(store, key), measured_of(measure, at))


def made_when(store: Store, key: str) -> str:
    """Return when an artifact was made, as its manifest says.

    Raises:
        DamagedError: the manifest is not what was written; the artifact is in quarantine now.
    """
    return str(store.peek(key).made.get("when", ""))


def _sealable(found: Registered, store: Store) -> None:
    """Refuse what is not pinned and what the checker does not let run, all at once.

    The checker is asked as before a run: with proofs about the rule and the stored simulation.
    """
    document, bound = found.document, found.bound
    problems = [
        Problem(document.where(path, value=True), "PENDING cannot be sealed", "what it stands for",
                "write the commit hash or the sha256")
        for path in _pending(document.tree)
    ]  # fmt: skip
    findings = check(bound, deep=True, store=store.root)
    files = {one.name: one.file for one in bound.measures if one.file}
    later = [[name] for name, file in files.items() if not file.sha256 and not Path(file.path).is_file()]
    stops = refused(findings)
    for finding in findings:
        pin = finding.code.startswith(_PIN) and finding.severity != "note" and not finding.allowed
        pin = pin and finding.at.split(".")[1:2] not in later  # nobody knows the digest of what is yet to be collected
        told = any(each.where.key.startswith(f"{finding.at}.") for each in problems)
        if finding in stops or (pin and not told):
            problems.append(problem(finding, document.file))
    if problems:
        raise PreregError(sorted(problems, key=lambda each: each.where.line))


def _pending(node: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    if isinstance(node, dict):
        for key, value in node.items():
            if (*path, key) != ("rehearsal",):
                yield from _pending(value, (*path, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _pending(value, (*path, index))
    elif node == PENDING:
        yield path
