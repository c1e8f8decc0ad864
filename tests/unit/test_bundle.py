"""Bundles: one checked file that brings a decision, and what it stands on, to somebody who has no models."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from sealing import BANK, Repository

from harness.bundle.adopt import adopt
from harness.bundle.archive import INDEX, Member, index_bytes, pack, safe, unpack
from harness.bundle.contents import read_contents
from harness.bundle.export import Wanted, export
from harness.bundle.replay import replay
from harness.cli import main
from harness.compile.bind import load_bound
from harness.compose import run_job
from harness.contracts.records import Decision
from harness.core.browse import Browser, keys
from harness.core.errors import PreregError
from harness.core.manifest import Manifest
from harness.core.store import Store
from harness.decide.standing import apply, standing_of
from harness.plan.plan import Pins, make_plan
from reports import extras
from reports.records import RunInfo

WITHOUT_MODELS = """
import importlib.abc, importlib.metadata, sys
GONE = ("torch", "transformers", "peft", "vllm", "safetensors", "tokenizers", "huggingface_hub", "pytest", "_pytest")
class Gone(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in GONE:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
sys.meta_path.insert(0, Gone())
installed = importlib.metadata.version
def version(name):
    if name in GONE:
        raise importlib.metadata.PackageNotFoundError(name)
    return installed(name)
importlib.metadata.version = version
from harness.cli import main
sys.exit(main())
"""


def made(repository: Repository, *, rehearsal: bool = False) -> Path:
    """Run every job of a prereg in this process and write its report, as pytest does; return the report's folder."""
    store = repository.place.store
    bound = load_bound(repository.file, rehearsal=rehearsal)
    plan = make_plan(bound, device="cpu" if rehearsal else "cuda")
    for job in plan.jobs.values():
        inputs = {role: store.open(key) for role, key in job.inputs.items()}
        store.put(job, lambda out, job=job, inputs=inputs: run_job(job, inputs, out, lambda *_, **__: None))
    decision = Decision.model_validate(store.read_json(plan.verdict, "decision.json"))
    if not rehearsal:
        decision = apply(decision, standing_of(repository.file, bound, store, plan))
    out = repository.place.results / (f"{bound.id}-rehearsal" if rehearsal else bound.id)
    run = RunInfo(started="2026-11-21T08:00:00Z", host="there", command="pytest toy.yaml", jobs=len(plan.jobs))
    extras.write_up(bound, plan, store, decision, run, out, figures=False)
    return out


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.chdir(tmp_path)
    repository = Repository(tmp_path / "study")
    repository.sealed()
    repository.commit()
    return repository


def exported(toy: Repository, out: Path, **wanted: object) -> Path:
    export(Wanted(toy.file, bool(wanted.pop("rehearsal", False)), toy.place.results, **wanted), toy.place.store, out)
    return out


def members(bundle: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(bundle) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def rewritten(bundle: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """Write a bundle again with other members and an index that fits them."""
    content = members(bundle)
    change(content)
    body = json.loads(content.pop(INDEX))
    del body["sha256"], body["files"], body["bundle"]
    pack(bundle, body, [Member(name, data) for name, data in content.items()])
    return bundle


# --- the whole way ---


@pytest.mark.parametrize("rehearsal", [False, True], ids=["sealed", "rehearsal"])
def test_a_bundle_replays_byte_for_byte_without_models(
    rehearsal: bool, toy: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = made(toy, rehearsal=rehearsal)
    marked = ["--rehearse"] if rehearsal else []
    arguments = ["store", "export", str(toy.file), *marked, "--store", str(toy.place.store.root)]
    assert main([*arguments, "--results", str(toy.place.results), "--out", "b.zip"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "to replay it, without models: prereg replay b.zip"
    shutil.rmtree(toy.folder)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_MODELS, "replay", "b.zip", "--out", "again"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    name = "toy-rehearsal" if rehearsal else "toy"
    again = tmp_path / "again" / name
    assert "all equal byte for byte" in done.stdout
    assert ("the seal holds (sealed " in done.stdout) or rehearsal
    before = {name.removeprefix("report/"): data for name, data in members(Path("b.zip")).items() if "report/" in name}
    after = {path.relative_to(again).as_posix(): path.read_bytes() for path in again.rglob("*") if path.is_file()}
    assert after == before
    assert {"results.json", "clean_result.md", "run.json"} <= set(after)
    assert report.name == name


def test_equal_content_gives_equal_bytes(toy: Repository, tmp_path: Path) -> None:
    made(toy)
    one, other = (exported(toy, tmp_path / name) for name in ("one.zip", "other.zip"))
    assert one.read_bytes() == other.read_bytes()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_what_is_in_a_bundle(toy: Repository, tmp_path: Path) -> None:
    made(toy)
    names = set(members(exported(toy, tmp_path / "b.zip")))
    assert {
        INDEX, "prereg/toy.yaml", "prereg/toy.yaml.seal.json", "prereg/banks/items.yaml", "prereg/tables/toy.csv",
        "report/results.json", "report/clean_result.md", "report/run.json",
    } <= names  # fmt: skip
    stored = set(keys(toy.place.store))
    assert {name.split("/")[1] for name in names if name.startswith("objects/")} == stored


def test_files_above_the_prereg_keep_their_places(toy: Repository, tmp_path: Path) -> None:
    deep = toy.folder / "studies" / "mine"
    deep.mkdir(parents=True)
    (deep / "toy.yaml").write_text(
        toy.file.read_text().replace("tables/toy.csv", "../../tables/toy.csv").replace("banks/", "../../banks/")
    )
    inner = Repository.__new__(Repository)
    inner.folder, inner.name = deep, "toy"
    made(inner)
    bundle = exported(inner, tmp_path / "b.zip")
    names = set(members(bundle))
    assert {"prereg/in0/in1/toy.yaml", "prereg/tables/toy.csv", "prereg/banks/items.yaml"} <= names
    store, folder = Store(tmp_path / "s"), tmp_path / "files"
    adopt(bundle, store, folder)
    assert replay(folder, store, tmp_path / "out").holds


# --- export refuses ---


def test_nothing_is_exported_before_there_is_a_verdict(
    toy: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["store", "export", str(toy.file), "--store", str(tmp_path / "none")]) == 2
    said = capsys.readouterr().err
    assert said == f"{toy.file}: no verdict of it is stored in {tmp_path}/none. Run it first: pytest {toy.file}\n"


def test_a_report_of_something_else_is_not_exported(toy: Repository, tmp_path: Path) -> None:
    report = made(toy)
    (report / "results.json").write_text((report / "results.json").read_text().replace("b is above a", "a is above b"))
    with pytest.raises(PreregError, match="the report there is not that of what is stored now"):
        exported(toy, tmp_path / "b.zip")
    shutil.rmtree(report)
    with pytest.raises(PreregError, match="there is no complete report of it"):
        exported(toy, tmp_path / "b.zip")
    assert not (tmp_path / "b.zip").exists()


def test_what_is_damaged_is_not_exported(toy: Repository, tmp_path: Path) -> None:
    made(toy)
    table = next(toy.place.store.root.glob("objects/*/*/table.parquet"))
    table.write_bytes(table.read_bytes()[:-1] + b"?")
    with pytest.raises(PreregError, match=r"is damaged: table.parquet .*Run: pytest"):
        exported(toy, tmp_path / "b.zip")


def test_a_missing_table_is_named(toy: Repository, tmp_path: Path) -> None:
    made(toy)
    shutil.rmtree(next(toy.place.store.root.glob("objects/*/*/table.parquet")).parent)
    with pytest.raises(PreregError, match=r"not stored in .*: measure\[table\]\. Run all of it first: pytest"):
        exported(toy, tmp_path / "b.zip")


# --- import ---


@pytest.fixture
def bundle(toy: Repository, tmp_path: Path) -> Path:
    made(toy)
    return exported(toy, tmp_path / "b.zip")


def test_an_import_stores_everything_under_its_key(
    bundle: Path, toy: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["store", "import", str(bundle), "--store", "s", "--dir", "files"]
    assert main(arguments) == 0
    count = len(list(keys(toy.place.store)))
    assert capsys.readouterr().out.startswith(f"toy: {count} artifacts are new in {Path.cwd()}/s, 0 were there\n")
    there, here = Browser(toy.place.store), Browser(Store("s"))
    for key in keys(toy.place.store):
        assert here.get(key) == there.get(key), "manifests are the same, with when and where it was made"
    assert Path("files/prereg/banks/items.yaml").read_text() == BANK
    assert main(arguments) == 0, "importing again changes nothing"
    assert f"0 artifacts are new in {Path.cwd()}/s, {count} were there" in capsys.readouterr().out
    assert list(Path("s/tmp").iterdir()) == []
    assert main(["store", "verify", "--store", "s"]) == 0
    assert main(["replay", "files", "--store", "s"]) == 0


def test_an_import_overwrites_nothing(bundle: Path) -> None:
    Path("files/prereg").mkdir(parents=True)
    Path("files/prereg/toy.yaml").write_text("mine")
    with pytest.raises(PreregError, match=r"prereg/toy.yaml: there is another file of this name. Give another folder"):
        adopt(bundle, Store("s"), Path("files"))
    assert Path("files/prereg/toy.yaml").read_text() == "mine"
    assert not Path("files/report").exists()
    assert list(keys(Store("s"))) == []


def test_an_imported_plan_is_found_by_pytest(bundle: Path, toy: Repository) -> None:
    adopt(bundle, Store("s"), Path("files"))
    bound = load_bound(Path("files/prereg/toy.yaml"))
    assert not make_plan(bound, device="cuda").missing(Store("s"))


def test_a_changed_registration_leads_to_other_jobs(bundle: Path) -> None:
    store = Store("s")
    adopt(bundle, store, Path("files"))
    path = Path("files/prereg/toy.yaml")
    path.write_text(path.read_text().replace("shift >= 0.5", "shift >= 0.4"))
    with pytest.raises(PreregError, match="the registration leads to other jobs here") as caught:
        replay(Path("files"), store, Path("out"))
    assert "params.bound." in str(caught.value)


def test_a_changed_number_shows(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A forged estimate: its artifact is sound, and the bundle too, but it does not follow from the table."""

    def forge(content: dict[str, bytes]) -> None:
        name = next(name for name in content if name.endswith("/estimate.json") and b'"shift"' in content[name])
        folder = Path(name).parent
        manifest = json.loads(content[f"{folder}/manifest.json"])
        data = content[name].replace(b'"value":0.9', b'"value":0.8')
        assert data != content[name]
        content[name] = data
        manifest["files"]["estimate.json"] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        del manifest["sha256"]
        content[f"{folder}/manifest.json"] = Manifest.model_validate(manifest).to_bytes()

    assert main(["replay", str(rewritten(bundle, forge))]) == 1
    assert "OTHER THAN RECORDED: estimate[shift]" in capsys.readouterr().out


def test_a_changed_report_shows(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def edit(content: dict[str, bytes]) -> None:
        content["report/clean_result.md"] += b"\nIt works.\n"

    assert main(["replay", str(rewritten(bundle, edit))]) == 1
    said = capsys.readouterr().out
    assert "1 not as recorded" in said
    assert "OTHER THAN RECORDED: clean_result.md" in said


def test_a_seal_that_does_not_hold_shows(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def edit(content: dict[str, bytes]) -> None:
        name = "prereg/toy.yaml.seal.json"
        content[name] = content[name].replace(b'"author": "Ada', b'"author": "Eve')

    assert main(["replay", str(rewritten(bundle, edit))]) == 1
    assert "DOES NOT HOLD: seal: the seal of" in capsys.readouterr().out


# --- damaged, forged and hostile files ---


def test_a_flipped_byte_is_found_or_does_not_matter(bundle: Path, tmp_path: Path) -> None:
    raw = bundle.read_bytes()
    whole = members(bundle)
    refused = 0
    for at in range(0, len(raw), max(len(raw) // 150, 1)):
        bundle.write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
        target = tmp_path / f"at{at}"
        target.mkdir()
        try:
            unpack(bundle, target)
        except PreregError:
            refused += 1
            continue
        out = {path.relative_to(target).as_posix(): path.read_bytes() for path in target.rglob("*") if path.is_file()}
        assert out == {name: data for name, data in whole.items() if name != INDEX}
    assert refused > 100


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_a_file_that_was_cut_short(cut: int, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle.write_bytes(bundle.read_bytes()[:cut])
    assert main(["store", "import", str(bundle), "--store", "s", "--dir", "files"]) == 2
    assert "damaged, or no bundle" in capsys.readouterr().err
    assert not Path("files").exists()
    assert list(Path("s/tmp").iterdir()) == []
    assert list(keys(Store("s"))) == []


HOSTILE = [
    "../outside", "prereg/../../outside", "/etc/outside", "prereg/./x", "prereg//x", "..\\outside", "C:/outside",
    "prereg/x\0y", "", "objects/..",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_names_that_lead_elsewhere_are_not_safe(name: str, tmp_path: Path) -> None:
    assert not safe(name)
    with pytest.raises(PreregError, match="cannot be the name of a file in a bundle"):
        pack(tmp_path / "b.zip", {}, [Member(name, b"x")])


@pytest.mark.parametrize("name", [name for name in HOSTILE if name and "\0" not in name])
def test_path_traversal_is_refused(name: str, tmp_path: Path) -> None:
    bundle = hostile(tmp_path, name, listed=True)
    (tmp_path / "deep" / "into").mkdir(parents=True)
    with pytest.raises(PreregError, match="would be written outside of its folder; nothing was written"):
        unpack(bundle, tmp_path / "deep" / "into")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["deep", "hostile.zip", "into"]


def hostile(folder: Path, name: str, *, listed: bool, mode: int = 0o100644, method: int = zipfile.ZIP_STORED) -> Path:
    """Write a bundle with one member that :func:`pack` would not write."""
    path = folder / "hostile.zip"
    file = {"sha256": hashlib.sha256(b"x").hexdigest(), "bytes": 1}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(INDEX, index_bytes({"bundle": 1, "files": {name: file} if listed else {}}))
        info = zipfile.ZipInfo(name)
        info.external_attr, info.compress_type = mode << 16, method
        archive.writestr(info, b"x")
    return path


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"listed": False}, "x is not in bundle.json"),
        ({"listed": True, "mode": 0o120777}, "x is not a plain stored file"),
        ({"listed": True, "method": zipfile.ZIP_DEFLATED}, "x is not a plain stored file"),
    ],
)
def test_members_that_are_not_plain_files(change: dict[str, int], why: str, tmp_path: Path) -> None:
    bundle = hostile(tmp_path, "x", **change)  # type: ignore[arg-type]
    (tmp_path / "into").mkdir()
    with pytest.raises(PreregError, match=why):
        unpack(bundle, tmp_path / "into")


def test_other_files_are_no_bundles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["store", "import", str(tmp_path / "none.zip"), "--store", str(tmp_path / "s")]) == 2
    assert capsys.readouterr().err == f"there is no bundle '{tmp_path}/none.zip'\n"
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("hello", b"x")
    assert main(["replay", str(tmp_path / "other.zip")]) == 2
    assert "no bundle: there is no bundle.json in it" in capsys.readouterr().err
    assert main(["replay", str(tmp_path)]) == 2
    assert "there is no bundle.json in it. Give a bundle, or the folder into which one was" in capsys.readouterr().err
    later = tmp_path / "later.zip"
    with zipfile.ZipFile(later, "w") as archive:
        archive.writestr(INDEX, index_bytes({"bundle": 2, "files": {}}))
    assert main(["replay", str(later)]) == 2
    assert "a bundle of version 2; expected version 1. Use the harness that wrote it" in capsys.readouterr().err


# --- plans of another machine ---


def test_pins_stand_in_for_what_is_not_installed(toy: Repository) -> None:
    bound = load_bound(Path(__file__).parents[2] / "preregs" / "issue_310.yaml", rehearsal=True)
    here = make_plan(bound)
    libraries = next(job.engine for job in here.jobs.values() if job.lane == "model")
    pins = Pins({name: libraries[name] for name in ("torch", "transformers", "peft")})
    assert make_plan(bound, pins=pins).verdict == here.verdict
    assert make_plan(bound, pins=Pins({"torch": "0.1"})).verdict != here.verdict
    assert make_plan(bound).jobs.keys() == here.jobs.keys(), "ordinary plans know no pins"


def test_the_folder_of_finetuning_data_decides_nothing(toy: Repository) -> None:
    def verdict(path: str) -> str:
        data = tuple(each.model_copy(update={"path": path}) for each in bound.data)
        return make_plan(bound.model_copy(update={"data": data}), device="cuda").verdict

    bound = load_bound(Path(__file__).parents[2] / "preregs" / "issue_310.yaml")
    assert any(each.path for each in bound.data)
    assert verdict("here/rows.jsonl") == verdict("there/rows.jsonl")


def test_contents_name_what_they_were_planned_with(bundle: Path) -> None:
    adopt(bundle, Store("s"), Path("files"))
    contents = read_contents(Path("files"))
    assert (contents.id, contents.rehearsal, contents.device) == ("toy", False, "cuda")
    assert set(contents.libraries) == {"torch", "transformers", "peft"}
    assert contents.packages["numpy"]
