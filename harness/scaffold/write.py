"""Write a commented prereg that binds, checks without an error and, where it trains, rehearses as it is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from harness.compile.banks import BUILTIN
from harness.core.errors import PreregError, Problem, Where

HERE = Path(__file__).parent
KINDS: Mapping[str, Path | None] = {
    "two-probe": None,
    "sweep": None,
    "correlation": BUILTIN.parent / "tables" / "coupling_predictors.csv",
    "recorded": HERE / "recorded.csv",
}
"""What can be started from, each with the table that comes with it."""
SCHEMA = "prereg.schema.json"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def write(name: str, kind: str, folder: Path, schema: Mapping[str, object]) -> tuple[Path, ...]:
    """Write ``name.yaml`` into a folder, with its table if it reads one and the JSON Schema for editors.

    Nothing is overwritten: the schema of an earlier call stays as it is, and for any other file that exists nothing is
    written at all.

    Args:
        name: the prereg's id.
        kind: one of ``KINDS``.
        folder: where to write; it is made if it does not exist.
        schema: the JSON Schema.

    Returns:
        the files that were written, the prereg first.

    Raises:
        PreregError: a name that is no id, a file that exists, or a folder that cannot be written to.
    """
    if not _ID.fullmatch(name):
        raise PreregError(
            Problem(Where(), f"'{name}' cannot be an id", "letters, digits, '_', '.' and '-', as in marker_leakage")
        )
    files = dict(_files(name, kind, folder))
    taken = [path for path in files if path.exists()]
    if taken:
        raise PreregError([Problem(Where(str(path)), "the file exists", "another name, or another --dir")
                           for path in taken])  # fmt: skip
    if not (folder / SCHEMA).exists():
        files[folder / SCHEMA] = json.dumps(schema, indent=1, ensure_ascii=False) + "\n"
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)
    except OSError as error:
        raise PreregError(
            Problem(Where(str(error.filename or folder)), f"cannot be written: {error.strerror}")
        ) from error
    return tuple(files)


def _files(name: str, kind: str, folder: Path) -> Iterator[tuple[Path, str]]:
    yield folder / f"{name}.yaml", (HERE / f"{kind}.yaml").read_text("utf-8").replace("@NAME@", name)
    table = KINDS[kind]
    if table is not None:
        yield folder / "tables" / f"{name}.csv", table.read_text("utf-8")
