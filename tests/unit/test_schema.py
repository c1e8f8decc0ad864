"""The JSON Schema for editors, validated with jsonschema on files as an editor reads them (YAML 1.2)."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from harness.cli import main
from harness.compose import declare_kinds
from harness.contracts.kinds import EVALS, PROBES, STAGES
from harness.scaffold.write import KINDS, write
from harness.spec.hover import HOVER
from harness.spec.json_schema import prereg_schema
from harness.spec.load import load_document
from harness.spec.model import Prereg

ROOT = Path(__file__).parents[2]
PREREGS = sorted((ROOT / "preregs").glob("*.yaml"))


class Yaml12(yaml.SafeLoader):
    """YAML 1.2's core schema: yes and no are words, 1e-4 is a number."""


Yaml12.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
):
    Yaml12.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    declare_kinds()
    return prereg_schema()


@pytest.fixture(scope="module")
def v2() -> dict[str, Any]:
    tree: dict[str, Any] = yaml.load((ROOT / "preregs" / "issue_310_v2.yaml").read_text("utf-8"), Yaml12)
    return tree


def faults(schema: dict[str, Any], tree: object) -> list[str]:
    found = jsonschema.Draft202012Validator(schema).iter_errors(tree)
    return [f"{error.json_path}: {error.message}" for error in found]


def test_it_is_a_schema_of_draft_2020_12(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    used = set(re.findall(r'"#/\$defs/(\w+)"', json.dumps(schema)))
    assert used == set(schema["$defs"])


@pytest.mark.parametrize("path", PREREGS, ids=lambda path: path.stem)
def test_every_prereg_of_the_repository_is_valid(path: Path, schema: dict[str, Any]) -> None:
    assert faults(schema, yaml.load(path.read_text("utf-8"), Yaml12)) == []
    assert faults(schema, load_document(path).tree) == []  # every scalar as text, as the loader sees it


@pytest.mark.parametrize("kind", KINDS)
def test_every_scaffold_is_valid(kind: str, schema: dict[str, Any], tmp_path: Path) -> None:
    path, *_ = write("mine", kind, tmp_path, schema)
    assert faults(schema, yaml.load(path.read_text("utf-8"), Yaml12)) == []


def test_the_readme_s_example_is_valid(schema: dict[str, Any]) -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    (block,) = re.findall(r"```yaml\n(prereg: 1\n.*?)```", text, re.DOTALL)
    assert faults(schema, yaml.load(block, Yaml12)) == []


@pytest.mark.parametrize(
    "path",
    ["", "hypotheses.H1", "budget", "measures.leakage", "measures.leakage.truncated", "measures.leakage.match",
     "measures.geometry", "measures.training", "arms.C1", "recipes.couple", "recipes.couple.lora", "recipes.sft",
     "dims.question", "models.base", "data.em", "confidence", "rehearsal"],
)  # fmt: skip
def test_an_unknown_key_is_underlined_everywhere(path: str, schema: dict[str, Any], v2: dict[str, Any]) -> None:
    tree = copy.deepcopy(v2)
    node = tree
    for key in filter(None, path.split(".")):
        node = node[key]
    node["lerning_rate"] = 1
    assert any("lerning_rate" in fault for fault in faults(schema, tree))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("prereg", 2), ("id", "no spaces"), ("hypotheses", {}), ("hypotheses.H1.role", "main"), ("triage.0", "H1: yes"),
        ("measures.leakage.kind", "marker_rates"), ("measures.leakage.completions", 0),
        ("measures.leakage.arms", "alone"),
        ("measures.leakage.match.contains", ["a", "b"]), ("measures.geometry.text", "mine"),
        ("recipes.couple.lora.rslora", True), ("recipes.couple.lr", "1e-4 or so"), ("recipes.couple.epochs", "five"),
        ("recipes.sft.kind", "sfd"), ("recipes.sft.schedule", "square"), ("dims.question.unit", "metres"),
        ("data.em.rows", "1-300"), ("data.em.format", "text"), ("budget.gpu_hours", "seven"),
        ("inference", {"level": "most"}),
        ("rehearsal.inference", {"seed": 3}), ("gates.headroom", ["a"]),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_underlined(path: str, value: object, schema: dict[str, Any], v2: dict[str, Any]) -> None:
    tree = copy.deepcopy(v2)
    *parents, last = path.split(".")
    node: Any = tree
    for key in parents:
        node = node[key]
    node[int(last) if isinstance(node, list) else last] = value
    assert faults(schema, tree)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("recipes.couple.lora.r", "$rank"), ("recipes.couple.lr", "1e-4"),
        ("measures.leakage.sampling.temperature", "$t"),
        ("dims.layer.levels", "1..28"), ("title", 310), ("parents", 262), ("measures.leakage.persona", "all"),
        ("dims.persona.sets.source", "1..1"), ("gates.headroom", {"if": "a > b", "guards": "H1"}),
        ("inference", {"draws": 2000, "level": "90%"}), ("recipes.couple.lora.rslora", "no"),
    ],
)  # fmt: skip
def test_what_the_loader_takes_is_not_underlined(
    path: str, value: object, schema: dict[str, Any], v2: dict[str, Any]
) -> None:
    tree = copy.deepcopy(v2)
    *parents, last = path.split(".")
    node: Any = tree
    for key in parents:
        node = node[key]
    node[last] = value
    assert faults(schema, tree) == []


def test_every_kind_offers_its_parameters_and_hover_text(schema: dict[str, Any]) -> None:
    kinds = {f"measure_{name}": EVALS.get(name) for name in EVALS.names()}
    kinds |= {f"measure_{name}": PROBES.get(name) for name in PROBES.names()}
    kinds |= {f"recipe_{name}": STAGES.get(name) for name in STAGES.names() if name != "on_policy"}
    assert {name for name in schema["$defs"] if name.startswith(("measure_", "recipe_"))} == {
        *kinds,
        "measure_recorded",
    }
    for name, kind in kinds.items():
        offered = schema["$defs"][name]
        fields = {info.alias or key for key, info in kind.Params.model_fields.items()}
        assert fields <= set(offered["properties"]), name
        assert len(offered["description"]) > 30, name
    offered = schema["properties"]["measures"]["additionalProperties"]["properties"]["kind"]["enum"]
    assert set(offered) == {"recorded", *EVALS.names(), *PROBES.names()}


def test_every_section_has_hover_text_and_none_is_left_over(schema: dict[str, Any]) -> None:
    assert all(schema["properties"][name].get("description") for name in Prereg.model_fields)
    defs = {**schema["$defs"], "Prereg": schema}
    for key in HOVER:
        record, _, name = key.partition(".")
        if record in defs and name:
            assert HOVER[key] in defs[record]["properties"][name]["description"], key
        else:
            assert record in {"Measure", "measure", "recipe", "recorded"}, key


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], schema: dict[str, Any]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == schema
    assert main(["schema", "--out", str(tmp_path / "s.json")]) == 0
    assert json.loads((tmp_path / "s.json").read_text("utf-8")) == schema
    assert main(["schema", "--out", str(tmp_path / "none" / "s.json")]) == 2
    assert "cannot be written" in capsys.readouterr().err
