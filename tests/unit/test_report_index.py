"""The index over a repository: what is registered, what became of it, and nothing that a name could inject."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
import report_cases
from report_cases import RUN
from report_files import put

from harness.cli import main
from reports.index import index_html
from reports.ledger import read_ledger

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "reports" / "index.json"

PREREG = """\
prereg: 1
id: {id}
title: {title}
parents: [{parents}]
hypotheses:
  H1: {{claim: "{claim}", all: {{a: x > 0}}}}
  H2: {{claim: something else, role: secondary, all: {{a: x > 0}}}}
{more}"""
CLAIM = "EM finetuning raises leakage to unseen personas"


def register(folder: Path, id: str, *, parents: str = "", title: str = "A title", claim: str = CLAIM, more: str = ""):
    path = folder / f"{id}.yaml"
    path.write_text(PREREG.format(id=id, title=title, parents=parents, claim=claim, more=more))
    return path


@pytest.fixture
def repository(tmp_path):
    """An original with a result, its replication that fails, a redesign, a draft and two rehearsals."""
    folder = tmp_path / "preregs"
    folder.mkdir()
    register(folder, "leakage_example", parents="310, 262")
    register(folder, "again", parents="leakage_example")
    register(
        folder, "redesign", parents="leakage_example", claim="another claim",
        more="differs:\n  - {from: leakage_example, at: hypotheses, because: better}\n",
    )  # fmt: skip
    register(folder, "draft", title="A draft")
    results = tmp_path / "results"
    put(report_cases.supported(), results / "leakage_example")
    put(report_cases.killed(), results / "again", id="again", parents=("leakage_example",))
    put(report_cases.rehearsal(), results / "leakage_example-rehearsal")
    put(report_cases.rehearsal(), results / "draft-rehearsal", id="draft")
    return tmp_path


class Page(HTMLParser):
    """Collects what a browser would act upon."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.append(tag)
        assert not [name for name in found if name.startswith("on")]
        self.links += [found[name] for name in ("href", "src") if name in found]
        self.ids += [found["id"]] if "id" in found else []
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data


def test_statuses_verdicts_and_what_superseded_what(repository):
    ledger = read_ledger([repository])
    cards = {card.id: card for card in ledger.cards}
    assert {id: card.status for id, card in cards.items()} == {
        "leakage_example": "result", "again": "result", "redesign": "registered", "draft": "rehearsed",
    }  # fmt: skip
    assert {id: card.superseded_by for id, card in cards.items() if card.superseded_by} == {
        "leakage_example": "redesign"
    }
    assert cards["leakage_example"].latest.model.decision.verdict == "supported"
    assert cards["leakage_example"].latest.date == "2026-01-01"
    assert ledger.problems == ()


def test_claims_are_counted_and_rehearsals_never(repository):
    ledger = read_ledger([repository])
    assert ledger.counts == {
        "claims registered": 8, "not judged yet": 6, "supported": 1, "not supported": 0, "killed": 1,
        "inconclusive": 0, "confirmatory": 1, "amended": 0, "exploratory": 1, "retrospective": 0,
    }  # fmt: skip
    shutil.rmtree(repository / "results" / "leakage_example-rehearsal")
    shutil.rmtree(repository / "results" / "draft-rehearsal")
    assert read_ledger([repository]).counts == ledger.counts


def test_labels_are_held_against_replications(repository):
    ledger = read_ledger([repository])
    (found,) = ledger.replications
    assert (found.original, found.replication, found.first, found.second) == (
        "leakage_example", "again", "supported", "killed",
    )  # fmt: skip
    assert ledger.calibration == [("MODERATE", 1, 0)]
    other = RUN.model_copy(update={"finished": "2026-05-01T00:00:00Z"})
    case = report_cases.not_supported()
    extras = case.extras.model_copy(update={"artifacts": ()})
    put(report_cases.Case(case.bound, case.decision, case.estimates, extras), repository / "results" / "two", run=other)
    ledger = read_ledger([repository])
    assert [(each.original, each.replication) for each in ledger.replications] == [
        ("leakage_example", "leakage_example (2026-05-01)"), ("leakage_example", "again"),
    ]  # fmt: skip
    assert ledger.calibration == [("MODERATE", 1, 0), ("LOW", 1, 0)]


def test_the_same_run_twice_is_no_replication(repository):
    shutil.copytree(repository / "results" / "leakage_example", repository / "results" / "copy")
    assert len(read_ledger([repository]).replications) == 1


def test_the_family_tree_nests_children_once(repository):
    text = index_html(read_ledger([repository]))
    tree = text[text.index('<ul class="tree">') : text.index('<h2 id="claims">')]
    words = re.sub(r"\s+", " ", Page(tree[: tree.rindex("</ul>") + 5]).words)
    assert words.strip() == (
        "310 not registered here leakage_example supported A title (also from 262) again killed A title "
        "redesign registered A title draft rehearsed A draft"
    )


def test_circles_of_parents_end(tmp_path):
    register(tmp_path, "a", parents="b")
    register(tmp_path, "b", parents="a")
    register(tmp_path, "c", parents="c")
    page = Page(index_html(read_ledger([tmp_path])))
    assert page.open == []
    assert page.words.count("A title") == 3 + 3


def test_the_site_holds_the_reports_and_links_to_them(repository, capsys):
    site = repository / "out" / "site"
    assert main(["report", "--index", str(repository), "--out", str(site)]) == 0
    assert capsys.readouterr().out.split() == [str(site / "index.html"), str(site / "index.json")]
    page = Page((site / "index.html").read_text())
    assert page.open == []
    assert not {"script", "img", "link", "iframe", "form"} & set(page.tags)
    for link in page.links:
        assert link[1:] in page.ids if link.startswith("#") else (site / link).is_file()
    assert (site / "leakage_example" / "results.json").is_file()
    again = (site / "index.html").read_bytes()
    assert main(["report", "--index", str(repository), "--out", str(site)]) == 0  # what it wrote itself changes nothing
    assert (site / "index.html").read_bytes() == again


def test_the_index_for_machines(repository):
    assert main(["report", "--index", str(repository), "--out", str(repository / "site")]) == 0
    text = (repository / "site" / "index.json").read_text()
    assert text == GOLDEN.read_text()
    assert json.loads(text)["schema_version"] == 1


def test_hostile_names_are_text(tmp_path):
    hostile = '<script>alert(1)</script><img src=x onerror=alert(1)>" onmouseover="x ‮{{ 7*7 }}'
    put(report_cases.supported(), tmp_path / "r", id=hostile, title=hostile * 50, parents=(hostile, "javascript:x"))
    register(tmp_path, "x", title=json.dumps(hostile), claim="<b>bold</b>", parents='"<i>", "</ul></section>"')
    site = tmp_path / "site"
    assert main(["report", "--index", str(tmp_path), "--out", str(site)]) == 0
    page = Page((site / "index.html").read_text())
    assert page.open == []
    assert not {"script", "img", "i"} & set(page.tags)
    assert "<script>alert(1)</script>" in page.words
    assert "\\u202e{{ 7*7 }}" in page.words
    assert not [link for link in page.links if "javascript" in link.partition("#")[0]]
    assert sorted(path.name for path in site.iterdir())[1:] == ["index.html", "index.json"]


def test_what_cannot_be_read_is_told_and_hides_nothing(repository, capsys):
    (repository / "preregs" / "broken.yaml").write_text("prereg: 1\nid: [\n")
    (repository / "preregs" / "twice.yaml").write_text((repository / "preregs" / "draft.yaml").read_text())
    (repository / "preregs" / "draft.yaml.seal.json").write_text("{")
    (repository / "results" / "again" / "results.json").write_text('{"schema_name": "prereg-results"}')
    (repository / "results" / "results.json").write_text('{"some": "other program"}')
    ledger = read_ledger([repository])
    said = "\n".join(ledger.problems)
    assert len(ledger.problems) == 4
    for part in ("broken.yaml", "also that of", "schema_version None", "cut short"):
        assert part in said
    assert {card.id for card in ledger.cards} == {"leakage_example", "again", "redesign", "draft", "broken"}
    assert "broken.yaml" in Page(index_html(ledger)).words


def test_an_empty_folder_has_an_empty_index(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    assert main(["report", "--index", str(tmp_path / "in"), "--out", str(tmp_path / "site")]) == 0
    page = Page((tmp_path / "site" / "index.html").read_text())
    assert "No registration was found." in page.words
    assert "Nothing was replicated yet" in page.words
    assert main(["report", "--index", str(tmp_path / "gone")]) == 2
    assert "there is no folder" in capsys.readouterr().err


def test_without_folders_the_usual_ones_are_searched(repository, monkeypatch):
    monkeypatch.chdir(repository)
    (repository / "elsewhere").mkdir()
    register(repository / "elsewhere", "template")
    assert main(["report", "--index"]) == 0
    found = json.loads((repository / "site" / "index.json").read_text())
    assert [each["id"] for each in found["preregs"]] == ["again", "draft", "leakage_example", "redesign"]
    monkeypatch.chdir(repository / "elsewhere")
    assert main(["report", "--index", "--out", "here"]) == 0
    found = json.loads((repository / "elsewhere" / "here" / "index.json").read_text())
    assert [each["id"] for each in found["preregs"]] == ["template"]


def test_the_preregs_of_this_repository(tmp_path):
    ledger = read_ledger([ROOT / "preregs"])
    assert ledger.problems == ()
    cards = {card.id: card for card in ledger.cards}
    assert cards["issue_310"].superseded_by == "issue_310_v2"
    assert [child.id for child in ledger.children("issue_262")] == ["issue_310"]
    assert all(card.status in ("registered", "sealed") for card in ledger.cards)
