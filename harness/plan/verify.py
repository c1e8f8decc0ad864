"""``prereg verify``: does a registration still mean what was sealed, and does its seal hold?

The common case needs no parser: the YAML and every file that it names have the bytes that were sealed, by the same
version of this tool. Otherwise the file is bound and its meaning compared, so comments and formatting are free.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import harness
from harness.core.errors import PreregError, Problem, Where
from harness.spec.seal import UNDECIDING, Seal, called, read_seal, seal_path
from harness.spec.seal_files import replaced, same
from harness.spec.seal_git import history, was_committed

if TYPE_CHECKING:
    from harness.compile.registered import Registered

_CLOCKS_DIFFER = 3600.0
"""Seconds by which a time stamp may differ from an entry's own time before one of them is wrong."""
_NOT_CHECKED = "not checked: its signature (give the authority's certificate with --tsa-cert)"


@dataclass(frozen=True)
class Verified:
    """What was found. It holds when there are no ``faults``; ``notes`` are facts worth telling."""

    path: Path
    faults: tuple[str, ...]
    notes: tuple[str, ...]
    seal: Seal | None = None

    @property
    def holds(self) -> bool:
        """Whether nothing was changed since the last entry."""
        return not self.faults


def verify_file(
    path: Path,
    *,
    data: Path | None = None,
    certificate: Path | None = None,
    full: bool = False,
    declare: Callable[[], None] | None = None,
) -> Verified:
    """Verify one prereg against its seal.

    Args:
        path: the YAML.
        data: the folder of recorded data.
        certificate: certificates (PEM) of the time-stamping authority, to verify its signature.
        full: bind the file even when its bytes are the sealed ones, which also finds a seal that was written anew
            around another meaning.
        declare: declares the kinds; called only when the file has to be bound.

    Raises:
        PreregError: the prereg or its seal cannot be read, or it was never sealed.
    """
    if not path.is_file():
        raise PreregError(Problem(Where(str(path)), "there is no such file"))
    target = seal_path(path)
    if not target.exists():
        gone = was_committed(target)
        if not gone:
            raise PreregError(Problem(Where(str(path)), "it is not sealed", hint=f"run: prereg seal {path}"))
        return Verified(path, (f"the seal '{target.name}' was deleted; it is in commit {gone}",), ())
    seal = read_seal(target)
    notes: list[str] = []
    faults = [*seal.faults(), *_contents(path, seal, data, notes, declare, full)]
    for number, entry in enumerate(seal.entries):
        known = ", ".join(seal.known_before(number))
        if number and known:
            notes.append(f"{called(number, entry)}: amended after measurements existed: {known}")
    faults += _stamps(seal, certificate, notes)
    past = history(seal, path.name)
    return Verified(path, tuple(dict.fromkeys([*faults, *past.faults])), (*notes, *past.notes), seal)


def _contents(
    path: Path, seal: Seal, data: Path | None, notes: list[str], declare: Callable[[], None] | None, full: bool
) -> list[str]:
    """Compare the YAML and its files with the last entry."""
    last, folder = seal.last, path.parent
    equal = hashlib.sha256(path.read_bytes()).hexdigest() == last.source_sha256
    if not full and equal and last.tool == harness.__version__ and same(last, folder, data):
        return []
    from harness.compile.registered import registered

    if declare:
        declare()
    files = list(replaced(last, folder, data))
    try:
        now = registered(path, data_root=data)
    except PreregError as error:
        return [*files, *(f"it does not bind any more: {problem}" for problem in error.problems)]
    differences = _differences(seal, now, data)
    found = [text for key, text in differences if not key.startswith(UNDECIDING)]
    notes += [f"no deviation: {text}" for key, text in differences if key.startswith(UNDECIDING)]
    if found and last.tool != harness.__version__:
        notes.append(f"sealed by version {last.tool} of this tool, and this is {harness.__version__}")
    if not differences and not equal:
        notes.append("the text differs from the sealed one, the meaning does not")
    return [*found, *(fault for fault in files if not any(fault.split(":")[0] in one for one in found))]


def _differences(seal: Seal, now: Registered, data: Path | None) -> list[tuple[str, str]]:
    """Say, by dotted key, how the meaning of a registration differs from what is sealed."""
    last = seal.last
    if now.bound.meaning == last.meaning_sha256:
        return []
    if now.bound.id != seal.id:
        return [("id", f"the seal is that of '{seal.id}', and this prereg is '{now.bound.id}'")]
    from harness.compile.changes import changes

    return [(change.key, f"changed without an amendment: {change}") for change in changes(last, now, data)]


def _stamps(seal: Seal, certificate: Path | None, notes: list[str]) -> list[str]:
    """Check the time stamps of every entry that promises one."""
    found = []
    for number, entry in enumerate(seal.entries):
        stamp = seal.stamps.get(entry.hash)
        if stamp is None:
            if entry.stamp:
                found.append(f"{called(number, entry)}: its time stamp from {entry.stamp} was removed")
            continue
        from harness.spec.anchor import signature_fault, stamped_at

        try:
            reply = base64.b64decode(stamp.reply, validate=True)
        except ValueError:
            reply = b""
        at = stamped_at(reply, entry.hash)
        if at is None:
            found.append(f"{called(number, entry)}: its time stamp is of something else")
            continue
        written = datetime.strptime(entry.when, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        if abs((at - written).total_seconds()) > _CLOCKS_DIFFER:
            found.append(f"{called(number, entry)}: its time is not that of its time stamp ({at:%Y-%m-%dT%H:%M:%SZ})")
        fault = signature_fault(reply, entry.hash, certificate) if certificate else ""
        if fault:
            found.append(f"{called(number, entry)}: its time stamp is not one of this authority: {fault}")
        checked = "" if certificate else f"; {_NOT_CHECKED}"
        notes.append(f"{called(number, entry)}: time stamp of {at:%Y-%m-%dT%H:%M:%SZ} from {stamp.url}{checked}")
    return found
