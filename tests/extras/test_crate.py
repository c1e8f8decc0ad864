"""A bundle as an RO-Crate: the real library reads it, and it says of each artifact what it was made from."""

from __future__ import annotations

import importlib.resources
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

rocrate = pytest.importorskip("rocrate.rocrate")

from sealing import Repository  # noqa: E402
from test_bundle import made  # noqa: E402

from harness.cli import main  # noqa: E402
from harness.compile.bind import load_bound  # noqa: E402
from harness.plan.plan import make_plan  # noqa: E402


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.chdir(tmp_path)
    repository = Repository(tmp_path / "study")
    repository.sealed()
    repository.commit()
    made(repository)
    return repository


def exported(toy: Repository, name: str) -> Path:
    arguments = ["store", "export", str(toy.file), "--ro-crate", "--store", str(toy.place.store.root), "--out", name]
    assert main([*arguments, "--results", str(toy.place.results)]) == 0
    with zipfile.ZipFile(name) as archive:
        archive.extractall(f"{name}.d")
    return Path(f"{name}.d")


def ids(value: Any) -> set[str]:
    """Return the ids that an entity refers to, as the library gives them back."""
    return {each.id for each in (value if isinstance(value, list) else [value])}


def test_the_library_reads_the_graph_of_what_was_made_from_what(toy: Repository) -> None:
    folder = exported(toy, "b.zip")
    crate = rocrate.ROCrate(folder)
    plan = make_plan(load_bound(toy.file), device="cuda")
    actions = {each.id: each for each in crate.contextual_entities if each.type == "CreateAction"}
    assert set(actions) == {f"#make-{key}" for key in plan.jobs}
    table = next(each for each in crate.data_entities if each.id == "prereg/tables/toy.csv")
    for key, job in plan.jobs.items():
        action = actions[f"#make-{key}"]
        assert ids(action["result"]) == {f"objects/{key}/"}
        read = {f"objects/{each}/" for each in job.inputs.values()} | ({table.id} if job.files else set())
        assert ids(action.get("object", [])) == read
        assert ids(action["instrument"]) == {f"#kind-{job.kind}"}
        artifact = crate.dereference(f"objects/{key}/")
        assert artifact["identifier"] == key
        files = {
            path.relative_to(folder).as_posix() for path in (folder / "objects" / key).rglob("*") if path.is_file()
        }
        assert ids(artifact["hasPart"]) == files
    assert crate.root_dataset["mainEntity"].id == "prereg/toy.yaml"
    for entity in crate.data_entities:
        assert (folder / entity.id).exists(), "what is described as part of the crate is there"


def test_every_term_is_one_of_the_context(toy: Repository) -> None:
    content = json.loads((exported(toy, "b.zip") / "ro-crate-metadata.json").read_text())
    assert content["@context"] == "https://w3id.org/ro/crate/1.1/context"
    known = json.loads((importlib.resources.files("rocrate") / "data" / "ro-crate.jsonld").read_text())["@context"]
    entities = {entity["@id"]: entity for entity in content["@graph"]}
    assert len(entities) == len(content["@graph"]), "each entity stands once"
    for entity in entities.values():
        types = entity["@type"] if isinstance(entity["@type"], list) else [entity["@type"]]
        assert {*types, *entity} - {"@id", "@type"} <= set(known)
        for value in entity.values():
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, dict):
                    assert each["@id"] in entities or each["@id"].startswith("http"), "no reference leads nowhere"


def test_equal_content_gives_equal_bytes_and_tells_no_host(toy: Repository) -> None:
    first, second = exported(toy, "one.zip"), exported(toy, "two.zip")
    name = "ro-crate-metadata.json"
    assert (first / name).read_bytes() == (second / name).read_bytes()
    assert str(toy.folder) not in (first / name).read_text()


def test_a_bundle_with_a_crate_is_imported_and_replayed_as_before(
    toy: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    exported(toy, "b.zip")
    assert main(["replay", "b.zip", "--out", "again"]) == 0
    assert "all equal byte for byte" in capsys.readouterr().out
    assert main(["store", "import", "b.zip", "--store", "other", "--dir", "here"]) == 0
