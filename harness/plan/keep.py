"""What preregistrations need of a store.

An artifact is needed when a prereg plans it, rehearsed or for real, whatever engine made it: results that were
computed under last year's torch have other keys than today's plan, and stand behind a sealed prereg all the same.
So artifacts are compared with planned jobs by everything that decides them but the engine.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.compile.bind import load_bound
from harness.core.browse import known_path
from harness.core.errors import PreregError, Problem
from harness.core.ident import key_digest
from harness.core.manifest import MANIFEST
from harness.core.store import Store
from harness.plan.plan import make_plan
from harness.spec.seal import read_seal, seal_path


class Needed:
    """Says which artifacts of a store some preregs need. Kinds must have been declared.

    Raises:
        PreregError: a prereg or its seal cannot be read; nothing may be cleared away on a guess.
    """

    def __init__(self, store: Store, files: Sequence[Path], data: Path | None = None) -> None:
        self._store = store
        self._shapes: dict[str, str] = {}
        """Shape by key of a stored artifact; empty where it cannot be known."""
        self._keys: set[str] = set()
        self._wanted: set[str] = set()
        problems: list[Problem] = []
        for path in files:
            try:
                self._add(path, data)
            except PreregError as error:
                problems += error.problems
        if problems:
            raise PreregError(problems)

    def __call__(self, key: str) -> bool:
        """Say whether an artifact is needed. One whose manifest cannot be read is not for us to judge: it is."""
        if key in self._keys:
            return True
        raw = self._job(key)
        return raw is None or self._shape(key) in self._wanted

    def _add(self, path: Path, data: Path | None) -> None:
        for rehearsal in (False, True):
            bound = load_bound(path, rehearsal=rehearsal, data_root=data)
            jobs = make_plan(bound, device="cpu" if rehearsal else "cuda").jobs
            self._keys.update(jobs)
            shapes: dict[str, str] = {}
            for key, job in jobs.items():  # inputs stand before what needs them
                shapes[key] = shape_of(job.model_dump(mode="json"), shapes)
            self._wanted.update(shapes.values())
        if seal_path(path).exists():
            measured = {each.key for entry in read_seal(seal_path(path)).entries for each in entry.measured}
            self._keys.update(self._closure(measured))

    def _closure(self, keys: Iterable[str]) -> Iterator[str]:
        stack, seen = list(keys), set[str]()
        while stack:
            key = stack.pop()
            if key not in seen:
                seen.add(key)
                yield key
                stack.extend(((self._job(key) or {}).get("inputs") or {}).values())

    def _shape(self, key: str) -> str:
        """Return the shape of a stored artifact, or nothing when part of its past is not on record."""
        stack = [key]
        while stack:
            at = stack[-1]
            job = self._job(at) if at not in self._shapes else None
            if job is None:
                self._shapes.setdefault(at, "")
                stack.pop()
                continue
            open_ = [needed for needed in (job.get("inputs") or {}).values() if needed not in self._shapes]
            if open_:
                stack += open_
                continue
            known = all(self._shapes[needed] for needed in (job.get("inputs") or {}).values())
            self._shapes[at] = shape_of(job, self._shapes) if known else ""
            stack.pop()
        return self._shapes[key]

    def _job(self, key: str) -> Mapping[str, Any] | None:
        for path in (self._store.path(key) / MANIFEST, known_path(self._store, key)):
            try:
                job = json.loads(path.read_bytes())["job"]
            except (OSError, ValueError, KeyError, TypeError):
                continue
            if isinstance(job, dict):
                return job
        return None


def shape_of(job: Mapping[str, Any], shapes: Mapping[str, str]) -> str:
    """Return the digest of everything that decides a job but its engine; ``shapes`` has those of its inputs."""
    content = {name: job.get(name) for name in ("kind", "version", "params", "seed")}
    content["inputs"] = {role: shapes[key] for role, key in (job.get("inputs") or {}).items()}
    content["files"] = {role: file.get("sha256") for role, file in (job.get("files") or {}).items()}
    return key_digest(content)


def sealed_in(folder: Path) -> list[Path]:
    """Return the preregs of a folder that have a seal beside them."""
    return [path for path in sorted(folder.glob("*.yaml")) if seal_path(path).exists()]
