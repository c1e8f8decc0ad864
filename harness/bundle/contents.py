"""What a bundle says of itself, and where its parts lie in it.

``bundle.json`` is this record, with every file's digest; below it are

- ``prereg/…/NAME.yaml``: the registration with its seal, banks and tables, lying to one another as they did
- ``data/…``: what lay in the folder of recorded data
- ``objects/KEY/…``: artifacts, each with its manifest
- ``known/KEY.json``: manifests of artifacts that were left out
- ``simulations/…``: the stored simulation of the registration, if any
- ``report/…``: the report as it was written
- ``ro-crate-metadata.json``: all of it described for others, when asked for
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from harness.bundle.archive import INDEX, read_index, safe
from harness.contracts.bound import Engine
from harness.core.errors import PreregError, Problem, Where

PREREG, DATA, OBJECTS, KNOWN, SIMULATIONS, REPORT = "prereg", "data", "objects", "known", "simulations", "report"


@dataclass(frozen=True)
class Contents:
    """What is in a bundle.

    ``prereg`` is the registration's member; ``device``, ``libraries`` and ``engine`` (what sampled where the
    registration leaves it open) and ``fast`` (trained with ``--fast``) are those that its keys were planned with,
    ``digests`` the SHA-256 of finetuning data by name and ``models`` the folders of local models, for the same
    purpose. ``packages`` are versions of what computed and drew. ``left_out`` says by key why an artifact is not here.
    """

    id: str
    rehearsal: bool
    harness: str
    device: Literal["cpu", "cuda"]
    libraries: Mapping[str, str]
    packages: Mapping[str, str]
    prereg: str
    verdict: str
    carried: tuple[str, ...]
    left_out: Mapping[str, str]
    digests: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    engine: Engine = "transformers"
    fast: bool = False

    @property
    def name(self) -> str:
        """The id, marked when it is a rehearsal: what its report's folder is called."""
        return f"{self.id}-rehearsal" if self.rehearsal else self.id

    def plain(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"contents": asdict(self)}


def contents_of(index: Mapping[str, Any], where: str) -> Contents:
    """Return the record in an index.

    Raises:
        PreregError: it is not one.
    """
    try:
        found = dict(index["contents"])
        contents = Contents(
            **{each.name: found[each.name] for each in fields(Contents) if each.name in found or _required(each)}
        )
        sound = safe(contents.prereg) and safe(contents.name) and len(Path(contents.name).parts) == 1
    except (KeyError, TypeError) as error:
        raise PreregError(Problem(Where(where), f"{INDEX} is not what was written ({error!r})")) from error
    if not sound:
        raise PreregError(Problem(Where(where), f"{INDEX} names a file outside of its folder"))
    return contents


def _required(each: Field[Any]) -> bool:
    """Whether every bundle has it; what has a default came later than the first bundles."""
    return each.default is MISSING and each.default_factory is MISSING


def read_contents(folder: Path) -> Contents:
    """Return the contents of an imported bundle, whose files lie in ``folder``.

    Raises:
        PreregError: there is none, or its record was changed.
    """
    path = folder / INDEX
    try:
        raw = path.read_bytes()
    except OSError as error:
        hint = "give a bundle, or the folder into which one was imported"
        raise PreregError(Problem(Where(str(folder)), f"there is no {INDEX} in it", hint=hint)) from error
    return contents_of(read_index(raw, str(path)), str(path))
