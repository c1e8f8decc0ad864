"""Models, finetuning data, and the notes of ``differs`` and ``allow``."""

from __future__ import annotations

from pathlib import Path

from harness.contracts.bound import DataSource, ModelSource, Note
from harness.core.places import exists
from harness.core.registry import did_you_mean
from harness.spec import model
from harness.spec.load import KeyPath
from harness.spec.read import Faults, shortened


def bind_models(prereg: model.Prereg, faults: Faults, *, embedded: bool) -> tuple[ModelSource, ...]:
    """Return the base models; in a rehearsal that names none, each is the embedded one."""
    found = []
    for name, spec in prereg.models.items():
        line = faults.document.line(("models", name))
        if embedded:
            found.append(ModelSource(name=name, embedded=True, line=line))
            continue
        found.append(
            ModelSource(
                name=name,
                hf=spec.hf,
                path=_found(spec.path, faults.document.folder, None),
                revision=spec.revision,
                trust_remote_code=spec.trust_remote_code,
                engine=spec.engine,
                line=line,
            )
        )
    judges = {name: judge.model for name, judge in prereg.judges.items()}
    for name, wanted in judges.items():
        if wanted not in prereg.models and not faults.is_broken("models", wanted):
            faults.unknown(("judges", name, "model"), "model", wanted, prereg.models)
    return tuple(found)


def bind_data(
    prereg: model.Prereg, faults: Faults, *, rehearsal: bool, data_root: Path | None
) -> tuple[DataSource, ...]:
    """Return the finetuning data; a file is looked for beside the prereg and in the data folder."""
    found = []
    for name, spec in prereg.data.items():
        path: KeyPath = ("data", name)
        if spec.register_name and not rehearsal:
            faults.add((*path, "register"), "generated data in a real run", "path or hf",
                       "'register' is for rehearsals")  # fmt: skip
        found.append(
            DataSource(
                name=name,
                path=_found(spec.path, faults.document.folder, data_root),
                hf=spec.hf,
                revision=spec.revision,
                register_name=spec.register_name,
                format=spec.format,
                rows=spec.rows,
                md5=spec.md5,
                sha256=spec.sha256,
                line=faults.document.line(path),
            )
        )
    return tuple(found)


def _found(path: str, folder: Path, data_root: Path | None) -> str:
    """Return the first place where a file lies, or where it should lie."""
    if not path:
        return ""
    places = [folder / path]
    if data_root is not None:
        places += [data_root / path, data_root / Path(path).name]
    return str(next((place for place in places if exists(place)), places[0]))


def bind_notes(prereg: model.Prereg, faults: Faults) -> tuple[tuple[Note, ...], tuple[Note, ...]]:
    """Return the entries of ``differs`` and ``allow``, whose ``at`` must name something in the file."""
    differs = []
    for index, entry in enumerate(prereg.differs):
        path: KeyPath = ("differs", index)
        _check_key(entry.at, (*path, "at"), faults)
        line = faults.document.line(path)
        differs.append(Note(source=entry.from_, at=entry.at, because=entry.because, line=line))
    allow = []
    for index, accepted in enumerate(prereg.allow):
        path = ("allow", index)
        _check_key(accepted.at, (*path, "at"), faults)
        line = faults.document.line(path)
        allow.append(Note(source=accepted.finding, at=accepted.at, because=accepted.because, line=line))
    return tuple(differs), tuple(allow)


def _check_key(key: str, path: KeyPath, faults: Faults) -> None:
    """Check a dotted key; ``all`` may be left out before a clause, as in ``hypotheses.H1.behavioral``."""
    node: object = faults.document.tree
    for part in key.split("."):
        if isinstance(node, dict) and part not in node and isinstance(node.get("all"), dict):
            node = node["all"]
        if isinstance(node, list):
            return
        if not isinstance(node, dict) or part not in node:
            known = list(node) if isinstance(node, dict) else []
            expected = f"one of {shortened(known)}" if known else "nothing below it"
            faults.add(path, f"'{key}' names nothing: there is no '{part}'", expected, did_you_mean(part, known),
                       value=True)  # fmt: skip
            return
        node = node[part]
