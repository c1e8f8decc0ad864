"""Read a report's results.json back, with what lies beside it; everything that can be wrong is told in one message."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.core.errors import PreregError, Problem, Where
from reports.figure_data import with_operating
from reports.records import SCHEMA_NAME, SCHEMA_VERSION, ReportModel, RunInfo

RESULTS, RUN = "results.json", "run.json"


@dataclass(frozen=True)
class Found:
    """A result and where it lies. ``run`` is empty where there is no run.json."""

    path: Path
    model: ReportModel
    run: RunInfo

    @property
    def folder(self) -> Path:
        """The report's folder."""
        return self.path.parent

    @property
    def date(self) -> str:
        """The day on which the run ended, empty where it is not known."""
        return self.run.finished[:10]


def read_result(path: Path) -> Found:
    """Read a result from its results.json or from its folder.

    Raises:
        PreregError: there is none, it is no result, or another version of this program wrote it.
    """
    path = path / RESULTS if path.is_dir() else path
    content = _json(path)
    name, version = content.get("schema_name"), content.get("schema_version")
    if name != SCHEMA_NAME:
        raise _problem(path, f"schema_name is {name!r}", f"a {SCHEMA_NAME} file", "")
    if version != SCHEMA_VERSION:
        hint = "read it with the program that wrote it, or run its prereg again: nothing that is stored is repeated"
        raise _problem(path, f"schema_version {version}", f"version {SCHEMA_VERSION}", hint)
    try:
        # From JSON text: JSON's lists are tuples here, and pydantic allows that from text only.
        model = ReportModel.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise _problem(path, _first(error), "results.json as this program writes it", "") from error
    return Found(path, with_operating(model, path.parent), _run(path.with_name(RUN)))


def _run(path: Path) -> RunInfo:
    if not path.is_file():
        return RunInfo()
    noted = _json(path)
    try:
        return RunInfo(**{name: noted[name] for name in RunInfo.model_fields if name in noted})
    except ValidationError as error:
        raise _problem(path, _first(error), "run.json as this program writes it", "delete it") from error


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise PreregError(f"there is no file '{path}'; expected a results.json, or the folder that holds one")
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise _problem(path, f"no JSON ({error})", "a JSON object", "") from error
    if not isinstance(content, dict):
        raise _problem(path, f"a JSON {type(content).__name__}", "a JSON object", "")
    return content


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def _problem(path: Path, found: str, expected: str, hint: str) -> PreregError:
    return PreregError(Problem(Where(str(path)), found, expected, hint))
