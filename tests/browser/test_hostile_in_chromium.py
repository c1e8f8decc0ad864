"""Hostile text in every place that a stranger can fill: shown as it is, bounded, and never executed."""

from __future__ import annotations

import pytest
from browser_pages import CONTROLS, HUGE, NAMES, SCRIPTS
from selenium.common.exceptions import NoAlertPresentException
from selenium.webdriver.common.by import By

pytestmark = pytest.mark.browser


def every_completion(driver):
    """Return what each completion shows, page by page."""
    shown = []
    while True:
        shown += driver.execute_script("return [...document.querySelectorAll('#list pre')].map((n) => n.textContent)")
        following = driver.find_element(By.ID, "next")
        if following.get_attribute("aria-disabled") == "true":
            return shown
        driver.execute_script("arguments[0].click()", following)


def pwned(driver):
    """Say whether anything of the content ran."""
    try:
        driver.switch_to.alert.dismiss()
    except NoAlertPresentException:
        return driver.execute_script("return window.pwned !== undefined || document.title.includes('pwned ran')")
    return True


def test_nothing_runs_in_any_place(open_page):
    driver = open_page("hostile")
    every_completion(driver)
    driver.execute_script(
        """
        const tell = (node, event) => node.dispatchEvent(event);
        for (const list of document.querySelectorAll("#filters select")) {
          list.selectedIndex = list.options.length - 1;
          tell(list, new Event("input", { bubbles: true }));
        }
        for (const node of document.querySelectorAll("summary, .sort, #graph a")) {
          for (const kind of ["mouseover", "mouseenter", "focus", "click"]) {
            tell(node, new MouseEvent(kind, { bubbles: true }));
          }
        }
        """
    )
    assert not pwned(driver)


def test_nothing_becomes_markup(open_page):
    driver = open_page("hostile")
    every_completion(driver)
    kinds, names, links = driver.execute_script(
        """
        const all = [...document.querySelectorAll("*")];
        return [
          [...new Set([...document.body.querySelectorAll("*")].map((node) => node.localName))],
          [...new Set(all.flatMap((node) => [...node.attributes].map((each) => each.name)))],
          all.flatMap((node) => [node.getAttribute("href"), node.getAttribute("src")]).filter((link) => link !== null),
        ];
        """
    )
    assert not {"img", "iframe", "object", "embed", "base", "link", "meta", "video", "audio"} & set(kinds)
    assert len(driver.find_elements(By.TAG_NAME, "script")) == 2
    assert not [name for name in names if name.startswith("on") or name == "style"]
    assert links
    assert all(link.startswith("#") for link in links)


def test_a_script_of_the_content_would_be_refused_all_the_same(open_page, chromium):
    driver = open_page("hostile")
    refused = driver.execute_script(
        """
        const script = document.createElement("script");
        try { script.text = "window.pwned = 1"; } catch { return "typed"; }
        document.body.append(script);
        return window.pwned;
        """
    )
    assert refused == "typed"
    with pytest.raises(Exception, match="TrustedHTML"):
        driver.execute_script("document.body.innerHTML = '<img src=x onerror=window.pwned=1>'")
    logged = chromium.get_log("browser")  # the refusals are told, and looked at here
    assert all("TrustedHTML" in entry["message"] or "TrustedScript" in entry["message"] for entry in logged)


def test_everything_is_shown_letter_by_letter(open_page):
    driver = open_page("hostile")
    shown = every_completion(driver)
    for script in SCRIPTS:
        assert script in shown
    assert "NaN" in shown
    assert "(empty)" in shown
    assert "half \\ud83d a pair" in shown
    page = driver.execute_script("return document.body.textContent")
    for char in ("\x1b", "\u202e", "\u2066", "\x00", "\u200b", "\ufeff"):
        assert char in CONTROLS
        assert not any(char in text for text in shown)
        assert char not in page
    assert any("\\u202eesrever\\u202c" in text for text in shown)


def test_ten_megabytes_are_cut_and_the_marker_in_the_middle_stays(open_page, pages):
    assert pages("hostile").stat().st_size < 3_000_000
    driver = open_page("hostile")
    shown = [text for text in every_completion(driver) if text.startswith("A" * 500)]
    assert len(shown) == len(NAMES)
    for text in shown:
        assert len(text) < 2_000
        assert "[ZLT]" in text
        assert text.endswith("B" * 300)
        assert text.count("characters are left out here") == 2
    driver.find_element(By.CSS_SELECTOR, "[name=text]").send_keys("BBBBBBBB")
    assert len(HUGE) == 10_000_005


def test_personas_called_like_parts_of_the_language_are_only_names(open_page):
    driver = open_page("hostile")
    options = driver.execute_script(
        "return [...document.querySelectorAll('[name=persona] option')].map((n) => n.textContent)"
    )
    assert {"__proto__", "constructor"} <= set(options)
    asked = driver.execute_script("return [...document.querySelectorAll('#list .asked')].map((n) => n.textContent)")
    assert not any("[object" in text or "function" in text for text in asked)


def test_names_are_bounded(open_page):
    driver = open_page("hostile")
    kinds = "option, td, th, h1, h2, h3, h4, dd, title"
    longest = driver.execute_script(
        "return Math.max(...[...document.querySelectorAll(arguments[0])].map((node) => node.textContent.length))", kinds
    )
    assert longest < 5_000


def test_an_empty_pool_says_so(open_page):
    driver = open_page("empty")
    text = driver.find_element(By.TAG_NAME, "main").text
    assert "No hypothesis is registered." in text
    assert "No completions were sampled" in text
    assert "No estimate keeps a dimension." in text
