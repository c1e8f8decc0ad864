"""``prereg store``: listing, looking at, comparing, checking and clearing what is stored."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from shelves import family, job, put, stocked

from harness.cli import main
from harness.core import tidy
from harness.core.browse import keys, known_path, rows
from harness.core.ident import canonical, guarded
from harness.core.store import Store


def run(*arguments: object) -> int:
    return main(["store", *map(str, arguments)])


def flip(path: Path, at: int = 3) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


# --- ls ---


def test_ls_lists_every_artifact_in_the_order_of_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, jobs = stocked(tmp_path)
    assert run("ls", "--store", tmp_path) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert [line[:12] for line in lines] == sorted(each.key[:12] for each in jobs.values())
    assert last == f"6 artifacts, 93 B in {tmp_path}"
    (line,) = (line for line in lines if "stage[C1.sft]" in line)
    assert re.fullmatch(r"[0-9a-f]{12}  stage/sft +15 B  2026-11-21T08:00:00Z  stage\[C1\.sft\]", line)


@pytest.mark.parametrize(
    ("filters", "labels"),
    [
        (["--kind", "stage"], ["stage[C1.sft]"]),
        (["--kind", "stage/sft"], ["stage[C1.sft]"]),
        (["--kind", "stag"], []),
        (["--label=-C1]"], ["measure[cos-C1]", "measure[rate-C1]"]),
        (["--kind", "probe", "--label", "C1"], ["measure[cos-C1]"]),
    ],
)
def test_ls_filters(filters: list[str], labels: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stocked(tmp_path)
    assert run("ls", "--store", tmp_path, "--json", *filters) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted(each["label"] for each in found) == labels
    for each in found:
        assert set(each) == {"key", "kind", "label", "bytes", "files", "when", "damaged"}


def test_ls_shows_what_has_no_readable_manifest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, jobs = stocked(tmp_path)
    (store.path(jobs["sft"].key) / "manifest.json").unlink()
    (store.path(jobs["rate"].key) / "manifest.json").write_text("{")
    assert run("ls", "--store", tmp_path) == 0
    out = capsys.readouterr().out
    assert re.search(rf"{jobs['sft'].key[:12]}  DAMAGED .*manifest.json is missing", out)
    assert re.search(rf"{jobs['rate'].key[:12]}  DAMAGED .*manifest.json is not what was written", out)


def test_ls_reads_one_artifact_at_a_time(tmp_path: Path) -> None:
    store, jobs = stocked(tmp_path)
    listing = rows(store)
    next(listing)
    left = [each.key for each in jobs.values()]
    for key in left:
        (store.path(key) / "manifest.json").unlink()
    assert all(row.damaged for row in listing), "a line is read when it is asked for, and not before"


def test_a_reader_that_stops_is_no_error(tmp_path: Path) -> None:
    stocked(tmp_path)
    shell = "from harness.cli import main; import sys; sys.exit(main())"
    command = f"{sys.executable} -c '{shell}' store ls --store {tmp_path} | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize("command", [["ls"], ["show", "ab"], ["why", "ab"], ["verify"], ["gc"]])
def test_no_store(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*command, "--store", tmp_path / "none") == 2
    assert capsys.readouterr().err == (
        f"there is no store at {tmp_path}/none. Give it with --store FOLDER or PREREG_STORE\n"
    )
    assert not (tmp_path / "none").exists()


# --- finding ---


def test_a_key_its_beginning_or_a_label(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, jobs = stocked(tmp_path)
    for text in (jobs["sft"].key, jobs["sft"].key[:9], "stage[C1.sft]"):
        assert run("show", text, "--store", tmp_path) == 0
        assert capsys.readouterr().out.startswith(f"stage[C1.sft]\n  key      {jobs['sft'].key}\n")


def test_a_label_of_two_preregs_is_not_guessed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, one = stocked(tmp_path)
    other = family(rate=2e-4)
    for each in other.values():
        put(store, each)
    assert run("show", "verdict", "--store", tmp_path) == 2
    said = capsys.readouterr().err
    assert said.startswith("'verdict' means 2 artifacts; give more of the key, or the prereg that is meant with --of")
    for family_of in (one, other):
        assert f"\n  {family_of['verdict'].key[:16]}  verdict  verdict  2026-11-21T08:00:00Z" in said


def test_nothing_of_that_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stocked(tmp_path)
    assert run("why", "stage[C9.sft]", "--store", tmp_path) == 2
    assert "'stage[C9.sft]' means no artifact of the store" in capsys.readouterr().err
    assert run("why", "00" * 32, "--store", tmp_path) == 2


# --- show ---


def test_show_prints_what_it_is_and_how_it_was_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, jobs = stocked(tmp_path)
    assert run("show", "stage[C1.sft]", "--store", tmp_path) == 0
    out = capsys.readouterr().out
    for part in (
        "  kind     stage/sft v1\n", f"  state    stored in {store.path(jobs['sft'].key)}\n",
        f"  inputs   base: {jobs['base'].key}\n", "max_rss_mb: 310.2\n", "versions: torch 2.8.0\n",
        '"lr": 0.0001', "  files    2, 15 B\n", "       13 B  sub/text.txt\n",
    ):  # fmt: skip
        assert part in out, part
    assert run("show", "stage[C1.sft]", "--json", "--store", tmp_path) == 0
    assert json.loads(capsys.readouterr().out)["key"] == jobs["sft"].key


# --- why ---


def test_why_prints_the_tree_with_what_is_shared_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, jobs = stocked(tmp_path)
    assert run("why", "verdict", "--store", tmp_path) == 0
    short = {name: each.key[:12] for name, each in jobs.items()}
    made = "2026-11-21T08:00:00Z, 2.5 s, peak memory 310 MB, on cpu:0"
    assert (
        capsys.readouterr().out
        == f"""\
verdict  {short["verdict"]}  verdict v1
│ {made}, 9 B, [1]
└─ estimate[shift]  {short["estimate"]}  estimate v1
   │ {made}, 17 B, [1]
   ├─ cos/0: measure[cos-C1]  {short["probe"]}  probe/cos v1
   │  │ {made}, 17 B, [1]
   │  ├─ adapter0: stage[C1.sft]  {short["sft"]}  stage/sft v1
   │  │  │ {made}, 15 B, [1]
   │  │  │ data: file rows.jsonl sha256 abababababab
   │  │  └─ base: model[embedded]  {short["base"]}  model/embedded v1
   │  │       {made}, 17 B, [1]
   │  └─ base: model[embedded]  {short["base"]}  model/embedded v1 (shown above)
   └─ rate/0: measure[rate-C1]  {short["rate"]}  eval/marker_rate v1
      │ {made}, 18 B, [1]
      ├─ adapter0: stage[C1.sft]  {short["sft"]}  stage/sft v1 (shown above)
      └─ base: model[embedded]  {short["base"]}  model/embedded v1 (shown above)

[1] here, python 3.11.7, torch 2.8.0; pytest x.yaml
"""
    )


def test_why_goes_on_where_an_artifact_lies_elsewhere_or_is_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, jobs = stocked(tmp_path)
    raw = (store.path(jobs["sft"].key) / "manifest.json").read_bytes()
    for name in ("sft", "base"):
        assert tidy.remove(store, tidy.Rubbish("artifact", store.path(jobs[name].key), 0, jobs[name].key))
    known_path(store, jobs["sft"].key).parent.mkdir()
    known_path(store, jobs["sft"].key).write_bytes(raw)
    assert run("why", "measure[cos-C1]", "--store", tmp_path) == 0
    out = capsys.readouterr().out
    assert f"adapter0: stage[C1.sft]  {jobs['sft'].key[:12]}  stage/sft v1 (elsewhere)" in out
    assert f"└─ base: {jobs['base'].key[:12]} (not in this store)" in out


# --- diff ---


def test_diff_goes_down_to_the_first_parameter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, one = stocked(tmp_path)
    other = family(rate=2e-4)
    for each in other.values():
        put(store, each)
    assert run("diff", one["estimate"].key, other["estimate"].key, "--store", tmp_path) == 1
    short = {name: f"{one[name].key[:12]} / {other[name].key[:12]}" for name in one}
    assert (
        capsys.readouterr().out
        == f"""\
estimate[shift] ({one["estimate"].key[:12]}) / estimate[shift] ({other["estimate"].key[:12]}):
  input cos/0 differs: measure[cos-C1] ({short["probe"]})
    input adapter0 differs: stage[C1.sft] ({short["sft"]})
      params.lr 0.0001 / 0.0002
  input rate/0 differs: measure[rate-C1] ({short["rate"]})
    input adapter0 differs as above: stage[C1.sft] ({short["sft"]})
"""
    )


def test_diff_names_every_kind_of_field(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path)
    base = job("base")
    one = job(
        "one", "stage/sft", {"base": base}, params={"a": {"b": [1, 2]}, "c": None}, seed=42, engine={"torch": "2.8"}
    )
    other = job(
        "other", "stage/merge", version=2, params={"a": {"b": [1, 3]}, "d": "x" * 99}, seed=43, engine={"torch": "2.9"}
    )
    put(store, one)
    put(store, other)
    assert run("diff", one.key, other.key[:10], "--store", tmp_path) == 1
    assert capsys.readouterr().out.splitlines()[1:] == [
        "  kind stage/sft / stage/merge",
        "  version 1 / 2",
        "  params.a.b[1] 2 / 3",
        f"  params.d (none) / {'x' * 59}…",
        "  seed 42 / 43",
        "  engine.torch 2.8 / 2.9",
        f"  input base {base.key[:12]} / (none)",
    ]


def test_diff_of_files_inputs_that_are_gone_and_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path)
    gone = job("gone"), job("gone too", params={"x": 1})
    one, other = (job("same", "stage/sft", {"base": each}) for each in gone)
    put(store, one)
    put(store, other)
    assert run("diff", one.key, other.key, "--store", tmp_path) == 1
    both = " and ".join(each.key[:12] for each in gone)
    pair = " / ".join(each.key[:12] for each in gone)
    assert capsys.readouterr().out.splitlines()[1:] == [f"  input base {pair} ({both} is not in this store)"]
    assert run("diff", one.key, one.key[:12], "--store", tmp_path) == 0
    assert capsys.readouterr().out == f"the same artifact: same ({one.key[:12]})\n"


# --- verify ---


def test_verify_names_what_is_damaged_and_puts_it_aside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, jobs = stocked(tmp_path)
    assert run("verify", "--store", tmp_path) == 0
    assert capsys.readouterr().out == "6 artifacts checked, 93 B: every byte is as stored\n"
    flip(store.path(jobs["sft"].key) / "sub" / "text.txt")
    flip(store.path(jobs["rate"].key) / "manifest.json", at=30)
    (store.path(jobs["probe"].key) / "manifest.json").unlink()
    (store.path(jobs["estimate"].key) / "more").write_text("?")
    assert run("verify", "--store", tmp_path) == 1
    out = capsys.readouterr().out
    for said in (
        rf"DAMAGED  stage\[C1.sft\]: artifact {jobs['sft'].key[:12]} is damaged: sub/text.txt has another digest",
        rf"artifact {jobs['rate'].key[:12]} is damaged: manifest.json is not what was written",
        rf"artifact {jobs['probe'].key[:12]} is damaged: manifest.json cannot be read",
        rf"artifact {jobs['estimate'].key[:12]} is damaged: more is not in the manifest",
        "6 artifacts checked, 26 B: 4 damaged\n",
    ):
        assert re.search(said, out), said
    assert set(keys(store)) == {jobs["base"].key, jobs["verdict"].key}
    assert store.quarantined() == {jobs[name].key for name in ("sft", "rate", "probe", "estimate")}
    assert run("verify", "--store", tmp_path) == 0, "what was put aside is not told again"


def test_verify_checks_manifests_of_what_lies_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, jobs = stocked(tmp_path)
    path = known_path(store, "ab" * 32)
    path.parent.mkdir()
    path.write_bytes((store.path(jobs["sft"].key) / "manifest.json").read_bytes())
    assert run("verify", "--store", tmp_path) == 1
    assert f"known/{path.name} is not what was written" in capsys.readouterr().out
    assert not path.exists()


def test_verify_checks_stored_simulations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, _ = stocked(tmp_path)
    path = tmp_path / "simulations" / f"{'ab' * 32}.json"
    path.parent.mkdir()
    path.write_bytes(canonical(guarded({"points": {"null": {"supported": 0.01}}})))
    assert run("verify", "--store", tmp_path) == 0
    flip(path, at=path.read_bytes().index(b"0.01") + 2)
    assert run("verify", "--store", tmp_path) == 1
    assert f"simulations/{path.name} is not what was written; it was moved to" in capsys.readouterr().out
    assert not path.exists()
    assert store.quarantined() == {path.stem}


# --- gc ---


@pytest.fixture
def sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a store and a sealed prereg that needs nothing of it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "preregs").mkdir()
    return tmp_path


def test_gc_refuses_to_guess_what_to_keep(sealed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stocked(sealed / "s")
    assert run("gc", "--yes", "--store", sealed / "s") == 2
    assert "there is no sealed prereg in preregs/, so nothing would be kept" in capsys.readouterr().err
    assert run("gc", "--yes", "none.yaml", "--store", sealed / "s") == 2
    assert "there is no file 'none.yaml'" in capsys.readouterr().err
    (sealed / "broken.yaml").write_text("prereg: 1\nid: x\n")
    assert run("gc", "--yes", "broken.yaml", "--store", sealed / "s") == 2
    assert len(list(keys(Store(sealed / "s")))) == 6


def littered(store: Store) -> list[Path]:
    """Leave behind what killed runs leave behind."""
    key = "cd" * 32
    found = [
        store.root / "tmp" / f"{key}.0123abcd" / "half", store.root / "locks" / f"{key}.lock",
        store.root / "locks" / f"{key}.json", store.root / "locks" / ".proof.json.0123abcd",
        store.root / "logs" / "run" / f"{key}.log", store.root / "failures" / "run" / f"{key}.json",
        store.root / "progress" / "run" / f"{key}.json", store.root / "leases" / "host" / "cpu-0.lock",
    ]  # fmt: skip
    for path in found:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    return found


def test_gc_of_leftovers_keeps_every_artifact(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, jobs = stocked(tmp_path)
    kept = store.root / "partial" / ("ef" * 32) / "shard0"
    done = store.root / "partial" / jobs["rate"].key / "shard0"
    for path in (kept, done):
        path.parent.mkdir(parents=True)
        path.write_text("x" * 5)
    left = [*littered(store), done]
    assert run("gc", "--leftovers", "--store", tmp_path) == 0
    out = capsys.readouterr().out
    assert all(path.exists() for path in left)
    assert out.endswith("would remove 5 B\nnothing was deleted; delete with --yes\n")
    assert re.search(r"^ +1 +5 B  unfinished work$", out, re.MULTILINE)
    assert run("gc", "--leftovers", "--yes", "--store", tmp_path) == 0
    assert not any(path.exists() for path in left)
    assert kept.exists(), "work that is not finished is kept"
    assert set(keys(store)) == {each.key for each in jobs.values()}
    assert (store.root / "locks" / "proof.json").exists()
    assert list((store.root / "tmp").iterdir()) == []
    capsys.readouterr()
    assert run("gc", "--leftovers", "--yes", "--store", tmp_path) == 0
    assert capsys.readouterr().out == "nothing to clear away\n"


def test_gc_leaves_a_store_in_which_jobs_are_at_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, _ = stocked(tmp_path)
    left = littered(store)
    with store.lock("ef" * 32, "stage[C2.sft]"):
        assert run("gc", "--leftovers", "--yes", "--store", tmp_path) == 2
    said = capsys.readouterr()
    assert "at work: stage[C2.sft] (pid" in said.out
    assert "jobs are at work in this store, and what they read must stay" in said.err
    assert all(path.exists() for path in left)


def test_removing_takes_the_lock_of_the_key(tmp_path: Path) -> None:
    store, jobs = stocked(tmp_path)
    each = tidy.Rubbish("artifact", store.path(jobs["sft"].key), 1, jobs["sft"].key)
    with store.lock(jobs["sft"].key):
        assert not tidy.remove(store, each)
        assert store.has(jobs["sft"].key)
    assert tidy.remove(store, each)
    assert not store.has(jobs["sft"].key)
    assert not (store.root / "locks" / f"{jobs['sft'].key}.lock").exists()
    assert tidy.remove(store, each), "what is gone already is gone"


def test_a_killed_deletion_leaves_the_artifact_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, jobs = stocked(tmp_path)
    key = jobs["sft"].key

    def killed(path: Path, **_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tidy.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            tidy.remove(store, tidy.Rubbish("artifact", store.path(key), 1, key))
    assert not store.has(key)
    assert len(list((store.root / "tmp").iterdir())) == 1
    put(store, jobs["sft"])
    assert list((store.root / "tmp").iterdir()) == [], "the next writer sweeps what was being deleted"
