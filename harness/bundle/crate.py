"""A bundle as an RO-Crate: ``ro-crate-metadata.json`` says in JSON-LD what is in it and what was made from what.

Each job that made an artifact is a ``CreateAction`` (the Process Run Crate profile): the kind that ran is its
instrument, the artifacts and files that it read are its objects, and its artifact is its result. What a bundle leaves
out is described and not claimed to be there. Hosts, paths and users are not written.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import harness
from harness.bundle.archive import Member
from harness.bundle.contents import OBJECTS, REPORT, Contents
from harness.contracts.bound import Bound
from harness.core.errors import PreregError
from harness.core.ident import file_digest
from harness.core.manifest import MANIFEST, Manifest
from harness.core.store import Store
from harness.plan.plan import Plan

METADATA = "ro-crate-metadata.json"
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
_VERSION = "1.1"
"""Of the specification: the one that the profile is written for."""
_HARNESS = "#pytest-prereg"
_FORMATS = {
    ".json": "application/json", ".yaml": "application/yaml", ".csv": "text/csv", ".md": "text/markdown",
    ".html": "text/html", ".png": "image/png", ".pdf": "application/pdf", ".jsonl": "application/jsonl",
    ".parquet": "application/vnd.apache.parquet",
}  # fmt: skip


def crate(contents: Contents, bound: Bound, plan: Plan, store: Store, members: Sequence[Member]) -> Member:
    """Return the metadata of a bundle.

    Args:
        contents: what the bundle says of itself.
        bound: the registration.
        plan: its jobs.
        store: where their artifacts are.
        members: all other files of the bundle.

    Raises:
        PreregError: the library ``rocrate`` is not installed.
    """
    return Member(METADATA, _Crate(contents, bound, plan, store, members).metadata())


def library() -> Any:
    """Return ``rocrate``'s class of crates; it is an optional extra.

    Raises:
        PreregError: it is not installed.
    """
    try:
        return importlib.import_module("rocrate.rocrate").ROCrate
    except ImportError as error:
        raise PreregError("--ro-crate needs the package 'rocrate'; run: pip install 'pytest-prereg[crate]'") from error


@dataclass
class _Crate:
    contents: Contents
    bound: Bound
    plan: Plan
    store: Store
    members: Sequence[Member]

    def metadata(self) -> bytes:
        self.crate = library()(version=_VERSION)
        self.manifests = self._manifests()
        self.files = {member.name: self._file(member) for member in self.members}
        self._root()
        self._software()
        self.artifacts = {key: self._artifact(key) for key in self.manifests}
        actions = [self._action(key) for key in self.manifests]
        self.crate.root_dataset["mentions"] = actions
        return json.dumps(self.crate.metadata.generate(), indent=1, ensure_ascii=False).encode() + b"\n"

    def _manifests(self) -> dict[str, Manifest]:
        """Return the manifests of all artifacts that are stored, carried or left out, in the plan's order."""
        return {key: self.store.peek(key) for key in self.plan.jobs if self.store.has(key)}

    def _root(self) -> None:
        root = self.crate.root_dataset
        root["name"] = self.bound.title
        rehearsal = "A rehearsal at toy scale: it exercises everything and proves nothing. "
        root["description"] = (rehearsal if self.bound.rehearsal else "") + self.bound.question
        root["identifier"] = self.contents.name
        root["conformsTo"] = self._context(
            PROFILE, {"@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"}
        )
        when = self.manifests[self.plan.verdict].made.get("when")
        root.pop("datePublished")  # the library writes the time of now
        if when:
            root["datePublished"] = str(when)
        root["mainEntity"] = self.files[self.contents.prereg]
        results = f"{REPORT}/results.json"
        if results in self.files:
            root["about"] = self.files[results]

    def _software(self) -> None:
        self.software = self._context(
            _HARNESS, {"@type": "SoftwareApplication", "name": "pytest-prereg", "softwareVersion": harness.__version__}
        )
        libraries = [
            self._context(f"#{name}", {"@type": "SoftwareApplication", "name": name, "softwareVersion": version})
            for name, version in {**self.contents.packages, **self.contents.libraries}.items()
        ]
        self.software["softwareRequirements"] = libraries

    def _file(self, member: Member) -> Any:
        data = member.source
        size = len(data) if isinstance(data, bytes) else data.stat().st_size
        properties: dict[str, Any] = {"name": Path(member.name).name, "contentSize": str(size)}
        if kind := _FORMATS.get(Path(member.name).suffix):
            properties["encodingFormat"] = kind
        return self.crate.add_file(dest_path=member.name, properties=properties)

    def _artifact(self, key: str) -> Any:
        manifest = self.manifests[key]
        said: dict[str, Any] = {"name": manifest.label, "identifier": key}
        if key in self.contents.left_out:
            return self._context(
                f"#{key}",
                {"@type": "CreativeWork", **said, "description": f"Not in this crate: {self.contents.left_out[key]}."},
            )
        found = self.crate.add_dataset(dest_path=f"{OBJECTS}/{key}/", properties=said)
        found["hasPart"] = [self.files[f"{OBJECTS}/{key}/{name}"] for name in (MANIFEST, *manifest.files)]
        return found

    def _action(self, key: str) -> Any:
        job, made = self.plan.jobs[key], self.manifests[key].made
        read = [self.artifacts[each] if each in self.artifacts else self._absent(each) for each in job.inputs.values()]
        read += [self._read(role, ref.path, ref.sha256) for role, ref in job.files.items()]
        properties: dict[str, Any] = {
            "@type": "CreateAction", "name": job.label, "actionStatus": {"@id": "http://schema.org/CompletedActionStatus"},
            **_times(made),
        }  # fmt: skip
        return self.crate.add_action(
            self._kind(job.kind, job.version), identifier=f"#make-{key}", object=read, result=[self.artifacts[key]],
            properties=properties,
        )  # fmt: skip

    def _kind(self, kind: str, version: int) -> Any:
        return self._context(
            f"#kind-{kind}",
            {
                "@type": "SoftwareApplication",
                "name": kind,
                "softwareVersion": str(version),
                "isPartOf": {"@id": _HARNESS},
            },
        )

    def _absent(self, key: str) -> Any:
        """An input that was cleared away: its key is known."""
        label = self.plan.jobs[key].label
        return self._context(
            f"#{key}",
            {
                "@type": "CreativeWork",
                "name": label,
                "identifier": key,
                "description": "Not in this crate: it was not in the store.",
            },
        )

    def _read(self, role: str, path: str, sha256: str) -> Any:
        """A file that a job read: the one in the crate, or its digest."""
        here = Path(path).resolve()
        for member in self.members:
            if isinstance(member.source, Path) and member.source.resolve() == here and file_digest(here) == sha256:
                return self.files[member.name]
        return self._context(
            f"#sha256-{sha256}",
            {
                "@type": "CreativeWork",
                "name": Path(path).name or role,
                "identifier": f"sha256:{sha256}",
                "description": "Not in this crate.",
            },
        )

    def _context(self, identifier: str, properties: Mapping[str, Any]) -> Any:
        known = self.crate.dereference(identifier)
        if known is not None:
            return known
        entity = importlib.import_module("rocrate.model.contextentity").ContextEntity
        return self.crate.add(entity(self.crate, identifier, properties=dict(properties)))


def _times(made: Mapping[str, Any]) -> dict[str, str]:
    """Return when a job ended and, as far as its seconds are known, began."""
    if not made.get("when"):
        return {}
    end = datetime.fromisoformat(str(made["when"]))
    times = {"endTime": end.isoformat()}
    if "wall_s" in made:
        times["startTime"] = (end - timedelta(seconds=round(float(made["wall_s"])))).isoformat()
    return times
