"""The index in a real browser: no message, no request, nothing run, accessible, and links that lead somewhere."""

from __future__ import annotations

import json
from pathlib import Path

import browser_pages
import pytest
import report_cases
from report_files import put

from reports.index import write_index

pytestmark = pytest.mark.browser
AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
PREREG = "prereg: 1\nid: {id}\ntitle: {title}\nparents: [{parents}]\nhypotheses:\n  H1: {{claim: {title}}}\n"


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Indexes of an ordinary repository, of a hostile one, and of an empty folder."""

    def page(name: str) -> Path:
        site = folder / name / "site" / "index.html"
        if not site.is_file():
            _repositories[name](folder / name)
            write_index([folder / name], site.parent)
        return site

    folder = tmp_path_factory.mktemp("indexes")
    return page


def ordinary(folder: Path) -> None:
    put(report_cases.supported(), folder / "leakage_example")
    put(report_cases.killed(), folder / "again", id="again", parents=("leakage_example",))
    put(report_cases.gate_failed(), folder / "third", id="third", parents=("again", "99"))
    (folder / "draft.yaml").write_text(PREREG.format(id="draft", title="A draft", parents="third"))


def hostile(folder: Path) -> None:
    bad = browser_pages.HOSTILE
    put(report_cases.supported(), folder / "a", id=bad, title=bad * 3, parents=(bad[:40], bad))
    put(report_cases.killed(), folder / "b", id="__proto__", title="x" * 5000, parents=(bad,))
    title = json.dumps("".join(char for char in bad if char.isprintable()))
    (folder / "c.yaml").write_text(PREREG.format(id="c", title=title, parents=title), encoding="utf-8")


def empty(folder: Path) -> None:
    folder.mkdir()


_repositories = {"ordinary": ordinary, "hostile": hostile, "empty": empty}


@pytest.mark.parametrize("name", sorted(_repositories))
@pytest.mark.parametrize(("dark", "width"), [(False, 1200), (True, 1200), (False, 360)])
def test_the_index_is_quiet_and_accessible(open_page, name, dark, width):
    driver = open_page(name, dark=dark, width=width, policy=False)
    assert driver.execute_script("return window.pwned") is None
    assert driver.execute_script("return document.scripts.length") == 0
    wide = driver.execute_script("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0
    driver.execute_script(AXE.read_text(encoding="utf-8"))
    found = driver.execute_async_script(
        "const done = arguments[arguments.length - 1];"
        "axe.run(document, { resultTypes: ['violations'] }).then((all) => done(all.violations.map("
        "(each) => [each.id, each.impact, each.nodes.slice(0, 3).map((node) => node.html.slice(0, 200))])));"
    )
    assert found == []


def test_every_link_leads_somewhere(open_page, pages):
    driver = open_page("ordinary")
    links = driver.execute_script("return [...document.links].map((link) => link.getAttribute('href'))")
    assert len(links) > 6
    for link in links:
        if link.startswith("#"):
            assert driver.execute_script("return document.getElementById(arguments[0]) !== null", link[1:])
        else:
            assert (pages("ordinary").parent / link).is_file()


def test_the_tree_and_the_tally_are_seen(open_page):
    driver = open_page("ordinary")
    tally = driver.execute_script("return document.querySelector('.tally').innerText.replace(/\\s+/g, ' ')")
    assert tally.startswith("4 claims registered 1 supported 0 not supported 1 killed 1 inconclusive 1 not judged yet")
    depth = driver.execute_script("return document.querySelectorAll('.tree ul ul ul').length")
    assert depth == 2
