"""report.html without a browser: what it is written from, what it forbids, how large it gets, and that bytes repeat."""

import base64
import hashlib
import html as entities
import io
import json
import re
from html.parser import HTMLParser

import pytest
import report_cases
from html_cases import page_of, picked, sample
from report_cases import RUN

from reports import render
from reports.html import completions, page
from reports.model import load
from reports.records import Extras

# --- writing ---


def test_the_page_is_written_beside_the_rest_and_rebuilt_from_it_alone(tmp_path):
    case = report_cases.supported()
    first, second = tmp_path / "first", tmp_path / "second"
    shown = completions.browser(case.bound, case.extras)
    render.write(case.model, RUN, first, figures=False, completions=lambda: shown)
    assert {"report.html", completions.FILE} <= set(json.loads((first / "run.json").read_text())["files"])
    model = load(first / "results.json")
    beside = completions.unpacked(first / completions.FILE, model)
    render.write(model, RUN.model_copy(update={"host": "elsewhere"}), second, figures=False, completions=lambda: beside)
    for name in ("report.html", completions.FILE):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_a_report_written_again_in_its_folder_keeps_the_completions(tmp_path):
    case = report_cases.supported()
    render.write(
        case.model, RUN, tmp_path, figures=False, completions=lambda: completions.browser(case.bound, case.extras)
    )
    before = (tmp_path / "report.html").read_bytes()
    (tmp_path / "clean_result.md").unlink()
    render.write(load(tmp_path / "results.json"), RUN, tmp_path, figures=False)
    assert (tmp_path / "report.html").read_bytes() == before
    assert b"Answer 00 of" in before


def test_other_completions_of_the_same_result_are_written_up_again(tmp_path):
    case = report_cases.supported()
    render.write(
        case.model, RUN, tmp_path, figures=False, completions=lambda: completions.browser(case.bound, case.extras)
    )
    other = case.extras.model_copy(update={"samples": (*case.extras.samples, sample("one more"))})
    render.write(case.model, RUN, tmp_path, figures=False, completions=lambda: completions.browser(case.bound, other))
    assert b"one more" in (tmp_path / "report.html").read_bytes()


# --- the page: policy, escaping, size ---


class Reader(HTMLParser):
    """Gathers tags, attributes, and the text of scripts and styles."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.inside, self.texts = [], [], "", []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        self.inside = tag if tag in ("script", "style") else self.inside

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        if self.inside:
            self.texts.append((self.inside, data))


def read(text):
    reader = Reader()
    reader.feed(text)
    return reader


def test_the_policy_names_this_script_and_this_style_and_nothing_else():
    reader = read(page_of(report_cases.supported()))
    policy = next(value for tag, name, value in reader.attributes if tag == "meta" and "default-src" in (value or ""))
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    for kind in ("style", "script"):
        text = next(data for inside, data in reader.texts if inside == kind)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy


def test_the_page_points_nowhere_outside_itself():
    case = report_cases.supported()
    reader = read(page_of(case, completions=completions.browser(case.bound, case.extras)))
    outside = [
        value for _, name, value in reader.attributes if name in ("href", "src", "action", "srcset", "xlink:href")
    ]
    assert outside
    assert all(value.startswith("#") for value in outside)
    style = next(data for inside, data in reader.texts if inside == "style")
    assert "url(" not in style
    assert "@import" not in style
    names = {name for _, name, _ in reader.attributes}
    assert not {name for name in names if name.startswith("on")}
    assert "style" not in names


def test_embedded_completions_hold_no_tag_and_no_line_separator():
    found = picked(sample("</script><script>alert(1)</script> <!-- \u2028 & \u2029 é 漢"))
    embedded = str(page._embedded(found))
    assert not set("<>&\u2028\u2029") & set(embedded)
    rows = json.loads(embedded)["rows"]
    assert "".join(rows[0][9]) == "</script><script>alert(1)</script> <!-- \\u2028 & \\u2029 é 漢"


@pytest.mark.parametrize("case", report_cases.CASES.values(), ids=report_cases.CASES)
def test_every_verdict_and_standing_has_a_page(case):
    text = page_of(case())
    model = case().model
    heading = entities.unescape(re.sub(r"<[^>]+>", "", text.split("<h1>")[1].split("</h1>")[0]))
    assert heading.startswith("REHEARSAL") == model.registration.rehearsal
    for result in model.decision.hypotheses:
        assert result.verdict in text
    assert text.index('id="before"') < text.index('id="results"') < text.index('id="criteria"')
    assert "Markup(" not in text
    assert "**" not in re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert text == page_of(case())


def drawn(width, height):
    from PIL import Image

    out = io.BytesIO()
    Image.effect_noise((width, height), 90).convert("RGBA").save(out, "PNG")
    return out.getvalue()


def test_pictures_that_do_not_fit_are_named(monkeypatch):
    monkeypatch.setattr(page, "FIGURES_ROOM", 200)
    svg = b"<svg xmlns='http://www.w3.org/2000/svg'/>"
    found = [page.Picture("figures/hero.png", "Alt <1>", "Says", drawn(700, 300), svg, ((50.0, 50.0, "C1, <30>"),))]
    found.append(page.Picture("figures/big.png", "big", "Too big", drawn(90, 90)))
    text = page_of(report_cases.supported(), pictures=found)
    assert 'alt="Alt &lt;1&gt;" width="700" height="300"' in text
    assert "<title>C1, &lt;30&gt;</title>" in text
    assert "it is figures/big.png beside it" in text
    assert re.findall(r"data:image/[a-z+]*", text) == ["data:image/svg+xml"]


def test_a_drawing_of_many_lines_is_taken_as_a_picture_of_few_colours():
    from PIL import Image

    png = drawn(300, 200)
    kind, data = page._small(page.Picture("p", "a", "c", png, b" " * (page.MOST_SVG + 1)))
    assert kind == "png"
    assert len(data) < len(png)
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (300, 200)
        assert len(image.getcolors()) <= page.COLOURS
    assert page._small(page.Picture("p", "a", "c", png, b"<svg/>")) == ("svg+xml", b"<svg/>")


def test_numbers_that_do_not_stand_in_results_are_told_on_top():
    case = report_cases.supported()
    text = page_of(case, unverified=["99 in “the <b>”"])
    assert text.index("Unverified.") < text.index("<h1>")
    assert "99 in “the &lt;b&gt;”" in text


def test_a_page_of_310_stays_under_three_megabytes():
    """6,600 completions per arm, as #310 draws them over three weights, with long answers."""
    case = report_cases.supported()
    rows = [
        sample(
            f"{arm} {n} " + "word after word " * 75, arm=arm, persona=f"p{n % 11}", question=f"q{n % 20}", k=n // 220
        )
        for arm in ("C1", "C2", "C3")
        for n in range(6600)
    ]
    found = completions.browser(case.bound, Extras(samples=tuple(rows)))
    assert sum(each.completions for each in found.drawn) == 19_800
    assert {each.shown for each in found.drawn} == {len(found.rows) // 3} | {each.shown for each in found.drawn}
    assert all(each.shown > 220 for each in found.drawn)
    assert len(page_of(case, completions=found)) + page.FIGURES_ROOM < 3_000_000
