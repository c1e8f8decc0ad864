"""The JSON Schema of results.json (draft 2020-12), generated from the records that are written."""

from __future__ import annotations

from typing import Any

from reports.records import SCHEMA_VERSION, ReportModel


def results_schema() -> dict[str, Any]:
    """Return the schema. ``schema_version`` is a constant in it: another version has another schema."""
    schema = ReportModel.model_json_schema(mode="serialization")
    schema["properties"]["schema_version"]["const"] = SCHEMA_VERSION
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"prereg results, version {SCHEMA_VERSION}",
        "description": "Everything that was decided about one preregistration, with every number behind it. "
        "Proportions are 0..1; exact values are fractions; unknown is null and never zero.",
        **{name: value for name, value in schema.items() if name not in ("title", "description")},
    }
