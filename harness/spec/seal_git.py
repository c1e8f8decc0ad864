"""What version control knows about a seal: evidence that its author cannot change by editing one file.

At sealing: commit, author, and whether the prereg and its files were committed as they are. Later: every version of
the seal that was ever committed must be the beginning of the chain as it is now; the commit that an entry names must
exist, be no younger than the entry, and hold the registration that the entry says was clean. History can be
rewritten, too, but not quietly once it was pushed.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.spec.seal import Entry, Seal, called

_SLACK = 60
"""Seconds by which a commit and an entry may disagree: clocks of one machine, written in whole seconds."""


@dataclass(frozen=True)
class GitState:
    """The repository at sealing; empty outside one."""

    commit: str = ""
    clean: bool = False
    author: str = ""


@dataclass(frozen=True)
class History:
    """What the repository says: faults, and facts worth telling."""

    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def git_state(folder: Path, files: Iterable[Path]) -> GitState:
    """Return commit, author, and whether these files (those inside the repository) are committed as they are."""
    top = _git(folder, "rev-parse", "--show-toplevel")
    author = (_git(folder, "var", "GIT_AUTHOR_IDENT") or "").rpartition(">")[0]
    author = f"{author}>" if author else (_git(folder, "config", "user.name") or "").strip()
    if top is None:
        return GitState(author=author)
    root = Path(top.strip()).resolve()
    inside = [str(file.resolve()) for file in files if file.resolve().is_relative_to(root)]
    changed = _git(folder, "status", "--porcelain", "--ignored", "--", *inside)
    commit = (_git(folder, "rev-parse", "--verify", "--quiet", "HEAD") or "").strip()
    return GitState(commit, bool(commit) and changed == "", author)


def was_committed(path: Path) -> str:
    """Return the last commit that held a file which is gone now, or an empty string."""
    found = _git(path.parent, "log", "-1", "--format=%h", "--diff-filter=AM", "--", f"./{path.name}")
    return (found or "").strip()


def history(seal: Seal, name: str) -> History:
    """Compare a seal with what was committed of it, and with the commits that it names.

    Args:
        seal: the seal as it is now.
        name: the prereg's file name; it lies in the same folder.
    """
    folder = seal.path.resolve().parent
    log = _git(folder, "log", "--format=%H %ct", "--", f"./{seal.path.name}")
    if log is None:
        return History()
    versions = [line.split() for line in log.splitlines()]
    named = list(dict.fromkeys(entry.commit for entry in seal.entries if entry.commit))
    wanted = [f"{commit}:./{seal.path.name}" for commit, _ in versions]
    wanted += named + [f"{commit}:./{name}" for commit in named]
    objects = dict(zip(wanted, _objects(folder, wanted), strict=True)) if wanted else {}
    faults: list[str] = []
    for commit, _ in versions:
        faults += _earlier(seal, objects[f"{commit}:./{seal.path.name}"], commit)
    for number, entry in enumerate(seal.entries):
        if entry.commit:
            faults += _named_commit(number, entry, objects[entry.commit], objects[f"{entry.commit}:./{name}"])
    return History(tuple(dict.fromkeys(faults)), tuple(_notes(seal, versions)))


def _notes(seal: Seal, versions: Sequence[Sequence[str]]) -> Iterator[str]:
    if versions:
        commit, seconds = versions[-1]
        yield f"the seal was first committed in {commit[:10]} at {_utc(int(seconds))}"
    else:
        yield "the seal is not committed: its time is its author's word"


def _earlier(seal: Seal, committed: bytes | None, commit: str) -> Iterator[str]:
    """An earlier version is a beginning of the chain."""
    if committed is None:
        return
    try:
        hashes = [entry["hash"] for entry in json.loads(committed)["entries"]]
    except (ValueError, KeyError, TypeError):
        return
    for number, known in enumerate(hashes):
        if number >= len(seal.entries):
            yield f"entry {number} that was committed in {commit[:10]} was removed"
        elif seal.entries[number].hash != known:
            what = called(number, seal.entries[number])
            yield f"{what} is not the one that was committed in {commit[:10]}: the chain was rewritten"
            return


def _named_commit(number: int, entry: Entry, commit: bytes | None, prereg: bytes | None) -> Iterator[str]:
    what = called(number, entry)
    if commit is None:
        yield f"{what} names the commit {entry.commit[:10]}, which this repository does not have"
        return
    made = _committed_at(commit)
    if made and made > _seconds(entry.when) + _SLACK:
        yield f"{what} is back-dated: it names the commit {entry.commit[:10]}, which was made at {_utc(made)}"
    if entry.clean and (prereg is None or hashlib.sha256(prereg).hexdigest() != entry.source_sha256):
        yield f"{what} says that the registration was committed in {entry.commit[:10]}, which holds another text"


def _committed_at(commit: bytes) -> int:
    for line in commit.splitlines():
        if line.startswith(b"committer "):
            return int(line.split()[-2])
    return 0


def _seconds(when: str) -> int:
    return int(datetime.strptime(when, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp())


def _utc(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what git prints, or None where there is no git, no repository or no answer."""
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, check=False)
    except OSError:
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None


def _objects(folder: Path, names: Sequence[str]) -> list[bytes | None]:
    """Return the content of each object, None for those that do not exist, with one process."""
    asked = "".join(f"{name}\n" for name in names).encode()
    done = subprocess.run(["git", "cat-file", "--batch"], cwd=folder, input=asked, capture_output=True, check=False)
    rest: Any = done.stdout
    found: list[bytes | None] = []
    for _ in names:
        line, _, rest = rest.partition(b"\n")
        words = line.split()
        if len(words) < 3 or not words[-1].isdigit():
            found.append(None)
            continue
        size = int(words[-1])
        found.append(rest[:size])
        rest = rest[size + 1 :]
    return found
