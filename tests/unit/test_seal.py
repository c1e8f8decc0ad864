"""The seal: what it holds, what it refuses, and every way to tamper with it that can be found."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sealing import TABLE, Repository, faults

from harness.cli import main
from harness.compose import declare_kinds
from harness.core.errors import PreregError
from harness.core.ident import digest
from harness.core.store import Store
from harness.plan.register import Place, seal_file
from harness.spec.seal import read_seal


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


# --- what a seal holds ---


def test_a_seal_says_what_when_who_and_from_where(repo: Repository) -> None:
    commit = repo.git("rev-parse", "HEAD")
    seal = repo.sealed()
    assert seal == read_seal(repo.seal)
    (entry,) = seal.entries
    assert (entry.kind, entry.author, entry.commit, entry.clean) == ("seal", "Ada <ada@example.org>", commit, True)
    assert {file.key for file in entry.files} == {"dims.item.file", "measures.table.file"}
    assert digest(entry.meaning) == entry.meaning_sha256
    assert entry.meaning["hypotheses"]["H1"]["role"] == "primary"  # a default, written out
    assert entry.source == repo.file.read_text()
    assert repo.verify().holds


def test_an_uncommitted_file_is_noted(repo: Repository) -> None:
    repo.change("A toy", "A small toy")
    assert not repo.sealed().first.clean


def test_every_pending_pin_is_refused_at_once(repo: Repository) -> None:
    more = (
        "models: {m: {hf: a/b, revision: PENDING}}\n"
        "data: {d: {hf: c/d, revision: PENDING}}\nrehearsal: {models: {m: {hf: e/f, revision: PENDING}}}\n"
    )
    repo.file.write_text(repo.file.read_text() + more)
    with pytest.raises(PreregError) as caught:
        repo.sealed()
    assert [problem.where.key for problem in caught.value.problems] == ["models.m.revision", "data.d.revision"]
    assert not repo.seal.exists()


def test_an_error_of_the_checker_is_refused_unless_accepted(repo: Repository) -> None:
    repo.change("none: ci(shift) < 0.1", "none: shift < 0.1")
    with pytest.raises(PreregError, match="KILL-POINT"):
        repo.sealed()
    accepted = "allow: [{finding: KILL-POINT, at: kill.none, because: it was filed so}]\n"
    repo.file.write_text(repo.file.read_text() + accepted)
    assert repo.sealed().first.meaning["allow"]


def test_nothing_is_sealed_twice(repo: Repository) -> None:
    repo.sealed()
    with pytest.raises(PreregError, match="is there already"):
        repo.sealed()


# --- amendments ---


def test_an_amendment_says_what_changed_in_the_words_of_the_file(repo: Repository) -> None:
    repo.sealed()
    repo.change("shift >= 0.5", "shift >= 0.3")
    repo.change("estimands:\n", "# why\nestimands:\n")
    seal = repo.amended("0.5 was a slip")
    assert [str(change) for change in seal.last.changes] == ["hypotheses.H1.all.big: shift >= 0.5 -> shift >= 0.3"]
    assert seal.last.because == "0.5 was a slip"
    assert seal.last.previous == seal.first.hash
    assert seal.known_before(1) == ("table",)  # it was there, whether or not anybody had run anything on it
    assert repo.verify().holds


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("claim: b is above a", "claim: b is far above a", "hypotheses.H1.claim: b is above a -> b is far above a"),
        ("  none: ci(shift) < 0.1\n", "  none: ci(shift) < 0.1\n  all: ci(shift) < 0\n",
         "kill.all: (not there) -> ci(shift) < 0"),
        ("      clear: ci(shift) > 0\n", "", "hypotheses.H1.all.clear: ci(shift) > 0 -> (not there)"),
        ("  - H1: b is above a -> go on", "  - H1: b is above a -> go far",
         "triage[0]: H1: b is above a -> go on -> H1: b is above a -> go far"),
    ],
)  # fmt: skip
def test_semantic_differences_in_words(repo: Repository, old: str, new: str, said: str) -> None:
    repo.sealed()
    repo.change(old, new)
    assert [str(change) for change in repo.amended().last.changes] == [said]


def test_what_means_the_same_is_no_amendment(repo: Repository) -> None:
    repo.sealed()
    repo.change("claim: b is above a", "role: primary\n    claim:   b is above a")
    with pytest.raises(PreregError, match="nothing has changed in meaning"):
        repo.amended()


def test_a_changed_rehearsal_is_told_and_is_no_deviation(repo: Repository) -> None:
    repo.sealed()
    repo.file.write_text(repo.file.read_text() + "rehearsal: {inference: {draws: 2000}}\n")
    found = repo.verify()
    assert found.holds
    assert any("no deviation: " in note and "rehearsal.inference.draws" in note for note in found.notes)


def test_a_changed_bank_is_told_level_by_level(repo: Repository) -> None:
    repo.sealed()
    repo.change("text: item 2", "text: thing 2", repo.folder / "banks" / "items.yaml")
    (change,) = repo.amended().last.changes
    assert str(change) == "dims.item.texts.i2: item 2 -> thing 2"


@pytest.mark.parametrize("revision", ["main", "v1.0", "a09a354"])
def test_a_revision_that_moves_is_not_sealed(tmp_path: Path, revision: str) -> None:
    declare_kinds()
    preregs = Path(__file__).parents[2] / "preregs"
    for name in ("banks", "tables"):
        shutil.copytree(preregs / name, tmp_path / name)
    file = tmp_path / "study.yaml"
    text = (preregs / "issue_310_v2.yaml").read_text().replace("PENDING", "0" * 40)
    file.write_text(text.replace("a09a35458c702b33eeacc393d103063234e8bc28", revision))
    with pytest.raises(PreregError, match=f"PIN: the revision '{revision}' of Qwen/Qwen2.5-7B-Instruct"):
        seal_file(file, Place(Store(tmp_path / ".prereg"), tmp_path / "results"))
    assert not (tmp_path / "study.yaml.seal.json").exists()


def test_an_amendment_needs_a_reason_and_a_seal_that_holds(repo: Repository) -> None:
    with pytest.raises(PreregError, match="not sealed"):
        repo.amended()
    repo.sealed()
    repo.change("shift >= 0.5", "shift >= 0.3")
    with pytest.raises(PreregError, match="without a reason"):
        repo.amended(" ")
    with pytest.raises(PreregError, match="the reason 'x' is too short; expected at least 3 characters"):
        repo.amended(" x ")
    repo.edit(lambda seal: seal["entries"][0].update(author="Bob"))
    with pytest.raises(PreregError, match="its author was edited"):
        repo.amended()


def test_an_amendment_after_results_is_marked(repo: Repository) -> None:
    repo.sealed()
    results = repo.folder / "results" / "toy" / "results.json"
    results.parent.mkdir(parents=True)
    results.write_text("{}")
    repo.change("shift >= 0.5", "shift >= 0.3")
    seal = repo.amended()
    assert seal.known_before(1) == ("table", "the report")
    (note,) = [note for note in repo.verify().notes if "amended after" in note]
    assert note.endswith("amended after measurements existed: table, the report")


# --- what is no change ---


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# A toy for the seal.", "# Another comment."),
        ("shift >= 0.5", "shift  >=  0.5"),
        ("shift >= 0.5", "shift >= 0.50"),
        ("claim: b is above a", "role: primary\n    claim: b is above a"),
        ("title: A toy\nquestion: Is b above a?", "question: 'Is b above a?'\ntitle: A toy"),
        ("file: banks/items.yaml, primary: mean", "primary: mean, file: banks/items.yaml"),
    ],
)  # fmt: skip
def test_comments_order_formatting_and_defaults_are_free(repo: Repository, old: str, new: str) -> None:
    repo.sealed()
    repo.change(old, new)
    found = repo.verify()
    assert found.holds, faults(found)
    assert "the text differs from the sealed one, the meaning does not" in found.notes


def test_a_comment_in_a_bank_is_free(repo: Repository) -> None:
    repo.sealed()
    repo.change("# items", "# all items", repo.folder / "banks" / "items.yaml")
    assert repo.verify().holds


# --- tampering ---


def entry(number: int, **fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda seal: seal["entries"][number].update(fields)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (entry(0, when="2001-01-01T00:00:00Z"), "its time was edited (it reads '2001-01-01T00:00:00Z')"),
        (entry(0, tool="9.9"), "its tool version was edited (it reads '9.9')"),
        (entry(0, commit="0" * 40), "its git commit was edited"),
        (entry(0, author="Bob"), "its author was edited (it reads 'Bob')"),
        (entry(0, clean=False), "its note whether the tree was clean was edited"),
        (entry(0, measured=[{"name": "m", "key": "k", "when": "", "of": "arm"}]), "what had been measured was edited"),
        (entry(0, files=[]), "its list of files was edited"),
        (entry(1, because="a better reason"), "its reason was edited (it reads 'a better reason')"),
        (entry(1, changes=[]), "its list of changes was edited"),
        (entry(0, source="prereg: 1"), "its text of the registration was edited"),
        (lambda seal: seal["entries"][0]["meaning"].update(title="B"), "its registered meaning was edited"),
        (lambda seal: seal["entries"][0]["digests"].update(when="0" * 64), "its time was edited"),
        (lambda seal: seal["entries"].pop(), "an entry at the end was removed"),
        (lambda seal: seal["entries"].pop(0), "follows an entry that is not here"),
        (lambda seal: seal["entries"].pop(1), "does not follow the seal of"),
        (lambda seal: seal["entries"].reverse(), "stands where the seal belongs"),
        (lambda seal: seal["entries"][1:3].reverse() or seal["entries"].insert(1, seal["entries"].pop(2)),
         "was removed, put in or moved"),
        (lambda seal: seal.update(id="other"), "and this is the seal of 'other'"),
    ],
)  # fmt: skip
def test_an_edited_seal_is_found_and_named(repo: Repository, edit: Callable[[dict[str, Any]], None], said: str) -> None:
    repo.sealed()
    repo.change("shift >= 0.5", "shift >= 0.3")
    repo.amended()
    repo.change("shift >= 0.3", "shift >= 0.2")
    repo.amended()
    assert repo.verify().holds
    repo.edit(edit)
    found = repo.verify()
    assert said in faults(found)


def test_a_changed_threshold_is_named(repo: Repository) -> None:
    repo.sealed()
    repo.change("shift >= 0.5", "shift >= 0.3")
    assert repo.verify().faults == (
        "changed without an amendment: hypotheses.H1.all.big: shift >= 0.5 -> shift >= 0.3",
    )


def test_a_replaced_bank_is_named(repo: Repository) -> None:
    repo.sealed()
    repo.change("item 2", "thing 2", repo.folder / "banks" / "items.yaml")
    assert repo.verify().faults == ("changed without an amendment: dims.item.texts.i2: item 2 -> thing 2",)


def test_a_replaced_table_is_named(repo: Repository) -> None:
    repo.sealed()
    repo.change("2.2", "3.2", repo.folder / "tables" / "toy.csv")
    (fault,) = repo.verify().faults
    assert fault.startswith("changed without an amendment: measures.table.file: tables/toy.csv with sha256")


def test_replaced_data_outside_the_repository_are_named(repo: Repository, tmp_path_factory: Any) -> None:
    data = tmp_path_factory.mktemp("data")
    (data / "toy.csv").write_text(TABLE)
    repo.change("file: tables/toy.csv", "file: 'data:toy.csv'")
    from harness.plan.register import Place, seal_file

    seal_file(repo.file, Place(repo.place.store, repo.place.results, data))
    assert repo.verify(data=data).holds
    assert repo.verify().holds  # a machine without the data can verify the rest
    (data / "toy.csv").write_text(TABLE.replace("2.2", "3.2"))
    assert "the file 'data:toy.csv' was replaced" in faults(repo.verify(data=data))


def test_swapped_seals_are_named(repo: Repository, tmp_path_factory: Any) -> None:
    other = Repository(tmp_path_factory.mktemp("other"), "other")
    repo.sealed()
    other.sealed()
    repo.seal.write_bytes(other.seal.read_bytes())
    assert "the seal is that of 'other', and this prereg is 'toy'" in faults(repo.verify())


def test_a_deleted_seal_is_in_the_history(repo: Repository) -> None:
    repo.sealed()
    repo.commit()
    repo.seal.unlink()
    assert "was deleted; it is in commit" in faults(repo.verify())
    with pytest.raises(PreregError, match="its seal was removed"):
        repo.sealed()


@pytest.mark.parametrize("keep", [0, 1, 200, -30])
def test_a_truncated_seal_is_refused(repo: Repository, keep: int, capsys: pytest.CaptureFixture[str]) -> None:
    repo.sealed()
    repo.seal.write_bytes(repo.seal.read_bytes()[:keep])
    assert main(["verify", str(repo.file)]) == 2
    assert "no JSON, it may have been cut short" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["[]", "{}", '{"seal": 2, "entries": []}', '{"seal": 1, "entries": [{}]}'])
def test_json_that_is_no_seal_is_refused(repo: Repository, content: str) -> None:
    repo.seal.write_text(content)
    with pytest.raises(PreregError, match="seal"):
        repo.verify()


# --- tampering that makes every hash fit again: only evidence from elsewhere finds it ---


def test_a_back_dated_seal_is_older_than_the_commit_it_names(repo: Repository) -> None:
    repo.sealed()
    repo.forge(entry(0, when="2001-01-01T00:00:00Z"))
    found = repo.verify()
    assert "is back-dated: it names the commit" in faults(found)


def test_a_rewritten_chain_is_not_the_one_that_was_committed(repo: Repository) -> None:
    repo.sealed()
    repo.change("shift >= 0.5", "shift >= 0.3")
    repo.amended("0.5 was a slip")
    repo.commit()
    repo.forge(entry(1, because="the reviewer asked for it"))
    assert "is not the one that was committed in" in faults(repo.verify())


def test_an_amendment_dropped_from_a_forged_chain_is_in_the_history(repo: Repository) -> None:
    repo.sealed()
    repo.change("shift >= 0.5", "shift >= 0.3")
    repo.amended()
    repo.commit()
    repo.change("shift >= 0.3", "shift >= 0.5")
    repo.forge(lambda seal: seal["entries"].pop())
    assert "entry 1 that was committed in" in faults(repo.verify())


def test_a_seal_made_anew_is_not_the_one_that_was_committed(repo: Repository) -> None:
    repo.sealed()
    repo.commit()
    repo.change("shift >= 0.5", "shift >= 0.3")
    repo.seal.unlink()
    with pytest.raises(PreregError, match="its seal was removed"):
        repo.sealed()
    repo.git("checkout", "-q", "HEAD", "--", repo.seal.name)
    repo.forge(entry(0, author="Bob"))
    assert "the chain was rewritten" in faults(repo.verify())


def test_a_forged_commit_does_not_hold_the_registration(repo: Repository) -> None:
    first = repo.git("rev-parse", "HEAD")
    repo.change("shift >= 0.5", "shift >= 0.3")
    repo.commit()
    repo.sealed()
    repo.forge(entry(0, commit=first))
    assert "which holds another text" in faults(repo.verify())
    repo.forge(entry(0, commit="1" * 40))
    assert "which this repository does not have" in faults(repo.verify())


def test_a_meaning_put_around_the_same_text_is_found_by_binding(repo: Repository) -> None:
    repo.sealed()
    repo.forge(lambda seal: seal["entries"][0]["meaning"].update(title="Another toy"))
    assert repo.verify().holds  # the bytes are those that were sealed; a run, which binds them, sees it as well
    assert "title: Another toy -> A toy" in faults(repo.verify(full=True))


def test_without_git_history_a_forged_time_is_its_authors_word(repo: Repository) -> None:
    """What this tool cannot find: a seal that is new, forged whole, and named no commit. It says that it cannot."""
    repo.sealed()
    repo.forge(entry(0, when="2001-01-01T00:00:00Z", commit="", clean=False))
    found = repo.verify()
    assert found.holds
    assert "the seal is not committed: its time is its author's word" in found.notes


# --- the command line ---


def test_verify_starts_without_anything_heavy(repo: Repository) -> None:
    """What takes long to import is not imported: verify is a process of its own in every pipeline."""
    repo.sealed()
    heavy = {"numpy", "scipy", "pandas", "torch", "pydantic", "lark", "yaml", "harness.compile.bind"}
    code = (
        f"import sys; from harness.cli import main; main(['verify', 'toy.yaml']); print({heavy!r} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=repo.folder, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_exit_codes_and_json(repo: Repository, monkeypatch: Any, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(repo.folder)
    assert main(["verify", "toy.yaml"]) == 2
    assert main(["verify", "nothing.yaml"]) == 2
    assert main(["seal", "toy.yaml", "--json"]) == 0
    capsys.readouterr()
    assert main(["verify", "toy.yaml", "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert told["holds"] is True
    assert told["id"] == "toy"
    repo.change("shift >= 0.5", "shift >= 0.3")
    assert main(["verify", "toy.yaml", "--json"]) == 1
    (told,) = json.loads(capsys.readouterr().out)
    assert told["faults"] == ["changed without an amendment: hypotheses.H1.all.big: shift >= 0.5 -> shift >= 0.3"]
    assert main(["amend", "toy.yaml", "--because", "a slip"]) == 0
    assert main(["verify", "toy.yaml"]) == 0
    assert "holds (sealed" in capsys.readouterr().out
    assert main(["verify", "toy.yaml", "nothing.yaml"]) == 2
