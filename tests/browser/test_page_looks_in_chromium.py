"""What report.html looks like in a real Chromium: light, dark, printed, narrow, without scripts; what comes first."""

from __future__ import annotations

import base64

import pytest
from chromium_helpers import find, texts
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

pytestmark = pytest.mark.browser


# --- light, dark, print, narrow ---


def background(driver):
    return driver.execute_script("return getComputedStyle(document.body).backgroundColor")


def test_the_page_follows_the_system_until_a_reader_chooses(open_page):
    driver = open_page("rehearsal", dark=True)
    assert background(driver) == "rgb(20, 23, 27)"
    button = find(driver, "#theme")
    assert button.get_attribute("aria-pressed") == "true"
    button.send_keys(Keys.ENTER)
    assert background(driver) == "rgb(255, 255, 255)"
    assert button.get_attribute("aria-pressed") == "false"
    driver.refresh()
    assert background(driver) == "rgb(255, 255, 255)"


@pytest.mark.parametrize(("dark", "colour"), [(False, "rgb(255, 255, 255)"), (True, "rgb(20, 23, 27)")])
def test_without_scripts_the_page_still_follows_the_system_and_says_everything(open_page, dark, colour):
    driver = open_page("rehearsal", scripts=False, dark=dark)
    body = driver.find_element(By.TAG_NAME, "body")
    assert body.value_of_css_property("background-color").replace("rgba", "rgb").replace(", 1)", ")") == colour
    assert "needs a script" in find(driver, "noscript").text
    assert "REHEARSAL" in find(driver, "h1").text
    assert len(driver.find_elements(By.CSS_SELECTOR, "#cells tbody tr")) > 3
    assert not find(driver, "#theme").is_displayed()
    assert not find(driver, "#filters").is_displayed()


def test_print_is_light_and_has_no_controls(open_page):
    driver = open_page("rehearsal", media="print", dark=True, width=800)
    assert background(driver) == "rgb(255, 255, 255)"
    for hidden in ("nav", "#theme", "#filters", "#next", ".copy"):
        assert not find(driver, hidden).is_displayed(), hidden
    assert driver.execute_script("return document.documentElement.scrollWidth") <= 800
    assert find(driver, ".banner").is_displayed()


def test_printing_opens_what_is_folded_and_folds_it_again(open_page):
    driver = open_page("rehearsal")
    folded = len(driver.find_elements(By.CSS_SELECTOR, "details:not([open])"))
    assert folded
    driver.execute_script(
        """
        window.seen = [];
        addEventListener("beforeprint", () => seen.push(document.querySelectorAll("details:not([open])").length));
        """
    )
    printed = base64.b64decode(driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"])
    assert printed.startswith(b"%PDF-")
    assert driver.execute_script("return window.seen") == [0]
    assert len(driver.find_elements(By.CSS_SELECTOR, "details:not([open])")) == folded


@pytest.mark.parametrize("name", ["rehearsal", "claim", "correlation", "hostile", "empty"])
@pytest.mark.parametrize("width", [360, 800])
def test_nothing_is_wider_than_the_window(open_page, name, width):
    driver = open_page(name, width=width)
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width


# --- what a reader cannot miss ---


def test_a_rehearsal_is_unmistakable_wherever_one_looks(open_page):
    driver = open_page("rehearsal")
    assert driver.title.startswith("REHEARSAL")
    for target in ("#results", "#completions", "#reproduce"):
        find(driver, target).location_once_scrolled_into_view  # noqa: B018
        ribbon = find(driver, ".ribbon")
        top = driver.execute_script("return arguments[0].getBoundingClientRect().top", ribbon)
        assert ribbon.is_displayed()
        assert 0 <= top < 5
    headings = texts(driver, "h2")
    assert headings
    assert all(text.endswith("REHEARSAL") for text in headings)
    assert not driver.find_elements(By.CSS_SELECTOR, ".banner.supported")


def test_what_speaks_against_the_result_comes_first(open_page):
    driver = open_page("claim")
    alarms = texts(driver, ".alarms .chip")
    assert "1 gate failed" in alarms
    assert "1 deviation" in alarms
    places = driver.execute_script(
        """
        const parts = [".alarms", "h1", "#before", "#results", "#criteria"];
        return parts.map((part) => document.querySelector(part).getBoundingClientRect().top);
        """
    )
    assert places == sorted(places)
    before = find(driver, "#before").text
    assert "recipes.couple.epochs" in before
    assert "marker_learnt" in before
    assert "no amendment records it" in find(driver, "#seal").text


def test_every_comparison_has_its_line_scale_in_words(open_page):
    driver = open_page("claim")
    said = [node.get_attribute("aria-label") for node in driver.find_elements(By.CSS_SELECTOR, ".scale")]
    shown = find(driver, "#criteria").text
    assert any("30.0 pp" in text and "21.0–39.0 pp" in text and "≥ 15 pp" in text for text in said)
    assert "30.0 pp" in shown
    assert "≥ 15 pp" in shown
    assert len(said) == len(texts(driver, ".fact"))


def test_a_line_scale_stands_where_its_numbers_are(open_page):
    driver = open_page("claim")
    scale = next(
        node
        for node in driver.find_elements(By.CSS_SELECTOR, ".scale")
        if "registered: ≥ 15 pp" in node.get_attribute("aria-label")
    )
    left, value, right, mark = driver.execute_script(
        """
        const box = (part) => arguments[0].querySelector(part).getBoundingClientRect();
        const middle = (part) => (box(part).left + box(part).right) / 2;
        return [box(".bar").left, middle(".dot"), box(".bar").right, middle(".mark")];
        """,
        scale,
    )
    assert mark < left < value < right
    # 15, 21, 30 and 39 pp on one even scale
    assert (value - left) / (value - mark) == pytest.approx((30 - 21) / (30 - 15), abs=0.03)
    assert (right - value) / (value - mark) == pytest.approx((39 - 30) / (30 - 15), abs=0.03)


def test_figures_have_words_for_those_who_cannot_see_and_for_those_who_point(open_page):
    driver = open_page("rehearsal")
    pictures = driver.find_elements(By.CSS_SELECTOR, "#figures img")
    assert pictures
    for picture in pictures:
        assert picture.get_attribute("alt").startswith("REHEARSAL")
        assert driver.execute_script("return arguments[0].complete && arguments[0].naturalWidth > 100", picture)
    spots = texts(driver, ".spots title")
    assert any("30" in text and "(21 to 39)" in text for text in spots)
    inside = driver.execute_script(
        """
        const air = 9;
        return [...document.querySelectorAll(".spots circle")].every((node) => {
          const spot = node.getBoundingClientRect();
          const picture = node.closest(".picture").getBoundingClientRect();
          return spot.left >= picture.left - air && spot.right <= picture.right + air
            && spot.top >= picture.top - air && spot.bottom <= picture.bottom + air;
        });
        """
    )
    assert inside
